//! `doorward login` and its end, as the server sees them.

use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::access_fixtures::{login, person, role};
use crate::browser::{Browser, Reply};
use crate::fixtures::{OWNER, named, owner, owner_link};
use crate::gateway::Gateway;
use crate::world::{World, on_both, public_key};

on_both!(
    a_command_line_acts_for_whoever_let_it_and_ends_with_them,
    |database: TestDatabase| async move {
        use base64::Engine as _;
        use sha2::Digest as _;
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let verifier = "a".repeat(43);
        let challenge =
            base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(verifier.as_bytes()));
        let asked =
            [("port", "40000"), ("state", "st-_1"), ("challenge", challenge.as_str()), ("name", "<b>laptop</b>")];
        let query = format!("/login?port=40000&state=st-_1&challenge={challenge}&name=%3Cb%3Elaptop%3C/b%3E");
        assert!(Browser::new(&world).get(&query).await.location().starts_with("/sign-in?next=%2Flogin"));
        let page = browser.get(&query).await;
        assert!(page.status == StatusCode::OK && !page.text.contains("<b>laptop"), "{}", page.text);
        let code_of = |reply: &Reply| {
            let rest =
                reply.text.split("http://127.0.0.1:40000/?code=").nth(1).unwrap_or_else(|| panic!("{}", reply.text));
            rest.split('&').next().unwrap().to_owned()
        };
        let mut line = Browser::new(&world);
        line.origin = None;
        line.more = vec![("authorization", "Bearer none".to_owned())];
        let code = code_of(&browser.form("/login", &asked).await);
        let wrong = line.post("/login/redeem", json!({ "code": code, "verifier": "b".repeat(43) })).await;
        assert_eq!(wrong.status, StatusCode::BAD_REQUEST, "{}", wrong.text);
        let used = line.post("/login/redeem", json!({ "code": code, "verifier": verifier })).await;
        assert_eq!(used.status, StatusCode::BAD_REQUEST, "a wrong verifier uses the code up");
        let code = code_of(&browser.form("/login", &asked).await);
        let made = line.post("/login/redeem", json!({ "code": code, "verifier": verifier })).await;
        let token = made.json()["token"].as_str().unwrap_or_else(|| panic!("{}", made.text)).to_owned();
        assert!(token.starts_with("dwl1_"));
        line.more = vec![("authorization", format!("Bearer {token}"))];
        let ben = json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" });
        assert_eq!(line.post("/api/v1/people", ben).await.status, StatusCode::CREATED);
        let audit = world.get("/api/v1/audit/tail?lines=1").await;
        assert_eq!(audit["rows"][0]["actor"], format!("person:{OWNER}"));
        // Where there is no browser, a short code is typed in one elsewhere.
        let mut other = Browser::new(&world);
        other.origin = None;
        other.more = vec![("authorization", "Bearer none".to_owned())];
        let waiting = other.post("/login/wait", json!({ "name": "server" })).await.json();
        let poll = json!({ "device_code": waiting["device_code"] });
        assert_eq!(other.post("/login/poll", poll.clone()).await.json(), json!({ "login": null }));
        let guess = browser.form("/login/device", &[("code", "BBBB-BBBB")]).await;
        assert!(
            guess.status == StatusCode::BAD_REQUEST && guess.text.contains("No command line shows"),
            "{}",
            guess.text
        );
        let typed = waiting["user_code"].as_str().unwrap().to_lowercase();
        assert!(browser.form("/login/device", &[("code", &typed)]).await.text.contains("server acts for you"));
        let second = other.post("/login/poll", poll.clone()).await.json()["login"]["token"].clone();
        assert!(second.is_string());
        assert_eq!(other.post("/login/poll", poll).await.status, StatusCode::BAD_REQUEST, "once");
        // Both are listed, and end with the person's sessions.
        assert!(browser.get("/security").await.text.contains("doorward login, server"));
        browser.form("/security/sessions/end-all", &[]).await;
        for token in [token, second.as_str().unwrap().to_owned()] {
            let (status, _) = world.https(Method::GET, "/api/v1/people", Some(&token), Value::Null).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED);
        }
    },
    database
);

