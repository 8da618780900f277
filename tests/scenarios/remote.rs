//! Control plane and gateway on different machines: the feed over mutual TLS, a one-time enrolment token.

use std::time::Duration;

use doorward_tests::doorward::{Doorward, Settings};
use doorward_tests::process::Process;
use doorward_tests::service::UdpServer;
use doorward_tests::shop::{Shop, receipt_ms};
use doorward_tests::traffic::{Traffic, micros_now};
use doorward_tests::world::{PANEL, at};

const LONG: Duration = Duration::from_secs(15);
const TTL_BOUND_MICROS: i64 = 4_000_000;

/// The control plane runs in the office; [`Shop::doorward`] is its folder. The gateway's folder is returned beside it.
struct Apart {
    shop: Shop,
    remote: Doorward,
    token: String,
    _control_plane: Process,
}

fn apart() -> Apart {
    let server = "feed_listen = \"0.0.0.0:8444\"";
    let shop = Shop::closed(1, &Settings { ttl: "3s", server, ..Settings::default() });
    let control_plane = shop.doorward.start(&shop.world.office, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    let token = shop.doorward.json(&["gateway", "token", "add", "main"]);
    let token = token["token"].as_str().unwrap_or_else(|| panic!("a token: {token}")).to_owned();
    let remote = remote(&shop, "gateway-data");
    Apart { shop, remote, token, _control_plane: control_plane }
}

fn remote(shop: &Shop, name: &str) -> Doorward {
    let gateway = "control_plane = \"https://192.0.2.9:8444\"";
    Doorward::prepare(shop.world.folder.path(), name, &Settings { ttl: "3s", gateway, ..Settings::default() })
}

#[test]
fn a_gateway_enrols_once_serves_people_and_loses_its_authority_when_removed() {
    let Apart { shop, remote: gateway, token, _control_plane } = apart();
    let machine = &shop.world.gateway;
    gateway.start_in_vain(machine, &[], &["run", "gateway"]).refuses(1, &["doorward gateway token add"]);
    // The last digit of the fingerprint, changed: the token belongs to another control plane.
    let digit = if token.ends_with('0') { '1' } else { '0' };
    let wrong = format!("DOORWARD_GATEWAY_TOKEN={}{digit}", &token[..token.len() - 1]);
    let refused = gateway.start_in_vain(machine, &["env", &wrong], &["run", "gateway"]);
    assert!([1, 2].contains(&refused.code), "a token with another fingerprint: {refused:?}");

    let mut process = gateway.start(machine, &["run", "gateway"], &[("DOORWARD_GATEWAY_TOKEN", &token)]);
    shop.doorward.ready(1);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(&shop.world.laptops[0], at(PANEL[0], 53));
    chat.flows(LONG);

    // The token is used up: nobody else becomes a gateway with it.
    let thief = remote(&shop, "thief-data");
    let variable = format!("DOORWARD_GATEWAY_TOKEN={token}");
    thief.start_in_vain(&shop.world.internet, &["env", &variable], &["run", "gateway"]).refuses(1, &["token"]);

    // The certificate it was given is enough from then on.
    assert!(process.terminate().success());
    let _process = gateway.start(machine, &["run", "gateway"], &[]);
    shop.doorward.ready(1);
    chat.flows(Duration::from_secs(45));

    let removed = micros_now();
    shop.doorward.run(&["gateway", "remove", "main"]);
    let late = chat.stalls(Duration::from_millis(2500), LONG) - removed;
    assert!(late <= TTL_BOUND_MICROS, "a removed gateway went on for {late} µs");
}

#[test]
fn a_cut_between_the_machines_pauses_traffic_and_its_repair_resumes_it() {
    let Apart { shop, remote: gateway, token, _control_plane } = apart();
    let machine = &shop.world.gateway;
    let _process = gateway.start(machine, &["run", "gateway"], &[("DOORWARD_GATEWAY_TOKEN", &token)]);
    shop.doorward.ready(1);
    let _panel = UdpServer::start(&shop.world.inside, at(PANEL[0], 53));
    shop.resource("panel", &[PANEL[0]], &["udp/53"]);
    let config = shop.person("support@shop.example", "panel");
    let _client = shop.client(0, &config);
    let chat = Traffic::udp_chat(&shop.world.laptops[0], at(PANEL[0], 53));
    chat.flows(LONG);

    // One way only: what the control plane says is lost, what the gateway says arrives.
    let cut = micros_now();
    shop.world.internet.nft(
        "table ip cut { chain forward { type filter hook forward priority 0; ip saddr 192.0.2.9 tcp sport 8444 drop\n}\n}\n",
    );
    let late = chat.stalls(Duration::from_millis(2500), LONG) - cut;
    println!("feed cut one way: last answer after {} ms", late / 1000);
    assert!(late <= TTL_BOUND_MICROS, "traffic went on for {late} µs");
    // A revocation during the cut is decided at once; the gateway has no say in it.
    shop.staff("other@shop.example");
    shop.device("other@shop.example", "phone");
    let outcome = shop.doorward.json(&["person", "offboard", "other@shop.example"]);
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_null(), "nobody can have confirmed it: {outcome}");

    shop.world.internet.nft("delete table ip cut");
    chat.flows(Duration::from_secs(45));
    let outcome = shop.doorward.json(&["person", "offboard", "support@shop.example"]);
    println!("offboarding over mutual TLS: confirmed after {} ms", receipt_ms(&outcome));
    chat.stalls(Duration::from_secs(2), LONG);
}
