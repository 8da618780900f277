//! What passes: exactly what was granted, in both directions, over both families, inside and outside.

use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, knock_udp, pings, reaches_ping, reaches_udp};
use doorward_tests::witness::{Witness, carries};
use doorward_tests::world::{DATABASE, ENDPOINT_V6, GATEWAY_INSIDE, PANEL, at};

const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(1500);

#[test]
fn granted_tcp_udp_and_icmp_flow_over_both_families_and_nothing_else_does() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let witness = Witness::inside(&shop.world);
    let _granted: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 443), Manner::Echo)).collect();
    let _others: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 22), Manner::Echo)).collect();
    let _database: Vec<_> = DATABASE.iter().map(|host| TcpServer::start(inside, at(host, 443), Manner::Echo)).collect();
    let _dns: Vec<_> = PANEL.iter().map(|host| UdpServer::start(inside, at(host, 53))).collect();
    let _ntp: Vec<_> = PANEL.iter().map(|host| UdpServer::start(inside, at(host, 123))).collect();

    shop.resource("panel", &PANEL, &["tcp/443", "udp/53", "icmp"]);
    let mut config = shop.person("support@shop.example", "panel");
    // The client asks for more than it was given: all of the protected side.
    config.allowed_ips.extend(["10.0.5.0/24".to_owned(), "fd00:5::/64".to_owned()]);
    let _client = shop.client(0, &config);

    for host in PANEL {
        assert_eq!(knock_tcp(laptop, at(host, 443), LONG), Attempt::Opened, "{host} tcp/443 is granted");
        assert!(reaches_udp(laptop, at(host, 53)), "{host} udp/53 is granted");
        assert!(reaches_ping(laptop, host), "{host} icmp is granted");
        assert_ne!(knock_tcp(laptop, at(host, 22), SHORT), Attempt::Opened, "{host} tcp/22 is not");
        assert!(!knock_udp(laptop, at(host, 123)), "{host} udp/123 is not");
    }
    for host in DATABASE {
        assert_ne!(knock_tcp(laptop, at(host, 443), SHORT), Attempt::Opened, "{host} is nobody's");
        assert!(!pings(laptop, host), "{host} is nobody's");
    }
    let seen = witness.finish();
    let database: Vec<std::net::IpAddr> = DATABASE.iter().map(|host| host.parse().unwrap()).collect();
    let forbidden: Vec<_> = seen
        .iter()
        .filter(|packet| packet.to_port(22) || packet.to_port(123) || database.contains(&packet.to))
        .filter(|packet| !matches!(packet.kind, doorward_tests::witness::Kind::Icmp(133..=137)))
        .collect();
    assert!(forbidden.is_empty(), "the protected side saw what nobody was granted: {forbidden:?}");
}

#[test]
fn the_tunnel_works_over_ipv6_and_hides_what_it_carries() {
    let settings = Settings { endpoint: Some(ENDPOINT_V6), ..Settings::default() };
    let shop = Shop::open(1, &settings);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let outside = Witness::start(&shop.world.internet, shop.world.folder.path(), "witness-internet", "gateway0");
    shop.resource("panel", &[PANEL[0]], &["udp/53", "icmp"]);
    let config = shop.person("support@shop.example", "panel");
    assert_eq!(config.endpoint, ENDPOINT_V6);
    let _client = shop.client(0, &config);
    assert!(reaches_ping(&shop.world.laptops[0], PANEL[0]));
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)));
    let outside = outside.finish();
    assert!(outside.iter().any(|packet| packet.from.is_ipv6() && packet.to_port(51820)), "datagrams travel over IPv6");
    assert!(!carries(&outside, b"knock"), "what people say is not readable outside");
}

