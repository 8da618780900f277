//! What the tests of accounts have in common: a named server, an owner, somebody invited, codes.

use doorward_model::Timestamp;
use doorward_store::Store;
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, ORIGIN, Reply, way};
use crate::world::{Settings, World};

pub(crate) const PASSWORD: &str = "correct horse battery staple";
pub(crate) const OWNER: &str = "owner@shop.example";

/// A server with the name that browsers reach it by.
pub(crate) async fn named(database: TestDatabase) -> World {
    World::with(database, Settings { url: Some(ORIGIN), ..Settings::default() }).await
}

pub(crate) async fn owner_link(world: &World) -> String {
    way(&world.post("/api/v1/owner/link", json!({})).await["url"])
}

pub(crate) async fn invitation(world: &World, email: &str) -> String {
    way(&world.post(&format!("/api/v1/people/{email}/invitation"), Value::Null).await["url"])
}

/// A member of staff with an invitation.
pub(crate) async fn invited(world: &World) -> String {
    let person = json!({ "email": "anna@shop.example", "name": "Anna Berg", "kind": "staff" });
    world.post("/api/v1/people", person).await;
    invitation(world, "anna@shop.example").await
}

pub(crate) fn owner() -> Value {
    json!({ "email": OWNER, "name": "The Owner" })
}

/// The code that an authenticator app shows for a key, so many steps from now.
pub(crate) fn code(secret: &str, steps: i64) -> String {
    let secret = totp_rs::Secret::try_from_base32(secret.replace(' ', "")).unwrap();
    let totp = totp_rs::Builder::new().with_secret(secret).with_account_name("x").build().unwrap();
    let at = Timestamp::now().as_second() + steps * 30;
    totp.generate(u64::try_from(at).unwrap()).to_string()
}

/// The key on a page, as somebody would type it.
pub(crate) fn secret_on(page: &Reply) -> String {
    let rest = page.text.split("this key into the app: <code>").nth(1).unwrap_or_else(|| panic!("{}", page.text));
    rest.split("</code>").next().unwrap().to_owned()
}

/// Joins with a password and a code; returns the key and the recovery codes.
pub(crate) async fn join_with_password(browser: &mut Browser<'_>, way: &str) -> (String, Vec<String>) {
    let page = browser.get(way).await;
    let secret = secret_on(&page);
    let fields = [
        ("email", OWNER),
        ("name", "The Owner"),
        ("accepts", &page.field("accepts")),
        ("sealed", &page.field("sealed")),
        ("password", PASSWORD),
        ("repeated", PASSWORD),
        // The step before, so that the next ones are still to be used.
        ("code", &code(&secret, -1)),
    ];
    let done = browser.form(way, &fields).await;
    assert_eq!(done.status, StatusCode::OK, "{}", done.text);
    let codes = done.text.split("<li><code>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned());
    (secret, codes.collect())
}

pub(crate) async fn actions(world: &World) -> Vec<String> {
    let tail = world.get("/api/v1/audit/tail?lines=200").await;
    tail["rows"].as_array().unwrap().iter().map(|row| row["action"].as_str().unwrap().to_owned()).collect()
}

pub(crate) fn entry() -> doorward_domain::AuditEntry {
    doorward_domain::AuditEntry {
        at: Timestamp::now(),
        actor: doorward_domain::Actor::System,
        action: doorward_domain::Action::Read,
        subject: doorward_domain::Subject::Everything,
        detail: json!({ "why": "a test" }),
    }
}

/// Opens the server's own database beside it.
pub(crate) trait OpenAt {
    async fn open_at(&self, world: &World) -> Store;
}

impl OpenAt for TestDatabase {
    async fn open_at(&self, world: &World) -> Store {
        Store::open(self.url(), world.folder.path()).await.unwrap()
    }
}
