//! The API as the command line speaks it: over the admin socket, or over HTTPS with a token.

mod https;
mod unix;

use std::error::Error as StdError;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use doorward_control_plane::api::{ErrorBody, ErrorCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CliError;
use https::Https;

/// Largest answer read, in bytes: a page of 1,000 audit rows stays far below.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// How long an answer may take: a revocation waits 5 s for its receipts.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What stands in a path segment as it is (RFC 3986 section 2.3).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A server that answers the API. Each request has a connection of its own.
pub(crate) enum Client {
    /// The admin socket in a data folder.
    Socket(PathBuf),
    /// A server elsewhere.
    Https(Https),
}

/// Which server is meant, as the command line says it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ServerChoice {
    /// `--server`.
    pub(crate) url: Option<String>,
    /// `DOORWARD_TOKEN`.
    pub(crate) token: Option<String>,
    /// `--ca`.
    pub(crate) ca: Option<PathBuf>,
}

impl Client {
    /// Chooses the admin socket, or the server that was named.
    ///
    /// # Errors
    /// A URL that is none, a missing token, an unreadable certificate.
    pub(crate) fn new(data: &Path, choice: ServerChoice) -> Result<Self, CliError> {
        match choice.url {
            None => Ok(Self::Socket(data.join("admin.sock"))),
            Some(url) => Https::new(&url, choice.token, choice.ca.as_deref()).map(Self::Https),
        }
    }

    /// Reads.
    pub(crate) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::GET, path, Bytes::new()).await
    }

    /// Adds or acts.
    pub(crate) async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CliError> {
        self.call(Method::POST, path, self.body(body)?).await
    }

    /// Sets.
    pub(crate) async fn put<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, CliError> {
        self.call(Method::PUT, path, self.body(body)?).await
    }

    /// Removes.
    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, CliError> {
        self.call(Method::DELETE, path, Bytes::new()).await
    }

    fn name(&self) -> String {
        match self {
            Self::Socket(path) => path.display().to_string(),
            Self::Https(https) => https.url().to_owned(),
        }
    }

    fn body<B: Serialize>(&self, body: &B) -> Result<Bytes, CliError> {
        serde_json::to_vec(body).map(Bytes::from).map_err(|source| CliError::Answer { server: self.name(), source })
    }

    async fn call<T: DeserializeOwned>(&self, method: Method, path: &str, body: Bytes) -> Result<T, CliError> {
        let (status, bytes) = self.exchange(method, path, body).await?;
        if !status.is_success() {
            return Err(self.refusal(status, &bytes));
        }
        // 204 has no body; `null` reads as the unit type.
        let text: &[u8] = if bytes.is_empty() { b"null" } else { &bytes };
        serde_json::from_slice(text).map_err(|source| CliError::Answer { server: self.name(), source })
    }

    fn refusal(&self, status: StatusCode, bytes: &[u8]) -> CliError {
        match serde_json::from_slice::<ErrorBody>(bytes) {
            Ok(ErrorBody { error }) => CliError::Api { code: error.code, message: error.message },
            Err(_) => CliError::Api {
                code: ErrorCode::Internal,
                message: format!(
                    "{} answered {status} without a reason: is a Doorward behind that address?",
                    self.name()
                ),
            },
        }
    }

    /// Sends one request and reads the whole answer.
    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), CliError> {
        let mut request = Request::builder().method(method).uri(path).header(CONTENT_TYPE, "application/json");
        request = match self {
            Self::Socket(_) => request.header(HOST, "localhost"),
            Self::Https(https) => request.header(HOST, https.authority()).header(AUTHORIZATION, https.authorization()),
        };
        let request = request.body(Full::new(body)).map_err(|source| self.interrupted(source))?;
        let answer = async {
            let response = match self {
                Self::Socket(path) => unix::send(path, request).await?,
                Self::Https(https) => https.send(request).await?,
            };
            self.read(response).await
        };
        match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(self.interrupted(elapsed)),
        }
    }

    async fn read(&self, response: Response<hyper::body::Incoming>) -> Result<(StatusCode, Bytes), CliError> {
        let status = response.status();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        body.map(|body| (status, body.to_bytes()))
            .map_err(|source| CliError::Interrupted { server: self.name(), source })
    }

    fn interrupted(&self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> CliError {
        CliError::Interrupted { server: self.name(), source: source.into() }
    }
}

/// Writes a text as one path segment.
pub(crate) fn segment(text: impl std::fmt::Display) -> String {
    utf8_percent_encode(&text.to_string(), SEGMENT).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_email_address_cannot_leave_its_path_segment() {
        assert_eq!(segment("a/b?c#d%@shop.example"), "a%2Fb%3Fc%23d%25%40shop.example");
    }
}
