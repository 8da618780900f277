//! What passes, and what does not, while everything is in order.

use doorward_gateway_core::{Command, DenyReason};
use doorward_model::{Change, GatewayEventKind, Lockdown, Timestamp};

use crate::harness::{Client, DB, DB6, World, device, lease, rule, v4, v6};
use crate::packets::{ACK, RST, SYN, echo, icmp_error, ip, see_tcp, tcp, udp, wrap};

#[test]
fn allowed_tcp_udp_and_ping_pass_both_ways_in_both_families() {
    let (mut world, [mut client]) = World::connected();
    for (own, db) in [(v4(1), DB), (v6(1), DB6)] {
        let pairs = [
            (
                tcp((&own, 4_000), (db, 5_432), SYN, (7, 0), b""),
                tcp((db, 5_432), (&own, 4_000), SYN | ACK, (9, 8), b""),
            ),
            (udp((&own, 4_000), (db, 53), b"q"), udp((db, 53), (&own, 4_000), b"answer")),
            (echo(&own, db, true, 77), echo(db, &own, false, 77)),
        ];
        for (question, answer) in pairs {
            assert!(world.down(&mut client, &answer).is_empty(), "an answer without a question");
            assert_eq!(world.up(&mut client, &question), [question]);
            assert_eq!(world.down(&mut client, &answer), [answer]);
        }
    }
    let flows: Vec<_> = world.gateway.flows().collect();
    assert_eq!(flows.len(), 6);
    assert!(flows.iter().all(|flow| (flow.packets_up, flow.packets_down) == (1, 1)));
}

#[test]
fn everything_else_is_denied_both_ways() {
    let (mut world, [mut client]) = World::connected();
    let own = v4(1);
    let denied = [
        tcp((&own, 4_000), (DB, 5_433), SYN, (7, 0), b""),
        tcp((&own, 4_000), ("10.0.5.21", 5_432), SYN, (7, 0), b""),
        udp((&own, 4_000), (DB, 5_432), b"q"),
        echo(&own, "10.0.5.21", true, 1),
        echo(&own, DB, false, 1),
        wrap(ip(&own), ip(DB), 47, &[0; 20]),
        wrap(ip(&own), ip(DB), 1, &[5, 0, 0, 0, 10, 0, 0, 1]),
    ];
    for packet in denied {
        assert!(world.up(&mut client, &packet).is_empty(), "{packet:?}");
    }
    let inbound = [
        tcp((DB, 5_432), (&own, 4_000), SYN, (7, 0), b""),
        udp((DB, 53), (&own, 4_000), b"q"),
        echo(DB, &own, true, 1),
        udp((DB, 53), (&v4(9), 4_000), b"q"),
    ];
    for packet in inbound {
        assert!(world.down_sealed(&packet).is_empty(), "{packet:?}");
    }
    assert_eq!(world.denied(DenyReason::NoDevice), 1);
    assert_eq!(world.gateway.flows().count(), 0);
}

#[test]
fn a_source_that_is_not_the_senders_own_is_dropped_and_never_answered() {
    let (mut world, [mut one, _two]) = World::connected();
    for source in [v4(2), "10.0.5.99".to_owned(), "100.80.0.1".to_owned(), "100.80.0.77".to_owned()] {
        let packet = tcp((&source, 4_000), (DB, 5_432), SYN, (7, 0), b"");
        assert!(world.up(&mut one, &packet).is_empty());
    }
    assert!(world.up(&mut one, &udp((&v6(2), 1), (DB6, 53), b"q")).is_empty());
    assert_eq!(world.denied(DenyReason::SpoofedSource), 5);
    assert!(world.transmits().is_empty(), "an answer to a spoofed source");
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "one in ten seconds");
    assert_eq!(notices[0].kind, GatewayEventKind::SpoofedSource);
    assert_eq!(notices[0].device, Some(device(1)));
}

#[test]
fn devices_do_not_reach_each_other_nor_the_gateway_even_with_a_rule() {
    let (mut world, [mut client, _other]) = World::connected();
    world.leases[0].rules =
        vec![rule(1, &["100.80.0.0/16", "100.80.0.1", "fd64:6f6f:7277::/64"], &["tcp/1-65535", "icmp"])];
    world.snapshot();
    for (own, to) in [(v4(1), v4(2)), (v4(1), "100.80.0.1".into()), (v6(1), v6(2)), (v6(1), "fd64:6f6f:7277::1".into())]
    {
        assert!(world.up(&mut client, &tcp((&own, 1), (&to, 22), SYN, (1, 0), b"")).is_empty(), "{to}");
    }
    assert_eq!(world.denied(DenyReason::TunnelNetwork), 4);
}

