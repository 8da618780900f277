//! Joins packets of one flow on their way to the tunnel device, by the rules of the kernel's own GRO: consecutive TCP
//! segments with the same headers, and UDP datagrams of one size. What does not join goes out alone, in order.
//!
//! A joined packet leaves with an unfinished checksum that the kernel completes, so each part's own checksums are
//! verified before it joins: nothing that was damaged at its sender leaves here looking sound.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use super::offload::{OFFLOAD_HEADER_LEN, Offload, Segmentation};
use crate::TunnelSink;
use crate::packet::checksum::{fold, pseudo_header_sum, sum};
use crate::packet::parse::{ACK, TCP, UDP};

/// Longest joined packet, headers included: what an IP length field holds, less a margin.
const JOINED_LEN_MAX: usize = 65_500;
/// UDP datagrams in one joined packet: the kernel refuses more (UDP_MAX_SEGMENTS, 128 since Linux 6.2).
const DATAGRAMS_MAX: usize = 64;
/// Flows that are open at a time. More would only spoil the cache: a batch rarely has packets of more.
const FLOWS_MAX: usize = 16;
const PSH: u8 = 0x08;

/// Where packets leave for the tunnel device.
pub trait TunnelWriter {
    /// Writes one packet with its offload header of [`OFFLOAD_HEADER_LEN`] bytes in front. Errors are counted inside.
    fn write(&mut self, framed: &[u8]);
}

/// The packets that are being joined, and the writer they will leave by.
pub struct Coalescer<W> {
    writer: W,
    joins_udp: bool,
    flows: Vec<Joined>,
    /// How many of `flows` are open; they come first.
    open: usize,
    /// Where a lone packet gets its header.
    alone: Vec<u8>,
}

impl<W: TunnelWriter> Coalescer<W> {
    /// Makes an empty coalescer; `joins_udp` where the device takes UDP packets that stand for several (Linux 6.2).
    #[must_use]
    pub fn new(writer: W, joins_udp: bool) -> Self {
        Self { writer, joins_udp, flows: Vec::new(), open: 0, alone: Vec::new() }
    }

    /// Returns the writer, to look at.
    #[must_use]
    pub const fn writer_ref(&self) -> &W {
        &self.writer
    }

    /// Returns the writer.
    pub fn writer(&mut self) -> &mut W {
        &mut self.writer
    }

    /// Writes everything that is open, oldest flow first.
    pub fn flush(&mut self) {
        for flow in self.flows.iter_mut().take(self.open) {
            flow.close(&mut self.writer);
        }
        self.open = 0;
    }

    /// Writes the open flow that a packet belongs to, so that what follows comes after it.
    fn flush_flow(&mut self, at: usize) {
        let Some(flow) = self.flows.get_mut(at) else { return };
        flow.close(&mut self.writer);
        self.open = self.open.saturating_sub(1);
        // Keeps the order of the others, so that the oldest goes first when there is no room.
        if let Some(rest) = self.flows.get_mut(at..=self.open) {
            rest.rotate_left(1);
        }
    }

    fn write_alone(&mut self, packet: &[u8]) {
        self.alone.clear();
        self.alone.extend_from_slice(&Offload::NONE.write(false, 0));
        self.alone.extend_from_slice(packet);
        self.writer.write(&self.alone);
    }

    fn begin(&mut self, packet: &[u8], shape: Shape) {
        if self.open >= FLOWS_MAX {
            self.flush_flow(0);
        }
        if self.flows.len() == self.open {
            self.flows.push(Joined::default());
        }
        if let Some(flow) = self.flows.get_mut(self.open) {
            flow.begin(packet, shape);
            self.open = self.open.saturating_add(1);
        }
    }
}

impl<W: TunnelWriter> TunnelSink for Coalescer<W> {
    fn packet(&mut self, packet: &[u8]) {
        let Some(shape) = Shape::read(packet) else {
            // ICMP has no order to keep. A header with options might hide which flow it is.
            if packet.first().is_some_and(|first| *first != 0x45 && first >> 4 == 4) {
                self.flush();
            }
            return self.write_alone(packet);
        };
        let same = self.flows.iter().take(self.open).rposition(|flow| flow.is_flow(packet, &shape));
        let joins = shape.may_join(packet, self.joins_udp);
        match same {
            Some(at) if joins => {
                if self.flows.get_mut(at).is_some_and(|flow| flow.join(packet, &shape)) {
                    return;
                }
                self.flush_flow(at);
                self.begin(packet, shape);
            }
            Some(at) => {
                self.flush_flow(at);
                self.write_alone(packet);
            }
            None if joins => self.begin(packet, shape),
            None => self.write_alone(packet),
        }
    }
}

