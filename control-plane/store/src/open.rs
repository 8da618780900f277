//! Opening a database, and beginning transactions on it.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use doorward_model::Timestamp;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgPool};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _};

use crate::db::{Answer, Tx, args};
use crate::{ReadTx, StoreError, WriteTx};

static MIGRATIONS_SQLITE: Migrator = sqlx::migrate!("migrations/sqlite");
/// Where a later release runs beside this one, the schema has migrations that this one does not know; which of them it can
/// live with is asked before (`refuse_newer_schema`).
static MIGRATIONS_POSTGRES: Migrator = Migrator { ignore_missing: true, ..sqlx::migrate!("migrations/postgres") };

/// Longest wait for the right to write: past this somebody holds the database and a person should know.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long a connection that comes back to its pool may take to answer before it is closed.
const RELEASE_WAIT_MAX: Duration = Duration::from_secs(1);
/// SQLite readers at most: reads are short, and each holds a thread.
const SQLITE_READERS_MAX: u32 = 4;
/// PostgreSQL connections for reading at most; servers allow 100 in all by default, and a replica has 20 of all kinds.
const POSTGRES_READERS_MAX: u32 = 8;
/// PostgreSQL connections at most for common work, of which each kind holds one while it goes on, and for word between replicas.
const POSTGRES_ASIDE_MAX: u32 = 10;
/// The key of the advisory lock under which PostgreSQL writers take turns: "doorward" in ASCII.
pub(crate) const WRITER_LOCK: i64 = 0x646f_6f72_7761_7264;

/// A database. Cloning it is cheap and shares the connections.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) engine: Engine,
    /// Set while decisions wait to be written, before which nothing else may be.
    held_back: Arc<AtomicBool>,
}

/// Writing has one connection a process: writers take turns anyway, and queueing for the lock must not use up the
/// connections that readers need.
#[derive(Clone, Debug)]
pub(crate) enum Engine {
    Sqlite {
        read: SqlitePool,
        write: SqlitePool,
    },
    Postgres {
        read: PgPool,
        write: PgPool,
        /// For what replicas tell each other and for their turns at common work, which take no writer's turn.
        aside: PgPool,
        /// For the one connection that listens.
        listening: PgPool,
    },
}

impl Store {
    /// Opens the database that `url` names and brings its schema up to date.
    ///
    /// `sqlite:FILE` is relative to `data_dir`; the file is made with mode 0600. `postgres://…` is a server.
    ///
    /// # Errors
    /// [`StoreError::Url`], [`StoreError::Open`], [`StoreError::NewerSchema`] before anything was changed, and
    /// [`StoreError::Migrate`].
    pub async fn open(url: &str, data_dir: &Path) -> Result<Self, StoreError> {
        let engine = if let Some(file) = sqlite_file(url, data_dir)? {
            open_sqlite(&file).await?
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            open_postgres(url).await?
        } else {
            return Err(StoreError::Url { url: without_password(url) });
        };
        let store = Self { engine, held_back: Arc::default() };
        store.refuse_newer_schema().await?;
        let migrated = match &store.engine {
            Engine::Sqlite { write, .. } => MIGRATIONS_SQLITE.run(write).await,
            Engine::Postgres { write, .. } => MIGRATIONS_POSTGRES.run(write).await,
        };
        match migrated.map_err(migrate_error) {
            // A later release may have come between the look and the migrations.
            Ok(()) => store.refuse_newer_schema().await?,
            Err(error) => {
                let unwritable = matches!(error, StoreError::ReadOnly(_) | StoreError::Full(_));
                if !unwritable || !store.has_newest_schema().await.unwrap_or(false) {
                    return Err(error);
                }
            }
        }
        Ok(store)
    }

    /// Says whether no other process writes this database, so that whatever was committed was committed here.
    #[must_use]
    pub fn is_sole_writer(&self) -> bool {
        matches!(self.engine, Engine::Sqlite { .. })
    }

