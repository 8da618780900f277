//! Signed webhooks: who is believed, what becomes of people, and what a webhook cannot do.

use std::process::Stdio;
use std::time::Duration;

use doorward_control_plane::DirectoryTerms;
use doorward_model::{EndReason, Timestamp};
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::hook_client::Sender;
use crate::scim_client::Scim;
use crate::world::{PATIENCE, Settings, World, on_both};

const SUPPORT: &str = "support@shop.example";

async fn state(world: &World, email: &str) -> Value {
    world.get(&format!("/api/v1/people/{email}")).await["state"].clone()
}

async fn staff(world: &World, email: &str) {
    world.post("/api/v1/people", json!({ "email": email, "name": "Somebody", "kind": "staff" })).await;
}

fn sentence(answer: &Value) -> &str {
    answer["error"]["message"].as_str().unwrap_or_else(|| panic!("{answer}"))
}

on_both!(a_webhook_suspends_at_once_takes_back_whole_and_puts_out_for_good, |world: World| async move {
    let device = world.furnish().await;
    let hr = Sender::new(&world, "hr").await;
    let mut gateway = Gateway::local(&world, "main").await;
    gateway.until(|gateway| gateway.leases.len() == 1).await;
    assert_eq!(hr.say("active", SUPPORT).await["result"], "unchanged", "it takes back only what it took");
    assert_eq!(hr.say("suspended", SUPPORT).await, json!({ "email": SUPPORT, "result": "suspended" }));
    gateway.until(|gateway| gateway.leases.is_empty()).await;
    assert_eq!(hr.say("suspended", SUPPORT).await["result"], "unchanged");
    let said = world.get(&format!("/api/v1/people/{SUPPORT}")).await["sources"][0].clone();
    assert_eq!((&said["name"], &said["kind"], &said["manages"]), (&json!("hr"), &json!("hook"), &json!(false)));
    assert!(said["suspended_at"].is_string(), "{said}");
    let listed = world.get("/api/v1/people").await;
    assert!(listed.as_array().unwrap().iter().any(|it| it["sources"][0] == said), "{listed}");
    assert_eq!(hr.say("active", SUPPORT).await["result"], "active");
    gateway.until(|gateway| gateway.leases.len() == 1).await;
    let person = world.get(&format!("/api/v1/people/{SUPPORT}")).await;
    assert_eq!((&person["devices"][0]["id"], &person["devices"][0]["state"]), (&device["id"], &json!("active")));
    assert_eq!(hr.say("departed", SUPPORT).await["result"], "departed");
    gateway.until(|gateway| gateway.leases.is_empty()).await;
    assert_eq!(gateway.tombstones.last().unwrap().reason, EndReason::Offboarded);
    assert_eq!(hr.say("active", SUPPORT).await["result"], "unchanged", "nobody comes back who departed");
    assert_eq!(state(&world, SUPPORT).await, "departed");
    let tail = world.get("/api/v1/audit/tail?lines=50").await;
    let rows = tail["rows"].as_array().unwrap().iter().filter(|row| row["actor"] == "source:hr");
    let actions: Vec<&str> = rows.map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["person.suspend", "person.restore", "person.offboard"]);
});

