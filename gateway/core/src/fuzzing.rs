//! Doors to the parsers in here for the fuzz targets (`tests/fuzz/`), which see only what is public. Each takes any bytes
//! and panics where a promise is broken; nothing else calls them.

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::TunnelSink;
use crate::batch::split::Split;
use crate::batch::{Coalescer, OFFLOAD_HEADER_LEN, Offload, Segmentation, TunnelWriter};
use crate::packet::checksum::{fold, pseudo_header_sum, sum};
use crate::packet::icmp;
use crate::packet::parse::{ACK, Body, FIN, ICMP_V6, Packet, SYN, TCP, UDP, parse};
use crate::packet::reset::Reset;
use crate::packet::translate::{Checksums, Side, rewrite};
use crate::wireguard::message::{self, Message, Receiver};

/// Tells WireGuard messages apart: what was read stands at its place, and with a reserved byte set nothing is read.
pub fn classify(bytes: &[u8]) {
    // Opaque to the optimiser, which would see through so short a parser and leave the assertions out.
    let Some(found) = black_box(message::classify(black_box(bytes))) else { return };
    let word = |at: usize| bytes.get(at..).and_then(<[u8]>::first_chunk::<4>).map(|word| u32::from_le_bytes(*word));
    let (kind, len, receiver_at) = match found {
        Message::Initiation => (1, message::INITIATION_LEN, None),
        Message::Response { .. } => (2, message::RESPONSE_LEN, Some(8)),
        Message::CookieReply { .. } => (3, message::COOKIE_REPLY_LEN, Some(4)),
        Message::Data { counter, .. } => {
            let bytes = bytes.get(8..).and_then(<[u8]>::first_chunk::<8>);
            assert_eq!(bytes.map(|bytes| u64::from_le_bytes(*bytes)), Some(counter));
            (4, bytes.map_or(0, |_| message::DATA_OVERHEAD), Some(4))
        }
    };
    assert_eq!(word(0), Some(kind));
    assert!(if kind == 4 { bytes.len() >= len } else { bytes.len() == len });
    assert_eq!(found.receiver(), receiver_at.and_then(word).map(Receiver));
    assert!(found.receiver().map_or(0, Receiver::tunnel) <= 0x00ff_ffff);
    assert_eq!(message::sender(bytes).map(|sender| sender.0), word(4));
    for reserved in 1..4 {
        let mut other = bytes.to_vec();
        other.iter_mut().skip(reserved).take(1).for_each(|byte| *byte = 1);
        assert_eq!(black_box(message::classify(black_box(&other))), None);
    }
}

/// Reads an inner packet, and what is written about it: a refusal that quotes it, a reset that answers it.
pub fn inner_packet(bytes: &[u8]) {
    let Ok(packet) = parse(bytes) else { return };
    assert_eq!(bytes.get(..packet.bytes.len()), Some(packet.bytes));
    assert_eq!(parse(packet.bytes), Ok(packet), "what was cut off mattered");
    assert_eq!(packet.source.is_ipv4(), packet.destination.is_ipv4());
    let refusal = icmp::prohibited(packet.destination, packet.source, packet.bytes);
    let refusal = refusal.as_deref().map(parse);
    match packet.body {
        // Nothing answers an error with an error.
        Body::Error(_) => return,
        Body::Tcp(_) | Body::Udp { .. } | Body::EchoRequest { .. } | Body::EchoReply { .. } => {}
    }
    let Some(Ok(Packet { body: Body::Error(quoted), .. })) = refusal else {
        unreachable!("the refusal of {packet:?} cannot be read: {refusal:?}")
    };
    assert_eq!((quoted.source, quoted.destination), (packet.source, packet.destination));
    assert_eq!(ports(packet.body), Some((quoted.source_port, quoted.destination_port)));
    if let Body::Tcp(segment) = packet.body
        && let Some(reset) = Reset::answer(&packet, &segment)
    {
        let written = reset.packet().unwrap_or_default();
        let read = parse(&written).map(|read| (read.source, read.destination, ports(read.body)));
        let back = Some((segment.destination_port, segment.source_port));
        assert_eq!(read, Ok((packet.destination, packet.source, back)));
    }
}

