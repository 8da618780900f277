//! The cases of WireGuard's own namespace test (`tools/testing/selftests/wireguard/netns.sh` in Linux) that apply to a
//! gateway: families inside and outside, exact byte counters, packet sizes, roaming, overlapping addresses, changed keys,
//! low-order keys, many allowed IPs.

use std::time::Duration;

use doorward_tests::client::{Client, WgQuick};
use doorward_tests::doorward::{Settings, sum_of};
use doorward_tests::dump::{only_peer, peers};
use doorward_tests::file::{self, FileServer};
use doorward_tests::netns::Namespace;
use doorward_tests::service::{End, Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, knock_udp, reaches_ping, reaches_udp};
use doorward_tests::wait::{comes_true, wait_until};
use doorward_tests::world::{CAFE_PUBLIC, DATABASE, ENDPOINT_V4, ENDPOINT_V6, PANEL, at};

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(1500);
/// The café's second public address.
const ELSEWHERE: &str = "198.51.100.8";

fn shop(laptops: u8) -> (Shop, WgQuick) {
    let shop = Shop::open(laptops, &Settings::default());
    shop.resource("panel", &PANEL, &["tcp/443-444", "udp/53", "icmp"]);
    let config = shop.person("support@shop.example", "panel");
    (shop, config)
}

/// A client that speaks only when it is spoken through: no keepalives between two looks at the counters.
fn quiet(config: &WgQuick, endpoint: &str) -> WgQuick {
    WgQuick { keepalive: 0, endpoint: endpoint.to_owned(), ..config.clone() }
}

#[test]
fn ping_tcp_and_udp_pass_over_every_pair_of_families_and_both_ends_count_the_same_bytes() {
    const LEN: usize = 512 * 1024;
    let (shop, config) = shop(1);
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    // Slowly, because a client's socket buffer that overflows is a loss like any other.
    let _files: Vec<_> = PANEL.iter().map(|host| FileServer::paced(inside, at(host, 443), LEN, LEN)).collect();
    let _echo: Vec<_> = PANEL.iter().map(|host| UdpServer::start(inside, at(host, 53))).collect();
    for endpoint in [ENDPOINT_V4, ENDPOINT_V6] {
        // A machine that is too busy to read its socket loses datagrams, and its kernel says so: then it counts for nothing.
        let counted = (0..5).find_map(|_| {
            let overflows = socket_overflows(&shop);
            let before = only_peer(&shop.world.gateway, &shop.doorward.interface);
            let client = shop.client(0, &quiet(&config, endpoint));
            for host in PANEL {
                assert!(reaches_ping(laptop, host), "ping {host} through {endpoint}");
                assert!(reaches_udp(laptop, at(host, 53)), "udp {host} through {endpoint}");
                file::download(laptop, at(host, 443), LEN, LONG).unwrap();
            }
            let (mut here, mut there) = ((0, 0), (0, 0));
            // The gateway counts a device since its own start, wireguard-go since the client's.
            let same = comes_true(Duration::from_secs(5), || {
                let gateway = only_peer(&shop.world.gateway, &shop.doorward.interface);
                let own = only_peer(laptop, client.interface());
                here = (gateway.received - before.received, gateway.sent - before.sent);
                there = (own.sent, own.received);
                here == there
            });
            client.stop();
            let lost = socket_overflows(&shop) - overflows;
            println!("{endpoint}: the gateway counted {here:?} bytes (up, down), the client {there:?}; {lost} lost");
            assert!(same || lost > 0, "{endpoint}: nothing was lost, and the counts differ: {here:?}, {there:?}");
            same.then_some(here)
        });
        let (up, down) = counted.expect("one of five times nothing is lost");
        assert!(up > 0 && down > 2 * LEN as u64, "two files came down: {down}");
    }
}

