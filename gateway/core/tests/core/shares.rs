//! Several cores for one gateway: each owns its devices alone, and what arrives at the wrong one is handed over once.

use std::sync::Arc;

use doorward_gateway_core::{Command, Handover, Share, Via};
use doorward_model::{Change, EndReason, Removal};

use crate::harness::{Client, DB, Exchange, Packets, Train, World, device, lease, public, tombstone, v4};
use crate::packets::udp;

const CORES: usize = 3;

/// The cores of one gateway, with the shell's part: whatever one hands over reaches the other.
struct Cores {
    worlds: Vec<World>,
    handed_over: usize,
}

impl Cores {
    /// Cores in force with leases 1 to `count`.
    fn with_leases(count: u8) -> Self {
        let worlds: Vec<World> = Share::all(u16::try_from(CORES).unwrap()).map(World::with_share).collect();
        let mut cores = Self { worlds, handed_over: 0 };
        let mut snapshot = cores.worlds[0].snapshot_of(1);
        snapshot.leases = (1..=count).map(lease).collect();
        let snapshot = Arc::new(snapshot);
        cores.command(&Command::Snapshot(snapshot));
        for world in &mut cores.worlds {
            world.revision = 1;
            world.heartbeat();
        }
        cores
    }

    fn command(&mut self, command: &Command) {
        for world in &mut self.worlds {
            world.command(command.clone());
        }
    }

    fn delta(&mut self, change: &Change) {
        for world in &mut self.worlds {
            world.delta(vec![change.clone()]);
        }
    }

    /// Carries handovers until there are none; returns what passed and what is to be sent.
    fn settle(&mut self) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut packets, mut sent) = (Packets::default(), Train::default());
        for _ in 0..10 {
            let pending: Vec<(u16, Handover)> =
                self.worlds.iter_mut().flat_map(|world| std::iter::from_fn(|| world.gateway.poll_handover())).collect();
            if pending.is_empty() {
                let transmits = self.worlds.iter_mut().flat_map(World::transmits);
                return (packets.0, transmits.chain(sent.sent.into_iter().map(|(_, datagram)| datagram)).collect());
            }
            self.handed_over += pending.len();
            for (to, handover) in pending {
                let world = &mut self.worlds[usize::from(to)];
                world.gateway.handle_handover(world.now(), handover, &mut packets, &mut sent);
            }
        }
        panic!("handed over for ever");
    }

    /// A datagram arrives at a core; returns what passed to the resources and what is sent.
    fn receive(&mut self, at: usize, client: &Client, datagram: &[u8]) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let mut passed = self.worlds[at].receive(client.from, datagram);
        let (more, sent) = self.settle();
        passed.extend(more);
        (passed, sent)
    }

    /// Plays a handshake whose initiation arrives at core `at`.
    fn connect(&mut self, at: usize, client: &mut Client) -> bool {
        let initiation = client.initiation();
        let (_, sent) = self.receive(at, client, &initiation);
        let Some(Exchange::Reply(keepalive)) = sent.last().map(|response| client.exchange(response)) else {
            return false;
        };
        let owner = steered(&keepalive);
        self.receive(owner, client, &keepalive);
        true
    }
}

/// Where the kernel's program steers transport data.
fn steered(datagram: &[u8]) -> usize {
    assert_eq!(datagram[0], 4);
    usize::from(datagram[5]) % CORES
}

fn question(number: u8) -> Vec<u8> {
    udp((&v4(number), 4_000), (DB, 53), b"question")
}

#[test]
fn each_device_connects_through_core_0_and_stays_with_its_own() {
    let mut cores = Cores::with_leases(6);
    for number in 1..=6 {
        let mut client = Client::new(number);
        assert!(cores.connect(0, &mut client), "device {number}");
        let before = cores.handed_over;
        let datagram = client.seal(&question(number));
        let owner = steered(&datagram);
        let (passed, _) = cores.receive(owner, &client, &datagram);
        assert_eq!(passed, [question(number)]);
        assert_eq!(cores.handed_over, before, "data goes straight to its owner");
        assert_eq!(
            cores.worlds.iter().filter(|world| world.counters().tunnels > 0).count(),
            usize::from(number).min(3)
        );
    }
    let known: Vec<u64> = cores.worlds.iter().map(|world| world.counters().devices_known).collect();
    assert_eq!(known, [2, 2, 2]);
}

