//! TLS 1.3 listeners: the API's and the feed's.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::server::TlsStream;

use super::certificates::{FeedAuthority, Identity, gateway_of, self_signed, sha256};
use super::files::{create_private_dir, file_error, read_optional, write_private};
use super::serve::{Acceptor, GatewayCertificate, Peer};
use crate::{ControlPlaneError, ServerSection};

/// A handshake takes two round trips; whoever needs longer than this holds a place for nothing.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Handshakes in flight at most: each costs a signature, and a flood of them must not grow memory.
const HANDSHAKES_MAX: usize = 128;

/// The API's certificate: TLS configuration, and the digest that people compare.
pub(crate) struct ApiCertificate {
    pub(crate) config: Arc<ServerConfig>,
    pub(crate) sha256: String,
}

/// Reads the configured certificate, or the generated one, or generates it.
pub(crate) fn api_tls(section: &ServerSection, data_dir: &Path) -> Result<ApiCertificate, ControlPlaneError> {
    let identity = match (&section.tls_certificate, &section.tls_key) {
        (Some(certificate), Some(key)) => read_identity(certificate, key)?,
        (None, None) => generated_identity(section, data_dir)?,
        (Some(_), None) | (None, Some(_)) => {
            return Err(ControlPlaneError::Config(
                "`[server] tls_certificate` and `tls_key` go together: set both, or neither to have one generated"
                    .to_owned(),
            ));
        }
    };
    let sha256 = identity.chain.first().map(|leaf| hex::encode(sha256(leaf))).unwrap_or_default();
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(tls_error)?
        .with_no_client_auth()
        .with_single_cert(identity.chain, identity.key)
        .map_err(tls_error)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(ApiCertificate { config: Arc::new(config), sha256 })
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

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn generated_identity(section: &ServerSection, data_dir: &Path) -> Result<Identity, ControlPlaneError> {
    let folder = data_dir.join("tls");
    create_private_dir(&folder)?;
    let (certificate_path, key_path) = (folder.join("cert.pem"), folder.join("key.pem"));
    if read_optional(&certificate_path)?.is_none() || read_optional(&key_path)?.is_none() {
        let (certificate, key) = self_signed(certificate_names(section.url.as_deref()))?;
        write_private(&key_path, &key)?;
        write_private(&certificate_path, &certificate)?;
    }
    read_identity(&certificate_path, &key_path)
}

/// Names and addresses for the generated certificate: the configured URL's host, this machine, and loopback.
fn certificate_names(url: Option<&str>) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = url.and_then(|url| url.parse::<axum::http::Uri>().ok()).and_then(|uri| uri.host().map(str::to_owned));
    let hostname = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let fits = |name: &String| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.:".contains(c));
    for name in host.map(|host| host.trim_matches(['[', ']']).to_owned()).into_iter().chain([hostname]).filter(fits) {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn read_identity(certificate: &Path, key: &Path) -> Result<Identity, ControlPlaneError> {
    let text = std::fs::read(certificate).map_err(|source| file_error("read", certificate, source))?;
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<_, _>>()
        .map_err(|error| not_pem(certificate, "a certificate chain", &error))?;
    if chain.is_empty() {
        return Err(ControlPlaneError::Tls {
            message: format!("{} holds no certificate in PEM", certificate.display()),
        });
    }
    let text = std::fs::read(key).map_err(|source| file_error("read", key, source))?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| not_pem(key, "a private key", &error))?;
    Ok(Identity { chain, key })
}

fn not_pem(path: &Path, what: &str, error: &rustls_pki_types::pem::Error) -> ControlPlaneError {
    ControlPlaneError::Tls { message: format!("{} does not hold {what} in PEM ({error})", path.display()) }
}

fn tls_error(error: rustls::Error) -> ControlPlaneError {
    ControlPlaneError::Tls { message: error.to_string() }
}
