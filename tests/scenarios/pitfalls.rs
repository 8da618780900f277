//! Pitfalls of WireGuard gateways that need a network to show. The table in `tests/README.md` names the test of each.

use std::io::{Read, Write};
use std::net::IpAddr;
use std::time::Duration;

use doorward_tests::client::WgQuick;
use doorward_tests::doorward::{Settings, sum_of};
use doorward_tests::raw::RawSocket;
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, knock_udp, pings, reaches_ping, reaches_udp};
use doorward_tests::wait::{holds_for, wait_until};
use doorward_tests::witness::{Kind, Witness, carries};
use doorward_tests::world::{DATABASE, GATEWAY_INSIDE, PANEL, at};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(1500);
/// What forged packets carry, so that a capture can tell whether one came through.
const CANARY: &[u8] = b"canary-in-a-forged-packet";

#[test]
fn pitfall_03_idle_tcp_and_udp_die_with_their_grant_although_conntrack_and_tcp_loose_would_revive_them() {
    let shop = Shop::open(1, &Settings::default());
    let (world, laptop) = (&shop.world, &shop.world.laptops[0]);
    world.gateway.sysctl("net/netfilter/nf_conntrack_tcp_loose", "1");
    let listener = world.inside.tcp_listener(at(PANEL[0], 443));
    let udp = UdpServer::start(&world.inside, at(PANEL[0], 53));
    let _database = UdpServer::start(&world.inside, at(DATABASE[0], 53));
    shop.resource("panel", &[PANEL[0]], &["tcp/443", "udp/53"]);
    shop.resource("database", &[DATABASE[0]], &["udp/53"]);
    shop.staff("support@shop.example");
    let grant = shop.grant("support@shop.example", "panel", "1h");
    shop.grant("support@shop.example", "database", "1h");
    let client = shop.client(0, &shop.device("support@shop.example", "laptop"));
    // One idle connection, one idle UDP flow. Neither end hears of resets, so that both would go on.
    let mut person = laptop.tcp_connect(at(PANEL[0], 443), LONG).unwrap();
    let (mut panel, _) = listener.accept().unwrap();
    let socket = laptop.udp_socket(at("0.0.0.0", 0));
    socket.connect(at(PANEL[0], 53)).unwrap();
    socket.set_read_timeout(Some(LONG)).unwrap();
    let mut buffer = [0_u8; 64];
    socket.send(b"hello").unwrap();
    socket.recv(&mut buffer).unwrap();
    let seen_from = udp.last_from().expect("it was asked");
    let deaf = "table inet deaf { chain in { type filter hook input priority 0; tcp flags & rst == rst drop\n\
                icmp type destination-unreachable drop\n}\n}\n";
    laptop.nft(deaf);
    world.inside.nft(deaf);
    let conntrack = || {
        let listed = world.gateway.output("conntrack", &["-L", "-d", PANEL[0]]);
        String::from_utf8_lossy(&listed.stdout).lines().count()
    };
    assert!(conntrack() >= 2, "conntrack knows both flows");

    shop.doorward.json(&["grant", "revoke", &grant]);
    wait_until("conntrack to forget both", LONG, || conntrack() == 0);
    let (witness, received) = (Witness::inside(world), udp.received());
    let home = Witness::start(laptop, world.folder.path(), "witness-laptop", client.interface());
    // Both ends of both flows speak up, the connection in mid-stream, which `tcp_loose` would take for an open one.
    person.write_all(b"said by the person").unwrap();
    panel.write_all(b"said by the panel").unwrap();
    for _ in 0..5 {
        let _ = socket.send(b"asked again");
        udp.send(b"said unasked", seen_from);
    }
    assert!(reaches_udp(laptop, at(DATABASE[0], 53)), "the tunnel and the other grant are as they were");
    person.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    panel.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    assert!(person.read(&mut buffer).is_err() && panel.read(&mut buffer).is_err(), "neither heard the other");
    assert_eq!(udp.received(), received, "nor did the panel over UDP");
    let (panel_at, inside, home) = (PANEL[0].parse::<IpAddr>().unwrap(), witness.finish(), home.finish());
    // The gateway's own machine may say that nobody listens there; it is no word of the person's.
    let passed: Vec<_> = inside
        .iter()
        .filter(|packet| packet.to == panel_at && !packet.is_reset() && packet.kind != Kind::Icmp(3))
        .collect();
    assert!(passed.is_empty(), "packets to the panel: {passed:?}");
    assert!(!carries(&home, b"said by the panel") && !carries(&home, b"said unasked"), "packets to the laptop");
    assert!(home.iter().any(|packet| packet.to == panel_at), "the laptop did try");
}

