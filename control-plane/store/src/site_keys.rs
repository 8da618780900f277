//! What every replica must have alike, by its fingerprint: the first control plane of a database sets it.

use doorward_model::Timestamp;

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// Something that replicas must have alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SiteKey {
    /// Its name, such as `seal`.
    pub name: &'static str,
    /// SHA-256 of it, or of what says enough of it.
    pub fingerprint: [u8; 32],
}

impl ReadTx {
    async fn site_key(&mut self, name: &str) -> Result<Option<[u8; 32]>, StoreError> {
        let row = self.tx.row("SELECT fingerprint FROM site_keys WHERE name = $1", args![name]).await?;
        row.map(|row: Row| row.bytes32("fingerprint")).transpose()
    }
}

impl WriteTx {
    async fn site_key_keep(&mut self, key: &SiteKey, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO site_keys (name, fingerprint, kept_at) VALUES ($1, $2, $3)";
        self.tx.execute(sql, args![key.name, &key.fingerprint, now]).await.map(drop)
    }
}

impl Store {
    /// Compares keys with those of the replica that came first, or sets them; returns the names of those that differ.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn site_keys_differing(&self, keys: &[SiteKey], now: Timestamp) -> Result<Vec<&'static str>, StoreError> {
        // Most starts only look, which a database that cannot be written allows too.
        let mut read = self.read().await?;
        let (mut differing, mut missing) = (Vec::new(), false);
        for key in keys {
            match read.site_key(key.name).await? {
                None => missing = true,
                Some(kept) if kept == key.fingerprint => {}
                Some(_) => differing.push(key.name),
            }
        }
        drop(read);
        if !missing || !differing.is_empty() {
            return Ok(differing);
        }
        let mut tx = self.write().await?;
        for key in keys {
            match tx.site_key(key.name).await? {
                None => tx.site_key_keep(key, now).await?,
                Some(kept) if kept == key.fingerprint => {}
                Some(_) => differing.push(key.name),
            }
        }
        if differing.is_empty() {
            tx.commit_observation().await?;
        }
        Ok(differing)
    }

    /// Forgets the keys of all replicas: the next one that starts sets its own.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn site_keys_forget(&self) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("DELETE FROM site_keys", args![]).await?;
        tx.commit_observation().await
    }
}
