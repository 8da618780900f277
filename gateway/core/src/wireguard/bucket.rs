//! A token bucket on the boot clock.

use crate::BootTime;

/// How fast tokens come and how many may wait.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    /// Tokens a second.
    pub(crate) per_second: u32,
    /// Tokens that a silent time saves up.
    pub(crate) burst: u32,
}

const TOKEN: u64 = 1_000_000;

/// A bucket, in millionths of a token; full at first.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    spent: u64,
    at: BootTime,
}

impl Bucket {
    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now: BootTime, rate: Rate) -> bool {
        let back = (now.as_micros().saturating_sub(self.at.as_micros())).saturating_mul(u64::from(rate.per_second));
        self.spent = self.spent.saturating_sub(back);
        self.at = now;
        let after = self.spent.saturating_add(TOKEN);
        if after > u64::from(rate.burst).saturating_mul(TOKEN) {
            return false;
        }
        self.spent = after;
        true
    }

    /// Returns when there is a token again.
    pub(crate) fn next_at(&self, now: BootTime, rate: Rate) -> BootTime {
        let back = (now.as_micros().saturating_sub(self.at.as_micros())).saturating_mul(u64::from(rate.per_second));
        let after = self.spent.saturating_sub(back).saturating_add(TOKEN);
        let missing = after.saturating_sub(u64::from(rate.burst).saturating_mul(TOKEN));
        now.after(std::time::Duration::from_micros(missing.div_ceil(u64::from(rate.per_second.max(1)))))
    }

    /// Says whether it would be full by that time.
    pub(crate) fn is_full(&self, now: BootTime, rate: Rate) -> bool {
        (now.as_micros().saturating_sub(self.at.as_micros())).saturating_mul(u64::from(rate.per_second)) >= self.spent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_then_the_rate() {
        let rate = Rate { per_second: 20, burst: 5 };
        let mut bucket = Bucket::default();
        let second = |n: u64| BootTime::from_micros(1_000_000_000 + n * 1_000_000);
        assert_eq!((0..100).filter(|_| bucket.take(second(0), rate)).count(), 5);
        assert!(!bucket.is_full(second(0), rate));
        assert!(bucket.is_full(second(1), rate));
        let passed =
            (0..1_000).filter(|n| bucket.take(BootTime::from_micros(second(0).as_micros() + n * 10_000), rate)).count();
        assert!((195..=205).contains(&passed), "{passed} in ten seconds");
    }
}
