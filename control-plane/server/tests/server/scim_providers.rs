//! The requests of Okta and Entra, in the shapes that their documentation shows, and what else the standard promises.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::scim_client::Scim;
use crate::world::{World, on_both};

on_both!(okta_finds_nobody_creates_updates_and_deactivates, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let nobody = scim.filtered("/Users", r#"userName eq "anna@shop.example""#, "&startIndex=1&count=100").await;
    assert_eq!((&nobody["totalResults"], &nobody["Resources"]), (&json!(0), &json!([])));
    let user = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"],
        "userName": "anna@shop.example",
        "name": { "givenName": "Anna", "familyName": "Berg" },
        "emails": [{ "primary": true, "value": "anna@shop.example", "type": "work" }],
        "displayName": "Anna Berg", "locale": "en-US", "externalId": "00ujl29u0le5T6Aj10h7",
        "groups": [], "password": "1mz050nq", "active": true,
    });
    let made = scim.send(Method::POST, "/Users", user.clone()).await;
    assert_eq!((made.status, made.header("content-type")), (StatusCode::CREATED, "application/scim+json"));
    let id = made.id();
    assert!(made.header("location").ends_with(&format!("/scim/v2/Users/{id}")), "{made:?}");
    assert_eq!(made.header("etag"), made.body["meta"]["version"]);
    assert_eq!(made.body["externalId"], "00ujl29u0le5T6Aj10h7");
    assert_eq!(made.body["password"], Value::Null);
    assert_eq!(scim.send(Method::POST, "/Users", user.clone()).await.expect(409)["scimType"], "uniqueness");

    let mut put = user;
    put["id"] = json!(id);
    put["name"]["familyName"] = json!("Bergmann");
    put["displayName"] = json!("Anna Bergmann");
    let updated = scim.send(Method::PUT, &format!("/Users/{id}"), put.clone()).await.expect(200);
    assert_eq!(updated["name"]["familyName"], "Bergmann");
    assert_eq!(world.get("/api/v1/people/anna@shop.example").await["name"], "Anna Bergmann");
    put["active"] = json!(false);
    assert_eq!(scim.send(Method::PUT, &format!("/Users/{id}"), put.clone()).await.expect(200)["active"], false);
    let on = json!([{ "op": "replace", "value": { "active": true } }]);
    assert_eq!(scim.patch(&format!("/Users/{id}"), on).await.expect(200)["active"], true);

    // An address moves with the person.
    put["userName"] = json!("anna.bergmann@shop.example");
    put["emails"][0]["value"] = json!("anna.bergmann@shop.example");
    put["active"] = json!(true);
    scim.send(Method::PUT, &format!("/Users/{id}"), put).await.expect(200);
    assert_eq!(world.get("/api/v1/people/anna.bergmann@shop.example").await["state"], "active");
    assert_eq!(world.call(Method::GET, "/api/v1/people/anna@shop.example", Value::Null).await.0, StatusCode::NOT_FOUND);

    let group = json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": "Support Staff",
        "members": [{ "value": id, "display": "anna.bergmann@shop.example" }],
    });
    let group = scim.send(Method::POST, "/Groups", group).await.id();
    let operations = json!([
        { "op": "remove", "path": format!("members[value eq \"{id}\"]") },
        { "op": "add", "path": "members", "value": [{ "value": id, "display": "anna" }] },
    ]);
    let changed = scim.patch(&format!("/Groups/{group}"), operations).await.expect(200);
    assert_eq!(changed["members"][0]["value"], json!(id));
    let found = scim.filtered("/Groups", r#"displayName eq "Support Staff""#, "&startIndex=1&count=100").await;
    assert_eq!(found["Resources"][0]["members"][0]["value"], json!(id));
});

