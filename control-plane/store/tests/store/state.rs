//! What the store promises, on SQLite and on a real PostgreSQL alike.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use crate::common::{World, entry, key, on_both, raw, t};
use doorward_domain::{
    Alert, AlertKind, ApiToken, ChainHead, Derived, EnrolmentRefusal, Introduction, LeaseTerms, LockdownState,
    PrincipalState, Receipt, TokenHash, derive_lease, offboard, restore, suspend, verify_chain,
};
use doorward_model::{
    DecisionId, DeviceId, EndReason, GatewayEventKind, GatewayId, Lockdown, PublicKey, Revision, TunnelNetwork,
};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Mark, Outbox, Store, StoreError};
use uuid::Uuid;

on_both! {
    what_is_written_reads_back_the_same,
    a_change_that_is_not_committed_leaves_nothing,
    every_commit_extends_the_chain_and_revisions_have_no_gap,
    fifty_devices_added_at_once_by_two_replicas_never_share_an_address,
    an_address_rests_a_day_and_the_lowest_free_one_is_taken,
    a_full_pool_says_so_and_changes_nothing,
    a_key_is_used_once_for_ever,
    an_address_stays_the_departed_persons,
    names_come_back_when_what_had_them_is_gone,
    offboarding_ends_everything_in_one_transaction,
    a_suspension_takes_all_access_and_gives_it_back,
    removing_a_resource_takes_back_its_grants,
    the_outbox_says_what_changed_or_that_everything_did,
    a_state_is_known_again_and_one_of_another_history_is_not,
    a_reader_sees_one_state_while_others_write,
    an_enrolment_token_counts_once_and_for_one_name,
    what_ended_by_time_is_found_until_it_is_recorded,
    observations_read_back,
    a_decision_is_written_once_and_nothing_overtakes_one_that_waits,
    a_database_of_a_newer_version_is_refused,
    ten_thousand_devices_are_read_in_well_under_a_second,
}

fn terms() -> LeaseTerms {
    LeaseTerms { network: TunnelNetwork::default(), sign_in_window: Duration::ZERO }
}

fn said(public_key: PublicKey, version: &str) -> Introduction {
    let (endpoint, version) = ("203.0.113.2:51820".to_owned(), version.to_owned());
    Introduction { public_key, endpoint, version, resolver: true, ports: vec![51820, 443] }
}

async fn derived(store: &Store, device: DeviceId, now: i64) -> Derived {
    let subjects = store.read().await.unwrap().lease_subjects(&[device], t(now)).await.unwrap();
    derive_lease(&subjects[0], &terms(), t(now))
}

fn rules(derived: &Derived) -> usize {
    match derived {
        Derived::Lease(lease) => lease.rules.len(),
        Derived::Ended(reason) => panic!("ended: {reason}"),
    }
}

async fn what_is_written_reads_back_the_same(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.read().await.unwrap();
    assert_eq!(tx.person_by_email(&world.staff.email).await.unwrap(), Some(world.staff.clone()));
    assert_eq!(tx.person(world.contractor.id).await.unwrap(), Some(world.contractor.clone()));
    assert_eq!(tx.people().await.unwrap(), [world.contractor.clone(), world.staff.clone()]);
    assert_eq!(tx.people_sponsored_by(world.staff.id).await.unwrap(), std::slice::from_ref(&world.contractor));
    assert_eq!(tx.device(world.laptop.id).await.unwrap(), Some(world.laptop.clone()));
    assert_eq!(tx.device_by_key(&world.laptop.public_key).await.unwrap(), Some(world.laptop.clone()));
    assert_eq!(tx.devices_of(world.contractor.id).await.unwrap(), std::slice::from_ref(&world.laptop));
    assert_eq!(tx.resource_by_name(&world.panel.name).await.unwrap(), Some(world.panel.clone()));
    let granted = tx.grants_of(world.contractor.id).await.unwrap();
    assert_eq!((&granted[0].grant, &*granted[0].resource), (&world.grant, &world.panel));
    assert_eq!(tx.grants_live(t(1)).await.unwrap(), granted);
    assert_eq!(tx.grants_live(world.grant.validity.not_after).await.unwrap(), []);
    let counts = tx.counts(t(1)).await.unwrap();
    assert_eq!((counts.people, counts.devices, counts.grants), (2, 1, 1));
}

