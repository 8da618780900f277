//! Service addresses: a resource's own address inside Doorward's network, and what it is translated to.

use doorward_gateway_core::{Command, ConntrackEntry, DenyReason, Event, Offload, Segmentation};
use doorward_model::{DnsName, Rule, ServiceAddress, TunnelNetwork};

use crate::harness::{Client, DB, DB6, World, grant, rule, v4, v6};
use crate::packets::{ACK, RST, SYN, echo, icmp_error, ip, is_whole, see_tcp, tcp, udp, whole};

const EVERYTHING: [&str; 3] = ["tcp/5432", "udp/53", "icmp"];

pub(crate) fn service(slot: u32) -> ServiceAddress {
    TunnelNetwork::default().service_address(slot).unwrap()
}

/// A rule whose resource has service slot `number`.
pub(crate) fn service_rule(number: u32, targets: &[&str], allow: &[&str]) -> Rule {
    Rule { service: Some(service(number)), ..rule(u128::from(number), targets, allow) }
}

/// A connected client with these rules.
fn with_rules(rules: Vec<Rule>) -> (World, Client) {
    let (mut world, [client]) = World::connected();
    world.leases[0].rules = rules;
    world.snapshot();
    (world, client)
}

fn name(text: &str) -> DnsName {
    text.parse().unwrap()
}

fn resolve(world: &mut World, text: &str, addresses: &[&str]) {
    let addresses = addresses.iter().map(|address| ip(address)).collect();
    world.command(Command::Resolved { name: name(text), addresses });
}

/// Device, service address and target, of both families.
fn families() -> [(String, String, &'static str); 2] {
    let service = service(1);
    [(v4(1), service.v4.to_string(), DB), (v6(1), service.v6.to_string(), DB6)]
}

fn question(own: &str, to: &str) -> Vec<u8> {
    whole(udp((own, 4_000), (to, 53), b"question"))
}

#[test]
fn a_service_address_leads_to_the_target_and_back_in_both_families() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &[DB, DB6], &EVERYTHING)]);
    for (own, service, db) in families() {
        let up = |to: &str| {
            [
                whole(tcp((&own, 4_000), (to, 5_432), SYN, (7, 0), b"")),
                question(&own, to),
                whole(echo(&own, to, true, 77)),
            ]
        };
        let down = |from: &str| {
            [
                whole(tcp((from, 5_432), (&own, 4_000), SYN | ACK, (9, 8), b"")),
                whole(udp((from, 53), (&own, 4_000), b"answer")),
                whole(echo(from, &own, false, 77)),
            ]
        };
        for ((asked, wanted), (answer, seen)) in
            up(&service).iter().zip(up(db)).zip(down(db).iter().zip(down(&service)))
        {
            assert!(world.down_sealed(answer).is_empty(), "an answer without a question");
            assert_eq!(world.up(&mut client, asked), [wanted]);
            assert_eq!(world.down(&mut client, answer), std::slice::from_ref(&seen));
            assert!(world.down_sealed(&seen).is_empty(), "somebody behind the gateway uses a service address");
        }
    }
    let flows: Vec<_> = world.gateway.flows().collect();
    assert_eq!(flows.len(), 6);
    for flow in flows {
        assert!([ip(DB), ip(DB6)].contains(&flow.tuple.remote.ip()), "{flow:?}");
        assert_eq!((flow.packets_up, flow.packets_down), (1, 1));
        assert_eq!((flow.grant, flow.resource.unwrap().as_str()), (Some(grant(1)), "resource-1"));
    }
}

#[test]
fn a_packet_that_stands_for_several_comes_back_from_the_service_address() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &[DB, DB6], &EVERYTHING)]);
    for (own, service, db) in families() {
        let open = whole(tcp((&own, 4_000), (&service, 5_432), ACK, (7, 0), b""));
        assert_eq!(world.up(&mut client, &open).len(), 1);
        let data: Vec<u8> = (0..250).collect();
        let super_packet = tcp((db, 5_432), (&own, 4_000), ACK, (100, 8), &data);
        let start = if own.contains(':') { 40 } else { 20 };
        let offload = Offload { checksum: Some((start, 16)), segmentation: Segmentation::Tcp { size: 100 } };
        let sealed = world.down_offloaded(offload, &whole(super_packet));
        let got: Vec<Vec<u8>> = sealed.iter().filter_map(|(_, datagram)| client.open(datagram)).collect();
        let wanted: Vec<Vec<u8>> = (100_u32..)
            .step_by(100)
            .zip(data.chunks(100))
            .map(|(sequence, part)| tcp((&service, 5_432), (&own, 4_000), ACK, (sequence, 8), part))
            .collect();
        assert_eq!(got.len(), 3);
        for (got, wanted) in got.iter().zip(wanted) {
            assert!(is_whole(got));
            assert_eq!(got[usize::from(start)..][..16], wanted[usize::from(start)..][..16]);
            assert_eq!(got[usize::from(start) + 18..], wanted[usize::from(start) + 18..]);
            assert_eq!(got[12..16], wanted[12..16]);
        }
    }
}

