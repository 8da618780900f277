//! Requests for access: asked, answered and taken back, from outside.

use doorward_control_plane::api::{ErrorCode, Request, RequestApproved, RequestState};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access_fixtures::{ask, contractor, login, person, reach, refusal, role};
use crate::gateway::{Gateway, eventually};
use crate::world::{World, on_both};

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
