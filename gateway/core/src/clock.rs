//! Time as the core sees it: two clocks, both handed in, and windows that hold only while both say so.

use std::time::Duration;

use doorward_model::{Interval, Timestamp};

/// Difference in progress between the two clocks, from one call to the next, that counts as a jump: 2 s is far above
/// what slewing can do between two calls and far below what a person would call a wrong clock.
pub(crate) const CLOCK_JUMP_MICROS: u64 = 2_000_000;

/// Microseconds since the machine booted, time asleep included (`CLOCK_BOOTTIME`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct BootTime(u64);

impl BootTime {
    /// The end of time: a deadline that never comes.
    pub const MAX: Self = Self(u64::MAX);

    /// Takes microseconds since boot.
    #[must_use]
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// Returns microseconds since boot.
    #[must_use]
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Returns the time that much later, or [`BootTime::MAX`].
    #[must_use]
    pub fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(micros(span)))
    }

    /// Returns how long ago `earlier` was; zero when it has not come yet.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// The moment of a call, on both clocks. The shell reads them once a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Boot clock: never steps, counts while suspended.
    pub boot: BootTime,
    /// Wall clock: may be stepped by anybody who can set the time.
    pub wall: Timestamp,
}

/// Converts a span to microseconds, saturating.
pub(crate) fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// The arrival of a message, against which its wall times become boot times.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    /// When it came, on this machine's boot clock.
    pub(crate) boot: BootTime,
    /// When it was written, on the control plane's wall clock.
    pub(crate) sent_at: Timestamp,
}

impl Arrival {
    /// Places a wall time on the boot clock: so long after arrival as the sender said it was away, never before it.
    pub(crate) fn place(self, at: Timestamp) -> BootTime {
        if at == Timestamp::MAX {
            return BootTime::MAX;
        }
        let ahead = at.as_microsecond().saturating_sub(self.sent_at.as_microsecond());
        BootTime(self.boot.0.saturating_add(u64::try_from(ahead).unwrap_or(0)))
    }
}

/// A point that has come only when both clocks say so (a start), or as soon as one does (an end).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instants {
    /// On the boot clock.
    pub(crate) boot: BootTime,
    /// On the wall clock.
    pub(crate) wall: Timestamp,
}

/// A span of validity on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    /// Begun when both have come.
    pub(crate) start: Instants,
    /// Over when one has come.
    pub(crate) end: Instants,
}

impl Window {
    /// Places an interval of the feed on both clocks; `boot_end_max` is the earliest end ever computed for it.
    pub(crate) fn place(interval: Interval, arrival: Arrival, boot_end: BootTime) -> Self {
        // What has begun by the sender's clock has begun: a clock of this machine that is behind takes nothing away.
        let start = if interval.not_before <= arrival.sent_at {
            Instants { boot: BootTime::default(), wall: Timestamp::MIN }
        } else {
            Instants { boot: arrival.place(interval.not_before), wall: interval.not_before }
        };
        Self { start, end: Instants { boot: boot_end, wall: interval.not_after } }
    }

    /// Says whether the window has begun on both clocks and has ended on neither.
    pub(crate) fn holds(&self, now: Now) -> bool {
        self.begun(now) && !self.over(now)
    }

    /// Says whether both clocks have reached the start.
    pub(crate) fn begun(&self, now: Now) -> bool {
        self.start.boot <= now.boot && self.start.wall <= now.wall
    }

    /// Says whether either clock has reached the end.
    pub(crate) fn over(&self, now: Now) -> bool {
        self.end.reached(now)
    }
}

impl Instants {
    /// Says whether either clock has reached it.
    pub(crate) fn reached(&self, now: Now) -> bool {
        self.boot <= now.boot || self.wall <= now.wall
    }
}

/// Says by how much the two clocks' progress differs between two moments, in microseconds.
pub(crate) fn disagreement_micros(before: Now, now: Now) -> u64 {
    let wall = now.wall.as_microsecond().saturating_sub(before.wall.as_microsecond());
    let boot = i64::try_from(now.boot.0.saturating_sub(before.boot.0)).unwrap_or(i64::MAX);
    wall.abs_diff(boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn now(boot: u64, wall: i64) -> Now {
        Now { boot: BootTime(boot * 1_000_000), wall: at(wall) }
    }

    #[test]
    fn a_window_needs_both_clocks_to_begin_and_one_to_end() {
        let arrival = Arrival { boot: BootTime(100_000_000), sent_at: at(1_000) };
        let interval = Interval { not_before: at(1_010), not_after: at(1_020) };
        let window = Window::place(interval, arrival, arrival.place(interval.not_after));
        assert!(!window.holds(now(109, 1_015)));
        assert!(!window.holds(now(115, 1_009)));
        assert!(window.holds(now(110, 1_010)));
        assert!(!window.holds(now(120, 1_015)));
        assert!(!window.holds(now(115, 1_020)));
    }

    #[test]
    fn what_has_begun_by_the_senders_clock_has_begun_here() {
        let arrival = Arrival { boot: BootTime(100_000_000), sent_at: at(1_000) };
        let interval = Interval { not_before: at(1_000), not_after: at(1_020) };
        let window = Window::place(interval, arrival, arrival.place(interval.not_after));
        assert!(window.holds(now(100, 500)), "this machine's wall clock is behind");
        assert!(!window.holds(now(120, 520)), "and lengthens nothing");
    }

    #[test]
    fn what_is_past_at_arrival_is_never_before_arrival() {
        let arrival = Arrival { boot: BootTime(5), sent_at: at(1_000) };
        assert_eq!(arrival.place(at(1)), BootTime(5));
        assert_eq!(arrival.place(Timestamp::MIN), BootTime(5));
        assert_eq!(arrival.place(Timestamp::MAX), BootTime::MAX);
    }

    #[test]
    fn a_step_of_the_wall_clock_is_seen_in_both_directions() {
        assert_eq!(disagreement_micros(now(1, 1_000), now(2, 1_001)), 0);
        assert_eq!(disagreement_micros(now(1, 1_000), now(2, 1_101)), 100_000_000);
        assert_eq!(disagreement_micros(now(1, 1_000), now(2, 901)), 100_000_000);
    }
}
