//! Addresses, keys and names: nothing is anybody else's while it could be mistaken for theirs.

use std::collections::BTreeSet;

use crate::common::{World, entry, key, on_both, said, t};
use doorward_domain::offboard;
use doorward_model::{EndReason, GatewayId, TunnelNetwork};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, StoreError};
use uuid::Uuid;

on_both! {
    fifty_devices_added_at_once_by_two_replicas_never_share_an_address,
    an_address_rests_a_day_and_the_lowest_free_one_is_taken,
    a_full_pool_says_so_and_changes_nothing,
    a_key_is_used_once_for_ever,
    an_address_stays_the_departed_persons,
    names_come_back_when_what_had_them_is_gone,
}

async fn fifty_devices_added_at_once_by_two_replicas_never_share_an_address(database: TestDatabase) {
    let world = World::new(&database).await;
    let replicas = [world.store.clone(), database.open().await.unwrap()];
    let tasks: Vec<_> = (0..50u8)
        .map(|n| {
            let (store, new) = (replicas[usize::from(n % 2)].clone(), world.new_device(n + 100, 5));
            tokio::spawn(async move {
                let mut tx = store.write().await.unwrap();
                let device = tx.device_add(&new, &TunnelNetwork::default()).await.unwrap();
                tx.commit(entry(5), Outbox::Devices(vec![device.id])).await.unwrap();
                device.slot
            })
        })
        .collect();
    let mut slots = BTreeSet::from([world.laptop.slot]);
    for task in tasks {
        assert!(slots.insert(task.await.unwrap()), "an address was given twice");
    }
    assert_eq!(slots, (0..51).collect(), "the lowest free addresses are taken");
}

async fn an_address_rests_a_day_and_the_lowest_free_one_is_taken(database: TestDatabase) {
    let world = World::new(&database).await;
    let day = 24 * 3600;
    let phone = world.device(1, 5).await;
    world.revoke(world.laptop.id, 10).await;
    assert_eq!(world.device(2, 10 + day - 1).await.slot, phone.slot + 1, "the address still rests");
    assert_eq!(world.device(3, 10 + day).await.slot, world.laptop.slot, "the address has rested");
    world.revoke(world.laptop.id, 10 + day).await;
    assert_eq!(world.device(4, 10 + day).await.slot, phone.slot + 2, "revoking twice does not free it again");
}

async fn a_full_pool_says_so_and_changes_nothing(database: TestDatabase) {
    let world = World::new(&database).await;
    let network = TunnelNetwork::new("10.9.0.0/29".parse().unwrap(), "fd00::/125".parse().unwrap()).unwrap();
    let mut tx = world.store.write().await.unwrap();
    for n in 1..5 {
        tx.device_add(&world.new_device(n, 5), &network).await.unwrap();
    }
    tx.device_revoke(world.laptop.id, EndReason::DeviceRevoked, t(6)).await.unwrap();
    let full = tx.device_add(&world.new_device(5, 7), &network).await.unwrap_err();
    assert!(matches!(full, StoreError::PoolFull { slots: 5, resting: 1 }), "{full}");
    assert_eq!(tx.counts(t(7)).await.unwrap().devices, 4);
}

async fn a_key_is_used_once_for_ever(database: TestDatabase) {
    let world = World::new(&database).await;
    world.revoke(world.laptop.id, 10).await;
    let mut tx = world.store.write().await.unwrap();
    let again = doorward_domain::NewDevice {
        public_key: world.laptop.public_key,
        principal: world.staff.id,
        ..world.new_device(7, 11)
    };
    let conflict = tx.device_add(&again, &TunnelNetwork::default()).await.unwrap_err();
    assert!(
        matches!(&conflict, StoreError::Conflict { what } if what.contains("dba@agency.example") && what.contains("revoked")),
        "{conflict}"
    );

    let main = tx.gateway_local(GatewayId::new(Uuid::now_v7()), &"main".parse().unwrap(), t(1)).await.unwrap();
    tx.gateway_hello(main.id, &said(key(200), "0.1.0"), t(1)).await.unwrap();
    tx.gateway_hello(main.id, &said(key(200), "0.1.1"), t(2)).await.unwrap();
    let known = tx.gateway_by_name(&main.name).await.unwrap().unwrap();
    assert!(said(key(200), "0.1.1").is_known(&known) && !said(key(200), "0.1.0").is_known(&known), "{known:?}");
    let gateways = doorward_domain::NewDevice { public_key: key(200), ..world.new_device(8, 11) };
    let conflict = tx.device_add(&gateways, &TunnelNetwork::default()).await.unwrap_err();
    assert!(matches!(&conflict, StoreError::Conflict { what } if what.contains("gateway main")), "{conflict}");
    let conflict = tx.gateway_hello(main.id, &said(world.laptop.public_key, "0.1.0"), t(3)).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
}

async fn an_address_stays_the_departed_persons(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    tx.effect_apply(&offboard(&world.contractor, &[], &[], t(5)), t(5)).await.unwrap();
    let conflict = tx.person_add(&world.person("dba@agency.example")).await.unwrap_err();
    assert!(
        matches!(&conflict, StoreError::Conflict { what } if what.contains("doorward person restore dba@agency.example")),
        "{conflict}"
    );
}

async fn names_come_back_when_what_had_them_is_gone(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    let twin = doorward_domain::Resource { id: doorward_model::ResourceId::new(Uuid::now_v7()), ..world.panel.clone() };
    assert!(matches!(
        tx.resource_add(&twin, &TunnelNetwork::default()).await.unwrap_err(),
        StoreError::Conflict { .. }
    ));
    tx.resource_remove(world.panel.id, t(5)).await.unwrap();
    let twin = tx.resource_add(&twin, &TunnelNetwork::default()).await.unwrap();
    assert_eq!(tx.resources().await.unwrap(), [twin]);
    assert!(matches!(tx.resource_remove(world.panel.id, t(6)).await.unwrap_err(), StoreError::NotFound { .. }));

    let twin = doorward_domain::NewDevice { name: world.laptop.name.clone(), ..world.new_device(7, 5) };
    assert!(matches!(tx.device_add(&twin, &TunnelNetwork::default()).await.unwrap_err(), StoreError::Conflict { .. }));
    tx.device_revoke(world.laptop.id, EndReason::DeviceRevoked, t(5)).await.unwrap();
    tx.device_add(&twin, &TunnelNetwork::default()).await.unwrap();
}
