//! Tables, queues, hostile bytes and memory.

use doorward_gateway_core::{Limits, TunnelSink};
use doorward_model::EndReason;
use proptest::prelude::*;

use crate::harness::{Client, DB, World, device, lease, rule, v4};
use crate::packets::{ACK, FIN, SYN, tcp, udp};

#[test]
fn one_devices_flows_are_bounded_and_the_longest_idle_goes() {
    let mut world = World::with(Limits { flows_per_device_max: 10, ..Limits::default() });
    world.leases = vec![lease(1)];
    world.snapshot();
    world.heartbeat();
    let mut client = Client::new(1);
    assert!(world.connect(&mut client));
    for port in 1..=10 {
        world.up(&mut client, &udp((&v4(1), port), (DB, 53), b"q"));
    }
    world.up(&mut client, &udp((&v4(1), 1), (DB, 53), b"used again"));
    world.up(&mut client, &udp((&v4(1), 11), (DB, 53), b"q"));
    assert_eq!(world.gateway.flows().count(), 10);
    assert_eq!(world.counters().flows_evicted, 1);
    assert_eq!(world.down(&mut client, &udp((DB, 53), (&v4(1), 1), b"a")).len(), 1);
    assert!(world.down_sealed(&udp((DB, 53), (&v4(1), 2), b"a")).is_empty(), "2 was idle longest");
}

#[test]
fn when_the_whole_table_is_full_the_greedy_device_pays() {
    let mut world = World::with(Limits { flows_max: 20, ..Limits::default() });
    world.leases = vec![lease(1), lease(2)];
    world.snapshot();
    world.heartbeat();
    let (mut greedy, mut modest) = (Client::new(1), Client::new(2));
    assert!(world.connect(&mut greedy) && world.connect(&mut modest));
    assert!(world.reaches_db(&mut modest));
    for port in 1..=100 {
        world.up(&mut greedy, &udp((&v4(1), port), (DB, 53), b"q"));
    }
    assert!(world.gateway.flows().count() <= 20);
    assert_eq!(world.gateway.flows().filter(|flow| flow.device == device(2)).count(), 1);
}

#[test]
fn idle_flows_end_by_themselves() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    world.pass_alive(170);
    assert_eq!(world.gateway.flows().count(), 1);
    world.pass_alive(20);
    assert_eq!(world.gateway.flows().count(), 0);
}

#[test]
fn a_closed_connection_is_forgotten_in_a_minute_and_an_open_one_is_not() {
    let (mut world, [mut client]) = World::connected();
    for port in [4_000, 4_001] {
        world.up(&mut client, &tcp((&v4(1), port), (DB, 5_432), SYN, (1, 0), b""));
        world.down(&mut client, &tcp((DB, 5_432), (&v4(1), port), SYN | ACK, (9, 2), b""));
    }
    world.up(&mut client, &tcp((&v4(1), 4_000), (DB, 5_432), FIN | ACK, (2, 10), b""));
    world.pass_alive(75);
    let ports: Vec<_> = world.gateway.flows().map(|flow| flow.tuple.device.port()).collect();
    assert_eq!(ports, [4_001]);
}

#[test]
fn devices_beyond_the_table_are_denied() {
    let mut world = World::with(Limits { devices_max: 2, ..Limits::default() });
    world.leases = (1..=3).map(lease).collect();
    world.snapshot();
    assert_eq!(world.gateway.peers().count(), 2);
    assert_eq!(world.notices().len(), 1);
}

#[test]
fn tombstones_are_bounded_and_the_oldest_go() {
    let mut world = World::with(Limits { tombstones_max: 5, ..Limits::default() });
    world.snapshot();
    for number in 1..=8 {
        world.remove(number, EndReason::Offboarded);
    }
    assert_eq!(world.counters().tombstones, 5);
    world.connect(&mut Client::new(3));
    assert!(world.notices().is_empty());
    world.connect(&mut Client::new(4));
    assert_eq!(world.notices().len(), 1);
}

#[test]
fn ten_thousand_idle_devices_have_no_tunnels() {
    let mut world = World::new();
    world.leases = (0..10_000_u32)
        .map(|n| {
            let mut lease = lease(1);
            let mut key = [9; 32];
            key[..4].copy_from_slice(&n.to_le_bytes());
            lease.public_key = doorward_model::PublicKey::from_bytes(key).unwrap();
            lease.device = doorward_model::DeviceId::new(uuid::Uuid::from_u128(u128::from(n) + 1));
            lease.address_v4 = std::net::Ipv4Addr::from_bits(0x6450_0002 + n);
            lease.address_v6 = std::net::Ipv6Addr::from_bits(
                "fd64:6f6f:7277::2".parse::<std::net::Ipv6Addr>().unwrap().to_bits() + u128::from(n),
            );
            lease
        })
        .collect();
    world.snapshot();
    assert_eq!(world.gateway.peers().count(), 10_000);
    assert_eq!(world.counters().tunnels, 0);
    assert_eq!(world.gateway.poll_timeout(), None, "nothing to wake up for");
}

struct Nothing;

impl TunnelSink for Nothing {
    fn packet(&mut self, packet: &[u8]) {
        panic!("{packet:?} passed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_bytes_neither_panic_nor_pass(
        outer in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..200), 1..20),
        inner in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..200), 1..20),
        kind in 0_u8..5,
    ) {
        let (mut world, [mut client]) = World::connected();
        let now = world.now();
        for mut datagram in outer {
            if let Some(first) = datagram.first_chunk_mut::<4>() {
                *first = [kind, 0, 0, 0];
            }
            world.gateway.handle_datagrams(now, client.from, crate::harness::VIA, &datagram, 1_500, &mut Nothing);
        }
        for packet in inner {
            let sealed = client.seal(&packet);
            world.gateway.handle_datagrams(now, client.from, crate::harness::VIA, &sealed, sealed.len(), &mut Nothing);
            prop_assert!(world.down_sealed(&packet).is_empty());
        }
        prop_assert!(world.reaches_db(&mut client));
    }

    /// A small model: a packet passes exactly when some rule covers it at that moment, on both clocks.
    #[test]
    fn passing_agrees_with_a_model(
        rules in proptest::collection::vec((0_u8..4, 1_u16..5, 0_i64..20, 1_i64..20), 0..5),
        packets in proptest::collection::vec((0_u8..4, 1_u16..5), 1..10),
        boot in 0_i64..25,
        wall in 0_i64..25,
    ) {
        let (mut world, [mut client]) = World::connected();
        world.leases[0].rules = (1..).zip(&rules).map(|(number, (host, port, start, length))| {
            let mut rule = rule(number, &[&format!("10.0.5.{host}")], &[&format!("udp/{port}")]);
            rule.validity.not_before = world.wall_in(*start);
            rule.validity.not_after = world.wall_in(start + length);
            rule
        }).collect();
        world.snapshot();
        world.boot += boot.unsigned_abs() * 1_000_000;
        world.wall += wall * 1_000_000;
        world.heartbeat();
        for (host, port) in packets {
            let expected = rules.iter().any(|(h, p, start, length)| {
                let within = |at: i64| *start <= at && at < start + length;
                *h == host && *p == port && within(boot) && within(wall)
            });
            let passed = world.up(&mut client, &udp((&v4(1), 999), (&format!("10.0.5.{host}"), port), b"")).len() == 1;
            prop_assert_eq!(passed, expected);
        }
    }
}
