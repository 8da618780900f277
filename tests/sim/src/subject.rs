//! What is put to the test: the core, or the core behind a shell that breaks a promise, to see that it is noticed.

use std::net::SocketAddr;
use std::rc::Rc;

use doorward_gateway_core::{
    BootTime, Command, CoreSettings, DatagramSink, Event, FlowStatus, Gateway, Now, Offload, PeerStatus, Transmit,
    TunnelPacket, TunnelSink, Via,
};
use doorward_model::{Change, Heartbeat, Lockdown, Timestamp};

use crate::plain::Plain;

/// The socket that everything comes in on.
pub const VIA: Via = Via::socket(3);

/// Inner packets that came out.
#[derive(Debug, Default)]
pub struct Packets(pub Vec<Vec<u8>>);

impl TunnelSink for Packets {
    fn packet(&mut self, packet: &[u8]) {
        self.0.push(packet.to_vec());
    }
}

/// Datagrams that came out.
#[derive(Debug, Default)]
pub struct Train {
    room: Vec<u8>,
    to: Option<SocketAddr>,
    /// Where to, and what.
    pub sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl DatagramSink for Train {
    fn reserve(&mut self, to: SocketAddr, via: Via, len: usize) -> Option<&mut [u8]> {
        self.to = (via == VIA).then_some(to);
        self.room = vec![0; len];
        Some(&mut self.room)
    }

    fn commit(&mut self, len: usize) {
        self.room.truncate(len);
        self.sent.extend(self.to.map(|to| (to, std::mem::take(&mut self.room))));
    }
}

/// What a shell may break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Removals never reach the core.
    LosesRemovals,
    /// Lockdowns never reach it.
    LosesLockdowns,
    /// A heartbeat is made up before each call.
    MakesUpAuthority,
    /// The wall clock stands still.
    WallClockStands,
    /// The boot clock does not count what is asleep: steps above 20 s are cut.
    BootClockSleeps,
    /// Messages of an older revision are given the next one.
    RenumbersDeltas,
    /// A packet that the core denied is delivered when one like it passed before.
    RemembersPasses,
    /// What came from a resource is sent to where the last datagram came from.
    SendsToLastSource,
    /// Packets to devices that the core dropped are sent unsealed.
    LeaksPlainPackets,
    /// Packets of devices that must pass are dropped, each third.
    DropsThirds,
}

impl Fault {
    /// All that break something.
    pub const ALL: [Self; 10] = [
        Self::LosesRemovals,
        Self::LosesLockdowns,
        Self::MakesUpAuthority,
        Self::WallClockStands,
        Self::BootClockSleeps,
        Self::RenumbersDeltas,
        Self::RemembersPasses,
        Self::SendsToLastSource,
        Self::LeaksPlainPackets,
        Self::DropsThirds,
    ];
}

/// A core over the plain Noise, and its shell.
pub struct Subject {
    core: Gateway<Plain>,
    fault: Fault,
    first: Option<Now>,
    slept: u64,
    last_boot: u64,
    last_from: Option<SocketAddr>,
    /// Length and first bytes of inner packets that passed.
    passed: Vec<(usize, Vec<u8>)>,
    count: u32,
}

impl Subject {
    /// Starts a gateway.
    #[must_use]
    pub fn new(noise: Plain, settings: CoreSettings, fault: Fault) -> Self {
        Self {
            core: Gateway::with_noise(noise, settings),
            fault,
            first: None,
            slept: 0,
            last_boot: 0,
            last_from: None,
            passed: Vec::new(),
            count: 0,
        }
    }

    fn now(&mut self, now: Now) -> Now {
        let first = *self.first.get_or_insert(now);
        let step = now.boot.as_micros().saturating_sub(std::mem::replace(&mut self.last_boot, now.boot.as_micros()));
        match self.fault {
            Fault::WallClockStands => Now { wall: first.wall, ..now },
            Fault::BootClockSleeps => {
                let is_first = step == now.boot.as_micros();
                self.slept = self.slept.saturating_add(if is_first { 0 } else { step.saturating_sub(20_000_000) });
                Now { boot: BootTime::from_micros(now.boot.as_micros().saturating_sub(self.slept)), ..now }
            }
            Fault::MakesUpAuthority => {
                if let Some(revision) = self.core.revision() {
                    let (echo_boot_micros, sent_at) = (now.boot.as_micros(), Timestamp::UNIX_EPOCH);
                    let heartbeat = Heartbeat { revision, sent_at, echo_boot_micros, authority_ttl_ms: 30_000 };
                    self.core.handle_command(now, Command::Heartbeat(heartbeat));
                }
                now
            }
            Fault::None
            | Fault::LosesRemovals
            | Fault::LosesLockdowns
            | Fault::RenumbersDeltas
            | Fault::RemembersPasses
            | Fault::SendsToLastSource
            | Fault::LeaksPlainPackets
            | Fault::DropsThirds => now,
        }
    }

