//! The routes of the audit log.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::IntoParams;

use super::Refusals;
use crate::api::{AuditPage, AuditVerdict};
use crate::app::{Answer, App, Caller, audit};
use crate::http::ApiQuery;

/// Which rows to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditRange {
    /// Rows after this number; 0 is the beginning.
    #[serde(default)]
    pub(crate) after: u64,
    /// How many rows at most, 1 to 1,000.
    #[param(minimum = 1, maximum = 1_000)]
    pub(crate) limit: Option<u32>,
}

/// How much of the end to read.
#[derive(Debug, Clone, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct AuditTail {
    /// How many rows, 1 to 1,000; 20 by default.
    #[param(minimum = 1, maximum = 1_000)]
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
