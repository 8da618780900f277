//! What providers say of memberships, the access policy's texts, and mails, on both engines.

use doorward_domain::{EndNotice, EndingKind, Group, Membership, SignInMethod, TokenHash, WebSession};
use doorward_model::GroupId;
use doorward_store::test_support::TestDatabase;
use doorward_store::{MailCounts, NoticeMail, Outbox};
use uuid::Uuid;

use crate::common::{World, entry, on_both, t};

on_both! {
    a_membership_remembers_the_provider_that_set_it,
    a_policys_text_is_kept_once_and_who_accepted_which_version,
    a_session_waits_for_the_policy_until_it_is_settled,
    a_mail_is_taken_by_one_and_waits_longer_each_time_it_fails,
}

const PROVIDER: &str = "https://id.shop.example";

async fn a_membership_remembers_the_provider_that_set_it(database: TestDatabase) {
    let world = World::new(&database).await;
    let [desk, stores] =
        ["desk", "stores"].map(|name| Group::add(GroupId::new(Uuid::now_v7()), name.parse().unwrap(), t(1)));
    let mut tx = world.store.write().await.unwrap();
    for group in [&desk, &stores] {
        tx.group_add(group).await.unwrap();
    }
    let person = world.contractor.id;
    assert!(tx.group_join(desk.id, person, t(2)).await.unwrap());
    assert!(!tx.group_provide(desk.id, person, PROVIDER, t(3)).await.unwrap(), "an admin's membership stays theirs");
    assert!(tx.group_provide(stores.id, person, PROVIDER, t(3)).await.unwrap());
    let mut expected = vec![
        Membership { group: desk.id, provider: None },
        Membership { group: stores.id, provider: Some(PROVIDER.to_owned()) },
    ];
    expected.sort_by_key(|membership| membership.group);
    assert_eq!(tx.memberships_set(person).await.unwrap(), expected);
    assert_eq!(tx.memberships_set(world.staff.id).await.unwrap(), []);
    tx.commit(entry(3), Outbox::None).await.unwrap();
}

async fn a_policys_text_is_kept_once_and_who_accepted_which_version(database: TestDatabase) {
    let world = World::new(&database).await;
    world.store.policy_keep("one", "Be kind.", t(1)).await.unwrap();
    world.store.policy_keep("one", "Be kind.", t(9)).await.unwrap();
    let mut tx = world.store.write().await.unwrap();
    assert_eq!(tx.policy_text("one").await.unwrap(), Some(("Be kind.".to_owned(), t(1))));
    assert_eq!(tx.policy_text("two").await.unwrap(), None);
    assert_eq!(tx.policy_accepted_last(world.staff.id).await.unwrap(), None);
    tx.policy_accept(world.staff.id, "one", t(2)).await.unwrap();
    tx.policy_accept(world.staff.id, "two", t(5)).await.unwrap();
    tx.policy_accept(world.staff.id, "one", t(8)).await.unwrap();
    assert_eq!(tx.policy_accepted(world.staff.id, "one").await.unwrap(), Some(t(2)), "the first time counts");
    assert_eq!(tx.policy_accepted_last(world.staff.id).await.unwrap(), Some(("two".to_owned(), t(5))));
}

async fn a_session_waits_for_the_policy_until_it_is_settled(database: TestDatabase) {
    let world = World::new(&database).await;
    let hash = TokenHash::of(b"secret");
    let session =
        WebSession::begin(Uuid::now_v7(), world.staff.id, SignInMethod::Passkey, ("192.0.2.1", "Firefox"), t(1));
    let pending = session.clone().pending();
    let mut tx = world.store.write().await.unwrap();
    tx.web_session_add(&hash, &pending).await.unwrap();
    assert_eq!(tx.web_session(&hash).await.unwrap().unwrap().0, pending);
    tx.web_session_policy(session.id, false).await.unwrap();
    assert_eq!(tx.web_session(&hash).await.unwrap().unwrap().0, session);
}

async fn a_mail_is_taken_by_one_and_waits_longer_each_time_it_fails(database: TestDatabase) {
    let world = World::new(&database).await;
    let notice = EndNotice {
        kind: EndingKind::Grant,
        subject: world.grant.id.uuid(),
        ends_at: t(1_000_000),
        lead: std::time::Duration::from_secs(86_400),
        principal: Some(world.contractor.id),
        group: None,
        what: "panel".to_owned(),
        noticed_at: t(950_000),
    };
    let to = vec![world.contractor.id, world.staff.id];
    world.store.end_notices_record(vec![(notice.clone(), to)]).await.unwrap();
    let due = async |at: i64| world.store.read().await.unwrap().notice_mails_due(t(at)).await.unwrap();
    let counts = async |at: i64| world.store.read().await.unwrap().mail_counts(t(at)).await.unwrap();
    assert_eq!(due(949_999).await, []);
    let waiting = due(950_000).await;
    assert_eq!(waiting.len(), 2);
    assert!(waiting.iter().all(|mail| mail.notice == notice && mail.tries == 0));
    assert_eq!(counts(950_000).await, MailCounts { waiting: 2, failing: 0, error: None });

    let first = &waiting[0];
    assert!(world.store.notice_mail_take(first, t(950_000)).await.unwrap());
    assert!(!world.store.notice_mail_take(first, t(950_000)).await.unwrap(), "another server has it");
    assert_eq!(due(950_004).await, waiting[1..]);
    world.store.notice_mail_done(first, Err("no server".to_owned()), t(950_001)).await.unwrap();
    assert_eq!(counts(950_001).await, MailCounts { waiting: 2, failing: 1, error: Some("no server".to_owned()) });
    let again = due(950_005).await.into_iter().find(|mail| mail.to.id == first.to.id).unwrap();
    assert_eq!(again, NoticeMail { tries: 1, ..first.clone() });
    assert!(world.store.notice_mail_take(&again, t(950_005)).await.unwrap());
    assert!(!due(950_014).await.iter().any(|mail| mail.to.id == first.to.id), "10 s the second time");
    world.store.notice_mail_done(&again, Ok(()), t(950_006)).await.unwrap();
    assert_eq!(counts(950_006).await, MailCounts { waiting: 1, failing: 0, error: None });
    world.store.notice_mail_take(&waiting[1], t(950_006)).await.unwrap();
    world.store.notice_mail_done(&waiting[1], Ok(()), t(950_007)).await.unwrap();
    assert_eq!(due(999_999).await, []);
    // What ended takes its mails along.
    world.store.prune(t(1_000_000)).await.unwrap();
    assert_eq!(counts(1).await, MailCounts::default());
}
