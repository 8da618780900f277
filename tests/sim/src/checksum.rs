//! The Internet checksum (RFC 1071), in the plainest way.

use std::net::IpAddr;

/// Adds up words in ones' complement.
fn sum(bytes: &[u8]) -> u32 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [last] => u32::from(*last) << 8,
        _ => 0,
    });
    fold(words.fold(0, u32::wrapping_add))
}

fn fold(mut sum: u32) -> u32 {
    while sum > 0xffff {
        sum = (sum & 0xffff).saturating_add(sum >> 16);
    }
    sum
}

fn put(bytes: &mut [u8], at: usize, sum: u32) {
    let word = u16::try_from(sum & 0xffff).unwrap_or(0).to_be_bytes();
    bytes.iter_mut().skip(at).zip(word).for_each(|(to, from)| *to = from);
}

/// Where a message of that protocol has its checksum; none for GRE.
fn place(protocol: u8) -> Option<usize> {
    match protocol {
        6 => Some(16),
        17 => Some(6),
        1 | 58 => Some(2),
        _ => None,
    }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The sum of the pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1); ICMP over IPv4 has none.
fn pseudo(source: IpAddr, destination: IpAddr, protocol: u8, len: usize) -> u32 {
    if protocol == 1 {
        return 0;
    }
    let len = u32::try_from(len).unwrap_or(0);
    fold(
        sum(&octets(source))
            .wrapping_add(sum(&octets(destination)))
            .wrapping_add(u32::from(protocol))
            .wrapping_add(len),
    )
}

/// Writes the checksum of an IPv4 header.
pub fn finish_header(header: &mut [u8]) {
    put(header, 10, 0);
    let sum = sum(header);
    put(header, 10, !sum);
}

/// Writes the checksum of a message between two addresses.
pub fn finish(source: IpAddr, destination: IpAddr, protocol: u8, message: &mut [u8]) {
    let Some(at) = place(protocol) else { return };
    put(message, at, 0);
    let whole = !fold(pseudo(source, destination, protocol, message.len()).wrapping_add(sum(message))) & 0xffff;
    put(message, at, if whole == 0 && protocol == 17 { 0xffff } else { whole });
}

/// Writes the pseudo header's sum alone, as a kernel leaves it for a device that finishes checksums; says where the message
/// begins and where in it the checksum is. `start` is the length of the IP header.
pub fn leave_open(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    packet: &mut [u8],
    start: u16,
) -> Option<(u16, u16)> {
    let at = place(protocol)?;
    let message = packet.get_mut(usize::from(start)..)?;
    put(message, at, pseudo(source, destination, protocol, message.len()));
    Some((start, u16::try_from(at).ok()?))
}

/// Says whether two packets are the same; zero may be written in both of its ways.
#[must_use]
pub fn same(a: &[u8], b: &[u8]) -> bool {
    let zeros = [[0, 0].as_slice(), &[0xff, 0xff]];
    a.len() == b.len()
        && a.chunks(2).zip(b.chunks(2)).all(|(a, b)| a == b || (zeros.contains(&a) && zeros.contains(&b)))
}