#[test]
fn icmp_errors_speak_of_the_address_that_each_side_knows() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &[DB, DB6], &EVERYTHING)]);
    for ((own, service, db), (router, kind, unreachable)) in
        families().into_iter().zip([("10.0.0.254", 3, 3), ("fd00::fe", 2, 1)])
    {
        let error = |from: &str, to: &str, kind, quoted: &[u8]| whole(icmp_error(from, to, kind, 3, quoted));
        let (asked, sent) = (question(&own, &service), question(&own, db));
        assert!(world.down_sealed(&error(router, &own, kind, &sent)).is_empty(), "no flow yet");
        assert_eq!(world.up(&mut client, &asked), std::slice::from_ref(&sent));
        // The router's own address would not pass the device's allowed addresses, and is nobody's business.
        assert_eq!(world.down(&mut client, &error(router, &own, kind, &sent)), [error(&service, &own, kind, &asked)]);
        let (answer, seen) =
            (whole(udp((db, 53), (&own, 4_000), b"a")), whole(udp((&service, 53), (&own, 4_000), b"a")));
        assert_eq!(
            world.up(&mut client, &error(&own, &service, unreachable, &seen)),
            [error(&own, db, unreachable, &answer)]
        );
        assert!(world.up(&mut client, &error(&own, db, unreachable, &answer)).is_empty(), "the device knows no target");
    }
}

#[test]
fn a_prefix_or_another_family_is_no_target_and_the_refusal_comes_from_the_service_address() {
    let (mut world, mut client) =
        with_rules(vec![service_rule(1, &["10.0.5.0/24"], &EVERYTHING), service_rule(2, &[DB], &EVERYTHING)]);
    let only_v4 = service(2).v6.to_string();
    let [(own, prefix_only, _), (own6, ..)] = families();
    assert!(world.up(&mut client, &whole(tcp((&own, 4_000), (&prefix_only, 5_432), SYN, (7, 0), b""))).is_empty());
    let reset = world.told(&mut client).remove(0);
    assert_eq!((see_tcp(&reset).source_port, see_tcp(&reset).flags), (5_432, RST | ACK));
    assert_eq!(reset[12..16], service(1).v4.octets());
    assert!(world.up(&mut client, &question(&own6, &only_v4)).is_empty());
    assert_eq!(world.told(&mut client).len(), 1, "prohibited");
    assert_eq!(world.denied(DenyReason::NoTarget), 2);
    assert_eq!(world.up(&mut client, &question(&own, &service(2).v4.to_string())).len(), 1);
    assert_eq!(world.up(&mut client, &question(&own, "10.0.5.77")).len(), 1, "the prefix is reached directly");
}

#[test]
fn a_denial_names_the_resource_that_a_service_address_stood_for() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &[DB], &["udp/53"])]);
    let [(own, service, _), _] = families();
    assert!(world.up(&mut client, &whole(tcp((&own, 4_000), (&service, 22), SYN, (7, 0), b""))).is_empty());
    let message = world.notices().remove(0).message;
    assert!(message.contains("tcp resource-1:22: no grant allows it"), "{message}");
    // Another resource's service address, and an address that is none.
    assert!(world.up(&mut client, &question(&own, &crate::services::service(7).v4.to_string())).is_empty());
    assert_eq!((world.denied(DenyReason::NoRule), world.denied(DenyReason::TunnelNetwork)), (2, 0));
    assert!(world.up(&mut client, &question(&own, "100.80.0.99")).is_empty());
    assert_eq!(world.denied(DenyReason::TunnelNetwork), 1);
}

