//! Ends: by the feed and by time.

use doorward_gateway_core::{ConntrackEntry, Event};
use doorward_model::{Change, EndReason, GatewayEventKind, Interval, PresharedKey, Timestamp};

use crate::harness::{Client, DB, Exchange, World, device, grant, lease, public, rule, tombstone, v4, v6};
use crate::packets::{ACK, RST, SYN, ip, see_tcp, tcp, udp};

/// Opens a TCP connection: the client's next number is 111, the database's 905.
fn open_tcp(world: &mut World, client: &mut Client) {
    let (own, number) = (v4(client.number), client.number);
    let packets = [
        (true, tcp((&own, 4_000), (DB, 5_432), SYN, (100, 0), b"")),
        (false, tcp((DB, 5_432), (&own, 4_000), SYN | ACK, (900, 101), b"")),
        (true, tcp((&own, 4_000), (DB, 5_432), ACK, (101, 901), b"0123456789")),
        (false, tcp((DB, 5_432), (&own, 4_000), ACK, (901, 111), b"rows")),
    ];
    for (up, packet) in packets {
        let passed = if up { world.up(client, &packet) } else { world.down(client, &packet) };
        assert_eq!(passed, [packet], "client {number}");
    }
}

#[test]
fn revocation_ends_the_open_flow_and_the_session_and_names_the_key_that_knocks() {
    let (mut world, [mut client]) = World::connected();
    open_tcp(&mut world, &mut client);
    let replay = client.seal(&tcp((&v4(1), 4_000), (DB, 5_432), ACK, (111, 905), b"more"));
    world.pass(2);
    world.remove(1, EndReason::Offboarded);

    let enforced = world.enforced();
    assert_eq!(enforced.revision.0, world.revision);
    assert_eq!((enforced.ended[0].device, enforced.ended[0].flows_ended), (device(1), 1));
    assert_eq!(enforced.ended[0].last_packet_before_ms, Some(2_000));
    assert!(world.flushed().contains(&ConntrackEntry::Device(ip(&v4(1)))));
    assert!(world.flushed().contains(&ConntrackEntry::Device(ip(&v6(1)))));

    assert!(world.receive(client.from, &replay).is_empty(), "an open flow went on");
    assert!(world.down_sealed(&tcp((DB, 5_432), (&v4(1), 4_000), ACK, (905, 111), b"x")).is_empty());
    assert_eq!(world.gateway.peers().count(), 0);
    world.transmits();
    let mut again = Client::new(1);
    assert!(!world.connect(&mut again), "a revoked key got an answer");
    let knocks: Vec<_> =
        world.notices().into_iter().filter(|n| n.kind == GatewayEventKind::RevokedKeyKnocked).collect();
    assert_eq!(knocks.len(), 1);
    assert_eq!(knocks[0].email.as_ref().unwrap().as_str(), "person1@shop.example");
    assert_eq!(knocks[0].source, Some(again.from));
    assert!(knocks[0].message.contains("offboarded") && knocks[0].message.contains("laptop"), "{}", knocks[0].message);
}

#[test]
fn both_ends_of_a_revoked_connection_get_a_reset_with_the_number_they_expect() {
    let (mut world, [mut client]) = World::connected();
    open_tcp(&mut world, &mut client);
    world.remove(1, EndReason::Suspended);
    let resets: Vec<_> = world.told(&mut client).iter().map(|packet| see_tcp(packet)).collect();
    assert!(resets.iter().any(|r| r.sequence == 905 && r.acknowledgement == 111 && r.flags == RST | ACK), "{resets:?}");
    assert!(resets.iter().all(|r| (r.source_port, r.destination_port) == (5_432, 4_000)));
    let resets: Vec<_> = world.told_resources().iter().map(|packet| see_tcp(packet)).collect();
    assert_eq!(resets.len(), 1, "{resets:?}");
    assert_eq!((resets[0].sequence, resets[0].flags & RST), (111, RST));
    assert_eq!((resets[0].source_port, resets[0].destination_port), (4_000, 5_432));
}

#[test]
fn when_the_last_packets_may_be_lost_a_second_reset_goes_by_the_acknowledgement() {
    let (mut world, [mut client]) = World::connected();
    open_tcp(&mut world, &mut client);
    world.remove(1, EndReason::Suspended);
    let mut sequences: Vec<_> = world.told(&mut client).iter().map(|packet| see_tcp(packet).sequence).collect();
    sequences.sort_unstable();
    assert_eq!(sequences, [901, 905], "the client acknowledged 901 and was sent up to 905");
}

