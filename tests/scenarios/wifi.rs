//! Public Wi-Fi as people meet it: loss, delay, portals, shut ports, small packets, NAT that forgets, laptops that sleep.
//!
//! ```text
//!   laptop ── café ─ relay (tests/src/relay.rs) ═══ internet ═══ gateway ── panel
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use doorward_tests::client::{Client, WgQuick};
use doorward_tests::doorward::Settings;
use doorward_tests::file::{self, FileServer};
use doorward_tests::relay::{Relay, Weather};
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Traffic, knock_udp, pings, reaches_ping, reaches_udp};
use doorward_tests::wait::wait_until;
use doorward_tests::witness::{Kind, Witness};
use doorward_tests::world::{ENDPOINT_V6, PANEL, at};

const LONG: Duration = Duration::from_secs(20);
/// What is dialled over a path of 1280 bytes.
const DIALLED: [&str; 2] = ["203.0.113.2:51820", ENDPOINT_V6];
/// Where a hotel lets UDP through, if anywhere.
const MANY_PORTS: &str = r#"listen = [":51820", ":443", ":53"]"#;

fn shop(gateway: &str) -> (Shop, WgQuick) {
    let shop = Shop::open(1, &Settings { gateway, ..Settings::default() });
    shop.resource("panel", &PANEL, &["tcp/443-445", "udp/53", "icmp"]);
    let config = shop.person("support@shop.example", "panel");
    (shop, config)
}

#[test]
fn a_download_completes_through_loss_delay_overtaking_doubles_and_cut_datagrams() {
    const LEN: usize = 4 * 1024 * 1024;
    let (shop, config) = shop("");
    let relay = Relay::in_cafe(&shop.world, 0x0d00_4a2d);
    relay.weather(Weather::bad());
    let _files: Vec<_> = PANEL.iter().map(|host| FileServer::start(&shop.world.inside, at(host, 443), LEN)).collect();
    let laptop = &shop.world.laptops[0];
    let _client = shop.client(0, &config);
    // Of both families: a laptop that is busy takes a moment to use a tunnel's IPv6 address as a source.
    assert!(PANEL.iter().all(|host| reaches_ping(laptop, host)));
    // Both families side by side: two downloads that share one bad path.
    let [four, six] = std::thread::scope(|scope| {
        PANEL
            .map(|host| scope.spawn(move || file::download(laptop, at(host, 443), LEN, Duration::from_secs(120))))
            .map(|download| download.join().unwrap())
    });
    let counts = relay.counts();
    println!("4 MiB each through {:?}: {four:?} over IPv4, {six:?} over IPv6; {counts:?}", Weather::bad());
    assert!(four.is_ok() && six.is_ok(), "{four:?} {six:?} {counts:?}");
    let happened = [counts.lost, counts.doubled, counts.reordered, counts.cut];
    assert!(happened.iter().all(|count| *count > 0), "the weather was not that bad: {counts:?}");
    assert_eq!((counts.too_long, counts.overflowed), (0, 0), "the config's MTU fits a path of 1400: {counts:?}");
}

#[test]
fn the_relay_carries_what_a_good_network_does() {
    const LEN: usize = 24 * 1024 * 1024;
    let (shop, config) = shop("");
    let relay = Relay::in_cafe(&shop.world, 1);
    let _file = FileServer::start(&shop.world.inside, at(PANEL[0], 443), LEN);
    let _client = shop.client(0, &config);
    assert!(reaches_ping(&shop.world.laptops[0], PANEL[0]));
    let took = file::download(&shop.world.laptops[0], at(PANEL[0], 443), LEN, LONG).unwrap();
    println!("24 MiB through the relay in {took:?}");
    assert!(took < Duration::from_secs(10), "the relay itself is too slow to stand for a network: {took:?}");
    assert!(relay.counts().carried > 20_000, "it went through the relay: {:?}", relay.counts());
}

#[test]
fn a_captive_portal_eats_the_first_while_and_the_client_recovers_without_hands() {
    let (shop, config) = shop("");
    let relay = Relay::in_cafe(&shop.world, 2);
    relay.portal(true);
    let panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let laptop = &shop.world.laptops[0];
    let client = shop.client(0, &config);
    // Two handshake attempts of the client (one each 5 s, whitepaper section 6.4) vanish, with people's questions.
    wait_until("two attempts to be eaten", Duration::from_secs(30), || {
        let _ = pings(laptop, PANEL[0]);
        relay.counts().eaten >= 2
    });
    assert_eq!((panel.received(), client.latest_handshake()), (0, 0));
    relay.portal(false);
    let took = wait_until("the tunnel to come up by itself", LONG, || knock_udp(laptop, at(PANEL[0], 53)));
    println!("the portal opened, and the panel answered {took:?} later");

    // The terms run out in the middle of somebody's work: an open connection outlives that too.
    let _chat = TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Echo);
    let chat = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    chat.flows(LONG);
    let eaten = relay.counts().eaten;
    relay.portal(true);
    chat.stalls(Duration::from_secs(3), LONG);
    assert!(relay.counts().eaten > eaten);
    relay.portal(false);
    chat.flows(Duration::from_secs(30));
}

#[test]
fn pitfall_16_where_udp_is_shut_but_for_one_port_the_gateway_answers_there() {
    let (shop, config) = shop(MANY_PORTS);
    let relay = Relay::in_cafe(&shop.world, 3);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let laptop = &shop.world.laptops[0];
    for (open, address) in [(443, "203.0.113.2"), (53, "203.0.113.2"), (443, "[2001:db8:203::2]")] {
        let shut: Vec<u16> = [51820, 443, 53].into_iter().filter(|port| *port != open).collect();
        relay.block(&shut);
        let mut there = config.clone();
        there.endpoint = format!("{address}:{open}");
        let client = shop.client(0, &there);
        assert!(reaches_udp(laptop, at(PANEL[0], 53)), "through {}", there.endpoint);
        assert!(client.latest_handshake() > 0);
        client.stop();
    }
    relay.block(&[51820, 443, 53]);
    let client = shop.client(0, &config);
    assert!(!knock_udp(laptop, at(PANEL[0], 53)), "with every port shut nothing passes: the relay is the way");
    client.stop();
}

