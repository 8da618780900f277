//! Other people's WireGuard: wireguard-go, boringtun and gotatun as clients of one gateway.
//!
//! ```text
//!   laptop 1  wireguard-go ┐
//!   laptop 2  boringtun    ├─ café ─ relay ═══ internet ═══ gateway ── panel
//!   laptop 3  gotatun      ┘
//! ```

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use doorward_tests::client::{Client, Program, WgQuick};
use doorward_tests::doorward::Settings;
use doorward_tests::dump::peers;
use doorward_tests::file::{self, FileServer};
use doorward_tests::netns::Namespace;
use doorward_tests::relay::Relay;
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Traffic, knock_udp, reaches_ping, reaches_udp};
use doorward_tests::wait::{holds_for, wait_until};
use doorward_tests::world::{PANEL, at};

const LONG: Duration = Duration::from_secs(20);
/// `REKEY_AFTER_TIME` (whitepaper, section 6.1).
const REKEY_AFTER: Duration = Duration::from_secs(120);
/// That, and time enough around it to see that nothing is lost.
const PAST_THE_REKEY: Duration = Duration::from_secs(135);
/// The load of each client while it rekeys, downwards.
const BYTES_PER_SECOND: usize = 1024 * 1024;

#[test]
fn three_implementations_shake_hands_roam_and_rekey_under_load_without_losing_a_byte() {
    let shop = Shop::open(3, &Settings::default());
    let (inside, gateway, interface) = (&shop.world.inside, &shop.world.gateway, &shop.doorward.interface);
    shop.world.cafe.batch("addr add 198.51.100.8/24 dev uplink0\n");
    let relay = Relay::in_cafe(&shop.world, 6);
    let seconds = usize::try_from(PAST_THE_REKEY.as_secs()).unwrap();
    let len = BYTES_PER_SECOND * seconds;
    let _files: Vec<_> =
        PANEL.iter().map(|host| FileServer::paced(inside, at(host, 443), len / 2, BYTES_PER_SECOND / 2)).collect();
    let _echo = TcpServer::start(inside, at(PANEL[0], 444), Manner::Echo);
    let _udp: Vec<_> = PANEL.iter().map(|host| UdpServer::start(inside, at(host, 53))).collect();
    shop.resource("panel", &PANEL, &["tcp/443-444", "udp/53", "icmp"]);

    let mut clients = Vec::new();
    for (laptop, program) in shop.world.laptops.iter().zip(Program::ALL) {
        let email = format!("{program:?}@shop.example").to_lowercase();
        let mut config = shop.person(&email, "panel");
        // The outer path of one of them is IPv6.
        if program == Program::WireguardGo {
            "[2001:db8:203::2]:51820".clone_into(&mut config.endpoint);
        }
        clients.push((program, laptop, Client::start_program(program, laptop, shop.world.folder.path(), &config)));
        for host in PANEL {
            assert!(reaches_ping(laptop, host), "{program:?} pings {host}");
            assert!(reaches_udp(laptop, at(host, 53)), "{program:?} asks {host} over UDP");
        }
    }
    let handshakes = || -> BTreeMap<String, u64> {
        peers(gateway, interface).into_iter().map(|peer| (peer.public_key, peer.latest_handshake)).collect()
    };
    let first = handshakes();
    assert!(first.len() == 3 && first.values().all(|at| *at > 0), "{first:?}");

    let start = Instant::now();
    let chats: Vec<_> = clients.iter().map(|(_, laptop, _)| Traffic::tcp_chat(laptop, at(PANEL[0], 444))).collect();
    std::thread::scope(|scope| {
        let downloads: Vec<_> = clients
            .iter()
            .flat_map(|(program, laptop, _)| PANEL.map(|host| (*program, *laptop, host)))
            .map(|(program, laptop, host)| {
                let bound = PAST_THE_REKEY + Duration::from_secs(45);
                (program, host, scope.spawn(move || file::download(laptop, at(host, 443), len / 2, bound)))
            })
            .collect();
        // Early on everybody moves: to other ports first, then to another address.
        chats.iter().for_each(|chat| chat.flows(LONG));
        relay.change_ports();
        chats.iter().for_each(|chat| chat.flows(LONG));
        relay.change_address("198.51.100.8".parse().unwrap());
        chats.iter().for_each(|chat| chat.flows(LONG));
        let moved = || peers(gateway, interface).iter().filter(|peer| is_at(peer.endpoint, "198.51.100.8")).count();
        wait_until("the gateway to follow those on IPv4", LONG, || moved() == 2);

        for (program, host, download) in downloads {
            let took = download.join().unwrap();
            println!("{program:?}: {} MiB from {host}: {took:?}", len / 2 / 1024 / 1024);
            assert!(took.is_ok(), "{program:?}, {host}: {took:?}");
        }
    });
    assert!(start.elapsed() >= REKEY_AFTER, "the load lasted past the rekey: {:?}", start.elapsed());
    for ((program, _, _), chat) in clients.iter().zip(&chats) {
        chat.flows(LONG);
        assert!(chat.end().is_none(), "{program:?}: the connection of the beginning is still there");
    }
    // The gateway's word, because boringtun-cli writes the handshake's age where `wg` reads its time.
    let last = handshakes();
    assert!(first.iter().all(|(key, first)| last[key] >= first + 100), "each took a new key: {first:?} → {last:?}");
}

