//! What an operator sees: `wg show`, metrics, privileges, and the official tool with the config as it was handed out.

use std::fs;
use std::time::Duration;

use doorward_tests::client::{Client, WgQuick};
use doorward_tests::doorward::Settings;
use doorward_tests::http::Connection;
use doorward_tests::names;
use doorward_tests::process::{children, status_field};
use doorward_tests::service::UdpServer;
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, knock_tcp, reaches_udp};
use doorward_tests::wait::wait_until;
use doorward_tests::witness::Witness;
use doorward_tests::world::{CAFE_PUBLIC, PANEL, at};

const LONG: Duration = Duration::from_secs(15);

fn shop_with_panel() -> (Shop, WgQuick, UdpServer) {
    let shop = Shop::open(1, &Settings::default());
    let panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    (shop, config, panel)
}

/// The columns of `wg show INTERFACE dump` for its one peer.
fn peer(shop: &Shop, interface: &str) -> Vec<String> {
    let dump = shop.world.gateway.stdout("wg", &["show", interface, "dump"]);
    let line = dump.lines().nth(1).unwrap_or_default();
    line.split('\t').map(str::to_owned).collect()
}

#[test]
fn wg_show_prints_the_peer_its_endpoint_handshake_and_the_clients_own_byte_counts() {
    let (shop, config, _panel) = shop_with_panel();
    let interface = &shop.doorward.interface;
    let before = peer(&shop, interface);
    assert_eq!(before[2..5], ["(none)".to_owned(), before[3].clone(), "0".to_owned()], "no handshake yet: {before:?}");
    let client: Client = shop.client(0, &config);
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)));

    let dump = shop.world.gateway.stdout("wg", &["show", interface, "dump"]);
    let own: Vec<&str> = dump.lines().next().unwrap().split('\t').collect();
    assert_eq!(own[0], "(none)", "the private key is not shown");
    assert_eq!(own[2], "51820");
    let columns = peer(&shop, interface);
    assert!(columns[2].starts_with(CAFE_PUBLIC), "{columns:?}");
    assert!(columns[3].contains(&format!("{}/32", config.address(false))), "{columns:?}");
    assert!(columns[4].parse::<u64>().unwrap().abs_diff(client.latest_handshake()) <= 1, "{columns:?}");
    wait_until("both ends to count the same bytes", LONG, || {
        let (here, there) = (peer(&shop, interface), peer(&shop, client.interface()));
        here[5] == there[6] && here[6] == there[5] && here[5] != "0"
    });
    let set = shop.world.gateway.output("wg", &["set", interface, "listen-port", "4444"]);
    assert!(!set.status.success(), "the socket is read-only: peers come from leases alone");
}

#[test]
fn wg_quick_takes_the_config_as_it_is_handed_out() {
    let (shop, config, _panel) = shop_with_panel();
    let laptop = &shop.world.laptops[0];
    let name = names::interface();
    let file = shop.world.folder.path().join(format!("{name}.conf"));
    let path = file.to_str().unwrap();
    let email = "support@shop.example";
    shop.doorward.run(&["device", "add", email, "tablet", "--out", path]);
    use std::os::unix::fs::PermissionsExt;
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "nobody else may read it");
    let text = fs::read_to_string(&file).unwrap();
    assert!(!text.contains("DNS"), "no DNS line");
    assert_eq!(WgQuick::parse(&text).gateway_key, config.gateway_key);

    struct Down<'a>(&'a doorward_tests::netns::Namespace, &'a str);
    impl Drop for Down<'_> {
        fn drop(&mut self) {
            let _ = self.0.output("wg-quick", &["down", self.1]);
        }
    }
    let with = ["WG_QUICK_USERSPACE_IMPLEMENTATION=wireguard-go", "LOG_LEVEL=error", "wg-quick", "up", path];
    // Into a file, because wireguard-go stays and would hold a pipe open for as long as it lives.
    let log = fs::File::create(shop.world.folder.path().join("wg-quick.log")).unwrap();
    let up = laptop.command("env").args(with).stdout(log.try_clone().unwrap()).stderr(log).status().unwrap();
    let _down = Down(laptop, path);
    assert!(up.success(), "{}", fs::read_to_string(shop.world.folder.path().join("wg-quick.log")).unwrap());
    assert!(reaches_udp(laptop, at(PANEL[0], 53)), "the official tool reaches the panel");
}

#[test]
fn the_control_plane_holds_no_capability_and_is_not_root() {
    let (shop, _, _) = shop_with_panel();
    let up = shop.up.as_ref().unwrap().pid();
    let halves = children(up);
    let find = |half: &str| halves.iter().find(|(_, line)| line.contains(half)).map(|(pid, _)| *pid);
    let control_plane = find("control-plane").unwrap_or_else(|| panic!("a control plane among {halves:?}"));
    let field = |pid, name| status_field(pid, name).unwrap();
    for set in ["CapInh", "CapPrm", "CapEff", "CapAmb"] {
        assert_eq!(field(control_plane, set), "0000000000000000", "{set} of the control plane");
    }
    let uids = field(control_plane, "Uid");
    assert!(uids.split_whitespace().all(|uid| uid != "0"), "uids {uids}");
    let gateway = find("gateway").unwrap();
    let net_admin = 1_u64 << 12;
    let effective = u64::from_str_radix(&field(gateway, "CapEff"), 16).unwrap();
    assert_eq!(effective, net_admin, "the gateway keeps CAP_NET_ADMIN alone, not {effective:#x}");
    let private = shop.doorward.data.join("gateway/private.key");
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let key = fs::metadata(&private).unwrap();
    assert_eq!((key.uid(), key.permissions().mode() & 0o777), (0, 0o600), "the gateway's key is root's alone");
}

