//! Clean stops and restarts: the host is as it was, and people's configurations stay good.

use std::fs::DirBuilder;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::host_state::{assert_same, host_state};
use doorward_tests::process::{children, status_field};
use doorward_tests::service::UdpServer;
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Traffic, reaches_udp};
use doorward_tests::world::{PANEL, at};
use rustix::process::{Pid, Signal, kill_process};

const LONG: Duration = Duration::from_secs(15);

#[test]
fn a_clean_stop_leaves_no_rule_route_interface_socket_or_changed_parameter() {
    let mut shop = Shop::closed(1, &Settings::default());
    let before = host_state(&shop.world.gateway);
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
    let during = host_state(&shop.world.gateway);
    assert_ne!(before, during, "a running gateway changes the host, or the comparison sees nothing");
    let uapi = format!("/var/run/wireguard/{}.sock", shop.doorward.interface);
    assert!(Path::new(&uapi).exists());

    let status = shop.up.take().unwrap().terminate();
    assert!(status.success(), "a stop that was asked for is a success: {status}");
    assert_same(&before, &host_state(&shop.world.gateway));
    for socket in [Path::new(&uapi), &shop.doorward.data.join("admin.sock"), &shop.doorward.data.join("feed.sock")] {
        assert!(!socket.exists(), "{} is left behind", socket.display());
    }
    shop.doorward.says(&["status"]).refuses(5, &["doorward up"]);
}

#[test]
fn a_gateway_killed_just_before_the_end_is_cleared_up_after() {
    let mut shop = Shop::closed(0, &Settings::default());
    let before = host_state(&shop.world.gateway);
    let mut up = shop.doorward.start(&shop.world.gateway, &["up"], &[]);
    shop.doorward.ready(1);
    let halves = children(up.pid());
    let (gateway, _) = halves.iter().find(|(_, line)| line.contains("gateway")).expect("a gateway");
    // The supervisor is asked to stop while it holds still, so that no successor is started in between.
    up.signal(Signal::STOP);
    kill_process(Pid::from_raw(i32::try_from(*gateway).unwrap()).unwrap(), Signal::KILL).unwrap();
    up.signal(Signal::TERM);
    up.signal(Signal::CONT);
    assert!(up.wait(LONG).success());
    assert_same(&before, &host_state(&shop.world.gateway));
    shop.up = None;
}

#[test]
fn a_data_folder_inside_a_private_one_is_reached_without_opening_that_to_others() {
    let mut shop = Shop::closed(0, &Settings::default());
    let private = shop.world.folder.path().join("private");
    DirBuilder::new().mode(0o700).create(&private).unwrap();
    shop.doorward.data = private.join("data");
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
    let halves = children(shop.up.as_ref().unwrap().pid());
    let (control_plane, _) = halves.iter().find(|(_, line)| line.contains("control-plane")).expect("a control plane");
    assert_ne!(status_field(*control_plane, "Uid").unwrap().split_whitespace().next(), Some("0"));
    assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o700);
    shop.staff("support@shop.example");
    assert!(private.join("data/doorward.db").exists(), "the database is where it was asked for");
}

#[test]
fn after_a_restart_of_everything_peoples_configurations_still_work() {
    let mut shop = Shop::open(1, &Settings::default());
    let laptop = &shop.world.laptops[0];
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(laptop, at(PANEL[0], 53));
    chat.flows(LONG);
    let before = shop.doorward.json(&["device", "list"]);

    assert!(shop.up.take().unwrap().terminate().success());
    shop.up = Some(shop.doorward.start(&shop.world.gateway, &["up"], &[]));
    shop.doorward.ready(1);
    assert_eq!(before, shop.doorward.json(&["device", "list"]), "people, keys and addresses are kept");
    chat.flows(Duration::from_secs(45));
    assert!(reaches_udp(laptop, at(PANEL[0], 53)));
    let verified = shop.doorward.json(&["audit", "verify"]);
    assert_eq!(verified["intact"], true, "{verified}");
}