/// Datagrams that either end's kernel threw away because a socket was not read in time.
fn socket_overflows(shop: &Shop) -> u64 {
    let of = |machine: &Namespace| {
        let read =
            |name: &str| machine.run(|| std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap());
        let (four, six) = (read("snmp"), read("snmp6"));
        let mut udp = four.lines().filter_map(|line| line.strip_prefix("Udp: ")).map(str::split_whitespace);
        let (names, numbers) = (udp.next().unwrap(), udp.next().unwrap());
        let four = names.zip(numbers).find(|(name, _)| *name == "RcvbufErrors").unwrap().1;
        let six = six.lines().find_map(|line| line.strip_prefix("Udp6RcvbufErrors")).unwrap().trim();
        four.parse::<u64>().unwrap() + six.parse::<u64>().unwrap()
    };
    of(&shop.world.laptops[0]) + of(&shop.world.gateway)
}

#[test]
fn small_and_jumbo_packets_pass() {
    const LEN: usize = 1024 * 1024;
    let (shop, config) = shop(1);
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let _file = FileServer::start(inside, at(PANEL[0], 443), LEN);
    let udp = UdpServer::start(inside, at(PANEL[0], 53));
    let sized = |mtu: u16| {
        let addresses = config.addresses.iter().filter(|address| mtu >= 1280 || !address.contains(':'));
        let allowed = config.allowed_ips.iter().filter(|prefix| mtu >= 1280 || !prefix.contains(':'));
        let (addresses, allowed_ips) = (addresses.cloned().collect(), allowed.cloned().collect());
        WgQuick { mtu, addresses, allowed_ips, ..config.clone() }
    };
    // Below IPv6's minimum, the configs' own, and what fits 1500 bytes exactly over IPv6.
    for (mtu, ping) in [(576, "548"), (1280, "1252"), (1420, "1392")] {
        let client = shop.client(0, &sized(mtu));
        assert!(reaches_ping(laptop, PANEL[0]), "MTU {mtu}");
        let whole = laptop.output("ping", &["-n", "-M", "do", "-c", "1", "-s", ping, "-w", "10", PANEL[0]]);
        assert!(whole.status.success(), "a packet of the whole MTU of {mtu}");
        file::download(laptop, at(PANEL[0], 443), LEN, LONG).unwrap_or_else(|error| panic!("MTU {mtu}: {error}"));
        client.stop();
    }

    let links = [(laptop, "wifi0"), (&shop.world.cafe, "table1"), (&shop.world.cafe, "uplink0")];
    let more = [(&shop.world.internet, "cafe0"), (&shop.world.internet, "gateway0"), (&shop.world.gateway, "wan0")];
    let last = [(&shop.world.gateway, "inside0"), (inside, "lan0")];
    for (machine, link) in links.into_iter().chain(more).chain(last) {
        machine.batch(&format!("link set {link} mtu 9000\n"));
    }
    let _client = shop.client(0, &sized(8920));
    assert!(reaches_ping(laptop, PANEL[0]));
    file::download(laptop, at(PANEL[0], 443), LEN, LONG).unwrap();
    let before = udp.received();
    let socket = laptop.udp_socket(at("0.0.0.0", 0));
    wait_until("a datagram of 8,000 bytes at the panel", LONG, || {
        socket.send_to(&[7; 8_000], at(PANEL[0], 53)).unwrap();
        udp.received() > before
    });
}

#[test]
fn a_device_roams_in_port_address_and_family_with_its_connection_open() {
    let (shop, config) = shop(1);
    let (laptop, machine, interface) = (&shop.world.laptops[0], &shop.world.gateway, &shop.doorward.interface);
    let _echo = TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Echo);
    let client = shop.client(0, &config);
    let chat = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    chat.flows(LONG);
    let endpoint = || only_peer(machine, interface).endpoint.expect("a peer that was heard has an endpoint");
    let first = endpoint();
    assert_eq!(first.ip().to_string(), CAFE_PUBLIC);

    let _ = laptop.stdout("wg", &["set", client.interface(), "listen-port", "40404"]);
    wait_until("the gateway to follow to another port", LONG, || endpoint().port() != first.port());
    chat.flows(LONG);

    shop.world.cafe.batch(&format!("addr add {ELSEWHERE}/24 dev uplink0\n"));
    shop.world.cafe.nft(&format!(
        "table ip move {{\n chain out {{\n type nat hook postrouting priority srcnat - 1;\n \
         ip saddr 172.16.1.0/24 oifname \"uplink0\" snat to {ELSEWHERE}\n }}\n}}\n"
    ));
    let _ = shop.world.cafe.output("conntrack", &["-F"]);
    wait_until("the gateway to follow to another address", LONG, || endpoint().ip().to_string() == ELSEWHERE);
    chat.flows(LONG);

    for (dial, is_v6) in [(ENDPOINT_V6, true), (ENDPOINT_V4, false)] {
        let peer = ["set", client.interface(), "peer", &config.gateway_key, "endpoint", dial];
        wait_until("the gateway to follow to the other family", LONG, || {
            // Said each time: an answer that was still under way over the family before makes the
            // client, which roams as well, dial that one again.
            let _ = laptop.stdout("wg", &peer);
            // The connection may be waiting to send again; any packet shows where the device is.
            let _ = knock_udp(laptop, at(PANEL[0], 53));
            endpoint().is_ipv6() == is_v6
        });
        chat.flows(LONG);
    }
    assert!(chat.end().is_none(), "one connection through all of it");
}

