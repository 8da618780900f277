//! Extractors whose refusals are API errors: one sentence that names the field.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FormRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::{Form, Json};
use serde::de::DeserializeOwned;

use crate::app::Refusal;

/// A JSON body, read whatever its content type says; an empty one reads as `{}`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiJson<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection: BytesRejection| {
            Refusal::Invalid(format!("the body could not be read: {}", rejection.body_text()))
        })?;
        let bytes = if bytes.iter().all(u8::is_ascii_whitespace) { Bytes::from_static(b"{}") } else { bytes };
        match Json::<T>::from_bytes(&bytes) {
            Ok(Json(value)) => Ok(Self(value)),
            Err(rejection) => Err(Refusal::Invalid(sentence(&rejection.body_text(), "the body"))),
        }
    }
}

/// What a form sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PageForm<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for PageForm<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &S) -> Result<Self, Refusal> {
        let read: Result<Form<T>, FormRejection> = Form::from_request(request, state).await;
        read.map(|Form(value)| Self(value))
            .map_err(|rejection| Refusal::Invalid(sentence(&rejection.body_text(), "the form")))
    }
}

/// A query string.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiQuery<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ApiQuery<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read: Result<Query<T>, QueryRejection> = Query::from_request_parts(parts, state).await;
        read.map(|Query(value)| Self(value))
            .map_err(|rejection| Refusal::Invalid(sentence(&rejection.body_text(), "the query")))
    }
}

/// A part of the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApiPath<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ApiPath<T> {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Refusal> {
        let read: Result<Path<T>, PathRejection> = Path::from_request_parts(parts, state).await;
        read.map(|Path(value)| Self(value))
            .map_err(|rejection| Refusal::Invalid(sentence(&rejection.body_text(), "the path")))
    }
}

/// Turns serde's words into ours: without the frame that axum puts around them and without the column, which means
/// nothing to somebody who typed a command.
fn sentence(text: &str, what: &str) -> String {
    const FRAMES: [&str; 6] = [
        "Failed to deserialize form body: ",
        "Failed to deserialize the JSON body into the target type: ",
        "Failed to parse the request body as JSON: ",
        "Failed to deserialize query string: ",
        "Invalid URL: ",
        "Cannot parse ",
    ];
    let inner = FRAMES.iter().find_map(|frame| text.strip_prefix(frame)).unwrap_or(text);
    let inner = inner.rsplit_once(" at line ").map_or(inner, |(before, _)| before);
    format!("{what} is not as expected: {inner}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::PersonNew;

    fn refusal<T: DeserializeOwned>(body: &str) -> String {
        match Json::<T>::from_bytes(body.as_bytes()) {
            Ok(_) => String::new(),
            Err(rejection) => sentence(&rejection.body_text(), "the body"),
        }
    }

    #[test]
    fn a_wrong_field_is_named_with_what_was_expected() {
        let text = refusal::<PersonNew>(r#"{"email":"nobody","name":"N","kind":"staff"}"#);
        assert!(text.contains("email: `nobody` is no email address: expected"), "{text}");
        assert!(!text.contains("line 1"), "{text}");
        let text = refusal::<PersonNew>(r#"{"email":"a@b.example","name":"N","kind":"staff","role":"admin"}"#);
        assert!(text.contains("unknown field `role`"), "{text}");
        let text = refusal::<PersonNew>(r#"{"email":"a@b.example","kind":"staff"}"#);
        assert!(text.contains("missing field `name`"), "{text}");
    }
}
