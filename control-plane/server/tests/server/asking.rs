//! Asking for access in the browser, and answering.

use doorward_model::Timestamp;
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, Reply};
use crate::fixtures::{invitation, named};
use crate::gateway::eventually;
use crate::world::{World, on_both};

const SUPPORT: &str = "support@shop.example";
const BEN: &str = "ben@shop.example";
const CHLOE: &str = "chloe@shop.example";

/// A shop with a resource that nobody has, for which Ben answers; Chloe answers by her role.
async fn shop(database: TestDatabase) -> World {
    let world = named(database).await;
    world.furnish().await;
    for email in [BEN, CHLOE] {
        world.post("/api/v1/people", json!({ "email": email, "name": "N", "kind": "staff" })).await;
    }
    world.post("/api/v1/resources", json!({ "name": "wiki", "targets": ["10.0.5.30"], "allow": ["tcp/80"] })).await;
    put(&world, "/api/v1/resources/wiki/owner", json!({ "email": BEN })).await;
    put(&world, &format!("/api/v1/people/{CHLOE}/role"), json!({ "role": "approver" })).await;
    world
}

async fn put(world: &World, path: &str, body: Value) {
    let (status, answer) = world.call(hyper::Method::PUT, path, body).await;
    assert!(status.is_success(), "{path}: {answer}");
}

async fn signed_in<'a>(world: &'a World, email: &str) -> Browser<'a> {
    let mut browser = Browser::new(world);
    browser.join_with_passkey(&invitation(world, email).await, json!({})).await;
    browser
}

/// Asks for the wiki, and returns the request's id.
async fn ask(world: &World, browser: &mut Browser<'_>, more: (&str, &str)) -> String {
    let asked = browser.form("/requests/new", &[("resource", "wiki"), ("reason", "the runbook"), more]).await;
    assert_eq!((asked.status, asked.location()), (StatusCode::SEE_OTHER, "/requests?done=asked"), "{}", asked.text);
    let open = world.get("/api/v1/requests").await;
    open[0]["id"].as_str().unwrap().to_owned()
}

fn shows(reply: &Reply, expected: &[&str]) {
    assert_eq!(reply.status, StatusCode::OK, "{}", reply.text);
    for words in expected {
        assert!(reply.text.contains(words), "{words} is not in {}", reply.text);
    }
}

on_both!(
    what_somebody_asks_for_is_theirs_once_another_said_yes,
    |database: TestDatabase| async move {
        let world = shop(database).await;
        let mut asking = signed_in(&world, SUPPORT).await;
        let form = asking.get("/requests/new").await;
        shows(&form, &["wiki", "tcp/80", "30 days at most", "ben@shop.example answers for it"]);
        assert!(!form.text.contains("value=\"panel\""), "they have it: {}", form.text);
        assert!(!form.text.contains("10.0.5.30"), "where it is concerns nobody who may not reach it");
        let id = ask(&world, &mut asking, ("amount", "8")).await;
        shows(&asking.get("/requests?done=asked").await, &["the runbook", "8 hours", "waiting", "by ben@shop.example"]);
        shows(&asking.get("/").await, &["You asked for"]);
        shows(&asking.get("/requests/new").await, &["nothing that you do not have or have not asked for"]);
        // Nobody answers their own, whatever they send.
        assert!(!asking.get("/approvals").await.text.contains(&id));
        let own = asking.form(&format!("/approvals/{id}/approve"), &[]).await;
        assert!(own.status == StatusCode::FORBIDDEN && own.text.contains("own request"), "{}", own.text);

        let mut answering = signed_in(&world, BEN).await;
        shows(&answering.get("/").await, &["One request waits"]);
        shows(&answering.get("/approvals").await, &["support@shop.example asks for wiki", "the runbook", "8 hours"]);
        let longer = answering.form(&format!("/approvals/{id}/approve"), &[("amount", "2"), ("unit", "days")]).await;
        assert!(longer.status == StatusCode::FORBIDDEN && longer.text.contains("shorten"), "{}", longer.text);
        let in_a_month = (Timestamp::now() + jiff::SignedDuration::from_hours(30 * 24)).to_string();
        let later = answering.form(&format!("/approvals/{id}/approve"), &[("until", &in_a_month)]).await;
        assert!(later.status == StatusCode::FORBIDDEN && later.text.contains("shorten"), "{}", later.text);
        let both = [("amount", "2"), ("until", &in_a_month)];
        let both = answering.form(&format!("/approvals/{id}/approve"), &both).await;
        assert!(both.status == StatusCode::BAD_REQUEST && both.text.contains("exclude"), "{}", both.text);
        let fields = [("amount", "2"), ("unit", "hours"), ("reason", "welcome")];
        let answered = answering.form(&format!("/approvals/{id}/approve"), &fields).await;
        assert_eq!(answered.location(), "/approvals?done=approved", "{}", answered.text);
        shows(&answering.get("/approvals").await, &["Nothing waits for you"]);

        shows(&asking.get("/requests").await, &["approved", "by ben@shop.example", "welcome"]);
        let home = asking.get("/").await;
        shows(&home, &["wiki.doorward.internal", "/requests/new?renews="]);
        assert!(!home.text.contains("You asked for"), "{}", home.text);
        let held = world.get(&format!("/api/v1/grants?email={SUPPORT}")).await;
        let grant = held.as_array().unwrap().iter().find(|grant| grant["resource"] == "wiki").unwrap();
        let time = |field: &str| grant[field].as_str().unwrap().parse::<Timestamp>().unwrap();
        assert_eq!(time("until").duration_since(time("from")).as_hours(), 2, "{grant}");
    },
    database
);

