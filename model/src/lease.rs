//! What a gateway enforces for one device.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    Allow, DeviceId, DeviceName, Email, GrantId, Interval, PresharedKey, PrincipalId, PublicKey, ResourceName,
    ServiceAddress, Target,
};

/// What one device may do, until when. Derived by the control plane, never typed in.
///
/// A lease with no rules is a device that may connect and reach nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The device; a gateway holds at most one lease for it.
    pub device: DeviceId,
    /// The device's name, for events.
    pub device_name: DeviceName,
    /// Whose device it is.
    pub principal: PrincipalId,
    /// The person's email address, for events.
    pub email: Email,
    /// The device's WireGuard key; no other lease has it.
    pub public_key: PublicKey,
    /// The pre-shared key of this device, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preshared_key: Option<PresharedKey>,
    /// The device's address inside the tunnel, a /32.
    pub address_v4: Ipv4Addr,
    /// The device's address inside the tunnel, a /128.
    pub address_v6: Ipv6Addr,
    /// Device validity and the person's own end date; outside of it the key is refused by name.
    pub validity: Interval,
    /// When the sign-in window closes: afterwards the device is in quarantine. `None` where no sign-in is asked for;
    /// `Timestamp::MIN` where the person has not signed in.
    #[serde(default)]
    pub sign_in_until: Option<Timestamp>,
    /// What it may reach; a packet passes when one rule allows it at that moment.
    pub rules: Vec<Rule>,
}

/// One grant, resolved to addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The grant it follows from; flows are tied to it.
    pub grant: GrantId,
    /// The resource's name, for events and records.
    pub resource: ResourceName,
    /// The resource's own address inside Doorward's network, which the gateway translates to a target; `None` where the
    /// network is too small to have any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceAddress>,
    /// Where it leads; empty allows nothing. Prefixes are reached directly too, names by the service address alone.
    pub targets: Vec<Target>,
    /// What is allowed there; empty allows nothing.
    pub allow: Vec<Allow>,
    /// From when to when.
    pub validity: Interval,
}

/// Why something ended, in the words of the record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The person left.
    Offboarded,
    /// The person was suspended.
    Suspended,
    /// The person's own end date came.
    ContractEnded,
    /// The device was revoked.
    DeviceRevoked,
    /// The device's validity ran out.
    DeviceExpired,
    /// A snapshot or a delta no longer lists it.
    NotListed,
}

impl fmt::Display for EndReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Offboarded => "offboarded",
            Self::Suspended => "suspended",
            Self::ContractEnded => "contract ended",
            Self::DeviceRevoked => "device revoked",
            Self::DeviceExpired => "device expired",
            Self::NotListed => "no longer listed",
        })
    }
}

/// A key that was revoked and is still recognised, so that it can be refused by name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tombstone {
    /// The revoked key.
    pub public_key: PublicKey,
    /// The device it belonged to.
    pub device: DeviceId,
    /// That device's name.
    pub device_name: DeviceName,
    /// Whose it was.
    pub email: Email,
    /// Why it ended.
    pub reason: EndReason,
    /// When that was decided.
    pub ended_at: Timestamp,
}
