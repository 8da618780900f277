//! How people stay signed in, and what a session may do: it ends in time, acts for nobody else's page, and asks for the
//! factor again.

use doorward_domain::{SignInMethod, TokenHash, WebSession};
use doorward_model::Timestamp;
use doorward_store::Outbox;
use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::browser::{Browser, HOST, ORIGIN};
use crate::fixtures::{OWNER, OpenAt as _, PASSWORD, code, entry, invited, named, owner, owner_link, secret_on};
use crate::world::{Settings, World, on_both};

on_both!(
    sessions_end_by_idleness_by_age_and_with_the_person,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let store = world.database.open_at(&world).await;
        let owner = store.read().await.unwrap().person_by_email(&OWNER.parse().unwrap()).await.unwrap().unwrap();
        let ago = |seconds: i64| Timestamp::from_second(Timestamp::now().as_second() - seconds).unwrap();
        for (secret, begun, seen, counts) in [
            ("in use", 3600, 14 * 60, true),
            ("idle", 3600, 15 * 60, false),
            ("old", 12 * 3600, 0, false),
            ("nearly old", 12 * 3600 - 60, 0, true),
        ] {
            let id = uuid::Uuid::now_v7();
            let session = WebSession::begin(id, owner.id, SignInMethod::Passkey, ("192.0.2.1", "x"), ago(begun));
            let mut tx = store.write().await.unwrap();
            let session = WebSession { seen_at: ago(seen), ..session };
            tx.web_session_add(&TokenHash::of(secret.as_bytes()), &session).await.unwrap();
            tx.commit(entry(), Outbox::None).await.unwrap();
            browser.cookie = Some(secret.to_owned());
            let expected = if counts { StatusCode::OK } else { StatusCode::SEE_OTHER };
            assert_eq!(browser.get("/security").await.status, expected, "{secret}");
            let api = if counts { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
            assert_eq!(browser.get("/api/v1/people").await.status, api, "{secret}");
        }
        // A page that is left open asks by itself, and keeps no session alive by it.
        let left_open = uuid::Uuid::now_v7();
        let session = WebSession::begin(left_open, owner.id, SignInMethod::Passkey, ("192.0.2.1", "x"), ago(600));
        let mut tx = store.write().await.unwrap();
        tx.web_session_add(&TokenHash::of(b"left open"), &session).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        browser.cookie = Some("left open".to_owned());
        let seen = async || {
            store.read().await.unwrap().web_session(&TokenHash::of(b"left open")).await.unwrap().unwrap().0.seen_at
        };
        browser.more = vec![("x-doorward-background", "1".to_owned())];
        assert_eq!(browser.get("/api/v1/people").await.status, StatusCode::OK);
        assert_eq!(seen().await, session.seen_at);
        browser.more.clear();
        assert_eq!(browser.get("/api/v1/people").await.status, StatusCode::OK);
        assert!(seen().await > session.seen_at);
        world.post(&format!("/api/v1/people/{OWNER}/suspend"), Value::Null).await;
        assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER);
        let mut read = store.read().await.unwrap();
        assert!(read.web_sessions_of(owner.id).await.unwrap().is_empty());
    },
    database
);

on_both!(
    what_comes_from_elsewhere_is_not_done,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let person = json!({ "email": "anna@shop.example", "name": "Anna", "kind": "staff" });
        for (what, origin, more) in [
            ("another site", Some("https://evil.example"), None),
            ("a sandboxed frame", Some("null"), None),
            ("plain HTTP", Some("http://door.shop.example:8443"), None),
            ("a neighbour", Some(ORIGIN), Some(("sec-fetch-site", "same-site"))),
            ("nobody", None, None),
        ] {
            browser.origin = origin.map(ToOwned::to_owned);
            browser.more = more.map(|(name, value)| (name, value.to_owned())).into_iter().collect();
            for refused in [
                browser.post("/api/v1/people", person.clone()).await,
                browser.form("/security/sessions/end-all", &[]).await,
                browser.form("/sign-out", &[]).await,
            ] {
                assert_eq!(refused.status, StatusCode::FORBIDDEN, "{what}: {}", refused.text);
            }
        }
        (browser.origin, browser.more) = (Some(ORIGIN.to_owned()), Vec::new());
        // The browser that was led here by another name (DNS rebinding), with the cookie that it would not even have.
        browser.host = "evil.example:8443".to_owned();
        for path in ["/security", "/api/v1/people", "/sign-in"] {
            let misled = browser.get(path).await;
            assert!(
                misled.status == StatusCode::MISDIRECTED_REQUEST && misled.text.contains(HOST),
                "{path}: {misled:?}"
            );
        }
        browser.host = HOST.to_owned();
        let page = browser.get("/security").await;
        assert_eq!(page.status, StatusCode::OK);
        assert!(page.headers["content-security-policy"].to_str().unwrap().contains("script-src 'self'"));
        assert_eq!(browser.post("/api/v1/people", person).await.status, StatusCode::CREATED);
        // A program with a token needs no origin, and a foreign cookie beside it gives nothing.
        let token = world.post("/api/v1/tokens", json!({ "name": "ci" })).await["token"].as_str().unwrap().to_owned();
        let (status, _) = world.https(Method::GET, "/api/v1/people", Some(&token), Value::Null).await;
        assert_eq!(status, StatusCode::OK);
        browser.more = vec![("authorization", "Bearer dwt1_wrong".to_owned())];
        assert_eq!(browser.get("/api/v1/people").await.status, StatusCode::UNAUTHORIZED);
    },
    database
);

