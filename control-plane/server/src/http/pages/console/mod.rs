//! The console: what admins, approvers and auditors see, on the same use cases as the API.

mod audit;
mod devices;
mod gateways;
mod grants;
mod groups;
mod leaving;
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
        .post("/admin/leaving", leaving::look)
        .post("/admin/leaving/offboard", leaving::offboard)
        .post("/admin/leaving/suspend", leaving::suspend)
        .post("/admin/people/{email}/offboard", people::offboard)
        .post("/admin/people/{email}/suspend", people::suspend)
        .post("/admin/people/{email}/restore", people::restore)
        .post("/admin/people/{email}/invite", people::invite)
        .post("/admin/people/{email}/sign-out", people::sign_out)
        .post("/admin/people/{email}/role", people::set_role)
        .post("/admin/people/{email}/sponsor", people::set_sponsor)
        .get("/admin/groups", groups::list)
        .post("/admin/groups", groups::add)
        .get("/admin/groups/{name}", groups::show_group)
        .post("/admin/groups/{name}/join", groups::join)
        .post("/admin/groups/{name}/leave", groups::leave)
        .post("/admin/groups/{name}/remove", groups::remove)
        .get("/admin/grants", grants::list)
        .post("/admin/grants", grants::add)
        .post("/admin/grants/{id}/revoke", grants::revoke)
        .get("/admin/timeline", timeline::show_timeline)
        .get("/admin/resources", resources::list)
        .post("/admin/resources", resources::add)
        .get("/admin/resources/{name}", resources::show_resource)
        .post("/admin/resources/{name}/owner", resources::set_owner)
        .post("/admin/resources/{name}/window", resources::set_window)
        .post("/admin/resources/{name}/span", resources::set_span)
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