#[test]
fn what_arrives_at_the_wrong_core_is_handed_over_once() {
    let mut cores = Cores::with_leases(3);
    for number in 1..=3 {
        for at in 0..CORES {
            let mut client = Client::new(number);
            cores.worlds.iter_mut().for_each(|world| world.pass_alive(2));
            assert!(cores.connect(at, &mut client), "device {number} at core {at}");
            let datagram = client.seal(&question(number));
            let (passed, _) = cores.receive(at, &client, &datagram);
            assert_eq!(passed, [question(number)]);
            let answer = udp((DB, 53), (&v4(number), 4_000), b"answer");
            let sent = cores.worlds[at].down_sealed(&answer);
            let (_, handed) = cores.settle();
            let all: Vec<Vec<u8>> = sent.into_iter().map(|(_, datagram)| datagram).chain(handed).collect();
            assert_eq!(all.len(), 1, "one datagram for one packet");
            assert_eq!(client.open(&all[0]), Some(answer));
        }
    }
}

#[test]
fn a_revoked_device_is_out_at_its_core_and_named_at_core_0() {
    let mut cores = Cores::with_leases(3);
    for number in 1..=3 {
        let mut client = Client::new(number);
        assert!(cores.connect(0, &mut client));
        let tombstone = tombstone(number, EndReason::Offboarded);
        cores.delta(&Change::Remove(Removal { device: device(number), tombstone }));
        for at in 0..CORES {
            let datagram = client.seal(&question(number));
            assert_eq!(cores.receive(at, &client, &datagram).0, Vec::<Vec<u8>>::new());
        }
        assert!(!cores.connect(0, &mut client));
        assert!(
            cores.worlds.iter().flat_map(World::notices).any(|notice| notice.message.contains("tried to connect")),
            "device {number} is named"
        );
    }
}

#[test]
fn a_device_that_gets_another_address_moves_and_leaves_nothing_behind() {
    let mut cores = Cores::with_leases(3);
    let mut client = Client::new(1);
    assert!(cores.connect(0, &mut client));
    let mut moved = lease(1);
    (moved.address_v4, moved.address_v6) = (lease(9).address_v4, lease(9).address_v6);
    moved.address_v4 = "100.80.0.11".parse().unwrap();
    moved.address_v6 = "fd64:6f6f:7277::b".parse().unwrap();
    cores.delta(&Change::Lease(moved));
    let old = client.seal(&question(1));
    let owner = steered(&old);
    assert!(cores.receive(owner, &client, &old).0.is_empty(), "the old session is over");
    assert!(cores.connect(0, &mut client));
    let packet = udp(("100.80.0.11", 4_000), (DB, 53), b"question");
    let datagram = client.seal(&packet);
    let owner = steered(&datagram);
    assert_eq!(cores.receive(owner, &client, &datagram).0, [packet]);
    assert_eq!(cores.worlds.iter().map(|world| world.counters().devices_known).sum::<u64>(), 3);
}

#[test]
fn two_devices_with_one_key_do_not_get_in_at_different_cores_either() {
    let mut cores = Cores::with_leases(2);
    let mut twin = lease(3);
    twin.public_key = public(2);
    cores.delta(&Change::Lease(twin));
    // Wherever the initiation arrives: it may come along with another's data.
    for (number, at) in [2, 3].into_iter().flat_map(|number| (0..CORES).map(move |at| (number, at))) {
        let mut client = Client::new(2);
        client.number = number;
        assert!(!cores.connect(at, &mut client), "{number} at core {at}");
    }
    let known = cores.worlds.iter().flat_map(|world| world.gateway.peers()).map(|peer| peer.device).collect::<Vec<_>>();
    assert_eq!(known, [device(1)], "neither is listed");
    assert_eq!(cores.worlds[0].gateway.poll_transmit().map(|transmit| transmit.via), None::<Via>);
}

#[test]
fn devices_of_different_cores_trade_their_keys_in_one_delta() {
    let mut cores = Cores::with_leases(3);
    for [a, b] in [[1, 2], [2, 3], [3, 1]] {
        let mut leases = [lease(a), lease(b)];
        (leases[0].public_key, leases[1].public_key) = (public(b), public(a));
        cores.worlds.iter_mut().for_each(|world| world.delta(leases.iter().cloned().map(Change::Lease).collect()));
        for number in [a, b] {
            let mut client = Client::new(number);
            assert!(cores.connect(0, &mut client), "the key of device {number}");
        }
        let leases = [lease(a), lease(b)];
        cores.worlds.iter_mut().for_each(|world| world.delta(leases.iter().cloned().map(Change::Lease).collect()));
    }
}