    /// See [`Gateway::handle_datagrams`]. `inner` is what the datagram carries, where it is authentic: what a broken
    /// shell may know.
    pub fn datagram(&mut self, now: Now, from: SocketAddr, datagram: &[u8], inner: &[u8], out: &mut Packets) {
        let now = self.now(now);
        self.last_from = Some(from);
        self.core.handle_datagrams(now, from, VIA, datagram, datagram.len().max(1), out);
        let like = (inner.len(), inner.get(..24).unwrap_or_default().to_vec());
        match self.fault {
            Fault::RemembersPasses if !out.0.is_empty() => self.passed.push(like),
            Fault::RemembersPasses if self.passed.contains(&like) => out.0.push(inner.to_vec()),
            Fault::DropsThirds if !out.0.is_empty() => {
                self.count = self.count.wrapping_add(1);
                if self.count.is_multiple_of(3) {
                    out.0.clear();
                }
            }
            Fault::None
            | Fault::LosesRemovals
            | Fault::LosesLockdowns
            | Fault::MakesUpAuthority
            | Fault::WallClockStands
            | Fault::BootClockSleeps
            | Fault::RenumbersDeltas
            | Fault::RemembersPasses
            | Fault::SendsToLastSource
            | Fault::LeaksPlainPackets
            | Fault::DropsThirds => {}
        }
    }

    /// See [`Gateway::handle_tunnel_packet`].
    pub fn tunnel_packet(&mut self, now: Now, packet: &[u8], out: &mut Train) {
        let now = self.now(now);
        self.core.handle_tunnel_packet(now, Offload::NONE, &mut packet.to_vec(), out);
        if let (Fault::SendsToLastSource, Some(last), Some((to, _))) = (self.fault, self.last_from, out.sent.last_mut())
        {
            *to = last;
        }
        if let (Fault::LeaksPlainPackets, Some(last), true) = (self.fault, self.last_from, out.sent.is_empty()) {
            out.sent.push((last, packet.to_vec()));
        }
    }

    /// See [`Gateway::handle_command`].
    pub fn command(&mut self, now: Now, mut command: Command) {
        let now = self.now(now);
        if let Command::Delta(delta) = &mut command {
            match self.fault {
                Fault::LosesRemovals => delta.changes.retain(|change| !matches!(change, Change::Remove(_))),
                Fault::LosesLockdowns => {
                    delta.changes.retain(|change| !matches!(change, Change::Lockdown { state: Lockdown::On, .. }));
                }
                Fault::RenumbersDeltas => {
                    if let Some(held) = self.core.revision() {
                        (delta.base, delta.revision) = (held, doorward_model::Revision(held.0.saturating_add(1)));
                    }
                }
                Fault::None
                | Fault::MakesUpAuthority
                | Fault::WallClockStands
                | Fault::BootClockSleeps
                | Fault::RemembersPasses
                | Fault::SendsToLastSource
                | Fault::LeaksPlainPackets
                | Fault::DropsThirds => {}
            }
        }
        self.core.handle_command(now, command);
    }

    /// See [`Gateway::handle_timeout`].
    pub fn timeout(&mut self, now: Now) {
        let now = self.now(now);
        self.core.handle_timeout(now);
    }

    /// See [`Gateway::handle_quiet`].
    pub fn quiet(&mut self, now: Now) -> bool {
        let now = self.now(now);
        self.core.handle_quiet(now)
    }

    /// See [`Gateway::poll_transmit`].
    pub fn transmit(&mut self) -> Option<Transmit> {
        self.core.poll_transmit()
    }

    /// See [`Gateway::poll_tunnel`].
    pub fn tunnel(&mut self) -> Option<TunnelPacket> {
        self.core.poll_tunnel()
    }

    /// See [`Gateway::poll_event`].
    pub fn event(&mut self) -> Option<Event> {
        self.core.poll_event()
    }

    /// See [`Gateway::peers`].
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.core.peers()
    }

    /// See [`Gateway::flows`].
    pub fn flows(&self) -> impl Iterator<Item = FlowStatus> {
        self.core.flows()
    }

    /// Puts a core behind an honest shell from a shared air.
    #[must_use]
    pub fn noise(air: &Rc<crate::plain::Air>, own: doorward_model::PublicKey) -> Plain {
        Plain::new(air, own)
    }
}
