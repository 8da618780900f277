//! Alerts.

use doorward_domain::Alert;
use doorward_model::{DeviceId, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// Alerts of one answer at most.
const ROWS_MAX: u32 = 1_000;
/// Alerts kept at most, however many a gateway sends.
const ALERTS_MAX: i64 = 100_000;
/// How long alerts are kept.
const KEPT: std::time::Duration = std::time::Duration::from_secs(90 * 24 * 3600);

fn alert(row: &Row) -> Result<Alert, StoreError> {
    Ok(Alert {
        at: row.time("at")?,
        kind: row.parsed("kind")?,
        gateway: row.parsed_opt("gateway")?,
        device: row.get::<Option<uuid::Uuid>>("device_id")?.map(DeviceId::new),
        email: row.parsed_opt("email")?,
        source: row.parsed_opt("source")?,
        message: row.get("message")?,
        count: row.count("count")?,
    })
}

impl ReadTx {
    /// The latest alerts, the latest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn alerts_recent(&mut self, rows: u32) -> Result<Vec<Alert>, StoreError> {
        let sql = "SELECT id, at, kind, gateway, device_id, email, source, message, count FROM alerts ORDER BY id DESC LIMIT $1";
        self.tx.rows(sql, args![i64::from(rows.min(ROWS_MAX))]).await?.iter().map(alert).collect()
    }
}

impl Store {
    /// Keeps alerts, in one transaction.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn alerts_record(&self, alerts: &[Alert]) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        for alert in alerts {
            let sql = "INSERT INTO alerts (at, kind, gateway, device_id, email, source, message, count) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
            let args = args![
                alert.at,
                alert.kind.as_str(),
                alert.gateway.as_ref().map(ToString::to_string),
                alert.device.map(DeviceId::uuid),
                alert.email.as_ref().map(ToString::to_string),
                alert.source.map(|source| source.to_string()),
                alert.message.as_str(),
                alert.count,
            ];
            tx.tx.execute(sql, args).await?;
        }
        tx.commit_observation().await
    }
}

impl WriteTx {
    pub(crate) async fn alerts_prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let before = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        let sql = "DELETE FROM alerts WHERE at < $1 OR id <= (SELECT MAX(id) FROM alerts) - $2";
        self.tx.execute(sql, args![before, ALERTS_MAX]).await.map(drop)
    }
}
