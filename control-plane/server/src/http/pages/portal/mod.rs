//! The portal: what a person sees and does about their own access, and about that of those they answer for.

mod approvals;
mod devices;
mod home;
mod requests;

use super::routes::Routes;

/// The portal's pages.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/", home::show_home)
        .get("/devices/new", devices::show_form)
        .post("/devices/new", devices::add)
        .post("/devices/{id}/lost", devices::report_lost)
        .get("/requests", requests::list)
        .get("/requests/new", requests::show_form)
        .post("/requests/new", requests::add)
        .post("/requests/{id}/withdraw", requests::withdraw)
        .get("/approvals", approvals::list)
        .post("/approvals/{id}/approve", approvals::approve)
        .post("/approvals/{id}/deny", approvals::deny)
}
