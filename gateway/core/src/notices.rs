//! Notices for people, at most one per device and subject in ten seconds, with a count.

use std::time::Duration;

use doorward_model::{DeviceId, GatewayEvent, GatewayEventKind, Timestamp};

use crate::Now;
use crate::hash::{Map, Seed};

/// How far apart two notices of one device and subject are.
const APART: Duration = Duration::from_secs(10);
/// Devices and subjects remembered at once; beyond it notices are dropped and counted.
const SUBJECTS_MAX: usize = 8_192;

/// What a notice is about; the number tells reasons of one kind apart.
pub(crate) type Subject = (Option<DeviceId>, GatewayEventKind, u8);

#[derive(Debug)]
struct Said {
    at: Now,
    suppressed: u64,
    /// When it would have been said last: who acts on it must not take it for what came later.
    suppressed_at: Timestamp,
    /// What was said, to be said again with a count. `None` until [`Notices::remember`].
    last: Option<GatewayEvent>,
}

/// The limiter.
pub(crate) struct Notices {
    said: Map<Subject, Said>,
    /// Notices that were neither said nor counted.
    pub(crate) dropped: u64,
}

impl Notices {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { said: seed.map(), dropped: 0 }
    }

    /// Returns the count to say a notice with, or `None` when it is too soon; then it is counted.
    pub(crate) fn admit(&mut self, subject: Subject, now: Now) -> Option<u64> {
        if let Some(said) = self.said.get_mut(&subject) {
            if now.boot.since(said.at.boot) < APART {
                said.suppressed = said.suppressed.saturating_add(1);
                said.suppressed_at = now.wall;
                return None;
            }
            let count = said.suppressed.saturating_add(1);
            *said = Said { at: now, suppressed: 0, suppressed_at: now.wall, last: None };
            return Some(count);
        }
        if self.said.len() >= SUBJECTS_MAX {
            self.dropped = self.dropped.saturating_add(1);
            return None;
        }
        self.said.insert(subject, Said { at: now, suppressed: 0, suppressed_at: now.wall, last: None });
        Some(1)
    }

    /// Remembers what was said, so that what is suppressed afterwards can be told with its words.
    pub(crate) fn remember(&mut self, subject: Subject, event: &GatewayEvent) {
        if let Some(said) = self.said.get_mut(&subject) {
            said.last = Some(event.clone());
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.said.is_empty()
    }

    /// Forgets subjects that were quiet, and returns what was suppressed and is due.
    pub(crate) fn flush(&mut self, now: Now) -> Vec<GatewayEvent> {
        let mut due = Vec::new();
        self.said.retain(|_, said| {
            if now.boot.since(said.at.boot) < APART {
                return true;
            }
            let Some(last) = said.last.as_ref().filter(|_| said.suppressed > 0) else { return false };
            due.push(GatewayEvent { at: said.suppressed_at, count: said.suppressed, ..last.clone() });
            (said.at, said.suppressed) = (now, 0);
            true
        });
        due
    }
}
