//! Signed webhooks at `/hooks/v1/people`: a message in, what became of each person out.
//!
//! The route is outside of the API's description and of its tokens: the signature is the credential, and it opens nothing else.
//! `docs/webhook.md` describes it for whoever sends.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json, Router};
use doorward_domain::{AlertKind, HookMessage};
use serde_json::json;

use crate::app::accounts::Visitor;
use crate::app::directory::hooks::{self, PATH, Signed};
use crate::app::directory::raise;
use crate::app::{App, Refusal};

/// The largest body taken: a thousand addresses fit.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// Seconds after which to try again where too much was sent.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// The routes, for the router of the web.
pub(crate) fn router() -> Router<App> {
    let route = post(hear).fallback(no_method);
    Router::new().route(PATH, route).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

async fn hear(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => {
            let sentence =
                format!("the body could not be read, {BODY_BYTES_MAX} bytes are taken: {}", rejection.body_text());
            return (rejection.status(), Refusal::Invalid(sentence).into_response()).into_response();
        }
    };
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let signed = Signed {
        name: text("doorward-hook"),
        timestamp: text("doorward-timestamp"),
        signature: text("doorward-signature"),
        body: &body,
    };
    let heard = match hooks::sender(&app, signed).await {
        Ok(heard) => heard,
        // Guesses are counted by where they come from, so that they take nothing from those who sign.
        Err(Refusal::Unauthenticated(_)) if !app.visits.admit(visitor.source) => return too_many(),
        Err(refusal) => return refusal.into_response(),
    };
    if !app.source_rate.admit(heard.measure) {
        return too_many();
    }
    let message = match HookMessage::read(&body) {
        Ok(message) => message,
        Err(denial) => {
            let message = format!(
                "{} sent something that cannot be read, and was refused: somebody may have left whose access goes on; look at \
                 what it sends",
                signed.name
            );
            raise(&app, AlertKind::DirectoryUnreadable, message).await;
            return Refusal::from(denial).into_response();
        }
    };
    let id = message.id.clone();
    match hooks::hear(&app, heard, message).await {
        Ok(results) => {
            let whole = results.iter().all(|it| it.result != hooks::Became::Refused);
            let status = if whole { StatusCode::OK } else { StatusCode::MULTI_STATUS };
            (status, Json(json!({ "id": id, "results": results }))).into_response()
        }
        Err(refusal) => refusal.into_response(),
    }
}

fn too_many() -> Response {
    let refusal = Refusal::Unavailable("too many requests: wait a few seconds".to_owned());
    (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, RETRY_SECONDS)], refusal.into_response()).into_response()
}

async fn no_method() -> Response {
    let refusal = Refusal::Invalid("send messages with POST".to_owned());
    (StatusCode::METHOD_NOT_ALLOWED, refusal.into_response()).into_response()
}
