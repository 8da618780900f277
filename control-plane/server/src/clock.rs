//! The server's one clock. It never falls behind the boot clock, whatever happens to the wall clock.

use std::sync::Mutex;
use std::time::Duration;

use doorward_model::Timestamp;
use jiff::SignedDuration;
use rustix::time::{ClockId, clock_gettime};

/// How far wall clock and boot clock may drift apart between two looks before it is called a jump.
const JUMP_MIN: Duration = Duration::from_secs(2);
/// How far ahead a wall clock was that is said to be set right.
const WRONG_MIN: SignedDuration = SignedDuration::from_mins(5);
/// How long a wall clock must have gone on evenly after a jump before it is believed: somebody read the alert by then.
const DOUBT: Duration = Duration::from_hours(24);

/// The later of the wall clock and what the boot clock says has passed since the start.
///
/// A wall clock that is set back lengthens nothing, and neither does a restart: the start is never before the last
/// moment that the database has on record. A wall clock that is set forward ends things early; once it is set right, what
/// had ended by it alone holds again. So what cannot be taken back asks for [`Clock::settled`].
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

/// The two clocks at the last look for jumps, and what the jumps since the start add up to.
#[derive(Debug, Clone, Copy)]
struct Seen {
    wall: Timestamp,
    boot: Duration,
    believed: SignedDuration,
    doubted: SignedDuration,
    doubted_since: Duration,
}

impl Clock {
    /// Starts the clock; `recorded_at_latest` is the last moment on record.
    pub(crate) fn start(recorded_at_latest: Option<Timestamp>) -> Self {
        Self::start_at(Timestamp::now(), boot(), recorded_at_latest)
    }

    fn start_at(wall: Timestamp, boot: Duration, recorded_at_latest: Option<Timestamp>) -> Self {
        let base = recorded_at_latest.map_or(wall, |recorded| recorded.max(wall));
        let (believed, doubted) = (SignedDuration::ZERO, SignedDuration::ZERO);
        // A wall clock that is behind the record was set back while nobody looked: the first look tells it.
        let seen = Seen { wall: base, boot, believed, doubted, doubted_since: boot };
        Self { base, boot_at_base: boot, seen: Mutex::new(seen) }
    }

    /// Returns the time.
    pub(crate) fn now(&self) -> Timestamp {
        self.at(Timestamp::now(), boot())
    }

    fn at(&self, wall: Timestamp, boot: Duration) -> Timestamp {
        // Databases keep microseconds; what is kept and what was said must be the same moment.
        truncate(self.floor(boot).max(wall))
    }

    fn floor(&self, boot: Duration) -> Timestamp {
        let passed = SignedDuration::try_from(boot.saturating_sub(self.boot_at_base)).unwrap_or(SignedDuration::ZERO);
        self.base.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Returns the time for what cannot be taken back: a wall clock that was set forward counts after a day without another
    /// jump. Never later than [`Clock::now`].
    pub(crate) fn settled(&self) -> Timestamp {
        self.settled_at(Timestamp::now(), boot())
    }

    fn settled_at(&self, wall: Timestamp, boot: Duration) -> Timestamp {
        let believed = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner).believed;
        let settled = self.floor(boot).checked_add(believed.max(SignedDuration::ZERO)).unwrap_or(Timestamp::MAX);
        truncate(settled.min(self.at(wall, boot)))
    }

    /// Says by how much the wall clock jumped against the boot clock since the last call, if by 2 s or more.
    pub(crate) fn jump(&self) -> Option<Jump> {
        self.jump_at(Timestamp::now(), boot())
    }

