//! What happens when a part is killed: traffic pauses, nothing opens, and everything comes back without anybody's hand.

use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::process::{Process, children};
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Traffic, micros_now};
use doorward_tests::wait::{holds_for, wait_for, wait_until};
use doorward_tests::witness::Witness;
use doorward_tests::world::{PANEL, at};

const LONG: Duration = Duration::from_secs(15);
/// wireguard-go notices a silent peer after 15 s and then knocks every 5 s (whitepaper, section 6).
const CLIENT_COMES_BACK: Duration = Duration::from_secs(45);
/// `[authority] ttl` of these scenarios.
const TTL: &str = "3s";
/// The same, with the second that is promised on top.
const TTL_BOUND_MICROS: i64 = 4_000_000;

/// A shop whose two halves run as processes of their own.
fn halves(laptops: u8) -> (Shop, Process, Process) {
    let shop = Shop::closed(laptops, &Settings { ttl: TTL, ..Settings::default() });
    let control_plane = shop.doorward.start(&shop.world.gateway, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    let gateway = shop.doorward.start(&shop.world.gateway, &["run", "gateway"], &[]);
    shop.doorward.ready(1);
    (shop, control_plane, gateway)
}

#[test]
fn a_killed_control_plane_pauses_traffic_at_the_ttl_and_a_restart_resumes_the_same_connection() {
    let (shop, mut control_plane, _gateway) = halves(1);
    let laptop = &shop.world.laptops[0];
    let witness = Witness::inside(&shop.world);
    let server = TcpServer::start(&shop.world.inside, at(PANEL[0], 443), Manner::Echo);
    shop.resource("panel", &[PANEL[0]], &["tcp/443"]);
    let config = shop.person("support@shop.example", "panel");
    let client = shop.client(0, &config);
    let chat = Traffic::tcp_chat(laptop, at(PANEL[0], 443));
    chat.flows(LONG);

    let killed = micros_now();
    control_plane.kill();
    let paused = chat.stalls(Duration::from_millis(2500), LONG);
    let panel: std::net::IpAddr = PANEL[0].parse().unwrap();
    let last = witness.last(|packet| packet.to == panel).unwrap();
    println!(
        "control plane killed: last answer after {} ms, last packet after {} ms",
        (paused - killed) / 1000,
        (last - killed) / 1000
    );
    assert!(last - killed <= TTL_BOUND_MICROS, "a packet {} µs after the kill", last - killed);
    assert!(paused - killed > 500_000, "traffic does not stop with the control plane, but at the end of its authority");
    assert!(chat.end().is_none(), "the connection is paused, not cut");

    let handshake = client.latest_handshake();
    let _again = shop.doorward.start(&shop.world.gateway, &["run", "control-plane"], &[]);
    shop.doorward.ready(1);
    chat.flows(Duration::from_secs(30));
    assert_eq!(server.accepted(), 1, "the same connection went on");
    assert!(client.latest_handshake() - handshake <= 120, "and the client was not touched");
}

#[test]
fn a_killed_gateway_leaves_a_clean_host_after_its_restart_and_clients_come_back_by_themselves() {
    let (shop, _control_plane, mut gateway) = halves(1);
    let (machine, laptop) = (&shop.world.gateway, &shop.world.laptops[0]);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    chat.flows(LONG);

    gateway.kill();
    chat.stalls(Duration::from_secs(2), LONG);
    let mut gateway = shop.doorward.start(machine, &["run", "gateway"], &[]);
    shop.doorward.ready(1);
    let tables = machine.stdout("nft", &["list", "tables"]);
    assert_eq!(tables.lines().count(), 1, "one table: {tables}");
    let links = machine.stdout("ip", &["-o", "link", "show"]);
    assert_eq!(links.matches(&shop.doorward.interface).count(), 1, "one interface: {links}");
    chat.flows(CLIENT_COMES_BACK);

    // What the killed run had changed is known to the next one: a clean stop gives everything back.
    assert!(gateway.terminate().success());
    assert_eq!(machine.stdout("nft", &["list", "ruleset"]), "", "no rule stays");
    assert!(!machine.stdout("ip", &["-o", "link", "show"]).contains(&shop.doorward.interface), "no interface stays");
    assert_eq!(machine.stdout("sysctl", &["-n", "net.ipv4.ip_forward"]).trim(), "0", "forwarding is as it was");
    assert_eq!(machine.stdout("sysctl", &["-n", "net.ipv6.conf.all.forwarding"]).trim(), "0", "for IPv6 too");
}

#[test]
fn the_supervisor_brings_either_half_back() {
    let shop = Shop::open(1, &Settings::default());
    let laptop = &shop.world.laptops[0];
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    chat.flows(LONG);
    let up = shop.up.as_ref().unwrap().pid();
    for half in ["control-plane", "gateway"] {
        let find = || children(up).into_iter().find(|(_, line)| line.contains(half)).map(|(pid, _)| pid);
        let pid = wait_for("a child of the supervisor", LONG, find);
        rustix::process::kill_process(rustix_pid(pid), rustix::process::Signal::KILL).unwrap();
        wait_until("another one in its place", LONG, || find().is_some_and(|another| another != pid));
        shop.doorward.ready(1);
        chat.flows(CLIENT_COMES_BACK);
    }
}

fn rustix_pid(pid: u32) -> rustix::process::Pid {
    rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}

#[test]
fn nothing_survives_a_killed_supervisor() {
    let mut shop = Shop::open(1, &Settings::default());
    let mut up = shop.up.take().unwrap();
    let halves = children(up.pid());
    assert_eq!(halves.len(), 2, "{halves:?}");
    up.kill();
    wait_until("both halves to end with their supervisor", LONG, || {
        halves.iter().all(|(pid, _)| {
            doorward_tests::process::status_field(*pid, "State").is_none_or(|state| state.starts_with('Z'))
        })
    });
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
}

#[test]
fn a_gateway_that_slept_past_its_authority_lets_nothing_through_that_queued_up() {
    let (shop, mut control_plane, gateway) = halves(1);
    let laptop = &shop.world.laptops[0];
    let panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    chat.flows(LONG);

    gateway.signal(rustix::process::Signal::STOP);
    control_plane.kill();
    let asleep = panel.received();
    // The person goes on asking; the datagrams wait in the gateway's socket.
    holds_for("nothing passes a stopped gateway", Duration::from_millis(4500), || panel.received() <= asleep + 1);
    let asleep = panel.received();
    gateway.signal(rustix::process::Signal::CONT);
    holds_for("nothing passes without authority", Duration::from_secs(2), || panel.received() == asleep);

    let _again = shop.doorward.start(&shop.world.gateway, &["run", "control-plane"], &[]);
    shop.doorward.ready(1);
    chat.flows(CLIENT_COMES_BACK);
}