#[test]
fn ports_below_1024_are_opened_for_a_control_plane_that_may_not_open_them() {
    // Opened before the privileges are given away, at each start: the second one follows a kill.
    let settings = Settings { server: "local_http = \"127.0.0.1:80\"", ..Settings::default() };
    let shop = Shop::open(0, &settings);
    let up = shop.up.as_ref().unwrap().pid();
    let control_plane =
        || children(up).into_iter().find(|(_, line)| line.contains("control-plane")).map(|(pid, _)| pid);
    let answers = || {
        let stream = shop.world.gateway.tcp_connect(at("127.0.0.1", 80), LONG).ok()?;
        Connection::new(stream).request("GET", "/healthz", None).ok().map(|answer| answer.status)
    };
    assert_eq!(answers(), Some(204));
    let first = control_plane().unwrap();
    assert_eq!(status_field(first, "CapEff").unwrap(), "0000000000000000");
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(first).unwrap()).unwrap(),
        rustix::process::Signal::KILL,
    )
    .unwrap();
    wait_until("the control plane answers again", LONG, || {
        control_plane().is_some_and(|pid| pid != first) && answers() == Some(204)
    });
}

#[test]
fn metrics_answer_on_their_own_listener_and_count_what_passes_and_what_does_not() {
    let (shop, mut config, _panel) = shop_with_panel();
    config.allowed_ips.push("10.0.5.0/24".to_owned());
    let _client = shop.client(0, &config);
    let laptop = &shop.world.laptops[0];
    assert!(reaches_udp(laptop, at(PANEL[0], 53)));
    assert_ne!(knock_tcp(laptop, at(PANEL[0], 22), Duration::from_secs(1)), Attempt::Opened);
    let metrics = shop.doorward.metrics(&shop.world.gateway);
    assert!(metrics.contains("doorward_gateway_"), "{metrics}");
    let sum = |word: &str| -> f64 {
        let lines = metrics.lines().filter(|line| line.starts_with("doorward_gateway_") && line.contains(word));
        lines.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    };
    assert!(sum("denied") >= 1.0, "a denial is counted:\n{metrics}");
    assert!(sum("handshake") >= 1.0, "a handshake is counted:\n{metrics}");
    assert!(!metrics.contains(&config.gateway_key), "no key in metrics");
}

#[test]
fn the_wireguard_port_says_nothing_to_whoever_does_not_know_its_key() {
    let (shop, _, _) = shop_with_panel();
    let laptop = &shop.world.laptops[0];
    let witness = Witness::start(&shop.world.internet, shop.world.folder.path(), "witness-internet", "gateway0");
    let socket = laptop.udp_socket(at("0.0.0.0", 0));
    let sizes = [0_usize, 1, 4, 32, 64, 92, 148, 1200];
    for size in sizes {
        for kind in 0..=5_u8 {
            let mut datagram = vec![0_u8; size];
            datagram.first_mut().into_iter().for_each(|byte| *byte = kind);
            socket.send_to(&datagram, at("203.0.113.2", 51820)).unwrap();
        }
    }
    wait_until("all of it to pass by", LONG, || witness.count(|packet| packet.to_port(51820)) >= sizes.len() * 6);
    // A ping after them is answered after them: what was to come has come.
    assert!(doorward_tests::traffic::reaches_ping(laptop, "203.0.113.2"));
    let answered =
        witness.count(|packet| matches!(packet.kind, doorward_tests::witness::Kind::Udp { from: 51820, .. }));
    assert_eq!(answered, 0, "the port answered a stranger");
}

#[test]
fn status_and_audit_tell_who_did_what() {
    let (shop, config, _panel) = shop_with_panel();
    let _client = shop.client(0, &config);
    assert!(reaches_udp(&shop.world.laptops[0], at(PANEL[0], 53)));
    wait_until("the device to be counted as active", LONG, || shop.status()["gateways"][0]["devices_active"] == 1);
    let status = shop.status();
    let gateway = &status["gateways"][0];
    assert_eq!(gateway["name"], "main");
    assert_eq!(gateway["connected"], true);
    assert_eq!(gateway["revision"], status["revision"], "the gateway enforces what was decided last: {status}");
    let tail = shop.doorward.run(&["audit", "tail"]);
    assert!(tail.contains("support@shop.example"), "{tail}");
    assert_eq!(shop.doorward.json(&["audit", "verify"])["intact"], true);
}
