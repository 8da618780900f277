//! Directories, their tokens, accounts and groups on both engines.

use doorward_domain::{
    Account, ApiToken, EndedBy, Group, Mail, Profile, Source, SourceGroup, SourceToken, TokenHash, offboard,
};
use doorward_model::{AccountId, GroupId, SourceId, Timestamp};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Outbox, StoreError};
use uuid::Uuid;

use crate::common::{World, entry, on_both, t};

on_both! {
    a_source_has_tokens_that_end,
    an_account_is_kept_as_sent_and_found_by_what_it_has,
    a_burst_is_counted_and_what_ended_counts_too,
    a_source_sees_the_members_that_are_its_own,
}

fn source(name: &str) -> Source {
    Source {
        id: SourceId::new(Uuid::now_v7()),
        name: name.parse().unwrap(),
        created_at: t(1),
        brake_since: None,
        brake_cleared_at: None,
    }
}

fn account(source: &Source, person: &doorward_domain::Principal, user_name: &str) -> Account {
    Account {
        id: AccountId::new(Uuid::now_v7()),
        source: source.id,
        principal: person.id,
        external_id: Some("00u1".to_owned()),
        user_name: user_name.to_owned(),
        profile: Profile {
            family_name: Some("Ångström".to_owned()),
            emails: vec![Mail { value: "a@b.example".to_owned(), kind: None, primary: Some(true) }],
            ..Profile::default()
        },
        suspended_at: None,
        held_at: None,
        by_hand_at: None,
        reactivated_at: None,
        deleted_at: None,
        created_at: t(1),
        changed_at: t(1),
    }
}

async fn a_source_has_tokens_that_end(database: TestDatabase) {
    let world = World::new(&database).await;
    let okta = source("okta");
    let hash = |n: u8| TokenHash([n; 32]);
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&okta).await.unwrap();
    for n in 1..=2 {
        let token = SourceToken { created_at: t(i64::from(n)), created_by: "local:0".to_owned(), last_used_at: None };
        tx.source_token_add(okta.id, &hash(n), &token).await.unwrap();
    }
    tx.commit(entry(2), Outbox::None).await.unwrap();
    world.store.source_token_used(&hash(2), t(7)).await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    let (found, token) = tx.source_of_token(&hash(2)).await.unwrap().unwrap();
    assert_eq!((found, token.last_used_at), (okta.clone(), Some(t(7))));
    assert_eq!(tx.source_tokens_revoke(okta.id, t(2), t(8)).await.unwrap(), 1);
    assert!(tx.source_of_token(&hash(1)).await.unwrap().is_none());
    assert_eq!(tx.source_tokens(okta.id).await.unwrap().len(), 1);
    assert_eq!(tx.source_tokens_revoke(okta.id, Timestamp::MAX, t(9)).await.unwrap(), 1);
    let braked = Source { brake_since: Some(t(3)), brake_cleared_at: Some(t(4)), ..okta.clone() };
    tx.source_update(&braked).await.unwrap();
    assert_eq!(tx.source_by_name(&okta.name).await.unwrap().as_ref(), Some(&braked));
    assert_eq!((tx.source(okta.id).await.unwrap(), tx.sources().await.unwrap().len()), (Some(braked), 1));
}

async fn an_account_is_kept_as_sent_and_found_by_what_it_has(database: TestDatabase) {
    let world = World::new(&database).await;
    let (okta, entra) = (source("okta"), source("entra"));
    let kept = account(&okta, &world.staff, "Zoë@Shop.Example");
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&okta).await.unwrap();
    tx.source_add(&entra).await.unwrap();
    tx.account_add(&kept).await.unwrap();
    assert_eq!(tx.account(okta.id, kept.id).await.unwrap(), Some((kept.clone(), world.staff.clone())));
    assert_eq!(tx.account(entra.id, kept.id).await.unwrap(), None, "another source's account is none");
    assert_eq!(tx.accounts_by_user_name(okta.id, "ZOË@shop.example").await.unwrap().len(), 1);
    assert_eq!(tx.accounts_by_external_id(okta.id, "00u1").await.unwrap().len(), 1);
    assert_eq!(tx.accounts_by_external_id(okta.id, "00U1").await.unwrap().len(), 0);
    let second = account(&okta, &world.contractor, "zoë@shop.example");
    assert!(matches!(tx.account_add(&second).await.unwrap_err(), StoreError::Conflict { .. }));
    let changed = Account {
        user_name: "x".to_owned(),
        external_id: None,
        suspended_at: Some(t(3)),
        held_at: Some(t(4)),
        by_hand_at: Some(t(5)),
        reactivated_at: Some(t(6)),
        deleted_at: Some(t(7)),
        changed_at: t(8),
        ..kept.clone()
    };
    tx.account_update(&changed).await.unwrap();
    assert_eq!(tx.account_of(world.staff.id).await.unwrap(), Some(changed));
    assert_eq!(tx.accounts(okta.id).await.unwrap(), [], "a deleted one is not seen");
    // Whoever departs by hand has no account any more, and it is known who ended it.
    tx.effect_apply(&offboard(&world.staff, &[], &[], t(9)), t(9)).await.unwrap();
    assert_eq!(tx.account_of(world.staff.id).await.unwrap(), None);
    assert_eq!(tx.account_ended(world.staff.id).await.unwrap(), Some((okta.id, EndedBy::Hand)));
    let token = |name: &str, made_by: &doorward_domain::Principal| ApiToken {
        name: name.to_owned(),
        created_at: t(1),
        created_by: format!("person:{}", made_by.email),
        last_used_at: None,
    };
    tx.api_token_add(&TokenHash([1; 32]), &token("theirs", &world.contractor)).await.unwrap();
    tx.api_token_add(&TokenHash([2; 32]), &token("another's", &world.staff)).await.unwrap();
    let moved = doorward_domain::Principal { email: "new@shop.example".parse().unwrap(), ..world.contractor.clone() };
    tx.person_readdress(&moved).await.unwrap();
    assert_eq!(tx.person_by_email(&moved.email).await.unwrap(), Some(moved.clone()));
    let tokens = tx.api_tokens().await.unwrap();
    let maker = |name: &str| &tokens.iter().find(|token| token.name == name).unwrap().created_by;
    assert_eq!(*maker("theirs"), format!("person:{}", moved.email));
    assert_eq!(*maker("another's"), format!("person:{}", world.staff.email));
    tx.commit(entry(9), Outbox::None).await.unwrap();
}

