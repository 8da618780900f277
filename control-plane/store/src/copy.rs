//! From SQLite to PostgreSQL: every table, in one transaction, compared row by row before it is kept.
//!
//! Nothing here knows a table by name but those that the migrations fill: tables, columns and their order are asked of the
//! target, so that a table that a later migration adds is copied too.

use std::collections::BTreeMap;
use std::path::Path;

use doorward_domain::{ChainHead, verify_chain};
use futures_util::TryStreamExt as _;
use sqlx::postgres::{PgConnectOptions, PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, Transaction};

use self::rows::{Columns, Digest};
use crate::db::{Answer, Tx};
use crate::open::{Engine, WRITER_LOCK, sqlite_file};
use crate::{ReadTx, Store, StoreError};

mod rows;

/// Rows on their way at once at most.
const BATCH_ROWS: usize = 1_000;
/// Tables in which the migrations put a row.
const SEEDED: [&str; 3] = ["lockdown", "feed_revision", "schema_floor"];
/// The migrations' own table, which either side keeps for itself.
const MIGRATIONS: &str = "_sqlx_migrations";

/// What was copied, or would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Rows of each table.
    pub tables: BTreeMap<String, u64>,
    /// The revision on both sides.
    pub revision: u64,
    /// Audit rows, whose chain was verified.
    pub audit_rows: u64,
}

/// How a copy goes on: a table, and its rows.
pub type Progress<'a> = &'a mut (dyn FnMut(&str, u64) + Send);

/// Why a copy was not made. The target is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// There is no SQLite database there.
    #[error(
        "there is no SQLite database at {0}: give the data folder with --data, and leave `[server] database` as it is"
    )]
    NoSource(String),
    /// The target is no PostgreSQL.
    #[error("`{0}` is no PostgreSQL: write --to postgres://USER@HOST/NAME")]
    Target(String),
    /// Something is in the target already.
    #[error(
        "the database at {to} holds {what} already: make an empty one, as with `createdb NAME`, and copy into that"
    )]
    NotEmpty {
        /// Which.
        to: String,
        /// What was found first.
        what: String,
    },
    /// Either side has a table or a column that the other has not.
    #[error("{0} is not the same on both sides, so nothing was copied: run the same doorward that wrote the database")]
    Shape(String),
    /// What was read back is not what was written.
    #[error("{0} came out different in the copy, so nothing was kept: report this, and go on with SQLite")]
    Different(String),
    /// A database refused.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for CopyError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}

type Made<'a, T> = std::pin::Pin<Box<dyn Future<Output = Result<T, CopyError>> + Send + 'a>>;

/// Copies the SQLite database `from` (a `[server] database` setting) into the PostgreSQL `to`; where it is `dry`, counts and
/// checks what can be checked, and writes nothing.
///
/// No server may run on `from`: its writers are shut out, and what they would have answered for is not in the copy.
///
/// # Errors
/// [`CopyError`].
#[must_use]
pub fn copy<'a>(from: &'a str, data_dir: &'a Path, to: &'a str, dry: bool, progress: Progress<'a>) -> Made<'a, Copied> {
    Box::pin(async move {
        let file = sqlite_file(from, data_dir)?.filter(|file| file.is_file());
        if file.is_none() {
            return Err(CopyError::NoSource(data_dir.join(from.trim_start_matches("sqlite:")).display().to_string()));
        }
        if !to.starts_with("postgres://") && !to.starts_with("postgresql://") {
            return Err(CopyError::Target(crate::open::without_password(to)));
        }
        refuse_full(to).await?;
        let source = Store::open(from, data_dir).await?;
        let mut read = shut_out(&source).await?;
        let copied = if dry { count(&mut read).await } else { into_target(&mut read, to, data_dir, progress).await };
        drop(read);
        source.close().await;
        copied
    })
}

/// Refuses a target that somebody used, before anything is made there.
async fn refuse_full(to: &str) -> Result<(), CopyError> {
    let named = crate::open::without_password(to);
    let options: PgConnectOptions = to.parse().map_err(|_| CopyError::Target(named.clone()))?;
    let mut connection = options.connect().await?;
    let tables: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut connection).await?;
    let strange = tables.iter().find(|table| *table != MIGRATIONS && !tables.iter().any(|it| it == MIGRATIONS));
    let not_empty = |what: String| CopyError::NotEmpty { to: named.clone(), what };
    if let Some(table) = strange {
        return Err(not_empty(format!("the table {table}")));
    }
    for table in tables.iter().filter(|table| *table != MIGRATIONS && !SEEDED.contains(&table.as_str())) {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut connection).await?;
        if rows > 0 {
            return Err(not_empty(format!("{rows} rows in {table}")));
        }
    }
    connection.close().await?;
    Ok(())
}

