//! A key that is used from two places.

use std::time::Duration;

use doorward_model::Timestamp;
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::json;

use crate::browser::{Browser, ORIGIN};
use crate::fixtures::{OpenAt as _, invited};
use crate::gateway::Gateway;
use crate::world::{Settings, World, on_both};

const ANNA: &str = "anna@shop.example";

on_both!(
    a_copied_key_shuts_one_device_out_until_the_next_sign_in,
    |database: TestDatabase| async move {
        let window = Duration::from_secs(3600);
        let world =
            World::with(database, Settings { url: Some(ORIGIN), sign_in_window: window, ..Settings::default() }).await;
        let way = invited(&world).await;
        let laptop = world.device(ANNA, "laptop", 1).await["id"].as_str().unwrap().to_owned();
        world.device(ANNA, "phone", 2).await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&way, json!({})).await;
        let mut gateway = Gateway::local(&world, "main").await;
        // Which of Anna's devices may pass at this moment.
        let open = |gateway: &Gateway| {
            let now = Timestamp::now();
            let leases = gateway.leases.values().filter(|lease| lease.sign_in_until.is_some_and(|until| until > now));
            let mut names: Vec<_> = leases.map(|lease| lease.device_name.to_string()).collect();
            names.sort();
            names
        };
        assert_eq!(open(&gateway), ["laptop", "phone"]);
        let event = || {
            json!([{
                "at": Timestamp::now(), "kind": "key_used_twice", "device": laptop, "email": ANNA,
                "source": "198.51.100.7:4500", "message": format!("the key of laptop of {ANNA} is used from two places"),
                "count": 1,
            }])
        };
        let report = event();
        let (status, answer) = gateway.way.post("/feed/v1/events", report.clone()).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
        gateway.until(|it| open(it) == ["phone"]).await;
        let status = world.get("/api/v1/status").await;
        let alert = &status["alerts"][0];
        assert_eq!(
            (&alert["kind"], &alert["email"], &alert["device"]),
            (&json!("key_used_twice"), &json!(ANNA), &json!(laptop))
        );
        assert!(alert["message"].as_str().unwrap().contains("laptop"), "{alert}");
        let tail = world.get("/api/v1/audit/tail?lines=1").await;
        let row = &tail["rows"][0];
        assert_eq!(
            (&row["action"], &row["detail"]["name"], &row["detail"]["source"]),
            (&json!("device.window_close"), &json!("laptop"), &json!("198.51.100.7:4500"))
        );
        assert!(browser.get("/").await.text.contains("used from two places"), "the person is told");
        // Once more while it is shut changes nothing.
        let revision = gateway.held;
        gateway.way.post("/feed/v1/events", event()).await;
        assert_eq!(world.get("/api/v1/status").await["revision"], json!(revision.0));

        let mut again = Browser::new(&world);
        assert_eq!(again.prove("/sign-in", &mut passkey).await.status, StatusCode::OK);
        gateway.until(|it| open(it) == ["laptop", "phone"]).await;
        // A report from before that sign-in, which comes late, shuts nothing.
        gateway.way.post("/feed/v1/events", report).await;
        let store = world.database.open_at(&world).await;
        let mut read = store.read().await.unwrap();
        let person = read.person_by_email(&ANNA.parse().unwrap()).await.unwrap().unwrap();
        let closed = read.devices_of(person.id).await.unwrap();
        assert!(closed.iter().all(|device| device.window_closed_at.is_none_or(|at| Some(at) < person.signed_in_at)));
        drop(read);
        gateway.way.post("/feed/v1/events", event()).await;
        gateway.until(|it| open(it) == ["phone"]).await;
    },
    database
);
