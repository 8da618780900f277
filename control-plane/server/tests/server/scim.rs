//! Directories: what becomes of people and groups, and what a directory cannot do.

use std::time::Duration;

use doorward_control_plane::DirectoryTerms;
use doorward_model::EndReason;
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::scim_client::Scim;
use crate::world::{Settings, World, on_both};

async fn state(world: &World, email: &str) -> Value {
    world.get(&format!("/api/v1/people/{email}")).await["state"].clone()
}

/// What a source did lately, by action.
async fn done_by(world: &World, actor: &str) -> Vec<(String, Value)> {
    let tail = world.get("/api/v1/audit/tail?lines=200").await;
    let rows = tail["rows"].as_array().unwrap().iter().filter(|row| row["actor"] == actor);
    rows.map(|row| (row["action"].as_str().unwrap().to_owned(), row["detail"].clone())).collect()
}

async fn alerts(world: &World, kind: &str) -> usize {
    let status = world.get("/api/v1/status").await;
    status["alerts"].as_array().unwrap().iter().filter(|alert| alert["kind"] == kind).count()
}

/// A resource, and somebody of the directory with a grant and a device.
async fn furnished(world: &World, scim: &Scim) -> (String, Value) {
    let id = scim.user("anna@shop.example").await;
    world.post("/api/v1/resources", json!({ "name": "panel", "targets": ["10.0.5.10"], "allow": ["tcp/443"] })).await;
    world.post("/api/v1/grants", json!({ "email": "anna@shop.example", "resource": "panel", "for": "1h" })).await;
    (id, world.device("anna@shop.example", "laptop", 1).await)
}

on_both!(a_directory_suspends_at_once_takes_back_whole_and_puts_out_for_good, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let (id, device) = furnished(&world, &scim).await;
    let mut gateway = Gateway::local(&world, "main").await;
    gateway.until(|gateway| gateway.leases.len() == 1).await;

    let off = scim.set_active(&id, false).await.expect(200);
    assert_eq!(off["active"], false);
    assert_eq!(state(&world, "anna@shop.example").await, "suspended");
    gateway.until(|gateway| gateway.leases.is_empty()).await;
    assert_eq!(scim.get(&format!("/Users/{id}")).await.expect(200)["active"], false, "still readable");

    // Within the cooling period everything is as it was: nobody enrols again.
    assert_eq!(scim.set_active(&id, true).await.expect(200)["active"], true);
    gateway.until(|gateway| gateway.leases.len() == 1).await;
    let person = world.get("/api/v1/people/anna@shop.example").await;
    assert_eq!((&person["devices"][0]["id"], &person["devices"][0]["state"]), (&device["id"], &json!("active")));

    scim.delete(&format!("/Users/{id}")).await.expect(204);
    gateway.until(|gateway| gateway.leases.is_empty()).await;
    assert_eq!(gateway.tombstones.last().unwrap().reason, EndReason::Offboarded);
    scim.get(&format!("/Users/{id}")).await.expect(404);
    scim.set_active(&id, true).await.expect(404);
    assert_eq!(scim.get("/Users").await.expect(200)["totalResults"], 0);
    assert_eq!(state(&world, "anna@shop.example").await, "departed");

    // The same userName makes the account anew, and gives back nothing else.
    let again = scim.user("anna@shop.example").await;
    assert_ne!(again, id);
    let person = world.get("/api/v1/people/anna@shop.example").await;
    assert_eq!(person["state"], "active");
    assert_eq!((&person["devices"][0]["state"], &person["grants"][0]["state"]), (&json!("revoked"), &json!("revoked")));
    let actions: Vec<String> = done_by(&world, "source:okta").await.into_iter().map(|(action, _)| action).collect();
    assert_eq!(actions, ["person.add", "person.suspend", "person.restore", "person.offboard", "person.restore"]);
});

on_both!(a_directorys_receipts_are_recorded_though_nobody_waits_for_them, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let (id, _) = furnished(&world, &scim).await;
    let obedient = Gateway::local(&world, "main").await.obedient();
    scim.set_active(&id, false).await.expect(200);
    let receipt = eventually(|| async {
        let tail = world.get("/api/v1/audit/tail?lines=5").await;
        tail["rows"].as_array().unwrap().iter().find(|row| row["action"] == "receipt.record").cloned()
    });
    assert_eq!(receipt.await["detail"]["receipts"][0]["gateway"], "main");
    obedient.abort();
});

