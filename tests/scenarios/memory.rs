//! Memory: a gateway that knows 10,000 devices and hears none of them.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use doorward_tests::doorward::Settings;
use doorward_tests::process::resident_kib;
use doorward_tests::shop::Shop;
use doorward_tests::wait::wait_until;
use doorward_tests::world::PANEL;
use serde_json::json;
use x25519_dalek::{PublicKey, StaticSecret};

/// Registered devices.
const DEVICES: usize = 10_000;
/// Devices of one person.
const DEVICES_EACH: usize = 100;
/// The promise, in KiB.
const RESIDENT_KIB_MAX: u64 = 100 * 1024;

#[test]
fn ten_thousand_idle_devices_cost_the_gateway_less_than_100_mib() {
    let shop = Shop::closed(0, &Settings::default());
    let _control_plane = shop.doorward.start(&shop.world.gateway, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    shop.resource("panel", &PANEL, &["tcp/443", "udp/53", "icmp"]);
    let start = Instant::now();
    let mut admin = shop.doorward.connect();
    let mut post = |path: &str, body: serde_json::Value| {
        let answer = admin.request("POST", path, Some(&body.to_string())).expect("an answer");
        assert!((200..300).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
    };
    for number in 0..DEVICES {
        let email = format!("person{}@shop.example", number / DEVICES_EACH);
        if number % DEVICES_EACH == 0 {
            post("/api/v1/people", json!({"email": email, "name": "Some Body", "kind": "staff"}));
            post("/api/v1/grants", json!({"email": email, "resource": "panel", "for": "8h"}));
        }
        let key = STANDARD.encode(PublicKey::from(&secret(number)).as_bytes());
        post("/api/v1/devices", json!({"email": email, "name": format!("device{number}"), "public_key": key}));
    }
    println!("{DEVICES} devices registered over the API in {:?}", start.elapsed());

    let gateway = shop.doorward.start(&shop.world.gateway, &["run", "gateway"], &[]);
    let start = Instant::now();
    let known = || shop.status()["gateways"][0]["devices_known"].as_u64().unwrap_or(0);
    wait_until("the gateway to know them all", Duration::from_secs(60), || {
        shop.doorward.says(&["status"]).code == 0 && known() >= DEVICES as u64
    });
    let resident = resident_kib(gateway.pid());
    println!("{DEVICES} idle devices: gateway {resident} KiB resident, snapshot taken after {:?}", start.elapsed());
    assert!(resident < RESIDENT_KIB_MAX, "{resident} KiB");
}

/// Any 32 bytes are an X25519 secret once clamped; these need to differ, not to be secret.
fn secret(number: usize) -> StaticSecret {
    let mut bytes = [7_u8; 32];
    // Past the first byte, whose low bits clamping clears.
    bytes[8..16].copy_from_slice(&(number as u64).to_le_bytes());
    StaticSecret::from(bytes)
}
