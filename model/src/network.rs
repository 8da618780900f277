//! Doorward's own network: the addresses that people's devices have inside the tunnel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{Ipv4Net, Ipv6Net};
use serde::{Deserialize, Serialize};

/// Why a pair of prefixes is no usable tunnel network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TunnelNetworkError {
    /// Host bits set.
    #[error("network `{text}` has host bits set: write {network}")]
    HostBits {
        /// The prefix as given.
        text: String,
        /// The prefix with host bits cleared.
        network: String,
    },
    /// No room for a gateway and one device.
    #[error("network `{text}` is too small: give at least a /30 for IPv4 and a /126 for IPv6")]
    TooSmall {
        /// The prefix as given.
        text: String,
    },
}

/// The tunnel's IPv4 and IPv6 prefix; the gateway has the first host address of each, devices get a /32 and a /128.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Prefixes")]
pub struct TunnelNetwork {
    /// IPv4 prefix, /30 or larger.
    v4: Ipv4Net,
    /// IPv6 prefix, /126 or larger.
    v6: Ipv6Net,
}

/// One part in so many of the network is for service addresses.
const SERVICE_SHARE: u32 = 16;
/// Service addresses at most: above any shop's number of resources.
const SERVICE_SLOTS_MAX: u32 = 4_096;

/// A resource's own address inside Doorward's network, one of each family. It stays the same for as long as the resource
/// exists, whatever its targets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceAddress {
    /// IPv4.
    pub v4: Ipv4Addr,
    /// IPv6.
    pub v6: Ipv6Addr,
}

impl ServiceAddress {
    /// Says whether it is this address, in the address's own family.
    #[must_use]
    pub fn is(&self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => v4 == self.v4,
            IpAddr::V6(v6) => v6 == self.v6,
        }
    }

    /// Returns both addresses.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [IpAddr::V4(self.v4), IpAddr::V6(self.v6)]
    }
}

/// The two prefixes as they arrive, unchecked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefixes {
    v4: Ipv4Net,
    v6: Ipv6Net,
}

impl TryFrom<Prefixes> for TunnelNetwork {
    type Error = TunnelNetworkError;

    fn try_from(prefixes: Prefixes) -> Result<Self, TunnelNetworkError> {
        Self::new(prefixes.v4, prefixes.v6)
    }
}

impl TunnelNetwork {
    /// Pairs two prefixes.
    ///
    /// # Errors
    /// Host bits that are set, or a prefix without room for the gateway and one device.
    pub fn new(v4: Ipv4Net, v6: Ipv6Net) -> Result<Self, TunnelNetworkError> {
        if v4.addr() != v4.network() {
            return Err(TunnelNetworkError::HostBits { text: v4.to_string(), network: v4.trunc().to_string() });
        }
        if v6.addr() != v6.network() {
            return Err(TunnelNetworkError::HostBits { text: v6.to_string(), network: v6.trunc().to_string() });
        }
        if v4.prefix_len() > 30 || v4.prefix_len() == 0 {
            return Err(TunnelNetworkError::TooSmall { text: v4.to_string() });
        }
        if v6.prefix_len() > 126 || v6.prefix_len() == 0 {
            return Err(TunnelNetworkError::TooSmall { text: v6.to_string() });
        }
        Ok(Self { v4, v6 })
    }

    /// Returns the IPv4 prefix.
    #[must_use]
    pub const fn v4(&self) -> Ipv4Net {
        self.v4
    }

    /// Returns the IPv6 prefix.
    #[must_use]
    pub const fn v6(&self) -> Ipv6Net {
        self.v6
    }

