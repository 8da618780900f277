//! What an identity provider sends by itself (OpenID Connect Back-Channel Logout 1.0, sections 2.5 and 2.8).

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Form, Json};
use serde::Deserialize;
use serde_json::json;

use crate::app::accounts::provider_logout::{Undone, log_out};
use crate::app::{App, Refusal};

/// Where the provider is told to send logouts.
pub(crate) const LOGOUT_PATH: &str = "/oidc/backchannel-logout";

/// What a provider sends.
#[derive(Deserialize)]
pub(crate) struct Logout {
    logout_token: String,
}

/// Ends what somebody has open who is signed in at the provider no more.
pub(crate) async fn logout(State(app): State<App>, sent: Result<Form<Logout>, FormRejection>) -> Response {
    let Ok(Form(Logout { logout_token })) = sent else {
        return refused("a form with a `logout_token` is needed");
    };
    let mut response = match log_out(&app, &logout_token).await {
        Ok(()) => StatusCode::OK.into_response(),
        Err(Undone::Untrusted(why)) => {
            tracing::warn!(why, "a logout of the identity provider does not count");
            refused(&why)
        }
        Err(Undone::Unavailable(refusal @ Refusal::NotFound(_))) => refusal.into_response(),
        Err(Undone::Unavailable(refusal)) => {
            tracing::warn!(?refusal, "a logout of the identity provider could not be done");
            let body = json!({ "error": "temporarily_unavailable" });
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")], Json(body)).into_response()
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, header::HeaderValue::from_static("no-store"));
    response
}

fn refused(why: &str) -> Response {
    let body = json!({ "error": "invalid_request", "error_description": why });
    (StatusCode::BAD_REQUEST, [(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
}