    /// Refuses every [`Store::write`] while `held`: decisions wait that come first. See [`Store::write_held_back`].
    pub fn hold_back(&self, held: bool) {
        self.held_back.store(held, Ordering::SeqCst);
    }

    /// Begins to read one consistent state.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Busy`].
    pub async fn read(&self) -> Result<ReadTx, StoreError> {
        let tx = self.begin_read().await?;
        Ok(ReadTx { tx })
    }

    /// Begins a change, once every other writer is done, in this process and in all others.
    ///
    /// # Errors
    /// [`StoreError::Busy`] after 10 s, [`StoreError::Unreachable`], [`StoreError::ReadOnly`] or [`StoreError::Full`];
    /// [`StoreError::HeldBack`] while [`Store::hold_back`] says so.
    pub async fn write(&self) -> Result<WriteTx, StoreError> {
        if self.held_back.load(Ordering::SeqCst) {
            return Err(StoreError::HeldBack);
        }
        let tx = self.begin_write().await?;
        // Looked at again inside the transaction: whoever waited for the right to write must not overtake a decision.
        if self.held_back.load(Ordering::SeqCst) {
            return Err(StoreError::HeldBack);
        }
        Ok(WriteTx::new(tx))
    }

    /// Begins one of the changes for which all others are held back.
    ///
    /// # Errors
    /// As [`Store::write`], but never [`StoreError::HeldBack`].
    pub async fn write_held_back(&self) -> Result<WriteTx, StoreError> {
        self.begin_write().await.map(WriteTx::new)
    }

    /// Asks the database for an answer, for readiness checks.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Busy`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read().await?.revision().await.map(drop)
    }

    /// Deletes what nobody needs any longer: old outbox rows, alerts, receipts, and sessions that are over.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn prune(&self, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.outbox_prune().await?;
        tx.alerts_prune(now).await?;
        tx.receipts_prune(now).await?;
        tx.decisions_prune(now).await?;
        tx.accounts_prune(now).await?;
        tx.end_notices_prune(now).await?;
        tx.commit_observation().await?;
        self.replicas_prune().await
    }

    /// Closes all connections, after what runs has ended.
    pub async fn close(&self) {
        match &self.engine {
            Engine::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            Engine::Postgres { read, write, aside, listening } => {
                listening.close().await;
                aside.close().await;
                read.close().await;
                write.close().await;
            }
        }
    }

    fn begin_read(&self) -> Answer<'_, Tx> {
        Box::pin(async move {
            Ok(match &self.engine {
                Engine::Sqlite { read, .. } => Tx::Sqlite(read.begin_with("BEGIN DEFERRED").await?),
                Engine::Postgres { read, .. } => {
                    Tx::Postgres(read.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
                }
            })
        })
    }

    fn begin_write(&self) -> Answer<'_, Tx> {
        Box::pin(async move {
            Ok(match &self.engine {
                Engine::Sqlite { write, .. } => Tx::Sqlite(write.begin_with("BEGIN IMMEDIATE").await?),
                Engine::Postgres { write, .. } => {
                    let mut tx = Tx::Postgres(write.begin_with("BEGIN ISOLATION LEVEL READ COMMITTED").await?);
                    // A replica that hangs inside a transaction must not keep every other one from revoking.
                    tx.execute("SET LOCAL lock_timeout = '10s'", args![]).await?;
                    tx.execute("SET LOCAL idle_in_transaction_session_timeout = '10s'", args![]).await?;
                    tx.execute("SELECT pg_advisory_xact_lock($1)", args![WRITER_LOCK]).await?;
                    tx
                }
            })
        })
    }

    /// Says whether every migration of this program was applied.
    async fn has_newest_schema(&self) -> Result<bool, StoreError> {
        let mut read = self.read().await?;
        let row = read.tx.row("SELECT MAX(version) AS version FROM _sqlx_migrations", args![]).await?;
        let found = row.map(|row| row.get::<Option<i64>>("version")).transpose()?.flatten();
        let migrations = if self.is_sole_writer() { &MIGRATIONS_SQLITE } else { &MIGRATIONS_POSTGRES };
        Ok(found == migrations.iter().map(|migration| migration.version).max())
    }

    async fn refuse_newer_schema(&self) -> Result<(), StoreError> {
        // On SQLite the writer is asked: a reader that knew the schema from before a migration would compile its first
        // statements for that one, and the driver counts a row's columns before SQLite compiles them anew.
        let mut tx = match &self.engine {
            Engine::Sqlite { write, .. } => ReadTx { tx: Tx::Sqlite(write.begin_with("BEGIN DEFERRED").await?) },
            Engine::Postgres { .. } => self.read().await?,
        };
        let (exists, migrations) = match &self.engine {
            Engine::Sqlite { .. } => {
                ("SELECT name AS found FROM sqlite_master WHERE name = '_sqlx_migrations'", &MIGRATIONS_SQLITE)
            }
            Engine::Postgres { .. } => ("SELECT to_regclass('_sqlx_migrations')::text AS found", &MIGRATIONS_POSTGRES),
        };
        let table = tx.tx.row(exists, args![]).await?;
        let exists = table.map(|row| row.get::<Option<String>>("found")).transpose()?.flatten().is_some();
        if !exists {
            return Ok(());
        }
        let row = tx.tx.row("SELECT MAX(version) AS version FROM _sqlx_migrations", args![]).await?;
        let found = row.map(|row| row.get::<Option<i64>>("version")).transpose()?.flatten().unwrap_or(0);
        let known = migrations.iter().map(|migration| migration.version).max().unwrap_or(0);
        if found <= known {
            return Ok(());
        }
        if self.is_shared() && schema_floor(&mut tx).await?.is_some_and(|floor| floor <= known) {
            tracing::warn!(
                found,
                known,
                "another control plane of a later version uses this database: upgrade this one too"
            );
            return Ok(());
        }
        Err(StoreError::NewerSchema { found, known })
    }
}

