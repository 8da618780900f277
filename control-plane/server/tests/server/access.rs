//! Groups, requests, hours, sponsors and roles, from outside.

use doorward_control_plane::api::{ErrorCode, Grant, Group, Request, RequestApproved, RequestState};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::world::{World, on_both};

async fn refusal(world: &World, method: Method, path: &str, body: Value) -> (ErrorCode, String) {
    let (status, answer) = world.call(method, path, body).await;
    let code: ErrorCode = serde_json::from_value(answer["error"]["code"].clone())
        .unwrap_or_else(|_| panic!("no error: {path} {status} {answer}"));
    assert_eq!(status, code.status());
    (code, answer["error"]["message"].as_str().unwrap().to_owned())
}

async fn person(world: &World, email: &str) {
    world.post("/api/v1/people", json!({ "email": email, "name": "N", "kind": "staff" })).await;
}

async fn contractor(world: &World, email: &str, sponsor: &str, until: &str) {
    let new = json!({ "email": email, "name": "N", "kind": "contractor", "sponsor": sponsor, "until": until });
    world.post("/api/v1/people", new).await;
}

/// Makes somebody's token of `doorward login` behind the server's back, with a factor proved so many seconds ago.
async fn login(world: &World, email: &str, factor_seconds_ago: i64) -> String {
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

async fn role(world: &World, email: &str, role: &str) {
    let (status, answer) =
        world.call(Method::PUT, &format!("/api/v1/people/{email}/role"), json!({ "role": role })).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// A group `desk` with two members, who have a laptop each, and a grant on `panel`.
async fn with_group(world: &World) {
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
fn reach(gateway: &Gateway, email: &str) -> Vec<String> {
    let leases = gateway.leases.values().filter(|lease| lease.email.as_str() == email);
    let mut names: Vec<String> = leases.flat_map(|lease| &lease.rules).map(|rule| rule.resource.to_string()).collect();
    names.sort();
    names
}

on_both!(a_member_has_what_the_group_was_granted_and_loses_it_with_the_membership, |world: World| async move {
    with_group(&world).await;
    let gateway = Gateway::local(&world, "main").await;
    assert_eq!(reach(&gateway, "anna@shop.example"), ["wiki"]);
    assert_eq!(reach(&gateway, "support@shop.example"), ["panel", "wiki"]);
    let shown = world.get("/api/v1/people/anna@shop.example").await;
    assert_eq!((&shown["grants"][0]["group"], &shown["groups"]), (&json!("desk"), &json!(["desk"])));
    let listed: Vec<Grant> = serde_json::from_value(world.get("/api/v1/grants").await).unwrap();
    assert!(listed.iter().any(|it| it.email.is_none() && it.group == Some("desk".parse().unwrap())), "{listed:?}");
    let config = world.device("anna@shop.example", "phone", 3).await;
    assert_eq!(config["client"]["allowed_ips"], json!(["10.0.5.30/32"]), "{config}");

    let obedient = gateway.obedient();
    let (status, outcome) =
        world.call(Method::DELETE, "/api/v1/groups/desk/members/anna@shop.example", Value::Null).await;
    assert_eq!(status, StatusCode::OK, "{outcome}");
    assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{outcome}");
    assert_eq!(outcome["ended"]["grants"][0]["resource"], "wiki");
    let group: Group = serde_json::from_value(world.get("/api/v1/groups/desk").await).unwrap();
    assert_eq!(group.members, ["support@shop.example".parse().unwrap()]);
    let (code, _) = refusal(&world, Method::DELETE, "/api/v1/groups/desk/members/anna@shop.example", Value::Null).await;
    assert_eq!(code, ErrorCode::NotFound);

    // What is left of the group's access ends with the grant, and with the group.
    let grant = group.grants[0].id;
    let outcome = world.post(&format!("/api/v1/grants/{grant}/revoke"), Value::Null).await;
    assert_eq!(outcome["ended"]["grants"][0]["group"], "desk", "{outcome}");
    world.post("/api/v1/grants", json!({ "group": "desk", "resource": "wiki", "for": "30d" })).await;
    let (status, outcome) = world.call(Method::DELETE, "/api/v1/groups/desk", Value::Null).await;
    assert_eq!((status, outcome["ended"]["grants"].as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{outcome}");
    obedient.abort();
    let gateway = Gateway::local(&world, "main").await;
    assert_eq!(reach(&gateway, "anna@shop.example"), Vec::<String>::new());
    assert_eq!(reach(&gateway, "support@shop.example"), ["panel"]);
    // The name may come back, and nothing with it.
    let again = world.post("/api/v1/groups", json!({ "name": "desk" })).await;
    assert_eq!((&again["members"], &again["grants"]), (&json!([]), &json!([])));
});

on_both!(offboarding_ends_memberships, |world: World| async move {
    with_group(&world).await;
    world.post("/api/v1/people/anna@shop.example/offboard", Value::Null).await;
    world.post("/api/v1/people/anna@shop.example/restore", Value::Null).await;
    let shown = world.get("/api/v1/people/anna@shop.example").await;
    assert_eq!((&shown["state"], &shown["groups"], &shown["grants"]), (&json!("active"), &json!([]), &json!([])));
});

on_both!(wrong_words_about_groups_get_their_sentence, |world: World| async move {
    with_group(&world).await;
    let post = || Method::POST;
    let grant = |whose: Value| {
        let mut body = json!({ "resource": "wiki", "for": "1h" });
        body.as_object_mut().unwrap().extend(whose.as_object().unwrap().clone());
        body
    };
    for (path, body, code, words) in [
        ("/api/v1/groups", json!({ "name": "desk" }), ErrorCode::Conflict, "exists already"),
        ("/api/v1/groups", json!({ "name": "a b" }), ErrorCode::Invalid, "letters"),
        ("/api/v1/groups/none/members", json!({ "email": "anna@shop.example" }), ErrorCode::NotFound, "group list"),
        ("/api/v1/groups/desk/members", json!({ "email": "nobody@shop.example" }), ErrorCode::NotFound, "nobody"),
        ("/api/v1/grants", grant(json!({ "group": "none" })), ErrorCode::NotFound, "group list"),
        ("/api/v1/grants", grant(json!({})), ErrorCode::Invalid, "one of"),
        (
            "/api/v1/grants",
            grant(json!({ "group": "desk", "email": "anna@shop.example" })),
            ErrorCode::Invalid,
            "one of",
        ),
        ("/api/v1/grants", grant(json!({ "group": "desk", "hours": "always" })), ErrorCode::Invalid, "weekly hours"),
        (
            "/api/v1/grants",
            grant(json!({ "group": "desk", "hours": "mon-sun 08:00-18:00 Europe/Nowhere" })),
            ErrorCode::Invalid,
            "Europe/Nowhere",
        ),
    ] {
        let (found, message) = refusal(&world, post(), path, body.clone()).await;
        assert!(found == code && message.contains(words), "{path} {body}: {found:?} {message}");
    }
});

on_both!(a_lockdown_leaves_the_incident_group_be, |world: World| async move {
    with_group(&world).await;
    let mut gateway = Gateway::local(&world, "main").await;
    let device = |gateway: &Gateway, email: &str| {
        gateway.leases.values().find(|lease| lease.email.as_str() == email).unwrap().device
    };
    let (anna, support) = (device(&gateway, "anna@shop.example"), device(&gateway, "support@shop.example"));
    world.call(Method::DELETE, "/api/v1/groups/desk/members/support@shop.example", Value::Null).await;
    let (code, _) = refusal(&world, Method::PUT, "/api/v1/lockdown", json!({ "on": true, "except": "nobodies" })).await;
    assert_eq!(code, ErrorCode::NotFound);
    world.call(Method::PUT, "/api/v1/lockdown", json!({ "on": true, "except": "desk" })).await;
    gateway.until(|it| it.lockdown_exempt == [anna]).await;
    assert_eq!(world.get("/api/v1/lockdown").await["except"], "desk");
    // Who joins passes, and who leaves does not.
    world.post("/api/v1/groups/desk/members", json!({ "email": "support@shop.example" })).await;
    gateway.until(|it| it.lockdown_exempt.contains(&support) && it.lockdown_exempt.len() == 2).await;
    world.call(Method::DELETE, "/api/v1/groups/desk/members/anna@shop.example", Value::Null).await;
    gateway.until(|it| it.lockdown_exempt == [support]).await;
    let fresh = Gateway::local(&world, "main").await;
    assert_eq!(fresh.lockdown_exempt, [support], "a snapshot says it too");
    world.call(Method::PUT, "/api/v1/lockdown", json!({ "on": false })).await;
    assert_eq!(world.get("/api/v1/lockdown").await["except"], Value::Null);
});

fn ask(email: &str, limit: &str) -> Value {
    json!({ "email": email, "resource": "panel", "for": limit, "reason": "migrate the orders table" })
}

on_both!(a_request_becomes_a_grant_and_a_second_answer_is_told_who_was_first, |world: World| async move {
    world.furnish().await;
    person(&world, "anna@shop.example").await;
    world.device("anna@shop.example", "laptop", 2).await;
    let (status, owned) =
        world.call(Method::PUT, "/api/v1/resources/panel/owner", json!({ "email": "support@shop.example" })).await;
    assert_eq!((status, &owned["owner"]), (StatusCode::OK, &json!("support@shop.example")));

    let asked: Request =
        serde_json::from_value(world.post("/api/v1/requests", ask("anna@shop.example", "8h")).await).unwrap();
    assert_eq!((asked.state, asked.answerable_by.len(), asked.may_answer), (RequestState::Open, 1, true));
    let (code, twice) = refusal(&world, Method::POST, "/api/v1/requests", ask("anna@shop.example", "4h")).await;
    assert!(code == ErrorCode::Conflict && twice.contains(&asked.id.to_string()), "{twice}");
    assert_eq!(world.get("/api/v1/requests").await.as_array().map(Vec::len), Some(1));

    let gateway = Gateway::local(&world, "main").await;
    assert_eq!(reach(&gateway, "anna@shop.example"), Vec::<String>::new());
    let path = format!("/api/v1/requests/{}", asked.id);
    let approve = format!("{path}/approve");
    let (code, longer) = refusal(&world, Method::POST, &approve, json!({ "for": "9h" })).await;
    assert!(code == ErrorCode::Refused && longer.contains("not lengthen"), "{longer}");
    let approved: RequestApproved = serde_json::from_value(world.post(&approve, json!({ "for": "2h" })).await).unwrap();
    assert_eq!(approved.grant.until.duration_since(approved.grant.from).as_secs(), 2 * 3600);
    assert_eq!((approved.request.state, approved.request.grant), (RequestState::Approved, Some(approved.grant.id)));
    let mut gateway = gateway;
    gateway.until(|it| reach(it, "anna@shop.example") == ["panel"]).await;

    for again in ["approve", "deny", "withdraw"] {
        let (code, message) = refusal(&world, Method::POST, &format!("{path}/{again}"), Value::Null).await;
        assert!(code == ErrorCode::Conflict && message.contains("approved by local:"), "{again}: {message}");
    }
    // More time after it is a request of its own, which begins where the first ends.
    let mut more = ask("anna@shop.example", "8h");
    more["renews"] = json!(approved.grant.id);
    let more: Request = serde_json::from_value(world.post("/api/v1/requests", more).await).unwrap();
    let renewed: RequestApproved =
        serde_json::from_value(world.post(&format!("/api/v1/requests/{}/approve", more.id), Value::Null).await)
            .unwrap();
    assert_eq!(renewed.grant.from, approved.grant.until);
    assert_eq!(world.get("/api/v1/requests").await, json!([]));
    assert_eq!(world.get("/api/v1/requests?all=true").await.as_array().map(Vec::len), Some(2));
});

on_both!(of_two_who_answer_at_once_one_wins, |world: World| async move {
    world.furnish().await;
    let token = world.post("/api/v1/tokens", json!({ "name": "second" })).await["token"].as_str().unwrap().to_owned();
    for _ in 0..8 {
        let asked = world.post("/api/v1/requests", ask("support@shop.example", "1h")).await;
        let path = format!("/api/v1/requests/{}", asked["id"].as_str().unwrap());
        let (approve, deny) = (format!("{path}/approve"), format!("{path}/deny"));
        let (one, other) = tokio::join!(
            world.call(Method::POST, &approve, Value::Null),
            world.https(Method::POST, &deny, Some(&token), json!({ "reason": "no" })),
        );
        let won = [&one, &other].into_iter().filter(|(status, _)| *status == StatusCode::OK).count();
        assert_eq!(won, 1, "{one:?} {other:?}");
        let (status, lost) = if one.0 == StatusCode::OK { &other } else { &one };
        let message = lost["error"]["message"].as_str().unwrap();
        assert!(*status == StatusCode::CONFLICT, "{status} {lost}");
        assert!(message.contains("denied by token:second") || message.contains("approved by local:"), "{message}");
        let grants = world.get("/api/v1/requests?all=true").await[0]["grant"].is_string();
        assert_eq!(grants, one.0 == StatusCode::OK);
    }
});

on_both!(what_cannot_be_asked_for_gets_its_sentence, |world: World| async move {
    world.furnish().await;
    contractor(&world, "dba@agency.example", "support@shop.example", "4d").await;
    world.call(Method::PUT, "/api/v1/resources/panel/span", json!({ "span": "7d" })).await;
    let other =
        world.post("/api/v1/grants", json!({ "email": "dba@agency.example", "resource": "panel", "for": "1h" })).await;
    let with = |key: &str, value: Value| {
        let mut body = ask("support@shop.example", "1h");
        body[key] = value;
        body
    };
    let without = |key: &str| {
        let mut body = ask("support@shop.example", "1h");
        body.as_object_mut().unwrap().remove(key);
        body
    };
    for (body, code, words) in [
        (with("for", json!("8d")), ErrorCode::Refused, "7d at most"),
        (with("resource", json!("none")), ErrorCode::NotFound, "resource list"),
        (with("email", json!("nobody@shop.example")), ErrorCode::NotFound, "nobody"),
        (with("reason", json!(" ")), ErrorCode::Invalid, "why"),
        (with("until", json!("2030-01-01T00:00:00Z")), ErrorCode::Invalid, "exclude"),
        (with("for", json!("0")), ErrorCode::Invalid, "no time at all"),
        (with("renews", other["id"].clone()), ErrorCode::NotFound, "has no grant"),
        (without("for"), ErrorCode::Invalid, "needs an end"),
        (without("email"), ErrorCode::Invalid, "--as"),
        (ask("dba@agency.example", "5d"), ErrorCode::Refused, "until then at most"),
    ] {
        let (found, message) = refusal(&world, Method::POST, "/api/v1/requests", body.clone()).await;
        assert!(found == code && message.contains(words), "{body}: {found:?} {message}");
    }
    assert_eq!(world.get("/api/v1/requests?all=true").await, json!([]));
    let (code, _) =
        refusal(&world, Method::POST, "/api/v1/requests/0192f0c1-7a3e-7cc1-b2f4-0123456789ab/deny", Value::Null).await;
    assert_eq!(code, ErrorCode::NotFound);
});

on_both!(an_approval_after_the_end_is_refused, |world: World| async move {
    world.furnish().await;
    let asked = world.post("/api/v1/requests", ask("support@shop.example", "1s")).await;
    let path = format!("/api/v1/requests/{}", asked["id"].as_str().unwrap());
    eventually(|| async { (world.get(&path).await["state"] == "expired").then_some(()) }).await;
    let (code, message) = refusal(&world, Method::POST, &format!("{path}/approve"), Value::Null).await;
    assert!(code == ErrorCode::Refused && message.contains("expired"), "{message}");
    // It is in nobody's way.
    let again = world.post("/api/v1/requests", ask("support@shop.example", "1h")).await;
    let withdrawn =
        world.post(&format!("/api/v1/requests/{}/withdraw", again["id"].as_str().unwrap()), Value::Null).await;
    assert_eq!(withdrawn["state"], "withdrawn");
});

on_both!(contractors_do_not_outlast_their_sponsor, |world: World| async move {
    world.furnish().await;
    contractor(&world, "dba@agency.example", "support@shop.example", "4d").await;
    world.device("dba@agency.example", "laptop", 2).await;
    world.post("/api/v1/grants", json!({ "email": "dba@agency.example", "resource": "panel", "for": "1h" })).await;
    world.call(Method::PUT, "/api/v1/resources/panel/owner", json!({ "email": "support@shop.example" })).await;
    person(&world, "anna@shop.example").await;
    let gateway = Gateway::local(&world, "main").await;
    assert_eq!(reach(&gateway, "dba@agency.example"), ["panel"]);
    let obedient = gateway.obedient();
    let outcome = world.post("/api/v1/people/support@shop.example/suspend", Value::Null).await;
    assert_eq!(outcome["ended"]["people"], json!(["support@shop.example", "dba@agency.example"]), "{outcome}");
    assert_eq!(outcome["receipts"][0]["last_packet_before_ms"], 7, "one revision ends both: {outcome}");
    assert!(outcome["warnings"].to_string().contains("doorward person sponsor dba@agency.example"), "{outcome}");
    assert_eq!(world.get("/api/v1/people/dba@agency.example").await["state"], "suspended");
    obedient.abort();

    let (code, message) = refusal(&world, Method::POST, "/api/v1/people/dba@agency.example/restore", Value::Null).await;
    assert!(code == ErrorCode::Refused && message.contains("person sponsor"), "{message}");
    let put = |email: &str| json!({ "sponsor": email });
    let path = "/api/v1/people/dba@agency.example/sponsor";
    let (code, _) = refusal(&world, Method::PUT, path, put("support@shop.example")).await;
    assert_eq!(code, ErrorCode::Refused, "somebody suspended answers for nobody");
    let (_, person) = world.call(Method::PUT, path, put("anna@shop.example")).await;
    assert_eq!(person["sponsor"], "anna@shop.example", "{person}");
    let person = world.post("/api/v1/people/dba@agency.example/restore", Value::Null).await;
    assert_eq!(person["state"], "active");

    // Handed over, their access goes on.
    world.post("/api/v1/people/support@shop.example/restore", Value::Null).await;
    let (code, _) = refusal(
        &world,
        Method::POST,
        "/api/v1/people/anna@shop.example/offboard",
        json!({ "hand_over_to": "anna@shop.example" }),
    )
    .await;
    assert_eq!(code, ErrorCode::Invalid);
    let body = json!({ "hand_over_to": "support@shop.example", "reason": "left" });
    let outcome = world.post("/api/v1/people/anna@shop.example/offboard", body).await;
    assert_eq!(outcome["ended"]["people"], json!(["anna@shop.example"]));
    let person = world.get("/api/v1/people/dba@agency.example").await;
    assert_eq!((&person["sponsor"], &person["state"]), (&json!("support@shop.example"), &json!("active")));
    let outcome = world.post("/api/v1/people/support@shop.example/offboard", Value::Null).await;
    assert!(outcome["warnings"].to_string().contains("doorward resource owner panel"), "{outcome}");
    assert_eq!(world.get("/api/v1/resources").await[0]["owner"], Value::Null);
});

on_both!(hours_are_told_as_one_occurrence_and_the_next_one_after_it, |world: World| async move {
    world.furnish().await;
    person(&world, "anna@shop.example").await;
    world.device("anna@shop.example", "laptop", 2).await;
    let new = json!({
        "email": "anna@shop.example", "resource": "panel", "for": "30d", "hours": "Mon,tue-SUN 03:00-04:00 Europe/Berlin",
    });
    let grant = world.post("/api/v1/grants", new).await;
    assert_eq!(grant["hours"], "mon-sun 03:00-04:00 Europe/Berlin");
    let gateway = Gateway::local(&world, "main").await;
    let lease = gateway.leases.values().find(|lease| lease.email.as_str() == "anna@shop.example").unwrap();
    let told = lease.rules[0].validity;
    assert_eq!(
        told.not_after.duration_since(told.not_before).as_secs().min(3600),
        told.not_after.duration_since(told.not_before).as_secs()
    );
    assert!(told.not_after > doorward_model::Timestamp::now(), "{told:?}");
});

on_both!(a_resource_with_a_window_of_its_own_asks_for_a_sign_in, |world: World| async move {
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    assert_eq!(reach(&gateway, "support@shop.example"), ["panel"]);
    let (status, set) = world.call(Method::PUT, "/api/v1/resources/panel/window", json!({ "span": "120m" })).await;
    assert_eq!((status, &set["sign_in_window"]), (StatusCode::OK, &json!("2h")));
    gateway.until(|it| reach(it, "support@shop.example").is_empty()).await;
    world.call(Method::PUT, "/api/v1/resources/panel/window", json!({ "span": null })).await;
    gateway.until(|it| reach(it, "support@shop.example") == ["panel"]).await;
    let (code, message) = refusal(&world, Method::PUT, "/api/v1/resources/panel/window", json!({ "span": "2w" })).await;
    assert!(code == ErrorCode::Invalid && message.contains("90s, 15m"), "{message}");
});

on_both!(roles_are_given_and_go_with_the_person, |world: World| async move {
    world.furnish().await;
    let path = "/api/v1/people/support@shop.example/role";
    for role in ["owner", "approver", "auditor", "admin"] {
        let (status, person) = world.call(Method::PUT, path, json!({ "role": role })).await;
        assert_eq!((status, &person["role"]), (StatusCode::OK, &json!(role)));
    }
    let (code, _) = refusal(&world, Method::PUT, path, json!({ "role": "king" })).await;
    assert_eq!(code, ErrorCode::Invalid);
    let token = world.post("/api/v1/tokens", json!({ "name": "program" })).await["token"].as_str().unwrap().to_owned();
    let (status, refused) = world.https(Method::PUT, path, Some(&token), json!({ "role": "owner" })).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::FORBIDDEN, &json!("refused")), "{refused}");
    world.post("/api/v1/people/support@shop.example/offboard", Value::Null).await;
    assert_eq!(world.get("/api/v1/people/support@shop.example").await["role"], "member");
    let (code, message) = refusal(&world, Method::PUT, path, json!({ "role": "admin" })).await;
    assert!(code == ErrorCode::Refused && message.contains("departed"), "{message}");
});

on_both!(what_ends_soon_is_noticed_once, |world: World| async move {
    world.furnish().await;
    let new = json!({ "email": "support@shop.example", "name": "phone", "public_key": crate::world::public_key(9), "for": "3601s" });
    world.post("/api/v1/devices", new).await;
    contractor(&world, "dba@agency.example", "support@shop.example", "259201s").await;
    let until = world.get("/api/v1/people/dba@agency.example").await["until"].as_str().unwrap().parse().unwrap();
    let left = || doorward_model::Timestamp::now().duration_until(until).as_secs();
    eventually(|| async { (left() < 259_200).then_some(()) }).await;
    // The first look is at the start.
    let world = world.restarted().await;
    let notices = eventually(|| async {
        let notices = world.get("/api/v1/notices").await;
        (notices.as_array().map(Vec::len) == Some(2)).then_some(notices)
    })
    .await;
    assert_eq!((&notices[0]["kind"], &notices[0]["what"]), (&json!("device"), &json!("phone")), "{notices}");
    assert_eq!((&notices[1]["kind"], &notices[1]["email"]), (&json!("person"), &json!("dba@agency.example")));
    assert_eq!(world.get("/api/v1/status").await["ends_soon"], notices);
    let world = world.restarted().await;
    assert_eq!(world.get("/api/v1/notices").await, notices, "a restart tells nothing twice");
});

on_both!(nobody_answers_their_own_request_and_each_as_their_part_says, |world: World| async move {
    world.furnish().await;
    for email in ["anna@shop.example", "ben@shop.example", "chef@shop.example"] {
        person(&world, email).await;
    }
    contractor(&world, "dba@agency.example", "ben@shop.example", "4d").await;
    role(&world, "chef@shop.example", "approver").await;
    let owner = json!({ "email": "anna@shop.example" });
    world.call(Method::PUT, "/api/v1/resources/panel/owner", owner).await;
    let anna = login(&world, "anna@shop.example", 0).await;
    let ben = login(&world, "ben@shop.example", 0).await;
    let (chef, stale) = (login(&world, "chef@shop.example", 0).await, login(&world, "chef@shop.example", 600).await);
    let dba = login(&world, "dba@agency.example", 0).await;
    let post = async |token: &str, path: &str, body: Value| world.https(Method::POST, path, Some(token), body).await;
    let request = async |token: &str| {
        let body = json!({ "resource": "panel", "for": "8h", "reason": "migrate" });
        let (status, asked) = post(token, "/api/v1/requests", body).await;
        assert_eq!((status, &asked["may_answer"]), (StatusCode::CREATED, &json!(false)), "{asked}");
        format!("/api/v1/requests/{}", asked["id"].as_str().unwrap())
    };

    // The resource's owner asks, and is not the one to answer; nor for somebody else.
    let (status, refused) = post(&anna, "/api/v1/requests", ask("ben@shop.example", "1h")).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::FORBIDDEN, &json!("refused")), "{refused}");
    let own = request(&anna).await;
    for answer in ["approve", "deny"] {
        let (status, refused) = post(&anna, &format!("{own}/{answer}"), Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "{refused}");
        assert!(refused["error"]["message"].as_str().unwrap().contains("their own request"), "{refused}");
        let (status, _) = post(&ben, &format!("{own}/{answer}"), Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "Ben answers for neither");
    }
    let (status, _) = world.https(Method::GET, &own, Some(&ben), Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "Ben has no business with it");
    // A role answers, with a fresh factor to give and without one to refuse.
    let (status, refused) = post(&stale, &format!("{own}/approve"), Value::Null).await;
    assert_eq!((status, &refused["error"]["code"]), (StatusCode::FORBIDDEN, &json!("fresh_factor_needed")));
    let (status, denied) = post(&stale, &format!("{own}/deny"), json!({ "reason": "not during the sale" })).await;
    assert_eq!((status, &denied["decided_by"]), (StatusCode::OK, &json!("person:chef@shop.example")), "{denied}");

    // A contractor's request is answered by their sponsor, and by who answers for the resource.
    for (token, who) in [(&ben, "person:ben@shop.example"), (&anna, "person:anna@shop.example")] {
        let theirs = request(&dba).await;
        let (status, list) = world.https(Method::GET, "/api/v1/requests", Some(token), Value::Null).await;
        assert_eq!((status, list.as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{list}");
        let (status, approved) = post(token, &format!("{theirs}/approve"), Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{approved}");
        assert_eq!(
            (&approved["grant"]["approved_by"], &approved["grant"]["requested_by"]),
            (&json!(who), &json!("person:dba@agency.example"))
        );
        let grant = approved["grant"]["id"].as_str().unwrap();
        world.post(&format!("/api/v1/grants/{grant}/revoke"), Value::Null).await;
    }
    // Whoever asked may take it back, and nobody else.
    let theirs = request(&dba).await;
    assert_eq!(post(&ben, &format!("{theirs}/withdraw"), Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(post(&dba, &format!("{theirs}/withdraw"), Value::Null).await.0, StatusCode::OK);

    // Who lost the role a moment ago has no say, whatever the session thought.
    let last = request(&dba).await;
    role(&world, "chef@shop.example", "member").await;
    assert_eq!(post(&chef, &format!("{last}/approve"), Value::Null).await.0, StatusCode::FORBIDDEN);
    let audit = world.get("/api/v1/audit/tail?lines=100").await.to_string();
    for action in
        ["request.add", "request.approve", "request.deny", "request.withdraw", "person.role", "resource.owner"]
    {
        assert!(audit.contains(action), "{action}");
    }
});

on_both!(nobody_gives_access_to_themselves_through_a_group_or_a_token, |world: World| async move {
    with_group(&world).await;
    role(&world, "anna@shop.example", "admin").await;
    let anna = login(&world, "anna@shop.example", 0).await;
    let (status, made) = world.https(Method::POST, "/api/v1/tokens", Some(&anna), json!({ "name": "mine" })).await;
    assert_eq!(status, StatusCode::CREATED, "{made}");
    let mine = made["token"].as_str().unwrap().to_owned();
    world.post("/api/v1/groups", json!({ "name": "other" })).await;
    for token in [&anna, &mine] {
        for (path, body) in [
            ("/api/v1/grants", json!({ "email": "anna@shop.example", "resource": "panel", "for": "1h" })),
            ("/api/v1/grants", json!({ "group": "desk", "resource": "panel", "for": "1h" })),
            ("/api/v1/groups/other/members", json!({ "email": "anna@shop.example" })),
        ] {
            let (status, refused) = world.https(Method::POST, path, Some(token), body.clone()).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path} {body}: {refused}");
            assert!(refused["error"]["message"].as_str().unwrap().contains("nobody gives access"), "{refused}");
        }
        let ask = ask("anna@shop.example", "1h");
        let asked = world.post("/api/v1/requests", ask).await;
        let path = format!("/api/v1/requests/{}", asked["id"].as_str().unwrap());
        let (status, _) = world.https(Method::POST, &format!("{path}/approve"), Some(token), Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
        world.post(&format!("{path}/withdraw"), Value::Null).await;
    }
    let other = json!({ "group": "other", "resource": "panel", "for": "1h" });
    assert_eq!(world.https(Method::POST, "/api/v1/grants", Some(&anna), other).await.0, StatusCode::CREATED);
});

on_both!(only_owners_give_roles_and_the_last_one_stays, |world: World| async move {
    world.furnish().await;
    person(&world, "anna@shop.example").await;
    role(&world, "support@shop.example", "owner").await;
    role(&world, "anna@shop.example", "admin").await;
    let (owner, admin) = (login(&world, "support@shop.example", 0).await, login(&world, "anna@shop.example", 0).await);
    let stale = login(&world, "support@shop.example", 600).await;
    let put = async |token: &str, email: &str, role: &str| {
        let path = format!("/api/v1/people/{email}/role");
        world.https(Method::PUT, &path, Some(token), json!({ "role": role })).await
    };
    assert_eq!(put(&admin, "anna@shop.example", "owner").await.0, StatusCode::FORBIDDEN);
    assert_eq!(put(&admin, "support@shop.example", "member").await.0, StatusCode::FORBIDDEN);
    assert_eq!(put(&stale, "anna@shop.example", "owner").await.1["error"]["code"], "fresh_factor_needed");
    let (status, refused) = put(&owner, "support@shop.example", "member").await;
    assert!(status == StatusCode::FORBIDDEN && refused.to_string().contains("last owner"), "{refused}");
    assert_eq!(put(&owner, "anna@shop.example", "owner").await.0, StatusCode::OK);
    assert_eq!(put(&owner, "support@shop.example", "member").await.0, StatusCode::OK);
    assert_eq!(put(&owner, "support@shop.example", "owner").await.0, StatusCode::FORBIDDEN, "an owner no more");
});
