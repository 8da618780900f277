//! The audit log.

use super::Refusals;
use crate::app::{Answer, App, Caller, audit};
use crate::http::ApiQuery;
use axum::extract::State;
use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

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

/// Which rows to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditRange {
    /// Rows after this number; 0 is the beginning.
    #[serde(default)]
    pub(crate) after: u64,
    /// How many rows at most, 1 to 1,000.
    pub(crate) limit: Option<u32>,
}

/// How much of the end to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditTail {
    /// How many rows, 1 to 1,000; 20 by default.
    pub(crate) lines: Option<u32>,
}

/// Reads the audit log from a row on.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(AuditRange),
    responses((status = 200, body = AuditPage), Refusals))]
pub(crate) async fn page(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(range): ApiQuery<AuditRange>,
) -> Answer<AuditPage> {
    audit::page(&app, &caller.0, range.after, range.limit).await.map(axum::Json)
}

/// Reads the end of the audit log.
#[utoipa::path(get, path = "/api/v1/audit/tail", tag = "audit", params(AuditTail),
    responses((status = 200, body = AuditPage), Refusals))]
pub(crate) async fn tail(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(tail): ApiQuery<AuditTail>,
) -> Answer<AuditPage> {
    audit::tail(&app, &caller.0, tail.lines).await.map(axum::Json)
}

/// Recomputes the chain of the whole log.
#[utoipa::path(get, path = "/api/v1/audit/verify", tag = "audit",
    responses((status = 200, body = AuditVerdict), Refusals))]
pub(crate) async fn verify(State(app): State<App>, caller: Caller) -> Answer<AuditVerdict> {
    audit::verify(&app, &caller.0).await.map(axum::Json)
}