#[test]
fn special_ranges_need_a_target_of_their_own() {
    let (mut world, [mut client]) = World::connected();
    world.command(Command::OwnAddresses(vec![ip("10.0.5.1"), ip("fd00:5::1")]));
    let wide = ["10.0.0.0/8", "126.0.0.0/7", "168.0.0.0/6", "128.0.0.0/1", "fd00::/8", "fe00::/7"];
    world.leases[0].rules = vec![rule(1, &wide, &["udp/53"])];
    world.snapshot();
    let special = ["10.0.5.1", "127.0.0.1", "169.254.169.254", "224.0.0.251", "255.255.255.255"];
    for to in special {
        assert!(world.up(&mut client, &udp((&v4(1), 1), (to, 53), b"")).is_empty(), "{to}");
    }
    for to in ["fd00:5::1", "fd00:ec2::254", "fe80::1", "ff02::fb"] {
        assert!(world.up(&mut client, &udp((&v6(1), 1), (to, 53), b"")).is_empty(), "{to}");
    }
    for (own, to) in [(v4(1), "10.0.5.2"), (v4(1), "169.253.0.1"), (v6(1), "fd00:5::2")] {
        assert_eq!(world.up(&mut client, &udp((&own, 1), (to, 53), b"")).len(), 1, "{to}");
    }
    world.leases[0].rules = vec![rule(1, &["10.0.5.1", "169.254.169.254"], &["udp/53"])];
    world.snapshot();
    for to in ["10.0.5.1", "169.254.169.254"] {
        assert_eq!(world.up(&mut client, &udp((&v4(1), 1), (to, 53), b"")).len(), 1, "{to}");
    }
}

#[test]
fn an_address_that_becomes_the_gateways_own_ends_its_flows() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].rules = vec![rule(1, &["10.0.0.0/8"], &["udp/53"])];
    world.snapshot();
    assert!(world.reaches_db(&mut client));
    world.command(Command::OwnAddresses(vec![ip(DB)]));
    assert_eq!(world.gateway.flows().count(), 0);
    assert!(!world.reaches_db(&mut client));
}

#[test]
fn fragments_and_header_tricks_are_dropped() {
    let (mut world, [mut client]) = World::connected();
    let good = udp((&v4(1), 4_000), (DB, 53), b"question");
    for (at, value) in [(6, 0x20), (7, 1)] {
        let mut fragment = good.clone();
        fragment[at] = value;
        assert!(world.up(&mut client, &fragment).is_empty());
    }
    let mut long = good.clone();
    long[25] = 200;
    assert!(world.up(&mut client, &long).is_empty());
    let hop_by_hop = wrap(ip(&v6(1)), ip(DB6), 0, &[17, 0, 1, 4, 0, 0, 0, 0, 0, 1, 0, 53, 0, 8, 0, 0]);
    assert!(world.up(&mut client, &hop_by_hop).is_empty());
    assert_eq!(world.denied(DenyReason::Fragment), 2);
    assert_eq!(world.denied(DenyReason::HeaderOption), 1);
    assert_eq!(world.denied(DenyReason::Malformed), 1);
    assert!(world.reaches_db(&mut client));
}

#[test]
fn icmp_errors_pass_only_for_live_flows() {
    let (mut world, [mut client]) = World::connected();
    for (own, db, router, kind) in [(v4(1), DB, "10.0.0.254", 3), (v6(1), DB6, "fd00::fe", 2)] {
        let question = udp((&own, 4_000), (db, 53), b"question");
        let too_big = icmp_error(router, &own, kind, 4 * u8::from(kind == 3), &question);
        assert!(world.down_sealed(&too_big).is_empty(), "no flow yet");
        world.up(&mut client, &question);
        assert_eq!(world.down(&mut client, &too_big), std::slice::from_ref(&too_big));
        let other = icmp_error(router, &own, kind, 4, &udp((&own, 4_001), (db, 53), b"question"));
        assert!(world.down_sealed(&other).is_empty(), "of another port");
        let to_other = icmp_error("10.0.0.254", &v4(1), 3, 4, &udp((&v4(2), 4_000), (DB, 53), b""));
        assert!(world.down_sealed(&to_other).is_empty(), "of another device");
        let answer = udp((db, 53), (&own, 4_000), b"answer");
        let unreachable = icmp_error(&own, db, if kind == 3 { 3 } else { 1 }, 3, &answer);
        assert_eq!(world.up(&mut client, &unreachable), std::slice::from_ref(&unreachable));
        let elsewhere = icmp_error(&own, if kind == 3 { "10.0.5.9" } else { "fd00:5::9" }, 3, 3, &answer);
        assert!(world.up(&mut client, &elsewhere).is_empty(), "to somebody else");
    }
    let ping = echo(&v4(1), DB, true, 5);
    world.up(&mut client, &ping);
    let expired = icmp_error("10.0.0.254", &v4(1), 11, 0, &ping);
    assert_eq!(world.down(&mut client, &expired), [expired]);
}