fn is_at(endpoint: Option<std::net::SocketAddr>, address: &str) -> bool {
    endpoint.is_some_and(|endpoint| endpoint.ip().to_string() == address)
}

#[test]
fn pitfall_12_a_preshared_key_is_needed_by_every_implementation_and_a_mismatch_fails() {
    let shop = Shop::open(3, &Settings::default());
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    for (laptop, program) in shop.world.laptops.iter().zip(Program::ALL) {
        let email = format!("{program:?}@shop.example").to_lowercase();
        shop.staff(&email);
        shop.grant(&email, "panel", "1h");
        let config = shop.device_with(&email, "laptop", &["--preshared-key"]);
        assert!(config.preshared_key.is_some(), "the config carries it");
        let mut wrong = config.clone();
        wrong.preshared_key = Some("d3JvbmcgIHdyb25nICB3cm9uZyAgd3JvbmcgIHdyb24=".to_owned());
        let mut none = config.clone();
        none.preshared_key = None;
        for (what, failing) in [("another key", &wrong), ("no key", &none)] {
            let client = Client::start_program(program, laptop, shop.world.folder.path(), failing);
            let knocking = Traffic::udp_chat(laptop, at(PANEL[0], 53));
            holds_for(what, Duration::from_secs(2), || client.latest_handshake() == 0 && knocking.answers() == 0);
            drop(knocking);
            client.stop();
        }
        let client = Client::start_program(program, laptop, shop.world.folder.path(), &config);
        assert!(reaches_udp(laptop, at(PANEL[0], 53)), "{program:?} with the right key");
        change(&shop, (laptop, program), client, &email, config);
    }
}

/// Another key at the gateway: the session of before goes on, and the next handshake needs the new one.
fn change(shop: &Shop, (laptop, program): (&Namespace, Program), client: Client, email: &str, mut config: WgQuick) {
    let person = shop.doorward.json(&["person", "show", email]);
    let id = person["devices"][0]["id"].as_str().unwrap_or_else(|| panic!("a device: {person}"));
    let changed = shop.doorward.json(&["device", "preshared-key", id]);
    wait_until("the gateway to have heard", LONG, || {
        let status = shop.status();
        status["gateways"][0]["revision"] == status["revision"]
    });
    assert!(knock_udp(laptop, at(PANEL[0], 53)), "{program:?}: a session outlives the change of the key");
    client.stop();
    let folder = shop.world.folder.path();
    let old = Client::start_program(program, laptop, folder, &config);
    let knocking = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    holds_for("the old key is of no use", Duration::from_secs(2), || {
        old.latest_handshake() == 0 && knocking.answers() == 0
    });
    drop(knocking);
    old.stop();
    config.preshared_key = changed["preshared_key"].as_str().map(str::to_owned);
    let new = Client::start_program(program, laptop, folder, &config);
    assert!(reaches_udp(laptop, at(PANEL[0], 53)), "{program:?} with the new key");
    new.stop();
}
