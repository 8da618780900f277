//! What is put to the test: cores behind a shell, which may break a promise, to see that it is noticed.

use std::net::SocketAddr;
use std::rc::Rc;

use doorward_gateway_core::{
    Command, CoreSettings, DatagramSink, DenyReason, Event, FlowStatus, Gateway, Handover, Now, Offload, PeerStatus,
    Share, Transmit, TunnelPacket, TunnelSink, Via,
};
use doorward_model::{Change, Heartbeat, PublicKey, Timestamp};

use crate::plain::{Air, Plain};
use crate::shell::Shell;

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

/// On how many cores a gateway runs, and how far everything goes astray.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// How many cores.
    pub cores: u16,
    /// How many cores further than it should what comes arrives.
    pub astray: u16,
}

impl Spread {
    /// The one core.
    pub const ONE: Self = Self { cores: 1, astray: 0 };
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
    /// Another host gets what was for the target of a service address.
    LeadsElsewhere,
    /// Packets leave for the service address itself.
    LeavesServiceAddress,
    /// A name that does not exist any more keeps its addresses.
    KeepsDeadNames,
    /// What a name resolved to is said again and again, as if it had just been asked for.
    RepeatsNames,
    /// Addresses of names that lead inside are taken for another host's.
    DisguisesAddresses,
    /// A flow whose ends behind the gateway another one has is let through.
    AllowsClashes,
    /// Who sends from a service address, behind the gateway, is taken for its target.
    TakesServiceSources,
    /// What stands for several packets is taken for one.
    ForgetsOffloads,
    /// The last of several packets is lost.
    LosesLastSegments,
    /// The last sealed packet is sent twice.
    SendsTwice,
    /// Removals reach core 0 alone.
    RemovesAtOneCore,
    /// Heartbeats reach core 0 alone.
    HeartensOneCore,
    /// Handovers are lost.
    LosesHandovers,
    /// Handovers go to the next core but one.
    MisleadsHandovers,
}

impl Fault {
    /// All that break something.
    pub const ALL: [Self; 24] = [
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
        Self::LeadsElsewhere,
        Self::LeavesServiceAddress,
        Self::KeepsDeadNames,
        Self::RepeatsNames,
        Self::DisguisesAddresses,
        Self::AllowsClashes,
        Self::TakesServiceSources,
        Self::ForgetsOffloads,
        Self::LosesLastSegments,
        Self::SendsTwice,
        Self::RemovesAtOneCore,
        Self::HeartensOneCore,
        Self::LosesHandovers,
        Self::MisleadsHandovers,
    ];
}

/// Cores over the plain Noise, and their shell.
pub struct Subject {
    cores: Vec<Gateway<Plain>>,
    spread: Spread,
    shell: Shell,
}

impl Subject {
    /// Starts a gateway; each core has a Noise of its own.
    #[must_use]
    pub fn new(noise: impl Fn() -> Plain, settings: impl Fn() -> CoreSettings, spread: Spread, fault: Fault) -> Self {
        let cores = Share::all(spread.cores).map(|share| Gateway::with_noise(noise(), settings()).with_share(share));
        Self { cores: cores.collect(), spread, shell: Shell::new(fault) }
    }

    fn now(&mut self, now: Now) -> Now {
        let now = self.shell.now(now);
        for core in self.cores.iter_mut().filter(|_| self.shell.fault == Fault::MakesUpAuthority) {
            if let Some(revision) = core.revision() {
                let (echo_boot_micros, sent_at) = (now.boot.as_micros(), Timestamp::UNIX_EPOCH);
                let heartbeat = Heartbeat { revision, sent_at, echo_boot_micros, authority_ttl_ms: 30_000 };
                core.handle_command(now, Command::Heartbeat(heartbeat));
            }
        }
        if let (Fault::RepeatsNames, Some(resolved)) = (self.shell.fault, &self.shell.resolved) {
            self.cores.iter_mut().for_each(|core| core.handle_command(now, resolved.clone()));
        }
        now
    }

    fn core(&mut self, at: u16) -> Option<&mut Gateway<Plain>> {
        let at = at.wrapping_add(self.spread.astray).checked_rem(self.spread.cores)?;
        self.cores.get_mut(usize::from(at))
    }

    /// Carries what one core has for another until there is nothing; says whether there was an end to it.
    fn carry(&mut self, now: Now, packets: &mut Packets, train: &mut Train) -> bool {
        for _ in 0..8 {
            let all = self.cores.iter_mut().flat_map(|core| std::iter::from_fn(|| core.poll_handover()));
            let mut all: Vec<(u16, Handover)> = all.collect();
            if self.shell.fault == Fault::LosesHandovers {
                all.clear();
            }
            if all.is_empty() {
                return true;
            }
            for (to, handover) in all {
                let to = if self.shell.fault == Fault::MisleadsHandovers { to.wrapping_add(2) } else { to };
                let to = to.checked_rem(self.spread.cores).unwrap_or(0);
                if let Some(core) = self.cores.get_mut(usize::from(to)) {
                    core.handle_handover(now, handover, packets, train);
                }
            }
        }
        false
    }

