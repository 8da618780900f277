//! Every resource has a service address of its own, for its life and a while longer, on both engines.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::common::{World, entry, on_both, raw, t};
use doorward_domain::{Derived, LeaseTerms, Resource, derive_lease};
use doorward_model::{ResourceId, TunnelNetwork};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, Store, StoreError};
use uuid::Uuid;

on_both! {
    numbers_are_given_in_order_and_never_twice_by_two_replicas,
    an_address_is_not_given_again_while_another_is_free,
    a_used_up_range_says_so_and_an_address_rests_a_day,
    another_network_keeps_the_numbers_and_moves_the_addresses,
    a_database_of_the_first_release_gets_its_numbers_in_order_of_creation,
}

const DAY: i64 = 24 * 3600;

/// A network with three service addresses.
fn three() -> TunnelNetwork {
    TunnelNetwork::new("10.9.0.0/26".parse().unwrap(), "fd09::/64".parse().unwrap()).unwrap()
}

async fn add(store: &Store, name: &str, network: &TunnelNetwork, at: i64) -> Result<Resource, StoreError> {
    let resource = Resource {
        id: ResourceId::new(Uuid::now_v7()),
        name: name.parse().unwrap(),
        targets: vec!["db.shop.example".parse().unwrap()],
        allow: vec!["tcp/5432".parse().unwrap()],
        service_slot: None,
        owner: None,
        request_span_max: None,
        sign_in_window: None,
        created_at: t(at),
        removed_at: None,
    };
    let mut tx = store.write().await?;
    let added = tx.resource_add(&resource, network).await?;
    tx.commit(entry(at), Outbox::None).await?;
    Ok(added)
}

async fn remove(store: &Store, id: ResourceId, at: i64) {
    let mut tx = store.write().await.unwrap();
    tx.resource_remove(id, t(at)).await.unwrap();
    tx.commit(entry(at), Outbox::None).await.unwrap();
}

/// Makes the schema of the first release, and no more.
async fn first_release(database: &TestDatabase) {
    let is_sqlite = database.url().starts_with("sqlite:");
    let engine = if is_sqlite { "sqlite" } else { "postgres" };
    let first = format!("{}/migrations/{engine}/0001_first.sql", env!("CARGO_MANIFEST_DIR"));
    let folder = tempfile::tempdir().unwrap();
    std::fs::copy(first, folder.path().join("0001_first.sql")).unwrap();
    let migrator = sqlx::migrate::Migrator::new(folder.path()).await.unwrap();
    if is_sqlite {
        migrator.run(&mut crate::common::sqlite(database).await).await.unwrap();
    } else {
        migrator.run(&mut crate::common::postgres(database).await).await.unwrap();
    }
}

async fn numbers_are_given_in_order_and_never_twice_by_two_replicas(database: TestDatabase) {
    let replicas = [database.open().await.unwrap(), database.open().await.unwrap()];
    let tasks: Vec<_> = (0..20_usize)
        .map(|n| {
            let store = replicas[n % 2].clone();
            tokio::spawn(async move { add(&store, &format!("r{n}"), &TunnelNetwork::default(), 5).await.unwrap() })
        })
        .collect();
    let mut slots = BTreeSet::new();
    for task in tasks {
        let added = task.await.unwrap();
        assert!(slots.insert(added.service_slot.unwrap()), "an address was given twice");
        let read = replicas[0].read().await.unwrap().resource_by_name(&added.name).await.unwrap();
        assert_eq!(read, Some(added));
    }
    assert_eq!(slots, (0..20).collect());
}

async fn an_address_is_not_given_again_while_another_is_free(database: TestDatabase) {
    let store = database.open().await.unwrap();
    let first = add(&store, "first", &three(), 5).await.unwrap();
    remove(&store, first.id, 6).await;
    let second = add(&store, "second", &three(), 6 + 2 * DAY).await.unwrap();
    let third = add(&store, "third", &three(), 6 + 2 * DAY).await.unwrap();
    assert_eq!((second.service_slot, third.service_slot), (Some(1), Some(2)), "rested, and yet not given again");
    assert_eq!(add(&store, "first", &three(), 6 + 2 * DAY).await.unwrap().service_slot, Some(0), "the last one left");
}

