//! Requests to an authority: bounded in time and size, and never sent elsewhere by a redirect.

use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};

use super::super::files::file_error;
use crate::ControlPlaneError;

/// How long one request may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Largest answer read: a certificate chain has a few kilobytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A request to the authority failed: nobody knows whether it was heard.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpError {
    #[error("the request failed")]
    Request(#[from] reqwest::Error),
    #[error("the answer is larger than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
}

/// Sends requests.
#[derive(Clone)]
pub(super) struct Http(reqwest::Client);

impl Http {
    /// Trusts the system's certificates, or those in `ca` alone.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, ControlPlaneError> {
        let mut builder = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .https_only(true);
        let wrong = |what: String| ControlPlaneError::Config(format!("[acme]: {what}"));
        if let Some(path) = ca {
            let pem = std::fs::read(path).map_err(|source| file_error("read", path, source))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem).unwrap_or_default();
            if certificates.is_empty() {
                return Err(wrong(format!("`directory_ca`: {} holds no certificate in PEM", path.display())));
            }
            builder = builder.tls_certs_only(certificates);
        }
        builder.build().map(Self).map_err(|error| wrong(format!("no client can be made ({error})")))
    }
}

impl HttpClient for Http {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let client = self.0.clone();
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await.map_or_else(|never| match never {}, |body| body.to_bytes());
            let answer = send(client, Request::from_parts(parts, body)).await;
            answer.map(BytesResponse::from).map_err(|error| Error::Other(Box::new(error)))
        })
    }
}

async fn send(client: reqwest::Client, request: Request<Bytes>) -> Result<Response<Full<Bytes>>, HttpError> {
    let mut answer = client.execute(reqwest::Request::try_from(request)?).await?;
    let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        if body.len().saturating_add(chunk.len()) > ANSWER_BYTES_MAX {
            return Err(HttpError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}
