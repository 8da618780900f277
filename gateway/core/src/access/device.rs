//! The devices that have a lease: what the lease says, placed on two clocks, and their tunnels.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use doorward_model::{DeviceId, DeviceName, Email, PresharedKey, PublicKey, ResourceName};
use ipnet::IpNet;

use super::deadlines::Ends;
use super::routes::Routes;
use super::rules::{Rule, Rules};
use crate::clock::{Instants, Window};
use crate::hash::{Map, Seed};
use crate::wireguard::bucket::Bucket;
use crate::wireguard::noise::Tunnel;
use crate::wireguard::peer::Peer;
use crate::{BootTime, Now, PeerStatus};

/// What the feed said about a device.
pub(crate) struct Leased {
    pub(crate) id: DeviceId,
    pub(crate) name: DeviceName,
    pub(crate) email: Email,
    pub(crate) public_key: PublicKey,
    pub(crate) preshared_key: Option<PresharedKey>,
    pub(crate) address_v4: Ipv4Addr,
    pub(crate) address_v6: Ipv6Addr,
    pub(crate) window: Window,
    /// The end of the sign-in window, where one is asked for.
    pub(crate) sign_in_until: Option<Instants>,
    pub(crate) rules: Rules,
}

impl Leased {
    /// Says whether an inner address is this device's. The plan of a message sees to it that no two devices share one,
    /// so this is the whole longest-prefix lookup (see [`super::routes`]).
    pub(crate) fn has_address(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4 == self.address_v4,
            IpAddr::V6(v6) => v6 == self.address_v6,
        }
    }

    /// Names the resource that has a service address, as far as this device knows of it, granted at this moment or not.
    pub(crate) fn resource_at(&self, address: IpAddr) -> Option<&ResourceName> {
        let is_there = |rule: &&Rule| rule.service.is_some_and(|service| service.is(address));
        self.rules.toward(address).find(is_there).map(|rule| &rule.resource)
    }

    pub(crate) fn addresses(&self) -> [IpAddr; 2] {
        [IpAddr::V4(self.address_v4), IpAddr::V6(self.address_v6)]
    }

    /// The next end, on each clock, of anything that has not ended.
    pub(crate) fn next_ends(&self, now: Now) -> Ends {
        let mut ends = Ends::default();
        let rules = self.rules.iter().map(|rule| rule.window.end);
        for end in rules.chain([self.window.end]).chain(self.sign_in_until).filter(|end| !end.reached(now)) {
            ends.add(end);
        }
        ends
    }
}

/// A device and its surroundings.
pub(crate) struct Device<T> {
    pub(crate) leased: Leased,
    /// Passes during a lockdown.
    pub(crate) exempt: bool,
    /// Made when a handshake asks for it: 11 KB.
    pub(crate) peer: Option<Box<Peer<T>>>,
    /// When a packet of it was forwarded last, either way.
    pub(crate) last_forwarded: Option<BootTime>,
    /// Handshakes it may ask for.
    pub(crate) handshakes: Bucket,
    /// Refusals it is told about.
    pub(crate) refusals: Bucket,
    /// The place of the flow that its last packet belonged to: most packets belong to the same one.
    pub(crate) recent_flow: u32,
}

impl<T> Device<T> {
    /// What it looks like from outside.
    pub(crate) fn status(&self) -> PeerStatus
    where
        T: Tunnel,
    {
        let (leased, peer) = (&self.leased, self.peer.as_deref());
        let (rx_bytes, tx_bytes) = peer.map_or((0, 0), |peer| peer.bytes());
        PeerStatus {
            device: leased.id,
            public_key: leased.public_key,
            has_preshared_key: leased.preshared_key.is_some(),
            endpoint: peer.and_then(|peer| peer.endpoint()).map(|(endpoint, _)| endpoint),
            last_handshake: peer.and_then(|peer| peer.last_handshake()),
            rx_bytes,
            tx_bytes,
            allowed_ips: leased.addresses().map(IpNet::from),
        }
    }
}

/// Every device, by place, id, key and address.
pub(crate) struct DeviceTable<T> {
    slots: Vec<Option<Box<Device<T>>>>,
    free: Vec<u32>,
    by_id: Map<DeviceId, u32>,
    by_key: Map<PublicKey, u32>,
    routes: Routes,
}

impl<T> DeviceTable<T> {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { slots: Vec::new(), free: Vec::new(), by_id: seed.map(), by_key: seed.map(), routes: Routes::new(seed) }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Device<T>)> {
        (0_u32..).zip(&self.slots).filter_map(|(at, slot)| Some((at, slot.as_deref()?)))
    }

    pub(crate) fn places(&self) -> Vec<u32> {
        self.iter().map(|(at, _)| at).collect()
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Device<T>> {
        self.slots.get(usize::try_from(at).ok()?)?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Device<T>> {
        self.slots.get_mut(usize::try_from(at).ok()?)?.as_deref_mut()
    }

    pub(crate) fn by_id(&self, id: DeviceId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn by_key(&self, key: &PublicKey) -> Option<u32> {
        self.by_key.get(key).copied()
    }

    /// Returns the device that has an inner address.
    pub(crate) fn by_address(&self, address: IpAddr) -> Option<u32> {
        self.routes.lookup(address)
    }

    /// Takes a device's key and addresses out of the tables, before it or another one gets them.
    pub(crate) fn unroute(&mut self, at: u32) {
        let Some(leased) = self.get(at).map(|device| &device.leased) else { return };
        let (key, addresses) = (leased.public_key, leased.addresses());
        for address in addresses {
            self.routes.remove(address, at);
        }
        if self.by_key.get(&key) == Some(&at) {
            self.by_key.remove(&key);
        }
    }

    /// Makes a device's key and addresses lead to it.
    pub(crate) fn route(&mut self, at: u32) {
        let Some(leased) = self.get(at).map(|device| &device.leased) else { return };
        let (key, addresses) = (leased.public_key, leased.addresses());
        for address in addresses {
            self.routes.insert(address, at);
        }
        self.by_key.insert(key, at);
    }

    /// Takes a device in; [`DeviceTable::route`] makes it reachable.
    pub(crate) fn insert(&mut self, leased: Leased, exempt: bool) -> Option<u32> {
        let id = leased.id;
        let device = Box::new(Device {
            leased,
            exempt,
            peer: None,
            last_forwarded: None,
            handshakes: Bucket::default(),
            refusals: Bucket::default(),
            recent_flow: u32::MAX,
        });
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.slots.len()).ok()?;
                self.slots.push(None);
                at
            }
        };
        *self.slots.get_mut(usize::try_from(at).ok()?)? = Some(device);
        self.by_id.insert(id, at);
        Some(at)
    }

    /// Removes a device; its tunnel and keys go with it.
    pub(crate) fn remove(&mut self, at: u32) -> Option<Box<Device<T>>> {
        self.unroute(at);
        let device = self.slots.get_mut(usize::try_from(at).ok()?)?.take()?;
        self.by_id.remove(&device.leased.id);
        self.free.push(at);
        Some(device)
    }
}
