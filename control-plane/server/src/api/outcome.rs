//! What a revocation answers: what ended, and what the gateways confirmed.

use doorward_model::{Email, GatewayName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Device, Grant, shapes};

/// The body of `offboard`, `suspend`, `restore` and `revoke`; may be left out.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EndRequest {
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Remark>)]
    pub reason: Option<String>,
}

/// What ended and who confirmed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndOutcome {
    /// The revision with which it took effect.
    pub revision: u64,
    /// When it was committed.
    pub decided_at: Timestamp,
    /// What ended.
    pub ended: Ended,
    /// One entry for each gateway that is known.
    pub receipts: Vec<GatewayReceipt>,
    /// What did not go as it should: a gateway that did not confirm in time.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether the database did not take it: it is on the control plane's disk, and is written later.
    #[serde(default)]
    pub journalled: bool,
}

/// What ended.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Ended {
    /// People who have no access any more.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub people: Vec<Email>,
    /// Devices whose access ended.
    #[serde(default)]
    pub devices: Vec<Device>,
    /// Grants that ended.
    #[serde(default)]
    pub grants: Vec<Grant>,
    /// Browsers' sessions, and tokens of `doorward login`.
    #[serde(default)]
    pub sessions: u64,
    /// Links with which they could have come in.
    #[serde(default)]
    pub links: u64,
    /// Requests for access that nobody answers any more.
    #[serde(default)]
    pub requests: u64,
    /// API tokens that they had made, by name.
    #[serde(default)]
    pub tokens: Vec<String>,
}

/// What one gateway confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayReceipt {
    /// The gateway.
    #[schema(value_type = String)]
    pub gateway: GatewayName,
    /// Whether it was connected at the commit. One that is not loses its authority by itself.
    pub connected: bool,
    /// Milliseconds from the commit to the arrival of the gateway's confirmation, rounded up; `null` without one.
    pub enforced_after_ms: Option<u64>,
    /// When the confirmation came; `null` without one.
    pub enforced_at: Option<Timestamp>,
    /// Milliseconds from the last forwarded packet of a device that lost access to the enforcement; `null` when none
    /// was forwarded.
    pub last_packet_before_ms: Option<u64>,
}
