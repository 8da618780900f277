//! What ends with a person: everything of theirs, on one page, with when it was enforced.

use std::time::Duration;

use doorward_control_plane::DirectoryTerms;
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, ORIGIN};
use crate::fixtures::{owner, owner_link};
use crate::gateway::{Gateway, eventually};
use crate::scim_client::Scim;
use crate::world::{Settings, World, on_both};

const ANNA: &str = "anna@shop.example";
const DANA: &str = "dana@agency.example";

/// The status of an API request that comes with a token.
async fn with_token(world: &World, token: &Value) -> StatusCode {
    let headers = [("authorization", format!("Bearer {}", token.as_str().unwrap()))];
    let mut program = Browser::new(world);
    program.more = headers.to_vec();
    program.get("/api/v1/status").await.status
}

on_both!(
    whoever_leaves_takes_nothing_along_and_one_page_says_what_ended,
    |database: TestDatabase| async move {
        let world = World::with(database, Settings { url: Some(ORIGIN), ..Settings::default() }).await;
        let mut boss = Browser::new(&world);
        boss.join_with_passkey(&owner_link(&world).await, owner()).await;
        world.post("/api/v1/people", json!({ "email": ANNA, "name": "Anna", "kind": "staff" })).await;
        world.call(Method::PUT, &format!("/api/v1/people/{ANNA}/role"), json!({ "role": "admin" })).await;
        let way = world.post(&format!("/api/v1/people/{ANNA}/invitation"), Value::Null).await["url"].clone();
        let mut anna = Browser::new(&world);
        anna.join_with_passkey(&crate::browser::way(&way), json!({})).await;
        let contractor = json!({ "email": DANA, "name": "Dana", "kind": "contractor", "sponsor": ANNA, "until": "4d" });
        world.post("/api/v1/people", contractor).await;
        world
            .post("/api/v1/resources", json!({ "name": "panel", "targets": ["10.0.5.10"], "allow": ["tcp/443"] }))
            .await;
        world.post("/api/v1/grants", json!({ "email": ANNA, "resource": "panel", "for": "8h" })).await;
        world.device(ANNA, "laptop", 1).await;
        world.device(DANA, "workstation", 2).await;
        // A token that she made, and one that the token made: she may know both.
        let made = anna.post("/api/v1/tokens", json!({ "name": "ci" })).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let first = made.json()["token"].clone();
        let mut program = Browser::new(&world);
        program.more = vec![("authorization", format!("Bearer {}", first.as_str().unwrap()))];
        let second = program.post("/api/v1/tokens", json!({ "name": "deploy" })).await.json()["token"].clone();
        let of_root = world.post("/api/v1/tokens", json!({ "name": "backup" })).await["token"].clone();
        for token in [&first, &second, &of_root] {
            assert_eq!(with_token(&world, token).await, StatusCode::OK);
        }
        let gateway = Gateway::local(&world, "main").await.obedient();

        // While she is suspended they count for nothing, and no longer than she is an admin.
        world.post(&format!("/api/v1/people/{ANNA}/suspend"), json!({})).await;
        assert_eq!(with_token(&world, &first).await, StatusCode::UNAUTHORIZED);
        world.post(&format!("/api/v1/people/{ANNA}/restore"), json!({})).await;
        assert_eq!(with_token(&world, &second).await, StatusCode::OK);
        world.call(Method::PUT, &format!("/api/v1/people/{ANNA}/role"), json!({ "role": "member" })).await;
        assert_eq!(with_token(&world, &first).await, StatusCode::UNAUTHORIZED);
        world.call(Method::PUT, &format!("/api/v1/people/{ANNA}/role"), json!({ "role": "admin" })).await;

        world.post(&format!("/api/v1/people/{ANNA}/invitation"), Value::Null).await;
        let out = world.post(&format!("/api/v1/people/{ANNA}/offboard"), json!({ "reason": "left" })).await;
        assert_eq!((&out["ended"]["tokens"], &out["ended"]["links"]), (&json!(["ci", "deploy"]), &json!(1)), "{out}");
        for token in [&first, &second] {
            assert_eq!(with_token(&world, token).await, StatusCode::UNAUTHORIZED);
        }
        assert_eq!(with_token(&world, &of_root).await, StatusCode::OK);
        // Whoever comes back under the same address gets none of it back.
        world.post(&format!("/api/v1/people/{ANNA}/restore"), json!({})).await;
        world.call(Method::PUT, &format!("/api/v1/people/{ANNA}/role"), json!({ "role": "admin" })).await;
        assert_eq!(with_token(&world, &first).await, StatusCode::UNAUTHORIZED);
        world.post(&format!("/api/v1/people/{ANNA}/suspend"), json!({})).await;

        let endings = eventually(async || {
            let endings = world.get(&format!("/api/v1/people/{ANNA}/endings")).await;
            let left = endings.as_array()?.iter().find(|it| it["action"] == "person.offboard")?.clone();
            left["receipts"].as_array().is_some_and(|receipts| !receipts.is_empty()).then_some((endings, left))
        });
        let (endings, left) = endings.await;
        assert_eq!(endings.as_array().unwrap().len(), 3, "{endings}");
        assert_eq!((&left["by"], &left["reason"]), (&json!("local:0(root)"), &json!("left")));
        assert_eq!((&left["devices"], &left["grants"]), (&json!(["laptop"]), &json!(["panel"])));
        assert_eq!((&left["suspended"], &left["tokens"]), (&json!([]), &json!(["ci", "deploy"])));
        assert_eq!(endings[2]["suspended"], json!([DANA]), "nobody answered for her from the suspension on");
        assert_eq!(endings[2]["devices"], json!(["laptop", format!("workstation of {DANA}")]));
        let receipt = &left["receipts"][0];
        assert_eq!((&receipt["gateway"], &receipt["last_packet_before_ms"]), (&json!("main"), &json!(7)), "{left}");
        world.post(&format!("/api/v1/people/{ANNA}/offboard"), json!({})).await;
        let page = boss.get(&format!("/admin/people/{ANNA}")).await;
        assert!(page.text.contains("What ended") && page.text.contains("count no more"), "{}", page.text);
        gateway.abort();
    },
    database
);