#[test]
fn a_narrowed_lease_ends_just_the_flows_whose_grant_is_gone() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].rules.push(rule(2, &["10.0.5.10"], &["tcp/443"]));
    world.snapshot();
    open_tcp(&mut world, &mut client);
    let page = tcp((&v4(1), 5_000), ("10.0.5.10", 443), SYN, (1, 0), b"");
    assert_eq!(world.up(&mut client, &page).len(), 1);
    let mut narrowed = lease(1);
    narrowed.rules = vec![rule(2, &["10.0.5.10"], &["tcp/443"])];
    world.delta(vec![Change::Lease(narrowed)]);
    let enforced = world.enforced();
    assert_eq!((enforced.ended.len(), enforced.ended[0].flows_ended), (1, 1));
    assert!(matches!(world.flushed()[..], [ConntrackEntry::Flow(flow)] if flow.remote.ip() == ip(DB)));
    assert!(world.up(&mut client, &tcp((&v4(1), 4_000), (DB, 5_432), ACK, (111, 905), b"")).is_empty());
    assert_eq!(world.gateway.flows().map(|flow| flow.grant).collect::<Vec<_>>(), [Some(grant(2))]);
    assert_eq!(world.up(&mut client, &page).len(), 1);
}

#[test]
fn a_connection_goes_on_under_another_grant_for_the_same_place_and_ends_with_the_last() {
    let (mut world, [mut client]) = World::connected();
    let ending = |number, at| {
        let mut rule = rule(number, &[DB], &["tcp/5432"]);
        rule.validity.not_after = at;
        rule
    };
    let (first, second) = (ending(1, world.wall_in(10)), ending(2, world.wall_in(20)));
    world.leases[0].rules = vec![first, second.clone()];
    world.snapshot();
    open_tcp(&mut world, &mut client);
    let rows = tcp((DB, 5_432), (&v4(1), 4_000), ACK, (905, 111), b"x");
    world.pass_alive(10);
    assert_eq!(world.down(&mut client, &rows).len(), 1, "the second grant still holds");
    // The feed takes the first grant away, too.
    world.leases[0].rules = vec![second];
    world.snapshot();
    assert_eq!(world.down(&mut client, &rows).len(), 1);
    world.pass_alive(10);
    assert!(world.down_sealed(&rows).is_empty());
    assert_eq!(world.gateway.flows().count(), 0);
}

#[test]
fn a_lease_that_shrinks_without_open_flows_is_reported_and_one_that_grows_is_not() {
    let (mut world, [_client]) = World::connected();
    let mut more = lease(1);
    more.rules.push(rule(2, &["10.0.5.10"], &["tcp/443"]));
    world.delta(vec![Change::Lease(more)]);
    assert!(world.enforced().ended.is_empty());
    world.delta(vec![Change::Lease(lease(1))]);
    assert_eq!(world.enforced().ended[0].device, device(1));
}

#[test]
fn a_snapshot_removes_what_it_omits_and_leaves_the_rest_connected() {
    let (mut world, [mut one, mut two]) = World::connected();
    assert!(world.reaches_db(&mut one) && world.reaches_db(&mut two));
    world.leases.remove(0);
    world.snapshot();
    assert_eq!(world.enforced().ended.iter().map(|ended| ended.device).collect::<Vec<_>>(), [device(1)]);
    assert!(!world.reaches_db(&mut one));
    assert!(world.reaches_db(&mut two), "without another handshake");
    assert!(!world.connect(&mut one));
    assert!(world.notices().iter().any(|notice| notice.kind == GatewayEventKind::RevokedKeyKnocked));
}

#[test]
fn a_grants_end_stops_packets_on_the_packet_path_before_any_timer() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].rules[0].validity = Interval { not_before: Timestamp::MIN, not_after: world.wall_in(10) };
    world.snapshot();
    assert!(world.reaches_db(&mut client));
    (world.boot, world.wall) = (world.boot + 9_999_999, world.wall + 9_999_999);
    assert!(world.reaches_db(&mut client));
    (world.boot, world.wall) = (world.boot + 1, world.wall + 1);
    assert!(!world.reaches_db(&mut client));
    assert!(world.down_sealed(&udp((DB, 53), (&v4(1), 4_000), b"a")).is_empty());
    assert_eq!(world.gateway.flows().count(), 1, "no timer ran");
}

