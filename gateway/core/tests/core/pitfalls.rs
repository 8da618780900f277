//! The known pitfalls of WireGuard gateways, each by its number in the list that this project keeps of them. Others of the
//! list concern the daemon, the control plane or the control of DNS, and are tested there.

use std::net::{IpAddr, SocketAddr};

use boringtun::noise::TunnResult;
use boringtun::noise::rate_limiter::RateLimiter;
use doorward_gateway_core::{DatagramSink, DenyReason, DropReason, Offload, Via};
use doorward_model::{Change, EndReason, GatewayEventKind, PresharedKey, PublicKey};

use crate::harness::{Client, DB, DB6, Exchange, World, lease, public, rule, v4, v6};
use crate::packets::{ACK, echo, icmp_error, ip, tcp, udp, wrap};

fn at(host: u8, port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::from([198, 51, 100, host]), port)
}

fn question(number: u8) -> Vec<u8> {
    udp((&v4(number), 4_000), (DB, 53), b"question")
}

fn answer(number: u8) -> Vec<u8> {
    udp((DB, 53), (&v4(number), 4_000), b"answer")
}

fn endpoint(world: &World) -> Option<SocketAddr> {
    world.gateway.peers().next().unwrap().endpoint
}

#[test]
fn pitfall_01_a_source_that_routes_to_another_peer_is_dropped_in_both_families() {
    let (mut world, [mut one, _two]) = World::connected();
    assert!(world.up(&mut one, &question(2)).is_empty());
    assert!(world.up(&mut one, &udp((&v6(2), 4_000), (DB6, 53), b"question")).is_empty());
    assert!(world.up(&mut one, &udp(("100.80.0.200", 4_000), (DB, 53), b"nobody's")).is_empty());
    assert_eq!(world.denied(DenyReason::SpoofedSource), 3);
    assert!(world.reaches_db(&mut one));
}

#[test]
fn pitfall_02_a_revoked_session_neither_goes_on_nor_comes_back_with_a_lease() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    world.remove(1, EndReason::Offboarded);
    assert!(!world.reaches_db(&mut client), "the session goes on");
    assert!(world.down_sealed(&answer(1)).is_empty());
    world.transmits();
    assert!(!world.connect(&mut client), "a revoked key was answered");
    world.delta(vec![Change::Lease(lease(1))]);
    assert!(!world.reaches_db(&mut client), "the session came back");
    let mut anew = Client::new(1);
    assert!(world.connect(&mut anew));
    assert!(world.reaches_db(&mut anew));
}

#[test]
fn pitfall_04_an_address_that_moves_to_another_device_takes_no_flow_and_no_session_along() {
    let (mut world, [mut one]) = World::connected();
    world.up(&mut one, &question(1));
    world.remove(1, EndReason::DeviceRevoked);
    let mut heir = lease(2);
    (heir.address_v4, heir.address_v6) = (lease(1).address_v4, lease(1).address_v6);
    world.delta(vec![Change::Lease(heir)]);
    let mut two = Client::new(2);
    assert!(world.connect(&mut two));
    assert!(world.down_sealed(&answer(1)).is_empty(), "another's answer");
    assert!(world.up(&mut one, &question(1)).is_empty());
    assert_eq!(world.up(&mut two, &question(1)).len(), 1);
    assert_eq!(world.down(&mut two, &answer(1)).len(), 1);
}

#[test]
fn pitfall_05_a_cookie_is_bound_to_address_and_port() {
    let mut world = World::new();
    world.leases = vec![lease(1), lease(2)];
    world.snapshot();
    world.heartbeat();
    let mut flooder = Client::new(90);
    flooder.from = at(66, 1);
    for _ in 0..1_000 {
        let initiation = flooder.initiation();
        world.receive(flooder.from, &initiation);
    }
    world.transmits();
    for (one, other) in [(at(66, 2), at(66, 3)), (at(66, 4), at(66, 5))] {
        let mut client = Client::new(u8::try_from(one.port() / 2).unwrap());
        let send = |world: &mut World, client: &mut Client, from| {
            let initiation = client.initiation();
            world.receive(from, &initiation);
            world.transmits().pop().unwrap()
        };
        let cookie = send(&mut world, &mut client, one);
        assert_eq!(cookie.len(), 64);
        assert!(matches!(client.exchange(&cookie), Exchange::Nothing));
        assert_eq!(send(&mut world, &mut client, other).len(), 64, "used from another port");
        assert_eq!(send(&mut world, &mut client, one).len(), 92, "refused where it belongs");
    }
}

