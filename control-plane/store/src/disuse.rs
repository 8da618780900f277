//! When devices were used last, and who and what nobody uses any more.

use doorward_domain::{Device, Principal};
use doorward_model::{DeviceId, Timestamp};
use jiff::SignedDuration;

use crate::db::args;
use crate::devices::{device, select_device};
use crate::people::{principal, select_person};
use crate::{ReadTx, Store, StoreError};

/// How exactly the last use is kept: a device that is used all day is written down once in so long.
const USED_EVERY: SignedDuration = SignedDuration::from_hours(1);

/// What was not used since a moment, next to all there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unused {
    /// Devices whose tunnels were not alive.
    pub devices: u64,
    /// People whom nobody saw.
    pub people: u64,
}

macro_rules! unused_devices {
    () => {
        "d.revoked_at IS NULL AND COALESCE(d.used_at, d.created_at) < $1"
    };
}

macro_rules! inactive_people {
    () => {
        "p.state = 'active' AND p.role <> 'owner' AND p.changed_at < $1 AND COALESCE(p.signed_in_at, 0) < $1 \
         AND NOT EXISTS (SELECT 1 FROM devices d WHERE d.principal_id = p.id AND COALESCE(d.used_at, d.created_at) >= $1)"
    };
}

impl ReadTx {
    /// How much was not used since then.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn unused(&mut self, since: Timestamp) -> Result<Unused, StoreError> {
        let sql = concat!(
            "SELECT (SELECT COUNT(*) FROM devices d WHERE ",
            unused_devices!(),
            ") AS devices, (SELECT COUNT(*) FROM principals p WHERE ",
            inactive_people!(),
            ") AS people"
        );
        let row = self.tx.row(sql, args![since]).await?;
        let row = row.ok_or_else(|| StoreError::not_found("the database gave no counts"))?;
        Ok(Unused { devices: row.count("devices")?, people: row.count("people")? })
    }

    /// Devices whose tunnels were not alive since then; the longest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn devices_unused(&mut self, since: Timestamp) -> Result<Vec<Device>, StoreError> {
        let sql = concat!(select_device!("WHERE "), unused_devices!(), " ORDER BY d.used_at, d.id");
        self.tx.rows(sql, args![since]).await?.iter().map(device).collect()
    }

    /// Active people who since then neither signed in nor used a device, nor were added or taken back. Owners are never
    /// among them: a shop needs somebody who can open up.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn people_inactive(&mut self, since: Timestamp) -> Result<Vec<Principal>, StoreError> {
        let sql = concat!(select_person!("WHERE "), inactive_people!(), " ORDER BY p.id");
        self.tx.rows(sql, args![since]).await?.iter().map(principal).collect()
    }
}

impl Store {
    /// Notes when devices were used last; what is known to the hour is not written again.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn devices_used(&self, used: &[(DeviceId, Timestamp)]) -> Result<(), StoreError> {
        if used.is_empty() {
            return Ok(());
        }
        let mut tx = self.write().await?;
        for (device, at) in used {
            let known = at.checked_sub(USED_EVERY).unwrap_or(Timestamp::MIN);
            let sql = "UPDATE devices SET used_at = $2 WHERE id = $1 AND COALESCE(used_at, 0) < $3";
            tx.tx.execute(sql, args![device.uuid(), *at, known]).await?;
        }
        tx.commit_observation().await
    }
}
