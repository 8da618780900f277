//! The routes of the lockdown.

use axum::extract::State;

use super::Refusals;
use crate::api::{LockdownOutcome, LockdownSet, LockdownStatus};
use crate::app::{Answer, App, Caller, Was, lockdown};
use crate::http::ApiJson;

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
    lockdown::set(&app, &caller.0, set, Was::Anything).await.map(axum::Json)
}
