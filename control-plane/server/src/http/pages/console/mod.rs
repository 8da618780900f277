//! The console: what admins, approvers and auditors see, on the same use cases as the API.

mod overview;

use axum::Router;
use axum::routing::get;

use crate::app::App;

/// The console's pages.
pub(crate) fn routes() -> Router<App> {
    Router::new().route("/admin", get(overview::show_overview))
}
