//! Lockdown.

use doorward_model::{GroupName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{EndOutcome, shapes};

/// `PUT /api/v1/lockdown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockdownSet {
    /// `true`: nobody passes. `false`: leases decide again.
    pub on: bool,
    /// With `on`: the group whose members pass all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::GroupName>)]
    pub except: Option<GroupName>,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<shapes::Remark>)]
    pub reason: Option<String>,
}

/// Whether anybody passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockdownStatus {
    /// `true`: nobody passes.
    pub on: bool,
    /// Since when it is so; `null` when it was never touched.
    pub since: Option<Timestamp>,
    /// The group whose members pass all the same.
    #[schema(value_type = Option<String>)]
    pub except: Option<GroupName>,
    /// Why.
    pub reason: Option<String>,
}

/// The answer to a change of lockdown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockdownOutcome {
    /// The state that holds.
    pub on: bool,
    /// What the gateways confirmed.
    #[serde(flatten)]
    pub outcome: EndOutcome,
}