#[test]
fn pitfall_06_a_counter_at_the_end_is_refused_and_nothing_overflows() {
    const END: u64 = u64::MAX - (1 << 13);
    let (mut world, [mut client]) = World::connected();
    for (counter, reason) in [
        (END, DropReason::CounterOver),
        (END + 1, DropReason::CounterOver),
        (u64::MAX, DropReason::CounterOver),
        (END - 1, DropReason::Crypto),
        (1 << 63, DropReason::Crypto),
    ] {
        let before = world.dropped(reason);
        let mut datagram = client.seal(&question(1));
        datagram[8..16].copy_from_slice(&counter.to_le_bytes());
        assert!(world.receive(client.from, &datagram).is_empty());
        assert_eq!(world.dropped(reason), before + 1, "{counter:#x}");
    }
    assert!(world.reaches_db(&mut client), "the window moved");
    let early = client.seal(&question(1));
    assert!(world.reaches_db(&mut client));
    assert_eq!(world.receive(client.from, &early).len(), 1, "reordered");
    assert!(world.receive(client.from, &early).is_empty(), "replayed");
}

#[test]
fn pitfall_07_an_old_initiation_gets_nothing_after_a_policy_change_and_moves_nobody_after_a_restart() {
    let (mut world, [mut client]) = World::connected();
    let old = client.initiation();
    world.receive(client.from, &old);
    assert_eq!(world.transmits().len(), 1);
    let mut changed = lease(1);
    changed.rules.push(rule(2, &["10.0.7.0/24"], &["tcp/443"]));
    world.delta(vec![Change::Lease(changed)]);
    world.receive(at(66, 1), &old);
    assert!(world.transmits().is_empty(), "the tunnel forgot the time stamp");
    assert_eq!(endpoint(&world), Some(client.from));

    let mut restarted = World::new();
    restarted.leases = vec![lease(1)];
    restarted.snapshot();
    restarted.heartbeat();
    restarted.receive(at(66, 1), &old);
    assert_eq!(endpoint(&restarted), None, "a handshake alone is no proof of a place");
    assert!(restarted.connect(&mut client), "the owner still gets in");
    assert_eq!(endpoint(&restarted), Some(client.from));
}

#[test]
fn pitfall_08_a_session_of_180_seconds_carries_nothing_although_no_timer_ran() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    (world.boot, world.wall) = (world.boot + 179_999_999, world.wall + 179_999_999);
    world.heartbeat();
    assert!(world.reaches_db(&mut client));
    (world.boot, world.wall) = (world.boot + 1, world.wall + 1);
    assert!(!world.reaches_db(&mut client));
    assert!(world.down_sealed(&answer(1)).is_empty());
    assert_eq!(world.dropped(DropReason::SessionOver), 1);
}

#[test]
fn pitfall_09_a_cookie_reply_moves_no_endpoint_and_two_places_in_turns_are_an_alert() {
    let (mut world, [mut client]) = World::connected();
    assert!(world.reaches_db(&mut client));
    world.pass_alive(170);
    assert!(world.reaches_db(&mut client), "the flow is used");
    world.pass_alive(10);
    world.transmits();
    assert!(world.down_sealed(&udp((DB, 53), (&v4(1), 4_000), b"waits")).is_empty());
    let initiation = world.transmits().pop().unwrap();
    assert_eq!(initiation.len(), 148);
    let theirs = x25519_dalek::PublicKey::from(*public(1).as_bytes());
    let mut buffer = [0; 64];
    let busy = RateLimiter::new(&theirs, 0);
    let Err(TunnResult::WriteToNetwork(cookie)) = busy.verify_packet(Some(at(1, 1).ip()), &initiation, &mut buffer)
    else {
        panic!("no cookie")
    };
    let before = world.dropped(DropReason::Crypto);
    world.receive(at(66, 1), cookie);
    assert_eq!(world.dropped(DropReason::Crypto), before, "the cookie is authentic");
    assert_eq!(endpoint(&world), Some(client.from));

    let (mut world, [mut client]) = World::connected();
    let mut copy = Client::new(1);
    copy.from = at(2, 9);
    assert!(world.connect(&mut copy));
    for one in [&mut client, &mut copy] {
        assert!(world.reaches_db(one));
    }
    assert!(world.notices().iter().any(|notice| notice.kind == GatewayEventKind::KeyUsedTwice));
}

