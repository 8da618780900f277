//! Revocations while the database takes none. The faults are real: another program holds the database, its server refuses
//! to write, or lets nobody in.

use std::time::{Duration, Instant};

use doorward_control_plane::api::EndOutcome;
use doorward_model::{EndReason, Lockdown};
use doorward_store::WriteTx;
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixtures::OpenAt as _;
use crate::gateway::{Gateway, Way, eventually, hello};
use crate::scim_client::Scim;
use crate::world::{World, on_both};

const EMAIL: &str = "support@shop.example";

/// A program that holds the database: nobody else writes until it is dropped.
pub(crate) async fn held(world: &World) -> WriteTx {
    world.database.open_at(world).await.write().await.unwrap()
}

async fn offboard(world: &World, email: &str) -> EndOutcome {
    let outcome = world.post(&format!("/api/v1/people/{email}/offboard"), json!({ "reason": "left" })).await;
    serde_json::from_value(outcome).unwrap()
}

pub(crate) async fn journalled(world: &World) -> u64 {
    world.get("/api/v1/status").await["database"]["journalled"].as_u64().unwrap()
}

/// Waits until everything is written.
pub(crate) async fn written(world: &World) {
    eventually(|| async { (journalled(world).await == 0).then_some(()) }).await;
}

pub(crate) async fn rows(world: &World, action: &str) -> Vec<Value> {
    let tail = world.get("/api/v1/audit/tail?lines=500").await;
    let verdict = world.get("/api/v1/audit/verify").await;
    assert_eq!(verdict["intact"], true, "{verdict}");
    let rows = tail["rows"].as_array().unwrap().iter().filter(|row| row["action"] == action).cloned();
    rows.collect()
}

async fn readyz(world: &World) -> StatusCode {
    world.call(Method::GET, "/readyz", Value::Null).await.0
}

on_both!(an_offboarding_is_taken_told_and_confirmed_while_the_database_is_held, |world: World| async move {
    world.furnish().await;
    let obedient = Gateway::local(&world, "main").await.obedient();
    let holding = held(&world).await;
    let begun = Instant::now();
    let outcome = offboard(&world, EMAIL).await;
    println!("journalled and confirmed after {:?}", begun.elapsed());
    assert!(outcome.journalled && outcome.warnings.iter().any(|warning| warning.contains("journalled")), "{outcome:?}");
    let receipt = &outcome.receipts[0];
    assert!(receipt.enforced_after_ms.is_some_and(|ms| ms < 1_000), "{receipt:?}");
    assert_eq!(receipt.last_packet_before_ms, Some(7));
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());

    // It counts as done, and comes before anything else.
    let status = world.get("/api/v1/status").await;
    assert_eq!(status["database"]["journalled"], 1, "{status}");
    assert_eq!(readyz(&world).await, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(world.call(Method::GET, "/healthz", Value::Null).await.0, StatusCode::NO_CONTENT);
    let again = Gateway::local(&world, "main").await;
    assert!(again.leases.is_empty(), "whoever was put out is in no snapshot");
    assert_eq!(again.tombstones[0].reason, EndReason::Offboarded);
    let (status, answer) = world
        .call(Method::POST, "/api/v1/people", json!({ "email": "a@shop.example", "name": "A", "kind": "staff" }))
        .await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
    assert!(answer.to_string().contains("written first"), "{answer}");
    obedient.await.unwrap();

    drop(holding);
    written(&world).await;
    assert_eq!(world.get(&format!("/api/v1/people/{EMAIL}")).await["state"], "departed");
    let rows = rows(&world, "person.offboard").await;
    assert_eq!(rows.len(), 1, "{rows:?}");
    let detail = &rows[0]["detail"];
    assert_eq!((&rows[0]["at"], &detail["reason"]), (&json!(outcome.decided_at), &json!("left")));
    assert_eq!(detail["journal"]["decided_at"], json!(outcome.decided_at));
    assert!(detail["journal"]["written_at"].as_str().unwrap() > detail["journal"]["decided_at"].as_str().unwrap());
    assert_eq!(detail["journal"]["receipts"][0]["gateway"], "main");
    assert_eq!(readyz(&world).await, StatusCode::NO_CONTENT);
    let alerts = eventually(|| async {
        let alerts = world.get("/api/v1/status").await["alerts"].to_string();
        (alerts.contains("journal_written") && alerts.contains("revocation_journalled")).then_some(alerts)
    });
    alerts.await;
    // And what waited for nothing goes on.
    world.post("/api/v1/people", json!({ "email": "a@shop.example", "name": "A", "kind": "staff" })).await;
});

