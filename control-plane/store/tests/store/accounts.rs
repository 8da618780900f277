//! Accounts: links, credentials, sessions and attempts, on both engines.

use crate::common::{World, entry, on_both, t};
use doorward_domain::{
    Credentials, Invitation, InvitationKind, InvitationRefusal, LoginToken, Principal, Role, SignInMethod,
    StoredPasskey, StoredTotp, TokenHash, WebSession, check_invitation, offboard, signed_in, suspend,
};
use doorward_model::PrincipalId;
use doorward_store::test_support::TestDatabase;
use doorward_store::{NewCeremony, Outbox, StoreError};
use uuid::Uuid;

on_both! {
    a_role_and_a_sign_in_read_back,
    a_link_is_replaced_by_the_next_and_used_once,
    credentials_read_back_and_a_passkey_is_one_persons,
    a_code_and_a_recovery_code_count_once,
    whoever_is_put_out_loses_sessions_tokens_and_links_with_it,
    ten_guesses_at_once_by_two_replicas_are_ten_failures,
    a_ceremony_is_taken_once_as_what_it_is_and_in_time,
    an_owner_counts_once_they_can_sign_in,
    what_is_over_is_pruned,
}

fn hash(text: &str) -> TokenHash {
    TokenHash::of(text.as_bytes())
}

fn link(kind: InvitationKind, principal: Option<PrincipalId>, at: i64) -> Invitation {
    Invitation {
        kind,
        principal,
        created_at: t(at),
        created_by: "local:0".to_owned(),
        expires_at: t(at + 3600),
        used_at: None,
        replaced_at: None,
    }
}

fn passkey(principal: PrincipalId, credential_id: &[u8]) -> StoredPasskey {
    StoredPasskey {
        id: Uuid::now_v7(),
        principal,
        credential_id: credential_id.to_vec(),
        rp_id: "door.shop.example".to_owned(),
        name: "laptop".to_owned(),
        credential: "{}".to_owned(),
        created_at: t(1),
        last_used_at: None,
        refused_at: None,
    }
}

fn session(principal: PrincipalId, at: i64) -> WebSession {
    WebSession::begin(Uuid::now_v7(), principal, SignInMethod::Passkey, ("192.0.2.1", "Firefox"), t(at))
}

fn token(principal: PrincipalId, at: i64) -> LoginToken {
    LoginToken {
        id: Uuid::now_v7(),
        principal,
        name: "laptop".to_owned(),
        created_at: t(at),
        expires_at: t(at + 60),
        factor_at: t(at),
        last_used_at: None,
    }
}

async fn a_role_and_a_sign_in_read_back(database: TestDatabase) {
    let world = World::new(&database).await;
    let admin = Principal { role: Role::Admin, ..world.staff.clone() };
    let admin = signed_in(&admin, std::time::Duration::from_secs(60), t(5));
    let mut tx = world.store.write().await.unwrap();
    tx.person_update(&admin).await.unwrap();
    tx.commit(entry(5), Outbox::None).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    let found = read.person(world.staff.id).await.unwrap().unwrap();
    assert_eq!((found.role, found.signed_in_at, found.signed_in_until), (Role::Admin, Some(t(5)), Some(t(65))));
    assert_eq!(read.person(world.contractor.id).await.unwrap().unwrap().role, Role::Member);
    let subjects = read.lease_subjects(&[world.laptop.id], t(5)).await.unwrap();
    assert_eq!(subjects[0].principal.role, Role::Member);
}