    /// See [`Gateway::handle_datagrams`]. `inner` is what the datagram carries, where it is authentic: what a broken
    /// shell may know. Transport data goes to the core that its receiver index names, all else to core 0.
    pub fn datagram(
        &mut self,
        now: Now,
        (from, inner): (SocketAddr, &[u8]),
        datagram: &[u8],
        out: &mut Packets,
        train: &mut Train,
    ) -> bool {
        let now = self.now(now);
        let clashes = self.clashes();
        let is_data = datagram.first() == Some(&4);
        let at = if is_data { datagram.get(5).copied().map_or(0, u16::from) } else { 0 };
        if let Some(core) = self.core(at) {
            core.handle_datagrams(now, from, VIA, datagram, datagram.len().max(1), out);
        }
        let has_end = self.carry(now, out, train);
        let has_clashed = self.clashes() > clashes;
        self.shell.passed(from, inner, has_clashed, out);
        has_end
    }

    /// How many flows were refused because of another.
    fn clashes(&self) -> u64 {
        if self.shell.fault != Fault::AllowsClashes {
            return 0;
        }
        let counters = self.cores.iter().flat_map(|core| core.counters().denied);
        counters.filter(|(reason, _)| *reason == DenyReason::FlowClash).map(|(_, count)| count).sum()
    }

    /// See [`Gateway::handle_tunnel_packet`]. It arrives on the queue of core 0.
    pub fn tunnel_packet(
        &mut self,
        now: Now,
        offload: Offload,
        packet: &mut [u8],
        (packets, train): (&mut Packets, &mut Train),
    ) -> bool {
        let now = self.now(now);
        let plain = packet.to_vec();
        let offload = if self.shell.fault == Fault::ForgetsOffloads { Offload::NONE } else { offload };
        self.shell.take_for_target(packet);
        if let Some(core) = self.core(0) {
            core.handle_tunnel_packet(now, offload, packet, train);
        }
        let has_end = self.carry(now, packets, train);
        self.shell.sealed(&plain, offload, train);
        has_end
    }

    /// See [`Gateway::handle_command`]. Every core gets it.
    pub fn command(&mut self, now: Now, mut command: Command) {
        let now = self.now(now);
        let revision = self.cores.first().and_then(Gateway::revision);
        self.shell.change(&mut command, revision);
        for (at, core) in self.cores.iter_mut().enumerate() {
            if at == 0 || !self.shell.is_for_one_core(&command) {
                core.handle_command(now, command.clone());
            } else if let Command::Delta(delta) = &command {
                let mut delta = delta.clone();
                delta.changes.retain(|change| !matches!(change, Change::Remove(_)));
                core.handle_command(now, Command::Delta(delta));
            }
        }
    }

    /// See [`Gateway::handle_timeout`].
    pub fn timeout(&mut self, now: Now) {
        let now = self.now(now);
        self.cores.iter_mut().for_each(|core| core.handle_timeout(now));
    }

    /// See [`Gateway::handle_quiet`]; one core does one thing. Says whether there was one, and whether what it handed over came to an end.
    pub fn quiet(&mut self, now: Now, packets: &mut Packets, train: &mut Train) -> (bool, bool) {
        let now = self.now(now);
        let did = self.cores.iter_mut().any(|core| core.handle_quiet(now));
        (did, self.carry(now, packets, train))
    }

    /// See [`Gateway::poll_transmit`].
    pub fn transmit(&mut self) -> Option<Transmit> {
        self.cores.iter_mut().find_map(Gateway::poll_transmit)
    }

    /// See [`Gateway::poll_tunnel`].
    pub fn tunnel(&mut self) -> Option<TunnelPacket> {
        self.cores.iter_mut().find_map(Gateway::poll_tunnel)
    }

    /// See [`Gateway::poll_event`].
    pub fn event(&mut self) -> Option<Event> {
        self.cores.iter_mut().find_map(Gateway::poll_event)
    }

    /// See [`Gateway::peers`].
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.cores.iter().flat_map(Gateway::peers)
    }

    /// See [`Gateway::flows`].
    pub fn flows(&self) -> impl Iterator<Item = FlowStatus> {
        self.cores.iter().flat_map(Gateway::flows)
    }

    /// Makes the Noise of a core.
    #[must_use]
    pub fn noise(air: &Rc<Air>, own: PublicKey) -> Plain {
        Plain::new(air, own)
    }
}
