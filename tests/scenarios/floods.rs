//! A flood of ten thousand initiations a second, and the people who work meanwhile.
//!
//! ```text
//!   laptop 1 (downloads), laptop 2 (connects) ── café ═══ internet ═══ gateway ── panel
//!                       198.18.0.0/16 (flood) ── office ══╝
//! ```

use std::io::Read;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use doorward_tests::client::{Client, WgQuick};
use doorward_tests::doorward::{Settings, sum_of};
use doorward_tests::file::FileServer;
use doorward_tests::flood::{Flood, INITIATION_LEN, Recipe};
use doorward_tests::process::{children, resident_kib};
use doorward_tests::service::UdpServer;
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{knock_udp, reaches_udp};
use doorward_tests::wait::{wait_for, wait_until};
use doorward_tests::witness::Witness;
use doorward_tests::world::{PANEL, at};

const LONG: Duration = Duration::from_secs(20);
const PER_SECOND: u32 = 10_000;
/// A port of the gateway's machine at which datagrams are taken and thrown away.
const SINK: u16 = 9;
const WIREGUARD: u16 = 51820;
/// The promise: a handshake during the flood.
const HANDSHAKE_MAX: Duration = Duration::from_secs(2);
/// What the stream asks for, in bytes a second: 200 Mbit/s, more than a café has and less than this machine carries while
/// other scenarios run on it, so that the flood alone decides about it.
const ASKED_PER_SECOND: u32 = 25_000_000;
/// How far behind its pace a stream may fall and catch up again: what it lost for longer is lost.
const DEBT_MAX: Duration = Duration::from_millis(50);
/// The promise: what is left of an established stream, in hundredths.
const RATE_KEPT: u64 = 80;
/// Pairs of a calm second and an attacked one.
const ROUNDS: u64 = 9;
/// What tables of sources may take, once: they are bounded.
const GROWTH_KIB_MAX: u64 = 16 * 1024;

struct Scene {
    shop: Shop,
    one: WgQuick,
    two: WgQuick,
    gateway: u32,
    overheard: Vec<Vec<u8>>,
}

/// A shop with one device at work, another that will come, and what an eavesdropper heard of both and of a stranger.
fn scene() -> (Scene, Client, UdpServer) {
    let shop = Shop::open(2, &Settings::default());
    let panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["tcp/443", "udp/53"]);
    let (one, two) = (shop.person("one@shop.example", "panel"), shop.person("two@shop.example", "panel"));
    shop.world.internet.batch("route add 198.18.0.0/16 via 192.0.2.9\n");
    let up = shop.up.as_ref().expect("it runs").pid();
    let halves = children(up);
    let gateway = halves.iter().find(|(_, line)| line.contains("run gateway")).map(|(pid, _)| *pid);
    let gateway = gateway.unwrap_or_else(|| panic!("a gateway among {halves:?}"));

    let listener = Witness::start(&shop.world.internet, shop.world.folder.path(), "eavesdropper", "gateway0");
    let client = shop.client(0, &one);
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)));
    // A key that nobody enrolled: real Noise, right mac1, and a stranger.
    let stranger = WgQuick { private_key: two.private_key.as_deref().map(another), ..two.clone() };
    let knocking = shop.client(1, &stranger);
    let overheard = wait_for("initiations of a customer and of a stranger", LONG, || {
        let _ = knock_udp(&shop.world.laptops[1], at(PANEL[0], 53));
        let heard = initiations(&listener);
        (heard.len() >= 2).then_some(heard)
    });
    knocking.stop();
    (Scene { shop, one, two, gateway, overheard }, client, panel)
}

/// Another key in base64: clamping looks at the first and last byte alone.
fn another(key: &str) -> String {
    let (head, tail) = key.split_at(8);
    head.chars().chain(tail.chars().rev().skip(2)).take(42).chain("A=".chars()).collect()
}

fn initiations(listener: &Witness) -> Vec<Vec<u8>> {
    let seen = listener.seen().into_iter().filter(|packet| packet.from.is_ipv4() && packet.to_port(WIREGUARD));
    let datagrams = seen.filter_map(|packet| packet.packet.get(28..).map(<[u8]>::to_vec));
    datagrams.filter(|datagram| datagram.len() == INITIATION_LEN && datagram[0] == 1).collect()
}

