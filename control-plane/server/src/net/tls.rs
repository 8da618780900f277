//! TLS 1.3 listeners: the portal's and the feed's.

mod held;
mod own;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;

use self::own::{own, own_names};
use super::acme::{ACME_TLS_ALPN, Acme};
use super::certificates::{FeedAuthority, gateway_of, sha256};
use super::files::file_error;
use super::serve::{Acceptor, GatewayCertificate, Peer};
use crate::{ControlPlaneConfig, ControlPlaneError};

pub(crate) use self::held::{Certificates, Facts, Held, Outlook, Source, read_files};

/// A handshake takes two round trips; whoever needs longer than this holds a place for nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes in flight at most: each costs a signature, and a flood of them must not grow memory.
const HANDSHAKES_MAX: usize = 128;

/// Opens the certificate in use: the owner's files, the authority's last one, or the own one, which is made where it has to
/// be. `portal` is the host under which people reach the server.
pub(crate) fn open_certificates(
    config: &ControlPlaneConfig,
    portal: &str,
    acme: Option<&Acme>,
) -> Result<Arc<Certificates>, ControlPlaneError> {
    let section = &config.server;
    let held = match (&section.tls_certificate, &section.tls_key) {
        (Some(certificate), Some(key)) => read_files(certificate, key)?,
        (None, None) => match acme.map(Acme::kept).transpose()?.flatten() {
            Some(held) => held,
            None => {
                let tunnel = [config.network.gateway_v4().into(), config.network.gateway_v6().into()];
                own(&config.data_dir.join("tls"), own_names(portal, tunnel))?
            }
        },
        (Some(_), None) | (None, Some(_)) => {
            return Err(ControlPlaneError::Config(
                "`[server] tls_certificate` and `tls_key` go together: set both, or neither to have one generated"
                    .to_owned(),
            ));
        }
    };
    Ok(Certificates::new(held, Arc::default()))
}

/// Builds the portal's TLS.
pub(crate) fn portal_tls(certificates: &Arc<Certificates>) -> Result<Arc<ServerConfig>, ControlPlaneError> {
    let resolver = Arc::clone(certificates);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_cert_resolver(resolver);
    config.alpn_protocols = vec![b"http/1.1".to_vec(), ACME_TLS_ALPN.to_vec()];
    Ok(Arc::new(config))
}

/// Builds the feed's TLS: a client certificate is optional, since enrolment comes before it; without one, only the
/// enrolment route answers.
pub(crate) fn feed_tls(authority: &FeedAuthority) -> Result<Arc<ServerConfig>, ControlPlaneError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate().clone()).map_err(tls_error)?;
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
        .allow_unauthenticated()
        .build()
        .map_err(|error| ControlPlaneError::Tls { message: error.to_string() })?;
    let identity = authority.server_identity()?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(identity.chain, identity.key)
        .map_err(tls_error)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // A resumed session would skip the certificate check, so a removed gateway could come back with a ticket.
    config.send_tls13_tickets = 0;
    Ok(Arc::new(config))
}

/// Accepts TCP connections and finishes their handshakes aside, so that a slow one delays nobody.
pub(crate) struct TlsAcceptor {
    finished: mpsc::Receiver<(TlsStream<TcpStream>, Peer)>,
    accepting: tokio::task::JoinHandle<()>,
}

impl TlsAcceptor {
    /// Starts accepting; `feed` says which kind of peer comes out.
    pub(crate) fn start(listener: TcpListener, config: Arc<ServerConfig>, feed: bool) -> Self {
        let (sender, finished) = mpsc::channel(HANDSHAKES_MAX);
        let accepting = tokio::spawn(accept_loop(listener, tokio_rustls::TlsAcceptor::from(config), feed, sender));
        Self { finished, accepting }
    }
}

impl Drop for TlsAcceptor {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Acceptor for TlsAcceptor {
    type Io = TlsStream<TcpStream>;

    async fn accept(&mut self) -> Option<(Self::Io, Peer)> {
        self.finished.recv().await
    }
}

async fn accept_loop(
    listener: TcpListener,
    acceptor: tokio_rustls::TlsAcceptor,
    feed: bool,
    finished: mpsc::Sender<(TlsStream<TcpStream>, Peer)>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    while let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await {
        let (stream, source) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, mostly: let some connections end before the next try.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let (acceptor, finished) = (acceptor.clone(), finished.clone());
        tokio::spawn(async move {
            let _permit = permit;
            // Deltas are small and urgent; Nagle's algorithm would hold them back.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "TCP_NODELAY");
            }
            match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
                // An authority has seen what it came for, and says no more.
                Ok(Ok(stream)) if stream.get_ref().1.alpn_protocol() == Some(ACME_TLS_ALPN) => {}
                Ok(Ok(stream)) => {
                    let peer = peer_of(&stream, source, feed);
                    // The receiver is gone only when the server leaves.
                    let _ = finished.send((stream, peer)).await;
                }
                Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                Err(_) => tracing::debug!("a TLS handshake took too long"),
            }
        });
    }
}

fn peer_of(stream: &TlsStream<TcpStream>, source: SocketAddr, feed: bool) -> Peer {
    if !feed {
        return Peer::Https { source };
    }
    let (_, session) = stream.get_ref();
    let leaf = session.peer_certificates().and_then(|chain| chain.first());
    let certificate = leaf.and_then(|leaf| {
        let name = gateway_of(leaf)?;
        Some(GatewayCertificate { name, sha256: sha256(leaf) })
    });
    Peer::FeedTls { source, certificate }
}

pub(super) fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn tls_error(error: rustls::Error) -> ControlPlaneError {
    ControlPlaneError::Tls { message: error.to_string() }
}