/// Where things are in a TCP or UDP packet without IP options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    protocol: u8,
    ip_len: usize,
    /// IP and upper header together.
    headers_len: usize,
    payload_len: usize,
}

impl Shape {
    fn read(packet: &[u8]) -> Option<Self> {
        let (ip_len, protocol): (usize, u8) = match *packet.first()? {
            0x45 => (20, *packet.get(9)?),
            first if first >> 4 == 6 => (40, *packet.get(6)?),
            _ => return None,
        };
        let upper_len = match protocol {
            TCP => usize::from(packet.get(ip_len.checked_add(12)?)? >> 4).checked_mul(4)?,
            UDP => 8,
            _ => return None,
        };
        let headers_len = ip_len.checked_add(upper_len)?;
        Some(Self { protocol, ip_len, headers_len, payload_len: packet.len().checked_sub(headers_len)? })
    }

    /// Addresses and ports.
    fn tuple<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        if self.ip_len == 20 { packet.get(12..24) } else { packet.get(8..44) }
    }

    /// Says whether the packet could stand beside others of its flow: it has payload, nothing but ACK and PSH, and
    /// checksums that are right.
    fn may_join(&self, packet: &[u8], joins_udp: bool) -> bool {
        if self.payload_len == 0 {
            return false;
        }
        let fits = match self.protocol {
            TCP => packet.get(self.ip_len.saturating_add(13)).is_some_and(|flags| flags & !PSH == ACK),
            // A UDP checksum of zero means that there is none (RFC 768).
            _ => joins_udp && self.upper(packet, 6..8).is_some_and(|checksum| checksum != [0, 0]),
        };
        fits && self.is_sound(packet).unwrap_or(false)
    }

    fn is_sound(&self, packet: &[u8]) -> Option<bool> {
        let (ip, upper) = packet.split_at_checked(self.ip_len)?;
        if self.protocol == UDP && usize::from(u16::from_be_bytes(*upper.get(4..)?.first_chunk()?)) != upper.len() {
            return Some(false);
        }
        let ip_is_right = self.ip_len == 40 || fold(sum(ip)) == u16::MAX;
        let total = pseudo_header_sum(ip, self.protocol, upper.len())?.wrapping_add(sum(upper));
        Some(ip_is_right && fold(total) == u16::MAX)
    }

    fn upper<'a>(&self, packet: &'a [u8], range: std::ops::Range<usize>) -> Option<&'a [u8]> {
        packet.get(self.ip_len..)?.get(range)
    }

    fn sequence(&self, packet: &[u8]) -> Option<u32> {
        self.upper(packet, 4..8)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    }

    fn has_push(&self, packet: &[u8]) -> bool {
        self.protocol == TCP
            && self.upper(packet, 13..14).is_some_and(|flags| flags.iter().any(|flags| flags & PSH != 0))
    }
}

/// Packets of one flow, joined behind the first one's headers.
#[derive(Debug, Default)]
struct Joined {
    /// The offload header, then the packet.
    framed: Vec<u8>,
    shape: Option<Shape>,
    /// Payload of each part but the last.
    size: usize,
    parts: usize,
    /// The sequence number that continues it.
    next: u32,
    /// Whether a shorter part or a push ended it.
    ended: bool,
    push: bool,
}

impl Joined {
    fn packet(&self) -> &[u8] {
        self.framed.get(OFFLOAD_HEADER_LEN..).unwrap_or_default()
    }

    fn is_flow(&self, packet: &[u8], shape: &Shape) -> bool {
        let Some(held) = self.shape.as_ref() else { return false };
        held.protocol == shape.protocol
            && held.ip_len == shape.ip_len
            && held.tuple(self.packet()) == shape.tuple(packet)
    }

    fn begin(&mut self, packet: &[u8], shape: Shape) {
        self.framed.clear();
        self.framed.extend_from_slice(&[0; OFFLOAD_HEADER_LEN]);
        self.framed.extend_from_slice(packet);
        self.shape = Some(shape);
        self.size = shape.payload_len;
        self.parts = 1;
        self.push = shape.has_push(packet);
        self.ended = self.push;
        self.next = self.after(packet, &shape);
    }