on_both!(a_restart_keeps_out_whoever_was_put_out_and_writes_it_before_it_serves, |world: World| async move {
    world.furnish().await;
    let holding = held(&world).await;
    assert!(offboard(&world, EMAIL).await.journalled);
    // No gateway is connected: nobody confirms, and it is taken all the same.
    drop(holding);
    let world = world.restarted().await;
    assert_eq!(world.get(&format!("/api/v1/people/{EMAIL}")).await["state"], "departed");
    assert_eq!(rows(&world, "person.offboard").await.len(), 1);
    let journal = world.folder.path().join("journal");
    eventually(|| async { std::fs::read(&journal).unwrap().iter().all(|byte| *byte == 0).then_some(()) }).await;
});

on_both!(several_decisions_are_written_in_order_and_what_applies_no_more_is_recorded, |world: World| async move {
    let device = world.furnish().await;
    let phone = world.device(EMAIL, "phone", 2).await;
    let grants = world.get(&format!("/api/v1/people/{EMAIL}")).await["grants"].clone();
    let mut gateway = Gateway::local(&world, "main").await;
    let holding = held(&world).await;
    let grant = grants[0]["id"].as_str().unwrap().to_owned();
    let paths = [
        format!("/api/v1/devices/{}/revoke", device["id"].as_str().unwrap()),
        format!("/api/v1/grants/{grant}/revoke"),
        format!("/api/v1/people/{EMAIL}/suspend"),
        format!("/api/v1/people/{EMAIL}/offboard"),
        format!("/api/v1/people/{EMAIL}/suspend"),
        "/api/v1/people/nobody@shop.example/offboard".to_owned(),
    ];
    // Nobody confirms, so that each waits its 5 s; they need not wait for one another.
    let mut answers = Vec::new();
    for (number, path) in paths.iter().enumerate() {
        let (socket, path) = (world.socket("admin.sock"), path.clone());
        answers.push(tokio::spawn(async move {
            let io = tokio::net::UnixStream::connect(socket).await.unwrap();
            crate::world::call(io, Method::POST, &path, None, json!({ "reason": "the first reason" })).await
        }));
        let wanted = u64::try_from(number).unwrap() + 1;
        eventually(|| async { (journalled(&world).await == wanted).then_some(()) }).await;
        if number == 1 {
            // The database can be read: the phone keeps its lease, and loses the grant alone.
            gateway
                .until(|gateway| gateway.leases.len() == 1 && gateway.leases.values().all(|it| it.rules.is_empty()))
                .await;
            assert_eq!(gateway.leases.values().next().unwrap().device.to_string(), phone["id"]);
        }
    }
    gateway.until(|gateway| gateway.leases.is_empty()).await;
    for answer in answers {
        let (status, body) = answer.await.unwrap();
        assert_eq!((status, &body["journalled"]), (StatusCode::OK, &json!(true)), "{body}");
    }
    drop(holding);
    written(&world).await;
    assert_eq!(world.get(&format!("/api/v1/people/{EMAIL}")).await["state"], "departed");
    let tail = world.get("/api/v1/audit/tail?lines=500").await;
    let of_journal = tail["rows"].as_array().unwrap().iter().filter(|row| row["detail"]["journal"].is_object());
    let actions: Vec<(&str, bool)> =
        of_journal.map(|row| (row["action"].as_str().unwrap(), row["detail"]["not_applied"].is_string())).collect();
    let wanted = [
        ("device.revoke", false),
        ("grant.revoke", false),
        ("person.suspend", false),
        ("person.offboard", false),
        ("person.suspend", true),
        ("person.offboard", true),
    ];
    assert_eq!(actions, wanted);
});

