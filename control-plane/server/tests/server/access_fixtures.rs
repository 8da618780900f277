//! What the tests of access have in common: people with a token of their own, a group, requests.

use doorward_control_plane::api::ErrorCode;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::Gateway;
use crate::world::World;

pub(crate) async fn refusal(world: &World, method: Method, path: &str, body: Value) -> (ErrorCode, String) {
    let (status, answer) = world.call(method, path, body).await;
    let code: ErrorCode = serde_json::from_value(answer["error"]["code"].clone())
        .unwrap_or_else(|_| panic!("no error: {path} {status} {answer}"));
    assert_eq!(status, code.status());
    (code, answer["error"]["message"].as_str().unwrap().to_owned())
}

pub(crate) async fn person(world: &World, email: &str) {
    world.post("/api/v1/people", json!({ "email": email, "name": "N", "kind": "staff" })).await;
}

pub(crate) async fn contractor(world: &World, email: &str, sponsor: &str, until: &str) {
    let new = json!({ "email": email, "name": "N", "kind": "contractor", "sponsor": sponsor, "until": until });
    world.post("/api/v1/people", new).await;
}

/// Makes somebody's token of `doorward login` behind the server's back, with a factor proved so many seconds ago.
pub(crate) async fn login(world: &World, email: &str, factor_seconds_ago: i64) -> String {
    use doorward_domain::{Action, Actor, AuditEntry, LoginToken, Subject, TokenHash};
    let token = format!("dwl1_test-{}-{factor_seconds_ago}", email.replace('@', "-"));
    let now = doorward_model::Timestamp::now();
    let store = doorward_store::Store::open(world.database.url(), world.folder.path()).await.unwrap();
    let mut tx = store.write().await.unwrap();
    let kept = LoginToken {
        id: uuid::Uuid::now_v7(),
        principal: tx.person_by_email(&email.parse().unwrap()).await.unwrap().unwrap().id,
        name: "test".to_owned(),
        created_at: now,
        expires_at: now + jiff::SignedDuration::from_hours(1),
        factor_at: now - jiff::SignedDuration::from_secs(factor_seconds_ago),
        last_used_at: None,
    };
    tx.login_token_add(&TokenHash::of(token.as_bytes()), &kept).await.unwrap();
    let detail = json!({ "why": "a test" });
    let entry =
        AuditEntry { at: now, actor: Actor::System, action: Action::LoginAdd, subject: Subject::Everything, detail };
    tx.commit(entry, doorward_store::Outbox::None).await.unwrap();
    token
}

pub(crate) async fn role(world: &World, email: &str, role: &str) {
    let (status, answer) =
        world.call(Method::PUT, &format!("/api/v1/people/{email}/role"), json!({ "role": role })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// A group `desk` with two members, who have a laptop each, and a grant on `panel`.
pub(crate) async fn with_group(world: &World) {
    world.furnish().await;
    person(world, "anna@shop.example").await;
    world.device("anna@shop.example", "laptop", 2).await;
    world.post("/api/v1/groups", json!({ "name": "Desk" })).await;
    for email in ["anna@shop.example", "support@shop.example"] {
        world.post("/api/v1/groups/desk/members", json!({ "email": email })).await;
    }
    world.post("/api/v1/resources", json!({ "name": "wiki", "targets": ["10.0.5.30"], "allow": ["tcp/443"] })).await;
    world.post("/api/v1/grants", json!({ "group": "desk", "resource": "wiki", "for": "30d" })).await;
}

/// The resources that a device of this person may reach, as its gateway holds them.
pub(crate) fn reach(gateway: &Gateway, email: &str) -> Vec<String> {
    let leases = gateway.leases.values().filter(|lease| lease.email.as_str() == email);
    let mut names: Vec<String> = leases.flat_map(|lease| &lease.rules).map(|rule| rule.resource.to_string()).collect();
    names.sort();
    names
}
pub(crate) fn ask(email: &str, limit: &str) -> Value {
    json!({ "email": email, "resource": "panel", "for": limit, "reason": "migrate the orders table" })
}
