//! What a packet costs, in instructions: `instructions NAME COUNT` does one thing COUNT times inside [`measured`], which
//! `tests/bench/instructions.sh` has valgrind count. Without a name it lists the names.
//!
//! `known-flow`, `known-rules-…` and `peers-…` are a packet of a flow that is open; `rules-…` the first packet of a flow, under
//! so many rules. `split` is a packet that stands for ten; `to-device` one that stands for itself.
//!
//! `open` and `seal` are with boringtun. The others run over a Noise without any cryptography, so that what is counted is
//! the core alone: reading, deciding, flows.
#![expect(clippy::unwrap_used, clippy::print_stdout, reason = "a program for developers")]

use std::hint::black_box;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use boringtun::noise::{Tunn, TunnResult};
use doorward_gateway_core::noise::{
    DATA_OVERHEAD, INITIATION_LEN, Noise, Opened, Proof, RESPONSE_LEN, Sealed, Ticked, Tunnel,
};
use doorward_gateway_core::{
    BootTime, Boringtun, Coalescer, Command, CoreSettings, DatagramSink, Gateway, Limits, Now, Offload, Segmentation,
    TunnelSink, TunnelWriter, Via,
};
use doorward_model::{
    DeviceId, GrantId, Heartbeat, Interval, Lease, Lockdown, PresharedKey, PrincipalId, PublicKey, Revision, Rule,
    Snapshot, Timestamp, TunnelNetwork,
};
use etherparse::PacketBuilder;
use uuid::Uuid;
use x25519_dalek::StaticSecret;

const NAMES: [&str; 12] = [
    "known-flow",
    "known-rules-1000",
    "peers-100",
    "peers-10000",
    "rules-1",
    "rules-16",
    "rules-1000",
    "to-device",
    "split",
    "coalesce",
    "open",
    "seal",
];
const FROM: SocketAddr = SocketAddr::new(IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 7)), 40_000);
const VIA: Via = Via::socket(0);
const PAYLOAD: usize = 1_300;
/// Datagrams that one packet of the tunnel device stands for in `split`.
const SEGMENTS: usize = 10;
/// Datagrams that `coalesce` makes one of: as many as a packet of 64 KiB holds.
const JOINED: usize = 48;

/// No cryptography: the sender's key is believed, data is copied.
struct Clear;

struct ClearTunnel {
    index: u32,
    remote: u32,
    sent: u64,
}

fn word(from: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(from[at..at + 4].try_into().unwrap())
}

impl Tunnel for ClearTunnel {
    fn open<'b>(&mut self, _: IpAddr, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b> {
        if word(datagram, 0) == 1 {
            self.remote = word(datagram, 4);
            let reply = &mut into[..RESPONSE_LEN];
            reply.fill(0);
            reply[0] = 2;
            reply[4..8].copy_from_slice(&(self.index << 8 | 1).to_le_bytes());
            return Opened::Reply(reply);
        }
        let payload = &datagram[16..datagram.len() - 16];
        into[..payload.len()].copy_from_slice(payload);
        if payload.is_empty() { Opened::Nothing } else { Opened::Packet(&mut into[..payload.len()]) }
    }

    fn seal(&mut self, packet: &[u8], into: &mut [u8]) -> Sealed {
        into[..16].fill(0);
        into[0] = 4;
        into[4..8].copy_from_slice(&self.remote.to_le_bytes());
        into[8..16].copy_from_slice(&self.sent.to_le_bytes());
        into[16..16 + packet.len()].copy_from_slice(packet);
        self.sent += 1;
        Sealed::Data(packet.len() + DATA_OVERHEAD)
    }

    fn initiate<'b>(&mut self, _: &'b mut [u8; INITIATION_LEN]) -> Option<&'b [u8]> {
        None
    }

    fn tick<'b>(&mut self, _: &'b mut [u8; INITIATION_LEN]) -> Ticked<'b> {
        Ticked::Nothing
    }
}

impl Noise for Clear {
    type Tunnel = ClearTunnel;

    fn is_own(&self, _: &PublicKey) -> bool {
        false
    }

    fn tunnel(&self, _: &PublicKey, _: Option<&PresharedKey>, index: u32) -> ClearTunnel {
        ClearTunnel { index, remote: 0, sent: 0 }
    }

    fn mac_is_right(&self, _: &[u8]) -> bool {
        true
    }

    fn prove(&self, _: SocketAddr, _: &[u8]) -> Proof {
        Proof::Proven
    }

    fn claimed_key(&self, datagram: &[u8]) -> Option<PublicKey> {
        PublicKey::from_bytes(datagram[8..40].try_into().unwrap()).ok()
    }
}

struct Counted(usize);

impl TunnelSink for Counted {
    fn packet(&mut self, packet: &[u8]) {
        self.0 += black_box(packet).len().min(1);
    }
}

/// Counts writes to the tunnel device.
struct Written(usize);

impl TunnelWriter for Written {
    fn write(&mut self, framed: &[u8]) {
        self.0 += black_box(framed).len().min(1);
    }
}