#[test]
fn the_timer_comes_at_the_deadline_cuts_the_flow_and_tells() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].rules[0].validity = Interval { not_before: Timestamp::MIN, not_after: world.wall_in(20) };
    world.snapshot();
    open_tcp(&mut world, &mut client);
    world.transmits();
    let mut turns = 0;
    let deadline = world.boot + 20_000_000;
    while world.boot < deadline {
        let next = world.gateway.poll_timeout().unwrap().as_micros().clamp(world.boot, deadline);
        world.wall += i64::try_from(next - world.boot).unwrap();
        world.boot = next;
        world.timeout();
        world.heartbeat();
        turns += 1;
        assert!(turns < 1_000, "timers that do not move on");
    }
    assert_eq!(world.gateway.flows().count(), 0);
    assert!(world.told(&mut client).iter().any(|packet| packet[0] >> 4 == 4 && packet[9] == 6));
    assert_eq!(world.told_resources().len(), 1);
    assert!(matches!(world.flushed()[..], [ConntrackEntry::Flow(_)]));
    assert!(world.notices().iter().any(|notice| notice.message.contains("resource-1")));
}

#[test]
fn the_end_of_a_lease_by_time_drops_the_tunnel_and_refuses_the_key_by_name() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].validity = Interval { not_before: Timestamp::MIN, not_after: world.wall_in(10) };
    world.snapshot();
    open_tcp(&mut world, &mut client);
    world.pass_alive(10);
    assert_eq!(world.counters().tunnels, 0);
    assert!(
        world.told(&mut client).iter().any(|packet| see_tcp(packet).flags & RST != 0),
        "sealed before the session went"
    );
    assert!(world.flushed().contains(&ConntrackEntry::Device(ip(&v4(1)))));
    assert!(!world.connect(&mut client));
    assert!(
        world
            .notices()
            .iter()
            .any(|n| n.kind == GatewayEventKind::RevokedKeyKnocked && n.message.contains("time is over"))
    );
}

#[test]
fn a_lease_that_has_not_begun_gets_no_answer_yet() {
    let mut world = World::new();
    world.leases = vec![lease(1)];
    world.leases[0].validity.not_before = world.wall_in(10);
    world.snapshot();
    world.heartbeat();
    let mut client = Client::new(1);
    assert!(!world.connect(&mut client));
    world.pass_alive(10);
    assert!(world.connect(&mut client));
    assert!(world.reaches_db(&mut client));
}

#[test]
fn a_knock_with_a_wrong_mac_names_nobody() {
    let (mut world, [client]) = World::connected();
    world.remove(1, EndReason::Offboarded);
    world.transmits();
    for at in [50, 90, 130] {
        let mut forged = Client::new(1).initiation();
        forged[at] ^= 1;
        world.receive(client.from, &forged);
    }
    assert!(world.notices().iter().all(|notice| notice.kind != GatewayEventKind::RevokedKeyKnocked));
    assert!(world.transmits().is_empty());
}

#[test]
fn tombstones_of_a_snapshot_are_recognised() {
    let mut world = World::new();
    let mut snapshot = world.snapshot_of(1);
    snapshot.tombstones = vec![tombstone(7, EndReason::ContractEnded)];
    world.revision = 1;
    world.command(doorward_gateway_core::Command::Snapshot(snapshot.into()));
    assert!(!world.connect(&mut Client::new(7)));
    assert!(world.notices().iter().any(|notice| notice.message.contains("contract ended")));
    world.leases = vec![lease(7)];
    world.snapshot();
    assert!(world.connect(&mut Client::new(7)), "a key that has a lease again");
}

#[test]
fn another_key_for_a_device_ends_the_old_one() {
    let (mut world, [mut old]) = World::connected();
    assert!(world.reaches_db(&mut old));
    world.leases[0].public_key = public(60);
    world.snapshot();
    assert_eq!(world.enforced().ended.len(), 1);
    assert!(!world.reaches_db(&mut old));
    assert!(!world.connect(&mut old));
    let mut new = Client::new(60);
    new.number = 1;
    assert!(world.connect(&mut new));
    assert!(world.reaches_db(&mut new));
}

#[test]
fn a_changed_preshared_key_applies_at_the_next_handshake() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].preshared_key = Some(PresharedKey::from_bytes([5; 32]));
    world.snapshot();
    assert!(world.reaches_db(&mut client), "the session goes on");
    let mut with = Client::with_psk(1, Some([5; 32]));
    assert!(world.connect(&mut with));
    assert!(world.reaches_db(&mut with));
    assert!(!world.reaches_db(&mut client), "the old session is gone");
    world.receive(client.from, &client.initiation());
    let response = world.transmits().pop().unwrap();
    assert!(matches!(client.exchange(&response), Exchange::Nothing), "the old key does not understand the answer");
}

#[test]
fn an_enforced_event_follows_the_flush() {
    let (mut world, [_client]) = World::connected();
    world.events.clear();
    world.remove(1, EndReason::Offboarded);
    assert!(matches!(world.events[..], [Event::FlushConntrack(_), Event::Enforced(_)]));
}
