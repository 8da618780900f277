//! WireGuard itself: sessions, endpoints, floods, the queue.

use std::net::{IpAddr, SocketAddr};

use doorward_gateway_core::DropReason;
use doorward_model::GatewayEventKind;

use crate::harness::{Client, DB, Exchange, World, lease, v4};
use crate::packets::udp;

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([198, 51, 100, host]), port)
}

fn question() -> Vec<u8> {
    udp((&v4(1), 4_000), (DB, 53), b"question")
}

fn answer() -> Vec<u8> {
    udp((DB, 53), (&v4(1), 4_000), b"the answer is longer")
}

fn endpoint(world: &World) -> Option<SocketAddr> {
    world.gateway.peers().next().unwrap().endpoint
}

#[test]
fn sealed_packets_are_padded_to_sixteen_bytes() {
    let (mut world, [mut client]) = World::connected();
    world.up(&mut client, &question());
    for len in 0..40 {
        let packet = udp((DB, 53), (&v4(1), 4_000), &vec![7; len]);
        let sent = world.down_sealed(&packet);
        assert_eq!(sent[0].1.len() % 16, 0, "{len}");
        assert_eq!(client.open(&sent[0].1), Some(packet));
    }
    let full = udp((DB, 53), (&v4(1), 4_000), &vec![7; 1_420 - 28]);
    assert_eq!(world.down_sealed(&full)[0].1.len(), 1_420 + 32, "not past the MTU");
}

#[test]
fn a_replayed_datagram_changes_nothing_wherever_it_comes_from() {
    let (mut world, [mut client]) = World::connected();
    let datagram = client.seal(&question());
    assert_eq!(world.receive(client.from, &datagram).len(), 1);
    assert!(world.receive(at(66, 1), &datagram).is_empty());
    assert_eq!(endpoint(&world), Some(client.from));
    let mut forged = client.seal(&question());
    forged[20] ^= 1;
    assert!(world.receive(at(66, 1), &forged).is_empty());
    assert_eq!(endpoint(&world), Some(client.from));
    assert_eq!(world.dropped(DropReason::Crypto), 2);
}

#[test]
fn a_handshake_alone_moves_no_endpoint() {
    let (mut world, [mut client]) = World::connected();
    let initiation = Client::new(1).initiation();
    world.receive(at(66, 1), &initiation);
    assert_eq!(world.transmits().len(), 1, "answered where it came from");
    assert_eq!(endpoint(&world), Some(client.from));
    client.from = at(7, 7);
    let keepalive = client.seal(&[]);
    world.receive(client.from, &keepalive);
    assert_eq!(endpoint(&world), Some(at(7, 7)));
    assert!(world.notices().iter().any(|notice| notice.kind == GatewayEventKind::EndpointMoved));
}

#[test]
fn before_any_endpoint_is_known_a_handshake_gives_none() {
    let mut world = World::new();
    world.leases = vec![lease(1)];
    world.snapshot();
    world.heartbeat();
    let mut client = Client::new(1);
    let initiation = client.initiation();
    world.receive(client.from, &initiation);
    assert_eq!(endpoint(&world), None);
    let response = world.transmits().pop().unwrap();
    let Exchange::Reply(keepalive) = client.exchange(&response) else { panic!("no keepalive") };
    world.receive(client.from, &keepalive);
    assert_eq!(endpoint(&world), Some(client.from));
    assert!(world.notices().iter().any(|notice| notice.kind == GatewayEventKind::Connected));
}

#[test]
fn two_places_that_take_turns_are_named_and_a_phone_between_two_networks_is_not() {
    let copied = |world: &World| world.notices().iter().any(|notice| notice.kind == GatewayEventKind::KeyUsedTwice);
    let (mut world, [mut client]) = World::connected();
    for (host, port) in [(1, 1), (1, 2), (2, 9), (1, 3), (2, 9), (1, 3), (2, 9), (1, 3)] {
        client.from = at(host, port);
        world.up(&mut client, &question());
    }
    assert!(!copied(&world), "a session came along to each place");
    let mut copy = Client::new(1);
    copy.from = at(3, 9);
    assert!(world.connect(&mut copy));
    assert!(!copied(&world), "somebody moved, and shook hands where they came");
    world.up(&mut client, &question());
    world.up(&mut copy, &question());
    assert!(copied(&world), "two addresses take turns, each with a session of its own");
}