on_both!(a_login_ends_where_it_was_made_for, |world: World| async move {
    person(&world, "anna@shop.example").await;
    let (one, two) = (login(&world, "anna@shop.example", 0).await, login(&world, "anna@shop.example", 1).await);
    let token = world.post("/api/v1/tokens", json!({ "name": "ci" })).await["token"].as_str().unwrap().to_owned();
    let own = async |token: &str| world.https(Method::GET, "/api/v1/requests", Some(token), Value::Null).await.0;
    assert_eq!(own(&one).await, StatusCode::OK);
    let out = async |token: &str| world.https(Method::POST, "/api/v1/logout", Some(token), json!({})).await.0;
    assert_eq!(out(&one).await, StatusCode::NO_CONTENT);
    assert_eq!(own(&one).await, StatusCode::UNAUTHORIZED, "at the server, and not here alone");
    assert_eq!(out(&one).await, StatusCode::UNAUTHORIZED);
    assert_eq!(own(&two).await, StatusCode::OK, "another login goes on");
    let row = &world.get("/api/v1/audit/tail?lines=1").await["rows"][0];
    assert_eq!((&row["action"], &row["actor"]), (&json!("sign_out"), &json!("person:anna@shop.example")));
    assert_eq!(out(&token).await, StatusCode::FORBIDDEN, "an API token is revoked by its name");
    assert_eq!(own(&token).await, StatusCode::OK);
});

on_both!(with_a_login_people_look_after_their_own_devices, |world: World| async move {
    world.furnish().await;
    person(&world, "anna@shop.example").await;
    let _gateway = Gateway::local(&world, "main").await.obedient();
    let anna = login(&world, "anna@shop.example", 0).await;
    let call = async |method: Method, path: &str, body: Value| world.https(method, path, Some(&anna), body).await;
    let new = json!({ "name": "laptop", "public_key": public_key(7) });
    let (status, added) = call(Method::POST, "/api/v1/devices", new.clone()).await;
    assert_eq!((status, &added["email"]), (StatusCode::CREATED, &json!("anna@shop.example")), "{added}");
    let (status, answer) = world.call(Method::POST, "/api/v1/devices", new).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "on the socket nobody is oneself: {answer}");
    let (status, own) = call(Method::GET, "/api/v1/devices", Value::Null).await;
    assert_eq!((status, own.as_array().map(Vec::len)), (StatusCode::OK, Some(1)), "{own}");
    let (status, _) = call(Method::GET, "/api/v1/devices?email=support@shop.example", Value::Null).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    let theirs = world.get("/api/v1/devices?email=support@shop.example").await[0]["id"].as_str().unwrap().to_owned();
    let unknown = uuid::Uuid::now_v7();
    for id in [theirs.as_str(), &unknown.to_string()] {
        let (status, refused) = call(Method::POST, &format!("/api/v1/devices/{id}/revoke"), Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN, "whose an id is, or nobody's, is nobody's business: {refused}");
    }
    let id = added["id"].as_str().unwrap();
    let (status, ended) = call(Method::POST, &format!("/api/v1/devices/{id}/revoke"), Value::Null).await;
    assert_eq!((status, &ended["ended"]["devices"][0]["state"]), (StatusCode::OK, &json!("revoked")), "{ended}");

    // Asking, and answering with a role.
    person(&world, "chef@shop.example").await;
    role(&world, "chef@shop.example", "approver").await;
    let chef = login(&world, "chef@shop.example", 0).await;
    let asking = json!({ "resource": "panel", "for": "1h", "reason": "a look" });
    let (status, asked) = call(Method::POST, "/api/v1/requests", asking).await;
    assert_eq!((status, &asked["email"]), (StatusCode::CREATED, &json!("anna@shop.example")), "{asked}");
    let path = format!("/api/v1/requests/{}/approve", asked["id"].as_str().unwrap());
    assert_eq!(call(Method::POST, &path, Value::Null).await.0, StatusCode::FORBIDDEN);
    assert_eq!(world.https(Method::POST, &path, Some(&chef), Value::Null).await.0, StatusCode::OK);
});
