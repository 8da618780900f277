//! What ends when the identity provider says that somebody is signed in there no more, and that it is asked each time a
//! window opens.

use std::time::Duration;

use doorward_model::Timestamp;
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::browser::{Browser, ORIGIN, Reply};
use crate::gateway::{Gateway, eventually};
use crate::idp::Idp;
use crate::provider::{ANNA, away, away_from_link, back, invited, joined};
use crate::world::{Settings, World, on_both};

const WINDOW: Duration = Duration::from_hours(1);
const EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

async fn with(idp: &Idp, database: TestDatabase) -> World {
    let settings =
        Settings { url: Some(ORIGIN), issuer: Some(idp.issuer()), sign_in_window: WINDOW, ..Settings::default() };
    World::with(database, settings).await
}

/// What an honest logout token says.
fn logout(idp: &Idp) -> Value {
    let now = Timestamp::now().as_second();
    json!({ "iss": idp.issuer(), "aud": "doorward", "iat": now, "exp": now + 120, "jti": "1", "events": { EVENT: {} } })
}

fn changed(claims: &Value, changes: Value) -> Value {
    let mut claims = claims.clone();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// The provider sends it: no browser, no origin, no cookie.
async fn send(world: &World, token: &str) -> Reply {
    let mut provider = Browser::new(world);
    provider.origin = None;
    provider.form("/oidc/backchannel-logout", &[("logout_token", token)]).await
}

async fn sign_in<'a>(world: &'a World, idp: &Idp, more: Value) -> Browser<'a> {
    let mut browser = Browser::new(world);
    let sent = away(&mut browser).await;
    let claims = changed(&idp.claims(&sent, "42"), changed(&json!({ "amr": ["mfa"] }), more));
    let done = back(&mut browser, idp, &sent, &claims).await;
    assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
    browser
}

fn is_open(gateway: &Gateway) -> bool {
    let now = Timestamp::now();
    gateway.leases.values().any(|lease| lease.sign_in_until.is_some_and(|until| until > now))
}

on_both!(
    a_logout_at_the_provider_ends_sessions_and_windows_here,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        joined(&world, &idp, ANNA, "42").await;
        world.device(ANNA, "laptop", 1).await;
        let mut gateway = Gateway::local(&world, "main").await;
        let header = json!({ "alg": "ES256", "kid": "first", "typ": "logout+jwt" });
        let both = json!({ "sub": "42", "sid": "s-2" });
        // By the person, by the session that they began last, and by both.
        for named in [json!({ "sub": "42" }), json!({ "sid": "s-2" }), both] {
            let mut browser = sign_in(&world, &idp, json!({ "sid": "s-2" })).await;
            gateway.until(is_open).await;
            assert_eq!(browser.get("/security").await.status, StatusCode::OK);
            let done = send(&world, &idp.signed(&header, &changed(&logout(&idp), named.clone()))).await;
            assert_eq!(done.status, StatusCode::OK, "{named}: {}", done.text);
            assert_eq!(done.headers["cache-control"], "no-store");
            assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER, "{named}");
            gateway.until(|it| !is_open(it)).await;
        }
        gateway.confirm(Vec::new()).await;
        let (ended, receipt) = eventually(async || {
            let tail = world.get("/api/v1/audit/tail?lines=10").await;
            let rows = tail["rows"].as_array().unwrap();
            let of = |action: &str| rows.iter().rev().find(|row| row["action"] == action).cloned();
            Some((of("sign_out.provider")?, of("receipt.record")?))
        })
        .await;
        assert_eq!((&ended["subject"], &ended["actor"]), (&json!(format!("person:{ANNA}")), &json!("system")));
        assert_eq!(receipt["detail"]["receipts"][0]["gateway"], "main");
        // Of whom nobody knows anything here, nothing ends.
        for named in [json!({ "sub": "43" }), json!({ "sid": "s-1" })] {
            let done = send(&world, &idp.signed(&header, &changed(&logout(&idp), named))).await;
            assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        }
    },
    database
);

