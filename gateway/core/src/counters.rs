//! What is counted, for metrics, and what a peer looks like from outside.

use std::net::SocketAddr;

use doorward_model::{DeviceId, PublicKey, Timestamp};
use ipnet::IpNet;

macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every reason, in the order of their declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// Returns the reason as a label of metrics: lower case, words joined by `_`.
            #[must_use]
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

reasons! {
    /// Why a packet inside a tunnel, or towards one, did not pass.
    DenyReason {
        /// No live authority.
        AuthorityLost => "authority_lost",
        /// Lockdown, and the device is not exempt.
        Lockdown => "lockdown",
        /// The lease has not begun or is over.
        LeaseOver => "lease_over",
        /// The sign-in window is closed.
        Quarantine => "quarantine",
        /// The inner source address is not the sender's own.
        SpoofedSource => "spoofed_source",
        /// No rule leads there at this moment.
        NoRule => "no_rule",
        /// The destination is special (the gateway itself, loopback, link-local, metadata, multicast).
        SpecialDestination => "special_destination",
        /// The destination is another device or anything else in the tunnel network.
        TunnelNetwork => "tunnel_network",
        /// No device opened this flow.
        NoFlow => "no_flow",
        /// No device has the destination address.
        NoDevice => "no_device",
        /// The packet is malformed.
        Malformed => "malformed",
        /// The packet is a fragment.
        Fragment => "fragment",
        /// A source route, or an IPv6 extension header.
        HeaderOption => "header_option",
        /// Neither TCP, UDP nor an ICMP message that may pass.
        Protocol => "protocol",
        /// The flow table is full.
        FlowTableFull => "flow_table_full",
        /// The resource has no target that its service address can lead to.
        NoTarget => "no_target",
        /// Another flow of the device has the same ends behind the gateway.
        FlowClash => "flow_clash",
    }
}

reasons! {
    /// Why an outer datagram, or a packet on its way out, was dropped.
    DropReason {
        /// No WireGuard message.
        NotWireGuard => "not_wireguard",
        /// A wrong mac1.
        Mac => "mac",
        /// More handshakes than allowed, from one source or for one peer.
        RateLimited => "rate_limited",
        /// A handshake by a key that nobody knows.
        UnknownKey => "unknown_key",
        /// A handshake by a key that ended.
        DeadKey => "dead_key",
        /// A receiver index that nobody has.
        UnknownIndex => "unknown_index",
        /// A session older than 180 s.
        SessionOver => "session_over",
        /// A message counter at its end.
        CounterOver => "counter_over",
        /// Decryption failed, or a replay.
        Crypto => "crypto",
        /// No session and no endpoint, or a full queue, on the way to a device.
        Unreachable => "unreachable",
        /// The shell had no room for the datagram.
        NoRoom => "no_room",
        /// A queue of the core was full.
        QueueFull => "queue_full",
        /// Larger than a datagram can be.
        TooLarge => "too_large",
        /// The tunnel device's offload header did not fit its packet.
        Uncuttable => "uncuttable",
    }
}

/// Counts since the start, and sizes at this moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    /// Inner packets forwarded from devices to resources.
    pub packets_up: u64,
    /// Their bytes.
    pub bytes_up: u64,
    /// Inner packets forwarded from resources to devices.
    pub packets_down: u64,
    /// Their bytes.
    pub bytes_down: u64,
    /// Denials, in the order of [`DenyReason::ALL`].
    pub denied: Vec<(DenyReason, u64)>,
    /// Drops, in the order of [`DropReason::ALL`].
    pub dropped: Vec<(DropReason, u64)>,
    /// Initiations that were answered.
    pub handshakes_answered: u64,
    /// Initiations that were sent.
    pub handshakes_initiated: u64,
    /// Cookie replies sent.
    pub cookies_sent: u64,
    /// Notices dropped because nobody took them.
    pub notices_dropped: u64,
    /// Flows ended to make room for others.
    pub flows_evicted: u64,
    /// Devices with a lease.
    pub devices_known: u64,
    /// Devices with a session younger than 180 s.
    pub devices_active: u64,
    /// Tunnels in memory.
    pub tunnels: u64,
    /// Flows in the table.
    pub flows: u64,
    /// Revoked keys recognised.
    pub tombstones: u64,
}

impl Counters {
    /// Adds what another core of the same gateway counted.
    pub fn add(&mut self, other: &Self) {
        let Self { packets_up, bytes_up, packets_down, bytes_down, .. } = self;
        let sums = [
            (packets_up, other.packets_up),
            (bytes_up, other.bytes_up),
            (packets_down, other.packets_down),
            (bytes_down, other.bytes_down),
            (&mut self.handshakes_answered, other.handshakes_answered),
            (&mut self.handshakes_initiated, other.handshakes_initiated),
            (&mut self.cookies_sent, other.cookies_sent),
            (&mut self.notices_dropped, other.notices_dropped),
            (&mut self.flows_evicted, other.flows_evicted),
            (&mut self.devices_known, other.devices_known),
            (&mut self.devices_active, other.devices_active),
            (&mut self.tunnels, other.tunnels),
            (&mut self.flows, other.flows),
        ];
        for (sum, more) in sums {
            *sum = sum.wrapping_add(more);
        }
        // Each core recognises the revoked keys of all.
        self.tombstones = self.tombstones.max(other.tombstones);
        for ((_, sum), (_, more)) in self.denied.iter_mut().zip(&other.denied) {
            *sum = sum.wrapping_add(*more);
        }
        for ((_, sum), (_, more)) in self.dropped.iter_mut().zip(&other.dropped) {
            *sum = sum.wrapping_add(*more);
        }
    }
}

/// One peer, as `wg show` prints it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// The device.
    pub device: DeviceId,
    /// Its key.
    pub public_key: PublicKey,
    /// Whether it has a pre-shared key.
    pub has_preshared_key: bool,
    /// Where it was last heard from.
    pub endpoint: Option<SocketAddr>,
    /// When its last handshake was confirmed.
    pub last_handshake: Option<Timestamp>,
    /// Bytes received in authenticated datagrams, handshakes and keepalives included.
    pub rx_bytes: u64,
    /// Bytes sent, handshakes and keepalives included.
    pub tx_bytes: u64,
    /// Its tunnel addresses, a /32 and a /128.
    pub allowed_ips: [IpNet; 2],
}

/// The counts themselves, arrays instead of maps.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) sums: Counters,
    denied: [u64; DenyReason::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
}

impl Tally {
    /// Counts a denial.
    pub(crate) fn deny(&mut self, reason: DenyReason) {
        if let Some(count) = self.denied.get_mut(reason as usize) {
            *count = count.wrapping_add(1);
        }
    }

    /// Counts a drop.
    pub(crate) fn drop(&mut self, reason: DropReason) {
        if let Some(count) = self.dropped.get_mut(reason as usize) {
            *count = count.wrapping_add(1);
        }
    }

    /// Returns the counts with their reasons; sizes are the caller's to fill in.
    pub(crate) fn counters(&self) -> Counters {
        Counters {
            denied: DenyReason::ALL.iter().copied().zip(self.denied).collect(),
            dropped: DropReason::ALL.iter().copied().zip(self.dropped).collect(),
            ..self.sums.clone()
        }
    }
}