on_both!(entra_checks_the_connection_creates_patches_and_disables, |world: World| async move {
    let scim = Scim::new(&world, "entra").await;
    let probe = scim.filtered("/Users", r#"userName eq "non-existent user""#, "").await;
    assert_eq!(probe["totalResults"], 0);
    let user = json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
        ],
        "externalId": "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef", "userName": "Test_User_ab6490ee@testuser.example",
        "active": true, "displayName": "Lennart", "title": "DBA",
        "emails": [{ "primary": true, "type": "work", "value": "Test_User_fd0ea19b@testuser.example" }],
        "meta": { "resourceType": "User" },
        "name": { "formatted": "givenName familyName", "familyName": "familyName", "givenName": "givenName" },
        "roles": [], "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": { "department": "IT" },
    });
    let id = scim.send(Method::POST, "/Users", user).await.id();
    let path = format!("/Users/{id}");
    let found = scim.filtered("/Users", r#"externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef""#, "").await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["id"]), (&json!(1), &json!(id)));
    let both =
        r#"externalId eq "0a21f0f2-8d2a-4f8e-bf98-7363c4aed4ef" and userName eq "TEST_user_ab6490ee@testuser.example""#;
    assert_eq!(scim.filtered("/Users", both, "").await["totalResults"], 1);

    let operations = json!([
        { "op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updated@testuser.example" },
        { "op": "Replace", "path": "name.familyName", "value": "updatedFamilyName" },
        { "op": "Add", "path": "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department", "value": "HR" },
        { "op": "Add", "path": "phoneNumbers[type eq \"work\"].value", "value": "+49 1" },
    ]);
    let patched = scim.patch(&path, operations).await.expect(200);
    assert_eq!(
        (&patched["name"]["familyName"], &patched["emails"][0]["value"]),
        (&json!("updatedFamilyName"), &json!("updated@testuser.example"))
    );
    world.get("/api/v1/people/updated@testuser.example").await;
    let rename = json!([{ "op": "Replace", "path": "userName", "value": "5b50642d@testuser.example" }]);
    assert_eq!(scim.patch(&path, rename).await.expect(200)["userName"], "5b50642d@testuser.example");
    let dotted = json!([{ "op": "replace", "value": { "displayName": "New", "name.givenName": "Neu" } }]);
    assert_eq!(scim.patch(&path, dotted).await.expect(200)["name"]["givenName"], "Neu");

    let group = json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:Group",
            "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group",
        ],
        "externalId": "8aa1a0c0-c4c3-4bc0-b4a5-2ef676900159", "displayName": "displayName", "meta": { "resourceType": "Group" },
    });
    let group = scim.send(Method::POST, "/Groups", group).await.id();
    let of_group = format!("/Groups/{group}");
    let add = json!([{ "op": "Add", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
    let added = scim.patch(&of_group, add).await;
    assert_eq!((added.status, added.body), (StatusCode::NO_CONTENT, Value::Null));
    let without = scim.get(&format!("{of_group}?excludedAttributes=members")).await.expect(200);
    assert_eq!((&without["members"], &without["displayName"]), (&Value::Null, &json!("displayName")));
    let found = scim.filtered("/Groups", r#"displayName eq "DISPLAYNAME""#, "&excludedAttributes=members").await;
    assert_eq!((&found["totalResults"], &found["Resources"][0]["members"]), (&json!(1), &Value::Null));
    let rename = json!([{ "op": "Replace", "path": "displayName", "value": "1879db59-3bdf-4490-ad68-ab880a269474updatedDisplayName" }]);
    scim.patch(&of_group, rename).await.expect(204);
    let remove = json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
    scim.patch(&of_group, remove).await.expect(204);
    assert_eq!(scim.get(&of_group).await.expect(200)["members"], Value::Null);
    let again = json!([{ "op": "Remove", "path": "members", "value": [{ "$ref": null, "value": id }] }]);
    scim.patch(&of_group, again).await.expect(204);

    let off = json!([{ "op": "Replace", "path": "active", "value": "False" }]);
    assert_eq!(scim.patch(&path, off).await.expect(200)["active"], false);
    let (person, id) =
        (world.get("/api/v1/people/updated@testuser.example").await, format!("{path}?attributes=active"));
    assert_eq!(person["state"], "suspended");
    let shown = scim.get(&id).await.expect(200);
    assert_eq!(shown.as_object().unwrap().keys().collect::<Vec<_>>(), ["active", "id", "schemas"]);
    scim.delete(&path).await.expect(204);
    scim.delete(&of_group).await.expect(204);
});

on_both!(versions_keep_two_clients_from_overwriting_each_other, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let path = format!("/Users/{}", scim.user("anna@shop.example").await);
    let read = scim.get(&path).await;
    let version = read.header("etag").to_owned();
    let unchanged = scim.send_with(Method::GET, &path, &[("if-none-match", &version)], Value::Null).await;
    assert_eq!((unchanged.status, unchanged.header("etag")), (StatusCode::NOT_MODIFIED, version.as_str()));
    let put = |name: &str| json!({ "userName": "anna@shop.example", "displayName": name });
    let first = scim.send_with(Method::PUT, &path, &[("if-match", &version)], put("One")).await;
    assert!(first.status.is_success() && first.header("etag") != version, "{first:?}");
    scim.send_with(Method::PUT, &path, &[("if-match", &version)], put("Two")).await.expect(412);
    let patch = json!({ "Operations": [{ "op": "replace", "path": "active", "value": false }] });
    scim.send_with(Method::PATCH, &path, &[("if-match", &version)], patch).await.expect(412);
    scim.send_with(Method::DELETE, &path, &[("if-match", &version)], Value::Null).await.expect(412);
    assert_eq!(scim.get(&path).await.expect(200)["displayName"], "One");
    scim.send_with(Method::DELETE, &path, &[("if-match", "*")], Value::Null).await.expect(204);
});

on_both!(lists_are_paged_searched_and_refuse_what_they_cannot_read, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    for n in 0..7 {
        scim.user(&format!("p{n}@shop.example")).await;
    }
    let mut seen = Vec::new();
    for start in [1, 4, 7] {
        let page = scim.get(&format!("/Users?startIndex={start}&count=3")).await.expect(200);
        assert_eq!((&page["totalResults"], &page["startIndex"]), (&json!(7), &json!(start)));
        seen.extend(
            page["Resources"].as_array().unwrap().iter().map(|user| user["userName"].as_str().unwrap().to_owned()),
        );
    }
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 7);
    assert_eq!(scim.get("/Users?count=0").await.expect(200)["Resources"], json!([]));
    let search = json!({ "filter": "userName sw \"P3\"", "attributes": ["userName"], "startIndex": 1, "count": 10 });
    let found = scim.send(Method::POST, "/Users/.search", search).await.expect(200);
    assert_eq!((&found["totalResults"], &found["Resources"][0]["emails"]), (&json!(1), &Value::Null));
    for (path, kind) in [
        ("/Users?filter=userName", "invalidFilter"),
        ("/Users?filter=active%20gt%20true", "invalidFilter"),
        ("/Groups?filter=%28%28", "invalidFilter"),
        ("/Users?count=many", "invalidValue"),
    ] {
        let refused = scim.get(path).await.expect(400);
        assert_eq!((&refused["scimType"], &refused["status"]), (&json!(kind), &json!("400")), "{path}");
    }
    for body in [Value::Null, json!([]), json!("x"), json!({ "userName": 5 }), json!({ "userName": "no-address" })] {
        scim.send(Method::POST, "/Users", body).await.expect(400);
    }
    for (method, path, status) in [
        (Method::GET, "/Users/none", 404),
        (Method::GET, "/Nothing", 404),
        (Method::PUT, "/Users", 405),
        (Method::GET, "/Me", 501),
        (Method::POST, "/Bulk", 501),
    ] {
        let reply = scim.send(method, path, Value::Null).await;
        assert_eq!(reply.header("content-type"), "application/scim+json", "{path}");
        assert_eq!(reply.expect(status)["status"], status.to_string(), "{path}");
    }
});

on_both!(a_client_finds_out_what_there_is, |world: World| async move {
    let scim = Scim::new(&world, "okta").await;
    let provider = scim.get("/ServiceProviderConfig").await.expect(200);
    assert_eq!((&provider["bulk"]["supported"], &provider["patch"]["supported"]), (&json!(false), &json!(true)));
    let types = scim.get("/ResourceTypes").await.expect(200);
    for kind in types["Resources"].as_array().unwrap() {
        let one = scim.get(&format!("/ResourceTypes/{}", kind["id"].as_str().unwrap())).await.expect(200);
        assert_eq!(one["endpoint"], kind["endpoint"]);
        let schema = scim.get(&format!("/Schemas/{}", kind["schema"].as_str().unwrap())).await.expect(200);
        assert_eq!(schema["name"], kind["name"]);
    }
    assert_eq!(scim.get("/Schemas").await.expect(200)["totalResults"], 2);
    scim.get("/Schemas/none").await.expect(404);
});