    fn after(&self, packet: &[u8], shape: &Shape) -> u32 {
        let len = u32::try_from(shape.payload_len).unwrap_or(0);
        if shape.protocol == TCP { shape.sequence(packet).unwrap_or(0).wrapping_add(len) } else { 0 }
    }

    /// Takes a packet of this flow, unless it does not continue what is here.
    fn join(&mut self, packet: &[u8], shape: &Shape) -> bool {
        let continues = !self.ended
            && shape.payload_len <= self.size
            && self.framed.len().saturating_add(shape.payload_len) <= JOINED_LEN_MAX
            && (shape.protocol == TCP || self.parts < DATAGRAMS_MAX)
            && self.has_same_headers(packet, shape).unwrap_or(false);
        let Some(payload) = packet.get(shape.headers_len..).filter(|_| continues) else { return false };
        self.framed.extend_from_slice(payload);
        self.parts = self.parts.saturating_add(1);
        self.next = self.after(packet, shape);
        self.push |= shape.has_push(packet);
        self.ended = self.push || payload.len() < self.size;
        true
    }

    fn has_same_headers(&self, packet: &[u8], shape: &Shape) -> Option<bool> {
        let held = self.packet();
        if self.shape?.headers_len != shape.headers_len {
            return Some(false);
        }
        let same = |range: std::ops::Range<usize>| Some(held.get(range.clone())? == packet.get(range)?);
        // Class, fragment bits, hops; not the length, the identification and the checksum.
        let ip = if shape.ip_len == 20 { same(1..2)? && same(6..9)? } else { same(0..4)? && same(7..8)? };
        if shape.protocol == UDP {
            return Some(ip);
        }
        let at = |offset: usize| shape.ip_len.checked_add(offset);
        // Acknowledgement, header length, window, urgent pointer and options; flags were looked at.
        let tcp = shape.sequence(packet)? == self.next
            && same(at(8)?..at(13)?)?
            && same(at(14)?..at(16)?)?
            && same(at(18)?..shape.headers_len)?;
        Some(ip && tcp)
    }

    fn close(&mut self, writer: &mut impl TunnelWriter) {
        if self.parts > 1 && self.finish_headers().is_none() {
            self.parts = 0;
        }
        if self.parts > 0 {
            writer.write(&self.framed);
        }
        self.parts = 0;
        self.shape = None;
    }

    /// Makes one packet's headers into those of the joined one.
    fn finish_headers(&mut self) -> Option<()> {
        let shape = self.shape?;
        let (offload, packet) = self.framed.split_first_chunk_mut::<OFFLOAD_HEADER_LEN>()?;
        let len = packet.len();
        let (ip, upper) = packet.split_at_mut_checked(shape.ip_len)?;
        if shape.ip_len == 20 {
            ip.get_mut(2..4)?.copy_from_slice(&u16::try_from(len).ok()?.to_be_bytes());
            ip.get_mut(10..12)?.fill(0);
            let checksum = !fold(sum(ip));
            ip.get_mut(10..12)?.copy_from_slice(&checksum.to_ne_bytes());
        } else {
            ip.get_mut(4..6)?.copy_from_slice(&u16::try_from(upper.len()).ok()?.to_be_bytes());
        }
        let unfinished = fold(pseudo_header_sum(ip, shape.protocol, upper.len())?).to_ne_bytes();
        let size = u16::try_from(self.size).ok()?;
        let (checksum_at, segmentation) = if shape.protocol == TCP {
            *upper.get_mut(13)? |= if self.push { PSH } else { 0 };
            (16_u16, Segmentation::Tcp { size })
        } else {
            let len = u16::try_from(upper.len()).ok()?.to_be_bytes();
            upper.get_mut(4..6)?.copy_from_slice(&len);
            (6_u16, Segmentation::Udp { size })
        };
        upper.get_mut(usize::from(checksum_at)..)?.first_chunk_mut::<2>()?.copy_from_slice(&unfinished);
        let checksum = Some((u16::try_from(shape.ip_len).ok()?, checksum_at));
        let headers_len = u16::try_from(shape.headers_len).ok()?;
        *offload = Offload { checksum, segmentation }.write(shape.ip_len == 40, headers_len);
        Some(())
    }
}
