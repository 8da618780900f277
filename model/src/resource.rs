//! What a resource is made of: targets, and the protocols and ports allowed on them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::DnsName;

/// Why a text is no usable target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// No address, no prefix and no name.
    #[error(
        "`{text}` is no target: expected an IP address such as 10.0.5.10, a prefix such as 10.0.5.0/24 or a DNS name such as db.shop.example"
    )]
    Format {
        /// The text, shortened.
        text: String,
    },
    /// An address inside the prefix, where the prefix itself was meant, or the other way round.
    #[error("`{text}` has host bits set: write {network} for the whole prefix, or {address} for the one address")]
    HostBits {
        /// The text as given.
        text: String,
        /// The prefix with the host bits cleared.
        network: IpNet,
        /// The address alone.
        address: IpAddr,
    },
    /// Everything, or an address that names no host.
    #[error("`{text}` cannot be a target: name the hosts that stand behind the gateway")]
    NoHost {
        /// The text as given.
        text: String,
    },
}

/// A destination behind the gateway.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Target {
    /// One address (a /32 or /128) or a prefix without host bits.
    Net(IpNet),
    /// A host by its DNS name, which the gateway resolves; people reach it by the resource's service address.
    Name(DnsName),
}

impl Target {
    /// Returns the prefix, a single address as a /32 or a /128; `None` for a name.
    #[must_use]
    pub const fn net(&self) -> Option<IpNet> {
        match self {
            Self::Net(net) => Some(*net),
            Self::Name(_) => None,
        }
    }

    /// Returns the one address it names; `None` for a wider prefix or a name.
    #[must_use]
    pub fn host(&self) -> Option<IpAddr> {
        self.net().filter(|net| net.prefix_len() == net.max_prefix_len()).map(|net| net.addr())
    }

    /// Returns the DNS name; `None` for a prefix.
    #[must_use]
    pub const fn name(&self) -> Option<&DnsName> {
        match self {
            Self::Net(_) => None,
            Self::Name(name) => Some(name),
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let short = || crate::steering::repeated(text);
        let net = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => match text.parse::<IpNet>() {
                Ok(net) => net,
                Err(_) => {
                    let name = text.parse().map_err(|_| TargetError::Format { text: short() })?;
                    return Ok(Self::Name(name));
                }
            },
        };
        let mapped = matches!(net.addr(), IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some());
        if net.prefix_len() == 0 || net.addr().is_unspecified() || net.addr().is_multicast() || mapped {
            return Err(TargetError::NoHost { text: short() });
        }
        if net.addr() != net.network() {
            return Err(TargetError::HostBits { text: short(), network: net.trunc(), address: net.addr() });
        }
        Ok(Self::Net(net))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self, self.host()) {
            (Self::Net(_), Some(address)) => address.fmt(f),
            (Self::Net(net), None) => net.fmt(f),
            (Self::Name(name), _) => name.fmt(f),
        }
    }
}

impl TryFrom<String> for Target {
    type Error = TargetError;

    fn try_from(text: String) -> Result<Self, TargetError> {
        text.parse()
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

/// Why a text allows nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AllowError {
    /// Neither `PROTOCOL/PORT` nor `icmp`.
    #[error("`{text}` allows nothing: expected tcp/443, udp/53, tcp/8000-8010 or icmp")]
    Format {
        /// The text, shortened.
        text: String,
    },
    /// Port 0 or above 65535.
    #[error("`{text}` has no valid port: ports go from 1 to 65535")]
    Port {
        /// The text, shortened.
        text: String,
    },
    /// The last port comes before the first.
    #[error("`{text}` is an empty port range: write the lower port first")]
    EmptyRange {
        /// The text, shortened.
        text: String,
    },
}

/// The protocols a resource may allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// Echo requests and their replies, ICMP (1) and ICMPv6 (58) alike.
    Icmp,
}

