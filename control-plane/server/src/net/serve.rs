//! One loop for every listener: bounded connections, bounded waits, a graceful end.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use doorward_model::GatewayName;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use crate::Shutdown;

/// Connections of one listener at most: beyond it new ones wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 2_048;
/// How long a request's head may take, and how long a connection may idle: a slow reader holds no place.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// How long requests in flight may take once the server leaves.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Who is at the other end, as far as the transport knows.
#[derive(Debug, Clone)]
pub(crate) enum Peer {
    /// A user of this machine, on the admin socket.
    Admin {
        /// The user's number.
        uid: u32,
        /// The user's name, where one was found.
        name: Option<String>,
    },
    /// Somebody on the network; a credential must follow.
    Https {
        /// From where.
        source: SocketAddr,
    },
    /// The local gateway.
    FeedSocket,
    /// A gateway elsewhere, or one that wants to enrol.
    FeedTls {
        /// From where.
        source: SocketAddr,
        /// What its certificate says; `None` without one.
        certificate: Option<GatewayCertificate>,
    },
}

/// A gateway's certificate, signed by our own authority.
#[derive(Debug, Clone)]
pub(crate) struct GatewayCertificate {
    /// The name in it.
    pub(crate) name: GatewayName,
    /// SHA-256 of its DER.
    pub(crate) sha256: [u8; 32],
}

/// A source of connections whose peer is known.
pub(crate) trait Acceptor: Send + 'static {
    /// The connection.
    type Io: AsyncRead + AsyncWrite + Unpin + Send + 'static;

    /// Waits for the next connection; `None` when there will be none.
    fn accept(&mut self) -> impl Future<Output = Option<(Self::Io, Peer)>> + Send;
}

/// Serves `router` on every connection until `shutdown`, then lets requests in flight finish within 5 s.
pub(crate) async fn serve<A: Acceptor>(mut acceptor: A, router: Router, shutdown: Shutdown) {
    let (places, connections) = (Arc::new(Semaphore::new(CONNECTIONS_MAX)), TaskTracker::new());
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (io, peer) = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = acceptor.accept() => match accepted {
                Some(accepted) => accepted,
                None => break,
            },
        };
        let (router, shutdown) = (router.clone(), shutdown.clone());
        connections.spawn(async move {
            let _place = place;
            serve_connection(io, peer, router, shutdown).await;
        });
    }
    drop(acceptor);
    connections.close();
    if tokio::time::timeout(DRAIN_TIMEOUT, connections.wait()).await.is_err() {
        tracing::info!(connections = connections.len(), "connections still open were cut");
    }
}

async fn serve_connection<I>(io: I, peer: Peer, router: Router, shutdown: Shutdown)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request: Request<Incoming>| answer(request, peer.clone(), router.clone()));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(io), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection.as_mut() => ended,
                () = tokio::time::sleep(DRAIN_TIMEOUT) => Ok(()),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection broke");
    }
}

async fn answer(request: Request<Incoming>, peer: Peer, router: Router) -> Result<Response<Body>, Infallible> {
    let mut request = request.map(Body::new);
    request.extensions_mut().insert(peer);
    router.oneshot(request).await
}
