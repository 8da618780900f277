//! Two control planes on one PostgreSQL.

use std::time::Duration;

use doorward_control_plane::api::EndOutcome;
use doorward_control_plane::{Shutdown, run_announcing};
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::fixtures::{PASSWORD, code, invited, join_with_password, named, owner, owner_link};
use crate::gateway::{Gateway, eventually};
use crate::world::{PATIENCE, Settings, World, config};

async fn two(settings: Settings) -> (World, World) {
    let first = World::with(TestDatabase::postgres().await.unwrap(), settings).await;
    let second = first.beside().await;
    (first, second)
}

/// Waits until a gateway is connected in the eyes of a control plane, and returns what it says of it.
async fn connected(world: &World, name: &str) -> Value {
    eventually(|| async {
        let status = world.get("/api/v1/status").await;
        let found = status["gateways"].as_array()?.iter().find(|it| it["name"] == name && it["connected"] == true);
        found.cloned()
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_that_another_replica_heard_is_awaited_and_written_down_once() {
    let (first, second) = two(Settings::default()).await;
    first.furnish().await;
    let here = Gateway::local(&first, "berlin").await.obedient();
    let there = Gateway::local(&second, "paris").await.obedient();
    eventually(|| async {
        let paris = connected(&first, "paris").await;
        (paris["replica"].is_string() && paris["revisions_behind"] == 0).then_some(())
    })
    .await;
    connected(&second, "berlin").await;
    let outcome = first.post("/api/v1/people/support@shop.example/offboard", json!({ "reason": "left" })).await;
    let outcome: EndOutcome = serde_json::from_value(outcome).unwrap();
    assert_eq!(outcome.warnings, Vec::<String>::new());
    assert_eq!(outcome.receipts.len(), 2);
    for receipt in &outcome.receipts {
        assert!(receipt.connected && receipt.enforced_after_ms.is_some_and(|ms| ms < 5_000), "{receipt:?}");
        assert_eq!(receipt.last_packet_before_ms, Some(7), "{receipt:?}");
    }
    for world in [&first, &second] {
        let status = world.get("/api/v1/status").await;
        let receipts = status["last_receipts"].as_array().unwrap();
        let of_it = receipts.iter().filter(|it| it["revision"] == json!(outcome.revision)).count();
        assert_eq!(of_it, 2, "{receipts:?}");
        assert_eq!(status["alerts"], json!([]));
    }
    assert_eq!(first.get("/api/v1/audit/verify").await["intact"], true);
    second.call(Method::DELETE, "/api/v1/gateways/paris", Value::Null).await;
    first.call(Method::DELETE, "/api/v1/gateways/berlin", Value::Null).await;
    assert!(there.await.unwrap().leases.is_empty() && here.await.unwrap().leases.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_deaf_at_another_replica_is_named_and_alerted_here() {
    let (first, second) = two(Settings::default()).await;
    first.furnish().await;
    let _deaf = Gateway::local(&second, "paris").await;
    connected(&first, "paris").await;
    let outcome = first.post("/api/v1/people/support@shop.example/suspend", Value::Null).await;
    let outcome: EndOutcome = serde_json::from_value(outcome).unwrap();
    assert!(outcome.receipts[0].connected && outcome.receipts[0].enforced_after_ms.is_none(), "{outcome:?}");
    assert!(outcome.warnings[0].contains("paris did not confirm"), "{:?}", outcome.warnings);
    let told = eventually(async || {
        let status = second.get("/api/v1/status").await;
        status["alerts"].as_array().unwrap().iter().find(|alert| alert["kind"] == "receipt_missing").cloned()
    });
    assert_eq!(told.await["gateway"], "paris");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_says_hello_elsewhere_has_one_stream_and_is_not_called_lost() {
    let settings = Settings { ttl: Duration::from_secs(2), ..Settings::default() };
    let (first, second) = two(settings).await;
    let mut left = Gateway::local(&first, "main").await;
    connected(&second, "main").await;
    let mut moved = Gateway::local(&second, "main").await;
    // Without a single ping the first stream ends, because the gateway went elsewhere.
    let ended = tokio::time::timeout(PATIENCE, async { while left.step().await.is_ok() {} }).await;
    assert!(ended.is_ok(), "the stream that was left goes on");
    assert_eq!(moved.ping(1).await, StatusCode::NO_CONTENT);
    while moved.heartbeats.is_empty() {
        moved.step().await.expect("the stream at the second control plane goes on");
    }
    connected(&first, "main").await;
    let alerts = first.get("/api/v1/status").await["alerts"].clone();
    assert_eq!(alerts, json!([]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receipt_for_a_revision_that_another_replica_committed_is_taken() {
    let (first, second) = two(Settings::default()).await;
    let gateway = Gateway::local(&second, "main").await;
    first.furnish().await;
    let revision = first.get("/api/v1/status").await["revision"].clone();
    // The gateway comes from the first control plane, which sent it this one; the second may not have heard of it yet.
    let receipt = json!({ "session": gateway.session, "revision": revision, "enforced_after_micros": 1, "ended": [] });
    let (status, answer) = gateway.way.post("/feed/v1/receipts", receipt).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    let never = revision.as_u64().unwrap() + 1;
    let receipt = json!({ "session": gateway.session, "revision": never, "enforced_after_micros": 1, "ended": [] });
    assert!(gateway.way.post("/feed/v1/receipts", receipt).await.0.is_client_error());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_with_other_keys_is_refused_with_what_to_do() {
    let first = World::on(TestDatabase::postgres().await.unwrap()).await;
    let folder = tempfile::tempdir().unwrap();
    let start = |folder: &std::path::Path| {
        let (sender, _ready) = tokio::sync::oneshot::channel();
        run_announcing(config(folder, first.database.url(), first.settings), Shutdown::new(), sender)
    };
    let refused = start(folder.path()).await.unwrap_err().to_string();
    for words in ["seal key and feed authority", "doorward replica export", "doorward replica import"] {
        assert!(refused.contains(words), "{words}: {refused}");
    }
    let network = "100.90.0.0/16".parse().unwrap();
    let network = doorward_model::TunnelNetwork::new(network, first.settings.network.v6()).unwrap();
    let beside = first.beside().await;
    let folder = beside.folder.path().to_path_buf();
    let other = config(&folder, first.database.url(), Settings { network, ..first.settings });
    let kept = tempfile::tempdir().unwrap();
    for name in ["keys", "feed-ca"] {
        std::fs::rename(folder.join(name), kept.path().join(name)).unwrap();
    }
    beside.stopped().await;
    let other = doorward_control_plane::ControlPlaneConfig { data_dir: kept.path().to_path_buf(), ..other };
    let (sender, _ready) = tokio::sync::oneshot::channel();
    let refused = run_announcing(other, Shutdown::new(), sender).await.unwrap_err().to_string();
    assert!(refused.contains("the [network] in"), "{refused}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_come_in_and_prove_themselves_whichever_replica_answers_each_request() {
    let first = named(TestDatabase::postgres().await.unwrap()).await;
    let second = first.beside().await;
    let link = owner_link(&first).await;
    let mut browser = Browser::between(&first, &second);
    let mut passkey = browser.join_with_passkey(&link, owner()).await;
    for page in ["/security", "/security"] {
        assert_eq!(browser.get(page).await.status, StatusCode::OK);
    }
    assert_eq!(browser.form("/sign-out", &[]).await.status, StatusCode::SEE_OTHER);
    for page in ["/security", "/security"] {
        assert_eq!(browser.get(page).await.status, StatusCode::SEE_OTHER, "the session is over everywhere");
    }
    let done = browser.prove("/sign-in", &mut passkey).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let done = browser.prove("/step-up", &mut passkey).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    // A password with a code: the seed is sealed by one replica and opened by the other.
    let invitation = invited(&second).await;
    let mut other = Browser::between(&second, &first);
    let (secret, _codes) = join_with_password(&mut other, &invitation).await;
    assert_eq!(other.form("/sign-out", &[]).await.status, StatusCode::SEE_OTHER);
    let fields = [("email", "anna@shop.example"), ("password", PASSWORD), ("code", &code(&secret, 0))];
    let done = other.form("/sign-in", &fields).await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/"), "{}", done.text);
}