/// A forged packet and what it is called.
type Forged = (&'static str, IpAddr, Vec<u8>);

fn udp_to_panel(port: u16) -> Vec<u8> {
    let len = u16::try_from(8 + CANARY.len()).unwrap();
    let mut udp = vec![];
    [4444, port, len, 0].iter().for_each(|word| udp.extend(word.to_be_bytes()));
    udp.extend(CANARY);
    udp
}

/// An IPv4 packet; `fragment` is the word of flags and offset, `options` comes after the header.
fn v4(own: &WgQuick, protocol: u8, fragment: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    let header_words = u8::try_from(5 + options.len() / 4).unwrap();
    let mut packet = vec![0x40 | header_words, 0, 0, 0, 0x77, 0x77];
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    for address in [own.address(false), PANEL[0].parse().unwrap()] {
        let IpAddr::V4(v4) = address else { panic!("an IPv4 address") };
        packet.extend(v4.octets());
    }
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// An IPv6 packet with whatever follows the fixed header.
fn v6(own: &WgQuick, next_header: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    packet.extend([next_header, 64]);
    for address in [own.address(true), PANEL[1].parse().unwrap()] {
        let IpAddr::V6(v6) = address else { panic!("an IPv6 address") };
        packet.extend(v6.octets());
    }
    packet.extend(payload);
    packet
}

/// UDP's checksum is not optional in IPv6 (RFC 8200, section 8.1): the sum over the pseudo header and the datagram.
fn v6_udp(own: &WgQuick, port: u16) -> Vec<u8> {
    let (IpAddr::V6(from), IpAddr::V6(to)) = (own.address(true), PANEL[1].parse().unwrap()) else {
        panic!("IPv6 addresses")
    };
    let builder = etherparse::PacketBuilder::ipv6(from.octets(), to.octets(), 64).udp(4444, port);
    let mut whole = Vec::new();
    builder.write(&mut whole, CANARY).unwrap();
    whole[40..].to_vec()
}

fn forged(own: &WgQuick) -> Vec<Forged> {
    let (four, six): (IpAddr, IpAddr) = (PANEL[0].parse().unwrap(), PANEL[1].parse().unwrap());
    let udp = udp_to_panel(53);
    let quoted = v4(own, 17, 0, &[], &udp);
    let icmp = [&[3_u8, 1, 0, 0, 0, 0, 0, 0][..], &quoted].concat();
    let before = |next: u8, header: &[u8]| [&[next][..], header, &v6_udp(own, 53)].concat();
    vec![
        ("a first IPv4 fragment", four, v4(own, 17, 0x2000, &[], &udp)),
        ("a later IPv4 fragment", four, v4(own, 17, 0x0010, &[], &udp)),
        ("a last IPv4 fragment at an offset that overlaps the ports", four, v4(own, 17, 0x0001, &[], &udp)),
        ("a loose source route", four, v4(own, 17, 0, &[131, 7, 4, 10, 0, 5, 20, 0], &udp)),
        ("a protocol that nobody granted (GRE)", four, v4(own, 47, 0, &[], &udp)),
        ("IPv6 in IPv4", four, v4(own, 41, 0, &[], &v6(own, 17, &v6_udp(own, 53)))),
        ("an ICMP error about nothing that was ever sent", four, v4(own, 1, 0, &[], &icmp)),
        ("an ICMP redirect", four, v4(own, 1, 0, &[], &[&[5_u8, 1, 0, 0][..], &[10, 0, 5, 20], &quoted].concat())),
        ("an IPv6 fragment header", six, v6(own, 44, &before(17, &[0, 0, 1, 0, 0, 0, 7]))),
        ("a later IPv6 fragment", six, v6(own, 44, &before(17, &[0, 0, 17, 0, 0, 0, 7]))),
        ("a hop-by-hop header", six, v6(own, 0, &before(17, &[0, 1, 4, 0, 0, 0, 0]))),
        ("a destination options header", six, v6(own, 60, &before(17, &[0, 1, 4, 0, 0, 0, 0]))),
        ("a routing header", six, v6(own, 43, &before(17, &[0, 0, 0, 0, 0, 0, 0]))),
        ("a router advertisement", six, v6(own, 58, &[&[134_u8, 0, 0, 0][..], CANARY].concat())),
        ("a port that nobody granted", four, v4(own, 17, 0, &[], &udp_to_panel(54))),
    ]
}

#[test]
fn pitfall_13_fragments_extension_headers_and_icmp_tricks_do_not_pass_in_either_family() {
    let shop = Shop::open(1, &Settings::default());
    let (world, laptop) = (&shop.world, &shop.world.laptops[0]);
    let _udp: Vec<_> = PANEL.iter().map(|host| UdpServer::start(&world.inside, at(host, 53))).collect();
    shop.resource("panel", &PANEL, &["udp/53", "tcp/443", "udp/123"]);
    let config = shop.person("support@shop.example", "panel");
    let client = shop.client(0, &config);
    PANEL.iter().for_each(|host| assert!(reaches_udp(laptop, at(host, 53))));
    // The kernel must not repair on the way what is forged: no connection tracking in the laptop.
    let (four, six) = (RawSocket::open(laptop, false), RawSocket::open(laptop, true));
    let send = |packet: &[u8], to: IpAddr| if to.is_ipv4() { four.send(packet, to) } else { six.send(packet, to) };

    // First that the same tools get through with what is granted, so that silence means something.
    let witness = Witness::inside(world);
    send(&v4(&config, 17, 0, &[], &udp_to_panel(53)), PANEL[0].parse().unwrap()).unwrap();
    send(&v6(&config, 17, &v6_udp(&config, 53)), PANEL[1].parse().unwrap()).unwrap();
    wait_until("honest packets to arrive in both families", LONG, || {
        let seen = witness.seen();
        [true, false].iter().all(|v4| {
            seen.iter().any(|packet| packet.to.is_ipv4() == *v4 && carries(std::slice::from_ref(packet), CANARY))
        })
    });
    drop(witness.finish());

    let witness = Witness::start(&world.inside, world.folder.path(), "witness-forged", "lan0");
    let home = Witness::start(laptop, world.folder.path(), "witness-laptop", client.interface());
    let forged = forged(&config);
    let denied = || sum_of(&shop.doorward.metrics(&world.gateway), &["denied"]);
    for (what, to, packet) in &forged {
        let before = denied();
        // Its own denial is waited for, so that each is known to have come to the gateway.
        wait_until(what, LONG, || {
            send(packet, *to).unwrap_or_else(|error| panic!("{what}: {error}"));
            denied() > before
        });
    }
    PANEL.iter().for_each(|host| assert!(reaches_udp(laptop, at(host, 53)), "the tunnel still works"));
    let seen = witness.finish();
    let through: Vec<_> = seen.iter().filter(|packet| carries(std::slice::from_ref(packet), CANARY)).collect();
    assert!(through.is_empty(), "forged packets on the protected side: {through:?}");
    let fragments = seen.iter().filter(|packet| matches!(packet.kind, Kind::Other)).count();
    assert_eq!(fragments, 0, "nor anything without ports");
    assert!(home.finish().len() >= forged.len(), "the laptop sent them all");

    // An ICMP error about a live flow does pass: nobody listens at 123, and the person is told.
    for host in PANEL {
        let socket = laptop.udp_socket(at(if host.contains(':') { "::" } else { "0.0.0.0" }, 0));
        socket.connect(at(host, 123)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        wait_until("the ICMP error of the panel", LONG, || {
            let _ = socket.send(b"anybody?");
            matches!(socket.recv(&mut [0; 8]), Err(error) if error.kind() == std::io::ErrorKind::ConnectionRefused)
        });
    }
    assert_eq!(knock_tcp(laptop, at(PANEL[1], 443), SHORT), Attempt::Refused, "a reset is passed on as well");
}

/// As much as a careless owner can grant: networks around loopback, link-local addresses, metadata services and the
/// gateway's own addresses. What overlaps the tunnel network is refused at once.
const EVERYTHING: [&str; 5] = ["10.0.0.0/8", "120.0.0.0/5", "168.0.0.0/6", "192.0.0.0/3", "fd00::/16"];

/// The gateway's own addresses inside the tunnel.
const TUNNEL_GATEWAY: [&str; 2] = ["100.80.0.1", "fd64:6f6f:7277::1"];

#[test]
fn pitfall_14_even_who_was_granted_everything_reaches_no_gateway_no_metadata_and_no_other_device() {
    let shop = Shop::open(2, &Settings::default());
    let world = &shop.world;
    let [laptop, neighbour] = &world.laptops[..] else { panic!("two laptops") };
    // The cloud's metadata services, where a gateway in the cloud would find them.
    world.inside.batch("addr add 169.254.169.254/32 dev lan0\naddr add fd00:ec2::254/128 dev lan0 nodad\n");
    world.gateway.batch("route add 169.254.169.254/32 dev inside0\nroute add fd00:ec2::254/128 dev inside0\n");
    shop.resource("everything", &EVERYTHING, &["udp/1-65535", "tcp/1-65535", "icmp"]);
    let mut config = shop.person("support@shop.example", "everything");
    let other = shop.person("other@shop.example", "everything");
    config.allowed_ips = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let _clients = [shop.client(0, &config), shop.client(1, &other)];
    // Everything listens on every address, so that silence is the gateway's doing.
    let any = |machine| UdpServer::start(machine, at("::", 5353));
    let (_inside, gateway, neighbours) = (any(&world.inside), any(&world.gateway), any(neighbour));
    let web = TcpServer::start(&world.gateway, at("0.0.0.0", 8080), Manner::Echo);
    let metadata =
        [at("169.254.169.254", 5354), at("fd00:ec2::254", 5354)].map(|to| UdpServer::start(&world.inside, to));
    let panel = UdpServer::start(&world.inside, at(PANEL[0], 5355));
    assert!(reaches_udp(laptop, at(PANEL[0], 5355)), "what the grant is about works");
    assert!(pings(&world.gateway, "169.254.169.254") && pings(&world.gateway, "fd00:ec2::254"), "metadata is there");

    let (four, six) = (other.address(false).to_string(), other.address(true).to_string());
    let witness = Witness::inside(world);
    for port in [5353, 5354, 8443, 9586, 51820, 53, 22] {
        for own in ["100.80.0.1", "fd64:6f6f:7277::1", GATEWAY_INSIDE, "fd00:5::1", "169.254.169.254", "fd00:ec2::254"]
        {
            // At its tunnel addresses the gateway answers resource names to connected devices, and nothing else.
            let resolves = port == 53 && TUNNEL_GATEWAY.contains(&own);
            assert!(resolves || !sends_and_hears(laptop, own, port), "{own} udp/{port}");
        }
    }
    for (own, port) in [("100.80.0.1", 8443), (GATEWAY_INSIDE, 8080), ("100.80.0.1", 8080), ("100.80.0.1", 9586)] {
        assert_ne!(knock_tcp(laptop, at(own, port), SHORT), Attempt::Opened, "{own} tcp/{port}");
    }
    for host in [four.as_str(), six.as_str(), "100.80.0.1", "169.254.169.254", "fd00:ec2::254", GATEWAY_INSIDE] {
        assert!(!pings(laptop, host), "ping {host}");
    }
    assert!(!knock_udp(laptop, at(&four, 5353)) && !knock_udp(laptop, at(&six, 5353)), "device to device");
    forge(laptop, &config, &["127.0.0.1", "0.0.0.0", "224.0.0.251", "255.255.255.255", "240.0.0.1"]);
    holds_for("nobody heard anything", Duration::from_secs(1), || {
        [&gateway, &neighbours].into_iter().chain(&metadata).all(|server| server.received() == 0) && web.accepted() == 0
    });
    assert!(!carries(&witness.finish(), CANARY), "nothing forged came out on the other side");

    // Named as itself, a metadata service is a resource like any other.
    shop.resource("metadata", &["169.254.169.254"], &["udp/5354"]);
    shop.grant("support@shop.example", "metadata", "1h");
    assert!(reaches_udp(laptop, at("169.254.169.254", 5354)), "listed, it is reached");
    assert!(reaches_ping(laptop, PANEL[0]) && panel.received() > 0);
}

/// Sends one datagram and waits a moment for an answer.
fn sends_and_hears(from: &doorward_tests::netns::Namespace, to: &str, port: u16) -> bool {
    let socket = from.udp_socket(at(if to.contains(':') { "::" } else { "0.0.0.0" }, 0));
    socket.set_read_timeout(Some(Duration::from_millis(40))).unwrap();
    socket.send_to(CANARY, at(to, port)).is_ok() && socket.recv_from(&mut [0; 64]).is_ok()
}

/// Sends datagrams to where no honest stack would route them, into the tunnel all the same.
fn forge(laptop: &doorward_tests::netns::Namespace, own: &WgQuick, destinations: &[&str]) {
    let socket = RawSocket::open(laptop, false);
    for to in destinations {
        let mut packet = v4(own, 17, 0, &[], &udp_to_panel(5353));
        let IpAddr::V4(address) = to.parse().unwrap() else { panic!("an IPv4 address") };
        packet[16..20].copy_from_slice(&address.octets());
        // By way of the panel's route: the header says something else.
        socket.send(&packet, PANEL[0].parse().unwrap()).unwrap();
    }
}

#[test]
fn pitfall_15_no_config_names_a_resolver_and_none_answers_through_the_tunnel() {
    let shop = Shop::open(1, &Settings { gateway: r#"listen = [":51820", ":53"]"#, ..Settings::default() });
    let (world, laptop) = (&shop.world, &shop.world.laptops[0]);
    let resolvers =
        [UdpServer::start(&world.office, at("192.0.2.9", 53)), UdpServer::start(&world.inside, at(DATABASE[0], 53))];
    let panel = UdpServer::start(&world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let mut config = shop.person("support@shop.example", "panel");
    assert!(!config.text.contains("DNS"), "official apps would send it every name:\n{}", config.text);
    config.allowed_ips = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
    let _client = shop.client(0, &config);
    assert!(reaches_udp(laptop, at(PANEL[0], 53)), "a resolver that was granted is a resource");
    let asked = panel.received();
    for to in ["192.0.2.9", DATABASE[0], "100.80.0.1", GATEWAY_INSIDE, "fd64:6f6f:7277::1"] {
        assert!(!knock_udp(laptop, at(to, 53)), "{to} answered through the tunnel");
    }
    assert_eq!(resolvers.iter().map(UdpServer::received).sum::<usize>(), 0, "no name leaves through the gateway");
    assert_eq!(panel.received(), asked);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    chat.flows(LONG);
}
