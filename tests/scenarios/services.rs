//! Service addresses and names: a config that knows Doorward's network alone, targets that are names, and the resolver
//! that people may use.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_tests::client::WgQuick;
use doorward_tests::doorward::Settings;
use doorward_tests::netns::Namespace;
use doorward_tests::service::{End, Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp, knock_udp, pings, reaches_ping, reaches_udp};
use doorward_tests::wait::wait_until;
use doorward_tests::witness::Witness;
use doorward_tests::world::{DATABASE, GATEWAY_INSIDE, OFFICE, PANEL, at};

const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(1500);
/// Doorward's network, which is all that a config needs.
const NETWORK: [&str; 2] = ["100.80.0.0/16", "fd64:6f6f:7277::/64"];
/// The gateway's addresses inside the tunnel.
const GATEWAY: [&str; 2] = ["100.80.0.1", "fd64:6f6f:7277::1"];
/// Response codes (RFC 1035 section 4.1.1).
const SERVER_FAILED: u8 = 2;
const NO_SUCH_NAME: u8 = 3;
const REFUSED: u8 = 5;

/// A resource's service address, of both families.
fn service(shop: &Shop, name: &str) -> [String; 2] {
    let listed = shop.doorward.json(&["resource", "list"]);
    let all = listed.as_array().or_else(|| listed["resources"].as_array()).unwrap();
    let one = all.iter().find(|one| one["name"] == name).unwrap_or_else(|| panic!("{name}: {listed}"));
    ["service_v4", "service_v6"].map(|key| one[key].as_str().unwrap_or_else(|| panic!("{key}: {one}")).to_owned())
}

/// A person's config that routes Doorward's network and nothing else.
fn person(shop: &Shop, email: &str, resource: &str) -> WgQuick {
    let mut config = shop.person(email, resource);
    config.allowed_ips = NETWORK.map(str::to_owned).to_vec();
    config
}

#[test]
fn a_service_address_leads_to_its_resource_from_a_network_that_uses_the_shops_own_addresses() {
    let shop = Shop::open(1, &Settings::default());
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    // The café has a 10.0.0.0/8 of its own: the panel's real address is somebody else's there.
    laptop.batch("addr add 10.0.5.77/8 dev wifi0\n");
    let _web: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 443), Manner::Echo)).collect();
    let _stream: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 444), Manner::Stream)).collect();
    let _others: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 22), Manner::Echo)).collect();
    let _ntp: Vec<_> = PANEL.iter().map(|host| UdpServer::start(inside, at(host, 123))).collect();
    shop.resource("panel", &PANEL, &["tcp/443-444", "udp/123", "icmp"]);
    shop.resource("db", &DATABASE, &["tcp/443"]);
    let config = person(&shop, "support@shop.example", "panel");
    let witness = Witness::inside(&shop.world);
    let _client = shop.client(0, &config);
    let (panel, db) = (service(&shop, "panel"), service(&shop, "db"));

    let mut chats = Vec::new();
    for (address, other) in panel.iter().zip(&db) {
        assert_eq!(knock_tcp(laptop, at(address, 443), LONG), Attempt::Opened, "{address}");
        assert!(reaches_udp(laptop, at(address, 123)) && reaches_ping(laptop, address), "{address}");
        assert_ne!(knock_tcp(laptop, at(address, 22), SHORT), Attempt::Opened, "{address} tcp/22 is not granted");
        assert_ne!(knock_tcp(laptop, at(other, 443), SHORT), Attempt::Opened, "{other} is nobody's");
        let download = Traffic::tcp_download(laptop, at(address, 444));
        let chat = Traffic::tcp_chat(laptop, at(address, 443));
        (0..5).for_each(|_| download.flows(LONG));
        chat.flows(LONG);
        chats.push(chat);
    }
    assert_ne!(knock_tcp(laptop, at(PANEL[0], 443), SHORT), Attempt::Opened, "the café's own host");

    let grants = shop.doorward.json(&["person", "show", "support@shop.example"]);
    shop.doorward.run(&["grant", "revoke", grants["grants"][0]["id"].as_str().unwrap()]);
    for chat in chats {
        assert!(matches!(chat.ends(Duration::from_secs(2)).0, End::Cut(_)), "open connections are reset");
    }
    let seen = witness.finish();
    let services: Vec<IpAddr> = panel.iter().map(|address| address.parse().unwrap()).collect();
    assert!(!seen.iter().any(|packet| services.contains(&packet.to)), "nobody inside sees a service address");
    assert!(seen.iter().any(|packet| packet.to == PANEL[0].parse::<IpAddr>().unwrap() && packet.is_reset()));
}

