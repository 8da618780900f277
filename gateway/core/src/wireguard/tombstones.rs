//! Keys that ended and are still recognised, so that they can be refused by name. Bounded; the oldest go first.

use std::collections::VecDeque;

use doorward_model::{PublicKey, Tombstone};

use crate::hash::{Map, Seed};

/// The tombstones, by key.
pub(crate) struct Tombstones {
    by_key: Map<PublicKey, (u64, Tombstone)>,
    /// In the order of writing; an entry whose number differs from the map's was replaced.
    order: VecDeque<(u64, PublicKey)>,
    written: u64,
    max: usize,
}

impl Tombstones {
    pub(crate) fn new(seed: &Seed, max: usize) -> Self {
        Self { by_key: seed.map(), order: VecDeque::new(), written: 0, max: max.max(1) }
    }

    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Writes a tombstone, in place of an older one of the same key.
    pub(crate) fn write(&mut self, tombstone: Tombstone) {
        if self.by_key.get(&tombstone.public_key).is_some_and(|(_, held)| *held == tombstone) {
            return;
        }
        self.written = self.written.wrapping_add(1);
        self.order.push_back((self.written, tombstone.public_key));
        self.by_key.insert(tombstone.public_key, (self.written, tombstone));
        while self.by_key.len() > self.max || self.order.len() > self.max.saturating_mul(2) {
            let Some((number, key)) = self.order.pop_front() else { return };
            if self.by_key.get(&key).is_some_and(|(held, _)| *held == number) {
                self.by_key.remove(&key);
            }
        }
    }

    /// Forgets a key that has a lease again.
    pub(crate) fn forget(&mut self, key: &PublicKey) {
        self.by_key.remove(key);
    }

    pub(crate) fn get(&self, key: &PublicKey) -> Option<&Tombstone> {
        self.by_key.get(key).map(|(_, tombstone)| tombstone)
    }
}
