//! The access policy: its texts, and who accepted which.

use doorward_model::{PrincipalId, Timestamp};

use crate::db::args;
use crate::{ReadTx, Store, StoreError, WriteTx};

impl ReadTx {
    /// When a person accepted this version of the access policy.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn policy_accepted(
        &mut self,
        person: PrincipalId,
        version: &str,
    ) -> Result<Option<Timestamp>, StoreError> {
        let sql = "SELECT accepted_at FROM policy_acceptances WHERE principal_id = $1 AND version = $2";
        let row = self.tx.row(sql, args![person.uuid(), version]).await?;
        row.map(|row| row.time("accepted_at")).transpose()
    }

    /// The version that a person accepted last, and when.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn policy_accepted_last(
        &mut self,
        person: PrincipalId,
    ) -> Result<Option<(String, Timestamp)>, StoreError> {
        let sql = "SELECT version, accepted_at FROM policy_acceptances WHERE principal_id = $1 \
                   ORDER BY accepted_at DESC, version LIMIT 1";
        let row = self.tx.row(sql, args![person.uuid()]).await?;
        row.map(|row| Ok((row.get("version")?, row.time("accepted_at")?))).transpose()
    }

    /// The text of a version, and since when it was used.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn policy_text(&mut self, version: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let row = self.tx.row("SELECT text, used_from FROM policies WHERE version = $1", args![version]).await?;
        row.map(|row| Ok((row.get("text")?, row.time("used_from")?))).transpose()
    }
}

impl WriteTx {
    /// Notes that a person accepted a version of the access policy; the first time counts.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn policy_accept(
        &mut self,
        person: PrincipalId,
        version: &str,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO policy_acceptances (principal_id, version, accepted_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (principal_id, version) DO NOTHING";
        self.tx.execute(sql, args![person.uuid(), version, now]).await.map(drop)
    }
}

impl Store {
    /// Keeps the text of the version in use, once.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn policy_keep(&self, version: &str, text: &str, now: Timestamp) -> Result<(), StoreError> {
        if self.read().await?.policy_text(version).await?.is_some() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        let sql =
            "INSERT INTO policies (version, text, used_from) VALUES ($1, $2, $3) ON CONFLICT (version) DO NOTHING";
        tx.tx.execute(sql, args![version, text, now]).await?;
        tx.commit_observation().await
    }
}
