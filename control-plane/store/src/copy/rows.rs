//! Rows on their way, as JSON that PostgreSQL reads back into the same values.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use sqlx::postgres::{PgRow, Postgres};
use sqlx::sqlite::SqliteRow;
use sqlx::{Row as _, Transaction};
use uuid::Uuid;

use super::CopyError;

/// The types that the schema has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int,
    Text,
    Bytes,
    Id,
}

/// A table's columns, as the target has them.
#[derive(Debug)]
pub(super) struct Columns {
    columns: Vec<(String, Kind)>,
    /// Those that the target numbers by itself.
    pub(super) identities: Vec<String>,
}

const COLUMNS: &str = "SELECT column_name::text AS name, udt_name::text AS kind, is_identity::text AS identity \
     FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1 ORDER BY ordinal_position";

impl Columns {
    pub(super) async fn of(tx: &mut Transaction<'static, Postgres>, table: &str) -> Result<Self, CopyError> {
        let mut found = Self { columns: Vec::new(), identities: Vec::new() };
        for row in sqlx::query(COLUMNS).bind(table).fetch_all(&mut **tx).await? {
            let (name, kind): (String, String) = (row.try_get("name")?, row.try_get("kind")?);
            if row.try_get::<String, _>("identity")? == "YES" {
                found.identities.push(name.clone());
            }
            let kind = match kind.as_str() {
                "int8" => Kind::Int,
                "text" => Kind::Text,
                "bytea" => Kind::Bytes,
                "uuid" => Kind::Id,
                other => return Err(CopyError::Shape(format!("{table}.{name} of type {other}"))),
            };
            found.columns.push((name, kind));
        }
        Ok(found)
    }

    /// Returns the columns' names, quoted, with commas.
    pub(super) fn list(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }

    /// Reads a row; the name of a column that does not hold what it should, where one does not.
    pub(super) fn read_sqlite(&self, row: &SqliteRow) -> Result<Value, String> {
        let mut object = Map::new();
        for (name, kind) in &self.columns {
            let column = name.as_str();
            let value = match kind {
                Kind::Int => row.try_get(column).map(int),
                Kind::Text => row.try_get(column).map(text),
                Kind::Bytes => row.try_get(column).map(bytes),
                Kind::Id => row.try_get(column).map(id),
            };
            object.insert(name.clone(), value.map_err(|_| name.clone())?);
        }
        Ok(Value::Object(object))
    }

    /// Reads a row back.
    pub(super) fn read_postgres(&self, row: &PgRow) -> Result<Value, sqlx::Error> {
        let mut object = Map::new();
        for (name, kind) in &self.columns {
            let column = name.as_str();
            let value = match kind {
                Kind::Int => row.try_get(column).map(int),
                Kind::Text => row.try_get(column).map(text),
                Kind::Bytes => row.try_get(column).map(bytes),
                Kind::Id => row.try_get(column).map(id),
            };
            object.insert(name.clone(), value?);
        }
        Ok(Value::Object(object))
    }
}

fn int(value: Option<i64>) -> Value {
    value.map_or(Value::Null, Value::from)
}

fn text(value: Option<String>) -> Value {
    value.map_or(Value::Null, Value::String)
}

/// `\x…` is how PostgreSQL reads bytes.
fn bytes(value: Option<Vec<u8>>) -> Value {
    let written = |bytes: Vec<u8>| {
        let digits = bytes.iter().map(|byte| format!("{byte:02x}"));
        Value::String(std::iter::once("\\x".to_owned()).chain(digits).collect())
    };
    value.map_or(Value::Null, written)
}

fn id(value: Option<Uuid>) -> Value {
    value.map_or(Value::Null, |id| Value::String(id.to_string()))
}

/// What a set of rows is, whatever their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Digest {
    /// How many there are.
    pub(super) rows: u64,
    sum: [u64; 4],
}

impl Digest {
    pub(super) fn add(&mut self, row: &Value) {
        self.rows = self.rows.saturating_add(1);
        let hash = Sha256::digest(row.to_string().as_bytes());
        for (sum, part) in self.sum.iter_mut().zip(hash.chunks_exact(8)) {
            let part = part.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
            *sum = sum.wrapping_add(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_rows_does_not_count_and_everything_else_does() {
        let digest = |rows: &[i64]| {
            let mut digest = Digest::default();
            rows.iter().for_each(|row| digest.add(&Value::from(*row)));
            digest
        };
        assert_eq!(digest(&[1, 2, 3]), digest(&[3, 1, 2]));
        assert_ne!(digest(&[1, 2, 3]), digest(&[1, 2, 4]));
        assert_ne!(digest(&[1, 2]), digest(&[1, 2, 2]));
        assert_ne!(digest(&[]), digest(&[0]));
    }
}
