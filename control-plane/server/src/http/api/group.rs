//! The routes of groups.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::{Email, GroupName};

use super::Refusals;
use crate::api::{EndOutcome, Group, GroupMember, GroupNew, shapes};
use crate::app::{Answer, App, Caller, groups};
use crate::http::{ApiJson, ApiPath};

/// Lists groups.
#[utoipa::path(get, path = "/api/v1/groups", tag = "groups", responses((status = 200, body = Vec<Group>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<Group>> {
    groups::list(&app, &caller.0).await.map(axum::Json)
}

/// Adds a group.
#[utoipa::path(post, path = "/api/v1/groups", tag = "groups", request_body = GroupNew,
    responses((status = 201, body = Group), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<GroupNew>,
) -> Answer<Group, StatusCode> {
    groups::add(&app, &caller.0, new.name).await.map(|group| (StatusCode::CREATED, axum::Json(group)))
}

/// Shows a group.
#[utoipa::path(get, path = "/api/v1/groups/{name}", tag = "groups", params(("name" = shapes::GroupName, Path)),
    responses((status = 200, body = Group), Refusals))]
pub(crate) async fn show(State(app): State<App>, caller: Caller, ApiPath(name): ApiPath<GroupName>) -> Answer<Group> {
    groups::show(&app, &caller.0, &name).await.map(axum::Json)
}

/// Removes a group with what it was granted, and waits for the gateways.
#[utoipa::path(delete, path = "/api/v1/groups/{name}", tag = "groups", params(("name" = shapes::GroupName, Path)),
    responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GroupName>,
) -> Answer<EndOutcome> {
    groups::remove(&app, &caller.0, &name).await.map(axum::Json)
}

/// Makes somebody a member.
#[utoipa::path(post, path = "/api/v1/groups/{name}/members", tag = "groups", params(("name" = shapes::GroupName, Path)),
    request_body = GroupMember, responses((status = 200, body = Group), Refusals))]
pub(crate) async fn join(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GroupName>,
    ApiJson(member): ApiJson<GroupMember>,
) -> Answer<Group> {
    groups::join(&app, &caller.0, &name, &member.email).await.map(axum::Json)
}

/// Ends a membership, and waits for the gateways.
#[utoipa::path(delete, path = "/api/v1/groups/{name}/members/{email}", tag = "groups",
    params(("name" = shapes::GroupName, Path), ("email" = shapes::Email, Path)),
    responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn leave(
    State(app): State<App>,
    caller: Caller,
    ApiPath((name, email)): ApiPath<(GroupName, Email)>,
) -> Answer<EndOutcome> {
    groups::leave(&app, &caller.0, &name, &email).await.map(axum::Json)
}