struct Room(Vec<u8>, usize);

impl DatagramSink for Room {
    fn reserve(&mut self, _: SocketAddr, _: Via, len: usize) -> Option<&mut [u8]> {
        self.0.get_mut(..len)
    }

    fn commit(&mut self, _: usize) {
        self.1 += 1;
    }
}

fn now() -> Now {
    Now { boot: BootTime::from_micros(5_000_000_000), wall: Timestamp::from_second(1_800_000_000).unwrap() }
}

fn secret(number: u8) -> StaticSecret {
    StaticSecret::from([number; 32])
}

fn key(number: u32) -> PublicKey {
    if number == 0 {
        return PublicKey::from_bytes(x25519_dalek::PublicKey::from(&secret(1)).to_bytes()).unwrap();
    }
    let mut bytes = [7; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    PublicKey::from_bytes(bytes).unwrap()
}

/// A lease; the rule that leads to 10.0.5.20 is the last one.
fn lease(number: u32, rules: u32) -> Lease {
    let (address_v4, address_v6) = TunnelNetwork::default().device_addresses(number).unwrap();
    let rule = |at: u32| {
        let target =
            if at + 1 == rules { "10.0.5.20".to_owned() } else { format!("10.1.{}.{}", at / 250, at % 250 + 1) };
        Rule {
            grant: GrantId::new(Uuid::from_u128(u128::from(at) + 1)),
            resource: "database".parse().unwrap(),
            service: None,
            targets: vec![target.parse().unwrap()],
            allow: vec!["udp/1-65535".parse().unwrap()],
            validity: Interval::ALWAYS,
        }
    };
    Lease {
        device: DeviceId::new(Uuid::from_u128(u128::from(number) + 1)),
        device_name: "laptop".parse().unwrap(),
        principal: PrincipalId::new(Uuid::from_u128(1)),
        email: "dba@shop.example".parse().unwrap(),
        public_key: key(number),
        preshared_key: None,
        address_v4,
        address_v6,
        validity: Interval::ALWAYS,
        sign_in_until: None,
        rules: (0..rules).map(rule).collect(),
    }
}

fn gateway<N: Noise>(noise: N, peers: u32, rules: u32) -> Gateway<N> {
    let settings = CoreSettings {
        network: TunnelNetwork::default(),
        authority_ttl_max: Duration::from_secs(30),
        limits: Limits { flows_per_device_max: 65_535, ..Limits::default() },
        seed: [9; 32],
    };
    let mut gateway = Gateway::with_noise(noise, settings);
    let (revision, sent_at) = (Revision(1), now().wall);
    let leases = (0..peers).map(|number| lease(number, rules)).collect();
    let (lockdown, lockdown_exempt, tombstones) = (Lockdown::Off, Vec::new(), Vec::new());
    let snapshot = Snapshot { revision, sent_at, lockdown, lockdown_exempt, leases, tombstones };
    gateway.handle_command(now(), Command::Snapshot(snapshot.into()));
    let echo_boot_micros = now().boot.as_micros();
    let heartbeat = Heartbeat { revision, sent_at, echo_boot_micros, authority_ttl_ms: 30_000 };
    gateway.handle_command(now(), Command::Heartbeat(heartbeat));
    gateway
}

fn receive<N: Noise>(gateway: &mut Gateway<N>, datagram: &[u8]) -> usize {
    let mut counted = Counted(0);
    gateway.handle_datagrams(now(), FROM, VIA, datagram, datagram.len(), &mut counted);
    counted.0
}

/// UDP between the first device and the database, with right checksums.
fn udp(port: u16, from_device: bool, len: usize) -> Vec<u8> {
    let (device, _) = TunnelNetwork::default().device_addresses(0).unwrap();
    let (device, database) = ((device.octets(), port), ([10, 0, 5, 20], 53_u16));
    let (from, to) = if from_device { (device, database) } else { (database, device) };
    let mut packet = Vec::with_capacity(len + 28);
    PacketBuilder::ipv4(from.0, to.0, 64).udp(from.1, to.1).write(&mut packet, &vec![7; len]).unwrap();
    packet
}

fn clear_data(receiver: u32, payload: &[u8]) -> Vec<u8> {
    let mut datagram = vec![4, 0, 0, 0];
    datagram.extend(receiver.to_le_bytes().into_iter().chain([0; 8]));
    datagram.extend_from_slice(payload);
    datagram.extend([0; 16]);
    datagram
}

/// A core without cryptography whose first device is connected, and its receiver index.
fn clear(peers: u32, rules: u32) -> (Gateway<Clear>, u32) {
    let mut gateway = gateway(Clear, peers, rules);
    let mut initiation = vec![0; INITIATION_LEN];
    initiation[0] = 1;
    initiation[8..40].copy_from_slice(key(0).as_bytes());
    receive(&mut gateway, &initiation);
    let receiver = word(&gateway.poll_transmit().unwrap().datagram, 4);
    receive(&mut gateway, &clear_data(receiver, &[]));
    assert_eq!(receive(&mut gateway, &clear_data(receiver, &udp(1, true, PAYLOAD))), 1);
    (gateway, receiver)
}

/// What valgrind counts, and nothing else.
#[inline(never)]
fn measured(mut work: impl FnMut()) {
    work();
}

/// Hands over datagrams and checks that all passed.
fn inward<N: Noise>(gateway: &mut Gateway<N>, datagrams: &[Vec<u8>]) {
    let mut passed = 0;
    measured(|| passed += datagrams.iter().map(|datagram| receive(gateway, datagram)).sum::<usize>());
    assert_eq!(passed, datagrams.len());
}

/// The same through a coalescer, in batches that each become one write.
fn coalesced<N: Noise>(gateway: &mut Gateway<N>, datagrams: &[Vec<u8>]) {
    let mut coalescer = Coalescer::new(Written(0), true);
    measured(|| {
        for batch in datagrams.chunks(JOINED) {
            for datagram in batch {
                gateway.handle_datagrams(now(), FROM, VIA, datagram, datagram.len(), &mut coalescer);
            }
            coalescer.flush();
        }
    });
    assert_eq!(coalescer.writer().0, datagrams.len().div_ceil(JOINED));
}

fn outward<N: Noise>(gateway: &mut Gateway<N>, count: u16, offload: Offload, segments: usize) {
    let mut packets: Vec<Vec<u8>> = (0..count).map(|_| udp(1, false, PAYLOAD * segments)).collect();
    let mut room = Room(vec![0; 2_048], 0);
    measured(|| {
        for packet in &mut packets {
            gateway.handle_tunnel_packet(now(), offload, packet, &mut room);
        }
    });
    assert_eq!(room.1, usize::from(count) * segments);
}

fn over_boringtun(name: &str, count: u16) {
    let mut gateway = gateway(Boringtun::new(secret(200)), 1, 1);
    let theirs = x25519_dalek::PublicKey::from(&secret(200));
    let mut client = Tunn::new(secret(1), theirs, None, None, 1, None);
    let mut buffer = [0; 2_048];
    let sent = |result: TunnResult<'_>| match result {
        TunnResult::WriteToNetwork(sent) => Some(sent.to_vec()),
        TunnResult::Done | TunnResult::Err(_) | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => {
            None
        }
    };
    let initiation = sent(client.format_handshake_initiation(&mut buffer, true)).unwrap();
    receive(&mut gateway, &initiation);
    let response = gateway.poll_transmit().unwrap().datagram;
    let keepalive = sent(client.decapsulate(None, &response, &mut buffer)).unwrap();
    receive(&mut gateway, &keepalive);
    let mut seal = || sent(client.encapsulate(&udp(1, true, PAYLOAD), &mut buffer)).unwrap();
    assert_eq!(receive(&mut gateway, &seal()), 1);
    if name == "open" {
        let datagrams: Vec<_> = (0..count).map(|_| seal()).collect();
        inward(&mut gateway, &datagrams);
    } else {
        outward(&mut gateway, count, Offload::NONE, 1);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` and `cargo test --benches` come without a name, or with options of theirs.
    let Some(name) = NAMES.into_iter().find(|name| arguments.first().is_some_and(|first| first == name)) else {
        NAMES.into_iter().for_each(|name| println!("{name}"));
        return;
    };
    let count: u16 = arguments.get(1).map_or(1_000, |count| count.parse().unwrap());
    let known = |receiver: u32| vec![clear_data(receiver, &udp(1, true, PAYLOAD)); usize::from(count)];
    let fresh =
        |receiver: u32| (0..count).map(|port| clear_data(receiver, &udp(port + 2, true, PAYLOAD))).collect::<Vec<_>>();
    match name {
        "open" | "seal" => over_boringtun(name, count),
        "to-device" => outward(&mut clear(1, 1).0, count, Offload::NONE, 1),
        "split" => {
            let segmentation = Segmentation::Udp { size: u16::try_from(PAYLOAD).unwrap() };
            let offload = Offload { checksum: Some((20, 6)), segmentation };
            outward(&mut clear(1, 1).0, count, offload, SEGMENTS);
        }
        "coalesce" => {
            let (mut gateway, receiver) = clear(1, 1);
            coalesced(&mut gateway, &known(receiver));
        }
        "rules-1" | "rules-16" | "rules-1000" => {
            let (mut gateway, receiver) = clear(1, name.trim_start_matches("rules-").parse().unwrap());
            inward(&mut gateway, &fresh(receiver));
        }
        "known-rules-1000" => {
            let (mut gateway, receiver) = clear(1, 1_000);
            inward(&mut gateway, &known(receiver));
        }
        _ => {
            let (mut gateway, receiver) = clear(name.trim_start_matches("peers-").parse().unwrap_or(1), 1);
            inward(&mut gateway, &known(receiver));
        }
    }
}