on_both!(a_lockdown_is_journalled_and_holds_for_whoever_comes, |world: World| async move {
    world.furnish().await;
    world.post("/api/v1/groups", json!({ "name": "incident" })).await;
    let mut gateway = Gateway::local(&world, "main").await;
    let holding = held(&world).await;
    let setting =
        world.call(Method::PUT, "/api/v1/lockdown", json!({ "on": true, "except": "incident", "reason": "stolen" }));
    let telling = async {
        gateway.until(|gateway| gateway.lockdown == Lockdown::On).await;
        gateway.confirm(Vec::new()).await;
        gateway
    };
    let ((status, answer), _gateway) = tokio::join!(setting, telling);
    assert_eq!((status, &answer["journalled"]), (StatusCode::OK, &json!(true)), "{answer}");
    assert_eq!(world.get("/api/v1/lockdown").await["on"], true);
    assert_eq!(Gateway::local(&world, "main").await.lockdown, Lockdown::On);
    // Lifting it waits for the database.
    let (status, _) = world.call(Method::PUT, "/api/v1/lockdown", json!({ "on": false })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    drop(holding);
    written(&world).await;
    let lockdown = world.get("/api/v1/lockdown").await;
    assert_eq!(
        (&lockdown["on"], &lockdown["except"], &lockdown["reason"]),
        (&json!(true), &json!("incident"), &json!("stolen"))
    );
    assert_eq!(rows(&world, "lockdown.on").await.len(), 1);
});

on_both!(what_a_directory_takes_away_is_journalled_and_still_the_directorys_to_take_back, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let id = scim.user("anna@shop.example").await;
    world.device("anna@shop.example", "laptop", 1).await;
    let obedient = Gateway::local(&world, "main").await.obedient();
    let holding = held(&world).await;
    assert_eq!(scim.set_active(&id, false).await.expect(200)["active"], false);
    assert_eq!(journalled(&world).await, 1);
    assert_eq!(scim.set_active(&id, true).await.status, StatusCode::SERVICE_UNAVAILABLE, "nothing is given back");
    drop(holding);
    written(&world).await;
    assert_eq!(world.get("/api/v1/people/anna@shop.example").await["state"], "suspended");
    let rows = rows(&world, "person.suspend").await;
    assert_eq!((rows.len(), &rows[0]["actor"]), (1, &json!("source:okta")));
    assert_eq!(scim.set_active(&id, true).await.expect(200)["active"], true);
    assert_eq!(world.get("/api/v1/people/anna@shop.example").await["state"], "active");
    drop(Gateway::local(&world, "main").await);
    obedient.await.unwrap();
});