#[test]
fn a_target_that_is_a_name_is_followed_when_it_moves() {
    let mut shop = Shop::closed(1, &Settings::default());
    let office = NameServer::start(&shop.world.office, &[("db.shop.example", DATABASE[0])]);
    let _system = SystemResolver::of(&shop.world.gateway);
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let first = UdpServer::start(inside, at(DATABASE[0], 5432));
    let second = UdpServer::start(inside, at(PANEL[0], 5432));
    shop.resource("db", &["db.shop.example"], &["udp/5432"]);
    let mut config = person(&shop, "dba@shop.example", "db");
    config.allowed_ips.push(format!("{}/32", DATABASE[0]));
    let _client = shop.client(0, &config);
    let [address, _] = service(&shop, "db");
    assert!(reaches_udp(laptop, at(&address, 5432)), "the name is resolved and followed");
    assert!(first.received() > 0);
    assert!(!knock_udp(laptop, at(DATABASE[0], 5432)), "the address itself was never granted");

    office.set("db.shop.example", PANEL[0]);
    wait_until("a new flow to the new address", Duration::from_secs(30), || {
        knock_udp(laptop, at(&address, 5432)) && second.received() > 0
    });
    // Somebody takes the name over and points it at the gateway.
    office.set("db.shop.example", GATEWAY_INSIDE);
    let here = UdpServer::start(&shop.world.gateway, at(GATEWAY_INSIDE, 5432));
    wait_until("the name to lead nowhere", Duration::from_secs(30), || !knock_udp(laptop, at(&address, 5432)));
    assert_eq!(here.received(), 0, "the gateway's own services stay out of reach");
}

#[test]
fn the_resolver_answers_resources_to_those_who_may_reach_them_and_passes_the_rest_on() {
    let upstreams = format!("upstreams = [\"{OFFICE}\"]");
    let mut shop = Shop::closed(2, &Settings { gateway: &upstreams, ..Settings::default() });
    let office =
        NameServer::start(&shop.world.office, &[("www.example.com", "192.0.2.80"), ("evil.example.com", PANEL[0])]);
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
    let [laptop, other] = &shop.world.laptops[..] else { panic!("two laptops") };
    shop.resource("panel", &PANEL, &["udp/123"]);
    shop.resource("db", &DATABASE, &["udp/123"]);
    let config = person(&shop, "support@shop.example", "panel");
    assert_eq!(config.dns, GATEWAY, "only a resolver that answers every name may be given to an app");
    let other_config = person(&shop, "dba@shop.example", "db");
    let (_client, _other) = (shop.client(0, &config), shop.client(1, &other_config));
    let panel: Ipv4Addr = service(&shop, "panel")[0].parse().unwrap();

    wait_until("the resolver's first answer", LONG, || ask(laptop, GATEWAY[0], "www.example.com").is_some());
    for gateway in GATEWAY {
        assert_eq!(ask(laptop, gateway, "panel.doorward.internal"), Some((0, vec![panel])), "{gateway}");
        assert_eq!(ask_tcp(laptop, gateway, "panel.doorward.internal"), Some((0, vec![panel])), "{gateway} over TCP");
        assert_eq!(ask(laptop, gateway, "db.doorward.internal"), Some((NO_SUCH_NAME, vec![])));
        assert_eq!(ask(laptop, gateway, "WWW.example.com"), Some((0, vec![Ipv4Addr::new(192, 0, 2, 80)])));
        assert_eq!(ask(laptop, gateway, "evil.example.com"), Some((REFUSED, vec![])), "rebinding");
        assert_eq!(ask(laptop, gateway, "nothing.example.com"), Some((NO_SUCH_NAME, vec![])));
    }
    wait_until("the other tunnel", LONG, || ask(other, GATEWAY[0], "www.example.com").is_some());
    assert_eq!(ask(other, GATEWAY[0], "panel.doorward.internal"), Some((NO_SUCH_NAME, vec![])));
    let asked = office.asked();
    assert!(asked.iter().all(|name| !name.contains("doorward.internal")), "names of resources stay here: {asked:?}");

    let up = shop.up.as_ref().unwrap();
    assert!(!up.log().contains("example.com"), "what people ask is nobody's business");
    let metrics = shop.doorward.metrics(&shop.world.gateway);
    assert!(metrics.contains("names_answered_total{outcome=\"led_inside\"} 2"), "{metrics}");
    // An upstream that is gone is said to have failed, and resources are still found.
    drop(office);
    assert_eq!(ask_within(laptop, GATEWAY[0], "www.example.com", LONG), Some((SERVER_FAILED, vec![])));
    assert_eq!(ask(laptop, GATEWAY[0], "panel.doorward.internal"), Some((0, vec![panel])));
}

