//! The feed, spoken by a gateway of the tests' own.

use std::time::{Duration, Instant};

use doorward_control_plane::api::EndOutcome;
use doorward_model::{EndReason, Lockdown, Revision, Timestamp};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Way, eventually, hello};
use crate::world::{Settings, World, on_both, public_key, request};

on_both!(a_snapshot_then_deltas_then_an_echoed_heartbeat, |world: World| async move {
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    let lease = gateway.leases.values().next().unwrap();
    assert_eq!((lease.email.as_str(), lease.rules.len(), lease.sign_in_until), ("support@shop.example", 1, None));
    assert_eq!(lease.rules[0].targets, ["10.0.5.10".parse().unwrap()]);

    world.device("support@shop.example", "phone", 2).await;
    gateway.until(|gateway| gateway.leases.len() == 2).await;
    let phone = gateway.leases.values().find(|lease| lease.device_name.as_str() == "phone").unwrap().device;
    // A resource that is removed takes its rules along; the leases stay, without them.
    let (status, _) = world.call(Method::DELETE, "/api/v1/resources/panel", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    gateway.until(|gateway| gateway.leases.values().all(|lease| lease.rules.is_empty())).await;
    assert!(gateway.leases.contains_key(&phone));

    assert_eq!(gateway.ping(123_456).await, StatusCode::NO_CONTENT);
    gateway.until(|gateway| !gateway.heartbeats.is_empty()).await;
    let heartbeat = &gateway.heartbeats[0];
    assert_eq!((heartbeat.echo_boot_micros, heartbeat.authority_ttl_ms), (123_456, 30_000));
    assert_eq!(heartbeat.revision, gateway.held);
    let found = world.get("/api/v1/gateways").await;
    assert_eq!((&found[0]["connected"], &found[0]["devices_active"]), (&json!(true), &json!(1)));
});

on_both!(a_preshared_key_travels_to_the_gateways_and_to_nobody_else, |world: World| async move {
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    let (one, two) = (public_key(8), public_key(9));
    let new = json!({
        "email": "support@shop.example", "name": "phone", "public_key": public_key(2), "preshared_key": one,
    });
    let device = world.post("/api/v1/devices", new).await;
    assert_eq!(device["has_preshared_key"], true);
    gateway.until(|gateway| gateway.leases.len() == 2).await;
    let id = device["id"].as_str().unwrap();
    let shared = |gateway: &Gateway| {
        let lease = gateway.leases.values().find(|lease| lease.device.to_string() == id).unwrap();
        lease.preshared_key.as_ref().map(|key| key.expose_base64().to_string())
    };
    assert_eq!(shared(&gateway).as_deref(), Some(one.as_str()));

    let path = format!("/api/v1/devices/{id}/preshared-key");
    for (key, has) in [(json!(two), true), (Value::Null, false)] {
        let (status, answer) = world.call(Method::PUT, &path, json!({ "preshared_key": key })).await;
        assert_eq!((status, &answer["has_preshared_key"]), (StatusCode::OK, &json!(has)));
        gateway.until(|gateway| shared(gateway).as_deref() == key.as_str()).await;
    }
    let said = [world.get("/api/v1/devices").await, world.get("/api/v1/audit/tail?lines=100").await];
    assert!(said.iter().all(|said| ![&one, &two].iter().any(|key| said.to_string().contains(*key))));
    assert!(said[1].to_string().contains("device.preshared_key"), "the change is on record: {}", said[1]);
    // A body that forgets to say it changes nothing, and a device that ended gets none.
    let (status, _) = world.call(Method::PUT, &path, json!({})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    world.post(&format!("/api/v1/devices/{id}/revoke"), Value::Null).await;
    let (status, _) = world.call(Method::PUT, &path, json!({ "preshared_key": two })).await;
    assert_eq!(status, StatusCode::CONFLICT);
});

on_both!(offboarding_returns_with_the_gateways_milliseconds, |world: World| async move {
    let device = world.furnish().await;
    let obedient = Gateway::local(&world, "main").await.obedient();
    let outcome = world.post("/api/v1/people/support@shop.example/offboard", json!({ "reason": "left" })).await;
    let outcome: EndOutcome = serde_json::from_value(outcome).unwrap();
    let receipt = &outcome.receipts[0];
    assert!(receipt.connected && receipt.enforced_after_ms.is_some_and(|ms| ms < 5_000), "{receipt:?}");
    assert_eq!((receipt.last_packet_before_ms, outcome.warnings.len()), (Some(7), 0));
    assert!(receipt.enforced_at.unwrap() >= outcome.decided_at);
    let status = world.get("/api/v1/status").await;
    assert_eq!(status["last_receipts"][0]["revision"], json!(outcome.revision));
    let tail = world.get("/api/v1/audit/tail?lines=1").await;
    assert_eq!(tail["rows"][0]["action"], "receipt.record");
    assert_eq!(tail["rows"][0]["detail"]["receipts"][0]["last_packet_before_ms"], 7);
    world.call(Method::DELETE, "/api/v1/gateways/main", Value::Null).await;
    let gateway = obedient.await.unwrap();
    assert!(gateway.leases.is_empty());
    let tombstone =
        gateway.tombstones.iter().find(|tombstone| tombstone.device.to_string() == device["id"].as_str().unwrap());
    assert_eq!(tombstone.unwrap().reason, EndReason::Offboarded);
});

on_both!(suspending_takes_the_lease_and_restoring_gives_it_back, |world: World| async move {
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    let (outcome, ()) = tokio::join!(world.post("/api/v1/people/support@shop.example/suspend", Value::Null), async {
        gateway.until(|gateway| gateway.leases.is_empty()).await;
        gateway.confirm(Vec::new()).await;
    });
    assert_eq!(outcome["ended"]["people"], json!(["support@shop.example"]));
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64());
    world.post("/api/v1/people/support@shop.example/restore", Value::Null).await;
    gateway.until(|gateway| gateway.leases.len() == 1).await;
});

on_both!(lockdown_reaches_the_gateway_and_a_snapshot_says_it_too, |world: World| async move {
    let mut gateway = Gateway::local(&world, "main").await;
    let (put, path) = (Method::PUT, "/api/v1/lockdown");
    let ((status, answer), ()) =
        tokio::join!(world.call(put.clone(), path, json!({ "on": true, "reason": "breach" })), async {
            gateway.until(|gateway| gateway.lockdown == Lockdown::On).await;
            gateway.confirm(Vec::new()).await;
        });
    assert_eq!((status, &answer["on"]), (StatusCode::OK, &json!(true)));
    assert!(answer["receipts"][0]["enforced_after_ms"].is_u64(), "{answer}");
    assert_eq!(world.get(path).await["reason"], "breach");
    let mut again = Gateway::local(&world, "main").await;
    assert_eq!(again.lockdown, Lockdown::On);
    let ((status, _), ()) = tokio::join!(world.call(put, path, json!({ "on": false })), async {
        again.until(|gateway| gateway.lockdown == Lockdown::Off).await;
        again.confirm(Vec::new()).await;
    });
    assert_eq!(status, StatusCode::OK);
});

on_both!(a_gateway_that_does_not_confirm_is_named_and_alerted, |world: World| async move {
    let device = world.furnish().await;
    let _deaf = Gateway::local(&world, "main").await;
    let begun = Instant::now();
    let path = format!("/api/v1/devices/{}/revoke", device["id"].as_str().unwrap());
    let outcome: EndOutcome = serde_json::from_value(world.post(&path, Value::Null).await).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(5));
    assert!(outcome.receipts[0].connected && outcome.receipts[0].enforced_after_ms.is_none());
    assert!(outcome.warnings[0].contains("main"), "{:?}", outcome.warnings);
    let status = world.get("/api/v1/status").await;
    assert_eq!(status["alerts"][0]["kind"], "receipt_missing");
});

