//! Devices, their keys and their addresses.

use std::time::Duration;

use doorward_domain::{Device, NewDevice, Revocation};
use doorward_model::{DeviceId, EndReason, PresharedKey, PrincipalId, PublicKey, Timestamp, Tombstone, TunnelNetwork};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

/// How long an address rests after its device was revoked or its resource removed, so that no late packet and no stale rule of anybody's
/// firewall takes the next one for the last one.
pub(crate) const ADDRESS_REST: Duration = Duration::from_secs(24 * 3600);

pub(crate) fn device(row: &Row) -> Result<Device, StoreError> {
    let revoked = match row.time_opt("d_revoked_at")? {
        Some(at) => Some(Revocation { at, reason: end_reason(&row.get::<String>("d_revoked_reason")?)? }),
        None => None,
    };
    Ok(Device {
        id: DeviceId::new(row.get("d_id")?),
        principal: PrincipalId::new(row.get("d_principal_id")?),
        name: row.parsed("d_name")?,
        public_key: public_key(row.bytes32("d_public_key")?)?,
        preshared_key: row.bytes32_opt("d_preshared_key")?.map(PresharedKey::from_bytes),
        slot: u32::try_from(row.get::<i64>("d_slot")?).map_err(|source| StoreError::corrupt("slot", source))?,
        not_after: row.time_opt("d_not_after")?,
        created_at: row.time("d_created_at")?,
        window_closed_at: row.time_opt("d_window_closed_at")?,
        revoked,
    })
}

pub(crate) fn public_key(bytes: [u8; 32]) -> Result<PublicKey, StoreError> {
    PublicKey::from_bytes(bytes).map_err(|source| StoreError::corrupt("public_key", source))
}

/// The words for the reasons are those of the feed.
fn end_reason(word: &str) -> Result<EndReason, StoreError> {
    serde_json::from_value(serde_json::Value::String(word.to_owned()))
        .map_err(|source| StoreError::corrupt("revoked_reason", source))
}

const fn reason_word(reason: EndReason) -> &'static str {
    match reason {
        EndReason::Offboarded => "offboarded",
        EndReason::Suspended => "suspended",
        EndReason::ContractEnded => "contract_ended",
        EndReason::DeviceRevoked => "device_revoked",
        EndReason::DeviceExpired => "device_expired",
        EndReason::NotListed => "not_listed",
    }
}

macro_rules! device_columns {
    () => {
        "d.id AS d_id, d.principal_id AS d_principal_id, d.name AS d_name, d.public_key AS d_public_key, \
         d.preshared_key AS d_preshared_key, d.slot AS d_slot, d.not_after AS d_not_after, d.created_at AS d_created_at, \
         d.window_closed_at AS d_window_closed_at, d.revoked_at AS d_revoked_at, d.revoked_reason AS d_revoked_reason"
    };
}
pub(crate) use device_columns;

macro_rules! select_device {
    ($tail:literal) => {
        concat!("SELECT ", crate::devices::device_columns!(), " FROM devices d ", $tail)
    };
}
pub(crate) use select_device;

