//! A gateway, clients that speak real WireGuard to it in memory, and a clock that tests turn.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use doorward_gateway_core::{
    BootTime, Command, ConntrackEntry, CoreConfig, Counters, DatagramSink, DenyReason, DropReason, Enforced, Event,
    Gateway, Limits, Now, Offload, Share, TunnelSink, Via,
};
use doorward_model::{
    Change, Delta, DeviceId, EndReason, GatewayEvent, GrantId, Heartbeat, Interval, Lease, Lockdown, PrincipalId,
    PublicKey, Removal, Revision, Rule, Snapshot, Timestamp, Tombstone, TunnelNetwork,
};
use uuid::Uuid;
use x25519_dalek::StaticSecret;

pub(crate) const VIA: Via = Via::socket(3);
/// Where the resources of the tests are.
pub(crate) const DB: &str = "10.0.5.20";
pub(crate) const DB6: &str = "fd00:5::20";

/// A device of the tests, numbered from 1.
pub(crate) struct Client {
    tunn: Tunn,
    pub(crate) number: u8,
    pub(crate) from: SocketAddr,
}

pub(crate) fn secret(number: u8) -> StaticSecret {
    StaticSecret::from([number; 32])
}

pub(crate) fn public(number: u8) -> PublicKey {
    PublicKey::from_bytes(x25519_dalek::PublicKey::from(&secret(number)).to_bytes()).unwrap()
}

pub(crate) fn v4(number: u8) -> String {
    format!("100.80.0.{}", number + 1)
}

pub(crate) fn v6(number: u8) -> String {
    format!("fd64:6f6f:7277::{:x}", u16::from(number) + 1)
}

pub(crate) fn device(number: u8) -> DeviceId {
    DeviceId::new(Uuid::from_u128(u128::from(number)))
}

pub(crate) fn grant(number: u128) -> GrantId {
    GrantId::new(Uuid::from_u128(number))
}

pub(crate) fn rule(number: u128, targets: &[&str], allow: &[&str]) -> Rule {
    Rule {
        grant: grant(number),
        resource: format!("resource-{number}").parse().unwrap(),
        service: None,
        targets: targets.iter().map(|target| target.parse().unwrap()).collect(),
        allow: allow.iter().map(|allow| allow.parse().unwrap()).collect(),
        validity: Interval::ALWAYS,
    }
}

/// A lease that may use the database with TCP, UDP and ping, in both families.
pub(crate) fn lease(number: u8) -> Lease {
    Lease {
        device: device(number),
        device_name: "laptop".parse().unwrap(),
        principal: PrincipalId::new(Uuid::from_u128(u128::from(number))),
        email: format!("person{number}@shop.example").parse().unwrap(),
        public_key: public(number),
        preshared_key: None,
        address_v4: v4(number).parse().unwrap(),
        address_v6: v6(number).parse().unwrap(),
        validity: Interval::ALWAYS,
        sign_in_until: None,
        rules: vec![rule(1, &[DB, DB6], &["tcp/5432", "udp/53", "icmp"])],
    }
}

pub(crate) fn tombstone(number: u8, reason: EndReason) -> Tombstone {
    Tombstone {
        public_key: public(number),
        device: device(number),
        device_name: "laptop".parse().unwrap(),
        email: format!("person{number}@shop.example").parse().unwrap(),
        reason,
        ended_at: Timestamp::UNIX_EPOCH,
    }
}

#[derive(Default)]
pub(crate) struct Packets(pub(crate) Vec<Vec<u8>>);

impl TunnelSink for Packets {
    fn packet(&mut self, packet: &[u8]) {
        self.0.push(packet.to_vec());
    }
}

#[derive(Default)]
pub(crate) struct Train {
    room: Vec<u8>,
    to: Option<(SocketAddr, Via)>,
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl DatagramSink for Train {
    fn reserve(&mut self, to: SocketAddr, via: Via, len: usize) -> Option<&mut [u8]> {
        self.room = vec![0; len];
        self.to = Some((to, via));
        Some(&mut self.room)
    }

    fn commit(&mut self, len: usize) {
        self.sent.push((self.to.unwrap().0, self.room[..len].to_vec()));
    }
}

pub(crate) struct World {
    pub(crate) gateway: Gateway,
    pub(crate) boot: u64,
    pub(crate) wall: i64,
    pub(crate) events: Vec<Event>,
    pub(crate) revision: u64,
    pub(crate) leases: Vec<Lease>,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Self {
        Self::made_with(limits, Share::WHOLE)
    }

    /// One of several cores.
    pub(crate) fn with_share(share: Share) -> Self {
        Self::made_with(Limits::default(), share)
    }