#[test]
fn pitfall_16_the_gateway_answers_from_the_address_and_port_it_was_asked_at() {
    let (shop, config) = shop(MANY_PORTS);
    shop.world.gateway.batch("addr add 203.0.113.3/24 dev wan0\naddr add 2001:db8:203::3/64 dev wan0 nodad\n");
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let laptop = &shop.world.laptops[0];
    let asked = ["203.0.113.3:443", "[2001:db8:203::3]:53", "203.0.113.2:53", "[2001:db8:203::2]:443"];
    for (number, endpoint) in asked.into_iter().enumerate() {
        let title = format!("witness-internet-{number}");
        let witness = Witness::start(&shop.world.internet, shop.world.folder.path(), &title, "gateway0");
        let mut there = config.clone();
        endpoint.clone_into(&mut there.endpoint);
        let client = shop.client(0, &there);
        let reached = reaches_udp(laptop, at(PANEL[0], 53));
        client.stop();
        let to: std::net::SocketAddr = endpoint.parse().unwrap();
        let seen = witness.finish();
        let answers: Vec<_> = seen
            .iter()
            .filter_map(|packet| match packet.kind {
                Kind::Udp { from, .. } if !packet.to_port(to.port()) => Some((packet.from, from)),
                Kind::Udp { .. } | Kind::Tcp { .. } | Kind::Icmp(_) | Kind::Other => None,
            })
            .collect();
        assert!(!answers.is_empty(), "{endpoint}: nobody answered");
        assert!(answers.iter().all(|from| *from == (to.ip(), to.port())), "asked {to}, answered {answers:?}");
        assert!(reached, "{endpoint}: an answer from where it was asked reaches the laptop");
    }
}

#[test]
fn a_nat_that_forgets_after_seconds_loses_nothing_where_the_keepalive_is_shorter() {
    let (shop, mut config) = shop("");
    let relay = Relay::in_cafe(&shop.world, 4);
    relay.forget_after(Duration::from_secs(3));
    let listener = shop.world.inside.tcp_listener(at(PANEL[0], 443));
    let laptop = &shop.world.laptops[0];
    for (keepalive, arrives) in [(1, true), (0, false)] {
        config.keepalive = keepalive;
        let client = shop.client(0, &config);
        let mut person = open(laptop, &listener);
        let before = relay.counts().mappings;
        // Longer than the NAT remembers; nobody says anything. Waiting is what is tested here.
        std::thread::sleep(Duration::from_secs(5));
        person.1.write_all(b"news from the panel").unwrap();
        person.0.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        let came = person.0.read(&mut [0; 64]).is_ok_and(|len| len > 0);
        assert_eq!(came, arrives, "news after a silence, keepalive {keepalive}");
        // As soon as the laptop speaks, the gateway follows it to its new port, and the connection is whole.
        person.0.write_all(b"hello").unwrap();
        person.0.set_read_timeout(Some(LONG)).unwrap();
        if !came {
            assert!(person.0.read(&mut [0; 64]).is_ok_and(|len| len > 0), "the news comes late, but it comes");
            assert!(relay.counts().mappings > before, "through another port");
        }
        client.stop();
    }
}

/// Opens a connection and returns both ends.
fn open(laptop: &doorward_tests::netns::Namespace, listener: &std::net::TcpListener) -> (TcpStream, TcpStream) {
    let person = laptop.tcp_connect(listener.local_addr().unwrap(), LONG).unwrap();
    (person, listener.accept().unwrap().0)
}

#[test]
fn a_path_of_1280_bytes_carries_both_families() {
    const LEN: usize = 512 * 1024;
    let (shop, config) = shop("");
    // The café's uplink is a link of 1280 bytes: routers there say so or cut IPv4 packets, as they do.
    shop.world.cafe.batch("link set uplink0 mtu 1280\n");
    shop.world.internet.batch("link set cafe0 mtu 1280\n");
    let _files: Vec<_> = PANEL.iter().map(|host| FileServer::start(&shop.world.inside, at(host, 443), LEN)).collect();
    let _echo = TcpServer::start(&shop.world.inside, at(PANEL[0], 444), Manner::Echo);
    let laptop = &shop.world.laptops[0];
    for endpoint in DIALLED {
        let mut there = config.clone();
        endpoint.clone_into(&mut there.endpoint);
        let client: Client = shop.client(0, &there);
        for host in PANEL {
            let took = file::download(laptop, at(host, 443), LEN, Duration::from_secs(40));
            println!("{host} through {endpoint} at 1280 bytes: {took:?}");
            assert!(took.is_ok(), "{host} through {endpoint}: {took:?}");
        }
        upload(laptop, &vec![7_u8; LEN]);
        client.stop();
    }
}

/// Sends bytes to the echo and takes them back.
fn upload(laptop: &doorward_tests::netns::Namespace, bytes: &[u8]) {
    let mut stream = laptop.tcp_connect(at(PANEL[0], 444), LONG).unwrap();
    let mut back = stream.try_clone().unwrap();
    back.set_read_timeout(Some(Duration::from_secs(40))).unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || stream.write_all(bytes).unwrap());
        let mut got = vec![0_u8; bytes.len()];
        back.read_exact(&mut got).unwrap();
        assert_eq!(got, bytes);
    });
}
