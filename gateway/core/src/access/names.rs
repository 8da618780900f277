//! The addresses of targets that are names, as the shell last resolved them.

use std::net::IpAddr;
use std::time::Duration;

use doorward_model::DnsName;

use super::rules::Rule;
use crate::hash::{Map, Seed};
use crate::{BootTime, Now};

/// Addresses kept for one name.
const ADDRESSES_MAX: usize = 16;
/// Names that the shell is asked for, at most: above the number of service addresses there are.
const WANTED_MAX: usize = 4_096;
/// How long an answer opens flows when no later one comes: a resolver may be down for that long. Longer, and an address
/// that its owner gave up long ago would still be reached.
const STALE_AFTER: Duration = Duration::from_secs(3_600);

#[derive(Debug, Default)]
struct Resolved {
    /// Rules that have it among their targets.
    rules: usize,
    addresses: Vec<IpAddr>,
    until: BootTime,
}

/// Every name that a held lease leads to. Its size is bounded by the leases.
pub(crate) struct Names {
    held: Map<DnsName, Resolved>,
    changed: bool,
}

impl Names {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { held: seed.map(), changed: false }
    }

    /// Notes that rules came into force.
    pub(crate) fn want(&mut self, rules: &[Rule]) {
        for name in names(rules) {
            match self.held.get_mut(name) {
                Some(held) => held.rules = held.rules.saturating_add(1),
                None => {
                    self.held.insert(name.clone(), Resolved { rules: 1, ..Resolved::default() });
                    self.changed = true;
                }
            }
        }
    }

    /// Notes that rules went; what no rule names is forgotten.
    pub(crate) fn release(&mut self, rules: &[Rule]) {
        for name in names(rules) {
            let Some(held) = self.held.get_mut(name) else { continue };
            held.rules = held.rules.saturating_sub(1);
            if held.rules == 0 {
                self.held.remove(name);
                self.changed = true;
            }
        }
    }

    /// Takes what a name resolved to, in place of what it did before; nobody's names are ignored.
    pub(crate) fn resolved(&mut self, name: &DnsName, mut addresses: Vec<IpAddr>, now: Now) {
        if let Some(held) = self.held.get_mut(name) {
            addresses.truncate(ADDRESSES_MAX);
            held.addresses = addresses.into_iter().map(|address| address.to_canonical()).collect();
            held.until = now.boot.after(STALE_AFTER);
        }
    }

    /// Returns the addresses that a flow may be opened to.
    pub(crate) fn addresses(&self, name: &DnsName, now: Now) -> &[IpAddr] {
        self.held.get(name).filter(|held| now.boot < held.until).map_or(&[], |held| &held.addresses)
    }

    /// Returns what is to be resolved, in order, if that changed since the last call.
    pub(crate) fn wanted(&mut self) -> Option<Vec<DnsName>> {
        if !std::mem::take(&mut self.changed) {
            return None;
        }
        let mut all: Vec<DnsName> = self.held.keys().cloned().collect();
        all.sort_unstable();
        all.truncate(WANTED_MAX);
        Some(all)
    }
}

fn names(rules: &[Rule]) -> impl Iterator<Item = &DnsName> {
    rules.iter().flat_map(|rule| &rule.targets).filter_map(|target| target.name())
}
