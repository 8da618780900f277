//! The routes of requests for access.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::{Email, RequestId};
use serde::Deserialize;
use utoipa::IntoParams;

use super::Refusals;
use crate::api::{EndRequest, Request, RequestApproval, RequestApproved, RequestNew, shapes};
use crate::app::{Answer, App, Caller, requests};
use crate::http::{ApiJson, ApiPath, ApiQuery};

/// Which requests to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only this person's.
    #[param(value_type = Option<shapes::Email>)]
    email: Option<Email>,
    /// Answered and expired ones too.
    #[serde(default)]
    all: bool,
}

/// Lists requests: those that whoever calls may see.
#[utoipa::path(get, path = "/api/v1/requests", tag = "requests", params(Which),
    responses((status = 200, body = Vec<Request>), Refusals))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(which): ApiQuery<Which>,
) -> Answer<Vec<Request>> {
    requests::list(&app, &caller.0, which.email.as_ref(), which.all).await.map(axum::Json)
}

/// Asks for access.
#[utoipa::path(post, path = "/api/v1/requests", tag = "requests", request_body = shapes::RequestNewBody,
    responses((status = 201, body = Request), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<RequestNew>,
) -> Answer<Request, StatusCode> {
    requests::add(&app, &caller.0, new).await.map(|request| (StatusCode::CREATED, axum::Json(request)))
}

/// Shows a request.
#[utoipa::path(get, path = "/api/v1/requests/{id}", tag = "requests", params(("id" = uuid::Uuid, Path)),
    responses((status = 200, body = Request), Refusals))]
pub(crate) async fn show(State(app): State<App>, caller: Caller, ApiPath(id): ApiPath<RequestId>) -> Answer<Request> {
    requests::show(&app, &caller.0, id).await.map(axum::Json)
}

/// Approves a request; never one's own.
#[utoipa::path(post, path = "/api/v1/requests/{id}/approve", tag = "requests", params(("id" = uuid::Uuid, Path)),
    request_body = shapes::RequestApprovalBody, responses((status = 200, body = RequestApproved), Refusals))]
pub(crate) async fn approve(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<RequestId>,
    ApiJson(approval): ApiJson<RequestApproval>,
) -> Answer<RequestApproved> {
    requests::approve(&app, &caller.0, id, approval).await.map(axum::Json)
}

/// Denies a request; never one's own.
#[utoipa::path(post, path = "/api/v1/requests/{id}/deny", tag = "requests", params(("id" = uuid::Uuid, Path)),
    request_body = EndRequest, responses((status = 200, body = Request), Refusals))]
pub(crate) async fn deny(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<RequestId>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<Request> {
    requests::deny(&app, &caller.0, id, request.reason).await.map(axum::Json)
}

/// Takes one's request back.
#[utoipa::path(post, path = "/api/v1/requests/{id}/withdraw", tag = "requests", params(("id" = uuid::Uuid, Path)),
    request_body = EndRequest, responses((status = 200, body = Request), Refusals))]
pub(crate) async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<RequestId>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<Request> {
    requests::withdraw(&app, &caller.0, id, request.reason).await.map(axum::Json)
}
