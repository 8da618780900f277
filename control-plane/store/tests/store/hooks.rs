//! Webhooks on both engines: secrets, messages, and people of whom several sources speak.

use doorward_domain::{Account, DeliveryId, EndedBy, Profile, Source, SourceKind, offboard};
use doorward_model::{AccountId, SourceId, Timestamp};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Delivery, HookSecret, Outbox};
use uuid::Uuid;

use crate::common::{World, entry, on_both, t};

on_both! {
    a_secret_is_kept_until_it_is_revoked,
    a_message_counts_once,
    several_sources_speak_of_one_person_and_one_manages_them,
}

fn source(name: &str, kind: SourceKind) -> Source {
    let name = name.parse().unwrap();
    Source {
        id: SourceId::new(Uuid::now_v7()),
        name,
        kind,
        created_at: t(1),
        brake_since: None,
        brake_cleared_at: None,
    }
}

async fn with_hook(world: &World) -> Source {
    let hook = source("hr", SourceKind::Hook);
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&hook).await.unwrap();
    assert_eq!(tx.source(hook.id).await.unwrap().as_ref(), Some(&hook));
    tx.commit(entry(1), Outbox::None).await.unwrap();
    hook
}

async fn a_secret_is_kept_until_it_is_revoked(database: TestDatabase) {
    let world = World::new(&database).await;
    let hook = with_hook(&world).await;
    let secret = |n: u8| HookSecret {
        id: Uuid::from_u128(n.into()),
        sealed: vec![n; 60],
        created_at: t(n.into()),
        created_by: "local:0".to_owned(),
        last_used_at: None,
    };
    let mut tx = world.store.write().await.unwrap();
    for n in 2..=3 {
        tx.hook_secret_add(hook.id, &secret(n)).await.unwrap();
    }
    tx.commit(entry(3), Outbox::None).await.unwrap();
    world.store.hook_secret_used(secret(3).id, t(7)).await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    let used = HookSecret { last_used_at: Some(t(7)), ..secret(3) };
    assert_eq!(tx.hook_secrets(hook.id).await.unwrap(), [secret(2), used.clone()]);
    assert_eq!(tx.hook_secrets_revoke(hook.id, t(3), t(8)).await.unwrap(), 1);
    assert_eq!(tx.hook_secrets(hook.id).await.unwrap(), [used]);
    assert_eq!(tx.hook_secrets_revoke(hook.id, Timestamp::MAX, t(9)).await.unwrap(), 1);
    assert_eq!(tx.hook_secrets(hook.id).await.unwrap(), []);
    tx.commit(entry(9), Outbox::None).await.unwrap();
}

async fn a_message_counts_once(database: TestDatabase) {
    let world = World::new(&database).await;
    let hook = with_hook(&world).await;
    let (one, other) = (DeliveryId([1; 32]), DeliveryId([2; 32]));
    let day = 24 * 3600;
    let begin = |delivery, at| world.store.hook_delivery_begin(hook.id, delivery, t(at));
    assert_eq!(begin(&one, 5).await.unwrap(), Delivery::New);
    assert_eq!(begin(&one, 6).await.unwrap(), Delivery::Unfinished);
    assert_eq!(begin(&other, day).await.unwrap(), Delivery::New);
    world.store.hook_delivery_done(hook.id, &one, t(7)).await.unwrap();
    assert_eq!(begin(&one, 8).await.unwrap(), Delivery::Done);
    world.store.prune(t(day + 6)).await.unwrap();
    assert_eq!(begin(&one, day + 6).await.unwrap(), Delivery::New, "after a day it is forgotten");
    assert_eq!(begin(&other, day + 6).await.unwrap(), Delivery::Unfinished);
}

async fn several_sources_speak_of_one_person_and_one_manages_them(database: TestDatabase) {
    let world = World::new(&database).await;
    let hook = with_hook(&world).await;
    let okta = source("okta", SourceKind::Scim);
    let account = |source: &Source| Account {
        id: AccountId::new(Uuid::now_v7()),
        source: source.id,
        principal: world.staff.id,
        external_id: None,
        user_name: world.staff.email.to_string(),
        profile: Profile::default(),
        suspended_at: None,
        held_at: None,
        by_hand_at: Some(t(4)),
        reactivated_at: None,
        deleted_at: None,
        created_at: t(1),
        changed_at: t(1),
    };
    let (of_hook, of_okta) = (account(&hook), account(&okta));
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&okta).await.unwrap();
    tx.account_add(&of_hook).await.unwrap();
    assert_eq!(tx.account_of(world.staff.id).await.unwrap(), None, "a webhook manages nobody");
    tx.account_add(&of_okta).await.unwrap();
    assert!(tx.account_add(&account(&hook)).await.is_err(), "one account at each source");
    assert_eq!(tx.account_of(world.staff.id).await.unwrap().as_ref(), Some(&of_okta));
    assert_eq!(tx.accounts_of(world.staff.id).await.unwrap(), [of_hook.clone(), of_okta]);
    // The webhook puts them out: for the directory that is as done by hand, and it cannot take them back.
    tx.account_end(of_hook.id, EndedBy::Source, t(9)).await.unwrap();
    tx.effect_apply(&offboard(&world.staff, &[], &[], t(9)), t(9)).await.unwrap();
    assert_eq!(tx.accounts_of(world.staff.id).await.unwrap(), []);
    assert_eq!(tx.account_ended(world.staff.id).await.unwrap(), Some((okta.id, EndedBy::Hand)));
    assert_eq!(tx.burst(hook.id, t(2)).await.unwrap().disabled, 1);
    tx.commit(entry(9), Outbox::None).await.unwrap();
}
