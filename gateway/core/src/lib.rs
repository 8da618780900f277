//! The enforcement core of a Doorward gateway, sans-IO: one machine, one thread, no clock and no randomness of its own.
//!
//! # Inputs
//! Each takes [`Now`], the moment on two clocks, which must not run backwards on the boot clock.
//! - [`Gateway::handle_datagrams`]: what UDP sockets received; allowed inner packets go into a [`TunnelSink`] at once.
//! - [`Gateway::handle_tunnel_packet`]: what the tunnel device gave, perhaps one packet that stands for several; sealed
//!   datagrams go into a [`DatagramSink`] at once.
//!
//! [`Train`] and [`Coalescer`] are the sinks that make a system call out of a batch.
//! - [`Gateway::handle_command`]: snapshots, deltas, heartbeats, the machine's own addresses, what names resolved to.
//! - [`Gateway::handle_handover`]: what another core of the same gateway gave up by [`Gateway::poll_handover`].
//! - [`Gateway::handle_quiet`]: while no packet waits, when [`Gateway::poll_quiet`] has come.
//! - [`Gateway::handle_timeout`]: when [`Gateway::poll_timeout`] has come.
//!
//! # Outputs
//! After any input, in this order, until each gives `None`: [`Gateway::poll_transmit`] (handshakes, keepalives, refusals,
//! resets), [`Gateway::poll_tunnel`] (resets and ICMP towards resources), [`Gateway::poll_handover`] (where several cores
//! share the devices, see [`Share`]), [`Gateway::poll_event`]; then
//! [`Gateway::poll_timeout`] says when to come back. Transmits of a revocation must be sent before its receipt.
//!
//! # Promises
//! - A packet passes, either way, only when at that very moment authority lives, lockdown does not bind the device, its
//!   lease and sign-in window hold on both clocks, and a rule allows it (from the device) or a flow that such a packet
//!   opened admits it (to the device). Timers clean up; they decide nothing.
//! - It starts paused and without peers. What a snapshot omits is removed. Removals are honoured whatever else is wrong.
//! - The inner source is the sender's own address, or the packet is dropped.
//! - Every table and queue has a bound (see [`Limits`]).
//!
//! # Service addresses
//! A device may send to a resource's service address. The rule that allows it gives the target (a host, or an address of
//! a name that passes the same checks), the flow keeps it for its life, and both addresses are rewritten in place. What
//! comes back finds the flow by its tuple behind the gateway, which no two flows of a device share. A target that is a
//! name is reached that way alone. [`Gateway::resource`] and [`Gateway::is_inside`] answer the shell's resolver, whose
//! port 53 on the tunnel addresses is the one thing of the gateway that devices reach, in quarantine too.
//!
//! # What it never does
//! No sockets, no files, no threads, no locks, no async, no JSON, no names of files. It never reads a clock or an RNG:
//! `clippy.toml` bans them. The exception is boringtun, which reads both for its own handshakes; `wireguard/tunnel.rs`
//! is the one file that knows it, behind the trait [`noise::Noise`], where a simulation puts a stand-in.
//!
//! # Choices worth knowing
//! - A TCP flow may begin in mid-stream, by a packet *from the device* that a rule allows: after a restart of the gateway
//!   open connections go on. Packets *to* a device never begin anything.
//! - Fragments are dropped, the first one too: the rest carries no ports to decide on, so a first one alone is useless
//!   and only serves tricks with overlaps. IPv6 extension headers are dropped for the same reason.
//! - A lease that ends by time stays in the table until the control plane removes it, as the tombstone of its key: its
//!   session, flows and endpoint go. When a wall clock that ran ahead is set right, it holds again, as far as the boot
//!   clock allows.

#![cfg_attr(not(test), deny(clippy::indexing_slicing))]

mod access;
mod authority;
mod batch;
mod clock;
mod command;
mod config;
mod counters;
mod event;
mod flow;
#[doc(hidden)]
pub mod fuzzing;
mod gateway;
mod hash;
mod notices;
mod outbox;
mod packet;
mod share;
mod wireguard;

pub use batch::{
    Coalescer, DATAGRAM_LEN_MAX, OFFLOAD_HEADER_LEN, Offload, Segmentation, Train, TrainSender, TunnelWriter,
};
pub use clock::{BootTime, Now};
pub use command::{Command, ResourceAsked};
pub use config::{CoreConfig, CoreSettings, Limits, Via};
pub use counters::{Counters, DenyReason, DropReason, PeerStatus};
pub use event::{ConntrackEntry, ENDED_DEVICES_MAX, Enforced, Event, FlowTuple, Transmit, TunnelPacket};
pub use flow::FlowStatus;
pub use gateway::Gateway;
pub use wireguard::noise;
pub use wireguard::tunnel::{Boringtun, BoringtunTunnel};

pub use share::{Handover, SHARES_MAX, Share};

use std::net::SocketAddr;

/// Takes decrypted, allowed inner packets on their way to the resources.
pub trait TunnelSink {
    /// Takes one whole IP packet, cut to its own length. It must not keep the slice.
    fn packet(&mut self, packet: &[u8]);
}

/// Lends room for outer datagrams, so that they are sealed straight into what the shell sends.
pub trait DatagramSink {
    /// Lends exactly `len` bytes for a datagram to `to` on socket `via`; `None` drops the packet, which is counted.
    fn reserve(&mut self, to: SocketAddr, via: Via, len: usize) -> Option<&mut [u8]>;
    /// Takes the first `len` bytes of the room lent last. Without it, that room holds nothing.
    fn commit(&mut self, len: usize);
}