/// A download without end at its pace, and how much came.
fn stream(shop: &Shop) -> Arc<AtomicU64> {
    let bytes = Arc::new(AtomicU64::new(0));
    let (count, mut stream) = (bytes.clone(), connect(shop));
    std::thread::spawn(move || {
        let mut buffer = vec![0_u8; 64 * 1024];
        let mut due = Instant::now();
        while let Ok(len @ 1..) = stream.read(&mut buffer) {
            count.fetch_add(len as u64, Ordering::SeqCst);
            due = due.max(Instant::now() - DEBT_MAX) + Duration::from_secs(len as u64) / ASKED_PER_SECOND;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
    });
    bytes
}

fn connect(shop: &Shop) -> TcpStream {
    let stream = shop.world.laptops[0].tcp_connect(at(PANEL[0], 443), LONG).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    stream
}

/// Bytes a second over a span.
fn rate(bytes: &AtomicU64, span: Duration) -> u64 {
    let (start, before) = (Instant::now(), bytes.load(Ordering::SeqCst));
    std::thread::sleep(span);
    let came = bytes.load(Ordering::SeqCst) - before;
    u64::try_from(u128::from(came) * 1000 / start.elapsed().as_millis()).unwrap()
}

fn median(mut numbers: Vec<u64>) -> u64 {
    numbers.sort_unstable();
    numbers[numbers.len() / 2]
}

#[test]
fn pitfall_05_ten_thousand_initiations_a_second_slow_nobody_down() {
    let (scene, _client, _panel) = scene();
    let Scene { shop, one, two, gateway, overheard } = &scene;
    let _file = FileServer::start(&shop.world.inside, at(PANEL[0], 443), usize::MAX / 2);
    let _sink = shop.world.gateway.udp_socket(at("0.0.0.0", SINK));
    let bytes = stream(shop);
    wait_until("the stream to run", LONG, || bytes.load(Ordering::SeqCst) > 50_000_000);
    let before = (resident_kib(*gateway), dropped(shop));
    let recipe = Recipe {
        per_second: PER_SECOND,
        gateway_key: one.gateway_key.clone(),
        to: "203.0.113.2:9".parse().unwrap(),
        overheard: overheard.clone(),
        of_ten: (3, 2),
    };
    let flood = Flood::start(&shop.world.office, recipe);
    let (mut calm, mut attacked, mut resident, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let (mut aimed, span) = (0, Duration::from_secs(1));
    for _ in 0..ROUNDS {
        flood.aim(SINK);
        calm.push(rate(&bytes, span));
        flood.aim(WIREGUARD);
        let sent = flood.sent();
        attacked.push(rate(&bytes, span));
        aimed += flood.sent() - sent;
        resident.push(resident_kib(*gateway));
        // Neighbouring seconds are compared: what else the machine does changes slowly.
        kept.extend(attacked.last().zip(calm.last()).map(|(attacked, calm)| attacked * 100 / calm.max(&1)));
    }
    let per_second = aimed / ROUNDS;
    println!("{per_second} datagrams a second; Mbit/s calm {:?}, attacked {:?}", mbits(&calm), mbits(&attacked));
    println!("resident KiB: {} before, then {resident:?}; dropped {}", before.0, dropped(shop) - before.1);
    assert!(per_second >= u64::from(PER_SECOND) * 8 / 10, "the generator keeps up: {per_second}");
    assert!(dropped(shop) - before.1 > aimed as f64 / 2.0, "the flood came to the gateway and was refused there");
    println!("kept, in hundredths: {kept:?}");
    let kept = median(kept);
    assert!(kept >= RATE_KEPT, "{kept} % of the stream's rate are left");
    let last = *resident.last().unwrap();
    assert!(last < before.0 + GROWTH_KIB_MAX && last <= resident[1] + 2048, "memory grows: {resident:?} KiB");

    // Somebody else connects while it goes on, three times, each time with a fresh client.
    let mut slowest = Duration::ZERO;
    for _ in 0..3 {
        let client = shop.client(1, two);
        let took = wait_until("a handshake during the flood", LONG, || client.latest_handshake() > 0);
        println!("a handshake during the flood took {took:?}");
        slowest = slowest.max(took);
        assert!(reaches_udp(&shop.world.laptops[1], at(PANEL[0], 53)));
        client.stop();
    }
    assert!(slowest < HANDSHAKE_MAX, "{slowest:?}");
}

fn dropped(shop: &Shop) -> f64 {
    sum_of(&shop.doorward.metrics(&shop.world.gateway), &["dropped"])
}

fn mbits(rates: &[u64]) -> Vec<u64> {
    rates.iter().map(|rate| rate * 8 / 1_000_000).collect()
}
