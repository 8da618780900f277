//! Groups that an identity provider names.

use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::access_fixtures::reach;
use crate::browser::{Browser, ORIGIN};
use crate::gateway::{Gateway, eventually};
use crate::idp::Idp;
use crate::provider::{ANNA, away, away_from_link, back, invited};
use crate::world::{Settings, World, on_both};

async fn with(idp: &Idp, database: TestDatabase, settings: Settings) -> World {
    let world = World::with(database, Settings { url: Some(ORIGIN), issuer: Some(idp.issuer()), ..settings }).await;
    for group in ["desk", "stores", "night"] {
        world.post("/api/v1/groups", json!({ "name": group })).await;
    }
    world
}

async fn groups(world: &World) -> Value {
    world.get(&format!("/api/v1/people/{ANNA}")).await["groups"].clone()
}

/// Signs in through the provider, which says this of the groups.
async fn sign_in(world: &World, idp: &Idp, said: &Value) {
    let mut browser = Browser::new(world);
    let sent = away(&mut browser).await;
    let mut claims = idp.claims(&sent, "42");
    claims["amr"] = json!(["mfa"]);
    claims["groups"] = said.clone();
    let done = back(&mut browser, idp, &sent, &claims).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
}

on_both!(
    each_sign_in_sets_the_groups_that_the_provider_names,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let settings = Settings { groups_claim: Some("groups"), ..Settings::default() };
        let world = with(&idp, database, settings).await;
        world
            .post("/api/v1/resources", json!({ "name": "wiki", "targets": ["10.0.5.30"], "allow": ["tcp/443"] }))
            .await;
        world.post("/api/v1/grants", json!({ "group": "desk", "resource": "wiki", "for": "30d" })).await;
        let way = invited(&world, ANNA).await;
        let mut browser = Browser::new(&world);
        let sent = away_from_link(&mut browser, &way).await;
        let mut claims = idp.claims(&sent, "42");
        claims["amr"] = json!(["mfa"]);
        claims["groups"] = json!(["desk", "unheard-of", "no name"]);
        assert_eq!(back(&mut browser, &idp, &sent, &claims).await.status, StatusCode::SEE_OTHER);
        assert_eq!(groups(&world).await, json!(["desk"]), "from the first moment, and no group that nobody made");

        world.device(ANNA, "laptop", 1).await;
        world.post("/api/v1/groups/night/members", json!({ "email": ANNA })).await;
        let mut gateway = Gateway::local(&world, "main").await;
        assert_eq!(reach(&gateway, ANNA), ["wiki"]);
        sign_in(&world, &idp, &json!(["stores"])).await;
        assert_eq!(groups(&world).await, json!(["night", "stores"]), "an admin's membership stays");
        gateway.until(|it| reach(it, ANNA).is_empty()).await;
        let tail = world.get("/api/v1/audit/tail?lines=10").await;
        let row = tail["rows"].as_array().unwrap().iter().rev().find(|row| row["action"] == "group.sync").unwrap();
        assert_eq!((&row["detail"]["joined"], &row["detail"]["left"]), (&json!(["stores"]), &json!(["desk"])));
        assert_eq!((&row["actor"], &row["subject"]), (&json!("system"), &json!(format!("person:{ANNA}"))));
        gateway.confirm(Vec::new()).await;
        let confirmed = eventually(async || {
            let tail = world.get("/api/v1/audit/tail?lines=5").await;
            tail["rows"].as_array().unwrap().iter().find(|row| row["action"] == "receipt.record").cloned()
        });
        assert_eq!(confirmed.await["detail"]["receipts"][0]["gateway"], "main", "a membership's end is confirmed");

        sign_in(&world, &idp, &json!(["desk", "night"])).await;
        assert_eq!(groups(&world).await, json!(["desk", "night"]));
        gateway.until(|it| reach(it, ANNA) == ["wiki"]).await;
        // What the provider ceased to say ends; that it ever named an admin's group changes nothing.
        sign_in(&world, &idp, &Value::Null).await;
        assert_eq!(groups(&world).await, json!(["night"]));
        gateway.until(|it| reach(it, ANNA).is_empty()).await;
    },
    database
);

on_both!(
    the_owners_table_says_which_groups_are_meant,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let settings = Settings {
            groups_claim: Some("/realm_access/roles"),
            groups: &[("4f1c-77", "stores"), ("gone", "nowhere")],
            ..Settings::default()
        };
        let world = with(&idp, database, settings).await;
        let way = invited(&world, ANNA).await;
        let mut browser = Browser::new(&world);
        let sent = away_from_link(&mut browser, &way).await;
        let mut claims = idp.claims(&sent, "42");
        claims["realm_access"] = json!({ "roles": ["4f1c-77", "desk", "gone"] });
        // One factor alone: nothing is set before the passkey on top is there.
        assert_eq!(back(&mut browser, &idp, &sent, &claims).await.location(), way);
        assert_eq!(groups(&world).await, json!([]));
        browser.join_with_passkey(&way, json!({})).await;
        assert_eq!(groups(&world).await, json!(["stores"]));
    },
    database
);

on_both!(
    without_a_claim_to_read_memberships_are_set_here_alone,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database, Settings::default()).await;
        crate::provider::joined(&world, &idp, ANNA, "42").await;
        world.post("/api/v1/groups/night/members", json!({ "email": ANNA })).await;
        sign_in(&world, &idp, &json!(["desk"])).await;
        assert_eq!(groups(&world).await, json!(["night"]));
    },
    database
);
