//! HTTP: the routes of the API in `api`, the pages in `pages`, what directories speak in `scim`, what browsers need in `web`, and what every route has in
//! common: bodies and queries that name what is wrong with them, credentials, headers, limits.

pub(crate) mod api;
mod auth;
mod extract;
mod layers;
pub(crate) mod oidc;
pub(crate) mod pages;
mod proxies;
pub(crate) mod scim;
mod visits;
pub(crate) mod web;

pub(crate) use auth::{authenticate, bearer};
pub(crate) use extract::{ApiJson, ApiPath, ApiQuery, PageForm};
pub(crate) use layers::{LimitedRouter, no_route};
pub(crate) use proxies::behind_proxies;
pub(crate) use scim::SourceRate;
pub(crate) use visits::Visits;
pub(crate) use web::guard;
