//! The console: what admins, approvers and auditors see, on the same use cases as the API.

mod audit;
mod devices;
mod gateways;
mod grants;
mod list;
mod lockdown;
mod overview;
mod people;
mod receipt;
mod resources;
mod timeline;

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;

/// The console's pages.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/admin", get(overview::show_overview))
        .route("/admin/people", get(people::list).post(people::add))
        .route("/admin/people/{email}", get(people::show_person))
        .route("/admin/people/{email}/offboard", post(people::offboard))
        .route("/admin/people/{email}/suspend", post(people::suspend))
        .route("/admin/people/{email}/restore", post(people::restore))
        .route("/admin/grants", get(grants::list).post(grants::add))
        .route("/admin/grants/{id}/revoke", post(grants::revoke))
        .route("/admin/timeline", get(timeline::show_timeline))
        .route("/admin/resources", get(resources::list).post(resources::add))
        .route("/admin/resources/{name}/remove", post(resources::remove))
        .route("/admin/devices", get(devices::list))
        .route("/admin/devices/{id}/revoke", post(devices::revoke))
        .route("/admin/gateways", get(gateways::list))
        .route("/admin/gateways/tokens", post(gateways::add_token))
        .route("/admin/gateways/{name}/remove", post(gateways::remove))
        .route("/admin/audit", get(audit::list))
        .route("/admin/lockdown", get(lockdown::show_lockdown).post(lockdown::set))
}
