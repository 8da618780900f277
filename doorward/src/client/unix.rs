//! HTTP over the admin socket.

use std::io;
use std::path::Path;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::UnixStream;

use crate::error::CliError;

/// Sends one request to the socket.
pub(super) async fn send(socket: &Path, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, CliError> {
    let stream = UnixStream::connect(socket).await.map_err(|source| {
        let kind = source.kind();
        if matches!(kind, io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            CliError::NotRunning { socket: socket.to_owned() }
        } else if kind == io::ErrorKind::PermissionDenied {
            CliError::NotPermitted { socket: socket.to_owned() }
        } else {
            CliError::Unreachable { server: socket.display().to_string(), source: Box::new(source) }
        }
    })?;
    over(stream, request, &socket.display().to_string()).await
}

/// Sends one request over a connection that is open.
pub(super) async fn over<S>(
    stream: S,
    request: Request<Full<Bytes>>,
    server: &str,
) -> Result<Response<Incoming>, CliError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let interrupted =
        |source: hyper::Error| CliError::Interrupted { server: server.to_owned(), source: Box::new(source) };
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(interrupted)?;
    // The connection ends with its only request; its errors reach the caller through the response.
    tokio::spawn(connection);
    sender.send_request(request).await.map_err(interrupted)
}