on_both!(tokens_open_one_door_each_and_are_changed_over, |world: World| async move {
    let first = Scim::new(&world, "okta").await;
    let second = Scim::new(&world, "okta").await;
    let (status, answer) = world.call(Method::POST, "/api/v1/scim/tokens", json!({ "name": "okta" })).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert!(answer["error"]["message"].as_str().unwrap().contains("--older"));
    let api = world.post("/api/v1/tokens", json!({ "name": "ci" })).await["token"].as_str().unwrap().to_owned();
    let routes = ["/Users", "/Groups", "/ServiceProviderConfig", "/Schemas", "/ResourceTypes", "/Me", "/Bulk", "/none"];
    for token in ["", "dws1_no", &api] {
        for route in routes {
            let reply = Scim::with(&world, token).get(route).await;
            assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{route} {token}");
            assert_eq!(
                (reply.header("www-authenticate"), reply.header("content-type")),
                ("Bearer", "application/scim+json")
            );
            assert_eq!(reply.body["schemas"][0], "urn:ietf:params:scim:api:messages:2.0:Error");
        }
    }
    for path in ["/api/v1/people", "/api/v1/scim/tokens"] {
        let (status, _) = world.https(Method::GET, path, Some(&first.token), Value::Null).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{path}");
    }
    assert_eq!((first.get("/Users").await.status, second.get("/Users").await.status), (StatusCode::OK, StatusCode::OK));
    world.call(Method::DELETE, "/api/v1/scim/tokens/okta?older=true", Value::Null).await;
    first.get("/Users").await.expect(401);
    second.get("/Users").await.expect(200);
    let used = eventually(|| async {
        let list = world.get("/api/v1/scim/tokens").await;
        list[0]["tokens"][0]["last_used_at"].as_str().map(ToOwned::to_owned)
    });
    assert!(!used.await.is_empty());
    world.call(Method::DELETE, "/api/v1/scim/tokens/okta", Value::Null).await;
    second.get("/Users").await.expect(401);
    let list = world.get("/api/v1/scim/tokens").await;
    assert!(!list.to_string().contains("dws1_") && list[0]["tokens"] == json!([]), "{list}");
});

