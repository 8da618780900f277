//! What names resolve to, as far as anybody may go there.

use std::net::IpAddr;

use doorward_model::{DeviceId, DnsName};

use super::leases::Held;
use super::time::Moment;

/// How long an answer serves without another one.
const SERVES: u64 = 3_600_000_000;
/// Addresses of one name that count.
const ADDRESSES_MAX: usize = 16;

/// What one name resolved to last.
#[derive(Debug)]
struct Known {
    name: DnsName,
    addresses: Vec<IpAddr>,
    until: u64,
    /// Who had a rule with the name then, and has had it since. Another device's core may not have been told.
    sure_for: Vec<(DeviceId, [IpAddr; 2])>,
}

/// All names that somebody's rules lead to.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<Known>);

impl Names {
    /// A name was resolved; one that leads nobody anywhere is not remembered.
    pub(super) fn resolved(&mut self, now: Moment, name: &DnsName, addresses: &[IpAddr], leases: &[Held]) {
        self.0.retain(|known| known.name != *name);
        let leads = leases.iter().filter(|held| held.mentions(name));
        let sure_for: Vec<_> = leads.map(|held| (held.lease.device, held.addresses())).collect();
        if sure_for.is_empty() {
            return;
        }
        let addresses = addresses.iter().take(ADDRESSES_MAX).map(IpAddr::to_canonical).collect();
        self.0.push(Known { name: name.clone(), addresses, until: now.boot.saturating_add(SERVES), sure_for });
    }

    /// A name is forgotten with the last rule that leads there.
    pub(super) fn settle(&mut self, leases: &[Held]) {
        self.0.retain(|known| leases.iter().any(|held| held.mentions(&known.name)));
        for known in &mut self.0 {
            let Known { name, sure_for, .. } = known;
            sure_for.retain(|(device, addresses)| {
                let mut same = leases.iter().filter(|held| held.lease.device == *device);
                same.any(|held| held.mentions(name) && held.addresses() == *addresses)
            });
        }
    }

    /// Its addresses at this moment, and whether that device's flows surely may use them.
    pub(super) fn of(&self, name: &DnsName, device: DeviceId, now: Moment) -> (&[IpAddr], bool) {
        let known = self.0.iter().find(|known| known.name == *name && now.boot < known.until);
        known.map_or((&[], true), |known| (&known.addresses, known.sure_for.iter().any(|(sure, _)| *sure == device)))
    }
}
