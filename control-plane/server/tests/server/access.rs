//! Groups, hours, sponsors and roles, from outside.

use doorward_control_plane::api::{ErrorCode, Grant, Group};
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access_fixtures::{ask, contractor, login, person, reach, refusal, role, with_group};
use crate::gateway::{Gateway, eventually};
use crate::world::{World, on_both};

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
