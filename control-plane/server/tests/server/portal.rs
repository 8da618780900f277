//! The portal as a member of staff sees it.

use std::time::Duration;

use doorward_model::{DeviceId, Timestamp};
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, ORIGIN, way};
use crate::gateway::Gateway;
use crate::world::{Settings, World, on_both, public_key};

const SUPPORT: &str = "support@shop.example";

async fn world(database: TestDatabase) -> World {
    let hours = Duration::from_secs(12 * 3_600);
    World::with(database, Settings { url: Some(ORIGIN), sign_in_window: hours, ..Settings::default() }).await
}

/// A browser in which the member of staff signed in.
async fn signed_in(world: &World) -> Browser<'_> {
    let link = world.post(&format!("/api/v1/people/{SUPPORT}/invitation"), Value::Null).await;
    let mut browser = Browser::new(world);
    browser.join_with_passkey(&way(&link["url"]), json!({})).await;
    browser
}

on_both!(
    a_person_sees_what_is_theirs_and_nothing_of_others,
    |database: TestDatabase| async move {
        let world = world(database).await;
        world.furnish().await;
        world.post("/api/v1/people", json!({ "email": "b@shop.example", "name": "Ben", "kind": "staff" })).await;
        world.device("b@shop.example", "bens-phone", 8).await;
        let mut browser = signed_in(&world).await;
        let home = browser.get("/").await;
        assert_eq!(home.status, StatusCode::OK, "{}", home.text);
        for expected in ["Support", "panel", "laptop", "You are signed in", "panel.doorward.internal"] {
            assert!(home.text.contains(expected), "{expected} is not in {}", home.text);
        }
        assert!(!home.text.contains("bens-phone") && !home.text.contains("Console"), "{}", home.text);
        for closed in ["/admin", "/admin/people", "/admin/audit", "/admin/people/b@shop.example"] {
            let refused = browser.get(closed).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{closed}: {}", refused.text);
            assert!(!refused.text.contains("Ben") && !refused.text.contains("bens-phone"), "{}", refused.text);
        }
    },
    database
);

on_both!(
    a_device_is_added_with_a_public_key_alone_and_its_config_has_the_place_for_the_other_half,
    |database: TestDatabase| async move {
        let world = world(database).await;
        world.furnish().await;
        let gateway = Gateway::local(&world, "main").await.obedient();
        let mut browser = signed_in(&world).await;
        let key = public_key(77);
        let added =
            browser.form("/devices/new", &[("name", "phone"), ("platform", "android"), ("public_key", &key)]).await;
        assert_eq!(added.status, StatusCode::OK, "{}", added.text);
        let config = added.text.split("<pre id=\"config\" hidden>").nth(1).unwrap().split("</pre>").next().unwrap();
        assert!(
            config.contains(&format!("\n# PrivateKey = (paste your private key here; it belongs to {key})\n")),
            "{config}"
        );
        assert!(config.contains("Endpoint = 203.0.113.2:51820") && !config.contains("\nPrivateKey"), "{config}");
        let own = world.get(&format!("/api/v1/devices?email={SUPPORT}")).await;
        assert!(own.as_array().unwrap().iter().any(|device| device["public_key"] == key), "{own}");
        // No other owner can be named, and no other field is taken.
        for more in [("email", "b@shop.example"), ("private_key", key.as_str()), ("principal", "1")] {
            let fields = [("name", "tablet"), ("public_key", &public_key(78)), more];
            let refused = browser.form("/devices/new", &fields).await;
            assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{more:?}: {}", refused.text);
        }
        // A browser that made no key is told what to do.
        let refused = browser.form("/devices/new", &[("name", "tablet")]).await;
        assert!(refused.status == StatusCode::BAD_REQUEST && refused.text.contains("X25519"), "{}", refused.text);
        gateway.abort();
    },
    database
);

