//! One statement text for two engines: arguments, rows and transactions that hide which one it is.

use std::pin::Pin;

use doorward_model::Timestamp;
use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{AssertSqlSafe, Row as _, Transaction};
use uuid::Uuid;

use crate::StoreError;

/// A transaction on either engine.
pub(crate) enum Tx {
    Sqlite(Transaction<'static, Sqlite>),
    Postgres(Transaction<'static, Postgres>),
}

/// A value for a placeholder.
pub(crate) enum Arg {
    Int(Option<i64>),
    Text(Option<String>),
    Bytes(Option<Vec<u8>>),
    Id(Option<Uuid>),
}

macro_rules! bound {
    ($query:expr, $args:expr) => {{
        let mut query = $query;
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(value),
                Arg::Text(value) => query.bind(value),
                Arg::Bytes(value) => query.bind(value),
                Arg::Id(value) => query.bind(value),
            };
        }
        query
    }};
}

/// What a query gives, boxed: the drivers' own futures are so deep that every crate above would take minutes to prove
/// that its handlers are `Send`.
pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

impl Tx {
    /// Runs a statement and returns how many rows it changed.
    pub(crate) fn execute(&mut self, sql: &'static str, args: Vec<Arg>) -> Answer<'_, u64> {
        Box::pin(async move {
            Ok(match self {
                Self::Sqlite(tx) => bound!(sqlx::query(sql), args).execute(&mut **tx).await?.rows_affected(),
                Self::Postgres(tx) => bound!(sqlx::query(sql), args).execute(&mut **tx).await?.rows_affected(),
            })
        })
    }

    /// Runs a query and returns all its rows.
    pub(crate) fn rows(&mut self, sql: &'static str, args: Vec<Arg>) -> Answer<'_, Vec<Row>> {
        Box::pin(async move {
            Ok(match self {
                Self::Sqlite(tx) => {
                    let rows = bound!(sqlx::query(sql), args).fetch_all(&mut **tx).await?;
                    rows.into_iter().map(Row::Sqlite).collect()
                }
                Self::Postgres(tx) => {
                    let rows = bound!(sqlx::query(sql), args).fetch_all(&mut **tx).await?;
                    rows.into_iter().map(Row::Postgres).collect()
                }
            })
        })
    }

    /// Runs a query and returns its first row.
    pub(crate) fn row(&mut self, sql: &'static str, args: Vec<Arg>) -> Answer<'_, Option<Row>> {
        Box::pin(async move {
            Ok(match self {
                Self::Sqlite(tx) => bound!(sqlx::query(sql), args).fetch_optional(&mut **tx).await?.map(Row::Sqlite),
                Self::Postgres(tx) => {
                    bound!(sqlx::query(sql), args).fetch_optional(&mut **tx).await?.map(Row::Postgres)
                }
            })
        })
    }

    /// Runs a query whose text ends in a list of placeholders, `… IN ($1, $2, …)`, once for each [`IN_LIST_MAX`] ids.
    ///
    /// `sql` is the text up to and with `IN `, `tail` what follows the list; only placeholders are put between them.
    pub(crate) fn rows_in<'a>(
        &'a mut self,
        sql: &'static str,
        ids: &'a [Uuid],
        tail: &'static str,
    ) -> Answer<'a, Vec<Row>> {
        Box::pin(async move {
            let mut rows = Vec::new();
            for chunk in ids.chunks(IN_LIST_MAX) {
                let list: Vec<String> = (1..=chunk.len()).map(|n| format!("${n}")).collect();
                let text = AssertSqlSafe(format!("{sql}({}){tail}", list.join(", ")));
                let args: Vec<Arg> = chunk.iter().map(|id| Arg::from(*id)).collect();
                match self {
                    Self::Sqlite(tx) => {
                        let query = bound!(sqlx::query(text), args).persistent(false);
                        rows.extend(query.fetch_all(&mut **tx).await?.into_iter().map(Row::Sqlite));
                    }
                    Self::Postgres(tx) => {
                        let query = bound!(sqlx::query(text), args).persistent(false);
                        rows.extend(query.fetch_all(&mut **tx).await?.into_iter().map(Row::Postgres));
                    }
                }
            }
            Ok(rows)
        })
    }

    /// Commits.
    pub(crate) fn commit(self) -> Answer<'static, ()> {
        Box::pin(async move {
            match self {
                Self::Sqlite(tx) => tx.commit().await?,
                Self::Postgres(tx) => tx.commit().await?,
            }
            Ok(())
        })
    }
}

/// Ids in one list at most: well under SQLite's limit of 32,766 placeholders, and few enough round trips.
const IN_LIST_MAX: usize = 500;

/// A row of either engine.
pub(crate) enum Row {
    Sqlite(SqliteRow),
    Postgres(PgRow),
}

