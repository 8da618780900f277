//! The audit log.

use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One row of the audit log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditRow {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Who: `admin:root`, `token:ci`, `system`.
    pub actor: String,
    /// What was done, such as `person.offboard`.
    pub action: String,
    /// To whom or what.
    pub subject: String,
    /// The rest, a JSON object.
    #[schema(value_type = Object)]
    pub detail: serde_json::Value,
    /// The hash of the row before, hexadecimal; zeros for the first.
    pub previous_hash: String,
    /// SHA-256 over the previous row's hash and this row, hexadecimal.
    pub hash: String,
}

/// A page of the audit log, oldest row first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditPage {
    /// The rows.
    pub rows: Vec<AuditRow>,
    /// Give this as `after` for the next page; `null` at the end.
    pub next: Option<u64>,
    /// With a tail: the newest alerts, newest first.
    #[serde(default)]
    pub alerts: Vec<super::Alert>,
}

/// The result of recomputing the whole chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AuditVerdict {
    /// Whether every row is in its place and unchanged.
    pub intact: bool,
    /// How many rows were read.
    pub rows: u64,
    /// The number of the first row that does not fit.
    pub broken_at: Option<u64>,
    /// What is wrong, in one sentence.
    pub problem: Option<String>,
    /// The hash of the last good row, hexadecimal; `null` for an empty log.
    pub last_hash: Option<String>,
}
