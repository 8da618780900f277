//! What the core is made with.

use std::net::IpAddr;
use std::time::Duration;

use doorward_model::TunnelNetwork;
use x25519_dalek::StaticSecret;

/// Where a datagram came in: on which UDP socket and for which address of this host. Answers leave the same way, so that
/// a client behind a NAT hears from whom it asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Via {
    /// The shell's number of the socket.
    pub socket: u16,
    /// The address that the datagram was sent to, where the shell knows it.
    pub local: Option<IpAddr>,
}

impl Via {
    /// Names a socket, and leaves the address to the kernel.
    #[must_use]
    pub const fn socket(socket: u16) -> Self {
        Self { socket, local: None }
    }
}

/// What a [`crate::Gateway`] is made with.
pub struct CoreConfig {
    /// The gateway's WireGuard private key.
    pub secret: StaticSecret,
    /// Doorward's own network; the gateway has its first addresses.
    pub network: TunnelNetwork,
    /// Longest authority taken from one heartbeat, whatever it says.
    pub authority_ttl_max: Duration,
    /// Bounds of the tables and queues.
    pub limits: Limits,
    /// Fresh random bytes: keys of the hash tables and the choice of receiver indices follow from them.
    pub seed: [u8; 32],
}

/// What a core is made with beside its Noise: see [`CoreConfig`], whose fields these are.
#[derive(Clone)]
pub struct CoreSettings {
    /// Doorward's own network; the gateway has its first addresses.
    pub network: TunnelNetwork,
    /// Longest authority taken from one heartbeat, whatever it says.
    pub authority_ttl_max: Duration,
    /// Bounds of the tables and queues.
    pub limits: Limits,
    /// Fresh random bytes: keys of the hash tables and the choice of receiver indices follow from them.
    pub seed: [u8; 32],
}

impl std::fmt::Debug for CoreConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CoreConfig")
            .field("secret", &"redacted")
            .field("network", &self.network)
            .field("authority_ttl_max", &self.authority_ttl_max)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// Bounds of the tables and queues. Each default says why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Leases taken: 250,000, above the 100,000 devices planned for one gateway.
    pub devices_max: usize,
    /// Flows of one device: 4,096, well above a browser with many tabs.
    pub flows_per_device_max: u32,
    /// Flows in all: 262,144, about 90 MiB with both names of each.
    pub flows_max: usize,
    /// Revoked keys recognised: 10,000, the oldest go first.
    pub tombstones_max: usize,
    /// Outer datagrams waiting for [`crate::Gateway::poll_transmit`]: 4,096.
    pub transmits_max: usize,
    /// The same for connection resets of a revocation, which are small and matter more: 65,536.
    pub resets_max: usize,
    /// Notices waiting for [`crate::Gateway::poll_event`]: 1,024. Other events are never dropped.
    pub notices_max: usize,
    /// Handshake messages a second that are answered without asking for a cookie: 250, about 5 % of a core.
    pub handshakes_per_second: u32,
    /// MTU of the tunnel device, in bytes: padding does not go past it (WireGuard whitepaper, section 5.4.6).
    pub mtu: u16,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            devices_max: 250_000,
            flows_per_device_max: 4_096,
            flows_max: 262_144,
            tombstones_max: 10_000,
            transmits_max: 4_096,
            resets_max: 65_536,
            notices_max: 1_024,
            handshakes_per_second: 250,
            mtu: 1_420,
        }
    }
}
