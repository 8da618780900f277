//! What directories and webhooks take away while the database takes nothing, or cannot even be read.

use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::hook_client::Sender;
use crate::journal::{admit, journalled, rows, written};
use crate::scim_client::Scim;
use crate::world::World;

const SUPPORT: &str = "support@shop.example";
const ANNA: &str = "anna@shop.example";
const BERT: &str = "bert@shop.example";
const BOSS: &str = "boss@shop.example";

async fn state(world: &World, email: &str) -> Value {
    world.get(&format!("/api/v1/people/{email}")).await["state"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_any_database_directories_and_webhooks_still_take_away() {
    let world = World::on(TestDatabase::postgres().await.unwrap()).await;
    let (okta, hr) = (Scim::new(&world, "okta").await, Sender::new(&world, "hr").await);
    let revoked = Scim::new(&world, "left").await;
    world.call(Method::DELETE, "/api/v1/scim/tokens/left", Value::Null).await;
    let anna = okta.user(ANNA).await;
    world.furnish().await;
    world.post("/api/v1/people", json!({ "email": BOSS, "name": "Boss", "kind": "staff" })).await;
    world.call(Method::PUT, &format!("/api/v1/people/{BOSS}/role"), json!({ "role": "owner" })).await;
    world.device(ANNA, "phone", 7).await;
    let obedient = Gateway::local(&world, "main").await.obedient();
    admit(&world.database, false).await;
    eventually(|| async { (world.get("/api/v1/status").await["database"]["answers"] == false).then_some(()) }).await;

    // As directories do it: they look first.
    let found = okta.get(&format!("/Users?filter=userName%20eq%20%22{}%22", ANNA.to_uppercase())).await.expect(200);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(anna)), "{found}");
    assert_eq!(okta.set_active(&anna, false).await.expect(200)["active"], false);
    assert_eq!(okta.get(&format!("/Users/{anna}")).await.expect(200)["active"], false);
    // What is not known is not said to be missing, and nothing is given.
    okta.get("/Users?filter=userName%20eq%20%22new@shop.example%22").await.expect(503);
    okta.get("/Users").await.expect(503);
    okta.set_active(&anna, true).await.expect(503);
    revoked.get(&format!("/Users/{anna}")).await.expect(503);

    let (message, now) = (json!({ "event": "person.departed", "email": SUPPORT }).to_string(), hr.now());
    let signature = hr.signed(&now, &message);
    let (status, answer) = hr.send_as(&now, &signature, &message).await;
    assert_eq!((status, &answer["results"][0]["result"]), (StatusCode::OK, &json!("suspended")), "{answer}");
    assert!(answer["results"][0]["detail"].as_str().unwrap().contains("journalled"), "{answer}");
    assert_eq!(hr.send_as(&now, &signature, &message).await.0, StatusCode::CONFLICT);
    assert_eq!(hr.send_as(&now, "v1=00", &message).await.0, StatusCode::UNAUTHORIZED);
    let (status, _) = hr.send(&json!({ "event": "person.active", "email": SUPPORT })).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(hr.say("suspended", BOSS).await["result"], "refused");
    assert_eq!(journalled(&world).await, 2);

    admit(&world.database, true).await;
    written(&world).await;
    assert_eq!((state(&world, ANNA).await, state(&world, SUPPORT).await), (json!("suspended"), json!("suspended")));
    let mut by: Vec<Value> = rows(&world, "person.suspend").await.iter().map(|row| row["actor"].clone()).collect();
    by.sort_by_key(ToString::to_string);
    assert_eq!(by, [json!("source:hr"), json!("source:okta")], "each once");
    // Each takes back what it took, and no more.
    assert_eq!(hr.say("active", ANNA).await["result"], "unchanged");
    assert_eq!(hr.say("active", SUPPORT).await["result"], "active");
    assert_eq!(okta.set_active(&anna, true).await.expect(200)["active"], true);
    drop(Gateway::local(&world, "main").await);
    obedient.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_only_reads_stops_no_directory_and_no_webhook() {
    let world = World::on(TestDatabase::postgres().await.unwrap()).await;
    let (okta, hr) = (Scim::new(&world, "okta").await, Sender::new(&world, "hr").await);
    let (anna, bert) = (okta.user(ANNA).await, okta.user(BERT).await);
    world.furnish().await;
    world.device(ANNA, "phone", 7).await;
    let obedient = Gateway::local(&world, "main").await.obedient();
    let name = world.database.name().to_owned();
    let out = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
    let read_only = |on: &str| format!("ALTER DATABASE {name} SET default_transaction_read_only = {on}");
    world.database.at_server(&[&read_only("on"), &out]).await.unwrap();

    assert_eq!(okta.set_active(&anna, false).await.expect(200)["active"], false);
    okta.delete(&format!("/Users/{bert}")).await.expect(204);
    assert_eq!(hr.say("departed", SUPPORT).await["result"], "suspended");
    assert_eq!(journalled(&world).await, 3);
    okta.set_active(&anna, true).await.expect(503);

    world.database.at_server(&[&read_only("off"), &out]).await.unwrap();
    written(&world).await;
    for email in [ANNA, BERT, SUPPORT] {
        assert_eq!(state(&world, email).await, "suspended", "{email}");
    }
    assert_eq!(rows(&world, "person.suspend").await.len(), 3);
    // It says so again, and now they depart.
    okta.delete(&format!("/Users/{bert}")).await.expect(204);
    assert_eq!(hr.say("departed", SUPPORT).await["result"], "departed");
    assert_eq!((state(&world, BERT).await, state(&world, SUPPORT).await), (json!("departed"), json!("departed")));
    drop(Gateway::local(&world, "main").await);
    obedient.await.unwrap();
}