on_both!(
    of_two_who_answer_at_once_the_second_is_told_who_was_first,
    |database: TestDatabase| async move {
        let world = shop(database).await;
        let mut asking = signed_in(&world, SUPPORT).await;
        let id = ask(&world, &mut asking, ("amount", "8")).await;
        let (mut ben, mut chloe) = (signed_in(&world, BEN).await, signed_in(&world, CHLOE).await);
        let (yes, no) = (format!("/approvals/{id}/approve"), format!("/approvals/{id}/deny"));
        let (one, other) = tokio::join!(ben.form(&yes, &[]), chloe.form(&no, &[("reason", "not today")]));
        let (first, second, who) = match one.status {
            StatusCode::SEE_OTHER => (one, other, BEN),
            _ => (other, one, CHLOE),
        };
        assert_eq!(first.status, StatusCode::SEE_OTHER, "{}", first.text);
        assert_eq!(second.status, StatusCode::CONFLICT, "{}", second.text);
        for words in ["This is settled already", who, "Nothing of yours was done"] {
            assert!(second.text.contains(words), "{words} is not in {}", second.text);
        }
        let held = world.get(&format!("/api/v1/grants?email={SUPPORT}")).await;
        let given = held.as_array().unwrap().iter().filter(|grant| grant["resource"] == "wiki").count();
        assert_eq!(given, usize::from(who == BEN), "{held}");
        // Nor can it be taken back any more.
        let late = asking.form(&format!("/requests/{id}/withdraw"), &[]).await;
        assert!(late.status == StatusCode::CONFLICT && late.text.contains("settled"), "{}", late.text);
    },
    database
);

on_both!(
    an_answer_that_comes_too_late_is_told_so_and_gives_nothing,
    |database: TestDatabase| async move {
        let world = shop(database).await;
        let mut asking = signed_in(&world, SUPPORT).await;
        let mut ben = signed_in(&world, BEN).await;
        let end = Timestamp::now() + jiff::SignedDuration::from_secs(2);
        let id = ask(&world, &mut asking, ("until", &end.to_string())).await;
        let expired = async || {
            let request = world.get(&format!("/api/v1/requests/{id}")).await;
            (request["state"] == "expired").then_some(())
        };
        eventually(expired).await;
        let late = ben.form(&format!("/approvals/{id}/approve"), &[]).await;
        assert!(late.status == StatusCode::CONFLICT && late.text.contains("This comes too late"), "{}", late.text);
        let held = world.get(&format!("/api/v1/grants?email={SUPPORT}")).await;
        assert!(!held.as_array().unwrap().iter().any(|grant| grant["resource"] == "wiki"), "{held}");
        shows(&asking.get("/requests").await, &["expired"]);
        // It can be asked for again at once.
        ask(&world, &mut asking, ("amount", "1")).await;
    },
    database
);