async fn a_change_that_is_not_committed_leaves_nothing(database: TestDatabase) {
    let world = World::new(&database).await;
    let (head, revision) = {
        let mut tx = world.store.read().await.unwrap();
        (tx.audit_head().await.unwrap(), tx.revision().await.unwrap())
    };
    let mut tx = world.store.write().await.unwrap();
    tx.person_add(&world.person("gone@shop.example")).await.unwrap();
    tx.device_revoke(world.laptop.id, EndReason::DeviceRevoked, t(5)).await.unwrap();
    assert!(
        tx.person_by_email(&"gone@shop.example".parse().unwrap()).await.unwrap().is_some(),
        "a change reads its own writes"
    );
    drop(tx);
    let mut tx = world.store.read().await.unwrap();
    assert_eq!(tx.person_by_email(&"gone@shop.example".parse().unwrap()).await.unwrap(), None);
    assert_eq!(tx.device(world.laptop.id).await.unwrap(), Some(world.laptop.clone()));
    assert_eq!((tx.audit_head().await.unwrap(), tx.revision().await.unwrap()), (head, revision));
}

async fn every_commit_extends_the_chain_and_revisions_have_no_gap(database: TestDatabase) {
    let store = database.open().await.unwrap();
    let writers = (0..20).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            let outbox = if n % 2 == 0 { Outbox::Everything } else { Outbox::None };
            store.write().await.unwrap().commit(entry(n), outbox).await.unwrap()
        })
    });
    let mut committed = Vec::new();
    for writer in writers.collect::<Vec<_>>() {
        committed.push(writer.await.unwrap());
    }
    let revisions: BTreeSet<_> =
        committed.iter().filter(|one| one.gateways_concerned).map(|one| one.revision.0).collect();
    assert_eq!(revisions, (1..=10).collect());
    let mut tx = store.read().await.unwrap();
    let rows = tx.audit_after(0, 1000).await.unwrap();
    let head = verify_chain(ChainHead::START, &rows).unwrap();
    assert_eq!((head, head.seq), (tx.audit_head().await.unwrap(), 20));
    assert_eq!(tx.audit_tail(3).await.unwrap(), rows[17..]);
    assert_eq!(tx.last_recorded_at().await.unwrap(), Some(rows[19].at));
    assert!(
        !store.write().await.unwrap().commit(entry(20), Outbox::Devices(Vec::new())).await.unwrap().gateways_concerned
    );
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

async fn offboarding_ends_everything_in_one_transaction(database: TestDatabase) {
    let world = World::new(&database).await;
    assert_eq!(rules(&derived(&world.store, world.laptop.id, 5).await), 1);
    let mut tx = world.store.write().await.unwrap();
    let devices = tx.devices_of(world.contractor.id).await.unwrap();
    let grants: Vec<_> =
        tx.grants_of(world.contractor.id).await.unwrap().into_iter().map(|granted| granted.grant).collect();
    let effect = offboard(&world.contractor, &devices, &grants, t(5));
    tx.effect_apply(&effect, t(5)).await.unwrap();
    let committed = tx.commit(entry(5), Outbox::Devices(effect.devices_concerned)).await.unwrap();
    assert!(committed.gateways_concerned);

    assert_eq!(derived(&world.store, world.laptop.id, 6).await, Derived::Ended(EndReason::Offboarded));
    let mut tx = world.store.write().await.unwrap();
    assert_eq!(tx.lease_subjects_all(t(6)).await.unwrap(), []);
    let tombstones = tx.tombstones_since(t(5)).await.unwrap();
    assert_eq!(
        (tombstones[0].public_key, tombstones[0].reason, tombstones[0].ended_at),
        (world.laptop.public_key, EndReason::Offboarded, t(5))
    );
    assert_eq!(tx.tombstones_since(t(6)).await.unwrap(), []);

    let person = tx.person(world.contractor.id).await.unwrap().unwrap();
    assert_eq!(person.state, PrincipalState::Departed);
    tx.effect_apply(&restore(&person, &devices, t(7)).unwrap(), t(7)).await.unwrap();
    assert_eq!(tx.lease_subjects_all(t(7)).await.unwrap(), [], "the account alone comes back");
    assert_eq!(tx.grants_live(t(7)).await.unwrap(), []);
}

