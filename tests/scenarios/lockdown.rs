//! Lockdown: nobody passes, at once, until it is lifted.

use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::service::UdpServer;
use doorward_tests::shop::{Shop, micros, receipt_ms};
use doorward_tests::traffic::Traffic;
use doorward_tests::world::{DATABASE, PANEL, at};

const LONG: Duration = Duration::from_secs(15);

#[test]
fn lockdown_stops_everybody_at_once_and_lifting_it_lets_them_go_on() {
    let shop = Shop::open(2, &Settings::default());
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    shop.resource("db", &[DATABASE[0]], &["udp/53"]);
    let _servers = [PANEL[0], DATABASE[0]].map(|host| UdpServer::start(&shop.world.inside, at(host, 53)));
    let one = shop.person("one@shop.example", "panel");
    let two = shop.person("two@shop.example", "db");
    let (_one, _two) = (shop.client(0, &one), shop.client(1, &two));
    let chats = [
        Traffic::udp_chat(&shop.world.laptops[0], at(PANEL[0], 53)),
        Traffic::udp_chat(&shop.world.laptops[1], at(DATABASE[0], 53)),
    ];
    chats.iter().for_each(|chat| chat.flows(LONG));

    let outcome = shop.doorward.json(&["lockdown", "on", "--reason", "a stolen laptop"]);
    println!("lockdown: confirmed after {} ms", receipt_ms(&outcome));
    for chat in &chats {
        let late = chat.stalls(Duration::from_secs(2), LONG) - micros(&outcome["decided_at"]);
        assert!(late <= 1_000_000, "a packet {late} µs after the lockdown");
    }
    assert!(shop.doorward.run(&["lockdown", "status"]).contains("stolen laptop"), "the reason is shown");
    shop.doorward.run(&["lockdown", "off"]);
    chats.iter().for_each(|chat| chat.flows(LONG));
}
