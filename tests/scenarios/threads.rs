//! Several packet threads: each device's packets stay on one, both ways, and a revocation holds on all.

use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::service::{Manner, TcpServer, UdpServer};
use doorward_tests::shop::{Shop, receipt_ms};
use doorward_tests::traffic::Traffic;
use doorward_tests::world::{PANEL, at};

const BOUND: Duration = Duration::from_secs(15);

#[test]
fn three_packet_threads_share_devices_and_each_packet_finds_its_own() {
    let shop = Shop::open(4, &Settings { gateway: "threads = 3", ..Settings::default() });
    let inside = &shop.world.inside;
    let _panel = TcpServer::start(inside, at(PANEL[0], 443), Manner::Stream);
    let _dns = UdpServer::start(inside, at(PANEL[1], 53));
    shop.resource("panel", &PANEL, &["tcp/443", "udp/53", "icmp"]);
    let people = ["ada@shop.example", "bo@shop.example", "cy@shop.example", "di@shop.example"];
    let clients: Vec<_> =
        people.iter().enumerate().map(|(number, email)| shop.client(number, &shop.person(email, "panel"))).collect();
    let downloads: Vec<Traffic> =
        shop.world.laptops.iter().map(|laptop| Traffic::tcp_download(laptop, at(PANEL[0], 443))).collect();
    let chats: Vec<Traffic> =
        shop.world.laptops.iter().map(|laptop| Traffic::udp_chat(laptop, at(PANEL[1], 53))).collect();
    downloads.iter().chain(&chats).for_each(|traffic| traffic.flows(BOUND));

    let left = shop.doorward.json(&["person", "offboard", people[2]]);
    assert!(receipt_ms(&left) < 1_000, "{left}");
    let _ended = downloads[2].ends(BOUND);
    chats[2].stalls(Duration::from_millis(500), BOUND);
    for (number, (download, chat)) in downloads.iter().zip(&chats).enumerate().filter(|(number, _)| *number != 2) {
        assert_eq!(download.end(), None, "{} goes on", people[number]);
        download.flows(BOUND);
        chat.flows(BOUND);
    }

    let metrics = shop.doorward.metrics(&shop.world.gateway);
    let count = |name: &str| -> f64 {
        let line = metrics.lines().find(|line| line.starts_with(&format!("doorward_gateway_{name}")));
        line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name}:\n{metrics}"))
    };
    let (given, lost) = (count("handovers_total"), count("handovers_dropped_total"));
    let sent: u64 = chats.iter().map(Traffic::answers).sum();
    println!("{given} handovers, {lost} lost; {sent} questions were answered beside the downloads");
    assert_eq!(lost, 0.0);
    assert!(given >= 1.0, "initiations are handed over:\n{metrics}");
    assert!(given < 200.0, "packets find their thread without being handed over: {given}");
    drop(clients);
}
