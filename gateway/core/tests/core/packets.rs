//! Inner packets, made by hand.

use std::net::IpAddr;

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;

pub(crate) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(crate) fn wrap(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> Vec<u8> {
    let length = |extra: usize| u16::try_from(message.len() + extra).unwrap().to_be_bytes();
    let mut packet = match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mut header = vec![0x45, 0, length(20)[0], length(20)[1], 0, 0, 0, 0, 64, protocol, 0, 0];
            header.extend(a.octets().into_iter().chain(b.octets()));
            header
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mut header = vec![0x60, 0, 0, 0, length(0)[0], length(0)[1], protocol, 64];
            header.extend(a.octets().into_iter().chain(b.octets()));
            header
        }
        _ => panic!("two families"),
    };
    packet.extend_from_slice(message);
    packet
}

pub(crate) fn udp(from: (&str, u16), to: (&str, u16), payload: &[u8]) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(from.1.to_be_bytes());
    message.extend(to.1.to_be_bytes());
    message.extend(u16::try_from(payload.len() + 8).unwrap().to_be_bytes());
    message.extend([0, 0]);
    message.extend_from_slice(payload);
    wrap(ip(from.0), ip(to.0), 17, &message)
}

pub(crate) fn tcp(
    from: (&str, u16),
    to: (&str, u16),
    flags: u8,
    (sequence, acknowledgement): (u32, u32),
    payload: &[u8],
) -> Vec<u8> {
    let mut message = Vec::new();
    message.extend(from.1.to_be_bytes());
    message.extend(to.1.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(acknowledgement.to_be_bytes());
    message.extend([5 << 4, flags, 1, 0, 0, 0, 0, 0]);
    message.extend_from_slice(payload);
    wrap(ip(from.0), ip(to.0), 6, &message)
}

/// An echo request or reply.
pub(crate) fn echo(from: &str, to: &str, request: bool, id: u16) -> Vec<u8> {
    let (source, destination) = (ip(from), ip(to));
    let kind = match (source.is_ipv4(), request) {
        (true, true) => 8,
        (true, false) => 0,
        (false, true) => 128,
        (false, false) => 129,
    };
    let id = id.to_be_bytes();
    wrap(source, destination, if source.is_ipv4() { 1 } else { 58 }, &[kind, 0, 0, 0, id[0], id[1], 0, 1])
}

/// An ICMP error that quotes a packet.
pub(crate) fn icmp_error(from: &str, to: &str, kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
    let mut message = vec![kind, code, 0, 0, 0, 0, 5, 0];
    message.extend_from_slice(quoted);
    wrap(ip(from), ip(to), if ip(from).is_ipv4() { 1 } else { 58 }, &message)
}

/// What a test looks at in a TCP packet, IPv4 or IPv6 without options.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
}

pub(crate) fn see_tcp(packet: &[u8]) -> Seen {
    let v4 = packet[0] >> 4 == 4;
    assert_eq!(packet[if v4 { 9 } else { 6 }], 6, "no TCP");
    assert_eq!(checksum(packet), 0xffff, "a wrong checksum");
    let m = &packet[if v4 { 20 } else { 40 }..];
    Seen {
        source_port: u16::from_be_bytes([m[0], m[1]]),
        destination_port: u16::from_be_bytes([m[2], m[3]]),
        sequence: u32::from_be_bytes([m[4], m[5], m[6], m[7]]),
        acknowledgement: u32::from_be_bytes([m[8], m[9], m[10], m[11]]),
        flags: m[13],
    }
}

/// The sum over the upper layer with its pseudo header, which a right checksum makes 0xffff.
pub(crate) fn checksum(packet: &[u8]) -> u16 {
    let v4 = packet[0] >> 4 == 4;
    let (start, addresses, protocol) = if v4 { (20, 12..20, packet[9]) } else { (40, 8..40, packet[6]) };
    let message = &packet[start..];
    let mut bytes = Vec::new();
    if protocol != 1 {
        bytes.extend_from_slice(&packet[addresses]);
        bytes.extend([0, protocol]);
        bytes.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    }
    bytes.extend_from_slice(message);
    ones(&bytes)
}

/// The same packet with its checksums filled in, the IP header's too.
pub(crate) fn whole(mut packet: Vec<u8>) -> Vec<u8> {
    let v4 = packet[0] >> 4 == 4;
    if v4 {
        let sum = ones(&packet[..20]);
        packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
    }
    let (start, protocol) = if v4 { (20, packet[9]) } else { (40, packet[6]) };
    let at = start
        + match protocol {
            6 => 16,
            17 => 6,
            _ => 2,
        };
    let sum = checksum(&packet);
    packet[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
    packet
}

/// Says whether every checksum of a packet is right, the IP header's too.
pub(crate) fn is_whole(packet: &[u8]) -> bool {
    (packet[0] >> 4 == 6 || ones(&packet[..20]) == 0xffff) && checksum(packet) == 0xffff
}

fn ones(bytes: &[u8]) -> u16 {
    let mut sum: u32 = bytes.chunks(2).map(|c| u32::from(c[0]) << 8 | u32::from(*c.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap()
}