impl ReadTx {
    /// The device with this id, revoked or not.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn device(&mut self, id: DeviceId) -> Result<Option<Device>, StoreError> {
        self.tx.row(select_device!("WHERE d.id = $1"), args![id.uuid()]).await?.as_ref().map(device).transpose()
    }

    /// The device that has or had this key.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn device_by_key(&mut self, key: &PublicKey) -> Result<Option<Device>, StoreError> {
        self.tx
            .row(select_device!("WHERE d.public_key = $1"), args![key.as_bytes()])
            .await?
            .as_ref()
            .map(device)
            .transpose()
    }

    /// A person's devices, revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn devices_of(&mut self, person: PrincipalId) -> Result<Vec<Device>, StoreError> {
        let sql = select_device!("WHERE d.principal_id = $1 ORDER BY d.created_at, d.id");
        self.tx.rows(sql, args![person.uuid()]).await?.iter().map(device).collect()
    }

    /// Every device, revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn devices(&mut self) -> Result<Vec<Device>, StoreError> {
        self.tx.rows(select_device!("ORDER BY d.created_at, d.id"), args![]).await?.iter().map(device).collect()
    }

    /// Devices whose own time is over and that were not revoked.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn devices_expired(&mut self, now: Timestamp) -> Result<Vec<Device>, StoreError> {
        let sql = select_device!("WHERE d.not_after <= $1 AND d.revoked_at IS NULL ORDER BY d.not_after");
        self.tx.rows(sql, args![now]).await?.iter().map(device).collect()
    }

    /// Keys that were revoked since then, to be recognised and refused by name; the latest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn tombstones_since(&mut self, since: Timestamp) -> Result<Vec<Tombstone>, StoreError> {
        let sql = concat!(
            "SELECT ",
            device_columns!(),
            ", p.email AS email FROM devices d JOIN principals p ON p.id = d.principal_id ",
            "WHERE d.revoked_at >= $1 ORDER BY d.revoked_at DESC, d.id"
        );
        let rows = self.tx.rows(sql, args![since]).await?;
        let mut tombstones = Vec::with_capacity(rows.len());
        for row in &rows {
            let Device { id, name, public_key, revoked, .. } = device(row)?;
            if let Some(Revocation { at, reason }) = revoked {
                tombstones.push(Tombstone {
                    public_key,
                    device: id,
                    device_name: name,
                    email: row.parsed("email")?,
                    reason,
                    ended_at: at,
                });
            }
        }
        Ok(tombstones)
    }
}