async fn a_link_is_replaced_by_the_next_and_used_once(database: TestDatabase) {
    let world = World::new(&database).await;
    let (first, second, setup) = (hash("first"), hash("second"), hash("setup"));
    let mut tx = world.store.write().await.unwrap();
    tx.invitation_add(&setup, &link(InvitationKind::Setup, None, 1)).await.unwrap();
    tx.invitation_add(&first, &link(InvitationKind::Join, Some(world.staff.id), 1)).await.unwrap();
    tx.invitation_add(&second, &link(InvitationKind::Join, Some(world.staff.id), 2)).await.unwrap();
    tx.commit(entry(2), Outbox::None).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    let mut check = async |hash: &TokenHash, kind| {
        check_invitation(read.invitation(hash).await.unwrap(), kind, t(3)).map(|link| link.principal)
    };
    assert_eq!(check(&first, InvitationKind::Join).await, Err(InvitationRefusal::Replaced));
    assert_eq!(check(&second, InvitationKind::Join).await, Ok(Some(world.staff.id)));
    assert_eq!(check(&setup, InvitationKind::Setup).await, Ok(None));
    assert_eq!(check(&setup, InvitationKind::Join).await, Err(InvitationRefusal::Unknown));
    assert_eq!(check(&hash("guess"), InvitationKind::Join).await, Err(InvitationRefusal::Unknown));
    drop(read);
    let mut tx = world.store.write().await.unwrap();
    tx.invitation_use(&second, t(4)).await.unwrap();
    tx.commit(entry(4), Outbox::None).await.unwrap();
    let used = world.store.read().await.unwrap().invitation(&second).await.unwrap();
    assert_eq!(check_invitation(used, InvitationKind::Join, t(5)), Err(InvitationRefusal::Used));
}