    fn jump_at(&self, wall: Timestamp, boot: Duration) -> Option<Jump> {
        let mut seen = self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let by_boot = SignedDuration::try_from(boot.saturating_sub(seen.boot)).unwrap_or(SignedDuration::ZERO);
        let jump = wall.duration_since(seen.wall).saturating_sub(by_boot);
        (seen.wall, seen.boot) = (wall, boot);
        if jump.unsigned_abs() >= JUMP_MIN {
            let doubted = seen.doubted.saturating_add(jump);
            let sets_right = seen.doubted >= WRONG_MIN && doubted.abs() < WRONG_MIN;
            seen.doubted = doubted;
            seen.doubted_since = boot;
            return Some(Jump { by: jump, sets_right });
        }
        if boot.saturating_sub(seen.doubted_since) >= DOUBT {
            seen.believed = seen.believed.saturating_add(std::mem::take(&mut seen.doubted));
        }
        None
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
    fn a_start_with_a_wall_clock_behind_the_record_is_told_as_a_jump() {
        let clock = Clock::start_at(at(1_000), boot_at(0), Some(at(5_000)));
        let back = Jump { by: SignedDuration::from_secs(-4_000), sets_right: false };
        assert_eq!(clock.jump_at(at(1_002), boot_at(2)), Some(back));
        assert_eq!(clock.jump_at(at(1_004), boot_at(4)), None);
    }

    #[test]
    fn a_clock_that_was_set_forward_settles_after_a_day_without_another_jump() {
        let clock = Clock::start_at(at(1_000), boot_at(0), None);
        assert_eq!(clock.settled_at(at(1_010), boot_at(10)), at(1_010));
        let (day, week) = (86_400, 604_800);
        let ahead = |seconds: u64| (at(1_000 + week + i64::try_from(seconds).unwrap()), boot_at(seconds));
        let (wall, boot) = ahead(20);
        assert_eq!((clock.at(wall, boot), clock.settled_at(wall, boot)), (at(1_020 + week), at(1_020)), "not yet seen");
        clock.jump_at(wall, boot);
        assert_eq!(clock.settled_at(wall, boot), at(1_020));
        let (wall, boot) = ahead(day + 19);
        clock.jump_at(wall, boot);
        assert_eq!(clock.settled_at(wall, boot), at(1_019 + 86_400));
        let (wall, boot) = ahead(day + 20);
        clock.jump_at(wall, boot);
        assert_eq!(clock.settled_at(wall, boot), clock.at(wall, boot), "believed");
    }

    #[test]
    fn a_clock_that_was_set_right_is_never_believed_to_have_been_ahead() {
        let clock = Clock::start_at(at(1_000), boot_at(0), None);
        assert_eq!(clock.jump_at(at(605_800), boot_at(10)).map(|jump| jump.sets_right), Some(false));
        assert_eq!(clock.jump_at(at(5_000), boot_at(15)).map(|jump| jump.sets_right), Some(false), "not yet");
        assert_eq!(clock.jump_at(at(1_020), boot_at(20)).map(|jump| jump.sets_right), Some(true));
        clock.jump_at(at(87_430), boot_at(86_430));
        assert_eq!(clock.settled_at(at(87_430), boot_at(86_430)), at(87_430));
        assert_eq!(clock.settled_at(at(700_000), boot_at(86_431)), at(87_431), "nor the next time");
    }

    #[test]
    fn a_clock_that_was_set_back_settles_no_later_than_the_boot_clock_says() {
        let clock = Clock::start_at(at(1_000), boot_at(0), None);
        clock.jump_at(at(-80_000), boot_at(10));
        clock.jump_at(at(10_000), boot_at(90_010));
        assert_eq!(clock.settled_at(at(10_000), boot_at(90_010)), at(91_010));
    }

    #[test]
    fn jumps_are_seen_once_and_drift_is_none() {
        let clock = Clock::start_at(at(1_000), boot_at(0), None);
        assert_eq!(clock.jump_at(at(1_011), boot_at(10)), None);
        assert_eq!(clock.jump_at(at(1_100), boot_at(11)).map(|jump| jump.by), Some(SignedDuration::from_secs(88)));
        assert_eq!(clock.jump_at(at(1_101), boot_at(12)), None);
        assert_eq!(clock.jump_at(at(101), boot_at(13)).map(|jump| jump.by), Some(SignedDuration::from_secs(-1_001)));
    }
}