/// Lets nobody into a database, or everybody again.
pub(crate) async fn admit(database: &TestDatabase, admitted: bool) {
    let name = database.name();
    let gate = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {admitted}");
    let out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    database.at_server(&[&gate, &out]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_database_decisions_go_through_open_streams_and_heartbeats_stop() {
    let world = World::on(TestDatabase::postgres().await.unwrap()).await;
    world.furnish().await;
    world.post("/api/v1/people", json!({ "email": "b@shop.example", "name": "B", "kind": "staff" })).await;
    world.device("b@shop.example", "laptop", 9).await;
    let token = world.post("/api/v1/tokens", json!({ "name": "hr" })).await;
    let token = token["token"].as_str().unwrap();
    let used = world.https(Method::GET, "/api/v1/people", Some(token), Value::Null).await;
    assert_eq!(used.0, StatusCode::OK);
    let mut gateway = Gateway::local(&world, "main").await;
    gateway.ping(1).await;
    gateway.until(|gateway| gateway.heartbeats.len() == 1).await;

    admit(&world.database, false).await;
    eventually(|| async { (world.get("/api/v1/status").await["database"]["answers"] == false).then_some(()) }).await;
    let status = world.get("/api/v1/status").await;
    assert_eq!((&status["gateways"][0]["name"], &status["devices"]), (&json!("main"), &json!(2)), "{status}");
    assert_eq!(gateway.ping(2).await, StatusCode::NO_CONTENT);

    // By the admin socket, and by a token that was good a moment ago. Others are refused, and so is everything else.
    let by_token = world.https(Method::POST, "/api/v1/people/b@shop.example/offboard", Some(token), json!({}));
    let telling = async {
        gateway.until(|gateway| gateway.leases.len() == 1).await;
        gateway.confirm(Vec::new()).await;
        gateway
    };
    let ((status, answer), gateway) = tokio::join!(by_token, telling);
    assert_eq!((status, &answer["journalled"]), (StatusCode::OK, &json!(true)), "{answer}");
    let stranger =
        world.https(Method::POST, "/api/v1/people/b@shop.example/offboard", Some("dwt1_other"), json!({})).await;
    assert_eq!(stranger.0, StatusCode::SERVICE_UNAVAILABLE);
    let obedient = gateway.obedient();
    let outcome = offboard(&world, EMAIL).await;
    assert!(outcome.journalled && outcome.receipts[0].enforced_after_ms.is_some(), "{outcome:?}");
    // Whoever comes gets nothing: a state that cannot be read is no state.
    let (status, _) = Way::Socket(world.socket("feed.sock")).post("/feed/v1/hello", hello("other")).await;
    assert_ne!(status, StatusCode::OK);

    let back_at = doorward_model::Timestamp::now();
    admit(&world.database, true).await;
    written(&world).await;
    for email in [EMAIL, "b@shop.example"] {
        assert_eq!(world.get(&format!("/api/v1/people/{email}")).await["state"], "departed");
    }
    assert_eq!(rows(&world, "person.offboard").await.len(), 2);
    // A beat stands for a read that came after its ping: there was none before the database was back.
    let mut other = Gateway::local(&world, "main").await;
    let earlier = obedient.await.unwrap();
    let early = earlier.heartbeats.iter().filter(|beat| beat.echo_boot_micros == 2 && beat.sent_at < back_at);
    assert_eq!(early.count(), 0, "{:?}", earlier.heartbeats);
    other.ping(3).await;
    other.until(|gateway| !gateway.heartbeats.is_empty()).await;
    assert!(other.leases.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_only_reads_keeps_streams_and_a_restart_alive() {
    let world = World::on(TestDatabase::postgres().await.unwrap()).await;
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    let name = world.database.name().to_owned();
    let out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let read_only = |on: &str| format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
    world.database.at_server(&[&read_only("on"), &out]).await.unwrap();
    // What is read is what holds, so that gateways have their heartbeats.
    gateway.ping(7).await;
    gateway.until(|gateway| gateway.heartbeats.iter().any(|heartbeat| heartbeat.echo_boot_micros == 7)).await;
    let obedient = gateway.obedient();
    let outcome = offboard(&world, EMAIL).await;
    assert!(outcome.journalled && outcome.receipts[0].enforced_after_ms.is_some(), "{outcome:?}");

    let world = world.restarted().await;
    assert_eq!(journalled(&world).await, 1, "nothing was written, and nothing is forgotten");
    assert!(world.get("/api/v1/status").await["database"]["trouble"].to_string().contains("cannot be written"));
    world.database.at_server(&[&read_only("off"), &out]).await.unwrap();
    written(&world).await;
    assert_eq!(world.get(&format!("/api/v1/people/{EMAIL}")).await["state"], "departed");
    assert_eq!(rows(&world, "person.offboard").await.len(), 1);
    assert!(Gateway::local(&world, "main").await.leases.is_empty());
    obedient.await.unwrap();
}
