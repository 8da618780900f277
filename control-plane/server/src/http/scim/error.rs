//! Errors as SCIM says them (RFC 7644, section 3.12).

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use super::Alarming;
use crate::api::ErrorCode;
use crate::app::Refusal;

/// What SCIM bodies are (RFC 7644, section 8.1).
pub(super) const CONTENT_TYPE: HeaderValue = HeaderValue::from_static("application/scim+json");
/// Seconds after which to try again where too much was asked for.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");
/// The same where a person has to decide first.
const RETRY_LATER_SECONDS: HeaderValue = HeaderValue::from_static("600");

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ScimError {
    pub(super) status: StatusCode,
    pub(super) kind: Option<&'static str>,
    pub(super) detail: String,
    /// Somebody has to hear of it: the source said something about who is active that cannot be read.
    pub(super) is_alarming: bool,
}

impl ScimError {
    fn new(status: StatusCode, kind: Option<&'static str>, detail: impl Into<String>) -> Self {
        Self { status, kind, detail: detail.into(), is_alarming: false }
    }

    pub(super) fn syntax(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalidSyntax"), detail)
    }

    pub(super) fn value(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalidValue"), detail)
    }

    pub(super) fn filter(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalidFilter"), detail)
    }

    pub(super) fn path(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("invalidPath"), detail)
    }

    pub(super) fn target(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("noTarget"), detail)
    }

    pub(super) fn mutability(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, Some("mutability"), detail)
    }

    /// An `active` that nobody can read: more than a mistake, since somebody may have left.
    pub(super) fn active(detail: impl Into<String>) -> Self {
        Self { is_alarming: true, ..Self::value(detail) }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, None, detail)
    }

    pub(super) fn changed() -> Self {
        let detail = "this was changed since it was read: read it again";
        Self::new(StatusCode::PRECONDITION_FAILED, None, detail)
    }

    pub(super) fn too_many() -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, None, "too many requests: wait a few seconds")
    }

    pub(super) fn not_implemented(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, None, detail)
    }

    pub(super) fn method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, None, "this does not take that method")
    }
}

impl From<Refusal> for ScimError {
    fn from(refusal: Refusal) -> Self {
        let (code, sentence) = refusal.into_parts();
        let kind = match code {
            ErrorCode::Conflict => Some("uniqueness"),
            ErrorCode::Invalid => Some("invalidValue"),
            ErrorCode::NotFound
            | ErrorCode::Refused
            | ErrorCode::FreshFactorNeeded
            | ErrorCode::Unauthenticated
            | ErrorCode::Unavailable
            | ErrorCode::Internal => None,
        };
        Self::new(code.status(), kind, sentence)
    }
}

impl IntoResponse for ScimError {
    fn into_response(self) -> Response {
        let mut body = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:Error"],
            "status": self.status.as_str(),
            "detail": self.detail,
        });
        if let (Some(kind), Some(body)) = (self.kind, body.as_object_mut()) {
            body.insert("scimType".to_owned(), json!(kind));
        }
        let mut response = (self.status, [(header::CONTENT_TYPE, CONTENT_TYPE)], body.to_string()).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        } else if self.status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(header::RETRY_AFTER, RETRY_SECONDS);
        } else if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, RETRY_LATER_SECONDS);
        }
        if self.is_alarming {
            response.extensions_mut().insert(Alarming);
        }
        response
    }
}
