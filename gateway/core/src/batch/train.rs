//! Trains of sealed datagrams: consecutive datagrams of one size to one address leave in one system call.
//!
//! At most one train is open. It leaves when the next datagram goes elsewhere or is longer, after a shorter one, at
//! [`SEGMENTS_MAX`] or [`TRAIN_BYTES_MAX`], and at the end of a batch.

use std::net::SocketAddr;

use crate::{DatagramSink, Via};

/// Segments of one UDP_SEGMENT send at most (UDP_MAX_SEGMENTS in linux/udp.h is 64 on the oldest kernels that have it).
const SEGMENTS_MAX: usize = 64;

/// Bytes of one train at most: an IPv4 packet carries 65,535 bytes, headers included.
const TRAIN_BYTES_MAX: usize = 65_000;

/// The longest single datagram: a TUN packet of the largest MTU with WireGuard's 32 bytes and padding.
pub const DATAGRAM_LEN_MAX: usize = 65_507;

/// Where trains leave.
pub trait TrainSender {
    /// Sends `contents` as datagrams of `segment` bytes each, the last one perhaps shorter. Errors are counted inside.
    fn send_train(&mut self, to: SocketAddr, via: Via, contents: &[u8], segment: usize);
}

/// The train that is being put together, and the sender it will leave by.
pub struct Train<S> {
    sender: S,
    buffer: Box<[u8]>,
    /// Bytes of the train that are sealed.
    used: usize,
    /// Datagrams in it.
    segments: usize,
    /// Size of each of them but the last.
    segment: usize,
    /// Whether a shorter datagram ended it.
    closed: bool,
    destination: Option<(SocketAddr, Via)>,
}

impl<S: TrainSender> Train<S> {
    /// Makes an empty train.
    #[must_use]
    pub fn new(sender: S) -> Self {
        let buffer = vec![0; TRAIN_BYTES_MAX.saturating_add(DATAGRAM_LEN_MAX)].into_boxed_slice();
        Self { sender, buffer, used: 0, segments: 0, segment: 0, closed: false, destination: None }
    }

    /// Sends what is open.
    pub fn flush(&mut self) {
        if let (Some((to, via)), Some(contents)) = (self.destination, self.buffer.get(..self.used))
            && !contents.is_empty()
        {
            self.sender.send_train(to, via, contents, self.segment);
        }
        self.used = 0;
        self.segments = 0;
        self.closed = false;
        self.destination = None;
    }

    /// Returns the sender, for datagrams that go out alone.
    pub fn sender(&mut self) -> &mut S {
        &mut self.sender
    }

    fn takes(&self, to: SocketAddr, via: Via, len: usize) -> bool {
        self.segments == 0
            || (self.destination == Some((to, via))
                && !self.closed
                && len <= self.segment
                && self.segments < SEGMENTS_MAX
                && self.used.saturating_add(len) <= TRAIN_BYTES_MAX)
    }
}

impl<S: TrainSender> DatagramSink for Train<S> {
    fn reserve(&mut self, to: SocketAddr, via: Via, len: usize) -> Option<&mut [u8]> {
        if len > DATAGRAM_LEN_MAX {
            return None;
        }
        if !self.takes(to, via, len) {
            self.flush();
        }
        self.destination = Some((to, via));
        let end = self.used.checked_add(len)?;
        self.buffer.get_mut(self.used..end)
    }

    fn commit(&mut self, len: usize) {
        if len == 0 {
            return;
        }
        if self.segments == 0 {
            self.segment = len;
        }
        if len > self.segment {
            // The reservation said at most this train's size: a datagram that grew may not join it.
            self.used = self.used.min(self.buffer.len());
            return;
        }
        self.closed = len < self.segment;
        self.used = self.used.saturating_add(len).min(self.buffer.len());
        self.segments = self.segments.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Sent(Vec<(SocketAddr, Via, Vec<u8>, usize)>);

    impl TrainSender for Sent {
        fn send_train(&mut self, to: SocketAddr, via: Via, contents: &[u8], segment: usize) {
            self.0.push((to, via, contents.to_vec(), segment));
        }
    }

    fn put(train: &mut Train<Sent>, to: &str, via: u16, byte: u8, len: usize) {
        let room = train.reserve(to.parse().unwrap(), Via::socket(via), len).unwrap();
        assert_eq!(room.len(), len);
        room.fill(byte);
        train.commit(len);
    }

    const A: &str = "203.0.113.9:51820";
    const B: &str = "203.0.113.10:51820";

    #[test]
    fn datagrams_of_one_size_to_one_address_leave_together_and_in_order() {
        let mut train = Train::new(Sent::default());
        put(&mut train, A, 0, 1, 100);
        put(&mut train, A, 0, 2, 100);
        put(&mut train, A, 0, 3, 40);
        assert!(train.sender.0.is_empty());
        train.flush();
        let mut contents = vec![1; 100];
        contents.extend([2; 100]);
        contents.extend([3; 40]);
        assert_eq!(train.sender.0, [(A.parse().unwrap(), Via::socket(0), contents, 100)]);
    }

    #[test]
    fn a_shorter_datagram_ends_a_train_and_a_longer_one_starts_another() {
        let mut train = Train::new(Sent::default());
        for (byte, len) in [(1, 100), (2, 40), (3, 40), (4, 100)] {
            put(&mut train, A, 0, byte, len);
        }
        train.flush();
        let trains: Vec<(usize, usize)> = train.sender.0.iter().map(|sent| (sent.2.len(), sent.3)).collect();
        assert_eq!(trains, [(140, 100), (40, 40), (100, 100)]);
    }

    #[test]
    fn another_address_or_socket_never_joins() {
        let mut train = Train::new(Sent::default());
        put(&mut train, A, 0, 1, 100);
        put(&mut train, B, 0, 2, 100);
        put(&mut train, B, 1, 3, 100);
        train.flush();
        assert_eq!(train.sender.0.len(), 3);
        assert!(train.sender.0.iter().all(|sent| sent.2.len() == 100));
    }

    #[test]
    fn trains_are_bounded_in_segments_and_bytes() {
        let mut train = Train::new(Sent::default());
        for _ in 0..130 {
            put(&mut train, A, 0, 1, 80);
        }
        for _ in 0..50 {
            put(&mut train, B, 0, 1, 1452);
        }
        train.flush();
        for (_, _, contents, segment) in &train.sender.0 {
            assert!(contents.len() <= TRAIN_BYTES_MAX);
            assert!(contents.len().div_ceil(*segment) <= SEGMENTS_MAX);
        }
        assert_eq!(train.sender.0.iter().map(|sent| sent.2.len()).sum::<usize>(), 130 * 80 + 50 * 1452);
    }

    #[test]
    fn a_reservation_that_is_not_committed_sends_nothing() {
        let mut train = Train::new(Sent::default());
        train.reserve(A.parse().unwrap(), Via::socket(0), 100).unwrap();
        train.flush();
        assert!(train.sender.0.is_empty());
        assert!(train.reserve(A.parse().unwrap(), Via::socket(0), DATAGRAM_LEN_MAX + 1).is_none());
    }
}
