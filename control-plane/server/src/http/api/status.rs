//! The route of the state of the whole.

use axum::extract::State;

use super::Refusals;
use crate::api::Status;
use crate::app::{Answer, App, Caller, status};

/// Shows the state of the whole.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = Status), Refusals))]
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Answer<Status> {
    status::show(&app, &caller.0).await.map(axum::Json)
}
