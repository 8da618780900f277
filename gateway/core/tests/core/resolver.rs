//! The resolver: the one thing of the gateway that devices reach, and what it asks the core.

use doorward_gateway_core::{Command, DenyReason, ResourceAsked};
use doorward_model::{Change, Lockdown, Timestamp};

use crate::harness::{Client, DB, World, v4, v6};
use crate::packets::{ACK, SYN, echo, ip, tcp, udp, whole};
use crate::services::{service, service_rule};

const GATEWAY: [&str; 2] = ["100.80.0.1", "fd64:6f6f:7277::1"];

fn listening() -> (World, Client) {
    let (mut world, [client]) = World::connected();
    world.command(Command::ResolverListens(true));
    (world, client)
}

/// Says whether a question passes and its answer comes back.
fn asks(world: &mut World, client: &mut Client, port: u16) -> bool {
    let question = udp((&v4(1), port), (GATEWAY[0], 53), b"?");
    if world.up(client, &question).is_empty() {
        return false;
    }
    let answer = udp((GATEWAY[0], 53), (&v4(1), port), b"!");
    assert_eq!(world.down(client, &answer), [answer]);
    true
}

#[test]
fn devices_ask_the_resolver_over_udp_and_tcp_in_both_families_and_nothing_else() {
    let (mut world, mut client) = listening();
    for (own, gateway) in [(v4(1), GATEWAY[0]), (v6(1), GATEWAY[1])] {
        let pairs = [
            (udp((&own, 4_000), (gateway, 53), b"?"), udp((gateway, 53), (&own, 4_000), b"!")),
            (
                tcp((&own, 4_000), (gateway, 53), SYN, (7, 0), b""),
                tcp((gateway, 53), (&own, 4_000), SYN | ACK, (9, 8), b""),
            ),
        ];
        for (question, answer) in pairs {
            assert!(world.down_sealed(&answer).is_empty(), "an answer without a question");
            assert_eq!(world.up(&mut client, &question), [question]);
            assert_eq!(world.down(&mut client, &answer), [answer]);
        }
        let others = [
            udp((&own, 4_000), (gateway, 54), b""),
            tcp((&own, 4_000), (gateway, 8_443), SYN, (7, 0), b""),
            echo(&own, gateway, true, 1),
        ];
        for other in others {
            assert!(world.up(&mut client, &other).is_empty());
        }
        assert!(world.down_sealed(&udp((gateway, 54), (&own, 4_000), b"")).is_empty());
    }
    assert_eq!(world.denied(DenyReason::TunnelNetwork), 6);
    assert!(world.gateway.flows().all(|flow| flow.grant.is_none() && flow.resource.is_none()));
}

#[test]
fn the_resolver_is_reached_only_while_it_listens() {
    let (mut world, [mut client]) = World::connected();
    assert!(!asks(&mut world, &mut client, 1));
    world.command(Command::ResolverListens(true));
    assert!(asks(&mut world, &mut client, 2));
    world.command(Command::ResolverListens(false));
    assert_eq!(world.gateway.flows().count(), 0);
    assert!(!asks(&mut world, &mut client, 3));
}

#[test]
fn quarantine_leaves_the_resolver_and_nothing_else() {
    let (mut world, mut client) = listening();
    world.leases[0].sign_in_until = Some(world.wall_in(5));
    world.snapshot();
    assert!(world.reaches_db(&mut client) && asks(&mut world, &mut client, 1));
    world.pass_alive(5);
    let left: Vec<_> = world.gateway.flows().collect();
    assert!(matches!(&left[..], [question] if question.grant.is_none()), "{left:?}");
    assert!(asks(&mut world, &mut client, 1) && asks(&mut world, &mut client, 2));
    assert!(!world.reaches_db(&mut client));
    assert!(world.down_sealed(&udp((DB, 53), (&v4(1), 4_000), b"late")).is_empty());
    assert_eq!(world.denied(DenyReason::Quarantine), 2);
    world.leases[0].sign_in_until = Some(Timestamp::MIN);
    world.snapshot();
    assert!(asks(&mut world, &mut client, 2) && !world.reaches_db(&mut client));
}

