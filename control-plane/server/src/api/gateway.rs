//! Gateways and their enrolment.

use doorward_model::{GatewayName, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::shapes;

/// A gateway as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Its name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// Whether its feed is open.
    pub connected: bool,
    /// The revision that it enforces; `null` before its first snapshot in this run of the server.
    pub revision: Option<u64>,
    /// How many revisions it has yet to enforce.
    #[serde(default)]
    pub revisions_behind: Option<u64>,
    /// The control plane at which its feed is open, where several may share the database.
    #[serde(default)]
    pub replica: Option<String>,
    /// Devices with a live tunnel.
    pub devices_active: u32,
    /// Devices with a lease.
    pub devices_known: u32,
    /// What people's devices dial; `null` before its first hello.
    pub endpoint: Option<String>,
    /// Its WireGuard public key; `null` before its first hello.
    #[schema(value_type = Option<String>)]
    pub public_key: Option<PublicKey>,
    /// Its program's version.
    pub version: Option<String>,
    /// Whether its resolver answers for every name.
    #[serde(default)]
    pub resolver: bool,
    /// The UDP ports it listens on; empty where it did not say.
    #[serde(default)]
    pub ports: Vec<u16>,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
}

/// `POST /api/v1/gateways/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayTokenNew {
    /// The gateway that may enrol with it.
    #[schema(value_type = shapes::GatewayName)]
    pub name: GatewayName,
}

/// An enrolment token, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayToken {
    /// The gateway's name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// The token: single use.
    pub token: String,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// What the admin should know: remote gateways are off.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The answer to a gateway's removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayRemoved {
    /// The gateway's name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// When it was decided. Its feed is closed, so its authority ends within `authority_ttl`.
    pub decided_at: Timestamp,
    /// How long that takes at most, in milliseconds.
    pub authority_ttl_ms: u64,
}

/// The answer to accepting a database that was put back from an older copy.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RestoredAccepted {
    /// The revision that the copy was at.
    pub was: u64,
    /// The latest revision that was seen before; what was changed in between is undone.
    pub seen: u64,
    /// The revision from there on.
    pub revision: u64,
}