/// Ports from `first` to `last`, both included, never 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// Every port; what ICMP, which has none, carries.
    pub const ALL: Self = Self { first: 0, last: u16::MAX };

    /// Says whether the port is in the range.
    #[must_use]
    pub const fn contains(&self, port: u16) -> bool {
        self.first <= port && port <= self.last
    }

    /// Returns the lowest port.
    #[must_use]
    pub const fn first(&self) -> u16 {
        self.first
    }

    /// Returns the highest port.
    #[must_use]
    pub const fn last(&self) -> u16 {
        self.last
    }
}

/// One thing a resource allows: `tcp/443`, `udp/53`, `tcp/8000-8010` or `icmp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Allow {
    /// The protocol.
    pub protocol: Protocol,
    /// The destination ports; [`PortRange::ALL`] for ICMP.
    pub ports: PortRange,
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        let short = || crate::steering::repeated(text);
        if text.eq_ignore_ascii_case("icmp") {
            return Ok(Self { protocol: Protocol::Icmp, ports: PortRange::ALL });
        }
        let (protocol, ports) = text.split_once('/').ok_or_else(|| AllowError::Format { text: short() })?;
        let protocol = match protocol.to_ascii_lowercase().as_str() {
            "tcp" => Protocol::Tcp,
            "udp" => Protocol::Udp,
            _ => return Err(AllowError::Format { text: short() }),
        };
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let port = |digits: &str| match digits.parse::<u16>() {
            Ok(port) if port != 0 && digits.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
            Ok(_) | Err(_) => Err(AllowError::Port { text: short() }),
        };
        let (first, last) = (port(first)?, port(last)?);
        if first > last {
            return Err(AllowError::EmptyRange { text: short() });
        }
        Ok(Self { protocol, ports: PortRange { first, last } })
    }
}

impl fmt::Display for Allow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let protocol = match self.protocol {
            Protocol::Icmp => return f.write_str("icmp"),
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
        };
        if self.ports.first == self.ports.last {
            write!(f, "{protocol}/{}", self.ports.first)
        } else {
            write!(f, "{protocol}/{}-{}", self.ports.first, self.ports.last)
        }
    }
}

impl TryFrom<String> for Allow {
    type Error = AllowError;

    fn try_from(text: String) -> Result<Self, AllowError> {
        text.parse()
    }
}

impl From<Allow> for String {
    fn from(allow: Allow) -> Self {
        allow.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_hosts_or_prefixes_without_host_bits() {
        assert_eq!("10.0.5.10".parse::<Target>().unwrap().net().unwrap().to_string(), "10.0.5.10/32");
        assert_eq!("10.0.5.10/32".parse::<Target>().unwrap().to_string(), "10.0.5.10");
        assert_eq!("fd00::/64".parse::<Target>().unwrap().to_string(), "fd00::/64");
        let error = "10.0.5.10/24".parse::<Target>().unwrap_err();
        assert!(error.to_string().contains("10.0.5.0/24"), "{error}");
        assert_eq!("DB.Shop.Example".parse::<Target>().unwrap(), Target::Name("db.shop.example".parse().unwrap()));
        assert_eq!("10.0.5.0/24".parse::<Target>().unwrap().host(), None);
        for wrong in
            ["", "10.0.5", "10.0.5.10/33", "0.0.0.0/0", "::/0", "224.0.0.1", "::ffff:10.0.0.1", "10.0.5.10 ", "a\nb"]
        {
            assert!(wrong.parse::<Target>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ports_and_protocols_are_read_once() {
        for text in ["tcp/443", "udp/53", "tcp/8000-8010", "icmp"] {
            assert_eq!(text.parse::<Allow>().unwrap().to_string(), text);
        }
        assert!(matches!("tcp/70000".parse::<Allow>(), Err(AllowError::Port { .. })));
        assert!(matches!("tcp/0".parse::<Allow>(), Err(AllowError::Port { .. })));
        assert!(matches!("tcp/+1".parse::<Allow>(), Err(AllowError::Port { .. })));
        assert!(matches!("tcp/20-10".parse::<Allow>(), Err(AllowError::EmptyRange { .. })));
        for wrong in ["", "tcp", "443", "sctp/1", "icmp/8"] {
            assert!(matches!(wrong.parse::<Allow>(), Err(AllowError::Format { .. })), "{wrong}");
        }
    }
}
