//! Lockdown.

use doorward_model::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::EndOutcome;
use super::Refusals;
use crate::app::{Answer, App, Caller, lockdown};
use crate::http::ApiJson;
use axum::extract::State;

/// `PUT /api/v1/lockdown`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct LockdownSet {
    /// `true`: nobody passes. `false`: leases decide again.
    pub on: bool,
    /// Why, for the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether anybody passes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LockdownStatus {
    /// `true`: nobody passes.
    pub on: bool,
    /// Since when it is so; `null` when it was never touched.
    pub since: Option<Timestamp>,
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

/// Says whether a lockdown is on.
#[utoipa::path(get, path = "/api/v1/lockdown", tag = "lockdown",
    responses((status = 200, body = LockdownStatus), Refusals))]
pub(crate) async fn status(State(app): State<App>, caller: Caller) -> Answer<LockdownStatus> {
    lockdown::status(&app, &caller.0).await.map(axum::Json)
}

/// Turns a lockdown on or off, and waits for the gateways.
#[utoipa::path(put, path = "/api/v1/lockdown", tag = "lockdown", request_body = LockdownSet,
    responses((status = 200, body = LockdownOutcome), Refusals))]
pub(crate) async fn set(
    State(app): State<App>,
    caller: Caller,
    ApiJson(set): ApiJson<LockdownSet>,
) -> Answer<LockdownOutcome> {
    lockdown::set(&app, &caller.0, set).await.map(axum::Json)
}
