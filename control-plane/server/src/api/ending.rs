//! What ended with somebody's access, as the record has it.

use doorward_model::{Email, GatewayName, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One suspension or departure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonEnding {
    /// When it was decided.
    pub decided_at: Timestamp,
    /// Who decided it, as the audit names them.
    pub by: String,
    /// What was done, as the audit names it: `person.offboard`, `person.suspend`, `person.end`, `person.inactive`.
    pub action: String,
    /// Why, where somebody said so.
    pub reason: Option<String>,
    /// Devices whose access ended, by name; another person's with their address.
    pub devices: Vec<String>,
    /// Resources to which grants ended.
    pub grants: Vec<String>,
    /// Browsers' sessions, and tokens of `doorward login`.
    pub sessions: u64,
    /// Links with which they could have come in.
    pub links: u64,
    /// Requests for access that nobody answers any more.
    pub requests: u64,
    /// API tokens that they had made, by name.
    pub tokens: Vec<String>,
    /// Contractors who were suspended because nobody answers for them any more.
    #[schema(value_type = Vec<String>)]
    pub suspended: Vec<Email>,
    /// Contractors for whom somebody else answers from then on.
    #[schema(value_type = Vec<String>)]
    pub handed_over: Vec<Email>,
    /// Resources for which somebody else answers from then on, or nobody.
    pub resources: Vec<String>,
    /// Who took over.
    #[schema(value_type = Option<String>)]
    pub to: Option<Email>,
    /// What gateways confirmed.
    pub receipts: Vec<EndingReceipt>,
}

/// What one gateway confirmed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EndingReceipt {
    /// The gateway.
    #[schema(value_type = String)]
    pub gateway: GatewayName,
    /// When the confirmation came.
    pub enforced_at: Timestamp,
    /// Milliseconds from the commit to the arrival of the gateway's confirmation.
    pub enforced_after_ms: Option<u64>,
    /// Milliseconds from the last forwarded packet of theirs to the enforcement; `null` when none was forwarded.
    pub last_packet_before_ms: Option<u64>,
}