#[test]
fn pitfall_10_an_old_receiver_index_reaches_no_other_peer() {
    let (mut world, [mut one]) = World::connected();
    let old = one.seal(&question(1));
    world.remove(1, EndReason::DeviceRevoked);
    world.delta((2..=60).map(|number| Change::Lease(lease(number))).collect());
    for number in 2..=60 {
        assert!(world.connect(&mut Client::new(number)));
    }
    assert!(world.receive(one.from, &old).is_empty());
    assert_eq!(world.dropped(DropReason::UnknownIndex), 1);
    assert_eq!(world.dropped(DropReason::Crypto), 0, "it was offered to another tunnel");
}

#[test]
fn pitfall_11_low_order_keys_are_no_keys_and_the_gateways_own_gets_no_lease() {
    let p = |last: u8| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (last, 0x7f);
        bytes
    };
    let (zero, mut one) = ([0; 32], [0; 32]);
    one[0] = 1;
    // The two points of order 8, as in RFC 7748's security considerations and every implementation's list.
    let eight = [
        [
            0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
            0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
        ],
        [
            0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
            0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
        ],
    ];
    for bytes in [zero, one, eight[0], eight[1], p(0xec), p(0xed), p(0xee)] {
        assert!(PublicKey::from_bytes(bytes).is_err(), "{bytes:02x?}");
    }
    let mut world = World::new();
    let mut own = lease(1);
    own.public_key = public(200);
    world.leases = vec![own, lease(2)];
    world.snapshot();
    assert_eq!(world.gateway.peers().map(|peer| peer.public_key).collect::<Vec<_>>(), [public(2)]);
}

#[test]
fn pitfall_12_a_preshared_key_applies_at_the_next_handshake_and_another_one_fails() {
    let (mut world, [mut client]) = World::connected();
    let mut changed = lease(1);
    changed.preshared_key = Some(PresharedKey::from_bytes([8; 32]));
    world.delta(vec![Change::Lease(changed)]);
    assert!(world.reaches_db(&mut client), "the session goes on");
    assert!(!world.connect(&mut Client::new(1)), "no key");
    assert!(!world.connect(&mut Client::with_psk(1, Some([9; 32]))), "another key");
    let mut right = Client::with_psk(1, Some([8; 32]));
    assert!(world.connect(&mut right));
    assert!(world.reaches_db(&mut right));
    assert!(!world.reaches_db(&mut client), "the session with the old key goes on");
}

#[test]
fn pitfall_13_ipv6_fragments_headers_icmp_and_small_mtus_meet_the_same_policy() {
    let (mut world, [mut client]) = World::connected();
    let (mine4, mine6) = (v4(1), v6(1));
    for (mine, db) in [(mine4.as_str(), DB), (mine6.as_str(), DB6)] {
        let header = if db == DB { 28 } else { 48 };
        let full = |from, to| udp(from, to, &vec![7; 1_280 - header]);
        let up = full((mine, 4_000), (db, 53));
        assert_eq!(world.up(&mut client, &up), std::slice::from_ref(&up), "1280 bytes");
        let down = full((db, 53), (mine, 4_000));
        assert_eq!(world.down(&mut client, &down), std::slice::from_ref(&down));
        assert!(world.up(&mut client, &udp((mine, 4_000), (db, 54), b"no rule")).is_empty());
        let (kind, code) = if db == DB { (3, 4) } else { (2, 0) };
        assert_eq!(world.down(&mut client, &icmp_error(db, mine, kind, code, &up)).len(), 1, "too big");
        let strange = udp((mine, 4_001), (db, 53), b"never sent");
        assert!(world.down_sealed(&icmp_error(db, mine, kind, code, &strange)).is_empty());
        assert!(world.down_sealed(&echo(db, mine, true, 7)).is_empty(), "a ping from outside");
    }
    let mut fragment = udp((&mine4, 4_000), (DB, 53), b"question");
    fragment[6] = 0x20;
    let mut later = fragment.clone();
    (later[6], later[7]) = (0, 9);
    assert!(world.up(&mut client, &fragment).is_empty() && world.up(&mut client, &later).is_empty());
    let inner = tcp((&mine6, 4_000), (DB6, 5_432), ACK, (1, 1), b"")[40..].to_vec();
    for extension in [0, 43, 44, 51, 60, 135] {
        let mut message = vec![6, 0, 1, 4, 0, 0, 0, 0];
        message.extend_from_slice(&inner);
        let packet = wrap(ip(&mine6), ip(DB6), extension, &message);
        assert!(world.up(&mut client, &packet).is_empty(), "extension header {extension}");
    }
    assert_eq!(world.denied(DenyReason::Fragment), 3);
    assert_eq!(world.denied(DenyReason::HeaderOption), 5);
}