#[test]
fn lockdown_lost_authority_and_an_ended_lease_take_the_resolver_too() {
    let (mut world, mut client) = listening();
    assert!(asks(&mut world, &mut client, 1));
    world.delta(vec![Change::Lockdown { state: Lockdown::On, exempt: vec![] }]);
    assert!(!asks(&mut world, &mut client, 1));
    world.delta(vec![Change::Lockdown { state: Lockdown::Off, exempt: vec![] }]);
    assert!(asks(&mut world, &mut client, 1));
    world.pass(31);
    assert!(!asks(&mut world, &mut client, 1));
    world.heartbeat();
    assert!(asks(&mut world, &mut client, 1));
    world.leases[0].validity.not_after = world.wall_in(5);
    world.snapshot();
    assert!(asks(&mut world, &mut client, 1));
    world.pass_alive(5);
    assert!(!asks(&mut world, &mut client, 1));
}

#[test]
fn questions_do_not_push_out_connections() {
    let (mut world, mut client) = listening();
    assert!(world.reaches_db(&mut client));
    for second in 0..40_u16 {
        for port in 0..200 {
            asks(&mut world, &mut client, 1_000 + second * 200 + port);
        }
        world.pass_alive(1);
    }
    assert_eq!(world.counters().flows_evicted, 0);
    assert_eq!(world.down(&mut client, &udp((DB, 53), (&v4(1), 4_000), b"late")).len(), 1);
}

#[test]
fn a_device_finds_the_resources_that_a_rule_gives_it_at_that_moment() {
    let (mut world, [_one, _two]) = World::connected();
    let mut rule = service_rule(1, &[DB], &["tcp/5432"]);
    rule.validity.not_after = world.wall_in(60);
    world.leases[0].rules = vec![rule];
    world.snapshot();
    let by_name = ResourceAsked::Name("resource-1".parse().unwrap());
    let by_address = ResourceAsked::Address(service(1).v6.into());
    let mine = ip(&v6(1));
    for asked in [&by_name, &by_address] {
        let (resource, address) = world.gateway.resource(world.now(), mine, asked).unwrap();
        assert_eq!((resource.as_str(), address), ("resource-1", service(1)));
        assert!(world.gateway.resource(world.now(), ip(&v4(2)), asked).is_none(), "another device");
        assert!(world.gateway.resource(world.now(), ip("100.80.0.77"), asked).is_none(), "no device");
    }
    assert!(world.gateway.resource(world.now(), mine, &ResourceAsked::Address(ip(DB))).is_none());
    world.leases[0].sign_in_until = Some(Timestamp::MIN);
    world.snapshot();
    assert!(world.gateway.resource(world.now(), mine, &by_name).is_none(), "quarantine");
    world.leases[0].sign_in_until = None;
    world.snapshot();
    assert!(world.gateway.resource(world.now(), mine, &by_name).is_some());
    world.pass_alive(60);
    assert!(world.gateway.resource(world.now(), mine, &by_name).is_none(), "the grant is over");
}

#[test]
fn an_answer_of_others_that_leads_inside_is_known_as_such() {
    let (mut world, [_client]) = World::connected();
    world.leases[0].rules = vec![service_rule(1, &["10.0.0.0/8", "db.shop.example"], &["tcp/5432"])];
    world.snapshot();
    world.command(Command::Resolved { name: "db.shop.example".parse().unwrap(), addresses: vec![ip("192.0.2.7")] });
    let inside = |address: &str| world.gateway.is_inside(world.now(), ip(&v4(1)), ip(address)).unwrap();
    for address in ["10.1.2.3", "192.0.2.7", "127.0.0.1", "::1", "169.254.169.254", "fe80::1", "100.80.0.9"] {
        assert!(inside(address), "{address}");
    }
    assert!(inside("::ffff:10.0.0.1"), "in disguise");
    assert!(!inside("192.0.2.8") && !inside("2001:db8::1"));
    assert_eq!(world.gateway.is_inside(world.now(), ip("100.80.0.77"), ip("192.0.2.8")), None, "no device");
}

/// In quarantine, with everything that the gateway offers.
fn quarantined() -> (World, Client) {
    let (mut world, [mut client]) = World::connected();
    world.command(Command::ResolverListens(true));
    world.command(Command::PortalListens { port: Some(8_443), landing: true });
    world.leases[0].rules.push(service_rule(3, &[DB], &["tcp/5432"]));
    world.leases[0].sign_in_until = Some(Timestamp::MIN);
    world.snapshot();
    assert!(!world.reaches_db(&mut client));
    (world, client)
}