on_both!(
    admin_changes_ask_for_the_factor_again_after_five_minutes,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let store = world.database.open_at(&world).await;
        let hash = TokenHash::of(browser.cookie.clone().unwrap().as_bytes());
        let (session, _) = store.read().await.unwrap().web_session(&hash).await.unwrap().unwrap();
        let mut tx = store.write().await.unwrap();
        let stale = Timestamp::from_second(Timestamp::now().as_second() - 300).unwrap();
        tx.web_session_factor(session.id, stale).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        let person = json!({ "email": "anna@shop.example", "name": "Anna", "kind": "staff" });
        let refused = browser.post("/api/v1/people", person.clone()).await;
        assert_eq!(refused.json()["error"]["code"], "fresh_factor_needed", "{}", refused.text);
        let adding = browser.post("/security/passkeys/start", json!({})).await;
        assert_eq!(adding.json()["error"]["code"], "fresh_factor_needed", "{}", adding.text);
        let form = browser.form("/security/password", &[("password", PASSWORD), ("repeated", PASSWORD)]).await;
        assert!(form.location().starts_with("/step-up"), "{form:?}");
        // Another person's passkey proves nothing about this one.
        let mut other = Browser::new(&world);
        let mut others = other.join_with_passkey(&invited(&world).await, json!({})).await;
        let refused = browser.prove("/step-up", &mut others).await;
        assert!(
            refused.status == StatusCode::FORBIDDEN && refused.message().contains("another person"),
            "{}",
            refused.text
        );
        let done = browser.prove("/step-up", &mut passkey).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        let ben = json!({ "email": "ben@shop.example", "name": "Ben", "kind": "staff" });
        assert_eq!(browser.post("/api/v1/people", ben).await.status, StatusCode::CREATED);
    },
    database
);

on_both!(
    a_sign_in_opens_the_window_and_signing_out_everywhere_shuts_it,
    |database: TestDatabase| async move {
        let window = std::time::Duration::from_secs(3600);
        let settings = Settings { url: Some(ORIGIN), sign_in_window: window, ..Settings::default() };
        let world = World::with(database, settings).await;
        let way = invited(&world).await;
        world.device("anna@shop.example", "laptop", 1).await;
        let store = world.database.open_at(&world).await;
        let anna = async || {
            store.read().await.unwrap().person_by_email(&"anna@shop.example".parse().unwrap()).await.unwrap().unwrap()
        };
        let revision = async || store.read().await.unwrap().revision().await.unwrap().0;
        assert_eq!(anna().await.signed_in_until, None);
        let before = revision().await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&way, json!({})).await;
        let opened = anna().await;
        let (at, until) = (opened.signed_in_at.unwrap(), opened.signed_in_until.unwrap());
        assert_eq!(until.duration_since(at).as_secs(), 3600);
        assert_eq!(revision().await, before + 1, "gateways hear of it");
        let mut second = Browser::new(&world);
        second.prove("/sign-in", &mut passkey).await;
        assert!(anna().await.signed_in_until.unwrap() > until);
        assert!(browser.get("/security").await.text.contains("End it"));
        let out = browser.form("/security/sessions/end-all", &[]).await;
        assert_eq!(out.location(), "/sign-in");
        assert_eq!(second.get("/security").await.status, StatusCode::SEE_OTHER);
        assert_eq!((anna().await.signed_in_until, revision().await), (None, before + 3));
    },
    database
);

