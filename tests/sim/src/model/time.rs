//! Two clocks. What is granted holds only while both say so.

use doorward_model::{Interval, Timestamp};

/// A moment, in microseconds on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moment {
    /// Since boot.
    pub boot: u64,
    /// Since 1970.
    pub wall: i64,
}

/// The arrival of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival {
    pub(super) boot: u64,
    /// When it was written, on the writer's clock.
    pub(super) sent_at: i64,
}

impl Arrival {
    /// Where a time of the message lies on the boot clock: never before the arrival.
    pub(super) fn on_boot(self, at: Timestamp) -> u64 {
        if at == Timestamp::MAX {
            return u64::MAX;
        }
        let ahead = u64::try_from(at.as_microsecond().saturating_sub(self.sent_at)).unwrap_or(0);
        self.boot.saturating_add(ahead)
    }
}

/// An end: it has come as soon as one clock says so.
#[derive(Debug, Clone, Copy)]
pub(super) struct End {
    pub(super) boot: u64,
    pub(super) wall: Timestamp,
}

impl End {
    pub(super) fn has_come(self, now: Moment) -> bool {
        let by_wall = self.wall != Timestamp::MAX && self.wall.as_microsecond() <= now.wall;
        by_wall || (self.boot != u64::MAX && self.boot <= now.boot)
    }
}

/// A span of validity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Span {
    /// `None` when it had begun as the message was written.
    start: Option<(u64, i64)>,
    end: End,
}

impl Span {
    pub(super) fn place(interval: Interval, arrival: Arrival, end: End) -> Self {
        let begun = interval.not_before.as_microsecond() <= arrival.sent_at;
        let start = (!begun).then(|| (arrival.on_boot(interval.not_before), interval.not_before.as_microsecond()));
        Self { start, end }
    }

    pub(super) fn holds(self, now: Moment) -> bool {
        self.start.is_none_or(|(boot, wall)| boot <= now.boot && wall <= now.wall) && !self.is_over(now)
    }

    pub(super) fn is_over(self, now: Moment) -> bool {
        self.end.has_come(now)
    }
}
