//! A lid that closes for longer than any session lives. It waits three minutes in real time, so its module's name puts it
//! first: it sleeps while the others work.

use std::io::{Read, Write};
use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::dump::only_peer;
use doorward_tests::relay::Relay;
use doorward_tests::service::{Manner, TcpServer};
use doorward_tests::shop::Shop;
use doorward_tests::traffic::{Attempt, knock_tcp};
use doorward_tests::wait::comes_true;
use doorward_tests::world::{CAFE_PUBLIC, PANEL, at};

const LONG: Duration = Duration::from_secs(20);
/// The café's second public address.
const ELSEWHERE: &str = "198.51.100.8";

#[test]
fn a_laptop_that_slept_past_its_session_wakes_elsewhere_and_goes_on() {
    let shop = Shop::open(1, &Settings::default());
    shop.resource("panel", &[PANEL[0]], &["tcp/443-444", "icmp"]);
    let config = shop.person("support@shop.example", "panel");
    let relay = Relay::in_cafe(&shop.world, 5);
    shop.world.cafe.batch(&format!("addr add {ELSEWHERE}/24 dev uplink0\n"));
    let listener = shop.world.inside.tcp_listener(at(PANEL[0], 443));
    let laptop = &shop.world.laptops[0];
    let client = shop.client(0, &config);
    let mut person = laptop.tcp_connect(at(PANEL[0], 443), LONG).unwrap();
    let (mut panel, _) = listener.accept().unwrap();
    let handshake = client.latest_handshake();
    let endpoint = || {
        let endpoint = only_peer(&shop.world.gateway, &shop.doorward.interface).endpoint;
        endpoint.map(|endpoint| endpoint.ip().to_string()).unwrap_or_default()
    };
    assert_eq!(endpoint(), CAFE_PUBLIC);

    client.sleep();
    relay.change_address(ELSEWHERE.parse().unwrap());
    // REJECT_AFTER_TIME, 180 s (whitepaper, section 6.1), in real time: no session of before may be of use.
    std::thread::sleep(Duration::from_secs(185));
    let _ = panel.write_all(b"said while it slept");
    client.wake();

    person.write_all(b"good morning").unwrap();
    panel.set_read_timeout(Some(LONG)).unwrap();
    let mut words = [0_u8; 12];
    panel.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"good morning", "the connection of before the sleep goes on");
    person.set_read_timeout(Some(Duration::from_secs(150))).unwrap();
    let mut words = [0_u8; 19];
    person.read_exact(&mut words).unwrap();
    assert_eq!(&words, b"said while it slept");
    assert!(client.latest_handshake() >= handshake + 180, "on keys that were agreed on after the sleep");
    assert!(comes_true(LONG, || endpoint() == ELSEWHERE), "from where it woke");
    drop(listener);
    let _echo = TcpServer::start(&shop.world.inside, at(PANEL[0], 444), Manner::Echo);
    assert_eq!(knock_tcp(laptop, at(PANEL[0], 444), LONG), Attempt::Opened);
}
