//! Puts another address into a packet, in place: a target for a service address on the way in, and back.
//!
//! Checksums are brought up to date word by word (RFC 1624, equation 3), never computed anew: a packet that arrived
//! damaged stays damaged, so that its receiver can tell. Nothing in here can panic, whatever the bytes; a packet that has
//! no room for what it claims to be is left as far as it was read, and `false` says that it must be dropped.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::net::IpAddr;

use super::parse::{ICMP_V4, ICMP_V6, TCP, UDP};

/// Which address of a packet is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// On the way to a device: the target becomes the service address.
    Source,
    /// On the way to a resource: the service address becomes the target.
    Destination,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Source => Self::Destination,
            Self::Destination => Self::Source,
        }
    }
}

/// What stands in the checksum field of TCP and UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checksums {
    /// The checksum, as on a wire; 0 in UDP over IPv4 says that there is none, and stays.
    Whole,
    /// The sum over the pseudo header, not complemented: whoever cuts the packet into segments, or the hardware, adds
    /// the rest (`VIRTIO_NET_HDR_F_NEEDS_CSUM`). ICMP, which no device completes, is whole all the same.
    Partial,
}

/// Replaces one address of a packet by `to`; in an ICMP error also the other address of the packet that it quotes, which
/// went the other way. Says whether that could be done; `to` must be of the packet's family.
///
/// The packet is one that [`super::parse::parse`] took, perhaps longer than one segment.
pub(crate) fn rewrite(packet: &mut [u8], side: Side, to: IpAddr, checksums: Checksums) -> bool {
    rewrite_checked(packet, side, to, checksums).is_some()
}

fn rewrite_checked(packet: &mut [u8], side: Side, to: IpAddr, checksums: Checksums) -> Option<()> {
    let mut change = Change::default();
    let (protocol, header_len) = readdress(packet, side, to, &mut change)?;
    let message = packet.get_mut(header_len..)?;
    let kind = *message.first()?;
    match (protocol, to) {
        (TCP, _) => update(message, 16, change, checksums),
        (UDP, _) => update_udp(message, to.is_ipv4(), change, checksums),
        (ICMP_V4, IpAddr::V4(_)) if matches!(kind, 0 | 8) => Some(()),
        (ICMP_V4, IpAddr::V4(_)) => {
            // ICMP for IPv4 has no pseudo header: its sum covers the quoted packet alone.
            let quoted = rewrite_quoted(message.get_mut(8..)?, side.other(), to)?;
            update(message, 2, quoted, Checksums::Whole)
        }
        (ICMP_V6, IpAddr::V6(_)) if matches!(kind, 128 | 129) => update(message, 2, change, Checksums::Whole),
        (ICMP_V6, IpAddr::V6(_)) => {
            let quoted = rewrite_quoted(message.get_mut(8..)?, side.other(), to)?;
            update(message, 2, change.and(quoted), Checksums::Whole)
        }
        (_, _) => None,
    }
}

/// Replaces an address of a quoted packet, as much of it as is there; returns the change to a sum over all of it.
fn rewrite_quoted(packet: &mut [u8], side: Side, to: IpAddr) -> Option<Change> {
    let mut addresses = Change::default();
    let mut all = Change::default();
    let before = header_checksum(packet, to);
    let (protocol, header_len) = readdress(packet, side, to, &mut addresses)?;
    all.replace(before, header_checksum(packet, to));
    let (at, is_udp_v4) = match (protocol, to) {
        (TCP, _) => (16_usize, false),
        (UDP, IpAddr::V4(_)) => (6, true),
        (UDP, IpAddr::V6(_)) => (6, false),
        (ICMP_V6, IpAddr::V6(_)) => (2, false),
        (_, _) => return Some(all.and(addresses)),
    };
    // ICMP promises 8 bytes of the message: TCP's checksum may lie beyond them.
    if let Some(message) = packet.get_mut(header_len..)
        && let Some(before) = word(message, at)
    {
        if protocol == UDP {
            update_udp(message, is_udp_v4, addresses, Checksums::Whole)?;
        } else {
            update(message, at, addresses, Checksums::Whole)?;
        }
        all.replace(before, word(message, at)?);
    }
    Some(all.and(addresses))
}

