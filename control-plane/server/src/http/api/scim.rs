//! The routes with which admins look after directories. What directories speak is in `http::scim`.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::{Email, SourceName};

use super::Refusals;
use crate::api::{ScimAdopt, ScimDecided, ScimSource, ScimTokenMade, ScimTokenNew, ScimTokenRevoke, shapes};
use crate::app::directory::{manage, tokens};
use crate::app::{Answer, App, Caller, Refusal};
use crate::http::{ApiJson, ApiPath, ApiQuery};

/// Lists directories with their tokens, without secrets.
#[utoipa::path(get, path = "/api/v1/scim/tokens", tag = "scim",
    responses((status = 200, body = Vec<ScimSource>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<ScimSource>> {
    tokens::list(&app, &caller.0).await.map(axum::Json)
}

/// Makes a directory's token, and the directory with its first; the secret is shown once.
#[utoipa::path(post, path = "/api/v1/scim/tokens", tag = "scim", request_body = ScimTokenNew,
    responses((status = 201, body = ScimTokenMade), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<ScimTokenNew>,
) -> Answer<ScimTokenMade, StatusCode> {
    tokens::add(&app, &caller.0, new.name).await.map(|token| (StatusCode::CREATED, axum::Json(token)))
}

/// Ends a directory's tokens.
#[utoipa::path(delete, path = "/api/v1/scim/tokens/{name}", tag = "scim",
    params(("name" = shapes::SourceName, Path), ScimTokenRevoke), responses((status = 204), Refusals))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
    ApiQuery(which): ApiQuery<ScimTokenRevoke>,
) -> Result<StatusCode, Refusal> {
    tokens::revoke(&app, &caller.0, &name, which.older).await.map(|()| StatusCode::NO_CONTENT)
}

/// Hands somebody over to a directory.
#[utoipa::path(post, path = "/api/v1/scim/sources/{name}/people", tag = "scim", params(("name" = shapes::SourceName, Path)),
    request_body = ScimAdopt, responses((status = 204), Refusals))]
pub(crate) async fn adopt(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
    ApiJson(adopt): ApiJson<ScimAdopt>,
) -> Result<StatusCode, Refusal> {
    manage::adopt(&app, &caller.0, &name, &adopt.email).await.map(|()| StatusCode::NO_CONTENT)
}

/// Keeps somebody by hand from here on.
#[utoipa::path(delete, path = "/api/v1/scim/people/{email}", tag = "scim", params(("email" = shapes::Email, Path)),
    responses((status = 204), Refusals))]
pub(crate) async fn release(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
) -> Result<StatusCode, Refusal> {
    manage::release(&app, &caller.0, &email).await.map(|()| StatusCode::NO_CONTENT)
}

/// Takes back what a directory did to many at once.
#[utoipa::path(post, path = "/api/v1/scim/sources/{name}/undo", tag = "scim", params(("name" = shapes::SourceName, Path)),
    responses((status = 200, body = ScimDecided), Refusals))]
pub(crate) async fn undo(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
) -> Answer<ScimDecided> {
    manage::undo(&app, &caller.0, &name).await.map(axum::Json)
}

/// Lets what a directory did to many at once take its course.
#[utoipa::path(post, path = "/api/v1/scim/sources/{name}/confirm", tag = "scim", params(("name" = shapes::SourceName, Path)),
    responses((status = 200, body = ScimDecided), Refusals))]
pub(crate) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
) -> Answer<ScimDecided> {
    manage::confirm(&app, &caller.0, &name).await.map(axum::Json)
}
