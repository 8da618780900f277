//! Which routes answer on which listener.

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use utoipa::openapi::OpenApi;

use crate::app::{App, Refusal};
use crate::feed;
use crate::http::{LimitedRouter as _, api, authenticate, behind_proxies, guard, no_route, pages};

/// The API and the pages, for the admin socket and for HTTPS.
pub(crate) fn web_router(app: &App) -> Router {
    let (routes, description) = api::routes().split_for_parts();
    let open = Router::new()
        .route("/healthz", get(|| async { StatusCode::NO_CONTENT }))
        .route("/readyz", get(ready))
        .route("/api/openapi.json", get(move || described(description.clone())));
    routes
        .route("/api/{*unknown}", any(no_route))
        .method_not_allowed_fallback(no_method)
        .layer(middleware::from_fn_with_state(app.clone(), authenticate))
        .merge(open)
        .merge(pages::ceremonies())
        .merge(pages::router(app))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(middleware::from_fn_with_state(app.clone(), behind_proxies))
        .with_state(app.clone())
        .limited()
}

/// The feed, for the feed socket and for mutual TLS; enrolment only where a gateway can be elsewhere.
pub(crate) fn feed_router(app: &App, remote: bool) -> Router {
    let mut routes = feed::routes();
    if remote {
        routes = routes.route("/feed/v1/enrol", post(feed::enrol));
    }
    routes.fallback(no_route).method_not_allowed_fallback(no_method).with_state(app.clone()).limited()
}

/// Says whether the database answers.
async fn ready(State(app): State<App>) -> Result<StatusCode, Refusal> {
    app.store.ping().await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn described(description: OpenApi) -> Json<OpenApi> {
    Json(description)
}

async fn no_method() -> Refusal {
    Refusal::Invalid("this route does not take this method: /api/openapi.json lists what it takes".to_owned())
}
