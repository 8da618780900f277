//! The routes of API tokens.

use axum::extract::State;
use axum::http::StatusCode;

use super::Refusals;
use crate::api::{ApiToken, ApiTokenMade, ApiTokenNew, shapes};
use crate::app::{Answer, App, Caller, tokens};
use crate::http::{ApiJson, ApiPath};

/// Lists API tokens, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens", responses((status = 200, body = Vec<ApiToken>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<ApiToken>> {
    tokens::list(&app, &caller.0).await.map(axum::Json)
}

/// Makes an API token; the secret is shown once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens", request_body = ApiTokenNew,
    responses((status = 201, body = ApiTokenMade), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<ApiTokenNew>,
) -> Answer<ApiTokenMade, StatusCode> {
    tokens::add(&app, &caller.0, new).await.map(|token| (StatusCode::CREATED, axum::Json(token)))
}

/// Revokes an API token.
#[utoipa::path(delete, path = "/api/v1/tokens/{name}", tag = "tokens", params(("name" = shapes::TokenName, Path)),
    responses((status = 204), Refusals))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<String>,
) -> Result<StatusCode, crate::app::Refusal> {
    tokens::revoke(&app, &caller.0, &name).await.map(|()| StatusCode::NO_CONTENT)
}