fn ports(body: Body) -> Option<(u16, u16)> {
    match body {
        Body::Tcp(segment) => Some((segment.source_port, segment.destination_port)),
        Body::Udp { source_port, destination_port } => Some((source_port, destination_port)),
        Body::EchoRequest { id } | Body::EchoReply { id } => Some((id, 0)),
        Body::Error(_) => None,
    }
}

/// Replaces an address of a packet: three bytes choose, the rest is the packet.
pub fn translate(bytes: &[u8]) {
    let Some(([choice, a, b], packet)) = bytes.split_first_chunk::<3>() else { return };
    let Ok(before) = parse(packet) else { return };
    let side = if choice & 1 == 0 { Side::Source } else { Side::Destination };
    let checksums = if choice & 2 == 0 { Checksums::Whole } else { Checksums::Partial };
    let to = match before.source {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(10, 0, *a, *b)),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, (*a).into(), (*b).into())),
    };
    let mut packet = before.bytes.to_vec();
    if !rewrite(&mut packet, side, to, checksums) {
        return;
    }
    let Ok(after) = parse(&packet) else { unreachable!("{before:?} cannot be read after its translation") };
    let wanted = match side {
        Side::Source => (to, before.destination),
        Side::Destination => (before.source, to),
    };
    assert_eq!((after.source, after.destination), wanted);
    assert_eq!(after.bytes.len(), before.bytes.len());
    match (before.body, after.body) {
        (Body::Error(old), Body::Error(new)) => {
            let wanted = match side {
                Side::Source => (old.source, to),
                Side::Destination => (to, old.destination),
            };
            assert_eq!((new.source, new.destination), wanted);
            assert_eq!((new.source_port, new.destination_port), (old.source_port, old.destination_port));
        }
        (old, new) => assert_eq!(old, new),
    }
    if checksums == Checksums::Whole {
        assert_eq!(is_sound(&after), is_sound(&before), "a sound packet was damaged, or a damaged one made sound");
    }
}

/// Says whether a packet's checksums are right, the quoted packet's aside.
fn is_sound(packet: &Packet<'_>) -> bool {
    let bytes = packet.bytes;
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    let (ip_len, protocol) =
        if byte(0) >> 4 == 4 { (usize::from(byte(0) & 0x0f) << 2, byte(9)) } else { (40, byte(6)) };
    let Some((header, message)) = bytes.split_at_checked(ip_len) else { return false };
    let is_right = |sum: u64| fold(sum) == 0xffff;
    if byte(0) >> 4 == 4 && !is_right(sum(header)) {
        return false;
    }
    let message = match packet.body {
        Body::Udp { .. } => {
            message.get(..usize::from(byte(ip_len.wrapping_add(4))) << 8 | usize::from(byte(ip_len.wrapping_add(5))))
        }
        Body::Tcp(_) | Body::EchoRequest { .. } | Body::EchoReply { .. } | Body::Error(_) => Some(message),
    };
    let Some(message) = message else { return false };
    match protocol {
        UDP if message.get(6..8) == Some(&[0, 0]) => byte(0) >> 4 == 4,
        TCP | UDP | ICMP_V6 => pseudo_header_sum(header, protocol, message.len())
            .is_some_and(|pseudo| is_right(pseudo.wrapping_add(sum(message)))),
        _ => is_right(sum(message)),
    }
}

/// Cuts a packet that the tunnel device gave: its offload header, then the packet.
pub fn split(bytes: &[u8]) {
    let Some((header, packet)) = bytes.split_first_chunk::<OFFLOAD_HEADER_LEN>() else { return };
    let (Some(offload), Ok(whole)) = (Offload::read(header), parse(packet)) else { return };
    let mut packet = whole.bytes.to_vec();
    let Some(mut split) = Split::new(offload, &mut packet) else { return };
    let (count, longest, cuts) = (split.count(), split.longest(), split.cuts());
    let mut seen = 0_u64;
    while let Some(range) = split.next(&mut packet) {
        seen = seen.wrapping_add(1);
        let segment = packet.get(range).unwrap_or_default();
        assert!(!segment.is_empty() && segment.len() <= longest);
        if cuts {
            let Ok(read) = parse(segment) else { unreachable!("a segment of {whole:?} cannot be read") };
            assert_eq!(read.bytes.len(), segment.len());
            assert_eq!((read.source, read.destination), (whole.source, whole.destination));
            assert_eq!(ports(read.body), ports(whole.body));
            assert!(is_sound(&read), "a segment has a wrong checksum");
        }
    }
    assert_eq!(seen, count);
}

