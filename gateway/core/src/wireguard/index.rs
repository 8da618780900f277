//! Receiver indices: random, 24 bits, and rested before they come back, so that a datagram for a tunnel that ended can
//! never reach another (boringtun takes 24 bits and adds 8 for the session).

use std::collections::VecDeque;
use std::collections::hash_map::Entry;
use std::time::Duration;

use crate::BootTime;
use crate::Share;
use crate::hash::{Map, Seed};

/// How long an index rests: three times `REJECT_AFTER_TIME`, after which no key of its sessions exists anywhere.
const REST: Duration = Duration::from_secs(3 * 180);
/// Draws before giving up; with 100,000 tunnels each fails once in 160.
const DRAWS_MAX: usize = 64;

/// Who has which index.
pub(crate) struct IndexTable {
    /// The device's place, or `None` while the index rests.
    owners: Map<u32, Option<u32>>,
    resting: VecDeque<(BootTime, u32)>,
    share: Share,
}

impl IndexTable {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { owners: seed.map(), resting: VecDeque::new(), share: Share::WHOLE }
    }

    /// Gives out the indices of one core alone.
    pub(crate) fn limit_to(&mut self, share: Share) {
        self.share = share;
    }

    /// Gives the device an index; `None` when no free one was found.
    pub(crate) fn claim(&mut self, seed: &mut Seed, device: u32, now: BootTime) -> Option<u32> {
        while let Some((_, index)) = self.resting.front().copied().filter(|(until, _)| *until <= now) {
            self.resting.pop_front();
            self.owners.remove(&index);
        }
        for _ in 0..DRAWS_MAX {
            let index = self.share.brand(u32::try_from(seed.draw() & 0x00ff_ffff).unwrap_or(0));
            if let Entry::Vacant(free) = self.owners.entry(index) {
                free.insert(Some(device));
                return Some(index);
            }
        }
        None
    }

    /// Takes an index back and lets it rest.
    pub(crate) fn release(&mut self, index: u32, now: BootTime) {
        if let Some(owner) = self.owners.get_mut(&index) {
            *owner = None;
            self.resting.push_back((now.after(REST), index));
        }
    }

    /// Takes an index back that nobody outside has seen; it need not rest.
    pub(crate) fn abandon(&mut self, index: u32) {
        self.owners.remove(&index);
    }

    /// Returns the device that has it.
    pub(crate) fn owner(&self, index: u32) -> Option<u32> {
        self.owners.get(&index).copied().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_released_index_reaches_nobody_until_it_has_rested() {
        let mut seed = Seed::new([7; 32]);
        let mut table = IndexTable::new(&seed);
        let index = table.claim(&mut seed, 3, BootTime::from_micros(0)).unwrap();
        assert!(index < 1 << 24);
        assert_eq!(table.owner(index), Some(3));
        table.release(index, BootTime::from_micros(0));
        assert_eq!(table.owner(index), None);
        let _ = table.claim(&mut seed, 4, BootTime::from_micros(539_000_000)).unwrap();
        assert!(table.owners.contains_key(&index), "rests");
        let _ = table.claim(&mut seed, 5, BootTime::from_micros(541_000_000)).unwrap();
        assert!(!table.owners.contains_key(&index), "rested");
    }
}