async fn a_burst_is_counted_and_what_ended_counts_too(database: TestDatabase) {
    let world = World::new(&database).await;
    let okta = source("okta");
    let (one, two) = (account(&okta, &world.staff, "one"), account(&okta, &world.contractor, "two"));
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&okta).await.unwrap();
    tx.account_add(&one).await.unwrap();
    tx.account_add(&Account { suspended_at: Some(t(1)), ..two.clone() }).await.unwrap();
    let counted = |burst: doorward_domain::Burst| (burst.disabled, burst.reactivated, burst.active, burst.people);
    assert_eq!(counted(tx.burst(okta.id, t(0)).await.unwrap()), (0, 0, 1, 2), "made inactive is not disabled");
    tx.account_update(&Account { suspended_at: Some(t(5)), ..one.clone() }).await.unwrap();
    tx.account_update(&Account { reactivated_at: Some(t(6)), ..two.clone() }).await.unwrap();
    assert_eq!(counted(tx.burst(okta.id, t(2)).await.unwrap()), (1, 1, 1, 2));
    assert_eq!(counted(tx.burst(okta.id, t(7)).await.unwrap()), (0, 0, 1, 2));
    assert_eq!(tx.accounts_in_burst(okta.id, t(5)).await.unwrap().len(), 1);
    assert_eq!(tx.accounts_in_burst(okta.id, t(6)).await.unwrap().len(), 0);
    assert_eq!(tx.accounts_maybe_due(t(4)).await.unwrap().len(), 0);
    assert_eq!(tx.accounts_maybe_due(t(5)).await.unwrap().len(), 1);
    tx.source_update(&Source { brake_since: Some(t(1)), ..okta.clone() }).await.unwrap();
    assert_eq!(tx.accounts_maybe_due(t(5)).await.unwrap().len(), 0, "nobody is due while the brake is on");
    tx.account_end(world.staff.id, EndedBy::Source, t(8)).await.unwrap();
    assert_eq!(counted(tx.burst(okta.id, t(2)).await.unwrap()), (1, 1, 1, 1));
    tx.account_end(world.contractor.id, EndedBy::Hand, t(9)).await.unwrap();
    assert_eq!(counted(tx.burst(okta.id, t(2)).await.unwrap()), (1, 0, 0, 0), "what an admin ends is none of it");
    tx.commit(entry(9), Outbox::None).await.unwrap();
}

async fn a_source_sees_the_members_that_are_its_own(database: TestDatabase) {
    let world = World::new(&database).await;
    let okta = source("okta");
    let kept = account(&okta, &world.staff, "one");
    let group = Group::add(GroupId::new(Uuid::now_v7()), "desk".parse().unwrap(), t(1));
    let of_source = SourceGroup {
        group: group.id,
        source: okta.id,
        external_id: None,
        display_name: "Desk".to_owned(),
        created_at: t(1),
        changed_at: t(1),
    };
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&okta).await.unwrap();
    tx.account_add(&kept).await.unwrap();
    tx.group_add(&group).await.unwrap();
    tx.source_group_add(&of_source).await.unwrap();
    tx.group_join(group.id, world.staff.id, t(2)).await.unwrap();
    tx.group_join(group.id, world.contractor.id, t(2)).await.unwrap();
    for members in [
        tx.source_members(okta.id).await.unwrap(),
        tx.source_group_members(group.id).await.unwrap(),
        tx.source_groups_of(world.staff.id).await.unwrap(),
    ] {
        let [member] = members.as_slice() else { panic!("{members:?}") };
        assert_eq!((member.account, member.principal, member.display_name.as_str()), (kept.id, world.staff.id, "Desk"));
    }
    assert_eq!(tx.source_of_group(group.id).await.unwrap().map(|source| source.id), Some(okta.id));
    let renamed = SourceGroup {
        display_name: "Front".to_owned(),
        external_id: Some("x".to_owned()),
        changed_at: t(3),
        ..of_source
    };
    tx.source_group_update(&renamed).await.unwrap();
    tx.group_rename(group.id, &"front".parse().unwrap()).await.unwrap();
    assert_eq!(tx.source_groups(okta.id).await.unwrap(), std::slice::from_ref(&renamed));
    assert_eq!(tx.group_by_name(&"front".parse().unwrap()).await.unwrap().map(|group| group.id), Some(group.id));
    let other = Group::add(GroupId::new(Uuid::now_v7()), "other".parse().unwrap(), t(1));
    tx.group_add(&other).await.unwrap();
    assert!(matches!(
        tx.group_rename(other.id, &"front".parse().unwrap()).await.unwrap_err(),
        StoreError::Conflict { .. }
    ));
    tx.group_remove(group.id, t(4)).await.unwrap();
    assert_eq!(tx.source_group(okta.id, group.id).await.unwrap(), None);
    tx.commit(entry(9), Outbox::None).await.unwrap();
}
