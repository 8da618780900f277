//! The server's one clock. It never goes back, whatever happens to the wall clock.

use std::sync::Mutex;
use std::time::Duration;

use doorward_model::Timestamp;
use jiff::SignedDuration;
use rustix::time::{ClockId, clock_gettime};

/// How far wall clock and boot clock may drift apart between two looks before it is called a jump.
const JUMP_MIN: Duration = Duration::from_secs(2);
/// How far the wall clock has to go forward against what is known before what time ends for good waits.
const DOUBTED_MIN: SignedDuration = SignedDuration::from_mins(5);
/// The same for a start: that long ago something was recorded last, or the wall clock is wrong.
const DOUBTED_AT_START: SignedDuration = SignedDuration::from_hours(20);
/// How long it waits, by the boot clock.
const DOUBT: Duration = Duration::from_secs(3600);

/// The later of the wall clock and what the boot clock says has passed since the start.
///
/// A wall clock that is set back lengthens nothing, and neither does a restart: the start is never before the latest
/// moment that the database has on record. A wall clock that is set forward ends access early, and gives it back when it is
/// set right; what cannot be given back waits until somebody could look ([`Clock::is_doubted`]).
#[derive(Debug)]
pub(crate) struct Clock {
    base: Timestamp,
    boot_at_base: Duration,
    seen: Mutex<Seen>,
}

/// The wall clock went another way than the boot clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Jump {
    /// How far, forward or back.
    pub(crate) by: SignedDuration,
    /// Says whether it undid a jump forward that this process saw.
    pub(crate) sets_right: bool,
}

/// The two clocks at the last look for jumps.
#[derive(Debug, Clone, Copy)]
struct Seen {
    wall: Timestamp,
    boot: Duration,
    /// Until when, by the boot clock, the wall clock is not believed as far as it goes forward.
    doubted_until: Duration,
}

impl Clock {
    /// Starts the clock; `recorded_at_latest` is the latest moment on record.
    pub(crate) fn start(recorded_at_latest: Option<Timestamp>) -> Self {
        Self::start_at(Timestamp::now(), boot(), recorded_at_latest)
    }

    fn start_at(wall: Timestamp, boot: Duration, recorded_at_latest: Option<Timestamp>) -> Self {
        let base = recorded_at_latest.map_or(wall, |recorded| recorded.max(wall));
        let silence = recorded_at_latest.map_or(SignedDuration::ZERO, |recorded| wall.duration_since(recorded));
        let doubted_until = if silence >= DOUBTED_AT_START { boot.saturating_add(DOUBT) } else { Duration::ZERO };
        Self { base, boot_at_base: boot, seen: Mutex::new(Seen { wall, boot, doubted_until }) }
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(Timestamp::now(), boot())
    }

    fn at(&self, wall: Timestamp, boot: Duration) -> Timestamp {
        let floor = self.floor(boot);
        // Databases keep microseconds; what is kept and what was said must be the same moment.
        truncate(floor.max(wall))
    }

    /// What the boot clock alone says it is.
    fn floor(&self, boot: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(boot.saturating_sub(self.boot_at_base)).unwrap_or(SignedDuration::ZERO);
        self.base.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Says by how much the wall clock jumped against the boot clock since the last call, if by 2 s or more.
    pub(crate) fn jump(&self) -> Option<Jump> {
        self.jump_at(Timestamp::now(), boot())
    }

    fn jump_at(&self, wall: Timestamp, boot: Duration) -> Option<Jump> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let by = seen.jump_to(wall, boot);
        let is_wrong = self.error(wall, boot) >= DOUBTED_MIN;
        let sets_right = by <= -DOUBTED_MIN && !is_wrong && self.error(seen.wall, seen.boot) >= DOUBTED_MIN;
        let doubted_until = if by >= DOUBTED_MIN {
            boot.saturating_add(DOUBT)
        } else if sets_right {
            Duration::ZERO
        } else {
            seen.doubted_until
        };
        *seen = Seen { wall, boot, doubted_until };
        (by.unsigned_abs() >= JUMP_MIN).then_some(Jump { by, sets_right })
    }

    /// How far the wall clock is ahead of what has passed since the start.
    fn error(&self, wall: Timestamp, boot: Duration) -> SignedDuration {
        wall.duration_since(self.floor(boot))
    }

