//! The machine: its state, and dispatch only.

mod enforce;
mod expire;
mod from_network;
mod lookup;
mod speak;
mod to_network;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use doorward_model::{DeviceId, GatewayEvent, GatewayEventKind, Lockdown, Revision, TunnelNetwork};

use crate::access::deadlines::{Deadlines, EndMemory};
use crate::access::decision::{Ground, Offers, Standing, Surroundings};
use crate::access::device::DeviceTable;
use crate::access::elsewhere::Elsewhere;
use crate::access::names::Names;
use crate::authority::{Authority, Edge};
use crate::batch::Offload;
use crate::clock::{CLOCK_JUMP_MICROS, disagreement_micros};
use crate::counters::Tally;
use crate::flow::FlowTable;
use crate::hash::{Seed, Set};
use crate::notices::Notices;
use crate::outbox::Outbox;
use crate::wireguard::admission::Admission;
use crate::wireguard::index::IndexTable;
use crate::wireguard::noise::Noise;
use crate::wireguard::tombstones::Tombstones;
use crate::wireguard::tunnel::Boringtun;
use crate::wireguard::waiting::WaitingRoom;
use crate::{
    BootTime, Command, CoreConfig, CoreSettings, Counters, DatagramSink, Event, FlowStatus, Handover, Limits, Now,
    PeerStatus, Share, Transmit, TunnelPacket, TunnelSink, Via,
};

/// How often timers of live tunnels run.
const TICK_LIVE: Duration = Duration::from_millis(250);
/// How often idle flows and held-back notices are looked at when no tunnel lives.
const TICK_IDLE: Duration = Duration::from_secs(1);
/// Room for the largest datagram there is.
const DATAGRAM_MAX: usize = 65_536;

/// A gateway's enforcement core, over WireGuard's Noise by boringtun or by a stand-in. See the crate's documentation for
/// the order of calls.
pub struct Gateway<N: Noise = Boringtun> {
    network: TunnelNetwork,
    limits: Limits,
    noise: N,
    seed: Seed,

    revision: Option<Revision>,
    authority: Authority,
    lockdown: Lockdown,
    exempt: Set<DeviceId>,
    own: Set<IpAddr>,
    names: Names,
    offers: Offers,
    share: Share,
    /// What devices claim that other cores own.
    elsewhere: Elsewhere,
    devices: DeviceTable<N::Tunnel>,
    memory: EndMemory,
    deadlines: Deadlines,
    tombstones: Tombstones,

    admission: Admission,
    waiting: WaitingRoom,
    indices: IndexTable,
    /// Devices whose tunnel has timers to run.
    live: Set<u32>,
    flows: FlowTable,

    notices: Notices,
    outbox: Outbox,
    tally: Tally,
    /// The moment of the last call.
    last: Option<Now>,
    tick_at: BootTime,
    /// Where datagrams are opened.
    opened: Vec<u8>,
    /// Where packets are padded.
    padded: Vec<u8>,
}

impl Gateway {
    /// Makes a core that is paused and knows no device.
    #[must_use]
    pub fn new(config: CoreConfig) -> Self {
        let CoreConfig { secret, network, authority_ttl_max, limits, seed } = config;
        Self::with_noise(Boringtun::new(secret), CoreSettings { network, authority_ttl_max, limits, seed })
    }
}

impl<N: Noise> Gateway<N> {
    /// Makes the same over another Noise.
    #[must_use]
    pub fn with_noise(noise: N, settings: CoreSettings) -> Self {
        let CoreSettings { network, authority_ttl_max, limits, seed } = settings;
        let seed = Seed::new(seed);
        Self {
            network,
            limits,
            noise,
            revision: None,
            authority: Authority::new(authority_ttl_max),
            lockdown: Lockdown::Off,
            exempt: seed.set(),
            own: seed.set(),
            names: Names::new(&seed),
            offers: Offers::default(),
            share: Share::WHOLE,
            elsewhere: Elsewhere::new(&seed),
            devices: DeviceTable::new(&seed),
            memory: EndMemory::new(&seed, limits.devices_max),
            deadlines: Deadlines::default(),
            tombstones: Tombstones::new(&seed, limits.tombstones_max),
            admission: Admission::new(&seed, limits.handshakes_per_second),
            waiting: WaitingRoom::new(&seed),
            indices: IndexTable::new(&seed),
            live: seed.set(),
            flows: FlowTable::new(&seed, &limits),
            notices: Notices::new(&seed),
            outbox: Outbox::new(&limits),
            tally: Tally::default(),
            last: None,
            tick_at: BootTime::default(),
            opened: vec![0; DATAGRAM_MAX],
            padded: Vec::new(),
            seed,
        }
    }

