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
    let grant = "email=dba%40agency.example&resource=panel&how_long=8h&reason=migrate&on=person";
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
    let since = world.get("/api/v1/lockdown").await["since"].as_str().unwrap().replace(':', "%3A");
    let (status, location, _) = form(&world, "/admin/lockdown", &format!("turn=off&since={since}")).await;
    assert_eq!((status, location.as_deref()), (StatusCode::SEE_OTHER, Some("/admin/lockdown")));
    assert!(!get(&world, "/admin").await.contains("nobody passes"));
});

on_both!(a_group_is_filled_given_access_on_weekly_hours_and_removed, |world: World| async move {
    world.furnish().await;
    let gateway = Gateway::local(&world, "main").await.obedient();
    let (_, location, _) = form(&world, "/admin/groups", "name=desk").await;
    assert_eq!(location.as_deref(), Some("/admin/groups/desk?done=added"));
    let (_, location, _) = form(&world, "/admin/groups/desk/join", "email=support%40shop.example").await;
    assert_eq!(location.as_deref(), Some("/admin/groups/desk?done=joined"));
    let grant = "group=desk&resource=panel&how_long=30d&hours=mon-fri+08%3A00-18%3A00+Europe%2FBerlin&on=group";
    let (_, location, shown) = form(&world, "/admin/grants", grant).await;
    assert_eq!(location.as_deref(), Some("/admin/groups/desk?done=granted"), "{shown}");
    let shown = get(&world, "/admin/groups/desk").await;
    for expected in ["support@shop.example", "panel", "mon-fri 08:00-18:00 Europe/Berlin"] {
        assert!(shown.contains(expected), "{expected} is not in {shown}");
    }
    assert!(get(&world, "/admin/groups").await.contains("panel"));
    assert!(get(&world, "/admin/people/support@shop.example").await.contains("/admin/groups/desk"));
    // What a group was given is taken from the group, on its own page, and not by mistake from one member's.
    let held = world.get("/api/v1/grants").await;
    let of_group = held.as_array().unwrap().iter().find(|grant| grant["group"] == "desk").unwrap()["id"].clone();
    let revoke = format!("/admin/grants/{}/revoke", of_group.as_str().unwrap());
    assert!(!get(&world, "/admin/people/support@shop.example").await.contains(&revoke));
    assert!(shown.contains(&revoke));
    for (body, words) in [
        ("resource=panel&how_long=8h", "one of the two"),
        ("email=a%40shop.example&group=desk&resource=panel&how_long=8h", "one of the two"),
        ("group=desk&resource=panel&how_long=8h&hours=sometimes", "hours"),
    ] {
        let (status, _, shown) = form(&world, "/admin/grants", body).await;
        assert!(status == StatusCode::BAD_REQUEST && shown.contains(words), "{body}: {shown}");
    }
    let (status, _, receipt) = form(&world, "/admin/groups/desk/leave", "email=support%40shop.example").await;
    assert!(status == StatusCode::OK && receipt.contains("is no member of desk any more"), "{receipt}");
    let (status, _, receipt) = form(&world, "/admin/groups/desk/remove", "").await;
    assert!(status == StatusCode::OK && receipt.contains("Group desk is removed"), "{receipt}");
    gateway.abort();
});

on_both!(of_two_who_change_the_same_thing_the_second_is_told_and_overwrites_nothing, |world: World| async move {
    world.furnish().await;
    for email in ["anna@shop.example", "ben@shop.example"] {
        world.post("/api/v1/people", json!({ "email": email, "name": "N", "kind": "staff" })).await;
    }
    let dba = json!({
        "email": "dba@agency.example", "name": "DBA", "kind": "contractor", "sponsor": "anna@shop.example", "until": "4d",
    });
    world.post("/api/v1/people", dba).await;
    // Both looked at the same page; what it showed goes with their forms.
    let cases = [
        (
            "/admin/resources/panel/owner",
            "was=&to=anna%40shop.example",
            "was=&to=ben%40shop.example",
            "anna@shop.example",
        ),
        ("/admin/resources/panel/window", "was=&to=2h", "was=&to=", "2h"),
        ("/admin/resources/panel/span", "was=&to=7d", "was=&to=30m", "7d"),
        ("/admin/people/ben@shop.example/role", "was=member&to=auditor", "was=member&to=admin", "auditor"),
        (
            "/admin/people/dba@agency.example/sponsor",
            "was=anna%40shop.example&to=ben%40shop.example",
            "was=anna%40shop.example&to=support%40shop.example",
            "ben@shop.example",
        ),
    ];
    for (path, first, second, stands) in cases {
        let (status, location, shown) = form(&world, path, first).await;
        assert_eq!(status, StatusCode::SEE_OTHER, "{path}: {shown}");
        let page = get(&world, location.as_deref().unwrap()).await;
        assert!(page.contains("Changed") && page.contains(stands), "{path}: {page}");
        let (status, _, shown) = form(&world, path, second).await;
        assert_eq!(status, StatusCode::CONFLICT, "{path}: {shown}");
        assert!(shown.contains("somebody else changed") || shown.contains("Somebody else changed"), "{path}: {shown}");
        assert!(shown.contains(&format!("to {stands}: nothing of yours was done")), "{path}: {shown}");
    }
    let panel = get(&world, "/admin/resources/panel").await;
    for expected in ["anna@shop.example", "2 hours", "7 days"] {
        assert!(panel.contains(expected), "{expected} is not in {panel}");
    }
});

