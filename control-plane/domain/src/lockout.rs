//! Guessing is bounded: ten failures of an account, or from a source, lock it for half an hour (PCI DSS 8.3.4).

use doorward_model::Timestamp;
use jiff::SignedDuration;

use crate::Denial;
use crate::session::later;

/// Failures after which an account or a source is locked.
pub const FAILURES_MAX: u64 = 10;
/// How long it is locked, and how long failures are remembered.
pub const LOCKOUT: SignedDuration = SignedDuration::from_mins(30);

/// The failures of an account or a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempts {
    /// How many, since the last success or the last pause of [`LOCKOUT`].
    pub failures: u64,
    /// The last one.
    pub last_at: Timestamp,
    /// Until when nothing is tried.
    pub locked_until: Option<Timestamp>,
}

impl Attempts {
    /// Says until when it is locked, if it is.
    #[must_use]
    pub fn locked(&self, now: Timestamp) -> Option<Timestamp> {
        self.locked_until.filter(|until| now < *until)
    }

    /// Counts an attempt before it is known how it goes, so that guesses at the same moment are all counted.
    ///
    /// # Errors
    /// A denial while it is locked; the attempt is not made then, and does not lengthen the lock.
    pub fn begin(before: Option<&Self>, now: Timestamp) -> Result<Self, Denial> {
        if let Some(until) = before.and_then(|attempts| attempts.locked(now)) {
            return Err(locked_out(until, now));
        }
        let remembered = before.filter(|it| it.locked_until.is_none() && now < later(it.last_at, LOCKOUT));
        let failures = remembered.map_or(0, |attempts| attempts.failures).saturating_add(1);
        let locked_until = (failures >= FAILURES_MAX).then(|| later(now, LOCKOUT));
        Ok(Self { failures, last_at: now, locked_until })
    }

    /// Takes back an attempt that went well, where others of the same source still count.
    #[must_use]
    pub fn succeeded(&self) -> Self {
        let failures = self.failures.saturating_sub(1);
        let locked_until = self.locked_until.filter(|_| failures >= FAILURES_MAX);
        Self { failures, last_at: self.last_at, locked_until }
    }
}

fn locked_out(until: Timestamp, now: Timestamp) -> Denial {
    let minutes = until.duration_since(now).as_secs().div_euclid(60).saturating_add(1);
    Denial::refused(format!("too many wrong attempts: wait {minutes} minutes and try again, or sign in with a passkey"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::t;

    fn after(failures: u64) -> Attempts {
        let mut attempts = None;
        for at in 0..failures {
            attempts = Some(Attempts::begin(attempts.as_ref(), t(i64::try_from(at).unwrap())).unwrap());
        }
        attempts.unwrap()
    }

    #[test]
    fn the_tenth_attempt_locks_for_half_an_hour_by_the_clock() {
        assert_eq!(after(9).locked(t(9)), None);
        let locked = after(10);
        assert_eq!(locked.locked(t(9)), Some(t(9 + 1800)));
        assert!(Attempts::begin(Some(&locked), t(9 + 1799)).is_err());
        assert_eq!(Attempts::begin(Some(&locked), t(9 + 1800)).unwrap().failures, 1);
    }

    #[test]
    fn trying_while_it_is_locked_does_not_lengthen_the_lock() {
        let locked = after(10);
        let denial = Attempts::begin(Some(&locked), t(60)).unwrap_err();
        assert!(denial.sentence.contains("wait 30 minutes"), "{denial}");
        assert_eq!(locked.locked(t(1808)), Some(t(1809)));
    }

    #[test]
    fn failures_are_forgotten_after_a_pause_and_a_success_takes_one_back() {
        assert_eq!(Attempts::begin(Some(&after(9)), t(8 + 1800)).unwrap().failures, 1);
        let tenth = Attempts::begin(Some(&after(9)), t(9)).unwrap();
        assert_eq!((tenth.succeeded().failures, tenth.succeeded().locked_until), (9, None));
    }
}