async fn a_used_up_range_says_so_and_an_address_rests_a_day(database: TestDatabase) {
    let store = database.open().await.unwrap();
    let mut ids = Vec::new();
    for name in ["a", "b", "c"] {
        ids.push(add(&store, name, &three(), 5).await.unwrap().id);
    }
    let full = add(&store, "d", &three(), 6).await.unwrap_err();
    assert!(matches!(full, StoreError::ServicePoolFull { slots: 3, resting: 0 }), "{full:?}");
    remove(&store, ids[1], 10).await;
    remove(&store, ids[0], 20).await;
    let resting = add(&store, "d", &three(), 10 + DAY - 1).await.unwrap_err();
    assert!(matches!(resting, StoreError::ServicePoolFull { slots: 3, resting: 2 }), "{resting:?}");
    assert!(resting.to_string().contains("[network]"), "{resting}");
    assert_eq!(store.read().await.unwrap().resources().await.unwrap().len(), 1, "a refusal changes nothing");
    let longest_rested = add(&store, "d", &three(), 20 + DAY).await.unwrap();
    assert_eq!(longest_rested.service_slot, Some(1));
    remove(&store, longest_rested.id, 21 + DAY).await;
    assert_eq!(add(&store, "e", &three(), 22 + DAY).await.unwrap().service_slot, Some(0), "the other rests anew");
    let full = add(&store, "f", &three(), 23 + DAY).await.unwrap_err();
    assert!(matches!(full, StoreError::ServicePoolFull { slots: 3, resting: 1 }), "{full:?}");
}

async fn another_network_keeps_the_numbers_and_moves_the_addresses(database: TestDatabase) {
    let world = World::new(&database).await;
    let tiny = TunnelNetwork::new("10.9.0.0/30".parse().unwrap(), "fd09::/126".parse().unwrap()).unwrap();
    let without = add(&world.store, "db", &tiny, 5).await.unwrap();
    assert_eq!((without.service_slot, without.service(&tiny)), (Some(1), None));
    assert_eq!(without.service(&three()), three().service_address(1), "a larger network gives it an address");
    for network in [TunnelNetwork::default(), three()] {
        let subjects = world.store.read().await.unwrap().lease_subjects(&[world.laptop.id], t(5)).await.unwrap();
        let terms = LeaseTerms { network, sign_in_window: Duration::ZERO };
        let Derived::Lease(lease) = derive_lease(&subjects[0], &terms, t(5)) else { unreachable!("a lease") };
        assert_eq!(lease.rules[0].service, network.service_address(0));
    }
}

async fn a_database_of_the_first_release_gets_its_numbers_in_order_of_creation(database: TestDatabase) {
    first_release(&database).await;
    for (id, name, created_at, removed_at) in
        [(3_u128, "late", 30_i64, None), (2, "gone", 20, Some(25_i64)), (1, "early", 10, None), (4, "twin", 30, None)]
    {
        let sql = "INSERT INTO resources (id, name, targets, allowed, created_at, removed_at) \
                   VALUES ($1, $2, '[\"10.0.5.10\"]', '[\"tcp/443\"]', $3, $4)";
        raw!(&database, sql, Uuid::from_u128(id), name, created_at, removed_at);
    }
    let gateway = "INSERT INTO gateways (id, name, enrolled_at) VALUES ($1, 'main', 1)";
    raw!(&database, gateway, Uuid::from_u128(9));
    let store = database.open().await.unwrap();
    let mut tx = store.read().await.unwrap();
    let found = tx.resources_with_removed().await.unwrap();
    let found: Vec<_> = found.iter().map(|it| (it.name.as_str(), it.service_slot)).collect();
    assert_eq!(found, [("early", Some(0)), ("gone", None), ("late", Some(1)), ("twin", Some(2))]);
    let gateways = tx.gateways().await.unwrap();
    assert_eq!((gateways[0].resolver, gateways[0].ports.as_slice()), (false, [].as_slice()));
    drop(tx);
    assert_eq!(add(&store, "next", &TunnelNetwork::default(), 40).await.unwrap().service_slot, Some(3));
}
