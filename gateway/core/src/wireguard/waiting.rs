//! Initiations that wait for a quiet moment, the fairest first.
//!
//! Who is answered with a cookie comes back after five seconds (`REKEY_TIMEOUT`, WireGuard whitepaper, section 6.1), which
//! a person notices. So what there is no hurried answer for waits here and is answered while no packet does. When the
//! room is full the one whose address and networks have asked most gives up its place, and gets the cookie: a flood from
//! anywhere pushes out itself before it pushes out anybody else.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::bucket::{Bucket, Rate};
use super::message::INITIATION_LEN;
use crate::hash::{Map, Seed};
use crate::{BootTime, Via};

/// Places: 25 KB. Each is looked at when one is to be taken, which takes half a microsecond.
const PLACES: usize = 128;
/// How long one waits at most; then a cookie is the better answer.
const WAIT_MAX: Duration = Duration::from_millis(500);
/// How many are answered in quiet moments: 1,000 a second, at 45 µs for a stranger a twentieth of a processor. It need not
/// be more, for the fairest go first.
const QUIET: Rate = Rate { per_second: 1_000, burst: 20 };
/// How many are answered although packets wait: a gateway that is busy for long leaves nobody outside, and spends a fiftieth
/// of a processor on it. The fairest go first here too, so who comes from no crowd waits for the next one of these.
const HURRIED: Rate = Rate { per_second: 100, burst: 4 };
/// Counters of each level. Two networks that fall into one share it.
const COUNTERS: usize = 4_096;
/// Counts are halved so often: what was long ago weighs little.
const HALVED_EVERY: Duration = Duration::from_secs(1);
/// Leading bits of the networks that are counted, for IPv4 and IPv6: an address or a subscriber, his street, his provider.
const LEVELS: [(u32, u32); 4] = [(32, 64), (24, 56), (16, 48), (8, 32)];

/// An initiation that waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) from: SocketAddr,
    pub(crate) via: Via,
    pub(crate) datagram: [u8; INITIATION_LEN],
    since: BootTime,
    /// Where its networks are counted.
    counters: [usize; LEVELS.len()],
}

/// The room.
pub(crate) struct WaitingRoom {
    waiting: Vec<Waiting>,
    /// Arrivals of late, by level.
    counts: [Box<[u32]>; LEVELS.len()],
    halved_at: BootTime,
    quiet: Bucket,
    hurried: Bucket,
    hasher: Map<u8, ()>,
}

