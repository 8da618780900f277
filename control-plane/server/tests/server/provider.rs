//! Signing in through an identity provider, honest and not.

use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::browser::{Browser, ORIGIN, Reply, way};
use crate::fixtures::owner_link;
use crate::idp::{Idp, Sent};
use crate::world::{Settings, World, on_both};

pub(crate) const ANNA: &str = "anna@shop.example";

pub(crate) async fn with(idp: &Idp, database: TestDatabase) -> World {
    World::with(database, Settings { url: Some(ORIGIN), issuer: Some(idp.issuer()), ..Settings::default() }).await
}

pub(crate) async fn invited(world: &World, email: &str) -> String {
    world.post("/api/v1/people", json!({ "email": email, "name": "Somebody", "kind": "staff" })).await;
    way(&world.post(&format!("/api/v1/people/{email}/invitation"), Value::Null).await["url"])
}

/// Goes from a link's page to the provider.
pub(crate) async fn away_from_link(browser: &mut Browser<'_>, way: &str) -> Sent {
    let accepts = browser.get(way).await.field("accepts");
    let page = browser.form(&format!("{way}/provider"), &[("accepts", &accepts)]).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.text);
    let link = page.text.split("class=\"button\" href=\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap();
    Sent::of(&link.replace("&#38;", "&").replace("&amp;", "&"))
}

/// Goes from the sign-in page to the provider.
pub(crate) async fn away(browser: &mut Browser<'_>) -> Sent {
    let reply = browser.get("/sign-in/provider?next=%2Fsecurity").await;
    assert_eq!(reply.status, StatusCode::SEE_OTHER, "{}", reply.text);
    Sent::of(reply.location())
}

pub(crate) async fn back(browser: &mut Browser<'_>, idp: &Idp, sent: &Sent, claims: &Value) -> Reply {
    let code = idp.grant(sent, claims);
    browser.get(&sent.back(&code)).await
}

/// Joins through the provider, which vouches for a second factor.
pub(crate) async fn joined(world: &World, idp: &Idp, email: &str, subject: &str) {
    let way = invited(world, email).await;
    let mut browser = Browser::new(world);
    let sent = away_from_link(&mut browser, &way).await;
    let mut claims = idp.claims(&sent, subject);
    claims["amr"] = json!(["pwd", "mfa"]);
    let done = back(&mut browser, idp, &sent, &claims).await;
    assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/devices/new"), "{}", done.text);
    assert_eq!(browser.get(&way).await.status, StatusCode::FORBIDDEN, "the link is used up");
}

on_both!(
    who_joined_through_the_provider_signs_in_through_it,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        joined(&world, &idp, ANNA, "42").await;
        let mut browser = Browser::new(&world);
        let sent = away(&mut browser).await;
        let mut claims = idp.claims(&sent, "42");
        claims["amr"] = json!(["mfa"]);
        let done = back(&mut browser, &idp, &sent, &claims).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/security"), "{}", done.text);
        assert_eq!(browser.get("/security").await.status, StatusCode::OK);
        // The way back leads in once.
        let code = idp.grant(&sent, &claims);
        let again = browser.get(&sent.back(&code)).await;
        assert!(again.status == StatusCode::BAD_REQUEST && again.text.contains("begin again"), "{}", again.text);
        // Keys that the provider changes meanwhile are looked for.
        idp.rotate();
        let sent = away(&mut browser).await;
        let mut claims = idp.claims(&sent, "42");
        claims["amr"] = json!(["mfa"]);
        assert_eq!(back(&mut browser, &idp, &sent, &claims).await.status, StatusCode::SEE_OTHER);
    },
    database
);

on_both!(
    a_provider_with_one_factor_gets_a_passkey_on_top,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let world = with(&idp, database).await;
        let way = invited(&world, ANNA).await;
        let mut browser = Browser::new(&world);
        let sent = away_from_link(&mut browser, &way).await;
        let came = back(&mut browser, &idp, &sent, &idp.claims(&sent, "42")).await;
        assert_eq!((came.status, came.location()), (StatusCode::SEE_OTHER, way.as_str()), "{}", came.text);
        assert!(browser.cookie.is_none());
        let mut passkey = browser.join_with_passkey(&way, json!({})).await;
        browser.form("/sign-out", &[]).await;
        let sent = away(&mut browser).await;
        let came = back(&mut browser, &idp, &sent, &idp.claims(&sent, "42")).await;
        assert_eq!(came.location(), "/sign-in/provider/passkey", "{}", came.text);
        assert!(browser.cookie.is_none() && browser.get("/security").await.status == StatusCode::SEE_OTHER);
        // Another person's passkey is not the second factor of this one, and uses the moment up.
        let mut stranger = Browser::new(&world);
        let mut others: Authenticator =
            stranger.join_with_passkey(&invited(&world, "ben@shop.example").await, json!({})).await;
        let refused = browser.prove("/sign-in/provider", &mut others).await;
        assert!(refused.status == StatusCode::FORBIDDEN && browser.cookie.is_none(), "{}", refused.text);
        let sent = away(&mut browser).await;
        back(&mut browser, &idp, &sent, &idp.claims(&sent, "42")).await;
        let done = browser.prove("/sign-in/provider", &mut passkey).await;
        assert_eq!((done.status, done.json()["next"].as_str()), (StatusCode::OK, Some("/security")), "{}", done.text);
    },
    database
);

on_both!(
    where_the_provider_is_the_only_way_owners_alone_have_another,
    |database: TestDatabase| async move {
        let idp = Idp::start().await;
        let settings = Settings { url: Some(ORIGIN), issuer: Some(idp.issuer()), only: true, ..Settings::default() };
        let world = World::with(database, settings).await;
        let mut owner = Browser::new(&world);
        let mut passkey = owner
            .join_with_passkey(&owner_link(&world).await, json!({ "email": "owner@shop.example", "name": "Owner" }))
            .await;
        owner.form("/sign-out", &[]).await;
        let done = owner.prove("/sign-in", &mut passkey).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        // Who is invited gets no other way, neither on the page nor past it.
        let way = invited(&world, ANNA).await;
        let mut browser = Browser::new(&world);
        let page = browser.get(&way).await;
        assert!(page.text.contains("formaction") && !page.text.contains("Set up password"), "{}", page.text);
        let (_, refused) = browser.create_passkey(&way, json!({})).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
        assert!(refused.text.contains("you are still there") && browser.cookie.is_none(), "{}", refused.text);
        // The link still leads in, by way of the provider.
        let sent = away_from_link(&mut browser, &way).await;
        let mut claims = idp.claims(&sent, "42");
        claims["amr"] = json!(["mfa"]);
        let done = back(&mut browser, &idp, &sent, &claims).await;
        assert_eq!((done.status, done.location()), (StatusCode::SEE_OTHER, "/devices/new"), "{}", done.text);
        let page = Browser::new(&world).get("/sign-in").await;
        assert!(page.text.contains("Another way, for owners"), "{}", page.text);
    },
    database
);
