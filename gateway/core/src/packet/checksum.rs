//! The Internet checksum (RFC 1071) and the IP headers of packets that the core writes.

use std::net::IpAddr;

/// Hops that packets written here may take, as most systems begin with.
const HOPS: u8 = 64;

/// Bytes summed in one step: wide enough for the compiler to use vector registers.
const STEP: usize = 32;

/// A sum of 16-bit words in the machine's own byte order, which ones' complement does not mind (RFC 1071 section 2B),
/// to be folded at the end.
pub(crate) fn sum(bytes: &[u8]) -> u64 {
    let (steps, rest) = bytes.as_chunks::<STEP>();
    // A lane of 32 bits holds the sum of 65,537 words at least; a packet has 2,048 for each lane at most.
    let mut lanes = [0_u32; STEP / 2];
    for step in steps {
        for (lane, pair) in lanes.iter_mut().zip(step.as_chunks::<2>().0) {
            *lane = lane.wrapping_add(u32::from(u16::from_ne_bytes(*pair)));
        }
    }
    let (pairs, last) = rest.as_chunks::<2>();
    let words = pairs.iter().map(|pair| u64::from(u16::from_ne_bytes(*pair)));
    let odd = last.first().map(|last| u64::from(u16::from_ne_bytes([*last, 0])));
    lanes.into_iter().map(u64::from).chain(words).chain(odd).fold(0, u64::wrapping_add)
}

/// Folds a sum to 16 bits, in the machine's own byte order.
pub(crate) fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff).wrapping_add(sum >> 16);
    }
    u16::try_from(sum).unwrap_or(0)
}

/// Sums the pseudo header that an IP header stands for (RFC 9293 section 3.1, RFC 8200 section 8.1); `None` for what is
/// no IP header.
pub(crate) fn pseudo_header_sum(ip: &[u8], protocol: u8, upper_len: usize) -> Option<u64> {
    let addresses = match ip.first()? >> 4 {
        4 => ip.get(12..20)?,
        6 => ip.get(8..40)?,
        _ => return None,
    };
    Some(sum(addresses).wrapping_add(length_and_protocol(protocol, upper_len)))
}

fn length_and_protocol(protocol: u8, upper_len: usize) -> u64 {
    let length = u16::try_from(upper_len).unwrap_or(0).to_be();
    u64::from(length).wrapping_add(u64::from(u16::from_ne_bytes([0, protocol])))
}

/// Returns the checksum of bytes that need no pseudo header (IPv4 headers, ICMP for IPv4).
pub(super) fn plain(bytes: &[u8]) -> [u8; 2] {
    (!fold(sum(bytes))).to_ne_bytes()
}

/// Returns the checksum of an upper-layer message with its pseudo header.
pub(super) fn with_pseudo_header(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> [u8; 2] {
    let addresses = match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => sum(&a.octets()).wrapping_add(sum(&b.octets())),
        (IpAddr::V6(a), IpAddr::V6(b)) => sum(&a.octets()).wrapping_add(sum(&b.octets())),
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => 0,
    };
    let rest = length_and_protocol(protocol, message.len()).wrapping_add(sum(message));
    (!fold(addresses.wrapping_add(rest))).to_ne_bytes()
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