on_both!(a_directory_touches_its_own_people_alone, |world: World| async move {
    let (okta, entra) = (Scim::new(&world, "okta").await, Scim::new(&world, "entra").await);
    world.post("/api/v1/people", json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" })).await;
    world.post("/api/v1/people", json!({ "email": "root@shop.example", "name": "Root", "kind": "staff" })).await;
    world.call(Method::PUT, "/api/v1/people/root@shop.example/role", json!({ "role": "owner" })).await;
    let refused = okta.send(Method::POST, "/Users", json!({ "userName": "ben@shop.example" })).await.expect(409);
    assert_eq!(refused["scimType"], "uniqueness");
    assert!(refused["detail"].as_str().unwrap().contains("doorward scim adopt okta ben@shop.example"), "{refused}");
    assert_eq!(okta.get("/Users").await.expect(200)["totalResults"], 0, "nobody else's people are seen");

    let adopt =
        |email: &'static str| world.call(Method::POST, "/api/v1/scim/sources/okta/people", json!({ "email": email }));
    assert_eq!(adopt("root@shop.example").await.0, StatusCode::FORBIDDEN);
    assert_eq!(adopt("ben@shop.example").await.0, StatusCode::NO_CONTENT);
    assert_eq!(adopt("ben@shop.example").await.0, StatusCode::CONFLICT);
    let list = okta.filtered("/Users", r#"userName eq "BEN@shop.example""#, "").await;
    let ben = list["Resources"][0]["id"].as_str().unwrap().to_owned();
    for (method, body) in
        [(Method::GET, Value::Null), (Method::DELETE, Value::Null), (Method::PUT, json!({ "userName": "x" }))]
    {
        entra.send(method, &format!("/Users/{ben}"), body).await.expect(404);
    }
    entra.send(Method::POST, "/Users", json!({ "userName": "ben@shop.example" })).await.expect(409);
    let anna = okta.user("anna@shop.example").await;
    for taken in ["ben@shop.example", "root@shop.example"] {
        let rename = json!([{ "op": "replace", "path": "emails", "value": [{ "value": taken }] }]);
        okta.patch(&format!("/Users/{anna}"), rename).await.expect(409);
    }
    // Whoever got a role by hand can be put out by the directory, and not be renamed into somebody else.
    world.call(Method::PUT, "/api/v1/people/anna@shop.example/role", json!({ "role": "admin" })).await;
    let rename = json!([{ "op": "replace", "path": "emails", "value": [{ "value": "evil@shop.example" }] }]);
    okta.patch(&format!("/Users/{anna}"), rename).await.expect(403);
    okta.set_active(&anna, false).await.expect(200);
    assert_eq!(state(&world, "anna@shop.example").await, "suspended");
    let root = world.get("/api/v1/people/root@shop.example").await;
    assert_eq!((&root["state"], &root["role"]), (&json!("active"), &json!("owner")));
});

on_both!(what_is_done_by_hand_holds_against_the_directory, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let id = scim.user("anna@shop.example").await;
    let by_hand = |what: &str| {
        let path = format!("/api/v1/people/anna@shop.example/{what}");
        let world = &world;
        async move { world.call(Method::POST, &path, json!({})).await }
    };
    // Suspended by hand: the directory's word is heard, and changes nothing.
    by_hand("suspend").await;
    assert_eq!(scim.set_active(&id, true).await.expect(200)["active"], false);
    scim.set_active(&id, false).await.expect(200);
    assert_eq!(scim.set_active(&id, true).await.expect(200)["active"], false);
    assert_eq!(by_hand("restore").await.0, StatusCode::OK);
    // Suspended by the directory: only it takes them back, or an admin who keeps them from then on.
    scim.set_active(&id, false).await.expect(200);
    let (status, answer) = by_hand("restore").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
    assert!(
        answer["error"]["message"].as_str().unwrap().contains("doorward scim release anna@shop.example"),
        "{answer}"
    );
    world.call(Method::DELETE, "/api/v1/scim/people/anna@shop.example", Value::Null).await;
    assert_eq!(by_hand("restore").await.0, StatusCode::OK);
    scim.get(&format!("/Users/{id}")).await.expect(404);
    // Put out by hand: a directory that makes the account anew is told so.
    world.call(Method::POST, "/api/v1/scim/sources/okta/people", json!({ "email": "anna@shop.example" })).await;
    by_hand("offboard").await;
    scim.send(Method::POST, "/Users", json!({ "userName": "anna@shop.example" })).await.expect(409);
    assert_eq!(state(&world, "anna@shop.example").await, "departed");
});

on_both!(
    whoever_is_not_taken_back_departs_when_the_cooling_period_is_over,
    |database: TestDatabase| async move {
        let directory = DirectoryTerms { cooling: Duration::ZERO, ..DirectoryTerms::default() };
        let world = World::with(database, Settings { directory, ..Settings::default() }).await;
        let scim = Scim::new(&world, "okta").await;
        let (id, _) = furnished(&world, &scim).await;
        scim.set_active(&id, false).await.expect(200);
        let departed = || async { (state(&world, "anna@shop.example").await == "departed").then_some(()) };
        eventually(departed).await;
        scim.set_active(&id, true).await.expect(404);
        let done = done_by(&world, "source:okta").await;
        let (action, detail) = done.last().unwrap();
        assert_eq!((action.as_str(), &detail["because"]), ("person.offboard", &json!("the cooling period is over")));
    },
    database
);

/// Ten people of a directory that lets nobody cool down.
async fn ten(database: TestDatabase) -> (World, Scim, Vec<String>) {
    let directory = DirectoryTerms { cooling: Duration::from_secs(3600), ..DirectoryTerms::default() };
    let world = World::with(database, Settings { directory, ..Settings::default() }).await;
    let scim = Scim::new(&world, "okta").await;
    let mut ids = Vec::new();
    for n in 0..10 {
        ids.push(scim.user(&format!("p{n}@shop.example")).await);
    }
    (world, scim, ids)
}

async fn states(world: &World) -> String {
    let people = world.get("/api/v1/people").await;
    people.as_array().unwrap().iter().map(|person| &person["state"].as_str().unwrap()[..1]).collect()
}

on_both!(
    an_accident_of_the_directory_suspends_everybody_and_is_undone_by_one_command,
    |database: TestDatabase| async move {
        let (world, scim, ids) = ten(database).await;
        let (early, late) = (scim.group("Early", &[&ids[0]]).await, scim.group("Late", &[]).await);
        for id in &ids[..4] {
            scim.set_active(id, false).await.expect(200);
        }
        assert_eq!(alerts(&world, "directory_brake").await, 0);
        for id in &ids[4..8] {
            scim.set_active(id, false).await.expect(200);
        }
        // A deletion ends access as fast, and nobody departs by it.
        scim.delete(&format!("/Users/{}", ids[8])).await.expect(204);
        scim.get(&format!("/Users/{}", ids[8])).await.expect(404);
        assert_eq!(states(&world).await, "sssssssssa");
        assert_eq!(alerts(&world, "directory_brake").await, 1);
        let list = world.get("/api/v1/scim/tokens").await;
        assert!(list[0]["brake_since"].is_string() && list[0]["active"] == 1, "{list}");
        // Grants wait, revocations do not.
        let join = json!([{ "op": "add", "path": "members", "value": [{ "value": ids[9] }] }]);
        let waits = scim.patch(&format!("/Groups/{late}"), join).await;
        assert_eq!((waits.status, waits.header("retry-after")), (StatusCode::SERVICE_UNAVAILABLE, "600"));
        let swap = json!([{ "op": "replace", "path": "members", "value": [{ "value": ids[9] }] }]);
        scim.patch(&format!("/Groups/{early}"), swap).await.expect(503);
        assert_eq!(scim.get(&format!("/Groups/{early}")).await.expect(200)["members"], Value::Null);
        // A reactivation waits too.
        assert_eq!(scim.set_active(&ids[1], true).await.expect(200)["active"], false);

        let undone = world.post("/api/v1/scim/sources/okta/undo", json!({})).await;
        assert_eq!((undone["people"].as_array().unwrap().len(), &undone["left"]), (9, &json!([])));
        assert_eq!(states(&world).await, "aaaaaaaaaa");
        assert_eq!(scim.get(&format!("/Users/{}", ids[8])).await.expect(200)["active"], true);
        let list = world.get("/api/v1/scim/tokens").await;
        assert_eq!((&list[0]["brake_since"], &list[0]["active"]), (&Value::Null, &json!(10)));
        // What was looked at does not count again.
        scim.set_active(&ids[0], false).await.expect(200);
        assert_eq!(world.get("/api/v1/scim/tokens").await[0]["brake_since"], Value::Null);
    },
    database
);

on_both!(
    a_mass_departure_that_is_meant_is_confirmed_and_a_mass_return_waits,
    |database: TestDatabase| async move {
        let (world, scim, ids) = ten(database).await;
        let (status, _) = world.call(Method::POST, "/api/v1/scim/sources/okta/confirm", json!({})).await;
        assert_eq!(status, StatusCode::CONFLICT);
        for id in &ids[..6] {
            scim.set_active(id, false).await.expect(200);
        }
        scim.delete(&format!("/Users/{}", ids[6])).await.expect(204);
        // Whom it deleted and makes again is as suspended as before, until somebody looked.
        scim.delete(&format!("/Users/{}", ids[7])).await.expect(204);
        let again = scim.send(Method::POST, "/Users", json!({ "userName": "p7@shop.example", "active": true })).await;
        assert_eq!((again.status, &again.body["active"]), (StatusCode::CREATED, &json!(false)));
        let confirmed = world.post("/api/v1/scim/sources/okta/confirm", json!({})).await;
        assert_eq!(confirmed["people"].as_array().unwrap().len(), 8, "{confirmed}");
        let gone = || async { (state(&world, "p6@shop.example").await == "departed").then_some(()) };
        eventually(gone).await;
        assert_eq!(states(&world).await, "ssssssdsaa", "the others have their cooling period");
        // A few come back by themselves, and who is one too many waits.
        for (n, id) in ids[..6].iter().enumerate() {
            assert_eq!(scim.set_active(id, true).await.expect(200)["active"], n < 4, "{n}");
        }
        assert_eq!(states(&world).await, "aaaassdsaa");
        world.post("/api/v1/scim/sources/okta/undo", json!({})).await;
        assert_eq!(states(&world).await, "aaaaaadaaa");
    },
    database
);

on_both!(
    an_active_that_cannot_be_read_is_refused_loudly_and_a_missing_one_changes_nothing,
    |world: World| async move {
        let scim = Scim::new(&world, "entra").await;
        let id = scim.user("anna@shop.example").await;
        for wrong in [json!("nope"), json!(0), json!(null), json!({})] {
            let operations = json!([{ "op": "Replace", "path": "active", "value": wrong }]);
            let refused = scim.patch(&format!("/Users/{id}"), operations).await.expect(400);
            assert_eq!(refused["scimType"], "invalidValue", "{wrong}");
        }
        assert_eq!(alerts(&world, "directory_unreadable").await, 4);
        assert_eq!(state(&world, "anna@shop.example").await, "active");
        scim.set_active(&id, false).await.expect(200);
        let put = scim.send(Method::PUT, &format!("/Users/{id}"), json!({ "userName": "anna@shop.example" })).await;
        assert_eq!(put.expect(200)["active"], false, "nobody comes back because a client forgot it");
        let rename = json!([{ "op": "replace", "path": "displayName", "value": "Anna B" }]);
        assert_eq!(scim.patch(&format!("/Users/{id}"), rename).await.expect(200)["active"], false);
        assert_eq!(state(&world, "anna@shop.example").await, "suspended");
        assert_eq!(world.get("/api/v1/people/anna@shop.example").await["name"], "Anna B");
    }
);

on_both!(groups_carry_grants_and_belong_to_their_directory, |world: World| async move {
    let scim = Scim::new(&world, "entra").await;
    let (anna, ben) = (scim.user("anna@shop.example").await, scim.user("ben@shop.example").await);
    world.post("/api/v1/groups", json!({ "name": "support" })).await;
    let clash = scim.send(Method::POST, "/Groups", json!({ "displayName": "Support" })).await.expect(409);
    assert_eq!(clash["scimType"], "uniqueness");
    let desk = scim.group("Customer Desk", &[&anna]).await;
    world.post("/api/v1/resources", json!({ "name": "panel", "targets": ["10.0.5.10"], "allow": ["tcp/443"] })).await;
    world.post("/api/v1/grants", json!({ "group": "customer-desk", "resource": "panel", "for": "1h" })).await;
    world.device("ben@shop.example", "laptop", 1).await;
    let mut gateway = Gateway::local(&world, "main").await;
    let rules = |gateway: &Gateway| gateway.leases.values().map(|lease| lease.rules.len()).sum::<usize>();
    gateway.until(|gateway| gateway.leases.len() == 1).await;
    assert_eq!(rules(&gateway), 0);
    let path = format!("/Groups/{desk}");
    scim.patch(&path, json!([{ "op": "Add", "path": "members", "value": [{ "value": ben }] }])).await.expect(204);
    gateway.until(|gateway| rules(gateway) == 1).await;
    assert_eq!(scim.get(&format!("/Users/{ben}")).await.expect(200)["groups"][0]["display"], "Customer Desk");
    let by_hand =
        world.call(Method::POST, "/api/v1/groups/customer-desk/members", json!({ "email": "anna@shop.example" }));
    assert_eq!(by_hand.await.0, StatusCode::FORBIDDEN);
    scim.patch(&path, json!([{ "op": "Remove", "path": format!("members[value eq \"{ben}\"]") }])).await.expect(204);
    gateway.until(|gateway| rules(gateway) == 0).await;
    let rename = json!([{ "op": "replace", "value": { "id": desk, "displayName": "Front Desk" } }]);
    assert_eq!(scim.patch(&path, rename).await.expect(200)["displayName"], "Front Desk");
    let group = world.get("/api/v1/groups/front-desk").await;
    assert_eq!((&group["members"], group["grants"].as_array().unwrap().len()), (&json!(["anna@shop.example"]), 1));
    let stranger = json!([{ "op": "add", "path": "members", "value": [{ "value": desk }] }]);
    let members = scim.patch(&path, stranger).await.expect(200)["members"].clone();
    assert_eq!(members.as_array().unwrap().len(), 1, "whoever is not here has nothing, and holds up nobody: {members}");
    let search = async |sent: Value| scim.send(Method::POST, "/.search", sent).await.expect(200);
    let all = search(json!({ "attributes": ["userName", "displayName"] })).await;
    assert_eq!((&all["totalResults"], &all["Resources"][2]["displayName"]), (&json!(3), &json!("Front Desk")));
    assert_eq!((&all["Resources"][2]["members"], &all["Resources"][0]["emails"]), (&Value::Null, &Value::Null));
    let one = search(json!({ "filter": "userName sw \"ben\"" })).await;
    assert_eq!((&one["totalResults"], &one["Resources"][0]["userName"]), (&json!(1), &json!("ben@shop.example")));
    // Taking away by hand works, and the directory sees it.
    world.call(Method::DELETE, "/api/v1/groups/front-desk/members/anna@shop.example", Value::Null).await;
    assert_eq!(scim.get(&path).await.expect(200)["members"], Value::Null);
    scim.delete(&path).await.expect(204);
    scim.get(&path).await.expect(404);
    assert_eq!(world.call(Method::GET, "/api/v1/groups/front-desk", Value::Null).await.0, StatusCode::NOT_FOUND);
});

on_both!(a_token_that_asks_too_much_is_told_when_to_come_back, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let replies = scim.repeat(2_500, "/ServiceProviderConfig").await;
    let turned_away = replies.iter().find(|reply| reply.status == StatusCode::TOO_MANY_REQUESTS);
    let turned_away = turned_away.unwrap_or_else(|| panic!("{} requests were all answered", replies.len()));
    assert_eq!((turned_away.header("retry-after"), &turned_away.body["status"]), ("5", &json!("429")));
    Scim::new(&world, "entra").await.get("/Users").await.expect(200);
});
