//! How much a stranger may ask for: requests of one source that may cost something, before anybody is known.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Requests that a source may send at once.
const BURST: f64 = 40.0;
/// Requests that it gets back each second.
const PER_SECOND: f64 = 1.0;
/// Sources remembered at most; when there are more, those that are quiet are forgotten, and then all.
const SOURCES_MAX: usize = 10_000;

/// A bucket of tokens for each source.
#[derive(Debug, Default)]
pub(crate) struct Visits {
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn filled(self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        (self.tokens + passed * PER_SECOND).min(BURST)
    }
}

impl Visits {
    /// Says whether one more request of this source is answered.
    pub(crate) fn admit(&self, source: IpAddr) -> bool {
        self.admit_at(source, Instant::now())
    }

    fn admit_at(&self, source: IpAddr, now: Instant) -> bool {
        let source = network(source);
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= SOURCES_MAX && !buckets.contains_key(&source) {
            buckets.retain(|_, bucket| bucket.filled(now) < BURST);
            if buckets.len() >= SOURCES_MAX {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(source).or_insert(Bucket { tokens: BURST, at: now });
        let tokens = bucket.filled(now);
        let admitted = tokens >= 1.0;
        *bucket = Bucket { tokens: if admitted { tokens - 1.0 } else { tokens }, at: now };
        admitted
    }

    /// How long an empty bucket takes to fill.
    #[cfg(test)]
    fn refill() -> std::time::Duration {
        std::time::Duration::from_secs_f64(BURST / PER_SECOND)
    }
}

/// One customer has a /64 of IPv6 at least.
fn network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((u128::from(address) & !u128::from(u64::MAX)).into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_has_a_burst_and_gets_it_back_with_time() {
        let (visits, now) = (Visits::default(), Instant::now());
        let source: IpAddr = "2001:db8::1".parse().unwrap();
        assert_eq!((0..60).filter(|_| visits.admit_at(source, now)).count(), 40);
        assert!(!visits.admit_at("2001:db8::2".parse().unwrap(), now), "the same network");
        assert!(visits.admit_at("2001:db8:1::2".parse().unwrap(), now));
        assert!(visits.admit_at(source, now + Duration::from_secs(1)));
        assert_eq!((0..60).filter(|_| visits.admit_at(source, now + Visits::refill() * 2)).count(), 40);
    }

    #[test]
    fn the_number_of_sources_is_bounded() {
        let (visits, now) = (Visits::default(), Instant::now());
        for n in 0..30_000_u32 {
            visits.admit_at(IpAddr::V4(n.into()), now);
        }
        assert!(visits.buckets.lock().unwrap().len() <= SOURCES_MAX);
    }
}