#[test]
fn pitfall_14_the_gateway_metadata_loopback_multicast_and_devices_are_denied_unless_listed() {
    let (mut world, [mut client]) = World::connected();
    let mut wide = lease(1);
    let everything = ["64.0.0.0/2", "128.0.0.0/1", "8000::/1", "4000::/2"];
    wide.rules = vec![rule(1, &everything, &["udp/1-65535"])];
    world.delta(vec![Change::Lease(wide.clone())]);
    world.command(doorward_gateway_core::Command::OwnAddresses(vec![ip("192.0.2.10")]));
    let (mine4, mine6) = (v4(1), v6(1));
    let mut reaches = |world: &mut World, to: &str| {
        let mine = if to.contains(':') { &mine6 } else { &mine4 };
        !world.up(&mut client, &udp((mine, 4_000), (to, 80), b"question")).is_empty()
    };
    let denied = [
        "127.0.0.1",
        "169.254.169.254",
        "224.0.0.251",
        "255.255.255.255",
        "192.0.2.10",
        "100.80.0.1",
        "100.80.0.77",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::fb",
        "fd64:6f6f:7277::1",
    ];
    for to in denied {
        assert!(!reaches(&mut world, to), "{to}");
    }
    for to in ["192.0.2.11", "fd00:ec2::255"] {
        assert!(reaches(&mut world, to), "{to}");
    }
    wide.rules.push(rule(2, &["169.254.169.254", "192.0.2.10", "fd00:ec2::254"], &["udp/80"]));
    world.delta(vec![Change::Lease(wide)]);
    for to in ["169.254.169.254", "192.0.2.10", "fd00:ec2::254"] {
        assert!(reaches(&mut world, to), "{to} is listed");
    }
}

#[test]
fn pitfall_17_lengths_inside_sixteen_bytes_look_alike_outside() {
    let (mut world, [mut client]) = World::connected();
    world.up(&mut client, &question(1));
    let mut outer = |len: usize| world.down_sealed(&udp((DB, 53), (&v4(1), 4_000), &vec![7; len]))[0].1.len();
    assert_eq!(outer(4), 32 + 32, "32 bytes inside need no padding");
    assert!((5..=20).all(|len| outer(len) == 48 + 32));
    assert_eq!(outer(21), 64 + 32);
}

/// A shell that has less room than was asked for.
struct Narrow([u8; 40]);

impl DatagramSink for Narrow {
    fn reserve(&mut self, _: SocketAddr, _: Via, _: usize) -> Option<&mut [u8]> {
        Some(&mut self.0)
    }

    fn commit(&mut self, _: usize) {
        panic!("there was no room");
    }
}

#[test]
fn pitfall_18_no_length_of_datagram_or_buffer_panics() {
    let (mut world, [mut client]) = World::connected();
    let real = client.seal(&question(1));
    for kind in 0..=5 {
        for len in (0..=200).chain([1_419, 1_500, 9_000, 65_507, 65_535]) {
            let mut datagram = vec![0; len];
            datagram.iter_mut().zip(&real).for_each(|(to, from)| *to = *from);
            if let Some(first) = datagram.first_mut() {
                *first = kind;
            }
            if datagram == real {
                continue;
            }
            assert!(world.receive(client.from, &datagram).is_empty(), "type {kind}, {len} bytes");
        }
    }
    world.transmits();
    assert_eq!(world.receive(client.from, &real).len(), 1);
    world.gateway.handle_tunnel_packet(world.now(), Offload::NONE, &mut answer(1), &mut Narrow([0; 40]));
    assert_eq!(world.dropped(DropReason::NoRoom), 1);
    let longest = udp((DB, 53), (&v4(1), 4_000), &vec![7; 64_900]);
    assert_eq!(world.down(&mut client, &longest).len(), 1);
}
