//! Reads one inner packet, once and strictly. Nothing in here can panic, whatever the bytes.
//!
//! Dropped on purpose: fragments, the first one too (the rest carries no ports to decide on, so a first one alone is
//! useless and only serves tricks with overlaps); IPv4 source routes; every IPv6 extension header.

#![cfg_attr(not(test), deny(clippy::arithmetic_side_effects))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::counters::DenyReason;

/// IP protocol numbers.
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;
pub(crate) const ICMP_V4: u8 = 1;
pub(crate) const ICMP_V6: u8 = 58;

/// TCP flags (RFC 9293 section 3.1).
pub(crate) const FIN: u8 = 0x01;
pub(crate) const SYN: u8 = 0x02;
pub(crate) const RST: u8 = 0x04;
pub(crate) const ACK: u8 = 0x10;

/// What a packet is, as far as the core decides on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet<'a> {
    /// The packet, cut to the length its header gives; padding is gone.
    pub(crate) bytes: &'a [u8],
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) body: Body,
}

/// The upper layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Body {
    Tcp(Segment),
    Udp {
        source_port: u16,
        destination_port: u16,
    },
    EchoRequest {
        id: u16,
    },
    EchoReply {
        id: u16,
    },
    /// An ICMP error about a packet that went the other way.
    Error(Quoted),
}

/// A TCP segment's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) source_port: u16,
    pub(crate) destination_port: u16,
    pub(crate) sequence: u32,
    pub(crate) acknowledgement: u32,
    pub(crate) flags: u8,
    /// What it takes of the sequence space: data, SYN and FIN.
    pub(crate) length: u32,
}

impl Segment {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The sequence number after this segment.
    pub(crate) fn end(&self) -> u32 {
        self.sequence.wrapping_add(self.length)
    }
}

/// The packet that an ICMP error quotes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Quoted {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
    pub(crate) protocol: u8,
    /// For echo messages the identifier.
    pub(crate) source_port: u16,
    /// For echo messages 0.
    pub(crate) destination_port: u16,
}

/// Reads a packet.
///
/// # Errors
/// Why it may not pass, whoever sent it.
pub(crate) fn parse(bytes: &[u8]) -> Result<Packet<'_>, DenyReason> {
    match bytes.first().map(|first| first >> 4) {
        Some(4) => parse_v4(bytes),
        Some(6) => parse_v6(bytes),
        Some(_) | None => Err(DenyReason::Malformed),
    }
}

fn parse_v4(bytes: &[u8]) -> Result<Packet<'_>, DenyReason> {
    let malformed = DenyReason::Malformed;
    let (fixed, _) = bytes.split_first_chunk::<20>().ok_or(malformed)?;
    let header_len = usize::from(fixed[0] & 0x0f).saturating_mul(4);
    let total_len = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    if header_len < 20 || total_len < header_len {
        return Err(malformed);
    }
    let bytes = bytes.get(..total_len).ok_or(malformed)?;
    check_v4_options(bytes.get(20..header_len).ok_or(malformed)?)?;
    // More-fragments or an offset; the reserved bit and don't-fragment say nothing here.
    if u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0 {
        return Err(DenyReason::Fragment);
    }
    let source = IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15]));
    let destination = IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19]));
    let message = bytes.get(header_len..).ok_or(malformed)?;
    let body = match fixed[9] {
        TCP => parse_tcp(message)?,
        UDP => parse_udp(message)?,
        ICMP_V4 => parse_icmp_v4(message)?,
        _ => return Err(DenyReason::Protocol),
    };
    Ok(Packet { bytes, source, destination, body })
}

/// Walks the options: source routes (RFC 791 section 3.1, types 131 and 137) would lead a packet elsewhere than where
/// its destination says.
fn check_v4_options(mut options: &[u8]) -> Result<(), DenyReason> {
    while let Some((kind, rest)) = options.split_first() {
        match kind {
            0 => return Ok(()),
            1 => options = rest,
            131 | 137 => return Err(DenyReason::HeaderOption),
            _ => {
                let length = usize::from(*rest.first().ok_or(DenyReason::Malformed)?);
                if length < 2 {
                    return Err(DenyReason::Malformed);
                }
                options = options.get(length..).ok_or(DenyReason::Malformed)?;
            }
        }
    }
    Ok(())
}