    /// Returns the gateway's own address inside the tunnel, IPv4: the first host.
    #[must_use]
    pub fn gateway_v4(&self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.v4.network().to_bits().wrapping_add(1))
    }

    /// Returns the gateway's own address inside the tunnel, IPv6: the first host.
    #[must_use]
    pub fn gateway_v6(&self) -> Ipv6Addr {
        Ipv6Addr::from_bits(self.v6.network().to_bits().wrapping_add(1))
    }

    fn hosts(&self) -> u32 {
        let host_bits = 32_u32.saturating_sub(u32::from(self.v4.prefix_len()));
        1_u32.checked_shl(host_bits).unwrap_or(0)
    }

    /// Returns how many devices fit: host addresses of the IPv4 prefix less network, broadcast, gateway and the service
    /// addresses.
    #[must_use]
    pub fn device_slots(&self) -> u32 {
        self.hosts().saturating_sub(3).saturating_sub(self.service_slots())
    }

    /// Returns how many service addresses there are: a sixteenth of the IPv4 prefix less one, 4,095 at most, none below a /27.
    #[must_use]
    pub fn service_slots(&self) -> u32 {
        let share = self.hosts() / SERVICE_SHARE;
        if share == 0 { 0 } else { share.min(SERVICE_SLOTS_MAX).saturating_sub(1) }
    }

    /// Returns the addresses of service slot `slot`, or `None` past [`TunnelNetwork::service_slots`].
    ///
    /// They are the last ones of the IPv4 prefix below its broadcast address, in descending order, and the IPv6
    /// addresses with the same host part.
    #[must_use]
    pub fn service_address(&self, slot: u32) -> Option<ServiceAddress> {
        if slot >= self.service_slots() {
            return None;
        }
        let host = self.hosts().checked_sub(2)?.checked_sub(slot)?;
        let v4 = Ipv4Addr::from_bits(self.v4.network().to_bits().checked_add(host)?);
        let v6 = Ipv6Addr::from_bits(self.v6.network().to_bits().checked_add(u128::from(host))?);
        self.v6.contains(&v6).then_some(ServiceAddress { v4, v6 })
    }

    /// Says whether an address is in the range of service addresses, whether a resource has it or not.
    #[must_use]
    pub fn is_service(&self, address: IpAddr) -> bool {
        let host = match address {
            IpAddr::V4(v4) => v4.to_bits().checked_sub(self.v4.network().to_bits()).map(u128::from),
            IpAddr::V6(v6) => v6.to_bits().checked_sub(self.v6.network().to_bits()),
        };
        let slot = host.and_then(|host| u128::from(self.hosts().saturating_sub(2)).checked_sub(host));
        slot.is_some_and(|slot| slot < u128::from(self.service_slots()))
    }

    /// Returns the addresses of device slot `slot`, or `None` past [`TunnelNetwork::device_slots`].
    ///
    /// The same slot number gives both families, so that one free list serves both.
    #[must_use]
    pub fn device_addresses(&self, slot: u32) -> Option<(Ipv4Addr, Ipv6Addr)> {
        if slot >= self.device_slots() {
            return None;
        }
        let host = slot.checked_add(2)?;
        let v4 = Ipv4Addr::from_bits(self.v4.network().to_bits().checked_add(host)?);
        let v6 = Ipv6Addr::from_bits(self.v6.network().to_bits().checked_add(u128::from(host))?);
        (self.v6.contains(&v6)).then_some((v4, v6))
    }
}

impl Default for TunnelNetwork {
    /// 100.80.0.0/16 (inside RFC 6598's shared space) and fd64:6f6f:7277::/64 (RFC 4193).
    fn default() -> Self {
        Self {
            v4: Ipv4Net::new_assert(Ipv4Addr::new(100, 80, 0, 0), 16),
            v6: Ipv6Net::new_assert(Ipv6Addr::new(0xfd64, 0x6f6f, 0x7277, 0, 0, 0, 0, 0), 64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_skip_network_gateway_and_broadcast() {
        let network = TunnelNetwork::new("10.9.0.0/30".parse().unwrap(), "fd00::/126".parse().unwrap()).unwrap();
        assert_eq!(network.gateway_v4().to_string(), "10.9.0.1");
        assert_eq!(network.device_slots(), 1);
        assert_eq!(network.device_addresses(0), Some(("10.9.0.2".parse().unwrap(), "fd00::2".parse().unwrap())));
        assert_eq!(network.device_addresses(1), None);
    }

    #[test]
    fn service_addresses_are_the_last_ones_and_no_devices() {
        let network = TunnelNetwork::default();
        assert_eq!(network.service_slots(), 4_095);
        let first = network.service_address(0).unwrap();
        assert_eq!(
            (first.v4.to_string(), first.v6.to_string()),
            ("100.80.255.254".into(), "fd64:6f6f:7277::fffe".into())
        );
        let last_service = network.service_address(network.service_slots() - 1).unwrap();
        let (last_device, _) = network.device_addresses(network.device_slots() - 1).unwrap();
        assert!(last_device < last_service.v4, "{last_device} {}", last_service.v4);
        assert_eq!(network.service_address(network.service_slots()), None);
        for slot in [0, network.service_slots() - 1] {
            let service = network.service_address(slot).unwrap();
            assert!(network.is_service(service.v4.into()) && network.is_service(service.v6.into()));
        }
        for other in ["100.80.255.255", "100.80.239.255", "100.79.255.254", "fd64:6f6f:7277::ffff", "fd64:6f6f:7277::2"]
        {
            assert!(!network.is_service(other.parse().unwrap()), "{other}");
        }
        let small = TunnelNetwork::new("10.9.0.0/30".parse().unwrap(), "fd00::/126".parse().unwrap()).unwrap();
        assert_eq!(small.service_slots(), 0);
    }

    #[test]
    fn a_network_from_the_wire_is_checked_like_any_other() {
        let wrong = r#"{"v4":"10.9.0.0/32","v6":"fd00::/64"}"#;
        assert!(serde_json::from_str::<TunnelNetwork>(wrong).unwrap_err().to_string().contains("too small"));
        let right = serde_json::to_string(&TunnelNetwork::default()).unwrap();
        assert_eq!(serde_json::from_str::<TunnelNetwork>(&right).unwrap(), TunnelNetwork::default());
    }

    #[test]
    fn host_bits_are_refused_with_the_right_spelling() {
        let error = TunnelNetwork::new("10.9.0.5/16".parse().unwrap(), "fd00::/64".parse().unwrap()).unwrap_err();
        assert!(error.to_string().contains("10.9.0.0/16"), "{error}");
    }
}