/// Takes the right to write, so that nobody changes anything while it is read.
fn shut_out(source: &Store) -> Answer<'_, Transaction<'static, Sqlite>> {
    Box::pin(async move {
        match &source.engine {
            Engine::Sqlite { write, .. } => Ok(write.begin_with("BEGIN IMMEDIATE").await?),
            Engine::Postgres { .. } => Err(StoreError::Url { url: "postgres".to_owned() }),
        }
    })
}

async fn tables_of(source: &mut Transaction<'static, Sqlite>) -> Result<Vec<String>, CopyError> {
    let sql =
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' ORDER BY name";
    let found: Vec<String> = sqlx::query_scalar(sql).fetch_all(&mut **source).await?;
    Ok(found.into_iter().filter(|table| table != MIGRATIONS).collect())
}

async fn count(source: &mut Transaction<'static, Sqlite>) -> Result<Copied, CopyError> {
    let mut tables = BTreeMap::new();
    for table in tables_of(source).await? {
        let sql = AssertSqlSafe(format!("SELECT count(*) FROM \"{table}\""));
        let rows: i64 = sqlx::query_scalar(sql).fetch_one(&mut **source).await?;
        tables.insert(table, rows.unsigned_abs());
    }
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM feed_revision").fetch_one(&mut **source).await?;
    let audit_rows = tables.get("audit").copied().unwrap_or(0);
    Ok(Copied { tables, revision: revision.unsigned_abs(), audit_rows })
}

/// The tables of the connection's schema.
const TABLES: &str = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() \
     AND table_type = 'BASE TABLE' ORDER BY table_name";
/// A table, and one that it refers to.
const REFERENCES: &str = "SELECT c.conrelid::regclass::text AS from_table, c.confrelid::regclass::text AS to_table \
     FROM pg_constraint c WHERE c.contype = 'f' AND c.connamespace = current_schema()::regnamespace";

async fn into_target(
    source: &mut Transaction<'static, Sqlite>,
    to: &str,
    data_dir: &Path,
    progress: Progress<'_>,
) -> Result<Copied, CopyError> {
    let target = Store::open(to, data_dir).await?;
    let mut tx = begin(&target).await?;
    let mut found: Vec<String> = sqlx::query_scalar(TABLES).fetch_all(&mut *tx).await?;
    found.retain(|table| table != MIGRATIONS);
    if let Some(table) = odd_one(&found, &tables_of(source).await?) {
        return Err(CopyError::Shape(format!("the table {table}")));
    }
    let mut tables = BTreeMap::new();
    for table in in_order(&mut tx, found).await? {
        let rows = table_into(source, &mut tx, &table).await?;
        progress(&table, rows);
        tables.insert(table, rows);
    }
    let revision: i64 = sqlx::query_scalar("SELECT revision FROM feed_revision").fetch_one(&mut **source).await?;
    let mut read = ReadTx { tx: Tx::Postgres(tx) };
    if read.revision().await?.0 != revision.unsigned_abs() {
        return Err(CopyError::Different("the revision".to_owned()));
    }
    let audit_rows = verify_audit(&mut read).await?;
    if tables.get("audit").copied().unwrap_or(0) != audit_rows {
        return Err(CopyError::Different("the audit log".to_owned()));
    }
    read.tx.commit().await?;
    target.close().await;
    Ok(Copied { tables, revision: revision.unsigned_abs(), audit_rows })
}

fn begin(target: &Store) -> Answer<'_, Transaction<'static, Postgres>> {
    Box::pin(async move {
        let Engine::Postgres { write, .. } = &target.engine else {
            return Err(StoreError::Url { url: "sqlite".to_owned() });
        };
        let mut tx = write.begin().await?;
        sqlx::query("SELECT pg_advisory_xact_lock($1)").bind(WRITER_LOCK).execute(&mut *tx).await?;
        Ok(tx)
    })
}

fn odd_one<'a>(one: &'a [String], other: &'a [String]) -> Option<&'a String> {
    let missing = |among: &'a [String], from: &'a [String]| among.iter().find(|table| !from.contains(table));
    missing(one, other).or_else(|| missing(other, one))
}

