//! How asking directories for their people goes: one row a source, written after each round.

use std::time::Duration;

use doorward_model::{PrincipalId, SourceId, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError};

/// How asking a directory went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rounds {
    /// A digest of what is asked and how.
    pub settings: Vec<u8>,
    /// When the last round began.
    pub asked_at: Timestamp,
    /// When the next one is due.
    pub next_at: Timestamp,
    /// Rounds in a row that failed.
    pub failures: u64,
    /// Why the last one failed.
    pub error: Option<String>,
    /// When somebody was told of it.
    pub alerted_at: Option<Timestamp>,
    /// The last round that was read to its end.
    pub good: Option<GoodRound>,
}

/// A round that was read to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GoodRound {
    /// When it began: what changed in the directory afterwards is not in it.
    pub at: Timestamp,
    /// How long it took, with what followed from it.
    pub took: Duration,
    /// Addresses that the directory has.
    pub addresses: u64,
    /// People here whom it has or had.
    pub known: u64,
    /// Addresses of the directory that are nobody's here.
    pub strangers: u64,
}

fn rounds(row: &Row) -> Result<Rounds, StoreError> {
    let good = match row.time_opt("good_at")? {
        None => None,
        Some(at) => Some(GoodRound {
            at,
            took: Duration::from_micros(row.count("took_micros")?),
            addresses: row.count("addresses")?,
            known: row.count("known")?,
            strangers: row.count("strangers")?,
        }),
    };
    Ok(Rounds {
        settings: row.get("settings")?,
        asked_at: row.time("asked_at")?,
        next_at: row.time("next_at")?,
        failures: row.count("failures")?,
        error: row.get("error")?,
        alerted_at: row.time_opt("alerted_at")?,
        good,
    })
}

impl ReadTx {
    /// How asking a source went; `None` for one that was never asked.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_rounds(&mut self, id: SourceId) -> Result<Option<Rounds>, StoreError> {
        let sql = "SELECT settings, asked_at, next_at, failures, error, alerted_at, good_at, took_micros, addresses, known, \
                   strangers FROM source_rounds WHERE source_id = $1";
        self.tx.row(sql, args![id.uuid()]).await?.as_ref().map(rounds).transpose()
    }

    /// Whose account at a source ended, whether or not they have another one there.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_once(&mut self, id: SourceId) -> Result<Vec<PrincipalId>, StoreError> {
        let sql = "SELECT DISTINCT principal_id FROM accounts WHERE source_id = $1 AND ended_at IS NOT NULL";
        let rows = self.tx.rows(sql, args![id.uuid()]).await?;
        rows.iter().map(|row| Ok(PrincipalId::new(row.get("principal_id")?))).collect()
    }
}

impl Store {
    /// Writes how asking a source goes.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_rounds_keep(&self, id: SourceId, rounds: &Rounds) -> Result<(), StoreError> {
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let good = rounds.good.as_ref();
        let counted = |of: fn(&GoodRound) -> u64| good.map_or(0, |good| number(of(good)));
        let sql = "INSERT INTO source_rounds (source_id, settings, asked_at, next_at, failures, error, alerted_at, good_at, \
                   took_micros, addresses, known, strangers) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) \
                   ON CONFLICT (source_id) DO UPDATE SET settings = $2, asked_at = $3, next_at = $4, failures = $5, \
                   error = $6, alerted_at = $7, good_at = $8, took_micros = $9, addresses = $10, known = $11, strangers = $12";
        let args = args![
            id.uuid(),
            rounds.settings.as_slice(),
            rounds.asked_at,
            rounds.next_at,
            number(rounds.failures),
            rounds.error.clone(),
            rounds.alerted_at,
            good.map(|good| good.at),
            counted(|good| u64::try_from(good.took.as_micros()).unwrap_or(u64::MAX)),
            counted(|good| good.addresses),
            counted(|good| good.known),
            counted(|good| good.strangers),
        ];
        let mut tx = self.write().await?;
        tx.tx.execute(sql, args).await?;
        tx.commit_observation().await
    }
}