on_both!(
    more_time_is_asked_for_before_the_end_and_begins_there,
    |database: TestDatabase| async move {
        let world = shop(database).await;
        let mut asking = signed_in(&world, SUPPORT).await;
        let held = world.get(&format!("/api/v1/grants?email={SUPPORT}")).await;
        let (grant, until) = (held[0]["id"].as_str().unwrap(), &held[0]["until"]);
        let way = format!("/requests/new?renews={grant}");
        shows(&asking.get("/").await, &[&way]);
        shows(&asking.get(&way).await, &["Ask for more time", "panel", "begins where it ends"]);
        let fields = [("renews", grant), ("amount", "1"), ("unit", "days"), ("reason", "not done yet")];
        let asked = asking.form("/requests/new", &fields).await;
        assert_eq!(asked.location(), "/requests?done=asked", "{}", asked.text);
        shows(&asking.get("/").await, &["More time is asked for"]);
        let id = world.get("/api/v1/requests").await[0]["id"].as_str().unwrap().to_owned();
        let mut chloe = signed_in(&world, CHLOE).await;
        shows(&chloe.get("/approvals").await, &["more time"]);
        assert_eq!(chloe.form(&format!("/approvals/{id}/approve"), &[]).await.status, StatusCode::SEE_OTHER);
        let held = world.get(&format!("/api/v1/grants?email={SUPPORT}")).await;
        let follows = held.as_array().unwrap().iter().any(|grant| grant["from"] == *until);
        assert!(follows, "{held}");
        // Another's grant is nobody's to renew, and nobody's to know.
        let foreign = chloe.get(&way).await;
        assert!(foreign.status == StatusCode::NOT_FOUND && !foreign.text.contains("panel"), "{}", foreign.text);
    },
    database
);

on_both!(
    a_mistake_is_told_on_the_form_which_keeps_what_was_typed,
    |database: TestDatabase| async move {
        let world = shop(database).await;
        let mut asking = signed_in(&world, SUPPORT).await;
        let cases: [(&[(&str, &str)], &str); 6] = [
            (&[("resource", "wiki"), ("reason", "typed before")], "one of the two"),
            (&[("resource", "wiki"), ("reason", "typed before"), ("amount", "90"), ("unit", "days")], "30d at most"),
            (&[("resource", "wiki"), ("reason", "typed before"), ("amount", "-3")], "whole number"),
            (&[("resource", "wiki"), ("reason", "typed before"), ("until", "2020-01-01T00:00")], "past"),
            (&[("resource", "wiki"), ("amount", "77")], "say why"),
            (&[("amount", "77"), ("reason", "typed before")], "\u{201c}What\u{201d} is empty"),
        ];
        for (fields, words) in cases {
            let told = asking.form("/requests/new", fields).await;
            assert!(told.status.is_client_error() && told.text.contains("role=\"alert\""), "{words}: {}", told.text);
            assert!(told.text.to_lowercase().contains(&words.to_lowercase()), "{words} is not in {}", told.text);
            assert!(told.text.contains("typed before") || told.text.contains("value=\"77\""), "{}", told.text);
        }
        let nothing = world.get("/api/v1/requests?all=true").await;
        assert_eq!(nothing, json!([]));
        let twice = ask(&world, &mut asking, ("amount", "1")).await;
        let again = asking.form("/requests/new", &[("resource", "wiki"), ("reason", "x"), ("amount", "2")]).await;
        assert!(
            again.status == StatusCode::CONFLICT && again.text.contains("asked for this already"),
            "{}",
            again.text
        );
        assert_eq!(
            asking.form(&format!("/requests/{twice}/withdraw"), &[]).await.location(),
            "/requests?done=withdrawn"
        );
        shows(&asking.get("/requests").await, &["withdrawn"]);
    },
    database
);
