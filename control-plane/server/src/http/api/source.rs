//! The routes with which admins look after sources of people and webhooks. What webhooks send is in `http::hooks`.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::SourceName;

use super::Refusals;
use crate::api::{Hook, HookMade, HookNew, HookRevoke, PollWanted, Polled, ScimDecided, Source, shapes};
use crate::app::directory::{hooks, manage, poll, sources};
use crate::app::{Answer, App, Caller, Refusal};
use crate::http::{ApiJson, ApiPath, ApiQuery};

/// Lists sources of people of every kind.
#[utoipa::path(get, path = "/api/v1/sources", tag = "sources", responses((status = 200, body = Vec<Source>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<Source>> {
    sources::list(&app, &caller.0).await.map(axum::Json)
}

/// Takes back what a source did to many at once.
#[utoipa::path(post, path = "/api/v1/sources/{name}/undo", tag = "sources", params(("name" = shapes::SourceName, Path)),
    responses((status = 200, body = ScimDecided), Refusals))]
pub(crate) async fn undo(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
) -> Answer<ScimDecided> {
    manage::undo(&app, &caller.0, &name).await.map(axum::Json)
}

/// Lets what a source did to many at once take its course.
#[utoipa::path(post, path = "/api/v1/sources/{name}/confirm", tag = "sources", params(("name" = shapes::SourceName, Path)),
    responses((status = 200, body = ScimDecided), Refusals))]
pub(crate) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
) -> Answer<ScimDecided> {
    manage::confirm(&app, &caller.0, &name).await.map(axum::Json)
}

/// Asks a directory for its people now, or says what a round would do.
#[utoipa::path(post, path = "/api/v1/sources/{name}/poll", tag = "sources", params(("name" = shapes::SourceName, Path)),
    request_body = PollWanted, responses((status = 200, body = Polled), Refusals))]
pub(crate) async fn poll(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
    ApiJson(wanted): ApiJson<PollWanted>,
) -> Answer<Polled> {
    poll::by_hand(&app, &caller.0, &name, wanted).await.map(axum::Json)
}

/// Lists webhooks with their secrets' dates.
#[utoipa::path(get, path = "/api/v1/hooks", tag = "sources", responses((status = 200, body = Vec<Hook>), Refusals))]
pub(crate) async fn hooks(State(app): State<App>, caller: Caller) -> Answer<Vec<Hook>> {
    hooks::list(&app, &caller.0).await.map(axum::Json)
}

/// Makes a webhook's secret, and the webhook with its first; the secret is shown once.
#[utoipa::path(post, path = "/api/v1/hooks", tag = "sources", request_body = HookNew,
    responses((status = 201, body = HookMade), Refusals))]
pub(crate) async fn add_hook(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<HookNew>,
) -> Answer<HookMade, StatusCode> {
    hooks::add(&app, &caller.0, new.name).await.map(|made| (StatusCode::CREATED, axum::Json(made)))
}

/// Ends a webhook's secrets.
#[utoipa::path(delete, path = "/api/v1/hooks/{name}", tag = "sources",
    params(("name" = shapes::SourceName, Path), HookRevoke), responses((status = 204), Refusals))]
pub(crate) async fn revoke_hook(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<SourceName>,
    ApiQuery(which): ApiQuery<HookRevoke>,
) -> Result<StatusCode, Refusal> {
    hooks::revoke(&app, &caller.0, &name, which.older).await.map(|()| StatusCode::NO_CONTENT)
}