on_both!(
    one_manages_ones_own_credentials_and_keeps_a_way_in,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut browser = Browser::new(&world);
        browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let page = browser.get("/security").await;
        let id = page.field("id");
        let last = browser.form("/security/passkeys/remove", &[("id", &id)]).await;
        assert!(last.status == StatusCode::CONFLICT && last.text.contains("last thing"), "{}", last.text);
        let begun = browser.post("/security/passkeys/start", json!({})).await.json();
        assert_eq!(begun["options"]["publicKey"]["excludeCredentials"].as_array().map(Vec::len), Some(1));
        let (mut second, credential) = Authenticator::create(ORIGIN, &begun["options"]);
        let finished = json!({ "ceremony": begun["ceremony"], "credential": credential });
        assert_eq!(browser.post("/security/passkeys/finish", finished).await.status, StatusCode::OK);
        assert_eq!(browser.form("/security/passkeys/remove", &[("id", &id)]).await.location(), "/security");
        let weak = browser.form("/security/password", &[("password", "short"), ("repeated", "short")]).await;
        assert!(weak.text.contains("too short"), "{}", weak.text);
        let mut elsewhere = Browser::new(&world);
        assert_eq!(elsewhere.prove("/sign-in", &mut second).await.status, StatusCode::OK);
        let kept = browser.form("/security/password", &[("password", PASSWORD), ("repeated", PASSWORD)]).await;
        assert_eq!(kept.location(), "/security", "{}", kept.text);
        assert_eq!(elsewhere.get("/security").await.status, StatusCode::SEE_OTHER, "other sessions end with it");
        let page = browser.get("/security").await;
        let (secret, sealed) = (secret_on(&page), page.field("sealed"));
        let codes = browser.form("/security/totp", &[("sealed", &sealed), ("code", &code(&secret, -1))]).await;
        assert!(codes.status == StatusCode::OK && codes.text.contains("recovery codes"), "{}", codes.text);
        let mut other = Browser::new(&world);
        let now = code(&secret, 0);
        let done = other.form("/sign-in", &[("email", OWNER), ("password", PASSWORD), ("code", &now)]).await;
        assert_eq!(done.status, StatusCode::SEE_OTHER, "{}", done.text);
        // The seed is not in the database as it is.
        let store = world.database.open_at(&world).await;
        let mut read = store.read().await.unwrap();
        let owner = read.person_by_email(&OWNER.parse().unwrap()).await.unwrap().unwrap();
        let kept = read.totp_of(owner.id).await.unwrap().unwrap();
        let seed = totp_rs::Secret::try_from_base32(secret.replace(' ', "")).unwrap();
        assert!(!kept.sealed.windows(seed.as_bytes().len()).any(|window| window == seed.as_bytes()));
    },
    database
);

on_both!(
    an_admin_cannot_make_an_owners_link_or_become_one,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut owner_browser = Browser::new(&world);
        owner_browser.join_with_passkey(&owner_link(&world).await, owner()).await;
        let way = invited(&world).await;
        let store = world.database.open_at(&world).await;
        let mut tx = store.write().await.unwrap();
        let anna = tx.person_by_email(&"anna@shop.example".parse().unwrap()).await.unwrap().unwrap();
        tx.person_update(&doorward_domain::Principal { role: doorward_domain::Role::Admin, ..anna }).await.unwrap();
        tx.commit(entry(), Outbox::None).await.unwrap();
        let mut admin = Browser::new(&world);
        admin.join_with_passkey(&way, json!({})).await;
        for path in [format!("/api/v1/people/{OWNER}/invitation"), "/api/v1/owner/link".to_owned()] {
            let refused = admin.post(&path, json!({})).await;
            assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {}", refused.text);
        }
        let token = world.post("/api/v1/tokens", json!({ "name": "ci" })).await["token"].as_str().unwrap().to_owned();
        for path in [format!("/api/v1/people/{OWNER}/invitation"), "/api/v1/owner/link".to_owned()] {
            let (status, answer) = world.https(Method::POST, &path, Some(&token), json!({})).await;
            assert_eq!(status, StatusCode::FORBIDDEN, "{path}: {answer}");
        }
        assert_eq!(
            admin.post("/api/v1/people/anna@shop.example/invitation", json!({})).await.status,
            StatusCode::CREATED
        );
    },
    database
);