impl WriteTx {
    /// Enrols a device and gives it the lowest address that is free and has rested.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the key was ever used (by anybody, revoked or not, or by a gateway) or the person
    /// has a live device of that name; [`StoreError::PoolFull`].
    pub async fn device_add(&mut self, new: &NewDevice, network: &TunnelNetwork) -> Result<Device, StoreError> {
        self.refuse_used_key(&new.public_key).await?;
        let named = "SELECT id FROM devices WHERE principal_id = $1 AND name = $2 AND revoked_at IS NULL";
        if self.tx.row(named, args![new.principal.uuid(), new.name.as_str()]).await?.is_some() {
            let name = &new.name;
            return Err(StoreError::conflict(format!(
                "this person has a device named {name} already: choose another name, or revoke that one"
            )));
        }
        let slot = self.lowest_free_slot(network, new.created_at).await?;
        let sql = "INSERT INTO devices (id, principal_id, name, public_key, preshared_key, slot, not_after, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        let args = args![
            new.id.uuid(),
            new.principal.uuid(),
            new.name.as_str(),
            new.public_key.as_bytes(),
            new.preshared_key.as_ref().map(|key| *key.expose_secret()),
            i64::from(slot),
            new.not_after,
            new.created_at,
        ];
        self.tx.execute(sql, args).await?;
        let take = "INSERT INTO address_slots (slot, device_id, rests_until) VALUES ($1, $2, 0) \
                    ON CONFLICT (slot) DO UPDATE SET device_id = excluded.device_id, rests_until = 0";
        self.tx.execute(take, args![i64::from(slot), new.id.uuid()]).await?;
        let added = self.device(new.id).await?;
        added.ok_or_else(|| StoreError::not_found("the device that was added cannot be read back"))
    }

    /// Notes that a device's key was seen in two places: no sign-in up to that moment counts for it.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn device_window_close(&mut self, id: DeviceId, at: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE devices SET window_closed_at = $2 WHERE id = $1";
        self.tx.execute(sql, args![id.uuid(), at]).await.map(drop)
    }

    /// Gives a device another pre-shared key, or none.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown id; [`StoreError::Conflict`] for a device that was revoked.
    pub async fn device_preshared_key(
        &mut self,
        id: DeviceId,
        key: Option<&PresharedKey>,
    ) -> Result<Device, StoreError> {
        let sql = "UPDATE devices SET preshared_key = $2 WHERE id = $1 AND revoked_at IS NULL";
        self.tx.execute(sql, args![id.uuid(), key.map(|key| *key.expose_secret())]).await?;
        let device = self.device(id).await?;
        let device = device
            .ok_or_else(|| StoreError::not_found(format!("device {id} does not exist: see `doorward device list`")))?;
        if device.revoked.is_some() {
            return Err(StoreError::conflict(format!(
                "device {id} was revoked: add a new one with `doorward device add`"
            )));
        }
        Ok(device)
    }

    /// Ends a device for good and lets its address rest; a device that was ended before stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown id.
    pub async fn device_revoke(
        &mut self,
        id: DeviceId,
        reason: EndReason,
        now: Timestamp,
    ) -> Result<Device, StoreError> {
        let sql = "UPDATE devices SET revoked_at = $2, revoked_reason = $3 WHERE id = $1 AND revoked_at IS NULL";
        self.tx.execute(sql, args![id.uuid(), now, reason_word(reason)]).await?;
        // A rest that would end past the last representable time rests for ever.
        let rests_until = now.checked_add(ADDRESS_REST).unwrap_or(Timestamp::MAX);
        let release = "UPDATE address_slots SET device_id = NULL, rests_until = $2 WHERE device_id = $1";
        self.tx.execute(release, args![id.uuid(), rests_until]).await?;
        let device = self.device(id).await?;
        device.ok_or_else(|| StoreError::not_found(format!("device {id} does not exist: see `doorward device list`")))
    }

    pub(crate) async fn refuse_used_key(&mut self, key: &PublicKey) -> Result<(), StoreError> {
        let used = "SELECT d.name AS name, d.revoked_at AS revoked_at, p.email AS email FROM devices d \
                    JOIN principals p ON p.id = d.principal_id WHERE d.public_key = $1";
        if let Some(row) = self.tx.row(used, args![key.as_bytes()]).await? {
            let (name, email) = (row.get::<String>("name")?, row.get::<String>("email")?);
            let ended = if row.time_opt("revoked_at")?.is_some() { ", which was revoked" } else { "" };
            return Err(StoreError::conflict(format!(
                "key {key} was enrolled before, as device {name} of {email}{ended}; a key is used once: make a new pair with `wg genkey`"
            )));
        }
        let gateway = self.tx.row("SELECT name FROM gateways WHERE public_key = $1", args![key.as_bytes()]).await?;
        match gateway.map(|row| row.get::<String>("name")).transpose()? {
            Some(name) => Err(StoreError::conflict(format!(
                "key {key} is the one of gateway {name}: give the public key of the device's own pair, made with `wg genkey`"
            ))),
            None => Ok(()),
        }
    }

    /// Each slot below the highest one ever used has a row, so the lowest free one is a rested row, or the next number.
    async fn lowest_free_slot(&mut self, network: &TunnelNetwork, now: Timestamp) -> Result<u32, StoreError> {
        let rested =
            "SELECT slot FROM address_slots WHERE device_id IS NULL AND rests_until <= $1 ORDER BY slot LIMIT 1";
        let rested = self.tx.row(rested, args![now]).await?.map(|row| row.get::<i64>("slot")).transpose()?;
        let slot = match rested {
            Some(slot) => slot,
            None => {
                let next = self.tx.row("SELECT COALESCE(MAX(slot) + 1, 0) AS slot FROM address_slots", args![]).await?;
                next.map(|row| row.get::<i64>("slot")).transpose()?.unwrap_or(0)
            }
        };
        let slots = network.device_slots();
        match u32::try_from(slot) {
            Ok(slot) if slot < slots && network.device_addresses(slot).is_some() => Ok(slot),
            Ok(_) | Err(_) => {
                let resting = "SELECT COUNT(*) AS resting FROM address_slots WHERE device_id IS NULL AND rests_until > $1 AND slot < $2";
                let row = self.tx.row(resting, args![now, i64::from(slots)]).await?;
                let resting = row.map(|row| row.count("resting")).transpose()?.unwrap_or(0);
                Err(StoreError::PoolFull { slots, resting })
            }
        }
    }
}

/// Ids as the database takes them.
pub(crate) fn uuids(devices: &[DeviceId]) -> Vec<Uuid> {
    devices.iter().map(|device| device.uuid()).collect()
}