#[test]
fn a_service_cannot_begin_a_conversation_with_a_device() {
    for nat in ["nat = true", "nat = false"] {
        let shop = Shop::open(1, &Settings { gateway: nat, ..Settings::default() });
        let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
        let panel = UdpServer::start(inside, at(PANEL[0], 53));
        shop.resource("panel", &[PANEL[0]], &["udp/53", "tcp/443"]);
        let config = shop.person("support@shop.example", "panel");
        let _client = shop.client(0, &config);
        assert!(reaches_udp(laptop, at(PANEL[0], 53)), "{nat}: the person may ask");

        let address = config.address(false).to_string();
        let listening = TcpServer::start(laptop, at(&address, 8080), Manner::Echo);
        let hearing = UdpServer::start(laptop, at(&address, 8081));
        assert_ne!(knock_tcp(inside, at(&address, 8080), SHORT), Attempt::Opened, "{nat}: the panel may not");
        for _ in 0..5 {
            panel.send(b"unasked", at(&address, 8081));
        }
        assert!(!pings(inside, &address), "{nat}: nor ping");
        assert!(reaches_udp(laptop, at(PANEL[0], 53)), "{nat}: the tunnel still works");
        assert_eq!(listening.accepted() + hearing.received(), 0, "{nat}: nothing unasked arrived");
    }
}

#[test]
fn a_client_that_routes_everything_into_the_tunnel_gets_nothing_more() {
    let shop = Shop::open(1, &Settings::default());
    let (world, laptop) = (&shop.world, &shop.world.laptops[0]);
    let _panel = TcpServer::start(&world.inside, at(PANEL[0], 443), Manner::Echo);
    let _office = TcpServer::start(&world.office, at("192.0.2.9", 80), Manner::Echo);
    let _local = TcpServer::start(&world.gateway, at(GATEWAY_INSIDE, 8080), Manner::Echo);
    shop.resource("panel", &[PANEL[0]], &["tcp/443"]);
    let mut config = shop.person("support@shop.example", "panel");
    let (gateway4, gateway6) = ("100.80.0.1", "fd64:6f6f:7277::1");
    config.allowed_ips = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let witness = Witness::start(&world.internet, world.folder.path(), "witness-internet", "gateway0");
    let _client = shop.client(0, &config);
    assert_eq!(knock_tcp(laptop, at(PANEL[0], 443), LONG), Attempt::Opened, "what is granted works");

    // The internet behind the gateway, the protected side's other hosts, the gateway itself by each of its names.
    let forbidden = [
        at("192.0.2.9", 80),
        at(DATABASE[0], 443),
        at(DATABASE[1], 443),
        at(GATEWAY_INSIDE, 8080),
        at(GATEWAY_INSIDE, 8443),
        at(gateway4, 8443),
        at(gateway6, 8443),
        at(gateway4, 9586),
        at("169.254.169.254", 80),
        at("100.80.0.77", 443),
    ];
    for to in forbidden {
        assert_ne!(knock_tcp(laptop, to, SHORT), Attempt::Opened, "{to} was never granted");
    }
    assert_eq!(knock_tcp(laptop, at(PANEL[0], 443), LONG), Attempt::Opened, "and still works");
    let leaked = witness.count(|packet| packet.to_port(80));
    assert_eq!(leaked, 0, "the gateway sent a person's packets to the internet");
}

#[test]
fn a_service_on_the_gateway_machine_is_reached_where_a_resource_names_its_address_and_nowhere_else() {
    let shop = Shop::open(1, &Settings::default());
    let laptop = &shop.world.laptops[0];
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 5353));
    let here = UdpServer::start(&shop.world.gateway, at(GATEWAY_INSIDE, 5353));
    let other = UdpServer::start(&shop.world.gateway, at(GATEWAY_INSIDE, 5354));
    // The prefix around it covers the machine's own address, and does not lead to it.
    shop.resource("everything-inside", &["10.0.5.0/24"], &["udp/5353-5354"]);
    let config = shop.person("support@shop.example", "everything-inside");
    let _client = shop.client(0, &config);
    assert!(reaches_udp(laptop, at(PANEL[0], 5353)), "the rest of the prefix is reached");
    assert!(!knock_udp(laptop, at(GATEWAY_INSIDE, 5353)), "a prefix does not name the machine itself");
    shop.resource("panel-here", &[GATEWAY_INSIDE], &["udp/5353"]);
    shop.grant("support@shop.example", "panel-here", "8h");
    assert!(reaches_udp(laptop, at(GATEWAY_INSIDE, 5353)), "named, it is reached");
    assert!(!knock_udp(laptop, at(GATEWAY_INSIDE, 5354)), "and nothing else of the machine is");
    drop((here, other));
}

