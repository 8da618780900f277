//! The audit chain.

use doorward_domain::{AuditHash, AuditRow, ChainHead};
use doorward_model::Timestamp;

use crate::db::{Row, args, int};
use crate::{ReadTx, StoreError};

/// Rows of one page at most; an export reads page after page.
const PAGE_ROWS_MAX: u32 = 1_000;

pub(crate) fn audit_row(row: &Row) -> Result<AuditRow, StoreError> {
    Ok(AuditRow {
        seq: row.count("seq")?,
        at: row.time("at")?,
        actor: row.get("actor")?,
        action: row.get("action")?,
        subject: row.get("subject")?,
        detail: row.get("detail")?,
        previous_hash: AuditHash(row.bytes32("previous_hash")?),
        hash: AuditHash(row.bytes32("hash")?),
    })
}

impl ReadTx {
    /// The last row's number and hash: what the next row builds on, and what a checkpoint holds.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn audit_head(&mut self) -> Result<ChainHead, StoreError> {
        let row = self.tx.row("SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1", args![]).await?;
        match row {
            Some(row) => Ok(ChainHead { seq: row.count("seq")?, hash: AuditHash(row.bytes32("hash")?) }),
            None => Ok(ChainHead::START),
        }
    }

    /// The last rows, oldest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn audit_tail(&mut self, rows: u32) -> Result<Vec<AuditRow>, StoreError> {
        let found = self
            .tx
            .rows(
                "SELECT seq, at, actor, action, subject, detail, previous_hash, hash \
                FROM audit ORDER BY seq DESC LIMIT $1",
                args![i64::from(rows.min(PAGE_ROWS_MAX))],
            )
            .await?;
        found.iter().rev().map(audit_row).collect()
    }

    /// The rows after that number, oldest first; at most 1,000. Fewer than asked for means that there are no more.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn audit_after(&mut self, seq: u64, rows: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, subject, detail, previous_hash, hash \
            FROM audit WHERE seq > $1 ORDER BY seq LIMIT $2";
        self.tx.rows(sql, args![int(seq), i64::from(rows.min(PAGE_ROWS_MAX))]).await?.iter().map(audit_row).collect()
    }

    /// The latest rows that say that somebody's access ended, the latest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn audit_endings(&mut self, subject: &str, rows: u32) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, subject, detail, previous_hash, hash FROM audit WHERE subject = $1 \
            AND action IN ('person.offboard', 'person.suspend', 'person.end', 'person.inactive') ORDER BY seq DESC LIMIT $2";
        let rows = args![subject, i64::from(rows.min(PAGE_ROWS_MAX))];
        self.tx.rows(sql, rows).await?.iter().map(audit_row).collect()
    }

    /// The time of the audit's last row: a floor for a clock that was set back. An earlier row may have a later time, from a
    /// clock that was ahead and is set right.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn last_recorded_at(&mut self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.tx.row("SELECT at FROM audit ORDER BY seq DESC LIMIT 1", args![]).await?;
        row.map(|row| row.time_opt("at")).transpose().map(Option::flatten)
    }

    pub(crate) async fn audit_append(&mut self, row: &AuditRow) -> Result<(), StoreError> {
        let sql = "INSERT INTO audit (seq, at, actor, action, subject, detail, previous_hash, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let args = args![
            int(row.seq),
            row.at,
            row.actor.as_str(),
            row.action.as_str(),
            row.subject.as_str(),
            row.detail.as_str(),
            &row.previous_hash.0,
            &row.hash.0,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }
}
