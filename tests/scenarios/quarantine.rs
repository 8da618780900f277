//! Quarantine: a device whose key is good and whose sign-in lapsed reaches the portal, and a page that says so in place of
//! resources.
//!
//! ```text
//!   laptop ── café ═══ internet ═══ gateway (portal :8443, page :80 on the tunnel address) ── panel
//! ```

use std::io::{Read as _, Write as _};
use std::time::Duration;

use doorward_tests::doorward::Settings;
use doorward_tests::netns::Namespace;
use doorward_tests::service::{Manner, TcpServer};
use doorward_tests::shop::Shop;
use doorward_tests::sign_in::Member;
use doorward_tests::traffic::{Attempt, Traffic, knock_tcp};
use doorward_tests::wait::wait_until;
use doorward_tests::world::{PANEL, at};

const LONG: Duration = Duration::from_secs(15);
const SHORT: Duration = Duration::from_millis(1500);
/// The gateway's addresses inside the tunnel.
const GATEWAY: [&str; 2] = ["100.80.0.1", "fd64:6f6f:7277::1"];

/// Asks for a page over plain HTTP; returns the whole answer.
fn get(from: &Namespace, host: &str, method: &str) -> String {
    let mut stream = from.tcp_connect(at(host, 80), LONG).unwrap_or_else(|error| panic!("{host}: {error}"));
    stream.set_read_timeout(Some(LONG)).unwrap();
    write!(stream, "{method} /orders HTTP/1.1\r\nHost: panel\r\nContent-Length: 0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn who_must_sign_in_finds_the_portal_and_a_page_that_says_so_and_no_resource() {
    let settings = Settings { more: "[sign_in]\nwindow = \"12h\"\n", ..Settings::default() };
    let shop = Shop::open(1, &settings);
    let (inside, laptop) = (&shop.world.inside, &shop.world.laptops[0]);
    let _web: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 443), Manner::Echo)).collect();
    let _plain: Vec<_> = PANEL.iter().map(|host| TcpServer::start(inside, at(host, 80), Manner::Echo)).collect();
    shop.resource("panel", &PANEL, &["tcp/443", "tcp/80"]);
    let mut config = shop.person("support@shop.example", "panel");
    config.allowed_ips.extend(["100.80.0.0/16", "fd64:6f6f:7277::/64"].map(str::to_owned));
    let _client = shop.client(0, &config);
    let listed = shop.doorward.json(&["resource", "list"]);
    let panel = listed.as_array().or_else(|| listed["resources"].as_array()).unwrap()[0].clone();

    for (family, key) in ["service_v4", "service_v6"].into_iter().enumerate() {
        let service = panel[key].as_str().unwrap();
        for host in [service, PANEL[family]] {
            let answer = get(laptop, host, "GET");
            assert!(answer.starts_with("HTTP/1.1 302"), "{host}: {answer}");
            assert!(answer.contains("location: https://100.80.0.1:8443/sign-in?lapsed=1"), "{host}: {answer}");
            assert!(answer.contains("Your sign-in has lapsed") && answer.contains("no-store"), "{host}: {answer}");
            assert!(get(laptop, host, "POST").starts_with("HTTP/1.1 511"), "{host}");
            assert_ne!(knock_tcp(laptop, at(host, 443), SHORT), Attempt::Opened, "{host} waits for a sign-in");
        }
        assert!(get(laptop, GATEWAY[family], "GET").starts_with("HTTP/1.1 302"));
        assert_ne!(knock_tcp(laptop, at(GATEWAY[family], 22), SHORT), Attempt::Opened);
    }
    assert_eq!(knock_tcp(laptop, at(GATEWAY[0], 8443), LONG), Attempt::Opened, "the portal");
    let outside = &shop.world.internet;
    assert_ne!(knock_tcp(outside, at(GATEWAY[0], 80), SHORT), Attempt::Opened, "the page is for devices");
}

#[test]
fn a_sign_in_opens_the_same_tunnel_and_a_copied_key_shuts_it_for_both() {
    let settings = Settings { more: "[sign_in]\nwindow = \"12h\"\n", ..Settings::default() };
    let shop = Shop::open(2, &settings);
    let (inside, laptop, other) = (&shop.world.inside, &shop.world.laptops[0], &shop.world.laptops[1]);
    let panel = at(PANEL[0], 443);
    let _web = TcpServer::start(inside, panel, Manner::Echo);
    shop.resource("panel", &PANEL, &["tcp/443"]);
    let config = shop.person("support@shop.example", "panel");
    let client = shop.client(0, &config);
    let opens = |from: &Namespace| knock_tcp(from, panel, SHORT) == Attempt::Opened;
    assert!(!opens(laptop), "nobody has signed in yet");

    let mut member = Member::join(&shop.doorward, "support@shop.example");
    wait_until("the resource behind the same tunnel", LONG, || opens(laptop));
    let chat = Traffic::tcp_chat(laptop, panel);
    chat.flows(LONG);

    // Somebody else has the config, and both work with it in turn.
    let copy = shop.client(1, &config);
    let shut = || {
        let _turns = (opens(other), opens(laptop));
        let audit = shop.doorward.request("GET", "/api/v1/audit", None).body;
        audit.contains("device.window_close")
    };
    wait_until("the window to shut", LONG, shut);
    wait_until("nothing to pass for either", LONG, || !opens(laptop) && !opens(other));
    // The reset goes where the key was heard last, which may be the other one.
    chat.stalls(Duration::from_secs(2), LONG);
    assert!(shop.alert_names(&["support@shop.example", "two places"]), "{}", shop.status());

    copy.stop();
    drop(client);
    member.sign_in(&shop.doorward);
    let _client = shop.client(0, &config);
    wait_until("the resource after another sign-in", LONG, || opens(laptop));
}
