//! A link for somebody who can sign in already: whoever opens it takes over what they are here.

use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::json;

use crate::browser::Browser;
use crate::fixtures::{invitation, invited, named, owner, owner_link};
use crate::world::on_both;

const ANNA: &str = "anna@shop.example";

on_both!(
    a_link_for_who_can_sign_in_signs_them_out_and_is_seen_by_all_admins,
    |database: TestDatabase| async move {
        let world = named(database).await;
        let mut admin = Browser::new(&world);
        admin.join_with_passkey(&owner_link(&world).await, owner()).await;
        let mut browser = Browser::new(&world);
        let first = invited(&world).await;
        let alerts = async || world.get("/api/v1/status").await["alerts"].to_string();
        assert!(!alerts().await.contains("invited_again"), "a first invitation is no alert");
        let mut passkey = browser.join_with_passkey(&first, json!({})).await;

        let made = admin.post(&format!("/api/v1/people/{ANNA}/invitation"), json!({})).await;
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.text);
        let warning = made.json()["warnings"].to_string();
        assert!(warning.contains("can sign in already") && warning.contains("nobody else"), "{warning}");
        assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER, "their sessions end");
        let told = alerts().await;
        assert!(told.contains("invited_again") && told.contains("person:owner@shop.example"), "{told}");
        let row = &world.get("/api/v1/audit/tail?lines=1").await["rows"][0];
        assert_eq!(
            (&row["action"], &row["detail"]["again"], &row["detail"]["sessions_ended"]),
            (&json!("person.invite"), &json!(true), &json!(1))
        );

        // What they sign in with counts until the link is used.
        assert_eq!(browser.prove("/sign-in", &mut passkey).await.status, StatusCode::OK);
        assert_eq!(browser.get("/security").await.status, StatusCode::OK);
        let link = invitation(&world, ANNA).await;
        assert_eq!(browser.prove("/sign-in", &mut passkey).await.status, StatusCode::OK);
        let mut taken = Browser::new(&world);
        let mut other = taken.join_with_passkey(&link, json!({})).await;
        assert_eq!(browser.get("/security").await.status, StatusCode::SEE_OTHER);
        assert_eq!(browser.prove("/sign-in", &mut passkey).await.status, StatusCode::UNAUTHORIZED);
        assert_eq!(browser.prove("/sign-in", &mut other).await.status, StatusCode::OK);
    },
    database
);
