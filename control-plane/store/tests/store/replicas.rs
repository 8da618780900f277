//! Several control planes on one PostgreSQL.

use std::time::Duration;

use doorward_domain::{Source, SourceKind};
use doorward_model::{GatewayName, Revision, SourceId};
use doorward_store::test_support::TestDatabase;
use doorward_store::{Confirmed, GatewaySession, Outbox, Replica, SiteKey, Store, StoreError, Word, Work};
use uuid::Uuid;

use crate::common::{World, entry, raw, t};

const PATIENCE: Duration = Duration::from_secs(20);

async fn heard(listener: &mut doorward_store::Listener) -> Word {
    tokio::time::timeout(PATIENCE, listener.heard()).await.unwrap().unwrap()
}

fn replica(name: &str) -> Replica {
    Replica { id: Uuid::now_v7(), name: name.to_owned(), version: "0".to_owned(), started_at: t(1) }
}

fn stream(gateway: &str) -> GatewaySession {
    GatewaySession {
        gateway: gateway.parse().unwrap(),
        session: Uuid::new_v4(),
        revision: Some(Revision(1)),
        devices_active: 2,
        devices_known: 3,
        heard_at: t(5),
    }
}

fn confirmed(gateway: &str, revision: u64) -> Confirmed {
    let gateway: GatewayName = gateway.parse().unwrap();
    let (revision, heard_at) = (Revision(revision), "2100-01-01T00:00:00Z".parse().unwrap());
    Confirmed { gateway, revision, heard_at, enforced_after_micros: 7, ended: Vec::new() }
}

#[tokio::test]
async fn a_commit_is_heard_elsewhere_and_one_that_is_taken_back_is_not() {
    let database = TestDatabase::postgres().await.unwrap();
    let world = World::new(&database).await;
    let other = database.open().await.unwrap();
    let mut listener = other.listen().await.unwrap().unwrap();
    let mut tx = world.store.write().await.unwrap();
    tx.person_add(&world.person("a@shop.example")).await.unwrap();
    drop(tx);
    let tx = world.store.write().await.unwrap();
    tx.commit(entry(2), Outbox::None).await.unwrap();
    let tx = world.store.write().await.unwrap();
    let committed = tx.commit(entry(3), Outbox::Everything).await.unwrap();
    assert_eq!(heard(&mut listener).await, Word::Revision(committed.revision.0), "and nothing before it");
    assert_eq!(other.read().await.unwrap().revision().await.unwrap(), committed.revision);
}

#[tokio::test]
async fn a_lost_connection_is_told_so_that_somebody_looks() {
    let database = TestDatabase::postgres().await.unwrap();
    let store = database.open().await.unwrap();
    let mut listener = store.listen().await.unwrap().unwrap();
    let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND datname = current_database()";
    raw!(&database, end);
    let lost = tokio::time::timeout(PATIENCE, listener.heard()).await.unwrap();
    assert!(lost.is_err(), "{lost:?}");
    drop(listener);
    let mut again = store.listen().await.unwrap().unwrap();
    raw!(&database, "SELECT pg_notify('doorward', 'revision 4')");
    assert_eq!(heard(&mut again).await, Word::Revision(4));
    assert!(TestDatabase::sqlite().await.unwrap().open().await.unwrap().listen().await.unwrap().is_none());
}

#[tokio::test]
async fn work_is_one_replicas_at_a_time_and_a_killed_ones_turn_comes_back() {
    let database = TestDatabase::postgres().await.unwrap();
    let (one, two) = (database.open().await.unwrap(), database.open().await.unwrap());
    let turn = one.turn(Work::Mails).await.unwrap();
    assert!(turn.is_some());
    assert!(two.turn(Work::Mails).await.unwrap().is_none());
    assert!(two.turn(Work::Ends).await.unwrap().is_some(), "other work is free");
    drop(turn);
    let taken = taken_in_time(&two).await;
    // The connection of whoever has it dies, as it does with a killed process.
    let kill = "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2";
    raw!(&database, kill);
    let after = taken_in_time(&one).await;
    assert!(taken.is_some() && after.is_some());
    let alone = TestDatabase::sqlite().await.unwrap().open().await.unwrap();
    assert!(alone.turn(Work::Mails).await.unwrap().is_some() && alone.turn(Work::Mails).await.unwrap().is_some());
}

