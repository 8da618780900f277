//! What nobody uses any more ends by itself, and not by mistake.

use std::time::Duration;

use doorward_control_plane::DisuseTerms;
use doorward_model::Timestamp;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::world::{Settings, World, on_both};

const SUPPORT: &str = "support@shop.example";
const SECOND: Duration = Duration::from_secs(1);

fn terms(unused_keys: Duration, inactive: Duration) -> Settings {
    Settings { disuse: DisuseTerms { unused_keys, inactive }, ..Settings::default() }
}

/// Waits until everything that is there is older than a second.
async fn aged() {
    let since = Timestamp::now();
    eventually(|| async { (since.duration_until(Timestamp::now()).as_millis() > 1_100).then_some(()) }).await;
}

async fn alert(world: &World, part: &str) -> Value {
    let told = async || {
        let status = world.get("/api/v1/status").await;
        let alerts = status["alerts"].as_array().unwrap().clone();
        alerts.into_iter().find(|it| it["kind"] == "disuse" && it["message"].as_str().unwrap().contains(part))
    };
    eventually(told).await
}

on_both!(keys_that_nobody_uses_end_and_people_whom_nobody_sees_rest, |world: World| async move {
    let laptop = world.furnish().await["id"].clone();
    let phone = world.device(SUPPORT, "phone", 2).await["id"].clone();
    world.post("/api/v1/people", json!({ "email": "boss@shop.example", "name": "Boss", "kind": "staff" })).await;
    world.call(Method::PUT, "/api/v1/people/boss@shop.example/role", json!({ "role": "owner" })).await;
    let contractor = json!({ "email": "c@agency.example", "name": "C", "kind": "contractor", "sponsor": SUPPORT });
    world.post("/api/v1/people", contractor).await;
    aged().await;
    let gateway = Gateway::local(&world, "main").await;
    let usage = json!({ "session": gateway.session, "devices": [{
        "device": phone, "endpoint": "198.51.100.7:4711", "last_handshake": Timestamp::now() + Duration::from_hours(1),
        "bytes_up": 1, "bytes_down": 1,
    }]});
    let (status, answer) = gateway.way.post("/feed/v1/usage", usage).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    drop(gateway);
    // What a request left to do is done before the server leaves.
    let world = world.restarted_with(terms(SECOND, Duration::ZERO)).await;
    let gone = async || {
        let devices = world.get("/api/v1/devices").await;
        let gone =
            devices.as_array().unwrap().iter().find(|it| it["id"] == laptop && it["state"] == "revoked").cloned();
        gone.map(|_| ())
    };
    eventually(gone).await;
    let tail = world.get("/api/v1/audit/tail?lines=20").await;
    let rows = tail["rows"].as_array().unwrap();
    let ended = rows.iter().find(|row| row["action"] == "device.end" && row["detail"]["name"] == "laptop").unwrap();
    assert_eq!((&ended["actor"], &ended["detail"]["email"]), (&json!("system"), &json!(SUPPORT)));
    assert_eq!(ended["detail"]["unused_for"], "1 s");
    let person = world.get(&format!("/api/v1/people/{SUPPORT}")).await;
    let kept = person["devices"].as_array().unwrap().iter().find(|it| it["id"] == phone).unwrap();
    assert_eq!((&person["state"], &kept["state"]), (&json!("active"), &json!("active")), "the phone was used just now");

    aged().await;
    let world = world.restarted_with(terms(Duration::ZERO, SECOND)).await;
    let told = alert(&world, SUPPORT).await;
    assert!(told["message"].as_str().unwrap().contains("person restore support@shop.example"), "{told}");
    let states = async || {
        let of = async |email: &str| world.get(&format!("/api/v1/people/{email}")).await["state"].clone();
        (of(SUPPORT).await, of("boss@shop.example").await)
    };
    assert_eq!(states().await, (json!("suspended"), json!("active")), "an owner stays");
    let endings = world.get(&format!("/api/v1/people/{SUPPORT}/endings")).await;
    let of_contractor = world.get("/api/v1/people/c@agency.example").await["state"].clone();
    assert_eq!((&endings[0]["action"], of_contractor), (&json!("person.inactive"), json!("suspended")));
    assert_eq!(endings[0]["suspended"], json!(["c@agency.example"]), "nobody answers for them any more");
    // Whoever is taken back counts as seen.
    world.post(&format!("/api/v1/people/{SUPPORT}/restore"), json!({})).await;
    let world = world.restarted_with(terms(Duration::ZERO, Duration::from_mins(5))).await;
    eventually(|| async { (world.get("/api/v1/status").await["revision"].as_u64()? > 0).then_some(()) }).await;
    assert_eq!(world.get(&format!("/api/v1/people/{SUPPORT}")).await["state"], "active");
});

on_both!(a_clock_that_jumped_ends_nothing_before_somebody_looked, |world: World| async move {
    for n in 1..=6_u8 {
        let email = format!("p{n}@shop.example");
        world.post("/api/v1/people", json!({ "email": email, "name": "P", "kind": "staff" })).await;
        world.device(&email, "laptop", n).await;
    }
    aged().await;
    let world = world.restarted_with(terms(SECOND, SECOND)).await;
    let keys = alert(&world, "6 of 6 keys").await;
    assert!(keys["message"].as_str().unwrap().contains("clock"), "{keys}");
    alert(&world, "6 of 6 people").await;
    let people = world.get("/api/v1/people").await;
    let whole =
        people.as_array().unwrap().iter().all(|it| it["state"] == "active" && it["devices"][0]["state"] == "active");
    assert!(whole, "{people}");
});
