//! Which handshakes are worth their 200 µs: mac1 first, then either there is room, or the sender proves its address
//! with a cookie (WireGuard whitepaper, section 5.3), and then only so many from one place.
//!
//! Who spoofs a victim's address empties the victim's unproven bucket alone: the victim answers a cookie and passes.

use std::net::{IpAddr, SocketAddr};

use super::bucket::{Bucket, Rate};
use super::neighbourhood::Neighbourhoods;
use super::noise::{Noise, Proof};
use crate::BootTime;
use crate::counters::DropReason;
use crate::hash::{Map, Seed};

/// Handshakes of one IPv4 address or one IPv6 /64: what the kernel's implementation allows.
const PER_SOURCE: Rate = Rate { per_second: 20, burst: 5 };
/// Sources remembered; beyond it every handshake needs a cookie.
const SOURCES_MAX: usize = 16_384;

#[derive(Debug, Default)]
struct Source {
    unproven: Bucket,
    proven: Bucket,
}

/// Length of mac1 and mac2 (whitepaper, section 5.4.4).
const MAC_LEN: usize = 16;

/// What to do with a handshake message.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    Yes,
    /// Not in a hurry: its sender has not proved its address, and there is too much to do to answer everybody.
    Unproven,
    No(DropReason),
}

/// The front limiter.
pub(crate) struct Admission {
    all: Bucket,
    rate: Rate,
    sources: Map<u128, Source>,
    shares: Neighbourhoods,
}

impl Admission {
    pub(crate) fn new(seed: &Seed, per_second: u32) -> Self {
        let per_second = per_second.max(1);
        let rate = Rate { per_second, burst: per_second };
        Self { all: Bucket::default(), rate, sources: seed.map(), shares: Neighbourhoods::new(seed) }
    }

    /// Decides on a handshake initiation or response.
    pub(crate) fn admit(&mut self, noise: &impl Noise, now: BootTime, from: SocketAddr, datagram: &[u8]) -> Admitted {
        if !noise.mac_is_right(datagram) {
            return Admitted::No(DropReason::Mac);
        }
        if self.sources.len() >= SOURCES_MAX {
            self.sources.retain(|_, source| {
                !source.unproven.is_full(now, PER_SOURCE) || !source.proven.is_full(now, PER_SOURCE)
            });
        }
        let place = place(from.ip());
        let room = self.sources.len() < SOURCES_MAX || self.sources.contains_key(&place);
        if room {
            let source = self.sources.entry(place).or_default();
            let fair = source.unproven.take(now, PER_SOURCE) && self.shares.take(from.ip(), now, self.rate);
            if fair && self.all.take(now, self.rate) {
                return Admitted::Yes;
            }
        }
        // Without mac2 there is no cookie to look at; making one is left until it is asked for.
        if datagram.last_chunk::<MAC_LEN>().is_none_or(|mac2| *mac2 == [0; MAC_LEN]) {
            return Admitted::Unproven;
        }
        match noise.prove(from, datagram) {
            Proof::Proven if !room => Admitted::Yes,
            Proof::Proven => {
                let proven = &mut self.sources.entry(place).or_default().proven;
                if proven.take(now, PER_SOURCE) { Admitted::Yes } else { Admitted::No(DropReason::RateLimited) }
            }
            Proof::Cookie(_) => Admitted::Unproven,
            Proof::Refused => Admitted::No(DropReason::Mac),
        }
    }
}

/// An IPv4 address, or the /64 that one subscriber has.
fn place(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}
