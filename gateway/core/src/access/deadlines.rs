//! When something ends, in order: what timers wake up for, and the memory that keeps a re-issue from widening.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_model::{DeviceId, GrantId, Timestamp};

use crate::clock::{Arrival, Instants};
use crate::hash::{Map, Seed};
use crate::{BootTime, Now};

/// Ends remembered for each device that may be held, before those long past are forgotten: about 36 MiB at most for
/// the default number of devices.
const REMEMBERED_PER_DEVICE: usize = 2;
/// How long past an end must be to be forgotten; a clock that is set back further than this is noticed otherwise.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(86_400);

/// The next end on each clock; they may be of different things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Ends {
    boot: Option<BootTime>,
    wall: Option<Timestamp>,
}

impl Ends {
    pub(crate) fn add(&mut self, end: Instants) {
        if end.boot != BootTime::MAX {
            self.boot = Some(self.boot.map_or(end.boot, |held| held.min(end.boot)));
        }
        if end.wall != Timestamp::MAX {
            self.wall = Some(self.wall.map_or(end.wall, |held| held.min(end.wall)));
        }
    }
}

/// Devices in the order of their next end.
#[derive(Default)]
pub(crate) struct Deadlines {
    by_boot: BTreeSet<(BootTime, u32)>,
    by_wall: BTreeSet<(Timestamp, u32)>,
    of: Vec<Ends>,
}

impl Deadlines {
    /// Sets a device's next end; [`Ends::default`] takes it out.
    pub(crate) fn set(&mut self, device: u32, ends: Ends) {
        let Ok(place) = usize::try_from(device) else { return };
        if self.of.len() <= place {
            self.of.resize(place.saturating_add(1), Ends::default());
        }
        let Some(held) = self.of.get_mut(place) else { return };
        let old = std::mem::replace(held, ends);
        if let Some(boot) = old.boot {
            self.by_boot.remove(&(boot, device));
        }
        if let Some(wall) = old.wall {
            self.by_wall.remove(&(wall, device));
        }
        self.by_boot.extend(ends.boot.map(|boot| (boot, device)));
        self.by_wall.extend(ends.wall.map(|wall| (wall, device)));
    }

    /// Returns a device whose end has come; the caller sets its next one.
    pub(crate) fn due(&self, now: Now) -> Option<u32> {
        let boot = self.by_boot.first().filter(|(at, _)| *at <= now.boot).map(|(_, device)| *device);
        boot.or_else(|| self.by_wall.first().filter(|(at, _)| *at <= now.wall).map(|(_, device)| *device))
    }

    /// Says when the next end comes, on the boot clock as seen at `last`.
    pub(crate) fn next(&self, last: Now) -> Option<BootTime> {
        let boot = self.by_boot.first().map(|(at, _)| *at);
        let wall = self.by_wall.first().map(|(at, _)| {
            let ahead = at.as_microsecond().saturating_sub(last.wall.as_microsecond());
            // One more, because a time stamp may be finer than a microsecond.
            let ahead = u64::try_from(ahead).unwrap_or(0).saturating_add(1);
            BootTime::from_micros(last.boot.as_micros().saturating_add(ahead))
        });
        boot.into_iter().chain(wall).min()
    }
}

/// What an end belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Device,
    SignIn,
    Grant(GrantId),
}

/// The earliest boot-clock end ever computed for each (device, subject, wall-clock end). A sender whose clock was set
/// back would otherwise lengthen what it sends again.
pub(crate) struct EndMemory {
    earliest: Map<(DeviceId, Subject, Timestamp), BootTime>,
    max: usize,
    /// The size at which to look for what can be forgotten.
    prune_at: usize,
}

impl EndMemory {
    pub(crate) fn new(seed: &Seed, devices_max: usize) -> Self {
        let max = devices_max.saturating_mul(REMEMBERED_PER_DEVICE);
        Self { earliest: seed.map(), max, prune_at: max }
    }

    /// Places an end on the boot clock, never later than before.
    pub(crate) fn place(&mut self, device: DeviceId, subject: Subject, end: Timestamp, arrival: Arrival) -> BootTime {
        let boot = arrival.place(end);
        if boot == BootTime::MAX {
            return boot;
        }
        if self.earliest.len() >= self.prune_at {
            self.earliest.retain(|_, held| held.after(FORGOTTEN_AFTER) > arrival.boot);
            // What is left is live or fresh; looking again at once would cost a walk for each end.
            self.prune_at = self.max.max(self.earliest.len().saturating_add(self.max / 8));
        }
        let held = self.earliest.entry((device, subject, end)).or_insert(boot);
        *held = boot.min(*held);
        *held
    }
}
