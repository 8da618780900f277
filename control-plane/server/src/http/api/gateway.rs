//! The routes of gateways and their enrolment.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::GatewayName;

use super::Refusals;
use crate::api::{Gateway, GatewayRemoved, GatewayToken, GatewayTokenNew, RestoredAccepted, shapes};
use crate::app::{Answer, App, Caller, gateways};
use crate::http::{ApiJson, ApiPath};

/// Lists gateways.
#[utoipa::path(get, path = "/api/v1/gateways", tag = "gateways",
    responses((status = 200, body = Vec<Gateway>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<Gateway>> {
    gateways::list(&app, &caller.0).await.map(axum::Json)
}

/// Makes a one-time enrolment token for a gateway on another machine.
#[utoipa::path(post, path = "/api/v1/gateways/tokens", tag = "gateways", request_body = GatewayTokenNew,
    responses((status = 201, body = GatewayToken), Refusals))]
pub(crate) async fn add_token(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<GatewayTokenNew>,
) -> Answer<GatewayToken, StatusCode> {
    gateways::add_token(&app, &caller.0, new.name).await.map(|token| (StatusCode::CREATED, axum::Json(token)))
}

/// Removes a gateway: its certificate counts for nothing, its feed is closed.
#[utoipa::path(delete, path = "/api/v1/gateways/{name}", tag = "gateways", params(("name" = shapes::GatewayName, Path)),
    responses((status = 200, body = GatewayRemoved), Refusals))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GatewayName>,
) -> Answer<GatewayRemoved> {
    gateways::remove(&app, &caller.0, &name).await.map(axum::Json)
}

/// Accepts a database that was put back from an older copy: gateways follow it from there on.
#[utoipa::path(post, path = "/api/v1/gateways/accept-restored", tag = "gateways",
    responses((status = 200, body = RestoredAccepted), Refusals))]
pub(crate) async fn accept_restored(State(app): State<App>, caller: Caller) -> Answer<RestoredAccepted> {
    gateways::accept_restored(&app, &caller.0).await.map(axum::Json)
}
