//! What a job takes away is followed like what a person takes away: a gateway that does not confirm it is named.

use std::time::Duration;

use doorward_control_plane::DirectoryTerms;
use doorward_store::test_support::TestDatabase;
use hyper::StatusCode;
use serde_json::{Value, json};

use crate::gateway::{Gateway, eventually};
use crate::scim_client::Scim;
use crate::world::{Settings, World, on_both, public_key};

/// Waits for a row of the audit, and then for an alert that names the gateway: nothing else was taken away.
async fn missed(world: &World, action: &str) {
    let rows = async || world.get("/api/v1/audit/tail?lines=50").await["rows"].as_array().unwrap().clone();
    eventually(async || rows().await.iter().any(|row| row["action"] == action).then_some(())).await;
    let alerts = async || world.get("/api/v1/status").await["alerts"].as_array().unwrap().clone();
    let missing = |alert: &Value| alert["kind"] == "receipt_missing" && alert["gateway"] == "main";
    eventually(async || alerts().await.iter().any(missing).then_some(())).await;
}

on_both!(a_device_whose_time_is_over_is_missed_by_name_where_no_receipt_comes, |world: World| async move {
    world.furnish().await;
    let short = json!({ "email": "support@shop.example", "name": "kiosk", "public_key": public_key(9), "for": "1s" });
    world.post("/api/v1/devices", short).await;
    let _deaf = Gateway::local(&world, "main").await;
    missed(&world, "device.end").await;
});

on_both!(a_contractor_whose_time_is_over_is_missed_by_name_where_no_receipt_comes, |world: World| async move {
    world.furnish().await;
    let contractor = json!({
        "email": "c@agency.example", "name": "C", "kind": "contractor", "sponsor": "support@shop.example", "until": "2s",
    });
    world.post("/api/v1/people", contractor).await;
    world.device("c@agency.example", "laptop", 9).await;
    let _deaf = Gateway::local(&world, "main").await;
    missed(&world, "person.end").await;
});

on_both!(
    a_departure_after_the_cooling_period_is_missed_by_name_where_no_receipt_comes,
    |database: TestDatabase| async move {
        let directory = DirectoryTerms { cooling: Duration::from_secs(3), ..DirectoryTerms::default() };
        let world = World::with(database, Settings { directory, ..Settings::default() }).await;
        let scim = Scim::new(&world, "okta").await;
        let id = scim.user("anna@shop.example").await;
        world.device("anna@shop.example", "laptop", 1).await;
        let mut gateway = Gateway::local(&world, "main").await;
        assert_eq!(gateway.leases.len(), 1);
        scim.set_active(&id, false).await.expect(StatusCode::OK.as_u16());
        // The suspension is confirmed; the departure will not be.
        gateway.until(|gateway| gateway.leases.is_empty()).await;
        gateway.confirm(Vec::new()).await;
        missed(&world, "person.offboard").await;
    },
    database
);

on_both!(whoever_takes_away_what_is_taken_already_hears_of_it_when_gateways_do, |world: World| async move {
    world.furnish().await;
    let mut gateway = Gateway::local(&world, "main").await;
    let offboard = || world.post("/api/v1/people/support@shop.example/offboard", json!({}));
    let confirming = async {
        gateway.until(|gateway| gateway.leases.is_empty()).await;
        let rows = async || world.get("/api/v1/audit/tail?lines=50").await["rows"].as_array().unwrap().clone();
        let twice = async || rows().await.iter().filter(|row| row["action"] == "person.offboard").count() == 2;
        eventually(async || twice().await.then_some(())).await;
        gateway.confirm(Vec::new()).await;
    };
    let ((first, second), ()) = tokio::join!(async { tokio::join!(offboard(), offboard()) }, confirming);
    for outcome in [&first, &second] {
        assert!(outcome["receipts"][0]["enforced_after_ms"].is_u64(), "{first} {second}");
    }
    // Once everything is confirmed there is nothing to wait for.
    assert_eq!(offboard().await["receipts"], json!([]));
});