async fn a_suspension_takes_all_access_and_gives_it_back(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    let effect = suspend(&world.contractor, std::slice::from_ref(&world.laptop), t(5)).unwrap();
    tx.effect_apply(&effect, t(5)).await.unwrap();
    tx.commit(entry(5), Outbox::Devices(effect.devices_concerned)).await.unwrap();
    assert_eq!(derived(&world.store, world.laptop.id, 6).await, Derived::Ended(EndReason::Suspended));
    let mut tx = world.store.write().await.unwrap();
    tx.effect_apply(&restore(&effect.principal, std::slice::from_ref(&world.laptop), t(7)).unwrap(), t(7))
        .await
        .unwrap();
    tx.commit(entry(7), Outbox::Devices(vec![world.laptop.id])).await.unwrap();
    assert_eq!(rules(&derived(&world.store, world.laptop.id, 8).await), 1);
}

async fn removing_a_resource_takes_back_its_grants(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    let removed = tx.resource_remove(world.panel.id, t(5)).await.unwrap();
    assert_eq!((removed.grants, removed.devices.clone()), (vec![world.grant.id], vec![world.laptop.id]));
    tx.commit(entry(5), Outbox::Devices(removed.devices)).await.unwrap();
    assert_eq!(rules(&derived(&world.store, world.laptop.id, 6).await), 0);
}

async fn the_outbox_says_what_changed_or_that_everything_did(database: TestDatabase) {
    let world = World::new(&database).await;
    let base = world.store.read().await.unwrap().revision().await.unwrap();
    let devices: Vec<_> = (0..3).map(|n| DeviceId::new(Uuid::from_u128(n))).collect();
    let commit = async |outbox| world.store.write().await.unwrap().commit(entry(5), outbox).await.unwrap().revision;
    let first = commit(Outbox::Devices(vec![devices[0], devices[1], devices[1]])).await;
    let second = commit(Outbox::Devices(vec![devices[1], devices[2]])).await;
    assert_eq!((first, second), (Revision(base.0 + 1), Revision(base.0 + 2)));
    let since = async |revision| world.store.read().await.unwrap().outbox_since(revision).await.unwrap();
    let changes = since(base).await;
    assert_eq!((changes.revision, changes.everything, changes.lockdown), (second, false, false));
    assert_eq!(changes.devices, devices.iter().copied().collect());
    assert_eq!(since(first).await.devices, devices[1..].iter().copied().collect());
    assert!(since(second).await.devices.is_empty());
    assert!(since(Revision(second.0 + 1)).await.everything, "a revision from another life of the database");
    let third = commit(Outbox::Lockdown).await;
    assert!(since(second).await.lockdown);
    let many = (0..1_001).map(|n| DeviceId::new(Uuid::from_u128(n))).collect();
    commit(Outbox::Devices(many)).await;
    assert!(since(third).await.everything);
}

async fn a_state_is_known_again_and_one_of_another_history_is_not(database: TestDatabase) {
    let world = World::new(&database).await;
    let commit = async |at| world.store.write().await.unwrap().commit(entry(at), Outbox::Everything).await.unwrap();
    let has = async |revision: u64, at| {
        let mark = Mark { revision: Revision(revision), at: t(at) };
        world.store.read().await.unwrap().has_been(mark).await.unwrap()
    };
    let first = commit(5).await.revision.0;
    commit(6).await;
    let latest = world.store.read().await.unwrap().mark().await.unwrap().unwrap();
    assert_eq!(latest, Mark { revision: Revision(first + 1), at: t(6) });
    assert!(has(first, 5).await && has(first + 1, 6).await);
    assert!(!has(first, 4).await, "the same revision of another moment");
    assert!(!has(first + 2, 7).await && !has(first + 20, 7).await, "a revision that is not here yet");
    let mut tx = world.store.write().await.unwrap();
    tx.revision_leap(Revision(first + 20)).await.unwrap();
    let leapt = tx.commit(entry(8), Outbox::Everything).await.unwrap().revision;
    assert!(leapt > Revision(first + 20));
    assert!(has(first + 2, 7).await && has(first + 20, 7).await, "left behind on purpose");
    assert!(has(first + 1, 6).await && !has(leapt.0 + 1, 9).await && !has(leapt.0, 9).await);
    let changes = world.store.read().await.unwrap().outbox_since(Revision(first + 1)).await.unwrap();
    assert!(changes.everything, "a leap is everything");
}

