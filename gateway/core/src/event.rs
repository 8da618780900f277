//! What the core tells back: closed enums, with names in them.

use std::net::{IpAddr, SocketAddr};

use doorward_model::{DecisionId, DnsName, EndedDevice, GatewayEvent, Protocol, Revision};

use crate::{BootTime, Via};

/// Devices listed in one [`Enforced`] at most, as a receipt carries them.
pub const ENDED_DEVICES_MAX: usize = 1_000;

/// Something the shell must act on, in the order in which it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A snapshot or a delta is in force: answer it with a receipt.
    Enforced(Enforced),
    /// Something was missed: say hello again, which ends in a snapshot.
    ResyncNeeded {
        /// The revision in force; `None` before the first snapshot.
        held: Option<Revision>,
        /// The revision of the message that did not fit.
        wanted: Revision,
    },
    /// A snapshot older than what is in force was refused: a restored backup must not re-open what ended. Only a
    /// restart of the gateway accepts it. [`Event::ResyncNeeded`] follows.
    SnapshotRefused {
        /// The revision in force, which stays.
        held: Revision,
        /// The revision that was offered.
        offered: Revision,
    },
    /// Entries of the kernel's connection tracking that must go, because the packets that made them are not allowed
    /// any more.
    FlushConntrack(Vec<ConntrackEntry>),
    /// Something a person should know; send it to the control plane and log it.
    Notice(GatewayEvent),
    /// The names that targets of held leases have, all of them, in order: keep them resolved and say so with
    /// [`crate::Command::Resolved`].
    NamesWanted(Vec<DnsName>),
    /// Authority ran out: nothing passes; tunnels and flows are kept.
    AuthorityLost,
    /// Authority is back: traffic resumes.
    AuthorityRegained,
}

/// A revision that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Enforced {
    /// The revision.
    pub revision: Revision,
    /// The decision that came ahead of the database, where one did.
    pub ahead: Option<DecisionId>,
    /// When the message was handed to [`crate::Gateway::handle_command`]. Enforcement is complete when that call
    /// returns, so the shell measures how long it took by reading its clock after it.
    pub arrived: BootTime,
    /// Devices whose lease ended or whose rules shrank; the first [`ENDED_DEVICES_MAX`].
    pub ended: Vec<EndedDevice>,
}

/// What to remove from connection tracking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConntrackEntry {
    /// Everything that this tunnel address began.
    Device(IpAddr),
    /// One flow.
    Flow(FlowTuple),
}

/// The ends of a flow, as they are on the network behind the gateway (before any NAT of the machine).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowTuple {
    /// The protocol.
    pub protocol: Protocol,
    /// The device's tunnel address and port; for ICMP the port is the echo identifier.
    pub device: SocketAddr,
    /// The resource's address and port; for ICMP the port is 0.
    pub remote: SocketAddr,
}

/// An outer datagram to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Where to.
    pub to: SocketAddr,
    /// On which socket.
    pub via: Via,
    /// The whole datagram.
    pub datagram: Vec<u8>,
}

/// An inner packet to write to the tunnel device, towards the resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelPacket {
    /// The whole IP packet, checksums filled in.
    pub packet: Vec<u8>,
}