/// The oldest program that may run beside the schema as it is; `None` before there was a floor.
async fn schema_floor(read: &mut ReadTx) -> Result<Option<i64>, StoreError> {
    let exists = read.tx.row("SELECT to_regclass('schema_floor')::text AS found", args![]).await?;
    if exists.map(|row| row.get::<Option<String>>("found")).transpose()?.flatten().is_none() {
        return Ok(None);
    }
    let row = read.tx.row("SELECT version FROM schema_floor WHERE id = 1", args![]).await?;
    row.map(|row| row.get("version")).transpose()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "another crate's enum, of which one case is told apart")]
fn migrate_error(error: MigrateError) -> StoreError {
    match error {
        // A full, locked or read-only database says so in its own words.
        MigrateError::Execute(source @ sqlx::Error::Database(_)) => StoreError::from(source),
        other => StoreError::Migrate(Box::new(other)),
    }
}

pub(crate) fn sqlite_file(url: &str, data_dir: &Path) -> Result<Option<PathBuf>, StoreError> {
    let Some(rest) = url.strip_prefix("sqlite:") else { return Ok(None) };
    let file = rest.strip_prefix("//").unwrap_or(rest);
    // A database in memory would forget who was put out, and parameters are ours to choose.
    if file.is_empty() || file.contains([':', '?']) || file.ends_with('/') {
        return Err(StoreError::Url { url: url.to_owned() });
    }
    Ok(Some(data_dir.join(file)))
}

