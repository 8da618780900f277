//! Devices: one WireGuard key of one person.

use doorward_model::{DeviceId, DeviceName, EndReason, PresharedKey, PrincipalId, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Denial, Principal};

/// One key of one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// The id.
    pub id: DeviceId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// Its name, unique among the live devices of that person.
    pub name: DeviceName,
    /// Its key, used once for ever.
    pub public_key: PublicKey,
    /// Its pre-shared key, where it has one.
    pub preshared_key: Option<PresharedKey>,
    /// Its number in the address pool (`TunnelNetwork::device_addresses`).
    pub slot: u32,
    /// First moment at which the key is refused; `None` for no end.
    pub not_after: Option<Timestamp>,
    /// When it was enrolled.
    pub created_at: Timestamp,
    /// When its key was seen in two places, last: no sign-in of before counts for it.
    pub window_closed_at: Option<Timestamp>,
    /// Its end, where it has been ended.
    pub revoked: Option<Revocation>,
}

/// That and why a device was ended for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation {
    /// When it was decided.
    pub at: Timestamp,
    /// Why.
    pub reason: EndReason,
}

/// Where a device stands, for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// Its key counts, as far as the person does.
    Active,
    /// Its time is over.
    Expired,
    /// It was ended.
    Revoked,
}

/// What is needed to enrol a device; the store adds the slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewDevice {
    /// A fresh id.
    pub id: DeviceId,
    /// Whose it is.
    pub principal: PrincipalId,
    /// Its name.
    pub name: DeviceName,
    /// Its key.
    pub public_key: PublicKey,
    /// Its pre-shared key, where it has one.
    pub preshared_key: Option<PresharedKey>,
    /// When its key is refused.
    pub not_after: Option<Timestamp>,
    /// When it is enrolled.
    pub created_at: Timestamp,
}

impl NewDevice {
    /// Decides whether this person may get this device.
    ///
    /// # Errors
    /// A denial where the person is not active or the end is over.
    pub fn check(&self, owner: &Principal) -> Result<(), Denial> {
        owner.require_active("a device", self.created_at)?;
        match self.not_after {
            Some(end) if end <= self.created_at => Err(Denial::invalid(format!(
                "device {} would end at {end}, which is over: give a time after {}",
                self.name, self.created_at
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

impl Device {
    /// Says where the device stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> DeviceState {
        match (self.revoked, self.not_after) {
            (Some(_), _) => DeviceState::Revoked,
            (None, Some(end)) if end <= now => DeviceState::Expired,
            (None, Some(_) | None) => DeviceState::Active,
        }
    }
}
