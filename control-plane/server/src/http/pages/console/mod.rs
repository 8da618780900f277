//! The console: what admins, approvers and auditors see, on the same use cases as the API.

mod audit;
mod devices;
mod gateways;
mod grants;
mod list;
mod lockdown;
mod overview;
mod people;
mod resources;
mod timeline;

use super::routes::Routes;

/// The console's pages.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/admin", overview::show_overview)
        .get("/admin/people", people::list)
        .post("/admin/people", people::add)
        .get("/admin/people/{email}", people::show_person)
        .post("/admin/people/{email}/offboard", people::offboard)
        .post("/admin/people/{email}/suspend", people::suspend)
        .post("/admin/people/{email}/restore", people::restore)
        .get("/admin/grants", grants::list)
        .post("/admin/grants", grants::add)
        .post("/admin/grants/{id}/revoke", grants::revoke)
        .get("/admin/timeline", timeline::show_timeline)
        .get("/admin/resources", resources::list)
        .post("/admin/resources", resources::add)
        .post("/admin/resources/{name}/remove", resources::remove)
        .get("/admin/devices", devices::list)
        .post("/admin/devices/{id}/revoke", devices::revoke)
        .get("/admin/gateways", gateways::list)
        .post("/admin/gateways/tokens", gateways::add_token)
        .post("/admin/gateways/{name}/remove", gateways::remove)
        .get("/admin/audit", audit::list)
        .get("/admin/lockdown", lockdown::show_lockdown)
        .post("/admin/lockdown", lockdown::set)
}