    /// Makes the core one of several, which own their devices alone. Comes before the first input.
    #[must_use]
    pub fn with_share(mut self, share: Share) -> Self {
        self.share = share;
        self.indices.limit_to(share);
        let of = usize::from(share.of());
        self.flows.limit_to(self.limits.flows_max.div_ceil(of.max(1)));
        self
    }

    /// Handles datagrams from one source: `buffer` cut every `stride` bytes, the last may be shorter.
    pub fn handle_datagrams(
        &mut self,
        now: Now,
        from: SocketAddr,
        via: Via,
        buffer: &[u8],
        stride: usize,
        out: &mut impl TunnelSink,
    ) {
        let now = self.observe(now);
        for datagram in buffer.chunks(stride.max(1)) {
            self.datagram(now, (from, via), datagram, out);
        }
    }

    /// Handles one packet that the tunnel device gave, on its way to a device. Where it stands for several, they are cut
    /// and sealed here; the decision is one, for they share addresses and ports. The contents of `packet` are spoilt.
    pub fn handle_tunnel_packet(&mut self, now: Now, offload: Offload, packet: &mut [u8], out: &mut impl DatagramSink) {
        let now = self.observe(now);
        self.tunnel_packet(now, offload, packet, out);
    }

    /// Handles a command; when it returns, the command is in force.
    pub fn handle_command(&mut self, now: Now, command: Command) {
        let now = self.observe(now);
        match command {
            Command::Snapshot(snapshot) => self.snapshot(now, snapshot),
            Command::Delta(delta) => self.delta(now, delta),
            Command::Heartbeat(heartbeat) => self.heartbeat(now, &heartbeat),
            Command::OwnAddresses(addresses) => self.own_addresses(now, addresses),
            Command::Resolved { name, addresses } => self.names.resolved(&name, addresses, now),
            Command::ResolverListens(listens) => {
                self.offer(now, Offers { resolver: listens, ..self.offers });
            }
            Command::PortalListens { port, landing } => {
                self.offer(now, Offers { portal: port, landing, ..self.offers });
            }
        }
        if let Some(names) = self.names.wanted() {
            self.outbox.event(Event::NamesWanted(names));
        }
    }

    /// Handles what another core of this gateway handed over.
    pub fn handle_handover(
        &mut self,
        now: Now,
        handover: Handover,
        tunnel: &mut impl TunnelSink,
        out: &mut impl DatagramSink,
    ) {
        let now = self.observe(now);
        match handover {
            Handover::Datagram { from, via, datagram } => self.datagram(now, (from, via), &datagram, tunnel),
            Handover::Initiation { key, from, via, datagram } => {
                if let Err(reason) = self.knocked(now, (from, via), &key, &datagram) {
                    self.tally.drop(reason);
                }
            }
            Handover::TunnelPacket { offload, mut packet } => self.own_tunnel_packet(now, offload, &mut packet, out),
        }
    }

    /// Does one thing that can wait, such as a handshake that is not urgent; call it while no packet waits. Says
    /// whether it did anything.
    pub fn handle_quiet(&mut self, now: Now) -> bool {
        let now = self.observe(now);
        self.answer_waiting(now)
    }

    /// Returns when [`Gateway::handle_quiet`] has something to do; `None` when nothing waits.
    #[must_use]
    pub fn poll_quiet(&self) -> Option<BootTime> {
        self.waiting.next_at(self.last?.boot)
    }