/// What is written to the tunnel device.
#[derive(Default)]
struct Written(Vec<Vec<u8>>);

impl TunnelWriter for Written {
    fn write(&mut self, framed: &[u8]) {
        self.0.push(framed.to_vec());
    }
}

/// Joins packets and cuts them again, as the kernel does: what went in comes out. One byte chooses whether UDP is joined;
/// then each packet follows two bytes that say how long it is.
pub fn coalesce(bytes: &[u8]) {
    let Some((joins_udp, mut rest)) = bytes.split_first() else { return };
    let mut coalescer = Coalescer::new(Written::default(), joins_udp & 1 == 1);
    let mut wanted = Vec::new();
    while let Some((len, after)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len)).min(after.len());
        let (packet, after) = after.split_at_checked(len).unwrap_or_default();
        rest = after;
        if let Ok(packet) = parse(packet) {
            wanted.push(essence(&packet));
            coalescer.packet(packet.bytes);
        }
    }
    coalescer.flush();
    let mut got = Vec::new();
    for framed in &coalescer.writer_ref().0 {
        let Some((header, packet)) = framed.split_first_chunk::<OFFLOAD_HEADER_LEN>() else {
            unreachable!("a packet without its header")
        };
        let (Some(offload), Ok(whole)) = (Offload::read(header), parse(packet)) else {
            unreachable!("what was joined cannot be read: {framed:?}")
        };
        let mut packet = whole.bytes.to_vec();
        let cut = Split::new(offload, &mut packet);
        assert!(cut.is_some() || offload.segmentation == Segmentation::None, "what was joined cannot be cut");
        let Some(mut cut) = cut else { continue };
        while let Some(range) = cut.next(&mut packet) {
            if let Ok(packet) = parse(packet.get(range).unwrap_or_default()) {
                got.push(essence(&packet));
            }
        }
    }
    // Packets of different flows may change places, those of one may not.
    wanted.sort_by_key(|one| one.0);
    got.sort_by_key(|one| one.0);
    assert_eq!(got, wanted);
}

/// Addresses, protocol (0 for ICMP) and ports.
type FlowKey = (IpAddr, IpAddr, u8, Option<(u16, u16)>);

/// A packet's flow, and what its receiver makes of it. Joining may move the push flag, which only says not to wait.
fn essence(packet: &Packet<'_>) -> (FlowKey, Vec<u8>) {
    let (kind, mut rest) = match packet.body {
        Body::Tcp(segment) => {
            let flags = segment.flags & (FIN | SYN | ACK);
            (TCP, [segment.sequence.to_be_bytes(), segment.acknowledgement.to_be_bytes(), [flags, 0, 0, 0]].concat())
        }
        Body::Udp { .. } => (UDP, Vec::new()),
        Body::EchoRequest { .. } | Body::EchoReply { .. } | Body::Error(_) => (0, Vec::new()),
    };
    let bytes = packet.bytes;
    let header_len = match (bytes.first().copied().unwrap_or(0), kind) {
        (_, 0) => 0,
        (first, _) if first >> 4 == 4 => (usize::from(first & 0x0f) << 2).wrapping_add(8),
        _ => 48,
    };
    let header_len = if kind == TCP {
        let offset = bytes.get(header_len.wrapping_add(4)).copied().unwrap_or(0);
        header_len.wrapping_sub(8).wrapping_add(usize::from(offset >> 4) << 2)
    } else {
        header_len
    };
    rest.extend_from_slice(bytes.get(header_len..).unwrap_or_default());
    ((packet.source, packet.destination, kind, ports(packet.body)), rest)
}
