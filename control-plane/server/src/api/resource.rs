//! Resources.

use super::{EndOutcome, Refusals};
use crate::app::{Answer, App, Caller, resources};
use crate::http::{ApiJson, ApiPath};
use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::{Allow, ResourceId, ResourceName, Target, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `POST /api/v1/resources`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ResourceNew {
    /// Its name.
    #[schema(value_type = String, example = "customer-db")]
    pub name: ResourceName,
    /// Where it is: addresses or prefixes, at least one.
    #[schema(value_type = Vec<String>, example = json!(["10.0.5.20"]))]
    pub targets: Vec<Target>,
    /// What is allowed there, at least one.
    #[schema(value_type = Vec<String>, example = json!(["tcp/5432"]))]
    pub allow: Vec<Allow>,
}

/// What stands behind the gateways.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Resource {
    /// Its id.
    #[schema(value_type = uuid::Uuid)]
    pub id: ResourceId,
    /// Its name.
    #[schema(value_type = String)]
    pub name: ResourceName,
    /// Where it is.
    #[schema(value_type = Vec<String>)]
    pub targets: Vec<Target>,
    /// What is allowed there.
    #[schema(value_type = Vec<String>)]
    pub allow: Vec<Allow>,
    /// When it was added.
    pub created_at: Timestamp,
}

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
#[utoipa::path(delete, path = "/api/v1/resources/{name}", tag = "resources", params(("name" = String, Path)),
    responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
) -> Answer<EndOutcome> {
    resources::remove(&app, &caller.0, &name).await.map(axum::Json)
}