    /// Does what is due. Harmless when nothing is.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = self.observe(now);
        self.run_deadlines(now);
        self.answer_hurried(now);
        if self.tick_at <= now.boot {
            self.tick(now);
            self.tick_at =
                now.boot.after(if self.live.is_empty() && self.waiting.is_empty() { TICK_IDLE } else { TICK_LIVE });
        }
    }

    /// Returns the next outer datagram to send.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.outbox.next_transmit()
    }

    /// Returns the next packet to write to the tunnel device.
    pub fn poll_tunnel(&mut self) -> Option<TunnelPacket> {
        self.outbox.next_tunnel()
    }

    /// Returns what another core owns, and that core's number.
    pub fn poll_handover(&mut self) -> Option<(u16, Handover)> {
        self.outbox.next_handover()
    }

    /// Returns the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.outbox.next_event()
    }

    /// Returns when to call [`Gateway::handle_timeout`]; `None` when nothing is due before the next input.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<BootTime> {
        let busy =
            !self.live.is_empty() || self.flows.len() > 0 || !self.notices.is_empty() || !self.waiting.is_empty();
        let tick = busy.then_some(self.tick_at);
        let deadline = self.last.and_then(|last| self.deadlines.next(last));
        let hurried = self.last.and_then(|last| self.waiting.next_hurried_at(last.boot));
        [tick, deadline, hurried, self.authority.until()].into_iter().flatten().min()
    }

    /// Lists the peers, for `wg show`.
    pub fn peers(&self) -> impl Iterator<Item = PeerStatus> {
        self.devices.iter().map(|(_, device)| device.status())
    }

    /// Lists the peers whose tunnels live, for reports; it walks no others.
    pub fn peers_live(&self) -> impl Iterator<Item = PeerStatus> {
        self.live.iter().filter_map(|at| self.devices.get(*at)).map(|device| device.status())
    }

    /// Lists the live flows.
    pub fn flows(&self) -> impl Iterator<Item = FlowStatus> {
        self.flows.iter().filter_map(|flow| {
            let leased = &self.devices.get(flow.device)?.leased;
            let rule = leased.rules.iter().find(|rule| flow.ground == Ground::Grant(rule.grant));
            Some(flow.status(leased.id, rule.map(|rule| rule.resource.clone())))
        })
    }

    /// Returns counts and sizes, for metrics and pings. It walks the live tunnels.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let count = |len: usize| u64::try_from(len).unwrap_or(u64::MAX);
        let active = |at: &&u32| {
            let peer = self.devices.get(**at).and_then(|device| device.peer.as_deref());
            peer.zip(self.last).is_some_and(|(peer, last)| peer.is_active(last))
        };
        let mut counters = self.tally.counters();
        counters.notices_dropped = counters.notices_dropped.wrapping_add(self.notices.dropped);
        counters.flows_evicted = self.flows.evicted();
        counters.devices_known = count(self.devices.len());
        counters.devices_active = count(self.live.iter().filter(active).count());
        counters.tunnels = count(self.devices.iter().filter(|(_, device)| device.peer.is_some()).count());
        counters.flows = count(self.flows.len());
        counters.tombstones = count(self.tombstones.len());
        counters
    }

    /// Returns the revision in force; `None` before the first snapshot.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        self.revision
    }

    /// Returns when authority ends; `None` when it never began or is lost.
    #[must_use]
    pub fn authority_until(&self) -> Option<BootTime> {
        self.authority.until()
    }

    /// Looks at the clocks: each call begins here. The boot clock is never taken backwards.
    fn observe(&mut self, now: Now) -> Now {
        let Some(last) = self.last else {
            self.last = Some(now);
            return now;
        };
        let now = Now { boot: now.boot.max(last.boot), wall: now.wall };
        self.last = Some(now);
        // Slewing may add up to 500 ppm over a long silence.
        let drift = now.boot.as_micros().saturating_sub(last.boot.as_micros()) / 1_000;
        if disagreement_micros(last, now) > CLOCK_JUMP_MICROS.saturating_add(drift) {
            self.clock_jumped(now, last);
        }
        match self.authority.edge(now) {
            Some(Edge::Lost) => self.outbox.event(Event::AuthorityLost),
            Some(Edge::Regained) => self.outbox.event(Event::AuthorityRegained),
            None => {}
        }
        now
    }

    fn clock_jumped(&mut self, now: Now, last: Now) {
        let micros = now.wall.as_microsecond().saturating_sub(last.wall.as_microsecond());
        let boot = now.boot.since(last.boot);
        self.say((None, GatewayEventKind::ClockJumped, 0), now, |at, count| GatewayEvent {
            at,
            kind: GatewayEventKind::ClockJumped,
            device: None,
            email: None,
            source: None,
            message: format!(
                "the wall clock moved by {} s while {} s passed; deadlines hold on both clocks and can only shorten",
                micros / 1_000_000,
                boot.as_secs()
            ),
            count,
        });
        // What had ended by the wall clock may hold again, and must then be woken up for.
        for at in self.devices.places() {
            self.schedule(at, now);
        }
    }

    /// Makes a tunnel's timers run.
    fn enliven(&mut self, at: u32, now: Now) {
        if self.live.insert(at) {
            self.tick_at = self.tick_at.min(now.boot.after(TICK_LIVE));
        }
    }

    /// Where the machine is at this moment.
    fn surroundings(&self) -> Surroundings<'_> {
        Surroundings { network: &self.network, own: &self.own, names: &self.names, offers: self.offers }
    }

    /// What holds for every device at this moment.
    fn standing(&self, now: Now) -> Standing {
        Standing { authority: self.authority.lives(now), lockdown: self.lockdown }
    }
}
