//! The global route table: which device has an inner address.
//!
//! People's devices have a /32 and a /128 and nothing else, so the longest prefix that covers an address is the address
//! itself, and exact maps are the whole longest-prefix lookup.

use std::net::IpAddr;

use crate::hash::{Map, Seed};

/// Devices' places by address.
pub(crate) struct Routes(Map<IpAddr, u32>);

impl Routes {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self(seed.map())
    }

    /// Returns the device that has the address.
    pub(crate) fn lookup(&self, address: IpAddr) -> Option<u32> {
        self.0.get(&address).copied()
    }

    pub(crate) fn insert(&mut self, address: IpAddr, device: u32) {
        self.0.insert(address, device);
    }

    /// Removes the address, if that device has it.
    pub(crate) fn remove(&mut self, address: IpAddr, device: u32) {
        if self.lookup(address) == Some(device) {
            self.0.remove(&address);
        }
    }
}