async fn a_reader_sees_one_state_while_others_write(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut reader = world.store.read().await.unwrap();
    let revision = reader.revision().await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    let locked = LockdownState::set(Lockdown::On, None, Some("a breach".parse().unwrap()), "local:0".to_owned(), t(5));
    tx.lockdown_set(&locked).await.unwrap();
    tx.device_revoke(world.laptop.id, EndReason::DeviceRevoked, t(5)).await.unwrap();
    tx.commit(entry(5), Outbox::Everything).await.unwrap();
    assert_eq!(reader.revision().await.unwrap(), revision);
    assert_eq!(reader.lockdown().await.unwrap().state, Lockdown::Off);
    assert_eq!(reader.lease_subjects_all(t(5)).await.unwrap().len(), 1);
    let mut later = world.store.read().await.unwrap();
    assert_eq!(later.revision().await.unwrap(), Revision(revision.0 + 1));
    assert_eq!(later.lockdown().await.unwrap(), locked);
}

async fn an_enrolment_token_counts_once_and_for_one_name(database: TestDatabase) {
    let store = database.open().await.unwrap();
    let (name, token, id) = ("branch".parse().unwrap(), TokenHash::of(b"a secret"), GatewayId::new(Uuid::now_v7()));
    let mut tx = store.write().await.unwrap();
    tx.enrolment_token_add(&token, &name, t(100), t(1)).await.unwrap();
    let refusal = |result: Result<_, StoreError>| match result {
        Err(StoreError::Enrolment(refusal)) => refusal,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("enrolled"),
    };
    assert_eq!(
        refusal(tx.gateway_enrol(id, &name, &TokenHash::of(b"another"), &[1; 32], t(2)).await),
        EnrolmentRefusal::Unknown
    );
    assert_eq!(
        refusal(tx.gateway_enrol(id, &"main".parse().unwrap(), &token, &[1; 32], t(2)).await),
        EnrolmentRefusal::OtherName
    );
    assert_eq!(refusal(tx.gateway_enrol(id, &name, &token, &[1; 32], t(100)).await), EnrolmentRefusal::Expired);
    let gateway = tx.gateway_enrol(id, &name, &token, &[1; 32], t(3)).await.unwrap();
    assert_eq!((gateway.id, gateway.certificate_sha256), (id, Some([1; 32])));
    assert_eq!(refusal(tx.gateway_enrol(id, &name, &token, &[2; 32], t(4)).await), EnrolmentRefusal::Used);
    tx.commit(entry(4), Outbox::None).await.unwrap();

    let mut tx = store.write().await.unwrap();
    let conflict = tx.gateway_local(GatewayId::new(Uuid::now_v7()), &name, t(5)).await.unwrap_err();
    assert!(matches!(conflict, StoreError::Conflict { .. }), "{conflict}");
    let second = TokenHash::of(b"a second secret");
    tx.enrolment_token_add(&second, &name, t(100), t(5)).await.unwrap();
    let again = tx.gateway_enrol(GatewayId::new(Uuid::now_v7()), &name, &second, &[3; 32], t(6)).await.unwrap();
    assert_eq!(
        (again.id, again.certificate_sha256),
        (id, Some([3; 32])),
        "the gateway stays, the old certificate goes"
    );
    tx.gateway_remove(&name, t(7)).await.unwrap();
    assert_eq!(tx.gateways().await.unwrap(), []);
    assert!(matches!(tx.gateway_remove(&name, t(8)).await.unwrap_err(), StoreError::NotFound { .. }));
    let gone = tx.gateway_hello(id, &said(key(9), "0.1.0"), t(8)).await.unwrap_err();
    assert!(matches!(gone, StoreError::NotFound { .. }), "{gone}");
}