#[test]
fn two_devices_that_claim_every_address_get_their_own_answers_and_nobody_elses() {
    let (shop, one) = shop(2);
    let two = shop.person("other@shop.example", "panel");
    let [left, right] = &shop.world.laptops[..] else { panic!("two laptops") };
    let panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let _echo = TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Echo);
    let everything = |config: &WgQuick| {
        let allowed_ips = vec!["0.0.0.0/0".to_owned(), "::/0".to_owned()];
        WgQuick { allowed_ips, ..config.clone() }
    };
    let mut thief = everything(&two);
    let (_one, other) = (shop.client(0, &everything(&one)), shop.client(1, &thief));
    assert!(
        reaches_udp(left, at(PANEL[0], 53)) && reaches_udp(right, at(PANEL[0], 53)),
        "each reaches what is granted"
    );
    let chat = Traffic::tcp_chat(left, at(PANEL[0], 443));
    chat.flows(LONG);
    let allowed = |device: &WgQuick| {
        let mut own = vec![format!("{}/32", device.address(false)), format!("{}/128", device.address(true))];
        own.sort();
        own
    };
    let mut listed: Vec<_> = peers(&shop.world.gateway, &shop.doorward.interface)
        .into_iter()
        .map(|mut peer| {
            peer.allowed_ips.sort();
            peer.allowed_ips
        })
        .collect();
    listed.sort();
    let mut own = [allowed(&one), allowed(&two)];
    own.sort();
    assert_eq!(listed, own, "whatever a client claims, the gateway gives it its own two addresses");

    // The second takes the first one's addresses, in both families, while the first is at work.
    thief.addresses.clone_from(&one.addresses);
    other.route(right, &thief);
    let heard = panel.received();
    for host in PANEL {
        assert!(!knock_udp(right, at(host, 53)), "{host}: no answer from somebody else's address");
    }
    assert_eq!(panel.received(), heard, "and the panel never heard of it");
    chat.flows(LONG);
    let spoofed = sum_of(&shop.doorward.metrics(&shop.world.gateway), &["denied", "spoofed_source"]);
    assert!(spoofed >= 8.0, "each of them is counted for what it is: {spoofed}");
    thief.addresses.clone_from(&two.addresses);
    other.route(right, &thief);
    assert!(reaches_udp(right, at(PANEL[0], 53)), "back at its own addresses it works");
}

#[test]
fn a_changed_key_takes_the_place_of_the_old_one_which_never_comes_back() {
    let (shop, old) = shop(1);
    let laptop = &shop.world.laptops[0];
    let _echo = TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Echo);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let client: Client = shop.client(0, &old);
    let chat = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    chat.flows(LONG);
    let devices = shop.doorward.json(&["device", "list"]);
    shop.doorward.run(&["device", "revoke", devices[0]["id"].as_str().unwrap()]);
    assert!(matches!(chat.ends(LONG).0, End::Cut(_)), "the old key's connection ends with it");

    let new = shop.device("support@shop.example", "laptop");
    assert_ne!(new.address(false), old.address(false), "a tunnel address rests before anybody has it again");
    client.configure(shop.world.folder.path(), &new);
    client.route(laptop, &new);
    assert!(reaches_udp(laptop, at(PANEL[0], 53)), "the new key works in the same client");
    client.configure(shop.world.folder.path(), &old);
    client.route(laptop, &old);
    assert!(!knock_udp(laptop, at(PANEL[0], 53)), "the old one does not");
    assert_eq!(client.latest_handshake(), 0, "and is not answered");
    client.configure(shop.world.folder.path(), &new);
    client.route(laptop, &new);
    assert!(reaches_udp(laptop, at(PANEL[0], 53)), "the new one goes on working");
}