#[test]
fn another_persons_tunnel_address_gets_nothing() {
    let shop = Shop::open(2, &Settings::default());
    let (inside, thief) = (&shop.world.inside, &shop.world.laptops[1]);
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    shop.resource("db", &[DATABASE[0]], &["udp/5432"]);
    let victim = shop.person("dba@shop.example", "db");
    let own = shop.person("support@shop.example", "panel");
    let database = UdpServer::start(inside, at(DATABASE[0], 5432));
    let _panel = UdpServer::start(inside, at(PANEL[0], 53));
    let mut forged = own.clone();
    forged.allowed_ips.push("10.0.5.0/24".to_owned());
    let client = shop.client(1, &forged);
    assert!(reaches_udp(thief, at(PANEL[0], 53)), "with the own address the own grant works");
    assert!(!knock_udp(thief, at(DATABASE[0], 5432)));

    forged.addresses.clone_from(&victim.addresses);
    client.route(thief, &forged);
    assert!(!knock_udp(thief, at(DATABASE[0], 5432)), "the victim's grant does not follow the victim's address");
    assert!(!knock_udp(thief, at(PANEL[0], 53)), "and the own grant does not work from it");
    assert_eq!(database.received(), 0, "the database never heard of it");
    forged.addresses.clone_from(&own.addresses);
    client.route(thief, &forged);
    assert!(reaches_udp(thief, at(PANEL[0], 53)), "back at the own address all is well");
}

#[test]
fn devices_do_not_reach_each_other() {
    let shop = Shop::open(2, &Settings::default());
    let [left, right] = &shop.world.laptops[..] else { panic!("two laptops") };
    shop.resource("panel", &[PANEL[0]], &["udp/53", "tcp/443", "icmp"]);
    // Even a resource that covers the neighbour's address opens nothing: the tunnel network is never a target.
    let said = shop.doorward.says(&["resource", "add", "peers", "--target", "100.80.0.0/16", "--allow", "tcp/8080"]);
    let covers = said.code == 0;
    let mut one = shop.person("one@shop.example", "panel");
    let mut two = shop.person("two@shop.example", "panel");
    if covers {
        shop.grant("one@shop.example", "peers", "1h");
    }
    for config in [&mut one, &mut two] {
        config.allowed_ips.extend(["100.80.0.0/16".to_owned(), "fd64:6f6f:7277::/64".to_owned()]);
    }
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let (_left, _right) = (shop.client(0, &one), shop.client(1, &two));
    assert!(reaches_udp(left, at(PANEL[0], 53)) && reaches_udp(right, at(PANEL[0], 53)), "both tunnels work");
    let (four, six) = (two.address(false).to_string(), two.address(true).to_string());
    let servers = [&four, &six].map(|address| TcpServer::start(right, at(address, 8080), Manner::Echo));
    for address in [&four, &six] {
        assert_ne!(knock_tcp(left, at(address, 8080), SHORT), Attempt::Opened);
        assert!(!pings(left, address));
    }
    assert_eq!(servers.iter().map(TcpServer::accepted).sum::<usize>(), 0);
}

#[test]
fn routed_mode_shows_the_devices_own_address_to_the_service() {
    let shop = Shop::open(1, &Settings { gateway: "nat = false", ..Settings::default() });
    let panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)));
    assert_eq!(panel.last_from().unwrap().ip(), config.address(false), "no translation in routed mode");

    let translated = Shop::open(1, &Settings::default());
    let panel = UdpServer::start(&translated.world.inside, at(PANEL[0], 53));
    translated.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = translated.person("support@shop.example", "panel");
    let _client = translated.client(0, &config);
    assert!(reaches_udp(&translated.world.laptops[0], at(PANEL[0], 53)));
    assert_eq!(panel.last_from().unwrap().ip().to_string(), GATEWAY_INSIDE, "the gateway's address by default");
}

#[test]
fn large_transfers_pass_both_ways_with_clamped_segments() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let _echo = TcpServer::start(inside, at(PANEL[0], 443), Manner::Echo);
    let _stream = TcpServer::start(inside, at(PANEL[0], 444), Manner::Stream);
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444"]);
    let config = shop.person("support@shop.example", "panel");
    assert_eq!(config.mtu, 1280, "an MTU that fits every café");
    let _client = shop.client(0, &config);
    let download = Traffic::tcp_download(laptop, at(PANEL[0], 444));
    let chat = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    for _ in 0..20 {
        download.flows(LONG);
        chat.flows(LONG);
    }
    assert!(download.end().is_none() && chat.end().is_none());
}
