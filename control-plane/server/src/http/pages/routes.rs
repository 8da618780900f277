//! A router that knows its routes, so that a test can ask each of them for its refusals.

use axum::Router;
use axum::handler::Handler;
use axum::routing::{get, post};

use crate::app::App;

/// A route: its method and its path.
pub(crate) type Listed = (&'static str, &'static str);

/// The pages' routes with their list.
#[derive(Default)]
pub(crate) struct Routes {
    router: Router<App>,
    listed: Vec<Listed>,
}

impl Routes {
    /// Adds a page.
    pub(crate) fn get<H: Handler<T, App>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.with("GET", path, |router| router.route(path, get(handler)))
    }

    /// Adds what a form, or a page's module, sends to.
    pub(crate) fn post<H: Handler<T, App>, T: 'static>(self, path: &'static str, handler: H) -> Self {
        self.with("POST", path, |router| router.route(path, post(handler)))
    }

    /// Adds all of another one's.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.listed.extend(other.listed);
        Self { router: self.router.merge(other.router), listed: self.listed }
    }

    /// Every route.
    pub(crate) fn listed(self) -> Vec<Listed> {
        self.listed
    }

    /// What answers them.
    pub(crate) fn router(self) -> Router<App> {
        self.router
    }

    fn with(mut self, method: &'static str, path: &'static str, add: impl FnOnce(Router<App>) -> Router<App>) -> Self {
        self.listed.push((method, path));
        Self { router: add(self.router), listed: self.listed }
    }
}
