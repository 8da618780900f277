//! A fair share of unproven handshakes for each part of the internet.
//!
//! A client that is answered with a cookie comes back after five seconds (`REKEY_TIMEOUT`, WireGuard whitepaper, section
//! 6.1). So that a flood from one network does not make everybody else wait that long, no network may use up what is
//! answered without a cookie: a narrow one gets a quarter of it, a wide one half.

use std::net::IpAddr;

use super::bucket::{Bucket, Rate};
use crate::BootTime;
use crate::hash::{Map, Seed};

/// Buckets of each level. Two networks that fall into one share it, which costs the quieter a cookie and no more.
const BUCKETS: usize = 4_096;

/// How wide a network of each family is, in leading bits, and its share of all, as a divisor.
const LEVELS: [Level; 2] = [Level { v4: 16, v6: 48, share: 4 }, Level { v4: 8, v6: 32, share: 2 }];

#[derive(Debug, Clone, Copy)]
struct Level {
    v4: u32,
    v6: u32,
    share: u32,
}

/// The shares, in tables that never grow.
pub(crate) struct Neighbourhoods {
    tables: [Box<[Bucket]>; LEVELS.len()],
    hasher: Map<u8, ()>,
}

impl Neighbourhoods {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self { tables: std::array::from_fn(|_| vec![Bucket::default(); BUCKETS].into()), hasher: seed.map() }
    }

    /// Takes a handshake from the share of every network that the address lies in; `all` is what is shared.
    pub(crate) fn take(&mut self, from: IpAddr, now: BootTime, all: Rate) -> bool {
        let mut taken = true;
        for (level, table) in LEVELS.iter().zip(&mut self.tables) {
            let hash = self.hasher.hasher().hash_one(network(from, *level));
            let place = usize::try_from(hash % BUCKETS as u64).unwrap_or(0);
            let share = |number: u32| (number / level.share).max(1);
            let rate = Rate { per_second: share(all.per_second), burst: share(all.burst) };
            taken = taken && table.get_mut(place).is_some_and(|bucket| bucket.take(now, rate));
        }
        taken
    }
}

/// The leading bits of an address, marked with its family.
fn network(address: IpAddr, level: Level) -> (bool, u128) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (true, u128::from(v4.to_bits() >> (32 - level.v4))),
        IpAddr::V6(v6) => (false, v6.to_bits() >> (128 - level.v6)),
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;

    const ALL: Rate = Rate { per_second: 240, burst: 240 };

    /// How many of 10,000 handshakes of a second pass, from addresses that `address` numbers.
    fn passed(shares: &mut Neighbourhoods, address: impl Fn(u32) -> IpAddr) -> usize {
        let at = |number: u32| BootTime::from_micros(1_000_000_000 + u64::from(number) * 100);
        (0..10_000).filter(|number| shares.take(address(*number), at(*number), ALL)).count()
    }

    #[test]
    fn a_flood_from_a_network_leaves_the_others_their_share() {
        let mut shares = Neighbourhoods::new(&Seed::new([3; 32]));
        let narrow = |number: u32| IpAddr::from(Ipv4Addr::from_bits(0xc612_0000 | (number & 0xffff)));
        let count = passed(&mut shares, narrow);
        assert!((110..=125).contains(&count), "{count} of a /16: its burst of 60 and 60 a second");
        let wide =
            |number: u32| IpAddr::from(Ipv4Addr::from_bits(0x0b00_0000 | (number.wrapping_mul(7919) & 0x00ff_ffff)));
        let count = passed(&mut shares, wide);
        assert!((220..=250).contains(&count), "{count} of a /8: its burst of 120 and 120 a second");
        let v6 = |number: u32| IpAddr::from(Ipv6Addr::from_bits(0x2001_0db8_0001 << 80 | u128::from(number) << 64));
        let count = passed(&mut shares, v6);
        assert!((110..=125).contains(&count), "{count} of an IPv6 /48");
        let now = BootTime::from_micros(1_000_999_900);
        assert!(shares.take("198.51.100.7".parse().unwrap(), now, ALL), "somebody in a quiet network");
        assert!(shares.take("2a00::1".parse().unwrap(), now, ALL));
    }
}
