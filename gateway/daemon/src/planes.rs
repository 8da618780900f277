//! Several control planes of one database, of which one has the feed at a time.
//!
//! A session's connections all go to the same address, since a session is known where it said hello. When it breaks, the
//! next address has its turn at once; after each round the names are resolved anew, and there is a pause.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::key::fill_random;

/// Addresses tried in one round at most, of all names together.
const ADDRESSES_MAX: usize = 32;

/// How long connecting may take where there is another address to go to.
const CONNECT_ONE_OF_MANY: Duration = Duration::from_secs(1);

/// How long it may take where there is none.
const CONNECT_THE_ONLY: Duration = Duration::from_secs(5);

/// Where the feed may be had.
pub(crate) struct Planes {
    named: Vec<(String, u16)>,
    /// Each gateway begins somewhere else, so that they spread.
    first: usize,
    place: Mutex<Place>,
}

#[derive(Default)]
struct Place {
    /// What the names were resolved to; empty before a round.
    addresses: Vec<SocketAddr>,
    /// How many of them had their turn in this round.
    tried: usize,
    /// Counts moves: a connection of an earlier one goes to the wrong place.
    moves: u64,
}

/// Where to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Here {
    /// The address.
    pub(crate) address: SocketAddr,
    /// How long that may take.
    pub(crate) within: Duration,
    /// The moves so far.
    pub(crate) moves: u64,
}

impl Planes {
    /// Takes the names of the configuration.
    pub(crate) fn new(named: Vec<(String, u16)>) -> Self {
        let mut byte = [0_u8; 1];
        // Without randomness all begin with the first.
        let _filled = fill_random(&mut byte);
        Self { named, first: usize::from(byte.first().copied().unwrap_or(0)), place: Mutex::default() }
    }

    /// Returns the names, for messages.
    pub(crate) fn named(&self) -> String {
        self.named.iter().map(|(host, port)| format!("{host}:{port}")).collect::<Vec<_>>().join(", ")
    }

    /// Returns where the feed is to be had at this moment.
    ///
    /// # Errors
    /// No name has an address.
    pub(crate) async fn here(&self) -> io::Result<Here> {
        if let Some(here) = self.place().here(self.first) {
            return Ok(here);
        }
        let found = self.resolve().await?;
        let mut place = self.place();
        if place.addresses.is_empty() {
            place.addresses = found;
        }
        place.here(self.first).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    /// Gives the next address its turn; says whether all had theirs.
    pub(crate) fn move_on(&self) -> bool {
        let mut place = self.place();
        place.moves = place.moves.wrapping_add(1);
        place.tried = place.tried.saturating_add(1);
        let round = place.tried >= place.addresses.len();
        if round {
            place.tried = 0;
            place.addresses.clear();
        }
        round
    }

    /// Begins a round with the address that has its turn: it was a good one.
    pub(crate) fn settle(&self) {
        let mut place = self.place();
        let turn = place.turn(self.first);
        if let Some(turn) = turn {
            // The one that is good stays where it is, and each of the others comes after it.
            place.addresses.rotate_left(turn);
            let back = self.first.checked_rem(place.addresses.len()).unwrap_or(0);
            place.addresses.rotate_right(back);
            place.tried = 0;
        }
    }

    /// Returns how often the feed moved.
    pub(crate) fn moves(&self) -> u64 {
        self.place().moves
    }

    async fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let (mut found, mut failed) = (Vec::new(), None);
        for (host, port) in &self.named {
            match tokio::net::lookup_host((host.as_str(), *port)).await {
                Ok(addresses) => found.extend(addresses),
                Err(error) => failed = Some(error),
            }
        }
        let mut seen = Vec::with_capacity(found.len());
        for address in found {
            if !seen.contains(&address) && seen.len() < ADDRESSES_MAX {
                seen.push(address);
            }
        }
        match failed {
            Some(error) if seen.is_empty() => Err(error),
            Some(_) | None => Ok(seen),
        }
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    fn turn(&self, first: usize) -> Option<usize> {
        first.wrapping_add(self.tried).checked_rem(self.addresses.len())
    }

    fn here(&self, first: usize) -> Option<Here> {
        let address = *self.addresses.get(self.turn(first)?)?;
        let within = if self.addresses.len() > 1 { CONNECT_ONE_OF_MANY } else { CONNECT_THE_ONLY };
        Some(Here { address, within, moves: self.moves })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planes(first: usize, ports: &[u16]) -> Planes {
        let named = ports.iter().map(|port| ("127.0.0.1".to_owned(), *port)).collect();
        Planes { first, ..Planes::new(named) }
    }

    async fn port(planes: &Planes) -> u16 {
        planes.here().await.unwrap().address.port()
    }

    #[tokio::test]
    async fn every_address_has_its_turn_in_a_round_wherever_it_begins() {
        for first in 0..7 {
            let planes = planes(first, &[1, 2, 3]);
            let mut seen = Vec::new();
            for n in 0..3 {
                seen.push(port(&planes).await);
                assert_eq!(planes.move_on(), n == 2);
            }
            seen.sort_unstable();
            assert_eq!(seen, [1, 2, 3]);
        }
    }

    #[tokio::test]
    async fn a_good_address_stays_until_the_feed_moves_and_then_all_others_come_first() {
        for first in 0..7 {
            let planes = planes(first, &[1, 2, 3]);
            port(&planes).await;
            planes.move_on();
            let good = port(&planes).await;
            planes.settle();
            assert_eq!((port(&planes).await, planes.moves()), (good, 1));
            assert!(!planes.move_on());
            let second = port(&planes).await;
            assert!(!planes.move_on());
            let third = port(&planes).await;
            let mut all = [good, second, third];
            all.sort_unstable();
            assert_eq!(all, [1, 2, 3]);
            assert!(planes.move_on());
        }
    }

    #[tokio::test]
    async fn the_only_address_has_more_time_and_a_round_of_its_own() {
        let planes = planes(5, &[1]);
        assert_eq!(planes.here().await.unwrap().within, CONNECT_THE_ONLY);
        assert!(planes.move_on() && planes.move_on());
    }
}
