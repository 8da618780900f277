//! How much a directory may ask for, by its token.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use doorward_domain::TokenHash;

/// Requests that a token may send at once: a first synchronisation sends many.
const BURST: f64 = 1_000.0;
/// Requests that it gets back each second; identity providers ask for 25 at least.
const PER_SECOND: f64 = 50.0;
/// Tokens remembered at most; those that count are few, and no other comes this far.
const TOKENS_MAX: usize = 1_000;

/// A bucket for each token.
#[derive(Debug, Default)]
pub(crate) struct SourceRate {
    buckets: Mutex<HashMap<TokenHash, (f64, Instant)>>,
}

impl SourceRate {
    /// Says whether one more request with this token is answered.
    pub(super) fn admit(&self, token: TokenHash) -> bool {
        self.admit_at(token, Instant::now())
    }

    fn admit_at(&self, token: TokenHash, now: Instant) -> bool {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= TOKENS_MAX {
            buckets.clear();
        }
        let (left, at) = buckets.get(&token).copied().unwrap_or((BURST, now));
        let left = (left + now.saturating_duration_since(at).as_secs_f64() * PER_SECOND).min(BURST);
        let admitted = left >= 1.0;
        buckets.insert(token, (if admitted { left - 1.0 } else { left }, now));
        admitted
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_token_has_a_burst_and_gets_it_back() {
        let (rate, now) = (SourceRate::default(), Instant::now());
        let (one, other) = (TokenHash::of(b"one"), TokenHash::of(b"other"));
        assert_eq!((0..1_100).filter(|_| rate.admit_at(one, now)).count(), 1_000);
        assert!(rate.admit_at(other, now));
        let later = now + Duration::from_secs(1);
        assert_eq!((0..400).filter(|_| rate.admit_at(one, later)).count(), 50);
    }
}