on_both!(a_message_is_believed_by_its_signature_and_its_time_and_counts_once, |world: World| async move {
    staff(&world, SUPPORT).await;
    let hr = Sender::new(&world, "hr").await;
    let body = json!({ "event": "person.suspended", "email": SUPPORT, "reason": "left" }).to_string();
    let (now, other) = (hr.now(), Sender { name: "nobody".to_owned(), ..Sender::new(&world, "other").await });
    let signature = hr.signed(&now, &body);
    let elsewhere = (Timestamp::now().as_second() + 7).to_string();
    for (timestamp, signature, body) in [
        (now.as_str(), "", body.as_str()),
        (&now, "v1=00", &body),
        (&now, &other.signed(&now, &body), &body),
        (&elsewhere, &signature, &body),
        (&now, &signature, &body.replace("suspended", "departed")),
        (&now, &signature.replace("v1=", "v0="), &body),
    ] {
        let (status, answer) = hr.send_as(timestamp, signature, body).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
        assert!(sentence(&answer).contains("doorward hook add"), "{answer}");
    }
    let (status, answer) = other.send_as(&now, &other.signed(&now, &body), &body).await;
    assert_eq!((status, sentence(&answer).contains("doorward hook add")), (StatusCode::UNAUTHORIZED, true));
    for ahead in [-400, 400] {
        let late =
            Sender { name: hr.name.clone(), secret: hr.secret.clone(), ahead, ..Sender::new(&world, "late").await };
        world.call(Method::DELETE, "/api/v1/hooks/late", Value::Null).await;
        let (status, answer) = late.send(&json!({ "event": "person.suspended", "email": SUPPORT })).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{answer}");
        assert!(sentence(&answer).contains("here it is"), "{answer}");
    }
    assert_eq!(state(&world, SUPPORT).await, "active", "none of it was done");
    let (status, answer) = hr.send_as(&now, &format!("v1={},{signature}", "0".repeat(64)), &body).await;
    assert_eq!((status, &answer["results"][0]["result"]), (StatusCode::OK, &json!("suspended")));
    let (status, answer) = hr.send_as(&now, &signature, &body).await;
    assert_eq!(status, StatusCode::CONFLICT, "the same message again: {answer}");
    // The same id is the same message, whenever it was signed.
    let back = json!({ "event": "person.active", "email": SUPPORT, "id": "7" });
    assert_eq!(hr.send(&back).await.1["results"][0]["result"], "active");
    hr.say("suspended", SUPPORT).await;
    let again = Sender { ahead: 1, ..hr };
    assert_eq!(again.send(&back).await.0, StatusCode::CONFLICT);
    assert_eq!(state(&world, SUPPORT).await, "suspended");
});

