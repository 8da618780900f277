//! A text of the access policy that has changed.

use std::time::Duration;

use doorward_store::test_support::TestDatabase;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};

use crate::browser::{Browser, ORIGIN};
use crate::fixtures::{OpenAt as _, invited};
use crate::gateway::Gateway;
use crate::world::{Settings, World, on_both};

const ANNA: &str = "anna@shop.example";

on_both!(
    another_policy_is_accepted_before_anything_opens,
    |database: TestDatabase| async move {
        let window = Duration::from_secs(3600);
        let settings = Settings { url: Some(ORIGIN), sign_in_window: window, ..Settings::default() };
        let world = World::with(database, settings).await;
        let way = invited(&world).await;
        world.device(ANNA, "laptop", 1).await;
        let mut browser = Browser::new(&world);
        let mut passkey = browser.join_with_passkey(&way, json!({})).await;
        let cookie = browser.cookie.clone();
        let world = world.restarted_with(Settings { policy: Some("Lock your screen.\n\nBe kind."), ..settings }).await;
        let store = world.database.open_at(&world).await;
        let anna = async || store.read().await.unwrap().person_by_email(&ANNA.parse().unwrap()).await.unwrap().unwrap();
        let before = anna().await;
        let mut gateway = Gateway::local(&world, "main").await;
        let shown = gateway.leases.values().next().unwrap().sign_in_until;
        assert!(shown.is_some() && shown == before.signed_in_until);

        // Whoever is at work goes on; the next sign-in asks.
        let mut old = Browser::new(&world);
        old.cookie = cookie;
        assert_eq!(old.get("/security").await.status, StatusCode::OK);
        let mut browser = Browser::new(&world);
        let done = browser.prove("/sign-in", &mut passkey).await;
        assert_eq!(done.json()["next"], "/policy?next=%2F", "{}", done.text);
        for path in ["/", "/security", "/devices/new", "/admin"] {
            let kept = browser.get(path).await;
            assert!(
                kept.status == StatusCode::SEE_OTHER && kept.location().starts_with("/sign-in"),
                "{path}: {kept:?}"
            );
        }
        assert_eq!(browser.get("/sign-in?next=%2Fsecurity").await.location(), "/policy?next=%2Fsecurity");
        let (status, _) = {
            let reply = browser.send(Method::GET, "/api/v1/requests", "application/json", String::new()).await;
            (reply.status, reply.text)
        };
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(anna().await, before, "no window has opened");

        let page = browser.get("/policy?next=%2Fsecurity").await;
        assert!(page.status == StatusCode::OK && page.text.contains("Lock your screen."), "{}", page.text);
        let version = page.field("accepts");
        for (fields, status) in
            [(vec![], StatusCode::BAD_REQUEST), (vec![("accepts", "another")], StatusCode::CONFLICT)]
        {
            let refused = browser.form("/policy", &fields).await;
            assert!(refused.status == status && refused.text.contains("accept"), "{}", refused.text);
        }
        assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER);
        let accepted = browser.form("/policy", &[("accepts", &version), ("next", "/security")]).await;
        assert_eq!((accepted.status, accepted.location()), (StatusCode::SEE_OTHER, "/security"), "{}", accepted.text);
        assert_eq!(browser.get("/security").await.status, StatusCode::OK);
        let after = anna().await;
        assert!(after.signed_in_until > before.signed_in_until && after.signed_in_at > before.signed_in_at);
        gateway.until(|it| it.leases.values().all(|lease| lease.sign_in_until == after.signed_in_until)).await;

        // Which text it was, and when, stays on record.
        let mut read = store.read().await.unwrap();
        let (last, at) = read.policy_accepted_last(after.id).await.unwrap().unwrap();
        assert!(last == version && Some(at) == after.signed_in_at);
        let (text, from) = read.policy_text(&version).await.unwrap().unwrap();
        assert!(text.contains("Be kind.") && from < at);
        drop(read);
        let tail = world.get("/api/v1/audit/tail?lines=1").await;
        assert_eq!(
            (&tail["rows"][0]["action"], &tail["rows"][0]["detail"]["version"]),
            (&json!("policy.accept"), &json!(version))
        );
        let mut third = Browser::new(&world);
        assert_eq!(third.prove("/sign-in", &mut passkey).await.json()["next"], "/", "once is enough");
    },
    database
);

on_both!(
    who_will_not_accept_signs_out,
    |database: TestDatabase| async move {
        let settings = Settings { url: Some(ORIGIN), ..Settings::default() };
        let world = World::with(database, settings).await;
        let way = invited(&world).await;
        let mut passkey = Browser::new(&world).join_with_passkey(&way, json!({})).await;
        let world = world.restarted_with(Settings { policy: Some("Another text."), ..settings }).await;
        let mut browser = Browser::new(&world);
        browser.prove("/sign-in", &mut passkey).await;
        let cookie = browser.cookie.clone();
        assert_eq!(browser.form("/sign-out", &[]).await.location(), "/sign-in");
        browser.cookie = cookie;
        assert!(browser.get("/policy").await.location().starts_with("/sign-in"), "the session has ended");
        let (status, _) = world.https(Method::GET, "/api/v1/status", Some("dwl1_none"), Value::Null).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
    },
    database
);
