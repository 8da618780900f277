//! Authority: the permission to go on enforcing what was last heard. It starts lost.

use std::time::Duration;

use crate::{BootTime, Now};

/// What changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Edge {
    Lost,
    Regained,
}

/// Until when the gateway may enforce.
#[derive(Debug)]
pub(crate) struct Authority {
    until: BootTime,
    ttl_max: Duration,
    /// What the last event said.
    announced: bool,
}

impl Authority {
    pub(crate) fn new(ttl_max: Duration) -> Self {
        Self { until: BootTime::from_micros(0), ttl_max, announced: false }
    }

    /// Says whether it lives: compared on each packet.
    pub(crate) fn lives(&self, now: Now) -> bool {
        now.boot < self.until
    }

    /// Extends it from the moment the echoed ping was written, whenever the answer came; never shortens it. An echo of
    /// the future is no echo.
    pub(crate) fn extend(&mut self, echo: BootTime, ttl: Duration, now: Now) {
        if echo <= now.boot {
            self.until = self.until.max(echo.after(ttl.min(self.ttl_max)));
        }
    }

    /// Returns what has changed since the last call.
    pub(crate) fn edge(&mut self, now: Now) -> Option<Edge> {
        let lives = self.lives(now);
        if lives == std::mem::replace(&mut self.announced, lives) {
            return None;
        }
        Some(if lives { Edge::Regained } else { Edge::Lost })
    }

    /// Its end, while it lives as far as was announced.
    pub(crate) fn until(&self) -> Option<BootTime> {
        self.announced.then_some(self.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u64) -> Now {
        Now { boot: BootTime::from_micros(second * 1_000_000), wall: doorward_model::Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn authority_counts_from_the_ping_and_a_replay_gives_nothing() {
        let ttl = Duration::from_secs(30);
        let mut authority = Authority::new(ttl);
        assert!(!authority.lives(at(0)));
        authority.extend(at(100).boot, Duration::from_secs(3_600), at(120));
        assert!(authority.lives(at(129)) && !authority.lives(at(130)));
        authority.extend(at(100).boot, ttl, at(140));
        assert!(!authority.lives(at(140)));
        authority.extend(at(1_000).boot, ttl, at(141));
        assert!(!authority.lives(at(141)), "an echo of the future");
        authority.extend(at(135).boot, ttl, at(141));
        authority.extend(at(110).boot, ttl, at(141));
        assert!(authority.lives(at(164)) && !authority.lives(at(165)));
    }
}
