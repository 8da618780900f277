//! What nobody uses any more, on both engines.

use doorward_domain::Role;
use doorward_model::Timestamp;
use doorward_store::Outbox;
use doorward_store::test_support::TestDatabase;

use crate::common::{World, entry, on_both, t};

on_both! {
    a_use_counts_to_the_hour_for_the_device_and_the_person,
}

async fn a_use_counts_to_the_hour_for_the_device_and_the_person(database: TestDatabase) {
    let world = World::new(&database).await;
    let (laptop, store) = (world.laptop.id, &world.store);
    let unused = async |since: Timestamp| {
        let devices = store.read().await.unwrap().devices_unused(since).await.unwrap();
        devices.iter().any(|device| device.id == laptop)
    };
    let inactive = async |since: Timestamp| {
        let people = store.read().await.unwrap().people_inactive(since).await.unwrap();
        people.iter().any(|person| person.id == world.contractor.id)
    };
    assert!(unused(t(500_000)).await && inactive(t(500_000)).await);
    store.devices_used(&[(laptop, t(100_000))]).await.unwrap();
    assert!(!unused(t(100_000)).await && unused(t(100_001)).await);
    assert!(!inactive(t(100_000)).await && inactive(t(100_001)).await);
    store.devices_used(&[(laptop, t(103_599))]).await.unwrap();
    assert!(unused(t(100_001)).await, "within the hour nothing is written");
    store.devices_used(&[(laptop, t(103_601)), (laptop, t(50_000))]).await.unwrap();
    assert!(!unused(t(103_601)).await, "and nothing goes back");

    let mut tx = store.write().await.unwrap();
    let signed_in = doorward_domain::Principal { signed_in_at: Some(t(200_000)), ..world.contractor.clone() };
    tx.person_update(&signed_in).await.unwrap();
    tx.commit(entry(2), Outbox::None).await.unwrap();
    assert!(!inactive(t(200_000)).await && inactive(t(200_001)).await);
    let mut tx = store.write().await.unwrap();
    tx.person_update(&doorward_domain::Principal { role: Role::Owner, ..signed_in }).await.unwrap();
    tx.commit(entry(3), Outbox::None).await.unwrap();
    assert!(!inactive(t(500_000)).await, "an owner is never among them");
}
