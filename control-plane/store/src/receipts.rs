//! Receipts: what gateways confirmed.

use doorward_domain::Receipt;
use doorward_model::{GatewayId, Revision, Timestamp};

use crate::db::{Row, args, int};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// Receipts of one answer at most.
const ROWS_MAX: u32 = 1_000;
/// How long receipts are kept: the audit's twelve months (PCI DSS 10.5.1).
const KEPT: std::time::Duration = std::time::Duration::from_secs(366 * 24 * 3600);

fn receipt(row: &Row) -> Result<Receipt, StoreError> {
    Ok(Receipt {
        gateway: GatewayId::new(row.get("gateway_id")?),
        gateway_name: row.parsed("gateway_name")?,
        revision: Revision(row.count("revision")?),
        decided_at: row.time("decided_at")?,
        enforced_at: row.time("enforced_at")?,
        enforced_after_ms: row.count_opt("enforced_after_ms")?,
        last_packets: row.json("last_packets")?,
    })
}

macro_rules! select_receipt {
    ($tail:literal) => {
        concat!("SELECT r.gateway_id, r.revision, r.decided_at, r.enforced_at, r.enforced_after_ms, r.last_packets, g.name AS gateway_name FROM receipts r JOIN gateways g ON g.id = r.gateway_id ", $tail)
    };
}

impl ReadTx {
    /// The latest receipts, the latest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn receipts_recent(&mut self, rows: u32) -> Result<Vec<Receipt>, StoreError> {
        let sql = select_receipt!("ORDER BY r.revision DESC, g.name LIMIT $1");
        self.tx.rows(sql, args![i64::from(rows.min(ROWS_MAX))]).await?.iter().map(receipt).collect()
    }

    /// Who confirmed this revision.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn receipts_for(&mut self, revision: Revision) -> Result<Vec<Receipt>, StoreError> {
        let sql = select_receipt!("WHERE r.revision = $1 ORDER BY g.name");
        self.tx.rows(sql, args![int(revision.0)]).await?.iter().map(receipt).collect()
    }

    /// Who confirmed what was decided at that very moment.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn receipts_of(&mut self, decided_at: Timestamp) -> Result<Vec<Receipt>, StoreError> {
        let sql = select_receipt!("WHERE r.decided_at = $1 ORDER BY r.revision, g.name");
        self.tx.rows(sql, args![decided_at]).await?.iter().map(receipt).collect()
    }

    /// When this revision was committed; `None` where nobody knows any longer.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn decided_at(&mut self, revision: Revision) -> Result<Option<Timestamp>, StoreError> {
        self.tx
            .row("SELECT at FROM outbox WHERE revision = $1", args![int(revision.0)])
            .await?
            .map(|row| row.time("at"))
            .transpose()
    }
}

impl Store {
    /// Keeps what a gateway confirmed; see [`WriteTx::receipts_record`].
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn receipt_record(&self, receipt: &Receipt) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.receipts_record(std::slice::from_ref(receipt)).await?;
        tx.commit_observation().await
    }
}

impl WriteTx {
    /// Keeps what gateways confirmed, and the revision that each holds. The first receipt for a revision stays.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn receipts_record(&mut self, receipts: &[Receipt]) -> Result<(), StoreError> {
        for receipt in receipts {
            let last_packets = serde_json::to_string(&receipt.last_packets)
                .map_err(|source| StoreError::corrupt("last_packets", source))?;
            let sql = "INSERT INTO receipts (gateway_id, revision, decided_at, enforced_at, enforced_after_ms, last_packets) \
                       VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (gateway_id, revision) DO NOTHING";
            let args = args![
                receipt.gateway.uuid(),
                int(receipt.revision.0),
                receipt.decided_at,
                receipt.enforced_at,
                receipt.enforced_after_ms,
                last_packets,
            ];
            self.tx.execute(sql, args).await?;
            let sql = "UPDATE gateways SET revision = $2, last_seen_at = $3 WHERE id = $1";
            let args = args![receipt.gateway.uuid(), int(receipt.revision.0), receipt.enforced_at];
            self.tx.execute(sql, args).await?;
        }
        Ok(())
    }

    pub(crate) async fn receipts_prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let before = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        self.tx.execute("DELETE FROM receipts WHERE enforced_at < $1", args![before]).await.map(drop)
    }
}