#[test]
fn who_goes_back_to_a_session_that_was_superseded_is_not_who_superseded_it() {
    let copied = |world: &World| world.notices().iter().any(|notice| notice.kind == GatewayEventKind::KeyUsedTwice);
    let (mut world, [mut client]) = World::connected();
    let mut copy = Client::new(1);
    // Behind one NAT, as two laptops of one café are.
    copy.from = at(1, 9);
    world.pass_alive(1);
    assert!(world.connect(&mut copy));
    world.up(&mut copy, &question());
    world.pass_alive(1);
    world.up(&mut client, &question());
    assert!(!copied(&world), "it may have been on its way");
    world.pass_alive(5);
    world.up(&mut client, &question());
    assert!(copied(&world));
}

#[test]
fn a_session_of_180_seconds_is_refused_on_the_packet_path() {
    let (mut world, [mut client]) = World::connected();
    for _ in 0..179 {
        world.boot += 1_000_000;
        world.wall += 1_000_000;
        world.heartbeat();
    }
    assert!(world.reaches_db(&mut client));
    assert_eq!(world.down(&mut client, &answer()).len(), 1);
    world.boot += 1_000_000;
    world.wall += 1_000_000;
    assert!(!world.reaches_db(&mut client));
    assert!(world.dropped(DropReason::SessionOver) > 0);
    assert!(world.down_sealed(&answer()).is_empty(), "sealed with an old key");
}

#[test]
fn without_a_session_packets_wait_for_the_gateways_own_handshake_in_order() {
    let (mut world, [mut client]) = World::connected();
    for _ in 0..170 {
        world.pass(1);
        world.heartbeat();
    }
    world.up(&mut client, &question());
    world.pass_alive(10);
    world.transmits();
    let packets: Vec<_> = (0..12).map(|n| udp((DB, 53), (&v4(1), 4_000), &[n; 9])).collect();
    for packet in &packets {
        assert!(world.down_sealed(packet).is_empty());
    }
    assert_eq!(world.dropped(DropReason::Unreachable), 4, "the queue takes eight");
    let initiation = world.transmits().pop().unwrap();
    assert_eq!(initiation.len(), 148);
    let Exchange::Reply(response) = client.exchange(&initiation) else { panic!("no response") };
    world.receive(client.from, &response);
    let got = world.told(&mut client);
    assert_eq!(got, packets[..8]);
}

#[test]
fn what_waited_five_seconds_is_dropped() {
    let (mut world, [mut client]) = World::connected();
    world.up(&mut client, &question());
    world.pass_alive(179);
    world.up(&mut client, &question());
    world.pass_alive(2);
    world.transmits();
    assert!(world.down_sealed(&answer()).is_empty());
    let initiation = world.transmits().pop().unwrap();
    world.pass_alive(5);
    world.transmits();
    let Exchange::Reply(response) = client.exchange(&initiation) else { panic!("no response") };
    world.receive(client.from, &response);
    assert!(world.told(&mut client).is_empty());
    assert_eq!(world.down(&mut client, &answer()).len(), 1, "the session itself is there");
}

#[test]
fn rubbish_gets_silence() {
    let (mut world, [mut client]) = World::connected();
    let mut wrong_mac = client.initiation();
    wrong_mac[120] ^= 1;
    let mut top_counter = client.seal(&question());
    top_counter[8..16].fill(0xff);
    let mut other_index = client.seal(&question());
    other_index[6] ^= 0x40;
    let rubbish: [&[u8]; 8] = [&[], &[1], &[4; 31], &[1, 0, 0, 0, 9], &wrong_mac, &top_counter, &other_index, &[3; 64]];
    for datagram in rubbish {
        assert!(world.receive(at(66, 1), datagram).is_empty());
        assert!(world.transmits().is_empty());
    }
    assert_eq!(world.dropped(DropReason::Mac), 1);
    assert_eq!(world.dropped(DropReason::CounterOver), 1);
    assert_eq!(world.dropped(DropReason::UnknownIndex), 1);
    assert!(world.reaches_db(&mut client));
}

