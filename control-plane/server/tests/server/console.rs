//! The console through its forms, as a local administrator.

use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::pages::{form, get};
use crate::world::{World, on_both};

on_both!(a_person_is_added_given_access_and_put_out_with_a_receipt, |world: World| async move {
    world.furnish().await;
    let gateway = Gateway::local(&world, "main").await.obedient();
    let person = "email=dba%40agency.example&name=Agency+DBA&kind=contractor&sponsor=support%40shop.example&until=4d";
    let (status, location, _) = form(&world, "/admin/people", person).await;
    assert_eq!(
        (status, location.as_deref()),
        (StatusCode::SEE_OTHER, Some("/admin/people/dba@agency.example?done=added"))
    );
    let grant = "email=dba%40agency.example&resource=panel&how_long=8h&reason=migrate&of_person=true";
    let (status, location, _) = form(&world, "/admin/grants", grant).await;
    assert_eq!(
        (status, location.as_deref()),
        (StatusCode::SEE_OTHER, Some("/admin/people/dba@agency.example?done=granted"))
    );
    world.device("dba@agency.example", "laptop", 7).await;
    let shown = get(&world, "/admin/people/dba@agency.example").await;
    for expected in ["Agency DBA", "panel", "laptop", "migrate", "support@shop.example"] {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    let (status, _, receipt) = form(&world, "/admin/people/dba@agency.example/offboard", "reason=contract+ended").await;
    assert_eq!(status, StatusCode::OK);
    for expected in
        ["dba@agency.example is out", "ms after it was decided", "confirmed", "laptop of dba@agency.example", "7 ms"]
    {
        assert!(receipt.contains(expected), "{expected} is not in {receipt}");
    }
    assert_eq!(world.get("/api/v1/people/dba@agency.example").await["state"], "departed");
    gateway.abort();
});

on_both!(a_list_is_searched_and_paged_by_the_database, |world: World| async move {
    for number in 0..60 {
        let name = if number == 7 { "100% Sürname_".to_owned() } else { format!("Person {number}") };
        let person = json!({ "email": format!("p{number:02}@shop.example"), "name": name, "kind": "staff" });
        world.post("/api/v1/people", person).await;
    }
    let first = get(&world, "/admin/people").await;
    assert!(first.contains("1–50 of 60") && first.contains("?page=2") && !first.contains("p55@"), "{first}");
    let second = get(&world, "/admin/people?page=2").await;
    assert!(second.contains("51–60 of 60") && second.contains("p55@") && !second.contains("p05@"), "{second}");
    // The letters that LIKE takes for anything are letters here.
    let found = get(&world, "/admin/people?q=100%25+s").await;
    assert!(found.contains("1–1 of 1") && found.contains("p07@"), "{found}");
    assert!(get(&world, "/admin/people?q=p_7").await.contains("Nothing found"));
    assert!(get(&world, "/admin/people?state=departed").await.contains("Nothing found"));
    assert!(get(&world, "/admin/people?page=nonsense").await.contains("1–50 of 60"));
});

on_both!(what_people_wrote_is_shown_as_text, |world: World| async move {
    world.furnish().await;
    let person = json!({ "email": "x@shop.example", "name": "<script>alert(1)</script> & Co", "kind": "staff" });
    let (status, answer) = world.call(Method::POST, "/api/v1/people", person).await;
    if status.is_success() {
        let shown = get(&world, "/admin/people/x@shop.example").await;
        assert!(!shown.contains("<script>alert"), "{shown}");
        assert!(shown.contains("&#60;script&#62;alert(1)"), "{shown}");
    } else {
        assert!(answer["error"]["message"].is_string(), "{answer}");
    }
    let reason = "\"><img src=x onerror=alert(1)>";
    let suspended = json!({ "reason": reason });
    world.post("/api/v1/people/support@shop.example/suspend", suspended).await;
    let audit = get(&world, "/admin/audit").await;
    assert!(!audit.contains("<img src=x") && audit.contains("&#60;img src=x"), "{audit}");
    let found = get(&world, "/admin/audit?q=%22%3E%3Cimg").await;
    assert!(!found.contains("<img src=x") && found.contains("person.suspend"), "{found}");
    assert!(!get(&world, "/admin/audit?q=nothing+like+that").await.contains("person.suspend"));
});

on_both!(who_is_connected_is_shown_while_the_gateway_says_so, |world: World| async move {
    let device = world.furnish().await;
    let gateway = Gateway::local(&world, "main").await;
    assert!(get(&world, "/admin").await.contains("Nobody at this moment"));
    let now = world.get("/api/v1/status").await["now"].clone();
    let usage = |handshake: &Value, bytes: u64| {
        json!({ "session": gateway.session, "devices": [{
            "device": device["id"], "endpoint": "198.51.100.7:4711", "last_handshake": handshake,
            "bytes_up": bytes, "bytes_down": 2_500_000,
        }]})
    };
    let (status, answer) = gateway.way.post("/feed/v1/usage", usage(&now, 1_000)).await;
    assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    let shown = get(&world, "/admin").await;
    for expected in ["198.51.100.7:4711", "support@shop.example", "1.0 kB", "2.5 MB"] {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    let person = get(&world, "/admin/people/support@shop.example").await;
    assert!(person.contains("198.51.100.7:4711") && person.contains("connected"), "{person}");
    // A handshake of an hour ago is no connection.
    let (status, _) = gateway.way.post("/feed/v1/usage", usage(&json!("2020-01-01T00:00:00Z"), 1_000)).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(get(&world, "/admin").await.contains("Nobody at this moment"));
    // And what was revoked is not connected, whatever the last report said.
    gateway.way.post("/feed/v1/usage", usage(&now, 2_000)).await;
    let obedient = gateway.obedient();
    form(&world, &format!("/admin/devices/{}/revoke", device["id"].as_str().unwrap()), "").await;
    eventually(|| async { (!get(&world, "/admin").await.contains("198.51.100.7")).then_some(()) }).await;
    obedient.abort();
});

on_both!(a_wrong_form_says_what_is_wrong_and_changes_nothing, |world: World| async move {
    world.furnish().await;
    let before = world.get("/api/v1/audit/verify").await;
    let cases = [
        ("/admin/people", "email=no&name=N&kind=staff", StatusCode::BAD_REQUEST, "no email address"),
        ("/admin/people", "email=&name=N&kind=staff", StatusCode::BAD_REQUEST, "is empty"),
        ("/admin/people", "email=a%40b.example&name=N&kind=king", StatusCode::BAD_REQUEST, "unknown variant"),
        ("/admin/people", "email=c%40b.example&name=N&kind=contractor", StatusCode::FORBIDDEN, "sponsor"),
        (
            "/admin/grants",
            "email=support%40shop.example&resource=panel&how_long=soon",
            StatusCode::BAD_REQUEST,
            "How long",
        ),
        ("/admin/grants", "email=support%40shop.example&resource=none&how_long=8h", StatusCode::NOT_FOUND, "none"),
        ("/admin/resources", "name=x&targets=&allow=tcp%2F1", StatusCode::BAD_REQUEST, "at least one"),
        ("/admin/lockdown", "turn=maybe", StatusCode::BAD_REQUEST, "unknown variant"),
        ("/admin/people/nobody@shop.example/offboard", "", StatusCode::NOT_FOUND, "nobody@shop.example"),
        ("/devices/new", "name=laptop", StatusCode::FORBIDDEN, "signed in"),
    ];
    for (path, body, expected, words) in cases {
        let (status, _, shown) = form(&world, path, body).await;
        assert_eq!(status, expected, "{path} {body}: {shown}");
        assert!(shown.contains(words), "{path} {body}: {shown}");
    }
    assert_eq!(world.get("/api/v1/audit/verify").await, before, "nothing was recorded, so nothing was changed");
});

on_both!(lockdown_is_turned_on_and_lifted, |world: World| async move {
    let (status, _, receipt) = form(&world, "/admin/lockdown", "turn=on&reason=breach").await;
    assert!(status == StatusCode::OK && receipt.contains("Lockdown is on"), "{receipt}");
    assert!(get(&world, "/admin").await.contains("nobody passes until it is lifted"));
    assert!(get(&world, "/admin/lockdown").await.contains("breach"));
    let (status, location, _) = form(&world, "/admin/lockdown", "turn=off").await;
    assert_eq!((status, location.as_deref()), (StatusCode::SEE_OTHER, Some("/admin/lockdown")));
    assert!(!get(&world, "/admin").await.contains("nobody passes"));
});