on_both!(
    a_logout_token_that_does_not_count_ends_nothing,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        joined(&world, &idp, ANNA, "42").await;
        let mut browser = sign_in(&world, &idp, json!({})).await;
        let header = json!({ "alg": "ES256", "kid": "first" });
        let good = changed(&logout(&idp), json!({ "sub": "42" }));
        let now = Timestamp::now().as_second();
        for wrong in [
            json!({ "iss": "https://evil.example" }),
            json!({ "aud": "another" }),
            json!({ "aud": ["doorward", "another"] }),
            json!({ "aud": null }),
            json!({ "iat": now - 3_600 }),
            json!({ "iat": now + 3_600 }),
            json!({ "iat": null }),
            json!({ "exp": now - 1 }),
            json!({ "exp": "soon" }),
            json!({ "events": {} }),
            json!({ "events": { EVENT: true } }),
            json!({ "events": [EVENT] }),
            json!({ "nonce": "n" }),
            json!({ "sub": "" }),
            json!({ "sub": 42 }),
        ] {
            let reply = send(&world, &idp.signed(&header, &changed(&good, wrong.clone()))).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{wrong}: {}", reply.text);
            assert_eq!(reply.json()["error"], "invalid_request", "{wrong}");
        }
        let signed = idp.signed(&header, &good);
        let (text, signature) = signed.rsplit_once('.').unwrap();
        let other = idp.signed(&header, &changed(&good, json!({ "jti": "2" })));
        for (what, token) in [
            ("another signature", format!("{text}.{}", other.rsplit_once('.').unwrap().1)),
            ("no signature", format!("{text}.")),
            ("alg none", idp.signed(&json!({ "alg": "none" }), &good)),
            ("a shared secret", idp.signed(&json!({ "alg": "HS256", "kid": "first" }), &good)),
            ("another key", idp.signed(&json!({ "alg": "ES256", "kid": "third" }), &good)),
            ("an access token", idp.signed(&json!({ "alg": "ES256", "kid": "first", "typ": "at+jwt" }), &good)),
            ("two parts", format!("a.{signature}")),
            ("nothing", String::new()),
            ("a long nothing", "x".repeat(20_000)),
        ] {
            let reply = send(&world, &token).await;
            assert_eq!(reply.status, StatusCode::BAD_REQUEST, "{what}: {}", reply.text);
        }
        let mut provider = Browser::new(&world);
        assert_eq!(provider.post("/oidc/backchannel-logout", json!({})).await.status, StatusCode::BAD_REQUEST);
        assert_eq!(provider.get("/oidc/backchannel-logout").await.status, StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(browser.get("/security").await.status, StatusCode::OK, "nothing of it ended anything");
        assert_eq!(send(&world, &signed).await.status, StatusCode::OK);
        assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER);
    },
    database
);

on_both!(
    no_window_opens_without_the_provider_for_who_has_an_account_there,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        let way = invited(&world, ANNA).await;
        let mut browser = Browser::new(&world);
        let sent = away_from_link(&mut browser, &way).await;
        back(&mut browser, &idp, &sent, &idp.claims(&sent, "42")).await;
        let mut passkey = browser.join_with_passkey(&way, json!({})).await;
        world.device(ANNA, "laptop", 1).await;
        let mut gateway = Gateway::local(&world, "main").await;
        gateway.until(is_open).await;
        let until = |gateway: &Gateway| gateway.leases.values().next().unwrap().sign_in_until;
        let first = until(&gateway);
        // The passkey proves who acts; that they are still there, the provider alone can say.
        let proved = browser.prove("/step-up", &mut passkey).await;
        assert_eq!(proved.status, StatusCode::OK, "{}", proved.text);
        let again = browser.get("/step-up?again=1").await;
        assert_eq!((again.status, again.location()), (StatusCode::SEE_OTHER, "/sign-in/provider"));
        let refused = Browser::new(&world).prove("/sign-in", &mut passkey).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
        assert!(refused.text.contains("you are still there"), "{}", refused.text);
        world.post("/api/v1/people", json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" })).await;
        world.device("ben@shop.example", "phone", 2).await;
        gateway.until(|it| it.leases.len() == 2).await;
        let laptop = gateway.leases.values().find(|lease| lease.email.as_str() == ANNA).unwrap();
        assert_eq!(laptop.sign_in_until, first, "nothing of it extended the window");
        let sent = away(&mut browser).await;
        back(&mut browser, &idp, &sent, &idp.claims(&sent, "42")).await;
        let done = browser.prove("/sign-in/provider", &mut passkey).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        gateway.until(|it| it.leases.values().any(|lease| lease.sign_in_until > first)).await;
    },
    database
);