on_both!(what_cannot_be_read_is_refused_loudly_and_an_unknown_person_is_named, |world: World| async move {
    staff(&world, SUPPORT).await;
    let hr = Sender::new(&world, "hr").await;
    for (body, named) in [
        (json!("no"), "not as expected"),
        (json!({ "event": "person.gone", "email": SUPPORT }), "person.gone"),
        (json!({ "event": "person.departed" }), "nobody is named"),
    ] {
        let (status, answer) = hr.send(&body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(sentence(&answer).contains(named), "{answer}");
    }
    let alerts = world.get("/api/v1/status").await["alerts"].clone();
    assert!(alerts.as_array().unwrap().iter().any(|alert| alert["kind"] == "directory_unreadable"), "{alerts}");
    let large = json!({ "event": "person.departed", "email": SUPPORT, "reason": "x".repeat(70_000) });
    assert_eq!(hr.send(&large).await.0, StatusCode::PAYLOAD_TOO_LARGE);
    let several =
        json!({ "event": "person.suspended", "emails": ["who@shop.example", "x", SUPPORT], "reason": "x".repeat(900) });
    let (status, answer) = hr.send(&several).await;
    let results: Vec<&Value> = answer["results"].as_array().unwrap().iter().map(|it| &it["result"]).collect();
    assert_eq!((status, results), (StatusCode::OK, vec![&json!("unknown"), &json!("unknown"), &json!("suspended")]));
});

on_both!(a_webhook_reaches_admins_and_no_owner_and_outlasts_the_directory, |world: World| async move {
    for (email, role) in [("root@shop.example", "owner"), ("anna@shop.example", "admin")] {
        staff(&world, email).await;
        world.call(Method::PUT, &format!("/api/v1/people/{email}/role"), json!({ "role": role })).await;
    }
    let hr = Sender::new(&world, "hr").await;
    let several = json!({ "event": "person.suspended", "emails": ["root@shop.example", "anna@shop.example"] });
    let (status, answer) = hr.send(&several).await;
    assert_eq!(status, StatusCode::MULTI_STATUS, "{answer}");
    assert_eq!(
        (&answer["results"][0]["result"], &answer["results"][1]["result"]),
        (&json!("refused"), &json!("suspended"))
    );
    assert!(answer["results"][0]["detail"].as_str().unwrap().contains("owner"), "{answer}");
    assert_eq!(state(&world, "root@shop.example").await, "active");
    // An admin's word that somebody is back counts more than what the webhook said once.
    world.post("/api/v1/people/anna@shop.example/restore", json!({})).await;
    assert_eq!(hr.say("active", "anna@shop.example").await["result"], "unchanged");
    // Whom an admin suspended is not the webhook's to take back.
    world.post("/api/v1/people/anna@shop.example/suspend", json!({})).await;
    hr.say("suspended", "anna@shop.example").await;
    assert_eq!(hr.say("active", "anna@shop.example").await["result"], "unchanged");
    assert_eq!(state(&world, "anna@shop.example").await, "suspended");

    // Whom a directory manages is put out all the same, and the directory takes none of it back.
    let okta = Scim::new(&world, "okta").await;
    let id = okta.user("ben@shop.example").await;
    assert_eq!(hr.say("suspended", "ben@shop.example").await["result"], "suspended");
    okta.set_active(&id, false).await.expect(200);
    assert_eq!(okta.set_active(&id, true).await.expect(200)["active"], false);
    assert_eq!(hr.say("active", "ben@shop.example").await["result"], "active", "both say so now");
    okta.set_active(&id, false).await.expect(200);
    hr.say("suspended", "ben@shop.example").await;
    assert_eq!(hr.say("active", "ben@shop.example").await["result"], "unchanged", "the directory says otherwise");
    assert_eq!(okta.set_active(&id, true).await.expect(200)["active"], true);
    hr.say("departed", "ben@shop.example").await;
    okta.set_active(&id, true).await.expect(404);
    okta.send(Method::POST, "/Users", json!({ "userName": "ben@shop.example" })).await.expect(409);
    assert_eq!(state(&world, "ben@shop.example").await, "departed");
});

async fn states(world: &World) -> String {
    let people = world.get("/api/v1/people").await;
    people.as_array().unwrap().iter().map(|person| &person["state"].as_str().unwrap()[..1]).collect()
}

on_both!(
    many_at_once_are_suspended_and_wait_for_a_person_whose_word_is_done,
    |database: TestDatabase| async move {
        let directory = DirectoryTerms { cooling: Duration::from_secs(3600), ..DirectoryTerms::default() };
        let world = World::with(database, Settings { directory, ..Settings::default() }).await;
        let everybody: Vec<String> = (0..20).map(|n| format!("p{n:02}@shop.example")).collect();
        for email in &everybody {
            staff(&world, email).await;
        }
        let hr = Sender::new(&world, "hr").await;
        let departed =
            |emails: &[String]| json!({ "event": "person.departed", "emails": emails, "id": emails.join("") });
        // A fifth of those who are here, and not of those it named.
        assert_eq!(hr.send(&departed(&everybody[..4])).await.0, StatusCode::OK);
        assert_eq!(states(&world).await, "ddddaaaaaaaaaaaaaaaa");
        let (_, answer) = hr.send(&departed(&everybody[4..7])).await;
        assert!(answer["results"][1]["detail"].as_str().unwrap().contains("doorward source confirm hr"), "{answer}");
        assert_eq!(states(&world).await, "ddddsssaaaaaaaaaaaaa");
        let alerts = world.get("/api/v1/status").await["alerts"].clone();
        assert!(alerts[0]["message"].as_str().unwrap().contains("doorward source undo hr"), "{alerts}");
        assert_eq!(hr.say("active", &everybody[4]).await["result"], "waits");
        let undone = world.post("/api/v1/sources/hr/undo", json!({})).await;
        assert_eq!(undone["people"], json!(everybody[4..7]), "{undone}");
        assert_eq!(states(&world).await, "ddddaaaaaaaaaaaaaaaa");
        let (_, answer) = hr.send(&json!({ "event": "person.departed", "emails": everybody[4..12] })).await;
        assert_eq!(answer["results"][0]["result"], "departed", "what was looked at does not count again: {answer}");
        assert_eq!(states(&world).await, "ddddddddssssaaaaaaaa");
        let listed = world.get("/api/v1/sources").await;
        assert_eq!((&listed[0]["kind"], &listed[0]["suspended"]), (&json!("hook"), &json!(4)));
        world.post("/api/v1/sources/hr/confirm", json!({})).await;
        eventually(|| async { (states(&world).await == "ddddddddddddaaaaaaaa").then_some(()) }).await;
    },
    database
);

on_both!(secrets_are_changed_over_and_open_one_door, |world: World| async move {
    staff(&world, SUPPORT).await;
    let (first, second) = (Sender::new(&world, "hr").await, Sender::new(&world, "hr").await);
    let (status, answer) = world.call(Method::POST, "/api/v1/hooks", json!({ "name": "hr" })).await;
    assert_eq!((status, sentence(&answer).contains("--older")), (StatusCode::CONFLICT, true));
    assert_eq!(first.say("suspended", SUPPORT).await["result"], "suspended");
    assert_eq!(second.say("active", SUPPORT).await["result"], "active");
    let used = eventually(|| async {
        let list = world.get("/api/v1/hooks").await;
        list[0]["secrets"][0]["last_used_at"].as_str().map(ToOwned::to_owned)
    });
    assert!(!used.await.is_empty());
    world.call(Method::DELETE, "/api/v1/hooks/hr?older=true", Value::Null).await;
    assert_eq!(first.send(&json!({ "event": "person.suspended", "email": SUPPORT })).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(second.say("suspended", SUPPORT).await["result"], "suspended");
    let (status, _) = world.https(Method::GET, "/api/v1/people", Some(&second.secret), Value::Null).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    // A name is of one kind.
    let (status, _) = world.call(Method::POST, "/api/v1/scim/tokens", json!({ "name": "hr" })).await;
    assert_eq!(status, StatusCode::CONFLICT);
    let dump =
        world.get("/api/v1/hooks").await.to_string() + &world.get("/api/v1/audit/tail?lines=50").await.to_string();
    assert!(!dump.contains("dwh1_"), "{dump}");
    world.call(Method::DELETE, "/api/v1/hooks/hr", Value::Null).await;
    assert_eq!(
        second.send(&json!({ "event": "person.suspended", "email": SUPPORT })).await.0,
        StatusCode::UNAUTHORIZED
    );
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guesses_are_limited_and_take_nothing_from_who_signs() {
    let world = World::on(TestDatabase::sqlite().await.unwrap()).await;
    staff(&world, SUPPORT).await;
    let hr = Sender::new(&world, "hr").await;
    let mut seen = Vec::new();
    for _ in 0..60 {
        seen.push(hr.send_as(&hr.now(), "v1=00", "{}").await.0);
    }
    assert_eq!((seen[0], seen[59]), (StatusCode::UNAUTHORIZED, StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(hr.say("suspended", SUPPORT).await["result"], "suspended");
}

/// The first command of the documentation that posts a message, as a shell runs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_documentation_says_works_as_pasted() {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/webhook.md")).unwrap();
    let script = text.split("```sh\n").nth(1).unwrap().split("```").next().unwrap();
    let world = World::on(TestDatabase::sqlite().await.unwrap()).await;
    staff(&world, "anna@shop.example").await;
    let hr = Sender::new(&world, "hr").await;
    let script = script
        .replace("https://door.shop.example:8443", &format!("https://localhost:{}", world.ready.https.port()))
        .replace("dwh1_…", &hr.secret);
    let mut shell = tokio::process::Command::new("sh");
    shell.args(["-euc", &script]).env("CURL_CA_BUNDLE", world.folder.path().join("tls/cert.pem"));
    let done = shell.stdin(Stdio::null()).output();
    let done = tokio::time::timeout(PATIENCE, done).await.unwrap().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && out.contains(r#""result":"suspended""#), "{out} {err}");
    assert_eq!(state(&world, "anna@shop.example").await, "suspended");
}
