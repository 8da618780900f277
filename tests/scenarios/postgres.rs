//! The same promises on PostgreSQL, with a second control plane beside the first.

use std::time::Duration;

use doorward_store::test_support::TestDatabase;
use doorward_tests::doorward::{Doorward, Settings, utf8};
use doorward_tests::service::UdpServer;
use doorward_tests::shop::{Shop, micros};
use doorward_tests::traffic::Traffic;
use doorward_tests::world::{PANEL, at};

const LONG: Duration = Duration::from_secs(15);

#[test]
fn on_postgresql_an_offboarding_at_any_control_plane_reaches_the_gateway_in_time() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let database = runtime.block_on(TestDatabase::postgres()).unwrap();
    let server = format!("database = \"{}\"", database.url());
    let shop = Shop::closed(1, &Settings { server: &server, ..Settings::default() });
    let machine = &shop.world.gateway;
    let _first = shop.doorward.start(machine, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    let _gateway = shop.doorward.start(machine, &["run", "gateway"], &[]);
    shop.doorward.ready(1);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(&shop.world.laptops[0], at(PANEL[0], 53));
    chat.flows(LONG);

    // The second one runs in the office, on the same database; the gateway does not know it.
    let second =
        Doorward::prepare(shop.world.folder.path(), "second", &Settings { server: &server, ..Settings::default() });
    second
        .start_in_vain(&shop.world.office, &[], &["run", "control-plane"])
        .refuses(1, &["seal key", "doorward replica export", "doorward replica import"]);
    for own in ["keys", "feed-ca", "tls"] {
        std::fs::remove_dir_all(second.data.join(own)).unwrap();
    }
    let keys = shop.world.folder.path().join("replica.json");
    shop.doorward.run(&["replica", "export", "--out", utf8(&keys)]);
    second.run(&["replica", "import", utf8(&keys)]);
    let _second = second.start(&shop.world.office, &["run", "control-plane"], &[]);
    second.ready(0);
    assert_eq!(second.json(&["person", "list"])[0]["email"], "support@shop.example", "both see the same people");
    let outcome = second.json(&["person", "offboard", "support@shop.example"]);
    let late = chat.stalls(Duration::from_secs(2), LONG) - micros(&outcome["decided_at"]);
    println!("offboarding at another replica: last answer after {} ms", late / 1000);
    assert!(late <= 1_000_000, "{late} µs");
    assert_eq!(shop.doorward.json(&["audit", "verify"])["intact"], true);
}
