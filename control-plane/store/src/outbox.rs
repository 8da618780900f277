//! The outbox: which revision concerned whom.

use std::collections::BTreeSet;

use doorward_model::{DeviceId, Revision, Timestamp};

use crate::db::{args, int};
use crate::{ReadTx, StoreError, WriteTx};

/// Revisions kept: a gateway that is further behind takes a snapshot.
const OUTBOX_REVISIONS_MAX: u64 = 10_000;

/// A committed state, by its revision and the moment of its commit: no two histories of a database have one in common
/// that they do not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// The revision.
    pub revision: Revision,
    /// When it was committed.
    pub at: Timestamp,
}

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

    /// The newest state that concerned gateways; `None` before the first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn mark(&mut self) -> Result<Option<Mark>, StoreError> {
        let row = self.tx.row("SELECT revision, at FROM outbox ORDER BY revision DESC LIMIT 1", args![]).await?;
        row.map(|row| Ok(Mark { revision: Revision(row.count("revision")?), at: row.time("at")? })).transpose()
    }

    /// Says whether a state was one of this database: its commit is here, or is older than what is kept, or was left
    /// behind on purpose ([`WriteTx::revision_leap`]). A database that was put back from an older copy says no.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn has_been(&mut self, mark: Mark) -> Result<bool, StoreError> {
        let sql = "SELECT 1 AS it FROM outbox WHERE revision = $1 AND at = $2";
        if self.tx.row(sql, args![int(mark.revision.0), mark.at]).await?.is_some() {
            return Ok(true);
        }
        // Revisions follow each other but after a leap, and where the oldest were deleted.
        let sql = "SELECT 1 AS it FROM outbox o WHERE o.revision > $1 AND NOT EXISTS \
                   (SELECT 1 FROM outbox p WHERE p.revision = o.revision - 1) LIMIT 1";
        Ok(self.tx.row(sql, args![int(mark.revision.0)]).await?.is_some())
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
    /// Raises the revision so that the next commit leaps past `beyond`: all before it is left behind.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn revision_leap(&mut self, beyond: Revision) -> Result<(), StoreError> {
        let to = self.revision().await?.max(beyond).0.saturating_add(1);
        self.tx.execute("UPDATE feed_revision SET revision = $1 WHERE id = 1", args![int(to)]).await.map(drop)
    }

    pub(crate) async fn outbox_prune(&mut self) -> Result<(), StoreError> {
        let oldest = self.revision().await?.0.saturating_sub(OUTBOX_REVISIONS_MAX);
        self.tx.execute("DELETE FROM outbox WHERE revision <= $1", args![int(oldest)]).await.map(drop)
    }
}
