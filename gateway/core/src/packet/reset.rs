//! TCP resets, with the sequence number that the receiver expects (RFC 5961 section 3.2 wants it exact).

use std::net::SocketAddr;

use super::checksum;
use super::parse::{ACK, Packet, RST, Segment, TCP};

/// A reset to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reset {
    /// Whom it claims to come from.
    pub(crate) from: SocketAddr,
    /// Whom it goes to.
    pub(crate) to: SocketAddr,
    /// What `to` expects next.
    pub(crate) sequence: u32,
    /// What `to` sent last, acknowledged; `None` leaves the flag out.
    pub(crate) acknowledgement: Option<u32>,
}

impl Reset {
    /// Writes the packet; `None` for two families.
    pub(crate) fn packet(&self) -> Option<Vec<u8>> {
        let flags = if self.acknowledgement.is_some() { RST | ACK } else { RST };
        let mut segment = Vec::with_capacity(20);
        segment.extend(self.from.port().to_be_bytes());
        segment.extend(self.to.port().to_be_bytes());
        segment.extend(self.sequence.to_be_bytes());
        segment.extend(self.acknowledgement.unwrap_or(0).to_be_bytes());
        segment.extend([5 << 4, flags, 0, 0, 0, 0, 0, 0]);
        let sum = checksum::with_pseudo_header(self.from.ip(), self.to.ip(), TCP, &segment);
        segment.get_mut(16..18)?.copy_from_slice(&sum);
        checksum::wrap(self.from.ip(), self.to.ip(), TCP, &segment)
    }

    /// Returns the answer to a segment that no connection may take (RFC 9293 section 3.10.7.1); `None` for a reset,
    /// which is never answered.
    pub(crate) fn answer(packet: &Packet<'_>, segment: &Segment) -> Option<Self> {
        if segment.has(RST) {
            return None;
        }
        let (sequence, acknowledgement) =
            if segment.has(ACK) { (segment.acknowledgement, None) } else { (0, Some(segment.end())) };
        Some(Self {
            from: SocketAddr::new(packet.destination, segment.destination_port),
            to: SocketAddr::new(packet.source, segment.source_port),
            sequence,
            acknowledgement,
        })
    }
}
