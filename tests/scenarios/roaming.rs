//! Networks as people meet them: addresses that change, datagrams that get lost, and somebody who listens.

use std::time::Duration;

use doorward_tests::client::WgQuick;
use doorward_tests::doorward::Settings;
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::{Shop, micros};
use doorward_tests::traffic::{Traffic, pings, reaches_udp};
use doorward_tests::wait::wait_until;
use doorward_tests::witness::Witness;
use doorward_tests::world::{CAFE_PUBLIC, PANEL, at};

const LONG: Duration = Duration::from_secs(15);
/// The café's second public address.
const ELSEWHERE: &str = "198.51.100.8";

fn shop(laptops: u8) -> (Shop, WgQuick, UdpServer, TcpServer) {
    let shop = Shop::open(laptops, &Settings::default());
    let udp = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    let tcp = TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Echo);
    shop.resource("panel", &[PANEL[0]], &["udp/53", "tcp/443", "icmp"]);
    let config = shop.person("support@shop.example", "panel");
    (shop, config, udp, tcp)
}

/// From here on the café shows this laptop (numbered from 1) to the world under another address.
fn move_laptop(shop: &Shop, number: usize) {
    shop.world.cafe.batch(&format!("addr replace {ELSEWHERE}/24 dev uplink0\n"));
    shop.world.cafe.nft(&format!(
        "table ip move {{\n chain out {{\n type nat hook postrouting priority srcnat - 1;\n \
         ip saddr 172.16.{number}.0/24 oifname \"uplink0\" snat to {ELSEWHERE}\n }}\n}}\n"
    ));
    let _ = shop.world.cafe.output("conntrack", &["-F"]);
}

fn endpoint_of_the_peer(shop: &Shop) -> String {
    let dump = shop.world.gateway.stdout("wg", &["show", &shop.doorward.interface, "endpoints"]);
    dump.split_whitespace().nth(1).unwrap_or_default().to_owned()
}

#[test]
fn a_laptop_that_changes_its_network_keeps_its_open_connection() {
    let (shop, config, _udp, _tcp) = shop(1);
    let _client = shop.client(0, &config);
    let chat = Traffic::tcp_chat(&shop.world.laptops[0], at(PANEL[0], 443));
    chat.flows(LONG);
    assert!(endpoint_of_the_peer(&shop).starts_with(CAFE_PUBLIC));
    move_laptop(&shop, 1);
    wait_until("the gateway to follow", LONG, || endpoint_of_the_peer(&shop).starts_with(ELSEWHERE));
    chat.flows(LONG);
    assert!(chat.end().is_none());
}

#[test]
fn a_tenth_of_the_datagrams_lost_slows_people_down_and_delays_no_revocation() {
    let (shop, config, _udp, _tcp) = shop(1);
    shop.world.internet.nft(
        "table inet loss {\n chain forward {\n type filter hook forward priority 0;\n \
         udp sport 51820 numgen random mod 10 == 0 drop\n udp dport 51820 numgen random mod 10 == 0 drop\n }\n}\n",
    );
    let _client = shop.client(0, &config);
    let chat = Traffic::tcp_chat(&shop.world.laptops[0], at(PANEL[0], 443));
    for _ in 0..5 {
        chat.flows(Duration::from_secs(30));
    }
    let witness = Witness::inside(&shop.world);
    let outcome = shop.doorward.json(&["person", "offboard", "support@shop.example"]);
    chat.stalls(Duration::from_secs(2), LONG);
    let panel: std::net::IpAddr = PANEL[0].parse().unwrap();
    let last = witness.last(|packet| packet.to == panel && !packet.is_reset());
    let late = last.map_or(0, |last| last - micros(&outcome["decided_at"]));
    assert!(late <= 1_000_000, "a packet {late} µs after the commit");
}

#[test]
fn datagrams_replayed_from_elsewhere_change_nothing() {
    let (shop, config, udp, _tcp) = shop(1);
    let laptop = &shop.world.laptops[0];
    let listener = Witness::start(&shop.world.internet, shop.world.folder.path(), "eavesdropper", "gateway0");
    let client = shop.client(0, &config);
    for _ in 0..10 {
        assert!(reaches_udp(laptop, at(PANEL[0], 53)));
    }
    let overheard: Vec<Vec<u8>> = listener
        .finish()
        .iter()
        .filter(|packet| packet.from.is_ipv4() && packet.to_port(51820))
        .filter_map(|packet| packet.packet.get(28..).map(<[u8]>::to_vec))
        .collect();
    assert!(overheard.len() >= 10, "the eavesdropper heard {} datagrams", overheard.len());

    let (received, handshake) = (udp.received(), client.latest_handshake());
    let elsewhere = shop.world.office.udp_socket(at("0.0.0.0", 0));
    elsewhere.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    for _ in 0..3 {
        for datagram in &overheard {
            elsewhere.send_to(datagram, at("203.0.113.2", 51820)).unwrap();
        }
    }
    let mut buffer = [0_u8; 256];
    assert!(elsewhere.recv_from(&mut buffer).is_err(), "the gateway answered a replay");
    assert_eq!(udp.received(), received, "a replay reached the panel");
    assert!(endpoint_of_the_peer(&shop).starts_with(CAFE_PUBLIC), "a replay moved the endpoint");
    assert!(reaches_udp(laptop, at(PANEL[0], 53)), "and the person notices nothing");
    assert_eq!(client.latest_handshake(), handshake);
}

#[test]
fn one_key_in_two_places_is_an_alert() {
    let (shop, config, _udp, _tcp) = shop(2);
    move_laptop(&shop, 2);
    let (_one, _two) = (shop.client(0, &config), shop.client(1, &config));
    wait_until("an alert that a key is used twice", Duration::from_secs(60), || {
        for laptop in &shop.world.laptops {
            let _ = pings(laptop, PANEL[0]);
        }
        shop.alert_names(&["support@shop.example", "laptop", ELSEWHERE]) || shop.alert_names(&["key_used_twice"])
    });
}