async fn what_ended_by_time_is_found_until_it_is_recorded(database: TestDatabase) {
    let world = World::new(&database).await;
    let end = world.grant.validity.not_after;
    let mut tx = world.store.write().await.unwrap();
    let before = end.checked_sub(Duration::from_micros(1)).unwrap();
    assert_eq!(tx.grants_ended_unrecorded(before).await.unwrap(), []);
    assert_eq!(tx.grants_ended_unrecorded(end).await.unwrap()[0].grant.id, world.grant.id);
    tx.grant_end_recorded(world.grant.id, end).await.unwrap();
    assert_eq!(tx.grants_ended_unrecorded(end).await.unwrap(), []);

    let contract_end = world.contractor.not_after.unwrap();
    assert_eq!(tx.people_ended_unrecorded(contract_end).await.unwrap(), std::slice::from_ref(&world.contractor));
    tx.person_end_recorded(world.contractor.id, contract_end).await.unwrap();
    tx.person_update(&world.contractor).await.unwrap();
    assert_eq!(tx.people_ended_unrecorded(contract_end).await.unwrap(), []);
    let later = contract_end.checked_add(Duration::from_secs(60)).unwrap();
    let extended = doorward_domain::Principal { not_after: Some(later), ..world.contractor.clone() };
    tx.person_update(&extended).await.unwrap();
    assert_eq!(tx.people_ended_unrecorded(later).await.unwrap(), [extended], "a later end is recorded when it comes");

    let expiring = doorward_domain::NewDevice { not_after: Some(t(50)), ..world.new_device(9, 5) };
    tx.device_add(&expiring, &TunnelNetwork::default()).await.unwrap();
    assert_eq!(tx.devices_expired(t(49)).await.unwrap(), []);
    assert_eq!(tx.devices_expired(t(50)).await.unwrap().len(), 1);
    let revoked = tx.device_revoke(expiring.id, EndReason::DeviceExpired, t(50)).await.unwrap();
    assert_eq!(revoked.revoked.unwrap().reason, EndReason::DeviceExpired);
    assert_eq!(tx.devices_expired(t(50)).await.unwrap(), []);
}

async fn a_decision_is_written_once_and_nothing_overtakes_one_that_waits(database: TestDatabase) {
    let world = World::new(&database).await;
    let id = DecisionId::new(Uuid::now_v7());
    assert!(!world.store.read().await.unwrap().decision_is_written(id).await.unwrap());
    world.store.hold_back(true);
    assert!(matches!(world.store.write().await, Err(StoreError::HeldBack)));
    for is_new in [true, false] {
        let mut tx = world.store.write_held_back().await.unwrap();
        assert_eq!(tx.decision_add(id, t(1), t(2)).await.unwrap(), is_new);
        tx.commit(entry(2), Outbox::None).await.unwrap();
    }
    assert!(world.store.read().await.unwrap().decision_is_written(id).await.unwrap());
    world.store.hold_back(false);
    world.store.prune(t(3)).await.unwrap();
    assert!(world.store.read().await.unwrap().decision_is_written(id).await.unwrap(), "it is kept for a year");
    world.store.prune(t(400 * 24 * 3600)).await.unwrap();
    assert!(!world.store.read().await.unwrap().decision_is_written(id).await.unwrap());
}

