//! Where choices come from: a seed, or the bytes of a fuzzer.

/// Gives numbers.
pub trait Source {
    /// Returns the next number.
    fn number(&mut self) -> u64;

    /// Returns a number below `bound`, 0 for a bound of 0.
    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.number() % u64::from(bound.max(1))).unwrap_or(0)
    }

    /// Returns one of the values; a value that stands there twice comes twice as often.
    fn pick(&mut self, values: &[i32]) -> i32 {
        let at = self.below(u32::try_from(values.len()).unwrap_or(u32::MAX));
        usize::try_from(at).ok().and_then(|at| values.get(at)).copied().unwrap_or(0)
    }
}

/// A generator from a seed: SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub struct Seeded(u64);

impl Seeded {
    /// Begins at a seed; the schedule's number keeps the schedules of one seed apart.
    #[must_use]
    pub fn new(seed: u64, schedule: u64) -> Self {
        Self(mix(&[seed, schedule]))
    }
}

impl Source for Seeded {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        finish(self.0)
    }
}

/// Bytes, one a choice; after the last all choices are 0.
#[derive(Debug)]
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// Says whether there are bytes left.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.0.is_empty()
    }
}

impl Source for Bytes<'_> {
    fn number(&mut self) -> u64 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                u64::from(*first)
            }
            None => 0,
        }
    }
}

const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

fn finish(mut word: u64) -> u64 {
    word = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ word >> 31
}

/// Mixes words into one. It stands for every keyed function of the plain Noise; nobody attacks it.
#[must_use]
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(GAMMA, |state, word| finish(state ^ word).wrapping_add(GAMMA))
}

/// Mixes bytes into one word.
#[must_use]
pub fn mix_bytes(bytes: &[u8]) -> u64 {
    let length = u64::try_from(bytes.len()).unwrap_or(0);
    bytes.chunks(8).fold(length, |state, chunk| {
        let mut word = [0; 8];
        word.iter_mut().zip(chunk).for_each(|(to, from)| *to = *from);
        finish(state ^ u64::from_le_bytes(word)).wrapping_add(GAMMA)
    })
}
