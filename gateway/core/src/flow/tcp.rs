//! What is remembered of a TCP connection: enough to end it so that both ends believe it.

use std::net::SocketAddr;

use crate::packet::parse::{ACK, FIN, RST, SYN, Segment};
use crate::packet::reset::Reset;

/// One end of a connection.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// The sequence number after everything it sent.
    next: Option<u32>,
    /// The highest acknowledgement it sent: what it has surely received.
    acknowledged: Option<u32>,
    finished: bool,
}

impl End {
    fn note(&mut self, segment: &Segment) {
        let end = segment.end();
        if self.next.is_none_or(|next| is_after(end, next)) {
            self.next = Some(end);
        }
        if segment.has(ACK) && self.acknowledged.is_none_or(|held| is_after(segment.acknowledgement, held)) {
            self.acknowledged = Some(segment.acknowledgement);
        }
        self.finished |= segment.has(FIN);
    }
}

/// Compares in sequence space (RFC 1982 arithmetic): says whether `a` comes after `b`.
fn is_after(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b);
    ahead != 0 && ahead < 1 << 31
}

/// A connection as seen from the middle.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Connection {
    device: End,
    remote: End,
    reset: bool,
}

impl Connection {
    /// Notes a segment that passes.
    pub(super) fn note(&mut self, segment: &Segment, from_device: bool) {
        if from_device && segment.has(SYN) && !segment.has(ACK) && self.is_closing() {
            // The ports are used again for a new connection.
            *self = Self::default();
        }
        if from_device {
            self.device.note(segment)
        } else {
            self.remote.note(segment)
        }
        self.reset |= segment.has(RST);
    }

    /// Says whether either end closed or reset it.
    pub(super) fn is_closing(&self) -> bool {
        self.reset || self.device.finished || self.remote.finished
    }

    /// Says whether both ends were heard.
    pub(super) fn is_open(&self) -> bool {
        self.device.next.is_some() && self.remote.next.is_some()
    }

    /// Returns the resets that end the device's side: with what was sent to it last, and, where that differs, with what
    /// it last said it has, in case the last packets were lost on the way.
    pub(super) fn resets_to_device(
        &self,
        device: SocketAddr,
        remote: SocketAddr,
    ) -> impl Iterator<Item = Reset> + use<> {
        resets(remote, device, self.remote.next, self.device)
    }

    /// Returns the resets that end the resource's side.
    pub(super) fn resets_to_remote(
        &self,
        device: SocketAddr,
        remote: SocketAddr,
    ) -> impl Iterator<Item = Reset> + use<> {
        resets(device, remote, self.device.next, self.remote)
    }
}

fn resets(from: SocketAddr, to: SocketAddr, sent: Option<u32>, receiver: End) -> impl Iterator<Item = Reset> {
    let said = receiver.acknowledged.filter(|said| Some(*said) != sent);
    let acknowledgement = receiver.next;
    // A receiver in SYN-SENT heard nothing yet: it goes by the acknowledgement alone (RFC 9293 section 3.10.7.3).
    let first = sent.or(if said.is_none() { Some(0) } else { None });
    [first, said].into_iter().flatten().map(move |sequence| Reset { from, to, sequence, acknowledgement })
}