fn header_checksum(packet: &[u8], family: IpAddr) -> u16 {
    if family.is_ipv4() { word(packet, 10).unwrap_or(0) } else { 0 }
}

/// Writes the address into the IP header and updates the header's own checksum; returns the protocol and the header's
/// length. `change` gets what the pseudo header changes by.
fn readdress(packet: &mut [u8], side: Side, to: IpAddr, change: &mut Change) -> Option<(u8, usize)> {
    let first = *packet.first()?;
    match to {
        IpAddr::V4(to) if first >> 4 == 4 => {
            let header_len = usize::from(first & 0x0f).checked_mul(4)?;
            let protocol = *packet.get(9)?;
            let at = if side == Side::Source { 12 } else { 16 };
            put(packet, at, &to.octets(), change)?;
            update(packet, 10, *change, Checksums::Whole)?;
            (header_len >= 20).then_some((protocol, header_len))
        }
        IpAddr::V6(to) if first >> 4 == 6 => {
            let protocol = *packet.get(6)?;
            let at = if side == Side::Source { 8 } else { 24 };
            put(packet, at, &to.octets(), change)?;
            Some((protocol, 40))
        }
        IpAddr::V4(_) | IpAddr::V6(_) => None,
    }
}

/// Writes an address of an even number of bytes at an even place.
fn put(packet: &mut [u8], at: usize, address: &[u8], change: &mut Change) -> Option<()> {
    let place = packet.get_mut(at..)?.get_mut(..address.len())?;
    for (old, new) in place.as_chunks::<2>().0.iter().zip(address.as_chunks::<2>().0) {
        change.replace(u16::from_be_bytes(*old), u16::from_be_bytes(*new));
    }
    place.copy_from_slice(address);
    Some(())
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk::<2>()?))
}

fn update_udp(message: &mut [u8], is_ipv4: bool, change: Change, checksums: Checksums) -> Option<()> {
    if checksums == Checksums::Whole && word(message, 6)? == 0 {
        // None was computed, which IPv4 allows and IPv6 does not: there it stays as wrong as it was.
        return Some(()).filter(|()| is_ipv4);
    }
    update(message, 6, change, checksums)?;
    if checksums == Checksums::Whole && word(message, 6)? == 0 {
        // 0 would say that there is none (RFC 768).
        message.get_mut(6..8)?.copy_from_slice(&[0xff, 0xff]);
    }
    Some(())
}

fn update(bytes: &mut [u8], at: usize, change: Change, checksums: Checksums) -> Option<()> {
    let held = word(bytes, at)?;
    let updated = match checksums {
        Checksums::Whole => !change.added_to(!held),
        Checksums::Partial => change.added_to(held),
    };
    bytes.get_mut(at..)?.get_mut(..2)?.copy_from_slice(&updated.to_be_bytes());
    Some(())
}

/// By how much a sum of 16-bit words changes, in one's complement arithmetic, not yet folded.
#[derive(Debug, Clone, Copy, Default)]
struct Change(u64);

impl Change {
    fn replace(&mut self, old: u16, new: u16) {
        self.0 = self.0.wrapping_add(u64::from(!old)).wrapping_add(u64::from(new));
    }

    fn and(self, other: Self) -> Self {
        Self(self.0.wrapping_add(other.0))
    }

    fn added_to(self, sum: u16) -> u16 {
        let mut sum = self.0.wrapping_add(u64::from(sum));
        while sum > 0xffff {
            sum = (sum & 0xffff).wrapping_add(sum >> 16);
        }
        u16::try_from(sum).unwrap_or(0)
    }
}

#[cfg(test)]
#[path = "translate_tests.rs"]
mod tests;
