//! The routes of the HTTP API: each parses, calls one use case and renders.
//!
//! Architecture invariant: no SQL and no rule lives here.

mod account;
#[expect(unused_qualifications, reason = "the `utoipa::path` macro qualifies its parameters")]
mod audit;
#[expect(unused_qualifications, reason = "the `utoipa::path` macro qualifies its parameters")]
mod device;
mod gateway;
mod grant;
mod group;
mod lockdown;
mod person;
mod refusals;
#[expect(unused_qualifications, reason = "the `utoipa::path` macro qualifies its parameters")]
mod request;
mod resource;
mod scim;
mod source;
mod status;
mod token;

use utoipa::OpenApi;
use utoipa::openapi::schema::Ref;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, RefOr};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::refusals::Refusals;
use crate::api::{ErrorBody, shapes};
use crate::app::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Doorward", description = "Who may reach what through the gateways, for how long."),
    security(("token" = [])),
    // What only parameters and refusals name: the routes register the bodies alone.
    components(schemas(
        ErrorBody, shapes::Email, shapes::GatewayName, shapes::GroupName, shapes::ResourceName, shapes::SourceName,
        shapes::TokenName
    )),
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
    let mut routes = OpenApiRouter::with_openapi(ApiDescription::openapi())
        .routes(routes!(person::list, person::add))
        .routes(routes!(person::show))
        .routes(routes!(person::sync))
        .routes(routes!(person::offboard))
        .routes(routes!(person::suspend))
        .routes(routes!(person::restore))
        .routes(routes!(person::endings))
        .routes(routes!(account::invite))
        .routes(routes!(account::owner_link))
        .routes(routes!(account::log_out))
        .routes(routes!(resource::list, resource::add))
        .routes(routes!(person::set_role))
        .routes(routes!(person::set_sponsor))
        .routes(routes!(resource::remove))
        .routes(routes!(resource::set_owner))
        .routes(routes!(resource::set_window))
        .routes(routes!(resource::set_span))
        .routes(routes!(group::list, group::add))
        .routes(routes!(group::show, group::remove))
        .routes(routes!(group::join))
        .routes(routes!(group::leave))
        .routes(routes!(request::list, request::add))
        .routes(routes!(request::show))
        .routes(routes!(request::approve))
        .routes(routes!(request::deny))
        .routes(routes!(request::withdraw))
        .routes(routes!(grant::list, grant::add))
        .routes(routes!(grant::revoke))
        .routes(routes!(device::list, device::add))
        .routes(routes!(device::preshared_key))
        .routes(routes!(device::revoke))
        .routes(routes!(lockdown::status, lockdown::set))
        .routes(routes!(audit::page))
        .routes(routes!(audit::tail))
        .routes(routes!(audit::verify))
        .routes(routes!(gateway::list))
        .routes(routes!(gateway::add_token))
        .routes(routes!(gateway::accept_restored))
        .routes(routes!(gateway::remove))
        .routes(routes!(token::list, token::add))
        .routes(routes!(token::revoke))
        .routes(routes!(scim::list, scim::add))
        .routes(routes!(scim::revoke))
        .routes(routes!(scim::adopt))
        .routes(routes!(scim::release))
        .routes(routes!(scim::undo))
        .routes(routes!(scim::confirm))
        .routes(routes!(source::list))
        .routes(routes!(source::undo))
        .routes(routes!(source::confirm))
        .routes(routes!(source::poll))
        .routes(routes!(source::hooks, source::add_hook))
        .routes(routes!(source::revoke_hook))
        .routes(routes!(status::show))
        .routes(routes!(status::notices));
    spare_bodies(routes.get_openapi_mut());
    routes
}

/// Says of the bodies without a field that is needed that they may be left out, which `utoipa` says of none that cannot be
/// `null`.
fn spare_bodies(description: &mut utoipa::openapi::OpenApi) {
    const SPARED: [&str; 4] = ["EndRequest", "OwnerLinkNew", "PersonOffboard", "RequestApprovalBody"];
    let spared = SPARED.map(|name| Some(RefOr::Ref(Ref::from_schema_name(name))));
    let operations = description.paths.paths.values_mut().filter_map(|item| item.post.as_mut());
    for body in operations.filter_map(|operation| operation.request_body.as_mut()) {
        let RefOr::T(body) = body else { continue };
        let is_spared =
            |content: &RefOr<Content>| matches!(content, RefOr::T(content) if spared.contains(&content.schema));
        if body.content.values().any(is_spared) {
            body.required = None;
        }
    }
}
