//! What the resolver counts. No name and no device is in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    /// A resource's name was answered.
    Resource,
    /// A name of the zone that is not there for the device.
    NoSuchName,
    /// A name of others, refused because nobody is there to ask.
    Refused,
    /// A name of others, passed on and answered.
    Forwarded,
    /// An answer of others that led inside, held back.
    LedInside,
    /// No upstream answered, or not in words that can be read.
    Failed,
    /// What was no question, or none that is taken.
    Malformed,
    /// Dropped because too many were under way.
    Busy,
    /// A target that is a name was resolved.
    NameResolved,
    /// Such a name was not resolved.
    NameFailed,
}

impl Counted {
    /// What became of questions, with labels for metrics.
    pub(crate) const ANSWERS: [(Self, &'static str); 8] = [
        (Self::Resource, "resource"),
        (Self::NoSuchName, "no_such_name"),
        (Self::Refused, "refused"),
        (Self::Forwarded, "forwarded"),
        (Self::LedInside, "led_inside"),
        (Self::Failed, "failed"),
        (Self::Malformed, "malformed"),
        (Self::Busy, "busy"),
    ];
    /// What became of targets' names.
    pub(crate) const NAMES: [(Self, &'static str); 2] =
        [(Self::NameResolved, "resolved"), (Self::NameFailed, "failed")];
}

/// Counts shared by the resolver's tasks.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counters(Arc<[AtomicU64; 10]>);

impl Counters {
    /// Counts one.
    pub(crate) fn count(&self, what: Counted) {
        if let Some(count) = self.0.get(what as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns a count.
    pub(crate) fn get(&self, what: Counted) -> u64 {
        self.0.get(what as usize).map_or(0, |count| count.load(Ordering::Relaxed))
    }
}