fn parse_v6(bytes: &[u8]) -> Result<Packet<'_>, DenyReason> {
    let malformed = DenyReason::Malformed;
    let (fixed, _) = bytes.split_first_chunk::<40>().ok_or(malformed)?;
    let total_len = usize::from(u16::from_be_bytes([fixed[4], fixed[5]])).saturating_add(40);
    let bytes = bytes.get(..total_len).ok_or(malformed)?;
    let address = |at: usize| {
        let octets = fixed.get(at..).and_then(|rest| rest.first_chunk::<16>()).ok_or(malformed)?;
        Ok::<_, DenyReason>(IpAddr::V6(Ipv6Addr::from_octets(*octets)))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let message = bytes.get(40..).ok_or(malformed)?;
    let body = match fixed[6] {
        TCP => parse_tcp(message)?,
        UDP => parse_udp(message)?,
        ICMP_V6 => parse_icmp_v6(message)?,
        44 => return Err(DenyReason::Fragment),
        // Hop-by-hop, routing, destination options, authentication, mobility, HIP, shim6 (RFC 7045 section 4).
        0 | 43 | 51 | 60 | 135 | 139 | 140 => return Err(DenyReason::HeaderOption),
        _ => return Err(DenyReason::Protocol),
    };
    Ok(Packet { bytes, source, destination, body })
}

fn parse_tcp(message: &[u8]) -> Result<Body, DenyReason> {
    let (fixed, _) = message.split_first_chunk::<20>().ok_or(DenyReason::Malformed)?;
    let header_len = usize::from(fixed[12] >> 4).saturating_mul(4);
    let payload_len = message.len().checked_sub(header_len).ok_or(DenyReason::Malformed)?;
    if header_len < 20 {
        return Err(DenyReason::Malformed);
    }
    let flags = fixed[13];
    let taken = u32::from(flags & SYN != 0).saturating_add(u32::from(flags & FIN != 0));
    Ok(Body::Tcp(Segment {
        source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
        destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
        sequence: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
        acknowledgement: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
        flags,
        length: u32::try_from(payload_len).unwrap_or(0).saturating_add(taken),
    }))
}

fn parse_udp(message: &[u8]) -> Result<Body, DenyReason> {
    let (fixed, _) = message.split_first_chunk::<8>().ok_or(DenyReason::Malformed)?;
    let length = usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    if length < 8 || length > message.len() {
        return Err(DenyReason::Malformed);
    }
    Ok(Body::Udp {
        source_port: u16::from_be_bytes([fixed[0], fixed[1]]),
        destination_port: u16::from_be_bytes([fixed[2], fixed[3]]),
    })
}

fn parse_icmp_v4(message: &[u8]) -> Result<Body, DenyReason> {
    let (fixed, quoted) = message.split_first_chunk::<8>().ok_or(DenyReason::Malformed)?;
    let id = u16::from_be_bytes([fixed[4], fixed[5]]);
    match fixed[0] {
        8 => Ok(Body::EchoRequest { id }),
        0 => Ok(Body::EchoReply { id }),
        // Destination unreachable, with "fragmentation needed", and time exceeded (RFC 792).
        3 | 11 => quoted_v4(quoted).map(Body::Error),
        _ => Err(DenyReason::Protocol),
    }
}

fn parse_icmp_v6(message: &[u8]) -> Result<Body, DenyReason> {
    let (fixed, quoted) = message.split_first_chunk::<8>().ok_or(DenyReason::Malformed)?;
    let id = u16::from_be_bytes([fixed[4], fixed[5]]);
    match fixed[0] {
        128 => Ok(Body::EchoRequest { id }),
        129 => Ok(Body::EchoReply { id }),
        // Destination unreachable, packet too big, time exceeded (RFC 4443 section 3).
        1..=3 => quoted_v6(quoted).map(Body::Error),
        _ => Err(DenyReason::Protocol),
    }
}

/// Reads as much of a quoted packet as ICMP promises: its header and 8 bytes.
fn quoted_v4(bytes: &[u8]) -> Result<Quoted, DenyReason> {
    let malformed = DenyReason::Malformed;
    let (fixed, _) = bytes.split_first_chunk::<20>().ok_or(malformed)?;
    let header_len = usize::from(fixed[0] & 0x0f).saturating_mul(4);
    if fixed[0] >> 4 != 4 || header_len < 20 {
        return Err(malformed);
    }
    if u16::from_be_bytes([fixed[6], fixed[7]]) & 0x3fff != 0 {
        return Err(DenyReason::Fragment);
    }
    quoted(
        IpAddr::V4(Ipv4Addr::new(fixed[12], fixed[13], fixed[14], fixed[15])),
        IpAddr::V4(Ipv4Addr::new(fixed[16], fixed[17], fixed[18], fixed[19])),
        fixed[9],
        bytes.get(header_len..).ok_or(malformed)?,
    )
}

fn quoted_v6(bytes: &[u8]) -> Result<Quoted, DenyReason> {
    let malformed = DenyReason::Malformed;
    let (fixed, message) = bytes.split_first_chunk::<40>().ok_or(malformed)?;
    if fixed[0] >> 4 != 6 {
        return Err(malformed);
    }
    let address = |at: usize| {
        let octets = fixed.get(at..).and_then(|rest| rest.first_chunk::<16>()).ok_or(malformed)?;
        Ok::<_, DenyReason>(IpAddr::V6(Ipv6Addr::from_octets(*octets)))
    };
    quoted(address(8)?, address(24)?, fixed[6], message)
}