#[test]
fn a_train_of_datagrams_is_cut_by_its_stride() {
    let (mut world, [mut client]) = World::connected();
    let mut train = Vec::new();
    for _ in 0..5 {
        train.extend(client.seal(&question()));
    }
    let stride = train.len() / 5;
    train.extend(client.seal(&[]));
    struct Count(usize);
    impl doorward_gateway_core::TunnelSink for Count {
        fn packet(&mut self, _: &[u8]) {
            self.0 += 1;
        }
    }
    let mut count = Count(0);
    let now = world.now();
    world.gateway.handle_datagrams(now, client.from, crate::harness::VIA, &train, stride, &mut count);
    assert_eq!(count.0, 5);
}

#[test]
fn a_flood_from_one_source_meets_cookies_and_a_legitimate_device_elsewhere_does_not() {
    let mut world = World::new();
    world.leases = (1..=2).map(lease).collect();
    world.snapshot();
    world.heartbeat();
    let mut flooder = Client::new(90);
    flooder.from = at(66, 1);
    let mut cookies = 0;
    for _ in 0..1_000 {
        let initiation = flooder.initiation();
        world.receive(flooder.from, &initiation);
        cookies += world.transmits().iter().filter(|datagram| datagram.len() == 64).count();
    }
    assert_eq!(cookies, 1_000 - 5 - 128, "all but the burst and those that wait for a quiet moment");
    assert!(world.connect(&mut Client::new(1)));

    // A device behind the same address proves it with the cookie, and gets in.
    let mut neighbour = Client::new(2);
    neighbour.from = at(66, 2);
    let initiation = neighbour.initiation();
    world.receive(neighbour.from, &initiation);
    let cookie = world.transmits().pop().unwrap();
    assert_eq!(cookie.len(), 64);
    assert!(matches!(neighbour.exchange(&cookie), Exchange::Nothing));
    assert!(world.connect(&mut neighbour));
}

#[test]
fn in_a_flood_from_everywhere_a_device_in_the_midst_of_it_is_answered_in_the_next_quiet_moment() {
    let mut world = World::new();
    world.leases = vec![lease(1)];
    world.snapshot();
    world.heartbeat();
    let mut flooder = Client::new(90);
    for number in 0..2_000_u32 {
        let initiation = flooder.initiation();
        world.receive(at(u8::try_from(number % 200).unwrap(), 1), &initiation);
        world.transmits();
    }
    let mut client = Client::new(1);
    client.from = at(250, 1);
    let initiation = client.initiation();
    world.receive(client.from, &initiation);
    let pushed = world.transmits();
    assert!(pushed.iter().all(|datagram| datagram.len() == 64), "it waits, and somebody of the flood got a cookie");
    for _ in 0..300 {
        world.boot += 1_000;
        assert!(world.gateway.poll_quiet().is_some());
        assert!(world.gateway.handle_quiet(world.now()));
        if let Some(response) = world.transmits().pop() {
            assert_eq!(response.len(), 92);
            assert!(matches!(client.exchange(&response), Exchange::Reply(_)));
            return;
        }
    }
    panic!("it was not answered");
}

#[test]
fn who_gets_no_turn_in_half_a_second_is_asked_for_proof() {
    let mut world = World::new();
    let mut flooder = Client::new(90);
    flooder.from = at(66, 1);
    for _ in 0..20 {
        let initiation = flooder.initiation();
        world.receive(flooder.from, &initiation);
    }
    assert!(world.transmits().is_empty());
    assert!(world.gateway.poll_timeout().is_some());
    world.pass(1);
    assert_eq!(world.transmits().iter().filter(|datagram| datagram.len() == 64).count(), 11);
    assert_eq!(world.gateway.poll_quiet(), None);
}

#[test]
fn a_replayed_initiation_gets_no_second_answer_even_when_the_preshared_key_changed() {
    let mut world = World::new();
    world.leases = vec![lease(1)];
    world.snapshot();
    world.heartbeat();
    let mut client = Client::new(1);
    let initiation = client.initiation();
    world.receive(client.from, &initiation);
    assert_eq!(world.transmits().len(), 1);
    world.receive(at(66, 1), &initiation);
    assert!(world.transmits().is_empty());
    world.leases[0].preshared_key = Some(doorward_model::PresharedKey::from_bytes([1; 32]));
    world.snapshot();
    world.receive(at(66, 1), &initiation);
    assert!(world.transmits().is_empty());
}