async fn credentials_read_back_and_a_passkey_is_one_persons(database: TestDatabase) {
    let world = World::new(&database).await;
    let key = passkey(world.staff.id, b"key");
    let mut tx = world.store.write().await.unwrap();
    tx.passkey_add(&key).await.unwrap();
    let stolen = tx.passkey_add(&passkey(world.contractor.id, b"key")).await;
    assert!(matches!(stolen, Err(StoreError::Conflict { .. })), "{stolen:?}");
    tx.password_set(world.staff.id, "old", t(1)).await.unwrap();
    tx.password_set(world.staff.id, "hash", t(2)).await.unwrap();
    tx.policy_accept(world.staff.id, "v1", t(2)).await.unwrap();
    tx.policy_accept(world.staff.id, "v1", t(9)).await.unwrap();
    tx.identity_link("https://id.example", "123", world.staff.id, t(2)).await.unwrap();
    assert!(tx.identity_link("https://id.example", "123", world.contractor.id, t(2)).await.is_err());
    assert!(tx.passkey_remove(world.contractor.id, key.id).await.is_err(), "another's passkey stays");
    tx.commit(entry(2), Outbox::None).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    assert_eq!(read.passkeys_of(world.staff.id).await.unwrap(), std::slice::from_ref(&key));
    assert_eq!(read.passkey_named(b"key").await.unwrap(), Some(key.clone()));
    assert_eq!(read.password_of(world.staff.id).await.unwrap().as_deref(), Some("hash"));
    assert_eq!(read.policy_accepted(world.staff.id, "v1").await.unwrap(), Some(t(2)));
    assert_eq!(read.policy_accepted(world.staff.id, "v2").await.unwrap(), None);
    assert_eq!(read.identity("https://id.example", "123").await.unwrap(), Some(world.staff.id));
    assert_eq!(read.identity("https://other.example", "123").await.unwrap(), None);
    drop(read);
    let mut tx = world.store.write().await.unwrap();
    tx.passkey_used(key.id, r#"{"n":1}"#, t(7)).await.unwrap();
    tx.passkey_refuse(key.id, t(8)).await.unwrap();
    tx.commit(entry(8), Outbox::None).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    let found = read.passkey_named(b"key").await.unwrap().unwrap();
    assert_eq!(
        (found.credential.as_str(), found.last_used_at, found.refused_at),
        (r#"{"n":1}"#, Some(t(7)), Some(t(8)))
    );
    let left = Credentials { password: true, ..Credentials::default() };
    assert_eq!(read.credentials(world.staff.id).await.unwrap(), left, "a refused passkey is none");
}

async fn a_code_and_a_recovery_code_count_once(database: TestDatabase) {
    let world = World::new(&database).await;
    let staff = world.staff.id;
    let totp = StoredTotp { principal: staff, sealed: vec![7; 60], last_step: 100, created_at: t(1) };
    let codes = [hash("one"), hash("two")];
    let mut tx = world.store.write().await.unwrap();
    tx.totp_set(&totp).await.unwrap();
    assert_eq!(tx.totp_of(staff).await.unwrap(), Some(totp));
    let mut counted = Vec::new();
    for step in [100, 99, 101, 101, 102] {
        counted.push(tx.totp_use(staff, step).await.unwrap());
    }
    assert_eq!(counted, [false, false, true, false, true]);
    tx.recovery_codes_set(staff, &codes, t(1)).await.unwrap();
    assert!(!tx.recovery_code_use(world.contractor.id, &codes[0], t(2)).await.unwrap(), "another's code");
    assert!(tx.recovery_code_use(staff, &codes[0], t(2)).await.unwrap());
    assert!(!tx.recovery_code_use(staff, &codes[0], t(3)).await.unwrap());
    let credentials = tx.credentials(staff).await.unwrap();
    assert_eq!((credentials.totp, credentials.recovery_codes), (true, 1));
    tx.commit(entry(3), Outbox::None).await.unwrap();
}

async fn whoever_is_put_out_loses_sessions_tokens_and_links_with_it(database: TestDatabase) {
    let world = World::new(&database).await;
    let (staff, other) = (world.staff.id, world.contractor.id);
    let mut tx = world.store.write().await.unwrap();
    tx.web_session_add(&hash("staff"), &session(staff, 1)).await.unwrap();
    tx.web_session_add(&hash("other"), &session(other, 1)).await.unwrap();
    tx.login_token_add(&hash("token"), &token(other, 1)).await.unwrap();
    tx.invitation_add(&hash("link"), &link(InvitationKind::Join, Some(other), 1)).await.unwrap();
    tx.commit(entry(1), Outbox::None).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    let (found, whose) = read.web_session(&hash("staff")).await.unwrap().unwrap();
    assert_eq!((found.principal, whose.email), (staff, world.staff.email.clone()));
    assert_eq!(read.login_token(&hash("token")).await.unwrap().unwrap().0.name, "laptop");
    drop(read);
    for effect in [suspend(&world.contractor, &[], t(2)).unwrap(), offboard(&world.contractor, &[], &[], t(3))] {
        let mut tx = world.store.write().await.unwrap();
        tx.effect_apply(&effect, t(2)).await.unwrap();
        drop(tx);
        let mut read = world.store.read().await.unwrap();
        assert!(read.web_session(&hash("other")).await.unwrap().is_some(), "a change taken back takes nothing");
        drop(read);
        let mut tx = world.store.write().await.unwrap();
        tx.web_session_add(&hash("second"), &session(other, 2)).await.unwrap();
        tx.effect_apply(&effect, t(2)).await.unwrap();
        assert!(tx.web_session(&hash("other")).await.unwrap().is_none());
        assert!(
            tx.web_sessions_of(other).await.unwrap().is_empty() && tx.login_tokens_of(other).await.unwrap().is_empty()
        );
        assert!(tx.invitation(&hash("link")).await.unwrap().unwrap().replaced_at.is_some());
        assert!(tx.web_session(&hash("staff")).await.unwrap().is_some(), "others stay signed in");
    }
}

async fn ten_guesses_at_once_by_two_replicas_are_ten_failures(database: TestDatabase) {
    let replicas = [database.open().await.unwrap(), database.open().await.unwrap()];
    let guesses = (0..14).map(|n| {
        let store = replicas[n % 2].clone();
        tokio::spawn(async move { store.attempt_begin(&["account:a@b.example", "source:192.0.2.1"], t(1)).await })
    });
    let mut counted = 0;
    let mut locks = Vec::new();
    for guess in guesses.collect::<Vec<_>>() {
        if let Ok(locked) = guess.await.unwrap().unwrap() {
            counted += 1;
            locks.extend(locked);
        }
    }
    assert_eq!((counted, locks.len()), (10, 2), "{locks:?}");
    let store = &replicas[0];
    assert!(store.attempt_begin(&["account:other@b.example", "source:192.0.2.1"], t(1)).await.unwrap().is_err());
    let mut read = store.read().await.unwrap();
    assert_eq!(read.attempts("account:other@b.example").await.unwrap(), None, "nothing is counted of a denied one");
    drop(read);
    assert!(store.attempt_begin(&["account:a@b.example"], t(1801)).await.unwrap().is_ok(), "the clock ends the lock");
    let mut tx = store.write().await.unwrap();
    tx.attempt_succeeded("account:a@b.example", "source:192.0.2.1").await.unwrap();
    assert_eq!(tx.attempts("account:a@b.example").await.unwrap(), None);
    assert_eq!(tx.attempts("source:192.0.2.1").await.unwrap().unwrap().failures, 9);
}

async fn a_ceremony_is_taken_once_as_what_it_is_and_in_time(database: TestDatabase) {
    let world = World::new(&database).await;
    let begin = |text: &str, expires: i64| NewCeremony {
        hash: hash(text),
        kind: "sign_in",
        principal: Some(world.staff.id),
        state: "{}",
        expires_at: t(expires),
    };
    for (text, expires) in [("one", 10), ("two", 10), ("late", 2)] {
        world.store.ceremony_begin(begin(text, expires), t(1)).await.unwrap();
    }
    let take = async |text: &str, kind: &str| world.store.ceremony_take(&hash(text), kind, t(2)).await.unwrap();
    let taken = take("one", "sign_in").await.unwrap();
    assert_eq!((taken.principal, taken.state.as_str()), (Some(world.staff.id), "{}"));
    assert_eq!(take("one", "sign_in").await, None, "once");
    assert_eq!(take("two", "step_up").await, None, "as nothing else");
    assert!(take("two", "sign_in").await.is_some(), "a wrong use does not use it up");
    assert_eq!(take("late", "sign_in").await, None, "in time");
}

async fn an_owner_counts_once_they_can_sign_in(database: TestDatabase) {
    let world = World::new(&database).await;
    let owner = Principal { role: Role::Owner, ..world.staff.clone() };
    let mut tx = world.store.write().await.unwrap();
    assert!(!tx.has_owner_with_credentials().await.unwrap());
    tx.passkey_add(&passkey(owner.id, b"key")).await.unwrap();
    assert!(!tx.has_owner_with_credentials().await.unwrap(), "a member with a passkey is no owner");
    tx.person_update(&owner).await.unwrap();
    assert!(tx.has_owner_with_credentials().await.unwrap());
    tx.credentials_clear(owner.id).await.unwrap();
    assert!(!tx.has_owner_with_credentials().await.unwrap());
    tx.password_set(owner.id, "hash", t(1)).await.unwrap();
    assert!(!tx.has_owner_with_credentials().await.unwrap(), "one factor is none");
    let totp = StoredTotp { principal: owner.id, sealed: vec![7; 60], last_step: 1, created_at: t(1) };
    tx.totp_set(&totp).await.unwrap();
    assert!(tx.has_owner_with_credentials().await.unwrap());
}

async fn what_is_over_is_pruned(database: TestDatabase) {
    let world = World::new(&database).await;
    let mut tx = world.store.write().await.unwrap();
    tx.web_session_add(&hash("old"), &session(world.staff.id, 1)).await.unwrap();
    tx.login_token_add(&hash("old"), &token(world.staff.id, 1)).await.unwrap();
    tx.invitation_add(&hash("old"), &link(InvitationKind::Setup, None, 1)).await.unwrap();
    tx.commit(entry(1), Outbox::None).await.unwrap();
    world.store.prune(t(61)).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    assert!(read.web_session(&hash("old")).await.unwrap().is_some());
    assert!(read.login_token(&hash("old")).await.unwrap().is_none());
    drop(read);
    world.store.prune(t(40 * 24 * 3600)).await.unwrap();
    let mut read = world.store.read().await.unwrap();
    assert!(read.web_session(&hash("old")).await.unwrap().is_none());
    assert!(read.invitation(&hash("old")).await.unwrap().is_none());
}