on_both!(a_lockdown_lets_a_group_through_and_is_lifted_by_who_saw_it, |world: World| async move {
    world.post("/api/v1/groups", json!({ "name": "incident" })).await;
    let (status, _, receipt) = form(&world, "/admin/lockdown", "turn=on&except=incident&reason=breach").await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    let shown = get(&world, "/admin/lockdown").await;
    assert!(shown.contains("but the members of") && shown.contains("incident"), "{shown}");
    let since = world.get("/api/v1/lockdown").await["since"].as_str().unwrap().replace(':', "%3A");
    // Somebody else locks down again, for everybody, which nothing holds up; the page from before lifts nothing.
    let (status, _, receipt) = form(&world, "/admin/lockdown", "turn=on&reason=worse").await;
    assert_eq!(status, StatusCode::OK, "{receipt}");
    for stale in [format!("turn=off&since={since}"), format!("turn=on&except=incident&since={since}")] {
        let (status, _, told) = form(&world, "/admin/lockdown", &stale).await;
        assert!(status == StatusCode::CONFLICT && told.contains("omebody else changed the lockdown"), "{told}");
    }
    assert_eq!(world.get("/api/v1/lockdown").await["on"], true);
});

on_both!(who_answers_for_others_hands_over_and_an_invitation_is_shown_once, |world: World| async move {
    world.furnish().await;
    world.post("/api/v1/people", json!({ "email": "anna@shop.example", "name": "Anna", "kind": "staff" })).await;
    let dba = json!({
        "email": "dba@agency.example", "name": "DBA", "kind": "contractor", "sponsor": "support@shop.example",
        "until": "4d",
    });
    world.post("/api/v1/people", dba).await;
    let (status, _, shown) = form(&world, "/admin/people/dba@agency.example/invite", "").await;
    assert!(status == StatusCode::OK && shown.contains("/join/") && shown.contains("shown this once"), "{shown}");
    assert!(!get(&world, "/admin/people/dba@agency.example").await.contains("/join/"));
    let (_, location, _) = form(&world, "/admin/people/dba@agency.example/sign-out", "").await;
    assert_eq!(location.as_deref(), Some("/admin/people/dba@agency.example?done=signed-out"));
    let sponsor = get(&world, "/admin/people/support@shop.example").await;
    assert!(sponsor.contains("Answers for") && sponsor.contains("Hand over to"), "{sponsor}");
    assert!(!get(&world, "/admin/people/anna@shop.example").await.contains("Hand over to"));
    let path = "/admin/people/support@shop.example/offboard";
    let (status, _, shown) = form(&world, path, "hand_over_to=support%40shop.example").await;
    assert!(status == StatusCode::BAD_REQUEST && shown.contains("name somebody else"), "{shown}");
    let (status, _, receipt) = form(&world, path, "reason=left&hand_over_to=anna%40shop.example").await;
    assert!(status == StatusCode::OK && receipt.contains("support@shop.example is out"), "{receipt}");
    let dba = world.get("/api/v1/people/dba@agency.example").await;
    assert_eq!((&dba["state"], &dba["sponsor"]), (&json!("active"), &json!("anna@shop.example")));
});

on_both!(several_people_are_put_out_at_once_after_a_look_at_what_they_have, |world: World| async move {
    world.furnish().await;
    for email in ["anna@shop.example", "ben@shop.example", "gone@shop.example"] {
        world.post("/api/v1/people", json!({ "email": email, "name": "N", "kind": "staff" })).await;
    }
    let dba =
        json!({ "email": "dba@agency.example", "name": "DBA", "kind": "contractor", "sponsor": "anna@shop.example" });
    world.post("/api/v1/people", dba).await;
    world.device("anna@shop.example", "phone", 7).await;
    let list = get(&world, "/admin/people").await;
    assert!(list.contains(r#"form="leaving" name="email" value="anna@shop.example""#), "{list}");
    let gateway = Gateway::local(&world, "main").await.obedient();

    let before = world.get("/api/v1/audit/verify").await;
    let chosen = "email=anna%40shop.example&email=support%40shop.example&email=anna%40shop.example";
    let (status, _, shown) = form(&world, "/admin/leaving", chosen).await;
    assert!(status == StatusCode::OK && shown.contains("Put out 2 people") && shown.contains("dba@agency"), "{shown}");
    let (status, _, shown) = form(&world, "/admin/leaving", "").await;
    assert!(status == StatusCode::BAD_REQUEST && shown.contains("Nobody was chosen"), "{shown}");
    assert_eq!(world.get("/api/v1/audit/verify").await, before, "to look changes nothing");

    let several = format!("{chosen}&email=nobody%40shop.example&reason=desk+closed");
    let (status, _, shown) = form(&world, "/admin/leaving/offboard", &several).await;
    assert!(status == StatusCode::OK && shown.contains("1 of 3 could not be put out"), "{shown}");
    assert!(shown.contains("nobody@shop.example") && shown.contains("1 device, "), "{shown}");
    let state = async |email: &str| world.get(&format!("/api/v1/people/{email}")).await["state"].clone();
    assert_eq!(
        (state("anna@shop.example").await, state("support@shop.example").await),
        (json!("departed"), json!("departed"))
    );
    assert_eq!(
        (state("dba@agency.example").await, state("ben@shop.example").await),
        (json!("suspended"), json!("active"))
    );
    let endings = world.get("/api/v1/people/anna@shop.example/endings").await;
    assert_eq!(endings[0]["reason"], "desk closed");

    let (status, _, shown) = form(&world, "/admin/leaving/suspend", "email=ben%40shop.example").await;
    assert!(status == StatusCode::OK && shown.contains("They are suspended"), "{shown}");
    assert_eq!(state("ben@shop.example").await, "suspended");
    gateway.abort();
});
