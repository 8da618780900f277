//! The routes of grants.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::GrantId;

use super::Refusals;
use super::device::OfPerson;
use crate::api::{EndOutcome, EndRequest, Grant, GrantAdded, GrantNew, shapes};
use crate::app::{Answer, App, Caller, grants};
use crate::http::{ApiJson, ApiPath, ApiQuery};

/// Lists grants.
#[utoipa::path(get, path = "/api/v1/grants", tag = "grants", params(OfPerson),
    responses((status = 200, body = Vec<Grant>), Refusals))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(of): ApiQuery<OfPerson>,
) -> Answer<Vec<Grant>> {
    grants::list(&app, &caller.0, of.email.as_ref()).await.map(axum::Json)
}

/// Gives a grant.
#[utoipa::path(post, path = "/api/v1/grants", tag = "grants", request_body = shapes::GrantNewBody,
    responses((status = 201, body = GrantAdded), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<GrantNew>,
) -> Answer<GrantAdded, StatusCode> {
    grants::add(&app, &caller.0, new).await.map(|grant| (StatusCode::CREATED, axum::Json(grant)))
}

/// Takes a grant away, and waits for the gateways.
#[utoipa::path(post, path = "/api/v1/grants/{id}/revoke", tag = "grants", params(("id" = uuid::Uuid, Path)),
    request_body = EndRequest, responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<GrantId>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<EndOutcome> {
    grants::revoke(&app, &caller.0, id, request.reason).await.map(axum::Json)
}