on_both!(
    a_lost_device_ends_at_once_and_only_its_owner_may_say_so,
    |database: TestDatabase| async move {
        let world = world(database).await;
        let device = world.furnish().await;
        world.post("/api/v1/people", json!({ "email": "b@shop.example", "name": "Ben", "kind": "staff" })).await;
        let foreign = world.device("b@shop.example", "bens-phone", 8).await;
        let gateway = Gateway::local(&world, "main").await.obedient();
        let mut browser = signed_in(&world).await;
        let lost = |device: &Value| format!("/devices/{}/lost", device["id"].as_str().unwrap());
        let refused = browser.form(&lost(&foreign), &[]).await;
        assert_eq!(refused.status, StatusCode::NOT_FOUND, "{}", refused.text);
        assert!(!refused.text.contains("b@shop.example"), "{}", refused.text);
        let receipt = browser.form(&lost(&device), &[]).await;
        assert_eq!(receipt.status, StatusCode::OK, "{}", receipt.text);
        for expected in ["laptop reaches nothing any more", "confirmed", "7 ms"] {
            assert!(receipt.text.contains(expected), "{expected} is not in {}", receipt.text);
        }
        let tail = world.get("/api/v1/audit/tail?lines=20").await;
        let rows = tail["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["action"] == "device.report_lost").unwrap();
        assert_eq!(row["actor"], format!("person:{SUPPORT}"));
        gateway.abort();
    },
    database
);

on_both!(
    a_touch_opens_the_window_again_without_signing_out,
    |database: TestDatabase| async move {
        let world = world(database).await;
        let device: DeviceId = serde_json::from_value(world.furnish().await["id"].clone()).unwrap();
        let mut browser = Browser::new(&world);
        let link = world.post(&format!("/api/v1/people/{SUPPORT}/invitation"), Value::Null).await;
        // Who comes from the gateway's page is told what happened, and what will be.
        let told = browser.get("/sign-in?lapsed=1").await;
        for expected in ["Your sign-in has lapsed", "works again by itself", "nothing has to be imported"] {
            assert!(told.text.contains(expected), "{expected} is not in {}", told.text);
        }
        assert!(!browser.get("/sign-in").await.text.contains("lapsed"));
        let mut passkey = browser.join_with_passkey(&way(&link["url"]), json!({})).await;
        let mut gateway = Gateway::local(&world, "main").await;
        let until = |gateway: &Gateway| gateway.leases.get(&device).and_then(|lease| lease.sign_in_until);
        let first = until(&gateway).unwrap();
        assert!(first > Timestamp::now());
        // With an open window there is nothing to do.
        assert_eq!(browser.get("/sign-in?lapsed=1").await.location(), "/");
        // The key was seen in two places: its window is shut, while the browser's session goes on.
        let event = json!({
            "at": Timestamp::now(), "kind": "key_used_twice", "device": device, "source": "192.0.2.9:4711",
            "message": "two places", "count": 1,
        });
        let (status, answer) = gateway.way.post("/feed/v1/events", json!([event])).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
        gateway.until(|gateway| until(gateway).is_some_and(|until| until < Timestamp::now())).await;
        let home = browser.get("/").await;
        assert!(home.text.contains("used from two places") && home.text.contains("/step-up?again=1"), "{}", home.text);
        assert_eq!(browser.get("/sign-in?lapsed=1").await.location(), "/step-up?again=1");
        let asked = browser.get("/step-up?again=1").await;
        assert!(asked.text.contains("<h1>Sign in again</h1>") && asked.text.contains("nothing has to be imported"));
        let cookie = browser.cookie.clone();
        let done = browser.prove("/step-up", &mut passkey).await;
        assert_eq!((done.status, &done.json()["next"]), (StatusCode::OK, &json!("/")), "{}", done.text);
        assert_eq!(browser.cookie, cookie, "the session is the same");
        gateway.until(|gateway| until(gateway).is_some_and(|until| until > first)).await;
        assert!(!browser.get("/").await.text.contains("used from two places"));
    },
    database
);
