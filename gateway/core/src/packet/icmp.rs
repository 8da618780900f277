//! "Administratively prohibited", so that a person sees a refusal at once instead of waiting for a timeout.

use std::net::IpAddr;

use super::checksum;
use super::parse::{ICMP_V4, ICMP_V6};

/// Bytes of the refused packet that are quoted, IPv4: header and some data; RFC 1812 section 4.3.2.3 allows up to 576 in all.
const QUOTE_V4_MAX: usize = 128;
/// The same for IPv6; RFC 4443 section 2.4 (c) allows up to 1280 in all.
const QUOTE_V6_MAX: usize = 256;

/// Writes the refusal of `refused` (a whole packet from `to`), sent by `from`; `None` for two families.
///
/// IPv4: type 3 code 13 (RFC 1812 section 5.2.7.1). IPv6: type 1 code 1 (RFC 4443 section 3.1).
pub(crate) fn prohibited(from: IpAddr, to: IpAddr, refused: &[u8]) -> Option<Vec<u8>> {
    let (kind, code, protocol, quote_max) = match to {
        IpAddr::V4(_) => (3, 13, ICMP_V4, QUOTE_V4_MAX),
        IpAddr::V6(_) => (1, 1, ICMP_V6, QUOTE_V6_MAX),
    };
    let quote = refused.get(..quote_max).unwrap_or(refused);
    let mut message = vec![kind, code, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(quote);
    let sum = match to {
        IpAddr::V4(_) => checksum::plain(&message),
        IpAddr::V6(_) => checksum::with_pseudo_header(from, to, protocol, &message),
    };
    message.get_mut(2..4)?.copy_from_slice(&sum);
    checksum::wrap(from, to, protocol, &message)
}
