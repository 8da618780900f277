//! The HTTP API: the JSON shapes and the handlers that parse, call one use case and render.
//!
//! Architecture invariant: no SQL and no rule lives here. The shapes are shared with the command line, which is why
//! each of them both serialises and deserialises.

#[expect(unused_qualifications, reason = "the `utoipa::path` macro qualifies its parameters")]
mod audit;
#[expect(unused_qualifications, reason = "the `utoipa::path` macro qualifies its parameters")]
mod device;
mod error;
mod gateway;
mod grant;
mod lockdown;
mod outcome;
mod person;
mod resource;
mod status;
mod token;

pub(crate) use error::Refusals;

pub use audit::{AuditPage, AuditRow, AuditVerdict};
pub use device::{ClientGateway, ClientSettings, Device, DeviceAdded, DeviceNew, DeviceState};
pub use error::{ErrorBody, ErrorCode, ErrorDetail};
pub use gateway::{Gateway, GatewayRemoved, GatewayToken, GatewayTokenNew};
pub use grant::{Grant, GrantAdded, GrantNew, GrantState};
pub use lockdown::{LockdownOutcome, LockdownSet, LockdownStatus};
pub use outcome::{EndOutcome, EndRequest, Ended, GatewayReceipt};
pub use person::{Person, PersonKind, PersonNew, PersonState};
pub use resource::{Resource, ResourceNew};
pub use status::{Alert, RecentReceipt, Status};
pub use token::{ApiToken, ApiTokenMade, ApiTokenNew};

use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Doorward", description = "Who may reach what through the gateways, for how long."),
    security(("token" = [])),
    modifiers(&TokenScheme)
)]
struct ApiDescription;

/// Describes `Authorization: Bearer`.
struct TokenScheme;

impl utoipa::Modify for TokenScheme {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let token =
            HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some("`doorward token add NAME`")).build();
        let components = openapi.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(token));
    }
}

/// Every route of the API, with its description.
pub(crate) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(ApiDescription::openapi())
        .routes(routes!(person::list, person::add))
        .routes(routes!(person::show))
        .routes(routes!(person::offboard))
        .routes(routes!(person::suspend))
        .routes(routes!(person::restore))
        .routes(routes!(resource::list, resource::add))
        .routes(routes!(resource::remove))
        .routes(routes!(grant::list, grant::add))
        .routes(routes!(grant::revoke))
        .routes(routes!(device::list, device::add))
        .routes(routes!(device::revoke))
        .routes(routes!(lockdown::status, lockdown::set))
        .routes(routes!(audit::page))
        .routes(routes!(audit::tail))
        .routes(routes!(audit::verify))
        .routes(routes!(gateway::list))
        .routes(routes!(gateway::add_token))
        .routes(routes!(gateway::remove))
        .routes(routes!(token::list, token::add))
        .routes(routes!(token::revoke))
        .routes(routes!(status::show))
}
