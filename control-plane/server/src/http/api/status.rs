//! The routes of the state of the whole.

use axum::extract::State;

use super::Refusals;
use crate::api::{EndNotice, Status};
use crate::app::{Answer, App, Caller, notices, status};

/// Shows the state of the whole.
#[utoipa::path(get, path = "/api/v1/status", tag = "status", responses((status = 200, body = Status), Refusals))]
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Answer<Status> {
    status::show(&app, &caller.0).await.map(axum::Json)
}

/// Lists what ends soon.
#[utoipa::path(get, path = "/api/v1/notices", tag = "status",
    responses((status = 200, body = Vec<EndNotice>), Refusals))]
pub(crate) async fn notices(State(app): State<App>, caller: Caller) -> Answer<Vec<EndNotice>> {
    notices::list(&app, &caller.0).await.map(axum::Json)
}