on_both!(a_gateway_that_is_away_is_listed_and_nobody_waits_for_it, |world: World| async move {
    let device = world.furnish().await;
    drop(Gateway::local(&world, "main").await);
    let world = &world;
    eventually(|| async { (world.get("/api/v1/gateways").await[0]["connected"] == false).then_some(()) }).await;
    let begun = Instant::now();
    let path = format!("/api/v1/devices/{}/revoke", device["id"].as_str().unwrap());
    let outcome: EndOutcome = serde_json::from_value(world.post(&path, Value::Null).await).unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "nobody waited");
    assert!(!outcome.receipts[0].connected && outcome.warnings[0].contains("not connected"), "{outcome:?}");
    // It comes back, and its first snapshot has the key as a tombstone and no lease.
    let gateway = Gateway::local(world, "main").await;
    assert!(gateway.leases.is_empty());
    assert_eq!(gateway.tombstones[0].reason, EndReason::DeviceRevoked);
});

on_both!(a_second_hello_ends_the_earlier_session, |world: World| async move {
    let mut first = Gateway::local(&world, "main").await;
    let second = Gateway::local(&world, "main").await;
    assert!(first.step().await.is_err(), "the first stream ends");
    assert_eq!(first.ping(1).await, StatusCode::NOT_FOUND);
    assert_eq!(second.ping(1).await, StatusCode::NO_CONTENT);
    let path = format!("/feed/v1/stream?session={}", second.session);
    let answer = request(second.way.open().await.unwrap(), Method::GET, &path, None, Value::Null).await;
    assert_eq!(answer.status(), StatusCode::CONFLICT, "one stream a session");
});