impl WaitingRoom {
    pub(crate) fn new(seed: &Seed) -> Self {
        Self {
            waiting: Vec::new(),
            counts: std::array::from_fn(|_| vec![0; COUNTERS].into()),
            halved_at: BootTime::default(),
            quiet: Bucket::default(),
            hurried: Bucket::default(),
            hasher: seed.map(),
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives an initiation a place; returns who lost his, perhaps the same one.
    pub(crate) fn enter(
        &mut self,
        now: BootTime,
        (from, via): (SocketAddr, Via),
        datagram: [u8; INITIATION_LEN],
    ) -> Option<Waiting> {
        let counters = self.count(from.ip(), now);
        self.waiting.push(Waiting { from, via, datagram, since: now, counters });
        if self.waiting.len() <= PLACES {
            return None;
        }
        let all = self.waiting.iter().enumerate();
        let (worst, _) = all.max_by_key(|(_, waiting)| self.asked(waiting))?;
        Some(self.waiting.swap_remove(worst))
    }

    /// Takes the next one to answer in a quiet moment, if their budget has room.
    pub(crate) fn next(&mut self, now: BootTime) -> Option<Waiting> {
        let best = self.fairest()?;
        self.quiet.take(now, QUIET).then(|| self.waiting.swap_remove(best))
    }

    /// Takes the next one to answer although there is no quiet moment.
    pub(crate) fn next_hurried(&mut self, now: BootTime) -> Option<Waiting> {
        let best = self.fairest()?;
        self.hurried.take(now, HURRIED).then(|| self.waiting.swap_remove(best))
    }

    /// Returns when the next one may be answered in a quiet moment; `None` when nobody waits.
    pub(crate) fn next_at(&self, now: BootTime) -> Option<BootTime> {
        (!self.is_empty()).then(|| self.quiet.next_at(now, QUIET))
    }

    /// Returns when the next one is answered at the latest; `None` when nobody waits.
    pub(crate) fn next_hurried_at(&self, now: BootTime) -> Option<BootTime> {
        (!self.is_empty()).then(|| self.hurried.next_at(now, HURRIED))
    }

    /// The place of the one whose networks asked least, of those the one who came first.
    fn fairest(&self) -> Option<usize> {
        let all = self.waiting.iter().enumerate();
        all.min_by_key(|(_, waiting)| (self.asked(waiting), waiting.since)).map(|(place, _)| place)
    }

    /// Takes out one that waited too long.
    pub(crate) fn overdue(&mut self, now: BootTime) -> Option<Waiting> {
        let at = self.waiting.iter().position(|waiting| now.since(waiting.since) >= WAIT_MAX)?;
        Some(self.waiting.swap_remove(at))
    }

    /// How much the networks of somebody who waits asked of late.
    fn asked(&self, waiting: &Waiting) -> u64 {
        let counts = self.counts.iter().zip(waiting.counters);
        counts.filter_map(|(level, at)| level.get(at)).fold(0, |sum, count| sum.saturating_add(u64::from(*count)))
    }

    /// Counts an arrival at each level, and says where.
    fn count(&mut self, from: IpAddr, now: BootTime) -> [usize; LEVELS.len()] {
        if now.since(self.halved_at) >= HALVED_EVERY {
            self.halved_at = now;
            self.counts.iter_mut().flat_map(|level| level.iter_mut()).for_each(|count| *count /= 2);
        }
        let places = LEVELS.map(|(v4, v6)| {
            let network = match from.to_canonical() {
                IpAddr::V4(address) => (true, u128::from(address.to_bits()) >> (32 - v4)),
                IpAddr::V6(address) => (false, address.to_bits() >> (128 - v6)),
            };
            usize::try_from(self.hasher.hasher().hash_one(network) % COUNTERS as u64).unwrap_or(0)
        });
        for (level, at) in self.counts.iter_mut().zip(places) {
            if let Some(count) = level.get_mut(at) {
                *count = count.saturating_add(1);
            }
        }
        places
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn enter(room: &mut WaitingRoom, address: u32, micros: u64) -> Option<IpAddr> {
        let from = SocketAddr::new(Ipv4Addr::from_bits(address).into(), 1);
        let at = BootTime::from_micros(1_000_000_000 + micros);
        room.enter(at, (from, Via::socket(0)), [0; INITIATION_LEN]).map(|waiting| waiting.from.ip())
    }

    /// Fills the room with a flood of ten thousand a second from `flood`, then lets somebody in and says how many are
    /// answered before him.
    fn answered_before(flood: impl Fn(u32) -> u32, somebody: u32) -> usize {
        let mut room = WaitingRoom::new(&Seed::new([3; 32]));
        for number in 0..10_000 {
            enter(&mut room, flood(number), u64::from(number) * 100);
        }
        let somebody_at = IpAddr::from(Ipv4Addr::from_bits(somebody));
        assert_ne!(enter(&mut room, somebody, 1_000_000), Some(somebody_at), "he gets a place");
        let mut at = BootTime::from_micros(1_002_000_000);
        for before in 0..PLACES {
            at = at.after(Duration::from_millis(1));
            if room.next(at).unwrap().from.ip() == somebody_at {
                return before;
            }
        }
        panic!("he was pushed out");
    }

    #[test]
    fn somebody_is_answered_early_wherever_a_flood_comes_from() {
        let lan = 0xc0a8_0100;
        assert!(answered_before(|_| lan | 7, lan | 9) < 5, "one address");
        assert!(answered_before(|number| lan | (number % 250), lan | 254) < 60, "his own street");
        assert!(answered_before(|number| 0xc0a8_0000 | (number & 0xffff), 0x0a00_0001) < 5, "another provider");
    }

    #[test]
    fn the_room_is_bounded_and_nobody_waits_for_long() {
        let mut room = WaitingRoom::new(&Seed::new([3; 32]));
        let pushed =
            (0..u32::try_from(PLACES).unwrap() + 100).filter(|number| enter(&mut room, *number, 0).is_some()).count();
        assert_eq!((pushed, room.waiting.len()), (100, PLACES));
        let now = BootTime::from_micros(1_000_000_000);
        assert_eq!(room.overdue(now), None);
        let mut out = 0;
        while room.overdue(now.after(WAIT_MAX)).is_some() {
            out += 1;
        }
        assert_eq!((out, room.is_empty(), room.next_at(now)), (PLACES, true, None));
    }

    #[test]
    fn without_a_quiet_moment_a_few_are_answered_all_the_same() {
        let mut room = WaitingRoom::new(&Seed::new([3; 32]));
        let mut at = BootTime::from_micros(2_000_000_000);
        for number in 0..u32::try_from(PLACES).unwrap() {
            enter(&mut room, 0xc0a8_0100 | number, 1_000_000_000);
        }
        enter(&mut room, 0x0a00_0001, 1_000_000_000);
        let first = room.next_hurried(at).unwrap();
        assert_eq!(first.from.ip(), IpAddr::from([10, 0, 0, 1]), "who comes from no crowd");
        let mut answered = 1;
        let end = at.after(Duration::from_millis(400));
        while at < end {
            answered += std::iter::from_fn(|| room.next_hurried(at)).count();
            at = room.next_hurried_at(at).unwrap();
        }
        let bound = usize::try_from(HURRIED.burst + HURRIED.per_second / 2).unwrap();
        assert!((40..bound).contains(&answered), "{answered} in 400 ms");
    }

    #[test]
    fn quiet_moments_have_a_budget() {
        let mut room = WaitingRoom::new(&Seed::new([3; 32]));
        let pushed = (0..u32::try_from(PLACES).unwrap()).filter_map(|number| enter(&mut room, number, 0)).count();
        assert_eq!(pushed, 0);
        let now = BootTime::from_micros(2_000_000_000);
        let at_once = std::iter::from_fn(|| room.next(now)).count();
        assert_eq!(at_once, usize::try_from(QUIET.burst).unwrap());
        let next = room.next_at(now).unwrap();
        assert!(next > now && room.next(next).is_some());
    }
}
