//! Gateways as the control plane knows them, and their receipts.

use std::collections::BTreeSet;

use doorward_model::{DeviceId, GatewayId, GatewayName, PublicKey, Revision, Timestamp};

use crate::Denial;

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// The id.
    pub id: GatewayId,
    /// The name, unique among gateways that were not removed.
    pub name: GatewayName,
    /// SHA-256 of its feed certificate's DER; `None` for the one on this machine, which comes over the Unix socket.
    pub certificate_sha256: Option<[u8; 32]>,
    /// Its WireGuard key, once it said hello.
    pub public_key: Option<PublicKey>,
    /// What people's devices dial, once it said hello.
    pub endpoint: Option<String>,
    /// Its program's version, once it said hello.
    pub version: Option<String>,
    /// Whether it said that its resolver answers for every name.
    pub resolver: bool,
    /// The UDP ports that it said it listens on, in its order.
    pub ports: Vec<u16>,
    /// When it was enrolled.
    pub enrolled_at: Timestamp,
    /// When it was heard last.
    pub last_seen_at: Option<Timestamp>,
    /// The revision it confirmed last.
    pub revision: Option<Revision>,
    /// When it was removed, where it was.
    pub removed_at: Option<Timestamp>,
}

/// What a gateway says about itself in its hello, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// Its WireGuard key.
    pub public_key: PublicKey,
    /// What people's devices dial.
    pub endpoint: String,
    /// Its program's version.
    pub version: String,
    /// Whether its resolver answers for every name.
    pub resolver: bool,
    /// The UDP ports it listens on, in its order, each once.
    pub ports: Vec<u16>,
}

/// Longest version text kept, in bytes.
const VERSION_BYTES_MAX: usize = 64;
/// Ports of one gateway at most: each is a line that a person could try by hand.
const PORTS_MAX: usize = 16;

impl Introduction {
    /// Checks what a gateway says, before any of it can become a line of somebody's config; double ports are left out.
    ///
    /// # Errors
    /// A denial that says what was expected.
    pub fn check(mut self) -> Result<Self, Denial> {
        check_endpoint(&self.endpoint)?;
        if self.version.len() > VERSION_BYTES_MAX || self.version.chars().any(char::is_control) {
            return Err(Denial::invalid("a gateway's version is a short text of one line"));
        }
        let mut seen = BTreeSet::new();
        self.ports.retain(|port| seen.insert(*port));
        if self.ports.contains(&0) || self.ports.len() > PORTS_MAX {
            return Err(Denial::invalid(format!(
                "a gateway listens on at most {PORTS_MAX} UDP ports from 1 to 65535: look at `[gateway] listen`"
            )));
        }
        Ok(self)
    }

    /// Says whether the gateway is known with exactly this.
    #[must_use]
    pub fn is_known(&self, gateway: &Gateway) -> bool {
        gateway.public_key == Some(self.public_key)
            && gateway.endpoint.as_ref() == Some(&self.endpoint)
            && gateway.version.as_ref() == Some(&self.version)
            && gateway.resolver == self.resolver
            && gateway.ports == self.ports
    }
}

/// What a gateway confirmed about one revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which gateway.
    pub gateway: GatewayId,
    /// Its name.
    pub gateway_name: GatewayName,
    /// Which revision.
    pub revision: Revision,
    /// When that revision was committed.
    pub decided_at: Timestamp,
    /// When the receipt came in.
    pub enforced_at: Timestamp,
    /// Milliseconds from the commit to the receipt; `None` where the commit was not this process's (a snapshot, a
    /// restart), because then no one clock saw both.
    pub enforced_after_ms: Option<u64>,
    /// Per device that lost something: milliseconds from its last forwarded packet to the enforcement.
    pub last_packets: Vec<(DeviceId, Option<u64>)>,
}

/// Longest endpoint text, in bytes: a DNS name of 253 and a port.
const ENDPOINT_BYTES_MAX: usize = 260;

/// Checks that an endpoint is `host:port`, with nothing in it that could become a line of somebody's config.
fn check_endpoint(text: &str) -> Result<(), Denial> {
    let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
    let host_fits = match host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-.".contains(c)),
    };
    let port_fits = port.parse::<u16>().is_ok_and(|port| port != 0);
    if text.len() <= ENDPOINT_BYTES_MAX && host_fits && port_fits {
        Ok(())
    } else {
        Err(Denial::invalid(
            "a gateway's endpoint is host:port, such as 203.0.113.2:51820 or [2001:db8::2]:51820: set `[gateway] endpoint`",
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_cannot_carry_a_line() {
        for right in ["203.0.113.2:51820", "door.shop.example:51820", "[2001:db8::2]:443"] {
            assert!(check_endpoint(right).is_ok(), "{right}");
        }
        for wrong in [
            "",
            "door",
            "door:",
            "door:0",
            "door:70000",
            ":51820",
            "2001:db8::2:51820",
            "door:1\nPostUp = x",
            "a b:1",
            "[x]:1",
        ] {
            assert!(check_endpoint(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn ports_are_named_once_and_are_ports() {
        let say = |ports: &[u16]| {
            let introduction = Introduction {
                public_key: PublicKey::from_bytes([7; 32]).unwrap(),
                endpoint: "203.0.113.2:51820".to_owned(),
                version: "1".to_owned(),
                resolver: false,
                ports: ports.to_vec(),
            };
            introduction.check().map(|introduction| introduction.ports)
        };
        assert_eq!(say(&[51820, 443, 51820, 53]).unwrap(), [51820, 443, 53]);
        assert!(say(&[443, 0]).is_err());
        assert!(say(&(1..=16).collect::<Vec<_>>()).is_ok() && say(&(1..=17).collect::<Vec<_>>()).is_err());
    }
}