#[test]
fn quarantine_leaves_the_portal_and_leads_plain_http_to_the_page_that_says_so() {
    let (mut world, mut client) = quarantined();
    let port = v4(1);
    let syn = |to: (&str, u16), from: u16| whole(tcp((&port, from), to, SYN, (7, 0), b""));
    let answer = |from: (&str, u16), to: u16| whole(tcp(from, (&port, to), SYN | ACK, (9, 8), b""));

    let portal = syn((GATEWAY[0], 8_443), 4_000);
    assert_eq!(world.up(&mut client, &portal), [portal]);
    let answered = answer((GATEWAY[0], 8_443), 4_000);
    assert_eq!(world.down(&mut client, &answered), [answered]);

    // A resource's service address and its target: the page stands in, and answers from where it was asked.
    let service = service(3).v4.to_string();
    for (asked, from) in [(service.as_str(), 4_001), (DB, 4_002)] {
        assert_eq!(world.up(&mut client, &syn((asked, 80), from)), [syn((GATEWAY[0], 80), from)], "{asked}");
        assert_eq!(world.down(&mut client, &answer((GATEWAY[0], 80), from)), [answer((asked, 80), from)], "{asked}");
    }
    let denied = world.denied(DenyReason::Quarantine);
    for other in [("8.8.8.8", 80), (service.as_str(), 443), (GATEWAY[0], 22), ("100.80.0.9", 80)] {
        assert!(world.up(&mut client, &syn(other, 4_003)).is_empty(), "{other:?}");
    }
    assert_eq!(world.denied(DenyReason::Quarantine), denied + 4);
}

#[test]
fn a_sign_in_takes_the_page_away_and_gives_the_resource_back() {
    let (mut world, mut client) = quarantined();
    let page = whole(tcp((&v4(1), 4_000), (DB, 80), SYN, (7, 0), b""));
    assert_eq!(world.up(&mut client, &page).len(), 1);
    assert_eq!(world.gateway.flows().count(), 1);
    world.leases[0].sign_in_until = Some(world.wall_in(60));
    world.snapshot();
    assert_eq!(world.gateway.flows().count(), 0, "the page's connection ended");
    assert!(world.reaches_db(&mut client));
    assert!(world.up(&mut client, &page).is_empty(), "no rule allows port 80 there");
    let portal = tcp((&v4(1), 4_001), (GATEWAY[0], 8_443), SYN, (7, 0), b"");
    assert_eq!(world.up(&mut client, &portal), [portal], "the portal stays within reach");
}

#[test]
fn nothing_is_offered_that_does_not_listen_and_nobody_without_a_lease_is_offered_anything() {
    let (mut world, mut client) = quarantined();
    let portal = |from| tcp((&v4(1), from), (GATEWAY[0], 8_443), SYN, (7, 0), b"");
    let page = |from| tcp((&v4(1), from), (DB, 80), SYN, (7, 0), b"");
    assert_eq!((world.up(&mut client, &portal(1)).len(), world.up(&mut client, &page(2)).len()), (1, 1));
    world.command(Command::PortalListens { port: None, landing: false });
    assert_eq!(world.gateway.flows().count(), 0);
    assert!(world.up(&mut client, &portal(3)).is_empty() && world.up(&mut client, &page(4)).is_empty());
    world.command(Command::PortalListens { port: Some(8_443), landing: true });
    world.delta(vec![Change::Lockdown { state: Lockdown::On, exempt: vec![] }]);
    assert!(world.up(&mut client, &portal(5)).is_empty() && world.up(&mut client, &page(6)).is_empty());
    world.delta(vec![Change::Lockdown { state: Lockdown::Off, exempt: vec![] }]);
    assert_eq!(world.up(&mut client, &portal(7)).len(), 1);
    world.leases[0].validity.not_after = world.wall_in(5);
    world.snapshot();
    world.pass_alive(5);
    assert_eq!(world.gateway.flows().count(), 0);
    assert!(world.up(&mut client, &portal(8)).is_empty());
}