/// The latest ending of somebody, once it is of this kind.
async fn ending(world: &World, email: &str, action: &str) -> Value {
    let latest = async || {
        let endings = world.get(&format!("/api/v1/people/{email}/endings")).await;
        let latest = endings.as_array()?.first()?.clone();
        (latest["action"] == action).then_some(latest)
    };
    eventually(latest).await
}

on_both!(
    whatever_puts_somebody_out_their_page_says_all_of_it,
    |database: TestDatabase| async move {
        let directory = DirectoryTerms { cooling: Duration::from_secs(3600), ..DirectoryTerms::default() };
        let world = World::with(database, Settings { url: Some(ORIGIN), directory, ..Settings::default() }).await;
        let scim = Scim::new(&world, "okta").await;
        world
            .post("/api/v1/resources", json!({ "name": "panel", "targets": ["10.0.5.10"], "allow": ["tcp/443"] }))
            .await;
        let (cooled, deleted) = ("cooled@shop.example", "deleted@shop.example");
        for (number, email) in (1..).zip([cooled, deleted]) {
            let id = scim.user(email).await;
            let contractor =
                json!({ "email": format!("of-{email}"), "name": "C", "kind": "contractor", "sponsor": email });
            world.post("/api/v1/people", contractor).await;
            world.device(email, "laptop", number).await;
            world.post("/api/v1/grants", json!({ "email": email, "resource": "panel", "for": "8h" })).await;
            world.post(&format!("/api/v1/people/{email}/invitation"), Value::Null).await;
            if email == deleted {
                scim.delete(&format!("/Users/{id}")).await.expect(204);
            } else {
                scim.set_active(&id, false).await.expect(200);
            }
        }
        let left = ending(&world, deleted, "person.offboard").await;
        let suspended = ending(&world, cooled, "person.suspend").await;
        assert_eq!((&left["by"], &left["reason"]), (&json!("source:okta"), &json!("deleted")));
        for (of, ending) in [(deleted, &left), (cooled, &suspended)] {
            assert_eq!((&ending["links"], &ending["devices"]), (&json!(1), &json!(["laptop"])), "{ending}");
            assert_eq!(ending["suspended"], json!([format!("of-{of}")]));
        }
        assert_eq!((&left["grants"], &suspended["grants"]), (&json!(["panel"]), &json!([])));

        // By time: the cooling period, and somebody's own end date.
        let directory = DirectoryTerms { cooling: Duration::ZERO, ..DirectoryTerms::default() };
        let world = world.restarted_with(Settings { url: Some(ORIGIN), directory, ..Settings::default() }).await;
        let left = ending(&world, cooled, "person.offboard").await;
        assert_eq!((&left["grants"], &left["devices"]), (&json!(["panel"]), &json!(["laptop"])), "{left}");
        world.post("/api/v1/people", json!({ "email": ANNA, "name": "Anna", "kind": "staff" })).await;
        let contractor = json!({ "email": DANA, "name": "Dana", "kind": "contractor", "sponsor": ANNA, "until": "3s" });
        world.post("/api/v1/people", contractor).await;
        world.device(DANA, "workstation", 7).await;
        let over = ending(&world, DANA, "person.end").await;
        assert_eq!((&over["by"], &over["devices"]), (&json!("system"), &json!(["workstation"])), "{over}");
        // A contract's end is a departure: whoever comes back asks for everything again.
        let dana = world.get(&format!("/api/v1/people/{DANA}")).await;
        assert_eq!((&dana["state"], &dana["devices"][0]["state"]), (&json!("departed"), &json!("revoked")), "{dana}");
        world.post(&format!("/api/v1/people/{DANA}/restore"), json!({})).await;
        let back = world.get(&format!("/api/v1/people/{DANA}")).await;
        assert_eq!((&back["state"], &back["devices"][0]["state"]), (&json!("active"), &json!("revoked")), "{back}");
    },
    database
);
