//! The pages: portal and console, rendered here and readable without a script.
//!
//! Architecture invariant: a page's handler parses a form, calls one use case and renders; no SQL and no rule lives here,
//! and no page loads anything from elsewhere. A handler that needs to know who calls takes [`Caller`](crate::app::Caller),
//! which refuses those who did not sign in; one without it is open to anybody.

mod account;
mod assets;
mod console;
#[expect(unreachable_pub, reason = "`askama::filter_fn` makes public methods")]
mod filters;
mod forms;
mod frame;
mod page;
mod portal;
mod receipt;
mod routes;
mod words;

use axum::Router;
use axum::middleware;

pub(crate) use self::page::{Notice, Page, Shown, show};
use self::routes::Routes;
use crate::app::{App, Refusal};

/// The pages with their assets, for the admin socket and for HTTPS; whatever no other route takes ends here too.
pub(crate) fn router(app: &App) -> Router<App> {
    routes()
        .router()
        .fallback(no_page)
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), frame::frame))
        .merge(assets::routes())
}

/// Every page, as method and path, for the review of who may what.
#[must_use]
pub fn page_routes() -> Vec<(&'static str, &'static str)> {
    routes().merge(account::ceremonies()).listed()
}

fn routes() -> Routes {
    portal::routes().merge(console::routes()).merge(account::routes())
}

/// What pages' modules and `doorward login` ask for; it stands outside of the frame, because it answers in JSON.
pub(crate) fn ceremonies() -> Router<App> {
    account::ceremonies().router()
}

async fn no_page() -> Refusal {
    Refusal::NotFound("There is no such page. The address may be incomplete, or the page has moved.".to_owned())
}

async fn no_method() -> Refusal {
    Refusal::Invalid("This page cannot be asked for in that way. Go back and use its buttons.".to_owned())
}