async fn open_sqlite(file: &Path) -> Result<Engine, StoreError> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open {
        database: file.display().to_string(),
        source,
    };
    // Made here rather than by SQLite, so that nobody else can read it for a moment; the WAL inherits its mode.
    OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .open(file)
        .map_err(|source| failed(Box::new(source)))?;
    let options = SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(WRITE_WAIT_MAX);
    let write = pool(1).connect_with(options.clone()).await.map_err(|source| opened(source, failed))?;
    let options = options.pragma("query_only", "ON");
    // Readers connect when they are first needed, which is after the migrations.
    let read = pool(SQLITE_READERS_MAX).connect_lazy_with(options);
    Ok(Engine::Sqlite { read, write })
}

async fn open_postgres(url: &str) -> Result<Engine, StoreError> {
    let options = PgConnectOptions::from_str(url).map_err(|_| StoreError::Url { url: without_password(url) })?;
    let options = options.application_name("doorward");
    let failed =
        |source: Box<dyn std::error::Error + Send + Sync>| StoreError::Open { database: without_password(url), source };
    // A pool tries again until its time is up and then says no more than that; one connection says at once what is wrong.
    let probe = options.connect().await.map_err(|source| opened(source, failed))?;
    probe.close().await.map_err(|source| opened(source, failed))?;
    let write = pool(1).connect_with(options.clone()).await.map_err(|source| opened(source, failed))?;
    let read =
        pool(POSTGRES_READERS_MAX).connect_with(options.clone()).await.map_err(|source| opened(source, failed))?;
    let aside = pool(POSTGRES_ASIDE_MAX).connect_lazy_with(options.clone());
    let listening =
        PoolOptions::new().max_connections(1).idle_timeout(None).max_lifetime(None).connect_lazy_with(options);
    Ok(Engine::Postgres { read, write, aside, listening })
}

/// Makes the pool's settings, with a check on what comes back to it.
///
/// SQLite takes a transaction back by itself when the disk is full (<https://www.sqlite.org/lang_transaction.html>,
/// section 3). The driver's own `ROLLBACK` fails then, and it goes on believing that a transaction is open, for which it
/// would refuse every later one: such a connection is closed, and the next one is fresh.
fn pool<DB: sqlx::Database>(connections_max: u32) -> PoolOptions<DB> {
    PoolOptions::new().max_connections(connections_max).acquire_timeout(WRITE_WAIT_MAX).after_release(
        |connection: &mut DB::Connection, _| {
            Box::pin(async move {
                // The rollback of a dropped transaction is only queued; an answer to this means that it has run.
                // A server that hangs must not keep the place of a connection that would reach it once it is back.
                let answer = tokio::time::timeout(RELEASE_WAIT_MAX, connection.ping()).await;
                answer.map_err(|_| sqlx::Error::PoolTimedOut)??;
                Ok(!connection.is_in_transaction())
            })
        },
    )
}

/// A full, locked or read-only database says so; anything else is a database that cannot be opened.
fn opened(source: sqlx::Error, failed: impl Fn(Box<dyn std::error::Error + Send + Sync>) -> StoreError) -> StoreError {
    let error = StoreError::from(source);
    let known = matches!(error, StoreError::Full(_) | StoreError::ReadOnly(_) | StoreError::Busy(_));
    if known { error } else { failed(Box::new(error)) }
}