async fn taken_in_time(store: &Store) -> Option<doorward_store::Turn> {
    for _ in 0..400 {
        if let Some(turn) = store.turn(Work::Mails).await.unwrap() {
            return Some(turn);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    None
}

#[tokio::test]
async fn a_gateways_stream_is_where_it_was_opened_last() {
    let database = TestDatabase::postgres().await.unwrap();
    let (one, two) = (database.open().await.unwrap(), database.open().await.unwrap());
    let (first, second) = (replica("first"), replica("second"));
    let mut listener = two.listen().await.unwrap().unwrap();
    let (berlin, paris) = (stream("berlin"), stream("paris"));
    let at_first = [berlin.clone(), paris.clone()];
    one.presence(&first, &at_first, &at_first).await.unwrap();
    assert_eq!(heard(&mut listener).await, Word::Gateways);
    let seen = two.presence(&second, &[], &[]).await.unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen.iter().all(|it| it.replica == first.id && it.replica_name == "first"));
    // Berlin comes to the second, and the first goes on telling of the stream that it still holds open.
    let moved = stream("berlin");
    two.presence(&second, std::slice::from_ref(&moved), std::slice::from_ref(&moved)).await.unwrap();
    let seen = one.presence(&first, &[], &at_first).await.unwrap();
    let berlin = seen.iter().find(|it| it.session.gateway == moved.gateway).unwrap();
    assert_eq!((berlin.replica, berlin.session.session), (second.id, moved.session));
    // What a gateway says is refreshed, and a stream that ended is nobody's.
    let later = GatewaySession { revision: Some(Revision(9)), ..moved };
    let seen = two.presence(&second, &[], std::slice::from_ref(&later)).await.unwrap();
    assert!(seen.iter().any(|it| it.session == later));
    let seen = one.presence(&first, &[], &[]).await.unwrap();
    assert_eq!(seen.len(), 1, "{seen:?}");
    // A replica that is not heard any more counts for nothing.
    raw!(&database, "UPDATE replicas SET heard_at = heard_at - 6000000 WHERE name = 'second'");
    assert!(one.presence(&first, &[], &[]).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_confirmation_is_read_once_whoever_writes_at_the_same_time() {
    let database = TestDatabase::postgres().await.unwrap();
    let reader = database.open().await.unwrap();
    let (me, others) = (replica("me"), [replica("a"), replica("b"), replica("c")]);
    let mut place = reader.confirmations_end().await.unwrap();
    let writers: Vec<_> = others
        .into_iter()
        .map(|other| {
            let url = database.url().to_owned();
            let folder = database.data_dir().to_path_buf();
            tokio::spawn(async move {
                let store = Store::open(&url, &folder).await.unwrap();
                for revision in 1..=100 {
                    store.confirmations_relay(&other, &[confirmed(&other.name, revision)]).await.unwrap();
                }
            })
        })
        .collect();
    reader.confirmations_relay(&me, &[confirmed("mine", 1)]).await.unwrap();
    let mut read = Vec::new();
    while read.len() < 300 {
        let elsewhere = reader.confirmations_elsewhere(&me, place).await.unwrap();
        assert!(elsewhere.read_to >= place);
        place = elsewhere.read_to;
        read.extend(elsewhere.confirmed.into_iter().map(|it| (it.gateway.to_string(), it.revision.0)));
    }
    for writer in writers {
        writer.await.unwrap();
    }
    assert!(reader.confirmations_elsewhere(&me, place).await.unwrap().confirmed.is_empty());
    for name in ["a", "b", "c"] {
        let own: Vec<u64> = read.iter().filter(|(gateway, _)| gateway == name).map(|(_, revision)| *revision).collect();
        assert_eq!(own, (1..=100).collect::<Vec<_>>(), "{name}, in order");
    }
}

#[tokio::test]
async fn a_replica_with_another_key_is_told_which() {
    let database = TestDatabase::postgres().await.unwrap();
    let store = database.open().await.unwrap();
    let key = |name, byte| SiteKey { name, fingerprint: [byte; 32] };
    let first = [key("seal key", 1), key("feed authority", 1)];
    assert!(store.site_keys_differing(&first, t(1)).await.unwrap().is_empty());
    assert!(store.site_keys_differing(&first, t(2)).await.unwrap().is_empty());
    let other = [key("seal key", 2), key("feed authority", 1)];
    assert_eq!(store.site_keys_differing(&other, t(3)).await.unwrap(), ["seal key"]);
    store.site_keys_forget().await.unwrap();
    assert!(store.site_keys_differing(&other, t(4)).await.unwrap().is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_start_at_once_on_an_empty_database_make_its_schema_once() {
    let database = TestDatabase::postgres().await.unwrap();
    let opened = (0..4).map(|_| {
        let (url, folder) = (database.url().to_owned(), database.data_dir().to_path_buf());
        tokio::spawn(async move { Store::open(&url, &folder).await })
    });
    for opened in opened.collect::<Vec<_>>() {
        let store = opened.await.unwrap().unwrap();
        assert_eq!(store.read().await.unwrap().revision().await.unwrap(), Revision(0));
    }
}

#[tokio::test]
async fn an_older_replica_runs_beside_a_schema_that_says_it_may_and_not_beside_another() {
    let database = TestDatabase::postgres().await.unwrap();
    let before = database.open().await.unwrap();
    before.read().await.unwrap().audit_tail(10).await.unwrap();
    // What a later release's migration does: add, and note itself.
    raw!(&database, "ALTER TABLE principals ADD COLUMN later TEXT");
    raw!(&database, "CREATE TABLE later (id BIGINT PRIMARY KEY)");
    let later = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
                 SELECT 9999, 'later', success, checksum, 0 FROM _sqlx_migrations WHERE version = 1";
    raw!(&database, later);
    let beside = database.open().await.unwrap();
    let world = World::new(&database).await;
    assert!(beside.read().await.unwrap().person_by_email(&world.staff.email).await.unwrap().is_some());
    assert!(before.read().await.unwrap().person_by_email(&world.staff.email).await.unwrap().is_some());
    raw!(&database, "UPDATE schema_floor SET version = 9999");
    let refusal = database.open().await.unwrap_err();
    assert!(matches!(refusal, StoreError::NewerSchema { found: 9_999, .. }), "{refusal}");
}

#[tokio::test]
async fn an_older_replica_may_stay_until_a_directory_is_asked_that_it_cannot_read() {
    let database = TestDatabase::postgres().await.unwrap();
    let store = database.open().await.unwrap();
    let floor = async || -> i64 {
        let mut connection = crate::common::postgres(&database).await;
        sqlx::query_scalar("SELECT version FROM schema_floor").fetch_one(&mut connection).await.unwrap()
    };
    for (kind, expected) in [(SourceKind::Scim, 9), (SourceKind::Hook, 9), (SourceKind::Ldap, 13)] {
        let source = Source {
            id: SourceId::new(Uuid::now_v7()),
            name: kind.as_str().parse().unwrap(),
            kind,
            created_at: t(1),
            brake_since: None,
            brake_cleared_at: None,
        };
        let mut tx = store.write().await.unwrap();
        tx.source_add(&source).await.unwrap();
        tx.commit(entry(2), Outbox::None).await.unwrap();
        assert_eq!(floor().await, expected, "{kind:?}");
    }
}
