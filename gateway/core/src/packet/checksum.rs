//! The Internet checksum (RFC 1071) and the IP headers of packets that the core writes.

use std::net::IpAddr;

/// Hops that packets written here may take, as most systems begin with.
const HOPS: u8 = 64;

/// A sum of 16-bit words, to be folded at the end.
fn sum(bytes: &[u8]) -> u64 {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let words: u64 = pairs.iter().map(|pair| u64::from(u16::from_be_bytes(*pair))).sum();
    words.wrapping_add(rest.first().map_or(0, |last| u64::from(*last) << 8))
}

/// Folds a sum to the checksum's 16 bits and complements it.
fn finish(mut sum: u64) -> [u8; 2] {
    while sum > 0xffff {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    let low = u16::try_from(sum).unwrap_or(0);
    (!low).to_be_bytes()
}

/// Returns the checksum of bytes that need no pseudo header (IPv4 headers, ICMP for IPv4).
pub(super) fn plain(bytes: &[u8]) -> [u8; 2] {
    finish(sum(bytes))
}

/// Returns the checksum of an upper-layer message with its pseudo header (RFC 9293 section 3.1, RFC 8200 section 8.1).
pub(super) fn with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> [u8; 2] {
    let addresses = match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => sum(&a.octets()).wrapping_add(sum(&b.octets())),
        (IpAddr::V6(a), IpAddr::V6(b)) => sum(&a.octets()).wrapping_add(sum(&b.octets())),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    let length = u64::try_from(message.len()).unwrap_or(0);
    finish(addresses.wrapping_add(u64::from(protocol)).wrapping_add(length).wrapping_add(sum(message)))
}

/// Puts an IP header before a message; `None` for two families or a message that does not fit.
pub(super) fn wrap(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> Option<Vec<u8>> {
    let mut packet = Vec::with_capacity(message.len().saturating_add(40));
    match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let total = u16::try_from(message.len().checked_add(20)?).ok()?.to_be_bytes();
            packet.extend([0x45, 0, total[0], total[1], 0, 0, 0x40, 0, HOPS, protocol, 0, 0]);
            packet.extend(a.octets());
            packet.extend(b.octets());
            let checksum = plain(&packet);
            packet.get_mut(10..12)?.copy_from_slice(&checksum);
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let length = u16::try_from(message.len()).ok()?.to_be_bytes();
            packet.extend([0x60, 0, 0, 0, length[0], length[1], protocol, HOPS]);
            packet.extend(a.octets());
            packet.extend(b.octets());
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    }
    packet.extend_from_slice(message);
    Some(packet)
}
