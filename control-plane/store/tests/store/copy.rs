//! From SQLite to PostgreSQL, with something in every table.

use doorward_model::Revision;
use doorward_store::test_support::TestDatabase;
use doorward_store::{Copied, CopyError, Outbox, copy};
use sqlx::AssertSqlSafe;

use crate::common::{World, entry, postgres, raw, sqlite, t};

async fn full() -> (TestDatabase, World) {
    let database = TestDatabase::sqlite().await.unwrap();
    let world = World::new(&database).await;
    for number in 2..60 {
        world.device(number, 5).await;
    }
    let mut connection = sqlite(&database).await;
    sqlx::raw_sql(include_str!("copy.sql")).execute(&mut connection).await.unwrap();
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE '~_sqlx%' ESCAPE '~'",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    for table in tables {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap();
        assert!(rows > 0, "{table} is empty: put a row for it into copy.sql, so that its copy is tested");
    }
    world.store.close().await;
    (database, world)
}

async fn copied(from: &TestDatabase, to: &TestDatabase, dry: bool) -> Result<(Copied, usize), CopyError> {
    let mut told = 0;
    let mut progress = |_: &str, _: u64| told += 1;
    let copied = copy(from.url(), from.data_dir(), to.url(), dry, &mut progress).await?;
    Ok((copied, told))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_every_table_is_there_and_the_copy_goes_on() {
    let (from, world) = full().await;
    let to = TestDatabase::postgres().await.unwrap();
    let (dry, told) = copied(&from, &to, true).await.unwrap();
    assert_eq!(told, 0);
    let mut connection = postgres(&to).await;
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(made, 0, "a dry run makes nothing");
    let (done, told) = copied(&from, &to, false).await.unwrap();
    assert_eq!(done, dry);
    assert_eq!(told, done.tables.len());
    assert_eq!((done.tables["devices"], done.tables["alerts"]), (59, 2));

    let before = from.open().await.unwrap();
    let after = to.open().await.unwrap();
    let (mut one, mut other) = (before.read().await.unwrap(), after.read().await.unwrap());
    assert_eq!(one.revision().await.unwrap(), other.revision().await.unwrap());
    assert_eq!(one.audit_head().await.unwrap(), other.audit_head().await.unwrap());
    assert_eq!(one.alerts_recent(10).await.unwrap().len(), 2);
    let (ours, theirs) = (one.lease_subjects_all(t(10)).await.unwrap(), other.lease_subjects_all(t(10)).await.unwrap());
    assert_eq!(format!("{ours:?}"), format!("{theirs:?}"));
    drop((one, other));
    // What numbers itself goes on behind what was copied, and the revision too.
    raw!(&to, "INSERT INTO alerts (at, kind, message, count) VALUES (3, 'gateway_lost', 'next', 1)");
    let mut tx = after.write().await.unwrap();
    tx.person_add(&world.person("next@shop.example")).await.unwrap();
    let committed = tx.commit(entry(20), Outbox::Everything).await.unwrap();
    assert_eq!(committed.revision, Revision(done.revision + 1));
    after.prune(t(30)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_somebody_used_or_that_is_none_stays_as_it_is() {
    let (from, _world) = full().await;
    let used = TestDatabase::postgres().await.unwrap();
    World::new(&used).await.store.close().await;
    let refused = copied(&from, &used, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::NotEmpty { .. }), "{refused:?}");
    let strange = TestDatabase::postgres().await.unwrap();
    raw!(&strange, "CREATE TABLE orders (id BIGINT)");
    let refused = copied(&from, &strange, true).await.unwrap_err();
    assert!(refused.to_string().contains("orders"), "{refused}");
    let fresh = TestDatabase::postgres().await.unwrap();
    fresh.open().await.unwrap().close().await;
    copied(&from, &fresh, false).await.unwrap();

    let nothing = TestDatabase::sqlite().await.unwrap();
    let refused = copied(&nothing, &strange, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::NoSource(_)), "{refused:?}");
    assert!(!nothing.data_dir().join("doorward.db").exists(), "looking for a database makes none");
    let refused = copied(&from, &nothing, false).await.unwrap_err();
    assert!(matches!(refused, CopyError::Target(_)), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_audit_log_or_a_strange_value_leaves_the_target_empty() {
    let (from, _world) = full().await;
    raw!(&from, "UPDATE audit SET detail = '{}' WHERE seq = 3");
    let to = TestDatabase::postgres().await.unwrap();
    let refused = copied(&from, &to, false).await.unwrap_err();
    assert!(refused.to_string().contains("audit row 3"), "{refused}");
    let store = to.open().await.unwrap();
    assert_eq!(store.read().await.unwrap().revision().await.unwrap(), Revision(0));
    store.close().await;
    let (from, _world) = full().await;
    raw!(&from, "UPDATE api_tokens SET hash = x'00', name = 'nul' || char(0)");
    assert!(copied(&from, &to, false).await.is_err(), "PostgreSQL keeps no such text");
    assert_eq!(to.open().await.unwrap().read().await.unwrap().audit_head().await.unwrap().seq, 0);
}