    /// Says whether the wall clock may be wrong, so that nothing should end for good because of the time: it went forward
    /// by 5 minutes or more within the last hour, or this process began within the last hour 20 hours or more after
    /// whatever was recorded last.
    pub(crate) fn is_doubted(&self) -> bool {
        self.is_doubted_at(Timestamp::now(), boot())
    }

    fn is_doubted_at(&self, wall: Timestamp, boot: Duration) -> bool {
        let seen = *self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let jump = seen.jump_to(wall, boot);
        jump >= DOUBTED_MIN || boot < seen.doubted_until
    }
}

impl Seen {
    /// By how much the wall clock went further than the boot clock since.
    fn jump_to(&self, wall: Timestamp, boot: Duration) -> SignedDuration {
        let by_boot = SignedDuration::try_from(boot.saturating_sub(self.boot)).unwrap_or(SignedDuration::MAX);
        wall.duration_since(self.wall).saturating_sub(by_boot)
    }
}

fn boot() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

fn truncate(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    const fn boot_at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_wall_clock_that_is_set_back_does_not_turn_time_back() {
        let clock = Clock::start_at(at(1_000), boot_at(50), None);
        assert_eq!(clock.at(at(1_010), boot_at(60)), at(1_010));
        assert_eq!(clock.at(at(-80_000), boot_at(70)), at(1_020));
    }

    #[test]
    fn a_restart_with_an_earlier_wall_clock_begins_at_the_latest_record() {
        let clock = Clock::start_at(at(1_000), boot_at(0), Some(at(5_000)));
        assert_eq!(clock.at(at(1_001), boot_at(1)), at(5_001));
    }

    #[test]
    fn a_wall_clock_that_is_set_forward_is_followed() {
        let clock = Clock::start_at(at(1_000), boot_at(0), None);
        assert_eq!(clock.at(at(90_000), boot_at(1)), at(90_000));
    }

    #[test]
    fn jumps_are_seen_once_and_drift_is_none() {
        let clock = Clock::start_at(at(1_000), boot_at(0), None);
        assert_eq!(clock.jump_at(at(1_011), boot_at(10)), None);
        assert_eq!(clock.jump_at(at(1_100), boot_at(11)).map(|jump| jump.by), Some(SignedDuration::from_secs(88)));
        assert_eq!(clock.jump_at(at(1_101), boot_at(12)), None);
        let back = Jump { by: SignedDuration::from_secs(-1_001), sets_right: false };
        assert_eq!(clock.jump_at(at(101), boot_at(13)), Some(back));
    }

    #[test]
    fn a_wall_clock_that_was_set_forward_is_doubted_for_an_hour_or_until_it_is_set_right() {
        let clock = Clock::start_at(at(1_000), boot_at(0), Some(at(990)));
        assert!(!clock.is_doubted_at(at(1_100), boot_at(1)), "less than five minutes");
        assert!(clock.is_doubted_at(at(90_000), boot_at(2)), "before anybody looked for jumps");
        clock.jump_at(at(90_000), boot_at(2));
        assert!(clock.is_doubted_at(at(93_500), boot_at(3_502)));
        assert!(!clock.is_doubted_at(at(93_700), boot_at(3_702)));
    }

    #[test]
    fn a_wall_clock_that_is_set_right_again_is_believed_at_once() {
        let clock = Clock::start_at(at(1_000), boot_at(0), Some(at(990)));
        assert_eq!(clock.jump_at(at(90_000), boot_at(10)).map(|jump| jump.sets_right), Some(false));
        assert_eq!(clock.jump_at(at(80_000), boot_at(11)).map(|jump| jump.sets_right), Some(false), "not yet");
        assert!(clock.is_doubted_at(at(80_001), boot_at(12)));
        assert_eq!(clock.jump_at(at(1_020), boot_at(20)).map(|jump| jump.sets_right), Some(true));
        assert!(!clock.is_doubted_at(at(1_021), boot_at(21)));
    }

    #[test]
    fn a_start_long_after_the_latest_record_is_doubted_for_an_hour() {
        let clock = Clock::start_at(at(90_000), boot_at(0), Some(at(1_000)));
        assert!(clock.is_doubted_at(at(90_100), boot_at(100)));
        assert!(!clock.is_doubted_at(at(93_700), boot_at(3_700)));
        assert!(!Clock::start_at(at(61_000), boot_at(0), Some(at(1_000))).is_doubted_at(at(61_001), boot_at(1)));
        assert!(!Clock::start_at(at(90_000), boot_at(0), None).is_doubted_at(at(90_001), boot_at(1)), "a first start");
    }
}
