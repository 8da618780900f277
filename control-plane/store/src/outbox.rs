//! The outbox: which revision concerned whom.

use std::collections::BTreeSet;

use doorward_model::{DeviceId, Revision};

use crate::db::{args, int};
use crate::{ReadTx, StoreError, WriteTx};

/// Revisions kept: a gateway that is further behind takes a snapshot.
const OUTBOX_REVISIONS_MAX: u64 = 10_000;

/// What changed since a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The revision that this leads to.
    pub revision: Revision,
    /// Every lease has to be derived again; `devices` says nothing then.
    pub everything: bool,
    /// Lockdown was turned on or off.
    pub lockdown: bool,
    /// Devices whose leases have to be derived again.
    pub devices: BTreeSet<DeviceId>,
}

impl ReadTx {
    /// The revision of this state.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn revision(&mut self) -> Result<Revision, StoreError> {
        let row = self.tx.row("SELECT revision FROM feed_revision WHERE id = 1", args![]).await?;
        let row =
            row.ok_or_else(|| StoreError::not_found("the database has lost its revision row: restore it from a copy"))?;
        row.count("revision").map(Revision)
    }

    /// What changed since that revision. Where that cannot be said (it is too long ago, or was never this database's),
    /// everything did.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn outbox_since(&mut self, since: Revision) -> Result<Changes, StoreError> {
        let revision = self.revision().await?;
        let mut changes = Changes { revision, everything: revision < since, lockdown: false, devices: BTreeSet::new() };
        let sql = "SELECT o.revision AS revision, o.kind AS kind, d.device_id AS device_id FROM outbox o \
                   LEFT JOIN outbox_devices d ON d.revision = o.revision WHERE o.revision > $1 ORDER BY o.revision";
        let mut found = BTreeSet::new();
        for row in self.tx.rows(sql, args![int(since.0)]).await? {
            found.insert(row.count("revision")?);
            match row.get::<String>("kind")?.as_str() {
                "devices" => changes.devices.extend(row.get::<Option<uuid::Uuid>>("device_id")?.map(DeviceId::new)),
                "lockdown" => changes.lockdown = true,
                _ => changes.everything = true,
            }
        }
        let expected = revision.0.saturating_sub(since.0);
        changes.everything |= u64::try_from(found.len()).ok() != Some(expected);
        Ok(changes)
    }
}

impl WriteTx {
    pub(crate) async fn outbox_prune(&mut self) -> Result<(), StoreError> {
        let oldest = self.revision().await?.0.saturating_sub(OUTBOX_REVISIONS_MAX);
        self.tx.execute("DELETE FROM outbox WHERE revision <= $1", args![int(oldest)]).await.map(drop)
    }
}
