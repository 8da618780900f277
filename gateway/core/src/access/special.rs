//! Destinations that a prefix of a resource never covers, only a target that lies in the special range itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use doorward_model::Target;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

const fn v4(a: u8, b: u8, length: u8) -> IpNet {
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(a, b, 0, 0), length))
}

const fn v6(first: u16, length: u8) -> IpNet {
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(first, 0, 0, 0, 0, 0, 0, 0), length))
}

/// The ranges (RFC 6890 and its registry), each with what a stray rule would open.
const SPECIAL: [IpNet; 12] = [
    v4(0, 0, 8),      // "this network": reaches the machine itself on Linux
    v4(127, 0, 8),    // loopback
    v4(169, 254, 16), // link-local, with the cloud's metadata service
    v4(224, 0, 4),    // multicast
    v4(240, 0, 4),    // reserved, with the limited broadcast
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::UNSPECIFIED, 128)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0, 0, 0, 0, 0, 0xffff, 0, 0), 96)), // IPv4-mapped
    v6(0xfe80, 10),                                                                 // link-local
    v6(0xff00, 8),                                                                  // multicast
    // Amazon's metadata service.
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254), 128)),
    // Google's.
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254), 128)),
];

/// Says whether a target names this destination, special ranges considered.
pub(crate) fn covers(target: &Target, destination: IpAddr, is_own: bool) -> bool {
    // A name is reached by its resource's service address.
    let Some(net) = target.net() else { return false };
    if !net.contains(&destination) {
        return false;
    }
    if is_own && net.prefix_len() != net.max_prefix_len() {
        return false;
    }
    SPECIAL.iter().all(|special| !special.contains(&destination) || special.contains(&net))
}

/// Says whether an address is in a special range.
pub(crate) fn is_special(destination: IpAddr) -> bool {
    SPECIAL.iter().any(|special| special.contains(&destination))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wide_target_covers_no_special_address() {
        let covers =
            |target: &str, destination: &str, own| covers(&target.parse().unwrap(), destination.parse().unwrap(), own);
        assert!(covers("168.0.0.0/6", "169.253.0.1", false));
        assert!(!covers("168.0.0.0/6", "169.254.169.254", false));
        assert!(covers("169.254.169.254", "169.254.169.254", false));
        assert!(!covers("fd00::/8", "fd00:ec2::254", false));
        assert!(covers("fd00:ec2::254", "fd00:ec2::254", false));
        assert!(!covers("126.0.0.0/7", "127.0.0.1", false));
        assert!(!covers("10.0.0.0/8", "10.0.0.1", true));
        assert!(covers("10.0.0.1", "10.0.0.1", true));
        assert!(covers("10.0.0.0/8", "10.0.0.2", false));
    }
}
