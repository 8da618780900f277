//! How asking a directory goes is kept as it was written.

use std::time::Duration;

use doorward_domain::{Account, EndedBy, Profile, Source, SourceKind};
use doorward_model::{AccountId, SourceId};
use doorward_store::test_support::TestDatabase;
use doorward_store::{GoodRound, Outbox, Rounds};
use uuid::Uuid;

use crate::common::{World, entry, on_both, t};

on_both! {
    a_round_is_kept_until_the_next_one_and_who_was_known_once_is_found,
}

async fn a_round_is_kept_until_the_next_one_and_who_was_known_once_is_found(database: TestDatabase) {
    let world = World::new(&database).await;
    let ldap = Source {
        id: SourceId::new(Uuid::now_v7()),
        name: "ldap".parse().unwrap(),
        kind: SourceKind::Ldap,
        created_at: t(1),
        brake_since: None,
        brake_cleared_at: None,
    };
    let account = Account {
        id: AccountId::new(Uuid::now_v7()),
        source: ldap.id,
        principal: world.staff.id,
        external_id: None,
        user_name: world.staff.id.to_string(),
        profile: Profile::default(),
        suspended_at: None,
        held_at: None,
        by_hand_at: None,
        reactivated_at: None,
        deleted_at: None,
        created_at: t(1),
        changed_at: t(1),
    };
    let mut tx = world.store.write().await.unwrap();
    tx.source_add(&ldap).await.unwrap();
    tx.account_add(&account).await.unwrap();
    assert_eq!(tx.source_rounds(ldap.id).await.unwrap(), None);
    assert_eq!(tx.accounts_once(ldap.id).await.unwrap(), []);
    tx.account_end(account.id, EndedBy::Hand, t(2)).await.unwrap();
    assert_eq!(tx.accounts_once(ldap.id).await.unwrap(), [world.staff.id]);
    tx.commit(entry(2), Outbox::None).await.unwrap();
    let failed = Rounds {
        settings: vec![1, 2],
        asked_at: t(3),
        next_at: t(4),
        failures: 1,
        error: Some("no answer".to_owned()),
        alerted_at: Some(t(3)),
        good: None,
    };
    let good = GoodRound { at: t(5), took: Duration::from_micros(7), addresses: 8, known: 9, strangers: 10 };
    let well = Rounds { failures: 0, error: None, alerted_at: None, good: Some(good), ..failed.clone() };
    for written in [failed, well] {
        world.store.source_rounds_keep(ldap.id, &written).await.unwrap();
        let mut read = world.store.read().await.unwrap();
        assert_eq!(read.source_rounds(ldap.id).await.unwrap().as_ref(), Some(&written));
        assert_eq!(read.source_by_name(&ldap.name).await.unwrap().as_ref(), Some(&ldap));
    }
}