fn quoted(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8]) -> Result<Quoted, DenyReason> {
    let first = message.first_chunk::<8>().ok_or(DenyReason::Malformed)?;
    let (source_port, destination_port) = match (protocol, source.is_ipv4()) {
        (TCP | UDP, _) => (u16::from_be_bytes([first[0], first[1]]), u16::from_be_bytes([first[2], first[3]])),
        (ICMP_V4, true) if matches!(first[0], 0 | 8) => (u16::from_be_bytes([first[4], first[5]]), 0),
        (ICMP_V6, false) if matches!(first[0], 128 | 129) => (u16::from_be_bytes([first[4], first[5]]), 0),
        _ => return Err(DenyReason::Protocol),
    };
    Ok(Quoted { source, destination, protocol, source_port, destination_port })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn v4(header: &[u8], rest: &[u8]) -> Vec<u8> {
        let mut bytes = header.to_vec();
        bytes.extend_from_slice(rest);
        let total = u16::try_from(bytes.len()).unwrap().to_be_bytes();
        bytes[2..4].copy_from_slice(&total);
        bytes
    }

    const UDP_V4: [u8; 20] = [0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    const UDP_HEADER: [u8; 8] = [0, 1, 0, 2, 0, 8, 0, 0];

    #[test]
    fn padding_after_the_length_in_the_header_is_cut() {
        let mut bytes = v4(&UDP_V4, &UDP_HEADER);
        bytes.extend([0; 13]);
        assert_eq!(parse(&bytes).unwrap().bytes.len(), 28);
    }

    #[test]
    fn a_length_beyond_the_buffer_is_malformed() {
        let mut bytes = v4(&UDP_V4, &UDP_HEADER);
        bytes[3] = 29;
        assert_eq!(parse(&bytes), Err(DenyReason::Malformed));
        let mut long = v4(&UDP_V4, &UDP_HEADER);
        long[25] = 9;
        assert_eq!(parse(&long), Err(DenyReason::Malformed));
    }

    #[test]
    fn fragments_are_refused_first_or_not() {
        for (high, low) in [(0x20, 0), (0, 1), (0x20, 1), (0x1f, 0xff)] {
            let mut bytes = v4(&UDP_V4, &UDP_HEADER);
            (bytes[6], bytes[7]) = (high, low);
            assert_eq!(parse(&bytes), Err(DenyReason::Fragment));
        }
        let mut dont_fragment = v4(&UDP_V4, &UDP_HEADER);
        dont_fragment[6] = 0x40;
        assert!(parse(&dont_fragment).is_ok());
    }

    #[test]
    fn source_routes_are_refused_and_other_options_pass() {
        let with = |option: [u8; 4]| {
            let mut header = UDP_V4.to_vec();
            header[0] = 0x46;
            header.extend(option);
            v4(&header, &UDP_HEADER)
        };
        assert_eq!(parse(&with([131, 4, 4, 0])), Err(DenyReason::HeaderOption));
        assert_eq!(parse(&with([1, 137, 3, 4])), Err(DenyReason::HeaderOption));
        assert_eq!(parse(&with([7, 9, 0, 0])), Err(DenyReason::Malformed));
        assert_eq!(parse(&with([7, 0, 0, 0])), Err(DenyReason::Malformed));
        assert!(parse(&with([148, 4, 0, 0])).is_ok());
    }

    #[test]
    fn extension_headers_are_refused() {
        for next in [0, 43, 51, 60, 135, 139, 140] {
            let mut bytes = vec![0; 56];
            (bytes[0], bytes[5], bytes[6]) = (0x60, 16, next);
            assert_eq!(parse(&bytes), Err(DenyReason::HeaderOption));
            bytes[6] = 44;
            assert_eq!(parse(&bytes), Err(DenyReason::Fragment));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_and_what_parses_lies_within_them(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(packet) = parse(&bytes) {
                prop_assert!(packet.bytes.len() <= bytes.len());
            }
        }

        #[test]
        fn nearly_right_headers_do_not_panic(
            version in prop_oneof![Just(0x45_u8), Just(0x46), Just(0x4f), Just(0x60)],
            protocol in prop_oneof![Just(TCP), Just(UDP), Just(ICMP_V4), Just(ICMP_V6), Just(44), any::<u8>()],
            mut bytes in proptest::collection::vec(any::<u8>(), 48..160),
        ) {
            bytes[0] = version;
            let length = u16::try_from(bytes.len()).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            if version == 0x60 {
                bytes[4..6].copy_from_slice(&(length - 40).to_be_bytes());
                bytes[6] = protocol;
            } else {
                bytes[6..8].copy_from_slice(&[0, 0]);
                bytes[9] = protocol;
            }
            if let Ok(packet) = parse(&bytes) {
                prop_assert!(packet.bytes.len() <= bytes.len());
            }
        }
    }
}
