//! Gateways and their enrolment.

use super::Refusals;
use crate::app::{Answer, App, Caller, gateways};
use crate::http::{ApiJson, ApiPath};
use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::{GatewayName, PublicKey, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A gateway as the control plane knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gateway {
    /// Its name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// Whether its feed is open.
    pub connected: bool,
    /// The revision that it enforces; `null` before its first snapshot in this run of the server.
    pub revision: Option<u64>,
    /// Devices with a live tunnel.
    pub devices_active: u32,
    /// Devices with a lease.
    pub devices_known: u32,
    /// What people's devices dial; `null` before its first hello.
    pub endpoint: Option<String>,
    /// Its WireGuard public key; `null` before its first hello.
    #[schema(value_type = Option<String>)]
    pub public_key: Option<PublicKey>,
    /// Its program's version.
    pub version: Option<String>,
    /// When it was last heard.
    pub last_seen: Option<Timestamp>,
}

/// `POST /api/v1/gateways/tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct GatewayTokenNew {
    /// The gateway that may enrol with it.
    #[schema(value_type = String, example = "berlin")]
    pub name: GatewayName,
}

/// An enrolment token, shown once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayToken {
    /// The gateway's name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// The token: single use.
    pub token: String,
    /// When it stops working.
    pub expires_at: Timestamp,
    /// What the admin should know: remote gateways are off.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// The answer to a gateway's removal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct GatewayRemoved {
    /// The gateway's name.
    #[schema(value_type = String)]
    pub name: GatewayName,
    /// When it was decided. Its feed is closed, so its authority ends within `authority_ttl`.
    pub decided_at: Timestamp,
    /// How long that takes at most, in milliseconds.
    pub authority_ttl_ms: u64,
}

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
#[utoipa::path(delete, path = "/api/v1/gateways/{name}", tag = "gateways", params(("name" = String, Path)),
    responses((status = 200, body = GatewayRemoved), Refusals))]
pub(crate) async fn remove(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GatewayName>,
) -> Answer<GatewayRemoved> {
    gateways::remove(&app, &caller.0, &name).await.map(axum::Json)
}
