//! The devices of the other cores, as far as every core must know them: where initiations go, and what a lease may not
//! claim. All cores see the same contradictions, and so all let the same devices go.

use std::net::{Ipv4Addr, Ipv6Addr};

use doorward_model::{DeviceId, Lease, PublicKey};

use crate::hash::{Map, Seed};

/// What one device of another core claims.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Claims {
    key: PublicKey,
    v4: Ipv4Addr,
    v6: Ipv6Addr,
    owner: u16,
}

impl Claims {
    pub(crate) fn of(lease: &Lease, owner: u16) -> Self {
        Self { key: lease.public_key, v4: lease.address_v4, v6: lease.address_v6, owner }
    }

    pub(crate) fn key(&self) -> &PublicKey {
        &self.key
    }
}

/// Devices that other cores own, by id, key and address.
pub(crate) struct Elsewhere {
    devices: Map<DeviceId, Claims>,
    by_key: Map<PublicKey, DeviceId>,
    by_v4: Map<Ipv4Addr, DeviceId>,
    by_v6: Map<Ipv6Addr, DeviceId>,
}

impl Elsewhere {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { devices: seed.map(), by_key: seed.map(), by_v4: seed.map(), by_v6: seed.map() }
    }

    pub(crate) fn len(&self) -> usize {
        self.devices.len()
    }

    /// Returns the number of the core that owns a key.
    pub(crate) fn owner(&self, key: &PublicKey) -> Option<u16> {
        self.devices.get(self.by_key.get(key)?).map(|claims| claims.owner)
    }

    /// Returns the devices that have the lease's key or an address of it.
    pub(crate) fn holders(&self, lease: &Lease) -> impl Iterator<Item = DeviceId> {
        let by_key = self.by_key.get(&lease.public_key);
        let by_address = [self.by_v4.get(&lease.address_v4), self.by_v6.get(&lease.address_v6)];
        by_key.into_iter().chain(by_address.into_iter().flatten()).copied()
    }

    /// Notes a device, in place of what was known of it.
    pub(crate) fn note(&mut self, device: DeviceId, claims: Claims) {
        self.forget(device);
        self.by_key.insert(claims.key, device);
        self.by_v4.insert(claims.v4, device);
        self.by_v6.insert(claims.v6, device);
        self.devices.insert(device, claims);
    }

    /// Forgets a device. What it claimed may be another's by then, where two have traded.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        let Some(Claims { key, v4, v6, .. }) = self.devices.remove(&device) else { return };
        if self.by_key.get(&key) == Some(&device) {
            self.by_key.remove(&key);
        }
        if self.by_v4.get(&v4) == Some(&device) {
            self.by_v4.remove(&v4);
        }
        if self.by_v6.get(&v6) == Some(&device) {
            self.by_v6.remove(&v6);
        }
    }

    pub(crate) fn clear(&mut self) {
        self.devices.clear();
        self.by_key.clear();
        self.by_v4.clear();
        self.by_v6.clear();
    }
}