#[test]
fn two_flows_with_the_same_ends_behind_the_gateway_cannot_live_at_once() {
    let (mut world, mut client) =
        with_rules(vec![service_rule(1, &[DB], &EVERYTHING), service_rule(2, &[DB], &EVERYTHING)]);
    let [(own, first, _), _] = families();
    let (first, second) = (question(&own, &first), question(&own, &service(2).v4.to_string()));
    let direct = question(&own, DB);
    assert_eq!(world.up(&mut client, &first), std::slice::from_ref(&direct));
    for other in [&direct, &second] {
        assert!(world.up(&mut client, other).is_empty());
        assert_eq!(world.told(&mut client).len(), 1, "prohibited");
    }
    assert_eq!(world.denied(DenyReason::FlowClash), 2);
    assert_eq!(world.up(&mut client, &first), std::slice::from_ref(&direct), "the first goes on");
    let answer = whole(udp((DB, 53), (&own, 4_000), b"answer"));
    assert_eq!(world.down(&mut client, &answer)[0][12..16], service(1).v4.octets());
    world.pass_alive(181);
    assert!(world.connect(&mut client));
    assert_eq!(world.up(&mut client, &direct), std::slice::from_ref(&direct), "once the first is idle");
    assert_eq!(world.down(&mut client, &answer), [answer]);
    assert!(world.up(&mut client, &first).is_empty(), "and the other way round");
    assert_eq!(world.gateway.flows().count(), 1);
}

#[test]
fn a_name_is_reached_by_its_service_address_alone() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &["db.shop.example"], &EVERYTHING)]);
    assert!(world.events.contains(&Event::NamesWanted(vec![name("db.shop.example")])));
    let [(own, service, _), (own6, service6, _)] = families();
    assert!(world.up(&mut client, &question(&own, &service)).is_empty(), "not resolved yet");
    assert_eq!(world.denied(DenyReason::NoTarget), 1);
    resolve(&mut world, "db.shop.example", &[DB6, DB, "10.0.5.21"]);
    assert_eq!(world.up(&mut client, &question(&own, &service)), [question(&own, DB)]);
    assert_eq!(world.up(&mut client, &question(&own6, &service6)), [question(&own6, DB6)]);
    assert!(world.up(&mut client, &whole(udp((&own, 4_001), (DB, 53), b""))).is_empty(), "directly");
    assert_eq!(world.denied(DenyReason::NoRule), 1);

    // Another answer: what is open goes on, what is new goes there.
    resolve(&mut world, "db.shop.example", &["10.0.5.99"]);
    assert_eq!(world.up(&mut client, &question(&own, &service)), [question(&own, DB)]);
    let other = whole(udp((&own, 4_001), (&service, 53), b""));
    assert_eq!(world.up(&mut client, &other), [whole(udp((&own, 4_001), ("10.0.5.99", 53), b""))]);
    // It does not exist any more.
    resolve(&mut world, "db.shop.example", &[]);
    assert!(world.up(&mut client, &whole(udp((&own, 4_002), (&service, 53), b""))).is_empty());
}

#[test]
fn an_answer_serves_for_an_hour_without_another_and_names_of_nobody_are_ignored() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &["db.shop.example"], &EVERYTHING)]);
    let [(own, service, _), _] = families();
    resolve(&mut world, "db.shop.example", &[DB]);
    resolve(&mut world, "other.shop.example", &[DB]);
    for (seconds, passes) in [(3_599, true), (200, false)] {
        world.pass(seconds);
        world.heartbeat();
        assert!(world.connect(&mut client));
        assert_eq!(world.up(&mut client, &question(&own, &service)).len(), usize::from(passes), "{seconds} s later");
    }
    resolve(&mut world, "db.shop.example", &[DB]);
    assert_eq!(world.up(&mut client, &question(&own, &service)).len(), 1);
    for targets in [["other.shop.example"], ["db.shop.example"]] {
        world.leases[0].rules = vec![service_rule(1, &targets, &EVERYTHING)];
        world.snapshot();
        assert!(world.up(&mut client, &question(&own, &service)).is_empty(), "forgotten with the rule that wanted it");
    }
}

#[test]
fn a_name_that_leads_to_the_gateway_or_to_a_special_place_is_refused() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &["evil.example"], &EVERYTHING)]);
    world.command(Command::OwnAddresses(vec![ip("10.0.5.1"), ip("fd00:5::1")]));
    let [(own, service, _), (own6, service6, _)] = families();
    let four = ["10.0.5.1", "127.0.0.1", "169.254.169.254", "100.80.0.1", "100.80.0.3", "224.0.0.1", "0.0.0.0"];
    let six = ["fd00:5::1", "::1", "fe80::1", "fd64:6f6f:7277::1", "fd64:6f6f:7277::3", "fd00:ec2::254", "::"];
    for (own, service, bad) in
        four.map(|bad| (&own, &service, bad)).into_iter().chain(six.map(|b| (&own6, &service6, b)))
    {
        resolve(&mut world, "evil.example", &[bad]);
        assert!(world.up(&mut client, &question(own, service)).is_empty(), "{bad}");
    }
    resolve(&mut world, "evil.example", &["::ffff:127.0.0.1"]);
    assert!(world.up(&mut client, &question(&own, &service)).is_empty(), "in disguise");
    assert_eq!(world.denied(DenyReason::SpecialDestination), 15);
    resolve(&mut world, "evil.example", &["127.0.0.1", DB]);
    assert_eq!(world.up(&mut client, &question(&own, &service)), [question(&own, DB)], "the good one of several");
    world.command(Command::OwnAddresses(vec![ip(DB)]));
    assert_eq!(world.gateway.flows().count(), 0, "it became the gateway's own");
}

