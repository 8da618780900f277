//! The routes of devices.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::{DeviceId, Email};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::Refusals;
use crate::api::{Device, DeviceAdded, DeviceNew, DevicePresharedKey, EndOutcome, EndRequest, shapes};
use crate::app::{Answer, App, Caller, devices};
use crate::http::{ApiJson, ApiPath, ApiQuery};

/// Which devices or grants to list.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfPerson {
    /// Only this person's.
    #[param(value_type = Option<shapes::Email>)]
    #[schema(value_type = Option<shapes::Email>)]
    pub(crate) email: Option<Email>,
}

/// Lists devices.
#[utoipa::path(get, path = "/api/v1/devices", tag = "devices", params(OfPerson),
    responses((status = 200, body = Vec<Device>), Refusals))]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    ApiQuery(of): ApiQuery<OfPerson>,
) -> Answer<Vec<Device>> {
    devices::list(&app, &caller.0, of.email.as_ref()).await.map(axum::Json)
}

/// Adds a device by its public key.
#[utoipa::path(post, path = "/api/v1/devices", tag = "devices", request_body = DeviceNew,
    responses((status = 201, body = DeviceAdded), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<DeviceNew>,
) -> Answer<DeviceAdded, StatusCode> {
    devices::add(&app, &caller.0, new).await.map(|device| (StatusCode::CREATED, axum::Json(device)))
}

/// Gives a device another pre-shared key, or none.
#[utoipa::path(put, path = "/api/v1/devices/{id}/preshared-key", tag = "devices", params(("id" = uuid::Uuid, Path)),
    request_body = DevicePresharedKey, responses((status = 200, body = Device), Refusals))]
pub(crate) async fn preshared_key(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<DeviceId>,
    ApiJson(key): ApiJson<DevicePresharedKey>,
) -> Answer<Device> {
    devices::preshared_key(&app, &caller.0, id, key).await.map(axum::Json)
}

/// Revokes a device for good, and waits for the gateways.
#[utoipa::path(post, path = "/api/v1/devices/{id}/revoke", tag = "devices", params(("id" = uuid::Uuid, Path)),
    request_body = EndRequest, responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<DeviceId>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<EndOutcome> {
    devices::revoke(&app, &caller.0, id, request.reason).await.map(axum::Json)
}
