//! Datagrams that are sealed before the clock starts.

use std::net::Ipv4Addr;
use std::ops::Range;

use crate::Outcome;
use crate::client::Client;
use crate::packets::{Flow, Kind};

/// Trains in the order in which they leave.
pub(crate) struct Bank {
    bytes: Vec<u8>,
    trains: Vec<(usize, Range<usize>)>,
    /// Bytes of each datagram.
    size: usize,
}

impl Bank {
    /// An empty bank that never grows beyond so many bytes.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), trains: Vec::new(), size: 0 }
    }

    /// Fills the bank anew: the clients take turns, a train of `run` datagrams each (0: as many as fit).
    pub(crate) fn fill(&mut self, clients: &mut [Client], flows: &mut [Flow], run: usize) -> Outcome<()> {
        self.bytes.clear();
        self.trains.clear();
        let mut packet = Vec::new();
        loop {
            for (index, (client, flow)) in clients.iter_mut().zip(flows.iter_mut()).enumerate() {
                let start = self.bytes.len();
                let (mut sealed, mut longest) = (0, 1);
                while sealed < longest {
                    if self.bytes.len() + self.size > self.bytes.capacity() {
                        self.bytes.truncate(start);
                        return Ok(());
                    }
                    let before = self.bytes.len();
                    flow.next(&mut packet)?;
                    client.seal(&packet, &mut self.bytes)?;
                    self.size = self.bytes.len() - before;
                    sealed += 1;
                    longest = client.trains.datagrams_max(self.size);
                    if run > 0 {
                        longest = longest.min(run);
                    }
                }
                self.trains.push((index, start..self.bytes.len()));
            }
        }
    }

    /// Each train with its client's place and its number of datagrams.
    pub(crate) fn trains(&self) -> impl Iterator<Item = (usize, &[u8], u64)> {
        self.trains.iter().filter_map(|(client, range)| {
            let train = self.bytes.get(range.clone())?;
            Some((*client, train, u64::try_from(train.len() / self.size.max(1)).ok()?))
        })
    }

    /// Bytes of one datagram.
    pub(crate) fn size(&self) -> usize {
        self.size
    }
}

/// A flow for each client, to the sink of the target.
pub(crate) fn flows(clients: &[Client], kind: Kind, target: Ipv4Addr) -> Vec<Flow> {
    clients.iter().map(|client| Flow::new(kind, client.address, target)).collect()
}