    fn made_with(limits: Limits, share: Share) -> Self {
        let config = CoreConfig {
            secret: secret(200),
            network: TunnelNetwork::default(),
            authority_ttl_max: Duration::from_secs(30),
            limits,
            seed: [9; 32],
        };
        let (gateway, events) = (Gateway::new(config).with_share(share), Vec::new());
        Self { gateway, boot: 5_000_000_000, wall: 1_800_000_000_000_000, events, revision: 0, leases: Vec::new() }
    }

    /// A gateway in force with leases 1 to `count`, and connected clients.
    pub(crate) fn connected<const N: usize>() -> (Self, [Client; N]) {
        let mut world = Self::new();
        world.leases = (1..=u8::try_from(N).unwrap()).map(lease).collect();
        world.snapshot();
        world.heartbeat();
        let clients = std::array::from_fn(|at| {
            let mut client = Client::new(u8::try_from(at + 1).unwrap());
            assert!(world.connect(&mut client), "no handshake");
            client
        });
        world.events.clear();
        (world, clients)
    }

    pub(crate) fn now(&self) -> Now {
        Now { boot: BootTime::from_micros(self.boot), wall: Timestamp::from_microsecond(self.wall).unwrap() }
    }

    /// The wall clock, so many seconds away.
    pub(crate) fn wall_in(&self, seconds: i64) -> Timestamp {
        Timestamp::from_microsecond(self.wall + seconds * 1_000_000).unwrap()
    }

    /// Lets time pass on both clocks, with timers but without heartbeats.
    pub(crate) fn pass(&mut self, seconds: u64) {
        self.boot += seconds * 1_000_000;
        self.wall += i64::try_from(seconds).unwrap() * 1_000_000;
        self.timeout();
    }

    /// Lets time pass in steps, with heartbeats, so that authority lives.
    pub(crate) fn pass_alive(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.pass(1);
            self.heartbeat();
        }
    }

    pub(crate) fn timeout(&mut self) {
        self.gateway.handle_timeout(self.now());
        self.take_events();
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.gateway.handle_command(self.now(), command);
        self.take_events();
    }

    fn take_events(&mut self) {
        self.events.extend(std::iter::from_fn(|| self.gateway.poll_event()));
    }

    pub(crate) fn snapshot_of(&self, revision: u64) -> Snapshot {
        Snapshot {
            revision: Revision(revision),
            sent_at: self.now().wall,
            lockdown: Lockdown::Off,
            lockdown_exempt: Vec::new(),
            leases: self.leases.clone(),
            tombstones: Vec::new(),
        }
    }

    /// Sends all leases as the next revision.
    pub(crate) fn snapshot(&mut self) {
        self.revision += 1;
        let snapshot = self.snapshot_of(self.revision);
        self.command(Command::Snapshot(snapshot.into()));
    }

    pub(crate) fn delta(&mut self, changes: Vec<Change>) {
        let base = Revision(self.revision);
        self.revision += 1;
        let delta = Delta { base, revision: Revision(self.revision), sent_at: self.now().wall, changes, ahead: None };
        self.command(Command::Delta(delta));
    }

    pub(crate) fn heartbeat(&mut self) {
        self.heartbeat_with(self.revision, self.boot);
    }

    pub(crate) fn heartbeat_with(&mut self, revision: u64, echo_boot_micros: u64) {
        let heartbeat = Heartbeat {
            revision: Revision(revision),
            sent_at: self.now().wall,
            echo_boot_micros,
            authority_ttl_ms: 30_000,
        };
        self.command(Command::Heartbeat(heartbeat));
    }

    pub(crate) fn remove(&mut self, number: u8, reason: EndReason) {
        self.delta(vec![Change::Remove(Removal { device: device(number), tombstone: tombstone(number, reason) })]);
    }

    /// Hands the gateway a datagram; returns the inner packets that passed.
    pub(crate) fn receive(&mut self, from: SocketAddr, datagram: &[u8]) -> Vec<Vec<u8>> {
        let mut out = Packets::default();
        self.gateway.handle_datagrams(self.now(), from, VIA, datagram, datagram.len(), &mut out);
        self.take_events();
        out.0
    }

    /// Plays a handshake; says whether it came about.
    pub(crate) fn connect(&mut self, client: &mut Client) -> bool {
        let initiation = client.initiation();
        self.receive(client.from, &initiation);
        let Some(response) = self.transmits().pop() else { return false };
        let mut buffer = [0; 2048];
        let TunnResult::WriteToNetwork(keepalive) = client.tunn.decapsulate(None, &response, &mut buffer) else {
            return false;
        };
        let keepalive = keepalive.to_vec();
        self.receive(client.from, &keepalive);
        true
    }

    /// Sends an inner packet from a client; returns what passed to the resources.
    pub(crate) fn up(&mut self, client: &mut Client, packet: &[u8]) -> Vec<Vec<u8>> {
        let datagram = client.seal(packet);
        self.receive(client.from, &datagram)
    }

