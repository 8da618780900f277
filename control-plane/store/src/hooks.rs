//! Webhooks: their sealed secrets, and the messages that were heard.

use doorward_domain::DeliveryId;
use doorward_model::{SourceId, Timestamp};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// How long a message is remembered: far longer than a replay has, so that a sender that tries again for hours is understood.
const DELIVERIES_KEPT: SignedDuration = SignedDuration::from_hours(24);

/// A webhook's secret, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSecret {
    /// The id, which the seal is bound to.
    pub id: Uuid,
    /// The sealed secret.
    pub sealed: Vec<u8>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom, as the audit names them.
    pub created_by: String,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Whether a message was heard before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It was not.
    New,
    /// It was, and what it said was not done to its end.
    Unfinished,
    /// It was, and what it said was done.
    Done,
}

fn secret(row: &Row) -> Result<HookSecret, StoreError> {
    Ok(HookSecret {
        id: row.get("id")?,
        sealed: row.get("sealed")?,
        created_at: row.time("created_at")?,
        created_by: row.get("created_by")?,
        last_used_at: row.time_opt("last_used_at")?,
    })
}

impl ReadTx {
    /// The secrets of a webhook that were not revoked, the oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn hook_secrets(&mut self, id: SourceId) -> Result<Vec<HookSecret>, StoreError> {
        let sql = "SELECT id, sealed, created_at, created_by, last_used_at FROM hook_secrets WHERE source_id = $1 AND revoked_at IS NULL ORDER BY created_at";
        self.tx.rows(sql, args![id.uuid()]).await?.iter().map(secret).collect()
    }
}

impl WriteTx {
    /// Keeps a webhook's secret.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn hook_secret_add(&mut self, id: SourceId, secret: &HookSecret) -> Result<(), StoreError> {
        let sql =
            "INSERT INTO hook_secrets (id, source_id, sealed, created_at, created_by) VALUES ($1, $2, $3, $4, $5)";
        let args = args![secret.id, id.uuid(), secret.sealed.as_slice(), secret.created_at, secret.created_by.as_str()];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Ends a webhook's secrets that were made before that moment, and returns how many.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn hook_secrets_revoke(
        &mut self,
        id: SourceId,
        made_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE hook_secrets SET revoked_at = $3 \
                   WHERE source_id = $1 AND revoked_at IS NULL AND created_at < $2";
        self.tx.execute(sql, args![id.uuid(), made_before, now]).await
    }

    pub(crate) async fn hook_deliveries_prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let before = now.checked_sub(DELIVERIES_KEPT).unwrap_or(Timestamp::MIN);
        self.tx.execute("DELETE FROM hook_deliveries WHERE begun_at <= $1", args![before]).await.map(drop)
    }
}

impl Store {
    /// Notes that a message came, and says whether it had come before; of two replicas one alone hears it as new.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn hook_delivery_begin(
        &self,
        source: SourceId,
        delivery: &DeliveryId,
        now: Timestamp,
    ) -> Result<Delivery, StoreError> {
        let mut tx = self.write().await?;
        let sql = "SELECT done_at FROM hook_deliveries WHERE source_id = $1 AND delivery = $2";
        match tx.tx.row(sql, args![source.uuid(), &delivery.0]).await? {
            Some(row) if row.time_opt("done_at")?.is_some() => return Ok(Delivery::Done),
            Some(_) => return Ok(Delivery::Unfinished),
            None => {}
        }
        let sql = "INSERT INTO hook_deliveries (source_id, delivery, begun_at) VALUES ($1, $2, $3)";
        tx.tx.execute(sql, args![source.uuid(), &delivery.0, now]).await?;
        tx.commit_observation().await?;
        Ok(Delivery::New)
    }

    /// Notes that what a message said was done.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn hook_delivery_done(
        &self,
        source: SourceId,
        delivery: &DeliveryId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "UPDATE hook_deliveries SET done_at = $3 WHERE source_id = $1 AND delivery = $2";
        tx.tx.execute(sql, args![source.uuid(), &delivery.0, now]).await?;
        tx.commit_observation().await
    }

    /// Notes that a webhook's secret was used; call it at most once a minute for each.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn hook_secret_used(&self, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("UPDATE hook_secrets SET last_used_at = $2 WHERE id = $1", args![id, at]).await?;
        tx.commit_observation().await
    }
}