async fn observations_read_back(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    let main = tx.gateway_local(GatewayId::new(Uuid::now_v7()), &"main".parse().unwrap(), t(1)).await.unwrap();
    let token =
        ApiToken { name: "ci".to_owned(), created_at: t(1), created_by: "local:0".to_owned(), last_used_at: None };
    tx.api_token_add(&TokenHash::of(b"x"), &token).await.unwrap();
    assert!(matches!(tx.api_token_add(&TokenHash::of(b"y"), &token).await.unwrap_err(), StoreError::Conflict { .. }));
    let revision = tx.commit(entry(2), Outbox::Everything).await.unwrap().revision;
    let receipt = Receipt {
        gateway: main.id,
        gateway_name: main.name.clone(),
        revision,
        decided_at: t(2),
        enforced_at: t(3),
        enforced_after_ms: Some(7),
        last_packets: vec![(world.laptop.id, Some(40)), (world.laptop.id, None)],
    };
    world.store.receipt_record(&receipt).await.unwrap();
    world.store.receipt_record(&Receipt { enforced_after_ms: Some(9_999), ..receipt.clone() }).await.unwrap();
    let alert = Alert {
        at: t(4),
        kind: AlertKind::Gateway(GatewayEventKind::RevokedKeyKnocked),
        gateway: Some(main.name.clone()),
        device: Some(world.laptop.id),
        email: Some(world.contractor.email.clone()),
        source: Some("198.51.100.7:4711".parse().unwrap()),
        message: "the revoked laptop of dba@agency.example knocked".to_owned(),
        count: 3,
    };
    world.store.alerts_record(std::slice::from_ref(&alert)).await.unwrap();
    world.store.api_token_used(&TokenHash::of(b"x"), t(5)).await.unwrap();
    world.store.prune(t(6)).await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    assert_eq!(tx.receipts_for(revision).await.unwrap(), std::slice::from_ref(&receipt));
    assert_eq!(tx.receipts_recent(10).await.unwrap(), [receipt]);
    assert_eq!(tx.decided_at(revision).await.unwrap(), Some(t(2)));
    assert_eq!(tx.gateways().await.unwrap()[0].revision, Some(revision));
    assert_eq!(tx.alerts_recent(10).await.unwrap(), [alert]);
    assert_eq!(
        tx.api_token(&TokenHash::of(b"x"), t(9)).await.unwrap(),
        Some(ApiToken { last_used_at: Some(t(5)), ..token })
    );
    assert_eq!(tx.api_token(&TokenHash::of(b"y"), t(9)).await.unwrap(), None);
    tx.api_token_revoke("ci", t(7)).await.unwrap();
    assert_eq!(tx.api_token(&TokenHash::of(b"x"), t(9)).await.unwrap(), None);
    assert!(matches!(tx.api_token_revoke("ci", t(8)).await.unwrap_err(), StoreError::NotFound { .. }));
    drop(tx);
    world.store.prune(t(200 * 24 * 3600)).await.unwrap();
    let mut tx = world.store.read().await.unwrap();
    assert_eq!(tx.alerts_recent(10).await.unwrap(), []);
    assert_eq!(tx.receipts_recent(10).await.unwrap().len(), 1, "receipts are kept for a year");
}

async fn a_database_of_a_newer_version_is_refused(database: TestDatabase) {
    database.open().await.unwrap().close().await;
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    raw!(&database, later);
    if database.url().starts_with("postgres:") {
        raw!(&database, "UPDATE schema_floor SET version = 9999");
    }
    let refusal = database.open().await.unwrap_err();
    assert!(matches!(refusal, StoreError::NewerSchema { found: 9_999, .. }), "{refusal}");
}

async fn ten_thousand_devices_are_read_in_well_under_a_second(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    let mut ids = Vec::new();
    for n in 0..10_000_u128 {
        let id = DeviceId::new(Uuid::from_u128(n + 1));
        let mut bytes = [7; 32];
        bytes[..16].copy_from_slice(&n.to_le_bytes());
        let new = doorward_domain::NewDevice {
            id,
            name: format!("device{n}").parse().unwrap(),
            public_key: PublicKey::from_bytes(bytes).unwrap(),
            ..world.new_device(0, 5)
        };
        tx.device_add(&new, &TunnelNetwork::default()).await.unwrap();
        ids.push(id);
    }
    tx.commit(entry(5), Outbox::Everything).await.unwrap();
    let mut tx = world.store.read().await.unwrap();
    let begun = Instant::now();
    assert_eq!(tx.lease_subjects_all(t(6)).await.unwrap().len(), 10_001);
    let all = begun.elapsed();
    let begun = Instant::now();
    assert_eq!(tx.lease_subjects(&ids, t(6)).await.unwrap().len(), 10_000);
    let chosen = begun.elapsed();
    // Ten times what an idle machine takes, and still a bound that a query for each device would break.
    assert!(all < Duration::from_secs(1) && chosen < Duration::from_secs(2), "all: {all:?}, by id: {chosen:?}");
}
