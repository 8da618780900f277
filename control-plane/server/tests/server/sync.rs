//! Files of people: what is compared, what is done, and what waits for a person.

use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::scim_client::Scim;
use crate::world::{World, on_both};

fn line(number: usize, email: &str) -> Value {
    json!({ "line": number, "email": email, "name": "Somebody", "kind": "staff" })
}

fn lines(emails: &[&str]) -> Value {
    Value::Array(emails.iter().enumerate().map(|(at, email)| line(at + 2, email)).collect())
}

/// Compares, and does it.
async fn handed_in(world: &World, lines: &Value) -> Value {
    let mut file = json!({ "lines": lines });
    let plan = world.post("/api/v1/people/sync", file.clone()).await;
    assert_eq!(plan["applied"], false);
    file["apply"] = plan["digest"].clone();
    let done = world.post("/api/v1/people/sync", file).await;
    assert_eq!(done["applied"], true, "{done}");
    done
}

async fn states(world: &World) -> String {
    let people = world.get("/api/v1/people").await;
    people.as_array().unwrap().iter().map(|person| &person["state"].as_str().unwrap()[..1]).collect()
}

on_both!(a_file_adds_changes_and_puts_out_and_is_looked_at_first, |world: World| async move {
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    gateway.until(|gateway| gateway.leases.len() == 1).await;
    let contractor = json!({
        "line": 3, "email": "dba@agency.example", "name": "DBA", "kind": "contractor", "sponsor": "anna@shop.example",
        "until": "2033-01-01T00:00:00Z",
    });
    let compared = json!({ "kind": true, "sponsor": true, "until": true });
    let mut file = json!({ "lines": [contractor, line(4, "anna@shop.example")], "compared": compared });
    let plan = world.post("/api/v1/people/sync", file.clone()).await;
    assert_eq!(plan["added"], json!(["anna@shop.example", "dba@agency.example"]));
    assert_eq!(plan["gone"], json!([{ "email": "support@shop.example", "devices": 1, "grants": 1 }]));
    assert_eq!(states(&world).await, "a", "looking does nothing");
    // What changed since somebody looked is looked at again.
    file["apply"] = plan["digest"].clone();
    world.post("/api/v1/people", json!({ "email": "new@shop.example", "name": "New", "kind": "staff" })).await;
    let (status, answer) = world.call(Method::POST, "/api/v1/people/sync", file.clone()).await;
    assert_eq!(status, StatusCode::CONFLICT, "{answer}");
    assert_eq!(states(&world).await, "aa");
    file["lines"].as_array_mut().unwrap().push(line(5, "new@shop.example"));
    let plan = world.post("/api/v1/people/sync", json!({ "lines": file["lines"], "compared": compared })).await;
    assert_eq!(plan["changed"], json!([{ "email": "new@shop.example", "what": ["name: New → Somebody"] }]));
    file["apply"] = plan["digest"].clone();
    world.post("/api/v1/people/sync", file).await;
    gateway.until(|gateway| gateway.leases.is_empty()).await;
    let dba = world.get("/api/v1/people/dba@agency.example").await;
    assert_eq!((&dba["sponsor"], &dba["until"]), (&json!("anna@shop.example"), &json!("2033-01-01T00:00:00Z")));
    assert_eq!(world.get("/api/v1/people/support@shop.example").await["state"], "departed");
    let tail = world.get("/api/v1/audit/tail?lines=9").await;
    let rows = tail["rows"].as_array().unwrap().iter().filter(|row| row["action"] != "receipt.record");
    let actions: Vec<&str> = rows.map(|row| row["action"].as_str().unwrap()).collect();
    assert_eq!(actions[actions.len() - 4..], ["person.add", "person.add", "person.update", "person.offboard"]);
});

on_both!(who_has_a_role_or_a_directory_is_left_alone_and_a_bad_line_stops_all, |world: World| async move {
    let okta = Scim::new(&world, "okta").await;
    okta.user("scim@shop.example").await;
    for email in ["root@shop.example", "anna@shop.example"] {
        world.post("/api/v1/people", json!({ "email": email, "name": "Somebody", "kind": "staff" })).await;
    }
    world.call(Method::PUT, "/api/v1/people/root@shop.example/role", json!({ "role": "owner" })).await;
    let done = handed_in(&world, &lines(&["new@shop.example"])).await;
    let left: Vec<&str> = done["left"].as_array().unwrap().iter().map(|it| it["email"].as_str().unwrap()).collect();
    assert_eq!(left, ["root@shop.example", "scim@shop.example"], "{done}");
    assert_eq!(world.get("/api/v1/people/anna@shop.example").await["state"], "departed");
    // Nobody comes back who departed, and a line that makes no sense stops the whole file.
    let plan =
        world.post("/api/v1/people/sync", json!({ "lines": lines(&["new@shop.example", "anna@shop.example"]) })).await;
    assert!(plan["left"][0]["why"].as_str().unwrap().contains("doorward person restore"), "{plan}");
    let twice = json!({ "lines": lines(&["x@shop.example", "x@shop.example"]) });
    let plan = world.post("/api/v1/people/sync", twice.clone()).await;
    assert_eq!(plan["problems"][0]["line"], 3, "{plan}");
    let apply = json!({ "lines": twice["lines"], "apply": plan["digest"] });
    let (status, _) = world.call(Method::POST, "/api/v1/people/sync", apply).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    let (status, _) = world.call(Method::GET, "/api/v1/people/x@shop.example", Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
});

on_both!(a_file_that_lost_its_half_suspends_and_is_undone_or_confirmed, |world: World| async move {
    let all: Vec<String> = (0..10).map(|n| format!("p{n}@shop.example")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    assert_eq!(handed_in(&world, &lines(&all)).await["braked"], false);
    let done = handed_in(&world, &lines(&all[..4])).await;
    assert_eq!((&done["braked"], states(&world).await.as_str()), (&json!(true), "aaaassssss"));
    assert!(done["warnings"][0].as_str().unwrap().contains("doorward source undo csv"), "{done}");
    world.post("/api/v1/sources/csv/undo", json!({})).await;
    assert_eq!(states(&world).await, "aaaaaaaaaa");
    handed_in(&world, &lines(&all[..4])).await;
    // Whoever is in the next file is back by it, and the others wait on.
    let done = handed_in(&world, &lines(&all[..6])).await;
    assert_eq!((&done["back"], &done["gone"]), (&json!(all[4..6]), &json!([])), "{done}");
    assert_eq!(states(&world).await, "aaaaaassss");
    world.post("/api/v1/sources/csv/confirm", json!({})).await;
    eventually(|| async { (states(&world).await == "aaaaaadddd").then_some(()) }).await;
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whom_an_admin_suspended_comes_back_by_no_file() {
    let world = World::on(TestDatabase::sqlite().await.unwrap()).await;
    handed_in(&world, &lines(&["a@shop.example", "b@shop.example"])).await;
    world.post("/api/v1/people/a@shop.example/suspend", json!({})).await;
    let plan =
        world.post("/api/v1/people/sync", json!({ "lines": lines(&["a@shop.example", "b@shop.example"]) })).await;
    assert_eq!((&plan["back"], &plan["left"][0]["email"]), (&json!([]), &json!("a@shop.example")), "{plan}");
    assert_eq!(states(&world).await, "sa");
}