on_both!(what_a_gateway_missed_is_in_its_next_snapshot, |world: World| async move {
    let device = world.furnish().await;
    let first = Gateway::local(&world, "main").await;
    let held = first.held;
    drop(first);
    world.device("support@shop.example", "phone", 2).await;
    let path = format!("/api/v1/devices/{}/revoke", device["id"].as_str().unwrap());
    world.post(&path, Value::Null).await;
    let second = Gateway::local(&world, "main").await;
    assert!(second.held > held);
    let names: Vec<&str> = second.leases.values().map(|lease| lease.device_name.as_str()).collect();
    assert_eq!(names, ["phone"]);
});

on_both!(hellos_that_do_not_fit_are_refused_with_a_sentence, |world: World| async move {
    let way = Way::Socket(world.socket("feed.sock"));
    let with = |key: &str, value: Value| {
        let mut body = hello("main");
        body[key] = value;
        body
    };
    let network = json!({ "v4": "10.9.0.0/24", "v6": "fd99::/64" });
    let (status, answer) = way.post("/feed/v1/hello", with("network", network)).await;
    assert_eq!(status, StatusCode::CONFLICT);
    assert!(answer["error"]["message"].as_str().unwrap().contains("[network]"), "{answer}");
    let (status, _) = way.post("/feed/v1/hello", with("endpoint", json!("a\nPostUp = x:1"))).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = way.post("/feed/v1/enrol", json!({ "token": "dwg1.x.y", "name": "main", "csr_pem": "" })).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "there is no enrolment on the socket");
    // The gateway's own key is no device's key, and a device's is no gateway's.
    let gateway = Gateway::over(way.clone(), "main").await;
    world.furnish().await;
    let own = json!({ "email": "support@shop.example", "name": "x", "public_key": public_key(200) });
    let (status, answer) = world.call(Method::POST, "/api/v1/devices", own).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    drop(gateway);
    let (status, _) = way.post("/feed/v1/hello", with("public_key", json!(public_key(1)))).await;
    assert_eq!(status, StatusCode::CONFLICT);
});