/// Puts what is referred to before what refers to it; a table that refers to itself is filled by one statement.
async fn in_order(tx: &mut Transaction<'static, Postgres>, tables: Vec<String>) -> Result<Vec<String>, CopyError> {
    let references: Vec<(String, String)> = sqlx::query(REFERENCES)
        .fetch_all(&mut **tx)
        .await?
        .iter()
        .map(|row: &PgRow| Ok((row.try_get("from_table")?, row.try_get("to_table")?)))
        .collect::<Result<_, sqlx::Error>>()?;
    let (mut waiting, mut ordered) = (tables, Vec::new());
    while !waiting.is_empty() {
        let ready = |table: &String| {
            let mut needed = references.iter().filter(|(from, to)| from == table && to != table);
            needed.all(|(_, to)| ordered.contains(to))
        };
        let (now, later): (Vec<String>, Vec<String>) = waiting.into_iter().partition(ready);
        if now.is_empty() {
            return Err(CopyError::Shape(format!("the order of {}", later.join(", "))));
        }
        ordered.extend(now);
        waiting = later;
    }
    Ok(ordered)
}

/// Copies one table and reads it back.
async fn table_into(
    source: &mut Transaction<'static, Sqlite>,
    tx: &mut Transaction<'static, Postgres>,
    table: &str,
) -> Result<u64, CopyError> {
    let columns = Columns::of(tx, table).await?;
    let list = columns.list();
    let run = async |tx: &mut Transaction<'static, Postgres>, sql: String| {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut **tx).await.map(drop)
    };
    run(tx, format!("CREATE TEMPORARY TABLE staged ON COMMIT DROP AS SELECT {list} FROM \"{table}\" WHERE false"))
        .await?;
    let (mut written, mut batch) = (Digest::default(), Vec::new());
    let sql = format!("SELECT {list} FROM \"{table}\"");
    let missing = |error: sqlx::Error| match error {
        sqlx::Error::Database(_) => CopyError::Shape(format!("a column of {table}")),
        other => other.into(),
    };
    let mut rows = sqlx::query(AssertSqlSafe(sql.clone())).fetch(&mut **source);
    while let Some(row) = rows.try_next().await.map_err(missing)? {
        let row: SqliteRow = row;
        let row = columns.read_sqlite(&row).map_err(|column| CopyError::Shape(format!("{table}.{column}")))?;
        written.add(&row);
        batch.push(row);
        if batch.len() >= BATCH_ROWS {
            stage(tx, &list, &mut batch).await?;
        }
    }
    drop(rows);
    stage(tx, &list, &mut batch).await?;
    run(tx, format!("DELETE FROM \"{table}\"")).await?;
    run(tx, format!("INSERT INTO \"{table}\" ({list}) OVERRIDING SYSTEM VALUE SELECT {list} FROM staged")).await?;
    run(tx, "DROP TABLE staged".to_owned()).await?;
    for column in &columns.identities {
        run(
            tx,
            format!(
                "SELECT setval(pg_get_serial_sequence('\"{table}\"', '{column}'), COALESCE(MAX(\"{column}\"), 0) + 1, false) FROM \"{table}\""
            ),
        )
        .await?;
    }
    let mut kept = Digest::default();
    let mut rows = sqlx::query(AssertSqlSafe(sql)).fetch(&mut **tx);
    while let Some(row) = rows.try_next().await? {
        kept.add(&columns.read_postgres(&row)?);
    }
    drop(rows);
    if kept == written { Ok(kept.rows) } else { Err(CopyError::Different(format!("the table {table}"))) }
}

async fn stage(
    tx: &mut Transaction<'static, Postgres>,
    list: &str,
    batch: &mut Vec<serde_json::Value>,
) -> Result<(), CopyError> {
    if batch.is_empty() {
        return Ok(());
    }
    let rows = serde_json::Value::Array(std::mem::take(batch)).to_string();
    let sql = format!("INSERT INTO staged ({list}) SELECT {list} FROM json_populate_recordset(NULL::staged, $1::json)");
    sqlx::query(AssertSqlSafe(sql)).bind(rows).execute(&mut **tx).await?;
    Ok(())
}

async fn verify_audit(read: &mut ReadTx) -> Result<u64, CopyError> {
    let mut head = ChainHead::START;
    loop {
        let rows = read.audit_after(head.seq, 1_000).await?;
        if rows.is_empty() {
            return Ok(head.seq);
        }
        head = verify_chain(head, &rows)
            .map_err(|broken| CopyError::Different(format!("the audit log ({broken}; see `doorward audit verify`)")))?;
    }
}