    /// Sends a packet from a resource; returns what the client got.
    pub(crate) fn down(&mut self, client: &mut Client, packet: &[u8]) -> Vec<Vec<u8>> {
        let sent = self.down_sealed(packet);
        sent.iter().filter_map(|(_, datagram)| client.open(datagram)).collect()
    }

    pub(crate) fn down_sealed(&mut self, packet: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        self.down_offloaded(Offload::NONE, packet)
    }

    /// The same for a packet that is left unfinished, as the kernel hands it over.
    pub(crate) fn down_offloaded(&mut self, offload: Offload, packet: &[u8]) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut out = Train::default();
        self.gateway.handle_tunnel_packet(self.now(), offload, &mut packet.to_vec(), &mut out);
        self.take_events();
        out.sent
    }

    /// Outer datagrams of the gateway's own.
    pub(crate) fn transmits(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.gateway.poll_transmit())
            .inspect(|t| assert_eq!(t.via, VIA))
            .map(|t| t.datagram)
            .collect()
    }

    /// Inner packets of the gateway's own for a client.
    pub(crate) fn told(&mut self, client: &mut Client) -> Vec<Vec<u8>> {
        self.transmits().iter().filter_map(|datagram| client.open(datagram)).collect()
    }

    /// Packets of the gateway's own for resources.
    pub(crate) fn told_resources(&mut self) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| self.gateway.poll_tunnel()).map(|packet| packet.packet).collect()
    }

    pub(crate) fn denied(&self, reason: DenyReason) -> u64 {
        self.counters().denied.iter().find(|(held, _)| *held == reason).unwrap().1
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.counters().dropped.iter().find(|(held, _)| *held == reason).unwrap().1
    }

    pub(crate) fn counters(&self) -> Counters {
        self.gateway.counters()
    }

    pub(crate) fn notices(&self) -> Vec<GatewayEvent> {
        self.events
            .iter()
            .filter_map(|event| if let Event::Notice(notice) = event { Some(notice.clone()) } else { None })
            .collect()
    }

    pub(crate) fn enforced(&self) -> Enforced {
        self.events
            .iter()
            .rev()
            .find_map(|event| if let Event::Enforced(e) = event { Some(e.clone()) } else { None })
            .unwrap()
    }

    pub(crate) fn flushed(&self) -> Vec<ConntrackEntry> {
        self.events
            .iter()
            .filter_map(|e| if let Event::FlushConntrack(f) = e { Some(f.clone()) } else { None })
            .flatten()
            .collect()
    }

    /// Says whether a new UDP packet to the database passes.
    pub(crate) fn reaches_db(&mut self, client: &mut Client) -> bool {
        let packet = crate::packets::udp((&v4(client.number), 4_000), (DB, 53), b"question");
        self.up(client, &packet) == [packet]
    }
}

impl Client {
    pub(crate) fn new(number: u8) -> Self {
        Self::with_psk(number, None)
    }

    pub(crate) fn with_psk(number: u8, psk: Option<[u8; 32]>) -> Self {
        let gateway = x25519_dalek::PublicKey::from(&secret(200));
        let from = SocketAddr::new(IpAddr::from([203, 0, 113, number]), 40_000);
        Self { tunn: Tunn::new(secret(number), gateway, psk, None, u32::from(number), None), number, from }
    }

    pub(crate) fn initiation(&mut self) -> Vec<u8> {
        let mut buffer = [0; 2048];
        let TunnResult::WriteToNetwork(sent) = self.tunn.format_handshake_initiation(&mut buffer, true) else {
            panic!("no initiation")
        };
        sent.to_vec()
    }

    pub(crate) fn seal(&mut self, packet: &[u8]) -> Vec<u8> {
        let mut buffer = vec![0; packet.len() + 200];
        let TunnResult::WriteToNetwork(sent) = self.tunn.encapsulate(packet, &mut buffer) else { panic!("no session") };
        sent.to_vec()
    }

    /// Opens a datagram; returns an inner packet, if there is one.
    pub(crate) fn open(&mut self, datagram: &[u8]) -> Option<Vec<u8>> {
        match self.exchange(datagram) {
            Exchange::Packet(packet) => Some(packet),
            Exchange::Reply(_) | Exchange::Nothing => None,
        }
    }

    pub(crate) fn exchange(&mut self, datagram: &[u8]) -> Exchange {
        let mut buffer = vec![0; datagram.len().max(200)];
        match self.tunn.decapsulate(None, datagram, &mut buffer) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => {
                Exchange::Packet(packet.to_vec())
            }
            TunnResult::WriteToNetwork(reply) => Exchange::Reply(reply.to_vec()),
            TunnResult::Done | TunnResult::Err(_) => Exchange::Nothing,
        }
    }
}

/// What a datagram did at a client.
pub(crate) enum Exchange {
    Packet(Vec<u8>),
    Reply(Vec<u8>),
    Nothing,
}