on_both!(a_gateway_cannot_confirm_a_revision_that_does_not_exist, |world: World| async move {
    let gateway = Gateway::local(&world, "main").await;
    let receipt =
        json!({ "session": gateway.session, "revision": gateway.held.0 + 1, "enforced_after_micros": 1, "ended": [] });
    let (status, _) = gateway.way.post("/feed/v1/receipts", receipt).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
});

on_both!(a_knock_with_a_revoked_key_is_an_alert_with_a_name, |world: World| async move {
    let device = world.furnish().await;
    let gateway = Gateway::local(&world, "main").await;
    let event = json!([{
        "at": Timestamp::now(), "kind": "revoked_key_knocked", "device": device["id"], "email": "support@shop.example",
        "source": "198.51.100.7:4500", "message": "the revoked laptop of support@shop.example knocked", "count": 3,
    }]);
    let (status, _) = gateway.way.post("/feed/v1/events", event).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let alert = &world.get("/api/v1/status").await["alerts"][0];
    assert_eq!(
        (&alert["kind"], &alert["gateway"], &alert["count"]),
        (&json!("revoked_key_knocked"), &json!("main"), &json!(3))
    );
    assert_eq!(world.get("/api/v1/audit/tail").await["alerts"][0]["source"], "198.51.100.7:4500");
});

on_both!(
    a_gateway_that_falls_silent_loses_its_session,
    |database| async move {
        let world = World::with(database, Settings { ttl: Duration::from_secs(1), ..Settings::default() }).await;
        let mut gateway = Gateway::local(&world, "main").await;
        // Each ping buys one more `authority_ttl`.
        for boot in 1..=4 {
            assert_eq!(gateway.ping(boot).await, StatusCode::NO_CONTENT);
            gateway
                .until(|gateway| gateway.heartbeats.last().is_some_and(|heartbeat| heartbeat.echo_boot_micros == boot))
                .await;
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        assert!(gateway.step().await.is_err(), "without pings the stream ends");
        let world = &world;
        eventually(|| async {
            (world.get("/api/v1/status").await["alerts"][0]["kind"] == "gateway_lost").then_some(())
        })
        .await;
    },
    database
);

on_both!(a_slow_reader_is_cut_off_and_comes_back_to_a_whole_snapshot, |world: World| async move {
    world.furnish().await;
    let targets: Vec<String> = (0..64).map(|n| format!("10.{n}.0.0/16")).collect();
    let allow: Vec<String> = (1..=64).map(|n| format!("tcp/{n}")).collect();
    world.post("/api/v1/resources", json!({ "name": "wide", "targets": targets, "allow": allow })).await;
    let slow = Gateway::local(&world, "main").await;
    // Each grant sends every lease of the person again, and each lease grows with it.
    for name in 0..20 {
        world.device("support@shop.example", &format!("d{name}"), 20 + name).await;
    }
    let world = &world;
    let grant = json!({ "email": "support@shop.example", "resource": "wide", "for": "1h" });
    for _ in 0..60 {
        world.post("/api/v1/grants", grant.clone()).await;
    }
    // Nothing was read meanwhile. The session ends, though its pings go on.
    eventually(|| async { (slow.ping(1).await == StatusCode::NOT_FOUND).then_some(()) }).await;
    let back = Gateway::local(world, "main").await;
    assert_eq!(back.leases.len(), 21);
    assert!(back.leases.values().all(|lease| lease.rules.len() == 61));
    assert!(back.held > Revision(60));
});

on_both!(
    a_sign_in_window_makes_leases_wait_for_a_sign_in,
    |database| async move {
        let window = Duration::from_secs(12 * 3600);
        let world = World::with(database, Settings { sign_in_window: window, ..Settings::default() }).await;
        world.furnish().await;
        let gateway = Gateway::local(&world, "main").await;
        let lease = gateway.leases.values().next().unwrap();
        assert_eq!(lease.sign_in_until, Some(Timestamp::MIN));
    },
    database
);
