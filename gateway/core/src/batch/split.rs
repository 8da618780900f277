//! Cuts a packet that stands for several, in place: each segment's headers are written over the end of the segment
//! before it, which has left by then, so that no payload is copied.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::ops::Range;

use super::offload::{Offload, Segmentation};
use crate::packet::checksum::{fold, pseudo_header_sum, sum};
use crate::packet::parse::{FIN, TCP, UDP};

/// PSH and CWR (RFC 9293 section 3.1, RFC 3168 section 6.1).
const PSH: u8 = 0x08;
const CWR: u8 = 0x80;
/// Longest IP and TCP headers together: 60 and 60 bytes.
const HEADERS_LEN_MAX: usize = 120;

/// The segments of one packet, first to last.
pub(crate) struct Split {
    headers: [u8; HEADERS_LEN_MAX],
    headers_len: usize,
    ip_len: usize,
    protocol: u8,
    /// Bytes of payload a segment.
    size: usize,
    payload_len: usize,
    /// Bytes of payload that are out.
    done: usize,
    number: u16,
}

impl Split {
    /// Begins to cut `packet`, whose IP header is sound; `None` when `offload` and the packet do not fit together.
    ///
    /// A packet that stands for itself alone gets its checksum finished and is its own only segment.
    pub(crate) fn new(offload: Offload, packet: &mut [u8]) -> Option<Self> {
        let (protocol, size) = match offload.segmentation {
            Segmentation::None => {
                if let Some((start, offset)) = offload.checksum {
                    finish_checksum(packet, usize::from(start), usize::from(offset))?;
                }
                return Some(Self::whole(packet.len()));
            }
            Segmentation::Tcp { size } => (TCP, usize::from(size)),
            Segmentation::Udp { size } => (UDP, usize::from(size)),
        };
        let (ip_len, found) = match packet.first()? >> 4 {
            4 => (usize::from(packet.first()? & 0x0f).checked_mul(4)?, *packet.get(9)?),
            6 => (40, *packet.get(6)?),
            _ => return None,
        };
        let upper_len = match protocol {
            TCP => usize::from(packet.get(ip_len.checked_add(12)?)? >> 4).checked_mul(4)?,
            _ => 8,
        };
        let headers_len = ip_len.checked_add(upper_len)?;
        let shortest = if protocol == TCP { 20 } else { 8 };
        if found != protocol || size == 0 || ip_len < 20 || upper_len < shortest || headers_len > HEADERS_LEN_MAX {
            return None;
        }
        let payload_len = packet.len().checked_sub(headers_len)?;
        let mut headers = [0; HEADERS_LEN_MAX];
        headers.get_mut(..headers_len)?.copy_from_slice(packet.get(..headers_len)?);
        Some(Self { headers, headers_len, ip_len, protocol, size, payload_len, done: 0, number: 0 })
    }

    fn whole(len: usize) -> Self {
        let headers = [0; HEADERS_LEN_MAX];
        Self { headers, headers_len: 0, ip_len: 0, protocol: 0, size: len.max(1), payload_len: len, done: 0, number: 0 }
    }

    /// Says whether the packet is cut, or stands for itself alone.
    pub(crate) fn cuts(&self) -> bool {
        self.headers_len > 0
    }

    /// Takes the headers of `packet` for the segments to come, after an address in them was replaced; says whether they
    /// are there.
    pub(crate) fn take_headers(&mut self, packet: &[u8]) -> bool {
        let headers = self.headers.get_mut(..self.headers_len).zip(packet.get(..self.headers_len));
        headers.map(|(held, headers)| held.copy_from_slice(headers)).is_some()
    }

    /// Returns how many segments there are.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.payload_len.div_ceil(self.size).max(1)).unwrap_or(1)
    }

    /// Returns the longest segment's length.
    pub(crate) fn longest(&self) -> usize {
        self.headers_len.saturating_add(self.size.min(self.payload_len))
    }

    /// Puts the next segment's headers in place and says where in `packet` it lies. `packet` is the one given to
    /// [`Split::new`]; what lies before the segment is spoilt.
    pub(crate) fn next(&mut self, packet: &mut [u8]) -> Option<Range<usize>> {
        if self.done >= self.payload_len && self.number > 0 {
            return None;
        }
        let payload = self.size.min(self.payload_len.checked_sub(self.done)?);
        let start = self.done;
        let end = start.checked_add(self.headers_len)?.checked_add(payload)?;
        if self.headers_len > 0 {
            let is_last = start.checked_add(payload)? >= self.payload_len;
            self.write_headers(packet.get_mut(start..end)?, is_last)?;
        }
        self.done = start.checked_add(payload)?;
        self.number = self.number.wrapping_add(1);
        Some(start..end)
    }

    fn write_headers(&self, segment: &mut [u8], is_last: bool) -> Option<()> {
        let len = segment.len();
        segment.get_mut(..self.headers_len)?.copy_from_slice(self.headers.get(..self.headers_len)?);
        if self.headers.first()? >> 4 == 4 {
            segment.get_mut(2..4)?.copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
            let id = u16::from_be_bytes([*self.headers.get(4)?, *self.headers.get(5)?]).wrapping_add(self.number);
            segment.get_mut(4..6)?.copy_from_slice(&id.to_be_bytes());
            segment.get_mut(10..12)?.fill(0);
            let checksum = !fold(sum(segment.get(..self.ip_len)?));
            segment.get_mut(10..12)?.copy_from_slice(&checksum.to_ne_bytes());
        } else {
            let upper = u16::try_from(len.checked_sub(40)?).ok()?;
            segment.get_mut(4..6)?.copy_from_slice(&upper.to_be_bytes());
        }
        let (ip, upper) = segment.split_at_mut_checked(self.ip_len)?;
        let checksum_at = if self.protocol == TCP { 16 } else { 6 };
        if self.protocol == TCP {
            let first = u32::from_be_bytes(*upper.get(4..)?.first_chunk()?);
            let sequence = first.wrapping_add(u32::try_from(self.done).ok()?);
            upper.get_mut(4..8)?.copy_from_slice(&sequence.to_be_bytes());
            let flags = upper.get_mut(13)?;
            *flags &= if is_last { !0 } else { !(FIN | PSH) };
            *flags &= if self.number == 0 { !0 } else { !CWR };
        } else {
            let udp_len = u16::try_from(upper.len()).ok()?;
            upper.get_mut(4..6)?.copy_from_slice(&udp_len.to_be_bytes());
        }
        upper.get_mut(checksum_at..)?.first_chunk_mut::<2>()?.fill(0);
        let total = pseudo_header_sum(ip, self.protocol, upper.len())?.wrapping_add(sum(upper));
        let checksum = !fold(total);
        // Zero means "none" in UDP (RFC 768).
        let checksum = if checksum == 0 && self.protocol == UDP { u16::MAX } else { checksum };
        write_checksum(upper, checksum_at, checksum)
    }
}

/// Completes a checksum whose field holds the pseudo header's sum.
fn finish_checksum(packet: &mut [u8], start: usize, offset: usize) -> Option<()> {
    let part = packet.get_mut(start..)?;
    let checksum = !fold(sum(part));
    // The other zero of ones' complement, which is as right in TCP and the only one in UDP.
    write_checksum(part, offset, if checksum == 0 { u16::MAX } else { checksum })
}

/// Writes a checksum in native order.
fn write_checksum(part: &mut [u8], at: usize, checksum: u16) -> Option<()> {
    part.get_mut(at..)?.first_chunk_mut::<2>()?.copy_from_slice(&checksum.to_ne_bytes());
    Some(())
}