#[test]
fn a_refused_connection_is_reset_and_a_refused_datagram_prohibited() {
    let (mut world, [mut client]) = World::connected();
    world.up(&mut client, &tcp((&v4(1), 4_000), ("10.0.5.10", 443), SYN, (1_000, 0), b""));
    let told = world.told(&mut client);
    assert_eq!(told.len(), 1);
    let reset = see_tcp(&told[0]);
    assert_eq!((reset.source_port, reset.destination_port), (443, 4_000));
    assert_eq!((reset.flags, reset.sequence, reset.acknowledgement), (RST | ACK, 0, 1_001));
    world.up(&mut client, &tcp((&v4(1), 4_000), ("10.0.5.10", 443), ACK, (1_000, 555), b"x"));
    assert_eq!(see_tcp(&world.told(&mut client)[0]).sequence, 555);
    world.up(&mut client, &tcp((&v4(1), 4_000), ("10.0.5.10", 443), RST, (1_000, 0), b""));
    assert!(world.told(&mut client).is_empty(), "a reset answered");

    world.up(&mut client, &udp((&v4(1), 1), ("10.0.5.10", 443), b"q"));
    let told = world.told(&mut client);
    assert_eq!((told[0][9], told[0][20], told[0][21]), (1, 3, 13));
    assert_eq!(told[0][12..16], [100, 80, 0, 1]);
    assert_eq!(crate::packets::checksum(&told[0]), 0xffff);
    world.up(&mut client, &udp((&v6(1), 1), ("fd00:5::99", 443), b"q"));
    let told = world.told(&mut client);
    assert_eq!((told[0][6], told[0][40], told[0][41]), (58, 1, 1));
    assert_eq!(crate::packets::checksum(&told[0]), 0xffff);
}

#[test]
fn refusals_and_notices_are_rate_limited_and_counted() {
    let (mut world, [mut client]) = World::connected();
    for port in 1..=100 {
        world.up(&mut client, &udp((&v4(1), port), ("10.0.5.10", 443), b"q"));
    }
    assert_eq!(world.told(&mut client).len(), 10);
    assert_eq!(world.notices().len(), 1);
    assert_eq!(world.notices()[0].email.as_ref().unwrap().as_str(), "person1@shop.example");
    world.pass(11);
    assert_eq!(world.notices().iter().map(|notice| notice.count).collect::<Vec<_>>(), [1, 99]);
}

#[test]
fn lockdown_binds_all_but_the_exempt_and_lifts() {
    let (mut world, [mut one, mut two]) = World::connected();
    assert!(world.reaches_db(&mut one) && world.reaches_db(&mut two));
    world.delta(vec![Change::Lockdown { state: Lockdown::On, exempt: vec![device(2)] }]);
    assert_eq!(world.enforced().ended.len(), 1);
    assert!(!world.reaches_db(&mut one));
    assert!(world.down_sealed(&udp((DB, 53), (&v4(1), 4_000), b"a")).is_empty());
    assert!(world.reaches_db(&mut two));
    assert!(world.denied(DenyReason::Lockdown) > 0);
    world.delta(vec![Change::Lockdown { state: Lockdown::Off, exempt: vec![] }]);
    assert!(world.reaches_db(&mut one), "without another handshake");
}

#[test]
fn a_closed_sign_in_window_is_quarantine_and_opens_again() {
    let (mut world, [mut client]) = World::connected();
    world.leases[0].sign_in_until = Some(world.wall_in(5));
    world.snapshot();
    assert!(world.reaches_db(&mut client));
    world.pass_alive(5);
    assert_eq!(world.gateway.flows().count(), 0, "the timer cut it");
    assert!(!world.reaches_db(&mut client));
    assert!(world.denied(DenyReason::Quarantine) > 0);
    world.leases[0].sign_in_until = Some(Timestamp::MIN);
    world.snapshot();
    assert!(!world.reaches_db(&mut client));
    world.leases[0].sign_in_until = Some(world.wall_in(60));
    world.snapshot();
    assert!(world.reaches_db(&mut client));
}

#[test]
fn a_connection_in_mid_stream_may_go_on_after_a_restart_if_a_rule_allows_it() {
    let (mut world, [mut client]) = World::connected();
    let segment = tcp((&v4(1), 4_000), (DB, 5_432), ACK, (100, 200), b"data");
    assert!(world.down_sealed(&tcp((DB, 5_432), (&v4(1), 4_000), ACK, (200, 100), b"x")).is_empty());
    assert_eq!(world.up(&mut client, &segment), [segment]);
    assert_eq!(world.down(&mut client, &tcp((DB, 5_432), (&v4(1), 4_000), ACK, (200, 104), b"x")).len(), 1);
}

#[test]
fn without_rules_or_with_empty_rules_nothing_passes() {
    let (mut world, [mut client]) = World::connected();
    for rules in [vec![], vec![rule(1, &[], &["udp/53"])], vec![rule(1, &[DB], &[])]] {
        world.leases = vec![lease(1)];
        world.leases[0].rules = rules;
        world.snapshot();
        assert!(!world.reaches_db(&mut client));
    }
}

#[test]
fn nothing_passes_for_a_stranger() {
    let (mut world, [_client]) = World::connected();
    let mut stranger = Client::new(50);
    assert!(!world.connect(&mut stranger));
    assert_eq!(world.counters().tunnels, 1);
}
