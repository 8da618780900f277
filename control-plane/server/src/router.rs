//! Which routes answer on which listener.

use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router, middleware};
use utoipa::openapi::OpenApi;

use crate::app::health::in_time;
use crate::app::{App, Refusal};
use crate::feed;
use crate::http::{LimitedRouter as _, api, authenticate, behind_proxies, guard, no_route, oidc, pages, scim};

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
        .merge(scim::router(app))
        .route(oidc::LOGOUT_PATH, post(oidc::logout))
        .merge(pages::ceremonies())
        .merge(pages::router(app))
        .layer(middleware::from_fn_with_state(app.clone(), guard))
        .layer(middleware::from_fn_with_state(app.clone(), behind_proxies))
        .layer(middleware::from_fn_with_state(app.clone(), https_alone))
        .with_state(app.clone())
        .limited()
}

/// The same for `local_http`. Chromium (156, seen with an automated browser) never shows a page of plain HTTP on localhost
/// that asks for a group of windows of its own, so there pages do not.
pub(crate) fn local_router(web: Router) -> Router {
    web.layer(middleware::map_response(async |mut response: Response| {
        response.headers_mut().remove("cross-origin-opener-policy");
        response
    }))
}

/// The feed, for the feed socket and for mutual TLS; enrolment only where a gateway can be elsewhere.
pub(crate) fn feed_router(app: &App, remote: bool) -> Router {
    let mut routes = feed::routes();
    if remote {
        routes = routes.route("/feed/v1/enrol", post(feed::enrol));
    }
    routes.fallback(no_route).method_not_allowed_fallback(no_method).with_state(app.clone()).limited()
}

/// What a certificate authority asks for over plain HTTP; browsers are led to the portal.
pub(crate) fn challenge_router(app: &App) -> Router {
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(challenge_answer))
        .fallback(to_portal)
        .with_state(app.clone())
        .limited()
}

async fn challenge_answer(State(app): State<App>, Path(token): Path<String>) -> Result<Response, Refusal> {
    let answer = app.certificates.answers().http(&token);
    let answer = answer.ok_or_else(|| Refusal::NotFound("no certificate authority asked for this".to_owned()))?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], answer).into_response())
}

/// The portal's own address alone, whatever host was asked for: nobody is led anywhere else from here.
async fn to_portal(State(app): State<App>, method: Method, uri: Uri) -> Response {
    if matches!(method, Method::GET | Method::HEAD) {
        Redirect::temporary(&app.accounts.site.link(uri.path())).into_response()
    } else {
        Refusal::Invalid(format!("send this to {}", app.accounts.site.link("/"))).into_response()
    }
}

/// Tells browsers to come over HTTPS alone, for a year, and to let nobody click a warning away (RFC 6797). Only where they
/// trust the certificate: the own one brings a warning that people have to pass.
async fn https_alone(State(app): State<App>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    if app.certificates.is_trusted() {
        let year = HeaderValue::from_static("max-age=31536000");
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
    response
}

/// Says whether the database answers, and has everything that was decided.
async fn ready(State(app): State<App>) -> Result<StatusCode, Refusal> {
    in_time(async { Ok(app.store.ping().await?) }).await?;
    match app.journal.overlay().waiting().len() {
        0 => Ok(StatusCode::NO_CONTENT),
        waiting => Err(Refusal::Unavailable(format!("revocations wait to be written to the database: {waiting}"))),
    }
}

async fn described(description: OpenApi) -> Json<OpenApi> {
    Json(description)
}

async fn no_method() -> Response {
    let refusal =
        Refusal::Invalid("this route does not take this method: /api/openapi.json lists what it takes".to_owned());
    (StatusCode::METHOD_NOT_ALLOWED, refusal.into_response()).into_response()
}
