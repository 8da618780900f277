//! Memory: a gateway that knows 10,000 devices, or 100,000, and hears none of them.

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

/// Registered devices of the largest shop that is planned for.
const MANY: u64 = 100_000;
/// The promises: from the gateway's start until it enforces them all, on a machine that does nothing else
/// (`tests/bench/snapshot.sh` says so; in the ordinary run others are at work too, and time says nothing), and what it needs then.
const SNAPSHOT_MAX: Duration = Duration::from_secs(5);
const MANY_KIB_MAX: u64 = 300 * 1024;
const ALONE: &str = "DOORWARD_SNAPSHOT_ALONE";

/// What 1,000 people with a grant and 100 devices each are in the database.
const FURNISH: &str = "
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
INSERT INTO principals (id, email, name, kind, state, created_at, changed_at)
    SELECT randomblob(16), 'person' || i || '@shop.example', 'Some Body', 'staff', 'active', 1, 1 FROM n;
INSERT INTO grants (id, principal_id, resource_id, not_before, not_after, requested_by, approved_by, created_at)
    SELECT randomblob(16), p.id, r.id, 1, 4102444800000000, 'a', 'b', 1 FROM principals p, resources r;
WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 99)
INSERT INTO devices (id, principal_id, name, public_key, slot, created_at)
    SELECT randomblob(16), p.id, 'device' || n.i, randomblob(32), ROW_NUMBER() OVER () + 10, 1 FROM principals p, n;
INSERT INTO address_slots (slot, device_id, rests_until) SELECT slot, id, 0 FROM devices;
INSERT INTO outbox (revision, at, kind) SELECT revision + 1, 1, 'everything' FROM feed_revision;
UPDATE feed_revision SET revision = revision + 1;
";

#[test]
fn a_gateway_takes_a_hundred_thousand_devices_in_seconds_and_300_mib() {
    let network = "[network]\nv4 = \"100.64.0.0/14\"";
    let shop = Shop::closed(0, &Settings { more: network, ..Settings::default() });
    let machine = &shop.world.gateway;
    let mut control_plane = shop.doorward.start(machine, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    shop.resource("panel", &PANEL, &["tcp/443", "udp/53", "icmp"]);
    assert!(control_plane.terminate().success());
    let file = shop.doorward.data.join("doorward.db");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        use sqlx::{ConnectOptions as _, Connection as _};
        let mut database = sqlx::sqlite::SqliteConnectOptions::new().filename(file).connect().await.unwrap();
        sqlx::raw_sql(FURNISH).execute(&mut database).await.unwrap();
        database.close().await.unwrap();
    });
    let _control_plane = shop.doorward.start(machine, &["run", "control-plane"], &[]);
    shop.doorward.ready(0);
    let start = Instant::now();
    let gateway = shop.doorward.start(machine, &["run", "gateway"], &[]);
    let known = || {
        let address = "127.0.0.1:9586".parse().unwrap();
        let stream = machine.tcp_connect(address, Duration::from_secs(5)).ok()?;
        let metrics = doorward_tests::http::Connection::new(stream).request("GET", "/metrics", None).ok()?.body;
        let line = metrics.lines().find_map(|line| line.strip_prefix("doorward_gateway_devices_known "))?;
        line.trim().parse::<u64>().ok()
    };
    wait_until("the gateway to know them all", Duration::from_secs(60), || known() == Some(MANY));
    let (took, resident) = (start.elapsed(), resident_kib(gateway.pid()));
    println!("{MANY} devices: enforced {took:?} after the gateway's start, {resident} KiB resident");
    assert!(resident < MANY_KIB_MAX, "{resident} KiB");
    assert!(std::env::var_os(ALONE).is_none() || took < SNAPSHOT_MAX, "{took:?}");
}