#[test]
fn strangers_hear_nothing_from_the_resolver_and_devices_reach_nothing_else_there() {
    // WireGuard has the resolver's port on every other address, for networks that shut the rest.
    let shop = Shop::open(1, &Settings { gateway: "listen = [\":51820\", \":53\"]", ..Settings::default() });
    let (inside, laptop, gateway) = (&shop.world.inside, &shop.world.laptops[0], &shop.world.gateway);
    let _other = UdpServer::start(gateway, at(GATEWAY[0], 5353));
    let _web = TcpServer::start(gateway, at(GATEWAY[0], 8080), Manner::Echo);
    shop.resource("panel", &[PANEL[0]], &["udp/123"]);
    let config = person(&shop, "support@shop.example", "panel");
    let _client = shop.client(0, &config);
    wait_until("the resolver's first answer", LONG, || ask(laptop, GATEWAY[0], "panel.doorward.internal").is_some());
    assert_eq!(ask(laptop, GATEWAY[0], "www.example.com"), Some((REFUSED, vec![])), "nobody is there to be asked");
    assert!(!knock_udp(laptop, at(GATEWAY[0], 5353)) && !pings(laptop, GATEWAY[0]));
    assert_ne!(knock_tcp(laptop, at(GATEWAY[0], 8080), SHORT), Attempt::Opened);
    assert_ne!(knock_tcp(laptop, at(GATEWAY[0], 8443), SHORT), Attempt::Opened, "nobody has to sign in");
    assert_ne!(knock_tcp(laptop, at(GATEWAY[0], 80), SHORT), Attempt::Opened, "the page is for quarantine alone");

    inside.batch(&format!("route replace 100.80.0.0/16 via {GATEWAY_INSIDE}\n"));
    for (from, address) in [(inside, GATEWAY[0]), (inside, GATEWAY_INSIDE), (&shop.world.internet, "203.0.113.2")] {
        assert_eq!(ask(from, address, "panel.doorward.internal"), None, "{address}");
        assert_ne!(knock_tcp(from, at(address, 53), SHORT), Attempt::Opened, "{address} tcp");
    }
    assert!(ask(laptop, GATEWAY[0], "panel.doorward.internal").is_some(), "and the device still does");
}

/// A question for IPv4 addresses (RFC 1035 section 4.1), in the spelling given.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(u8::try_from(label.len()).unwrap());
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Code and addresses of an answer whose names are all pointers to the question's.
fn read(answer: &[u8], asked: &[u8]) -> Option<(u8, Vec<Ipv4Addr>)> {
    assert_eq!(answer.get(12..asked.len()), asked.get(12..), "the question comes back to the letter");
    let count = usize::from(answer[7]);
    let mut addresses = Vec::new();
    let mut at = asked.len();
    for _ in 0..count {
        let record = answer.get(at..at + 16)?;
        assert_eq!(record[..4], [0xc0, 12, 0, 1], "an address of the name that was asked for");
        addresses.push(Ipv4Addr::new(record[12], record[13], record[14], record[15]));
        at += 16;
    }
    Some((answer[3] & 0x0f, addresses))
}

fn ask(from: &Namespace, server: &str, name: &str) -> Option<(u8, Vec<Ipv4Addr>)> {
    ask_within(from, server, name, Duration::from_secs(1))
}

