//! The portal: what a person sees and does about their own access.

mod devices;
mod home;

use super::routes::Routes;

/// The portal's pages.
pub(crate) fn routes() -> Routes {
    Routes::default()
        .get("/", home::show_home)
        .get("/devices/new", devices::show_form)
        .post("/devices/new", devices::add)
        .post("/devices/{id}/lost", devices::report_lost)
}