/// Leaves the password out of a URL, for messages.
pub(crate) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.chars().take(80).collect() };
    let Some((credentials, place)) = rest.rsplit_once('@') else { return url.to_owned() };
    let user = credentials.split_once(':').map_or(credentials, |(user, _)| user);
    format!("{scheme}://{user}@{place}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_in_a_message() {
        assert_eq!(without_password("postgres://door:s3cret@db/door"), "postgres://door@db/door");
        assert_eq!(without_password("postgres://door:s3@cret@db/door"), "postgres://door@db/door");
        assert_eq!(without_password("mysql://db"), "mysql://db");
    }

    #[test]
    fn sqlite_files_are_relative_to_the_data_folder() {
        let file = |url| sqlite_file(url, Path::new("/data"));
        assert_eq!(file("sqlite:doorward.db").unwrap(), Some(PathBuf::from("/data/doorward.db")));
        assert_eq!(file("sqlite:///srv/door.db").unwrap(), Some(PathBuf::from("/srv/door.db")));
        assert_eq!(file("postgres://db/door").unwrap(), None);
        for wrong in ["sqlite:", "sqlite::memory:", "sqlite:door.db?mode=memory", "sqlite:folder/"] {
            assert!(file(wrong).is_err(), "{wrong}");
        }
    }

    async fn sqlite() -> (tempfile::TempDir, Store, SqlitePool) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("sqlite:doorward.db", folder.path()).await.unwrap();
        let Engine::Sqlite { write, .. } = &store.engine else { panic!("not SQLite") };
        let write = write.clone();
        (folder, store, write)
    }

    async fn add_alerts(store: &Store) -> Result<(), StoreError> {
        let alert = doorward_domain::Alert {
            at: Timestamp::UNIX_EPOCH,
            kind: doorward_domain::AlertKind::GatewayLost,
            gateway: None,
            device: None,
            email: None,
            source: None,
            message: "x".repeat(500),
            count: 1,
        };
        store.alerts_record(&vec![alert; 100]).await
    }

    #[tokio::test]
    async fn the_file_is_for_nobody_else_and_commits_reach_the_disk() {
        use std::os::unix::fs::PermissionsExt as _;
        let (folder, _store, write) = sqlite().await;
        for file in ["doorward.db", "doorward.db-wal"] {
            assert_eq!(folder.path().join(file).metadata().unwrap().permissions().mode() & 0o777, 0o600, "{file}");
        }
        let synchronous: i64 = sqlx::query_scalar("PRAGMA synchronous").fetch_one(&write).await.unwrap();
        let foreign_keys: i64 = sqlx::query_scalar("PRAGMA foreign_keys").fetch_one(&write).await.unwrap();
        assert_eq!((synchronous, foreign_keys), (2, 1));
    }

    #[tokio::test]
    async fn a_full_database_says_so_and_changes_nothing() {
        let (_folder, store, write) = sqlite().await;
        let pages: i64 = sqlx::query_scalar("PRAGMA page_count").fetch_one(&write).await.unwrap();
        let limit = sqlx::AssertSqlSafe(format!("PRAGMA max_page_count = {pages}"));
        sqlx::query(limit).execute(&write).await.unwrap();
        let full = add_alerts(&store).await.unwrap_err();
        assert!(matches!(full, StoreError::Full(_)), "{full:?}");
        assert_eq!(store.read().await.unwrap().alerts_recent(10).await.unwrap(), []);
        sqlx::query("PRAGMA max_page_count = 1000000").execute(&write).await.unwrap();
        add_alerts(&store).await.unwrap();
    }

    #[tokio::test]
    async fn a_database_that_cannot_be_written_says_so() {
        let (_folder, store, write) = sqlite().await;
        sqlx::query("PRAGMA query_only = ON").execute(&write).await.unwrap();
        let refused = add_alerts(&store).await.unwrap_err();
        assert!(matches!(refused, StoreError::ReadOnly(_)), "{refused:?}");
    }

    #[tokio::test]
    async fn what_cannot_be_opened_is_named() {
        let missing = Store::open("sqlite:doorward.db", Path::new("/nonexistent")).await.unwrap_err();
        assert!(missing.to_string().contains("/nonexistent/doorward.db"), "{missing}");
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("doorward.db"), "this is a letter and no database ".repeat(100)).unwrap();
        let letter = Store::open("sqlite:doorward.db", folder.path()).await.unwrap_err();
        assert!(matches!(letter, StoreError::Open { .. }), "{letter:?}");
        let nobody = Store::open("postgres://door:s3cret@127.0.0.1:1/door", folder.path()).await.unwrap_err();
        assert!(
            nobody.to_string().contains("postgres://door@127.0.0.1:1/door")
                && !format!("{nobody:?}").contains("s3cret"),
            "{nobody:?}"
        );
    }
}