#[test]
fn a_target_inside_the_tunnel_network_is_refused_by_its_service_address_too() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &["100.80.0.3", "100.80.0.1"], &EVERYTHING)]);
    let [(own, service, _), _] = families();
    assert!(world.up(&mut client, &question(&own, &service)).is_empty());
    assert_eq!(world.denied(DenyReason::SpecialDestination), 1);
}

#[test]
fn a_target_that_changes_resets_both_ends_each_by_the_address_it_knows() {
    for (first, second) in [(DB, "10.0.5.99"), ("db.shop.example", "other.shop.example"), ("db.shop.example", DB)] {
        let (mut world, mut client) = with_rules(vec![service_rule(1, &[first], &EVERYTHING)]);
        resolve(&mut world, "db.shop.example", &[DB]);
        let [(own, service, _), _] = families();
        assert_eq!(world.up(&mut client, &whole(tcp((&own, 4_000), (&service, 5_432), ACK, (7, 5), b"x"))).len(), 1);
        assert_eq!(world.down(&mut client, &whole(tcp((DB, 5_432), (&own, 4_000), ACK, (5, 8), b""))).len(), 1);
        world.snapshot();
        assert_eq!(world.gateway.flows().count(), 1, "the same again changes nothing");
        world.events.clear();

        world.leases[0].rules = vec![service_rule(1, &[second], &EVERYTHING)];
        world.snapshot();
        assert_eq!(world.gateway.flows().count(), 0, "{first} → {second}");
        let told = world.told(&mut client);
        assert_eq!(told[0][12..16], service_v4(), "to the device, from the service address");
        assert_eq!(see_tcp(&told[0]).sequence, 5);
        let told = world.told_resources();
        assert_eq!(told[0][16..20], [10, 0, 5, 20], "to the target");
        assert_eq!(see_tcp(&told[0]).sequence, 8);
        let flushed = world.flushed();
        let ends = |entry: &ConntrackEntry| matches!(entry, ConntrackEntry::Flow(flow) if flow.remote.ip() == ip(DB));
        assert!(flushed.iter().any(ends), "{flushed:?}");
    }
}

fn service_v4() -> [u8; 4] {
    service(1).v4.octets()
}

#[test]
fn a_renewed_grant_keeps_a_connection_by_the_service_address() {
    let (mut world, mut client) = with_rules(vec![service_rule(1, &[DB], &EVERYTHING)]);
    let [(own, service, _), _] = families();
    assert_eq!(world.up(&mut client, &question(&own, &service)).len(), 1);
    world.leases[0].rules[0].grant = grant(9);
    world.snapshot();
    assert_eq!(world.gateway.flows().next().unwrap().grant, Some(grant(9)));
    world.leases[0].rules[0].service = Some(crate::services::service(2));
    world.snapshot();
    assert_eq!(world.gateway.flows().count(), 0, "the service address went to another");
}

#[test]
fn the_shell_is_told_the_names_that_leases_want_when_they_change() {
    let (mut world, _client) = with_rules(vec![
        service_rule(1, &["b.shop.example", "a.shop.example"], &EVERYTHING),
        service_rule(2, &["a.shop.example"], &EVERYTHING),
    ]);
    let wanted = |world: &World| {
        let told = world.events.iter().filter_map(|event| {
            let Event::NamesWanted(names) = event else { return None };
            Some(names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>())
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(wanted(&world), [["a.shop.example", "b.shop.example"]]);
    world.events.clear();
    world.snapshot();
    world.leases[0].rules.remove(1);
    world.snapshot();
    assert!(wanted(&world).is_empty(), "nothing changed");
    world.leases[0].rules[0].targets.pop();
    world.snapshot();
    assert_eq!(wanted(&world), [["b.shop.example"]]);
    world.events.clear();
    world.remove(1, doorward_model::EndReason::Offboarded);
    assert_eq!(wanted(&world), [Vec::<String>::new()]);
}