/// The points of order 1, 2, 4 and 8 and their other spellings: with them a handshake's secret is known to everybody.
const LOW_ORDER: [&str; 7] = [
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "4Ot6fDtBuK4WVuP68Z/EatoJjeucMrH9hmIFFl9JuAA=",
    "X5yVvKNQjCSx0LFVnIPvWwREXMRYHI6G2CJO3dCfEVc=",
    "7P///////////////////////////////////////38=",
    "7f///////////////////////////////////////38=",
    "7v///////////////////////////////////////38=",
];

#[test]
fn pitfall_11_low_order_keys_are_refused_at_enrolment_by_command_and_over_the_api() {
    let shop = Shop::open(0, &Settings::default());
    shop.staff("support@shop.example");
    for key in LOW_ORDER {
        let said = shop.doorward.says(&["device", "add", "support@shop.example", "laptop", "--public-key", key]);
        said.refuses(2, &["key"]);
        let body = format!(r#"{{"email":"support@shop.example","name":"laptop","public_key":"{key}"}}"#);
        let answer = shop.doorward.request("POST", "/api/v1/devices", Some(&body));
        assert!((400..500).contains(&answer.status), "{key}: {} {}", answer.status, answer.body);
    }
    assert_eq!(shop.doorward.json(&["device", "list"]).as_array().map(Vec::len), Some(0), "nothing was enrolled");
}

#[test]
fn hundreds_of_allowed_prefixes_lead_where_they_say_and_not_between() {
    const RESOURCES: usize = 8;
    const EACH: usize = 64;
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    // Every address of 10.77.0.0/16 and 10.78.0.0/16 is the panel's machine.
    inside.batch("route add local 10.77.0.0/16 dev lo\nroute add local 10.78.0.0/16 dev lo\n");
    shop.world.gateway.batch("route add 10.77.0.0/16 via 10.0.5.10\nroute add 10.78.0.0/16 via 10.0.5.10\n");
    let prefix = |number: usize| format!("10.{}.{}.0/25", 77 + number / 256, number % 256);
    shop.staff("support@shop.example");
    for resource in 0..RESOURCES {
        let targets: Vec<String> = (0..EACH).map(|place| prefix(resource * EACH + place)).collect();
        let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
        let name = format!("branch{resource}");
        shop.resource(&name, &targets, &["tcp/443"]);
        shop.grant("support@shop.example", &name, "1h");
    }
    let mut config = shop.device("support@shop.example", "laptop");
    let listed = config.allowed_ips.iter().filter(|prefix| prefix.ends_with("/25")).count();
    assert_eq!(listed, RESOURCES * EACH, "the config routes every one of them");
    config.allowed_ips.push("10.76.0.0/14".to_owned());
    let _server = TcpServer::start(inside, at("0.0.0.0", 443), Manner::Echo);
    let _client = shop.client(0, &config);
    assert_eq!(knock_tcp(laptop, at("10.77.0.1", 443), LONG), Attempt::Opened);
    for number in (0..RESOURCES * EACH).step_by(37).chain([RESOURCES * EACH - 1]) {
        let (within, between) = (prefix(number).replace("0/25", "127"), prefix(number).replace("0/25", "128"));
        assert_eq!(knock_tcp(laptop, at(&within, 443), LONG), Attempt::Opened, "{within} is granted");
        assert_ne!(knock_tcp(laptop, at(&between, 443), SHORT), Attempt::Opened, "{between} is not");
    }
    assert_ne!(knock_tcp(laptop, at(DATABASE[0], 443), SHORT), Attempt::Opened, "nor is the rest");
}