/// Asks over UDP; `None` when nothing comes back.
fn ask_within(from: &Namespace, server: &str, name: &str, bound: Duration) -> Option<(u8, Vec<Ipv4Addr>)> {
    let server = at(server, 53);
    let any = if server.is_ipv4() { "0.0.0.0" } else { "::" };
    let socket = from.udp_socket(at(any, 0));
    let asked = question(name);
    socket.set_read_timeout(Some(bound)).unwrap();
    socket.connect(server).ok()?;
    socket.send(&asked).ok()?;
    let mut buffer = [0; 2048];
    let len = socket.recv(&mut buffer).ok()?;
    read(&buffer[..len], &asked)
}

fn ask_tcp(from: &Namespace, server: &str, name: &str) -> Option<(u8, Vec<Ipv4Addr>)> {
    let mut stream = from.tcp_connect(at(server, 53), LONG).ok()?;
    stream.set_read_timeout(Some(LONG)).ok()?;
    let asked = question(name);
    stream.write_all(&[&u16::try_from(asked.len()).unwrap().to_be_bytes(), &asked[..]].concat()).ok()?;
    let mut len = [0; 2];
    stream.read_exact(&mut len).ok()?;
    let mut answer = vec![0; usize::from(u16::from_be_bytes(len))];
    stream.read_exact(&mut answer).ok()?;
    read(&answer, &asked)
}

/// A name server at the office: addresses for 5 s each, and a memory of what it was asked.
struct NameServer {
    names: Arc<Mutex<HashMap<String, Ipv4Addr>>>,
    asked: Arc<Mutex<Vec<String>>>,
    stop: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl NameServer {
    fn start(office: &Namespace, names: &[(&str, &str)]) -> Self {
        let socket = office.udp_socket(at(OFFICE, 53));
        socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        let names = names.iter().map(|(name, address)| ((*name).to_owned(), address.parse().unwrap())).collect();
        let (names, asked) = (Arc::new(Mutex::new(names)), Arc::new(Mutex::new(Vec::new())));
        let stop = Arc::new(AtomicBool::new(false));
        let (known, seen, ends) = (Arc::clone(&names), Arc::clone(&asked), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            while !ends.load(Ordering::SeqCst) {
                answer_one(&socket, &known, &seen);
            }
        });
        Self { names, asked, stop, thread: Some(thread) }
    }

    fn set(&self, name: &str, address: &str) {
        self.names.lock().unwrap().insert(name.to_owned(), address.parse().unwrap());
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Its socket must be closed when the next line of a scenario runs.
        let _ = self.thread.take().map(std::thread::JoinHandle::join);
    }
}

fn answer_one(socket: &UdpSocket, names: &Mutex<HashMap<String, Ipv4Addr>>, asked: &Mutex<Vec<String>>) {
    let mut buffer = [0; 2048];
    let Ok((len, from)) = socket.recv_from(&mut buffer) else { return };
    let (mut place, mut labels) = (12, Vec::new());
    while buffer[place] > 0 {
        let end = place + 1 + usize::from(buffer[place]);
        labels.push(String::from_utf8_lossy(&buffer[place + 1..end]).to_lowercase());
        place = end;
    }
    let name = labels.join(".");
    let end = place + 5;
    assert!(end <= len);
    let is_a = buffer[place + 1..place + 3] == [0, 1];
    let address = names.lock().unwrap().get(&name).copied();
    asked.lock().unwrap().push(name);
    let mut answer = buffer[..end].to_vec();
    answer[2] |= 0x80;
    answer[3] = if address.is_some() { 0x80 } else { 0x80 | NO_SUCH_NAME };
    answer[6..12].fill(0);
    if let Some(address) = address.filter(|_| is_a) {
        answer[7] = 1;
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4]);
        answer.extend(address.octets());
    }
    let _ = socket.send_to(&answer, from);
}

/// A namespace's own `resolv.conf` (`ip netns exec` puts it in place), gone when dropped.
struct SystemResolver(PathBuf);

impl SystemResolver {
    fn of(namespace: &Namespace) -> Self {
        let folder = PathBuf::from("/etc/netns").join(namespace.name());
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("resolv.conf"), format!("nameserver {OFFICE}\n")).unwrap();
        Self(folder)
    }
}

impl Drop for SystemResolver {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