/// What both engines can decode.
pub(crate) trait Column:
    for<'r> sqlx::Decode<'r, Sqlite> + sqlx::Type<Sqlite> + for<'r> sqlx::Decode<'r, Postgres> + sqlx::Type<Postgres>
{
}

impl<T> Column for T where
    T: for<'r> sqlx::Decode<'r, Sqlite>
        + sqlx::Type<Sqlite>
        + for<'r> sqlx::Decode<'r, Postgres>
        + sqlx::Type<Postgres>
{
}

impl Row {
    /// Reads a column as the engine gives it.
    pub(crate) fn get<T: Column>(&self, column: &'static str) -> Result<T, StoreError> {
        Ok(match self {
            Self::Sqlite(row) => row.try_get(column)?,
            Self::Postgres(row) => row.try_get(column)?,
        })
    }

    /// Reads text that a type of ours parses.
    pub(crate) fn parsed<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: std::str::FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        self.get::<String>(column)?.parse().map_err(|source| StoreError::corrupt(column, source))
    }

    /// Reads text that a type of ours parses, or nothing.
    pub(crate) fn parsed_opt<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: std::str::FromStr,
        T::Err: std::error::Error + Send + Sync + 'static,
    {
        let text = self.get::<Option<String>>(column)?;
        text.map(|text| text.parse().map_err(|source| StoreError::corrupt(column, source))).transpose()
    }

    /// Reads JSON text.
    pub(crate) fn json<T: serde::de::DeserializeOwned>(&self, column: &'static str) -> Result<T, StoreError> {
        serde_json::from_str(&self.get::<String>(column)?).map_err(|source| StoreError::corrupt(column, source))
    }

    /// Reads a time.
    pub(crate) fn time(&self, column: &'static str) -> Result<Timestamp, StoreError> {
        time(column, self.get(column)?)
    }

    /// Reads a time, or nothing.
    pub(crate) fn time_opt(&self, column: &'static str) -> Result<Option<Timestamp>, StoreError> {
        self.get::<Option<i64>>(column)?.map(|value| time(column, value)).transpose()
    }

    /// Reads a number that is never negative.
    pub(crate) fn count(&self, column: &'static str) -> Result<u64, StoreError> {
        u64::try_from(self.get::<i64>(column)?).map_err(|source| StoreError::corrupt(column, source))
    }

    /// Reads a number that is never negative, or nothing.
    pub(crate) fn count_opt(&self, column: &'static str) -> Result<Option<u64>, StoreError> {
        let value = self.get::<Option<i64>>(column)?;
        value.map(|value| u64::try_from(value).map_err(|source| StoreError::corrupt(column, source))).transpose()
    }

    /// Reads 32 bytes.
    pub(crate) fn bytes32(&self, column: &'static str) -> Result<[u8; 32], StoreError> {
        bytes32(column, &self.get::<Vec<u8>>(column)?)
    }

    /// Reads 32 bytes, or nothing.
    pub(crate) fn bytes32_opt(&self, column: &'static str) -> Result<Option<[u8; 32]>, StoreError> {
        self.get::<Option<Vec<u8>>>(column)?.map(|bytes| bytes32(column, &bytes)).transpose()
    }
}

fn time(column: &'static str, value: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(value).map_err(|source| StoreError::corrupt(column, source))
}

fn bytes32(column: &'static str, bytes: &[u8]) -> Result<[u8; 32], StoreError> {
    bytes.try_into().map_err(|source: std::array::TryFromSliceError| StoreError::corrupt(column, source))
}

/// Turns a number of ours into the databases' signed one; past its end there is none.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u64> for Arg {
    fn from(value: u64) -> Self {
        Self::Int(Some(int(value)))
    }
}

impl From<Option<u64>> for Arg {
    fn from(value: Option<u64>) -> Self {
        Self::Int(value.map(int))
    }
}

impl From<Timestamp> for Arg {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_microsecond()))
    }
}

impl From<Option<Timestamp>> for Arg {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_microsecond))
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<String>> for Arg {
    fn from(value: Option<String>) -> Self {
        Self::Text(value)
    }
}

impl From<&[u8]> for Arg {
    fn from(value: &[u8]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<&[u8; 32]> for Arg {
    fn from(value: &[u8; 32]) -> Self {
        Self::Bytes(Some(value.to_vec()))
    }
}

impl From<Option<[u8; 32]>> for Arg {
    fn from(value: Option<[u8; 32]>) -> Self {
        Self::Bytes(value.map(|bytes| bytes.to_vec()))
    }
}

impl From<Uuid> for Arg {
    fn from(value: Uuid) -> Self {
        Self::Id(Some(value))
    }
}

impl From<Option<Uuid>> for Arg {
    fn from(value: Option<Uuid>) -> Self {
        Self::Id(value)
    }
}

/// Lists arguments of different types for the placeholders `$1`, `$2`, ….
macro_rules! args {
    ($($value:expr),* $(,)?) => { vec![$($crate::db::Arg::from($value)),*] };
}
pub(crate) use args;
