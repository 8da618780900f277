//! Hash tables whose keys an attacker may choose: hashed with keys from [`crate::CoreConfig::seed`].

use std::collections::{HashMap, HashSet};

use ahash::RandomState;

/// A keyed hash map.
pub(crate) type Map<K, V> = HashMap<K, V, RandomState>;
/// A keyed hash set.
pub(crate) type Set<K> = HashSet<K, RandomState>;

/// Where every table's hash keys, and every choice that looks random, come from.
#[derive(Clone)]
pub(crate) struct Seed {
    state: RandomState,
    drawn: u64,
}

impl Seed {
    /// Takes fresh random bytes.
    pub(crate) fn new(bytes: [u8; 32]) -> Self {
        let mut words = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut word = || words.next().unwrap_or(0);
        Self { state: RandomState::with_seeds(word(), word(), word(), word()), drawn: 0 }
    }

    /// Makes an empty map.
    pub(crate) fn map<K, V>(&self) -> Map<K, V> {
        HashMap::with_hasher(self.state.clone())
    }

    /// Makes an empty set.
    pub(crate) fn set<K>(&self) -> Set<K> {
        HashSet::with_hasher(self.state.clone())
    }

    /// Draws a number that nobody without the seed can foretell from the numbers before.
    pub(crate) fn draw(&mut self) -> u64 {
        self.drawn = self.drawn.wrapping_add(1);
        self.state.hash_one(self.drawn)
    }
}
