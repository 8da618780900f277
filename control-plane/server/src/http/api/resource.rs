//! The routes of resources.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::ResourceName;

use super::Refusals;
use crate::api::{EndOutcome, Resource, ResourceNew, ResourceOwnerSet, ResourceSpanSet, shapes};
use crate::app::{Answer, App, Caller, Was, resources};
use crate::http::{ApiJson, ApiPath};

/// Lists resources.
#[utoipa::path(get, path = "/api/v1/resources", tag = "resources",
    responses((status = 200, body = Vec<Resource>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<Resource>> {
    resources::list(&app, &caller.0).await.map(axum::Json)
}

/// Adds a resource.
#[utoipa::path(post, path = "/api/v1/resources", tag = "resources", request_body = ResourceNew,
    responses((status = 201, body = Resource), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<ResourceNew>,
) -> Answer<Resource, StatusCode> {
    resources::add(&app, &caller.0, new).await.map(|resource| (StatusCode::CREATED, axum::Json(resource)))
}

/// Removes a resource with its grants, and waits for the gateways.
#[utoipa::path(delete, path = "/api/v1/resources/{name}", tag = "resources",
    params(("name" = shapes::ResourceName, Path)), responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
) -> Answer<EndOutcome> {
    resources::remove(&app, &caller.0, &name).await.map(axum::Json)
}

/// Says who answers for a resource, and decides on requests for it.
#[utoipa::path(put, path = "/api/v1/resources/{name}/owner", tag = "resources",
    params(("name" = shapes::ResourceName, Path)),
    request_body = ResourceOwnerSet, responses((status = 200, body = Resource), Refusals))]
pub(crate) async fn set_owner(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    ApiJson(set): ApiJson<ResourceOwnerSet>,
) -> Answer<Resource> {
    resources::set_owner(&app, &caller.0, &name, set.email, Was::Anything).await.map(axum::Json)
}

/// Says how long after a sign-in a resource can be reached.
#[utoipa::path(put, path = "/api/v1/resources/{name}/window", tag = "resources",
    params(("name" = shapes::ResourceName, Path)),
    request_body = ResourceSpanSet, responses((status = 200, body = Resource), Refusals))]
pub(crate) async fn set_window(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    ApiJson(set): ApiJson<ResourceSpanSet>,
) -> Answer<Resource> {
    resources::set_window(&app, &caller.0, &name, set.span, Was::Anything).await.map(axum::Json)
}

/// Says how much time one request for a resource may ask for.
#[utoipa::path(put, path = "/api/v1/resources/{name}/span", tag = "resources",
    params(("name" = shapes::ResourceName, Path)),
    request_body = ResourceSpanSet, responses((status = 200, body = Resource), Refusals))]
pub(crate) async fn set_span(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    ApiJson(set): ApiJson<ResourceSpanSet>,
) -> Answer<Resource> {
    resources::set_span(&app, &caller.0, &name, set.span, Was::Anything).await.map(axum::Json)
}
