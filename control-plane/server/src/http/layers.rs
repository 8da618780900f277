//! Limits and headers around every router.

use std::any::Any;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, HeaderValue, Request, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use tower::util::MapRequestLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestId, PropagateRequestIdLayer, RequestId, SetRequestIdLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::RequestBodyTimeoutLayer;

use crate::app::Refusal;

/// The largest body taken.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// How long a body may stand still while it arrives.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to begin; a revocation waits 5 s for its receipts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Names a request in answers and logs.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Puts limits and headers around a router.
pub(crate) trait LimitedRouter {
    /// Bounds bodies and times, answers panics as errors, numbers requests, forbids browsers to guess or to keep.
    fn limited(self) -> Router;
}

impl LimitedRouter for Router {
    fn limited(self) -> Router {
        let fixed = |name, value| SetResponseHeaderLayer::overriding(name, HeaderValue::from_static(value));
        // Pages and their assets say more precisely what holds for them.
        let usual = |name, value| SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value));
        // One at a time, the innermost first: a router erases the type after each, where a stack of twelve takes the
        // compiler minutes.
        self.layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .layer(RequestBodyTimeoutLayer::new(BODY_TIMEOUT))
            .layer(axum::middleware::from_fn(answer_in_time))
            .layer(CatchPanicLayer::custom(caught))
            .layer(usual(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"))
            .layer(usual(header::CACHE_CONTROL, "no-store"))
            .layer(usual(header::REFERRER_POLICY, "no-referrer"))
            .layer(fixed(header::X_FRAME_OPTIONS, "DENY"))
            .layer(fixed(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .layer(PropagateRequestIdLayer::new(REQUEST_ID))
            .layer(SetRequestIdLayer::new(REQUEST_ID, NumberedRequests))
            .layer(MapRequestLayer::new(without_claimed_id::<Body>))
    }
}

/// Answers for what no route matches.
pub(crate) async fn no_route() -> Refusal {
    Refusal::NotFound("there is no such route: /api/openapi.json lists them".to_owned())
}

/// Forgets an id that a client made up: it would end up in the logs.
fn without_claimed_id<B>(mut request: Request<B>) -> Request<B> {
    request.headers_mut().remove(REQUEST_ID);
    request
}

async fn answer_in_time(request: Request<Body>, next: Next) -> Response {
    match tokio::time::timeout(ANSWER_TIMEOUT, next.run(request)).await {
        Ok(response) => response,
        Err(_) => Refusal::Unavailable(
            "the answer took too long: try again, and look into the server's log if it stays so".to_owned(),
        )
        .into_response(),
    }
}

/// Makes request ids, which sort by time.
#[derive(Debug, Clone, Copy)]
struct NumberedRequests;

impl MakeRequestId for NumberedRequests {
    fn make_request_id<B>(&mut self, _request: &Request<B>) -> Option<RequestId> {
        HeaderValue::from_str(&uuid::Uuid::now_v7().to_string()).ok().map(RequestId::new)
    }
}

fn caught(panic: Box<dyn Any + Send + 'static>) -> Response {
    let message = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(message, "a request ended in a panic");
    Refusal::Internal("a request ended in a panic".to_owned()).into_response()
}
