//! HTTP/1.1 to the control plane, over its Unix socket or over mutual TLS. Everything has a time limit and a bound.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use crate::planes::{Here, Planes};
use crate::tls::feed_server_name;

/// How long connecting to a control plane on this machine may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Answers are ids and error sentences; certificates are the longest.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// Why a request got no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HttpError {
    /// No connection.
    #[error("cannot connect to the control plane")]
    Connect(#[source] io::Error),
    /// The other side is not the control plane that this gateway was enrolled with.
    #[error("the server is not the control plane that this gateway trusts")]
    Untrusted(#[source] io::Error),
    /// The connection broke, or the answer made no sense.
    #[error("the connection to the control plane broke")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Too slow.
    #[error("the control plane did not answer in time")]
    Slow,
}

/// How to reach the control plane.
#[derive(Clone)]
pub(crate) enum Connector {
    /// By its socket on this machine.
    Unix(PathBuf),
    /// Over TLS.
    Tls {
        /// Where.
        planes: Arc<Planes>,
        config: Arc<ClientConfig>,
    },
}

/// An open connection; dropping it closes it.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<()>,
    /// How often the feed had moved when it was opened.
    moves: u64,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connector {
    /// Opens a connection to where the feed is, the TLS handshake included.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn connect(&self) -> Result<Connection, HttpError> {
        match self {
            Self::Unix(path) => {
                let open = async { talk_http(UnixStream::connect(path).await.map_err(HttpError::Connect)?, 0).await };
                tokio::time::timeout(CONNECT_WITHIN, open).await.map_err(|_| HttpError::Slow)?
            }
            Self::Tls { planes, config } => {
                let here = planes.here();
                let here = tokio::time::timeout(CONNECT_WITHIN, here).await.map_err(|_| HttpError::Slow)?;
                let Here { address, within, moves } = here.map_err(HttpError::Connect)?;
                let open = open_tls(address, config, moves);
                tokio::time::timeout(within, open).await.map_err(|_| HttpError::Slow)?
            }
        }
    }

    /// Gives the next control plane its turn; says whether all had theirs.
    pub(crate) fn move_on(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Tls { planes, .. } => planes.move_on(),
        }
    }

    /// Says that the control plane that has its turn is a good one.
    pub(crate) fn settle(&self) {
        if let Self::Tls { planes, .. } = self {
            planes.settle();
        }
    }

    fn moves(&self) -> u64 {
        match self {
            Self::Unix(_) => 0,
            Self::Tls { planes, .. } => planes.moves(),
        }
    }
}

async fn open_tls(address: SocketAddr, config: &Arc<ClientConfig>, moves: u64) -> Result<Connection, HttpError> {
    let stream = TcpStream::connect(address).await.map_err(HttpError::Connect)?;
    // Pings and receipts are small and must not wait for an acknowledgement.
    stream.set_nodelay(true).map_err(HttpError::Connect)?;
    let connector = TlsConnector::from(Arc::clone(config));
    let stream = connector.connect(feed_server_name(), stream).await.map_err(tls_error)?;
    talk_http(stream, moves).await
}

fn tls_error(error: io::Error) -> HttpError {
    let untrusted = error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .is_some_and(|inner| matches!(inner, rustls::Error::InvalidCertificate(_)));
    if untrusted { HttpError::Untrusted(error) } else { HttpError::Connect(error) }
}

async fn talk_http<S>(stream: S, moves: u64) -> Result<Connection, HttpError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) =
        handshake(TokioIo::new(stream)).await.map_err(|error| HttpError::Broken(error.into()))?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a feed connection ended");
        }
    });
    Ok(Connection { sender, driver, moves })
}

fn request(method: Method, path: &str, body: Bytes) -> Result<Request<Full<Bytes>>, HttpError> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "doorward-feed")
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, text/event-stream")
        .body(Full::new(body))
        .map_err(|error| HttpError::Broken(error.into()))
}

impl Connection {
    async fn ask(&mut self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let answer = async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        };
        let answer = tokio::time::timeout(ANSWER_WITHIN, answer).await.map_err(|_| HttpError::Slow)?;
        answer.map_err(|error| HttpError::Broken(error.into()))
    }

    /// Opens a stream: the status, and the body if the status is 200.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn stream(&mut self, path: &str) -> Result<Result<Incoming, Answer>, HttpError> {
        let response = self.ask(request(Method::GET, path, Bytes::new())?).await?;
        if response.status() == StatusCode::OK {
            Ok(Ok(response.into_body()))
        } else {
            collect(response).await.map(Err)
        }
    }

    async fn post(&mut self, path: &str, body: Bytes) -> Result<Answer, HttpError> {
        collect(self.ask(request(Method::POST, path, body)?).await?).await
    }
}

async fn collect(response: Response<Incoming>) -> Result<Answer, HttpError> {
    let status = response.status();
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    let body = tokio::time::timeout(ANSWER_WITHIN, body).await.map_err(|_| HttpError::Slow)?;
    Ok(Answer { status, body: body.map_err(HttpError::Broken)?.to_bytes() })
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// Its body, at most 256 KiB.
    pub(crate) body: Bytes,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: ErrorSentence,
}

#[derive(Deserialize)]
struct ErrorSentence {
    message: String,
}

impl Answer {
    /// Returns the server's sentence about what was wrong, or the status where there is none.
    pub(crate) fn complaint(&self) -> String {
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            Ok(body) => doorward_model::repeatable(&body.error.message, 300),
            Err(_) => format!("status {}", self.status),
        }
    }
}

/// Sends POSTs over a connection that is kept open between them.
pub(crate) struct Poster {
    connector: Connector,
    open: Option<Connection>,
}

impl Poster {
    /// Makes a poster; nothing is opened yet.
    pub(crate) fn new(connector: Connector) -> Self {
        Self { connector, open: None }
    }

    /// Posts a JSON body. What is posted may arrive twice when a kept connection breaks at the wrong moment.
    ///
    /// # Errors
    /// [`HttpError`].
    pub(crate) async fn post(&mut self, path: &str, body: Vec<u8>) -> Result<Answer, HttpError> {
        let body = Bytes::from(body);
        if let Some(mut kept) = self.open.take()
            && !kept.sender.is_closed()
            && kept.moves == self.connector.moves()
            && let Ok(answer) = kept.post(path, body.clone()).await
        {
            self.open = Some(kept);
            return Ok(answer);
        }
        let mut fresh = self.connector.connect().await?;
        let answer = fresh.post(path, body).await?;
        self.open = Some(fresh);
        Ok(answer)
    }
}
