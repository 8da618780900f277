//! Transactions: reading one consistent state, and changing it together with its audit row and its outbox row.

use std::ops::{Deref, DerefMut};

use doorward_domain::{AuditEntry, micros};
use doorward_model::{DeviceId, Revision, Timestamp};

use crate::db::{Tx, args, int};
use crate::{StoreError, notify};

/// One consistent state of the database; every read goes through here. Dropping it ends it.
///
/// The reads are methods, sorted by subject into files: `people.rs`, `devices.rs`, `resources.rs`, `grants.rs`,
/// `gateways.rs`, `tokens.rs`, `lockdown.rs`, `audit.rs`, `outbox.rs`, `leases.rs`, `receipts.rs`, `alerts.rs`,
/// `credentials.rs`, `sessions.rs`, `attempts.rs`, `mails.rs`, `policy.rs`, `sources.rs`, `accounts.rs`, `disuse.rs`.
pub struct ReadTx {
    pub(crate) tx: Tx,
}

/// A change in the making. It reads like a [`ReadTx`], sees its own writes, and excludes every other writer until it
/// ends, so that what was decided inside is still true at the commit.
///
/// [`WriteTx::commit`] is the only way to keep it: no audit row, no change. Dropping it takes everything back.
#[must_use = "a change that is not committed is taken back"]
pub struct WriteTx {
    read: ReadTx,
}

/// Whom a change concerns, at the gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outbox {
    /// No gateway.
    None,
    /// These devices' leases have to be derived again; an empty list is [`Outbox::None`].
    Devices(Vec<DeviceId>),
    /// Every device's lease has to be derived again.
    Everything,
    /// Lockdown was turned on or off.
    Lockdown,
}

/// What a commit gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Committed {
    /// The revision afterwards: one more than before where gateways are concerned, else the same.
    pub revision: Revision,
    /// Whether gateways are concerned, and will confirm `revision`.
    pub gateways_concerned: bool,
    /// The number of the audit row.
    pub audit_seq: u64,
    /// When it was decided, as recorded.
    pub at: Timestamp,
}

/// Devices listed in one outbox row at most; a change that concerns more is written as one that concerns everything.
const OUTBOX_DEVICES_MAX: usize = 1_000;

impl Deref for WriteTx {
    type Target = ReadTx;

    fn deref(&self) -> &ReadTx {
        &self.read
    }
}

impl DerefMut for WriteTx {
    fn deref_mut(&mut self) -> &mut ReadTx {
        &mut self.read
    }
}

impl WriteTx {
    pub(crate) fn new(tx: Tx) -> Self {
        Self { read: ReadTx { tx } }
    }

    /// Keeps the change: appends the audit row to the chain, adds one to the revision where gateways are concerned, and
    /// commits all of it at once.
    ///
    /// # Errors
    /// Any [`StoreError`]; nothing was kept then. (Where a PostgreSQL server is lost during the commit itself, nobody
    /// can say whether it was kept: read again before telling somebody.)
    pub async fn commit(mut self, audit: AuditEntry, outbox: Outbox) -> Result<Committed, StoreError> {
        let row = audit.chained(self.read.audit_head().await?);
        self.read.audit_append(&row).await?;
        let (kind, devices) = match outbox {
            Outbox::None => (None, Vec::new()),
            Outbox::Devices(devices) if devices.is_empty() => (None, devices),
            Outbox::Devices(devices) if devices.len() > OUTBOX_DEVICES_MAX => (Some("everything"), Vec::new()),
            Outbox::Devices(devices) => (Some("devices"), devices),
            Outbox::Everything => (Some("everything"), Vec::new()),
            Outbox::Lockdown => (Some("lockdown"), Vec::new()),
        };
        let revision = match kind {
            None => self.read.revision().await?,
            Some(kind) => self.read.outbox_append(kind, devices, row.at).await?,
        };
        if kind.is_some() {
            notify::say_revision(&mut self.read.tx, revision.0).await?;
        }
        self.read.tx.commit().await?;
        Ok(Committed { revision, gateways_concerned: kind.is_some(), audit_seq: row.seq, at: micros(row.at) })
    }

    /// Keeps what is an observation and no change: a receipt, an alert, a time when somebody was seen last.
    pub(crate) async fn commit_observation(self) -> Result<(), StoreError> {
        self.read.tx.commit().await
    }
}

impl ReadTx {
    /// Adds one to the revision and lists what it concerns.
    async fn outbox_append(
        &mut self,
        kind: &'static str,
        mut devices: Vec<DeviceId>,
        at: Timestamp,
    ) -> Result<Revision, StoreError> {
        let row = self
            .tx
            .row("UPDATE feed_revision SET revision = revision + 1 WHERE id = 1 RETURNING revision", args![])
            .await?;
        let row =
            row.ok_or_else(|| StoreError::not_found("the database has lost its revision row: restore it from a copy"))?;
        let revision = row.count("revision")?;
        self.tx
            .execute("INSERT INTO outbox (revision, at, kind) VALUES ($1, $2, $3)", args![int(revision), at, kind])
            .await?;
        devices.sort_unstable();
        devices.dedup();
        for device in devices {
            self.tx
                .execute(
                    "INSERT INTO outbox_devices (revision, device_id) VALUES ($1, $2)",
                    args![int(revision), device.uuid()],
                )
                .await?;
        }
        Ok(Revision(revision))
    }
}
