//! A server of one's own for a test, and a client for it.

use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use doorward_control_plane::api::Routes;
use doorward_control_plane::{
    ControlPlaneConfig, ControlPlaneError, DirectoryTerms, DisuseTerms, LdapSection, Ready, ServerSection, Shutdown,
    run_announcing,
};
use doorward_model::TunnelNetwork;
use doorward_store::test_support::TestDatabase;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpSocket, TcpStream, UnixStream};

/// Waits in tests end here: far more than anything takes, so that only a defect runs into it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Anything HTTP can be spoken over.
pub(crate) trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// How the server of a test differs from the default.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    pub(crate) ttl: Duration,
    pub(crate) sign_in_window: Duration,
    pub(crate) network: TunnelNetwork,
    pub(crate) zone: &'static str,
    pub(crate) routes: Routes,
    /// `[server] url`.
    pub(crate) url: Option<&'static str>,
    /// `[oidc] issuer`.
    pub(crate) issuer: Option<&'static str>,
    pub(crate) directory: DirectoryTerms,
    pub(crate) disuse: DisuseTerms,
    /// `[ldap]`.
    pub(crate) ldap: Option<&'static LdapSection>,
    /// `[oidc] only`.
    pub(crate) only: bool,
    /// `[oidc] groups_claim`.
    pub(crate) groups_claim: Option<&'static str>,
    /// `[oidc.groups]`.
    pub(crate) groups: &'static [(&'static str, &'static str)],
    /// `[mail] url`.
    pub(crate) mail: Option<&'static str>,
    /// The text of `[server] policy`.
    pub(crate) policy: Option<&'static str>,
    /// `[server] trusted_proxies`.
    pub(crate) trusted_proxies: &'static [&'static str],
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(30),
            sign_in_window: Duration::ZERO,
            network: TunnelNetwork::default(),
            zone: "doorward.internal",
            routes: Routes::Targets,
            url: None,
            issuer: None,
            directory: DirectoryTerms::default(),
            disuse: DisuseTerms::default(),
            ldap: None,
            only: false,
            groups_claim: None,
            groups: &[],
            mail: None,
            policy: None,
            trusted_proxies: &[],
        }
    }
}

/// A running server with its folder and its database.
pub(crate) struct World {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) database: Arc<TestDatabase>,
    pub(crate) ready: Ready,
    pub(crate) settings: Settings,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Result<(), ControlPlaneError>>,
}

impl World {
    pub(crate) async fn on(database: TestDatabase) -> Self {
        Self::with(database, Settings::default()).await
    }

    pub(crate) async fn with(database: TestDatabase, settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::at(folder, Arc::new(database), settings).await
    }

    /// Starts another control plane on the same database, with the same keys.
    pub(crate) async fn beside(&self) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (file, kept) in [("keys", "seal.key"), ("feed-ca", "ca.pem"), ("feed-ca", "ca.key")] {
            std::fs::create_dir_all(folder.path().join(file)).unwrap();
            let place = Path::new(file).join(kept);
            std::fs::copy(self.folder.path().join(&place), folder.path().join(&place)).unwrap();
        }
        Self::at(folder, Arc::clone(&self.database), self.settings).await
    }

    /// Stops the server for good.
    pub(crate) async fn stopped(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }

    async fn at(folder: tempfile::TempDir, database: Arc<TestDatabase>, settings: Settings) -> Self {
        let shutdown = Shutdown::new();
        let (sender, ready) = tokio::sync::oneshot::channel();
        let config = config(folder.path(), database.url(), settings);
        let running = tokio::spawn(run_announcing(config, shutdown.clone(), sender));
        let Ok(ready) = ready.await else { panic!("the server did not start: {:?}", running.await) };
        Self { folder, database, ready, settings, shutdown, running }
    }

    /// Stops the server and starts it again on the same folder and database.
    pub(crate) async fn restarted(self) -> Self {
        let settings = self.settings;
        self.restarted_with(settings).await
    }

    /// The same with other settings.
    pub(crate) async fn restarted_with(self, settings: Settings) -> Self {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        assert!(!self.folder.path().join("admin.sock").exists(), "the socket goes with the server");
        Self::at(self.folder, self.database, settings).await
    }

    pub(crate) fn socket(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Calls the API over the admin socket.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> (StatusCode, Value) {
        let io = UnixStream::connect(self.socket("admin.sock")).await.unwrap();
        call(io, method, path, None, body).await
    }

    /// Announces a JSON body of that length, sends none of it, and returns how the answer begins. A client that went on
    /// writing to a server that has refused already might be cut off before it reads why.
    pub(crate) async fn announce(&self, path: &str, length: usize) -> String {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut io = UnixStream::connect(self.socket("admin.sock")).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        );
        io.write_all(head.as_bytes()).await.unwrap();
        let mut start = [0; 12];
        tokio::time::timeout(PATIENCE, io.read_exact(&mut start)).await.unwrap().unwrap();
        String::from_utf8_lossy(&start).into_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{path}: {body}");
        body
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Value {
        let (status, answer) = self.call(Method::POST, path, body).await;
        assert!(status.is_success(), "{path}: {status} {answer}");
        answer
    }

    /// Calls the API over HTTPS, with a token or without.
    pub(crate) async fn https(
        &self,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Value,
    ) -> (StatusCode, Value) {
        call(self.tls().await, method, path, token, body).await
    }

    pub(crate) async fn tls(&self) -> impl Io + 'static {
        tls_to(self.ready.https, &self.ready.certificate_sha256).await
    }

    /// The same from an address of this machine's own, where many strangers are to come from many places.
    pub(crate) async fn tls_from(&self, source: Ipv4Addr) -> impl Io + 'static {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        let tcp = socket.connect(self.ready.https).await.unwrap();
        greet(tcp, trusting(&self.ready.certificate_sha256)).await.unwrap()
    }

    /// A staff member, a resource, a grant of one hour, and a device. Returns the device.
    pub(crate) async fn furnish(&self) -> Value {
        self.post("/api/v1/people", json!({ "email": "support@shop.example", "name": "Support", "kind": "staff" }))
            .await;
        self.post("/api/v1/resources", json!({ "name": "panel", "targets": ["10.0.5.10"], "allow": ["tcp/443"] }))
            .await;
        self.post("/api/v1/grants", json!({ "email": "support@shop.example", "resource": "panel", "for": "1h" })).await;
        self.device("support@shop.example", "laptop", 1).await
    }

    pub(crate) async fn device(&self, email: &str, name: &str, key: u8) -> Value {
        self.post("/api/v1/devices", json!({ "email": email, "name": name, "public_key": public_key(key) })).await
    }
}

/// A key that is no low-order point.
pub(crate) fn public_key(number: u8) -> String {
    use base64::Engine as _;
    let mut bytes = [0x42; 32];
    bytes[0] = number;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn config(folder: &Path, database: &str, settings: Settings) -> ControlPlaneConfig {
    let policy = settings.policy.map(|text| {
        let file = folder.join("policy.txt");
        std::fs::write(&file, text).unwrap();
        file
    });
    ControlPlaneConfig {
        server: ServerSection {
            listen: "127.0.0.1:0".parse().unwrap(),
            feed_listen: Some("127.0.0.1:0".parse().unwrap()),
            database: database.to_owned(),
            url: settings.url.map(ToOwned::to_owned),
            policy,
            trusted_proxies: settings.trusted_proxies.iter().map(|prefix| prefix.parse().unwrap()).collect(),
            ..ServerSection::default()
        },
        acme: doorward_control_plane::AcmeSection::default(),
        ldap: settings.ldap.cloned().unwrap_or_default(),
        opened: Vec::new(),
        mail: doorward_control_plane::MailSection {
            url: settings.mail.map(ToOwned::to_owned),
            from: Some("Doorward <door@shop.example>".to_owned()),
        },
        oidc: doorward_control_plane::OidcSection {
            issuer: settings.issuer.map(ToOwned::to_owned),
            only: settings.only,
            client_id: Some("doorward".to_owned()),
            second_factor_amr: vec!["mfa".to_owned()],
            groups_claim: settings.groups_claim.map(ToOwned::to_owned),
            groups: settings.groups.iter().map(|(there, here)| ((*there).to_owned(), here.parse().unwrap())).collect(),
            ..doorward_control_plane::OidcSection::default()
        },
        network: settings.network,
        zone: settings.zone.parse().unwrap(),
        routes: settings.routes,
        authority_ttl: settings.ttl,
        sign_in_window: settings.sign_in_window,
        directory: settings.directory,
        disuse: settings.disuse,
        data_dir: folder.to_path_buf(),
    }
}

/// One request on a connection of its own.
pub(crate) async fn call(
    io: impl Io + 'static,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> (StatusCode, Value) {
    let response = request(io, method, path, token, body).await;
    let status = response.status();
    let bytes = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::String(text)))
}

/// One request, whose answer's body is still to come.
pub(crate) async fn request(
    io: impl Io + 'static,
    method: Method,
    path: &str,
    token: Option<&str>,
    body: Value,
) -> Response<Incoming> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(path).header("host", "localhost");
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = request.header("content-type", "application/json").body(Full::new(body)).unwrap();
    tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap()
}

/// Opens a connection to a server that has this certificate.
pub(crate) async fn tls_to(address: std::net::SocketAddr, sha256: &str) -> impl Io + 'static {
    connect(address, trusting(sha256)).await.unwrap()
}

/// Trusts this certificate alone.
pub(crate) fn trusting(sha256: &str) -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Pinned(sha256.to_owned())))
        .with_no_client_auth()
}

/// Shakes hands with a server that is reached as localhost.
pub(crate) async fn connect(
    address: std::net::SocketAddr,
    config: ClientConfig,
) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    greet(TcpStream::connect(address).await.unwrap(), config).await
}

async fn greet(tcp: TcpStream, config: ClientConfig) -> std::io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let name = ServerName::try_from("localhost").unwrap();
    tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Believes one certificate, by its digest.
#[derive(Debug)]
struct Pinned(String);

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        use sha2::Digest as _;
        if hex::encode(sha2::Sha256::digest(end_entity)) == self.0 {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(rustls::Error::General("another certificate than the one announced".to_owned()))
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("TLS 1.2 is off".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = aws_lc_rs::default_provider().signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

/// Runs a test on SQLite and on PostgreSQL, with a running server, or with the database alone.
macro_rules! on_both {
    ($name:ident, $test:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                let database = doorward_store::test_support::TestDatabase::sqlite().await.unwrap();
                ($test)($crate::world::World::on(database).await).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                let database = doorward_store::test_support::TestDatabase::postgres().await.unwrap();
                ($test)($crate::world::World::on(database).await).await;
            }
        }
    };
    ($name:ident, $test:expr, database) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn sqlite() {
                ($test)(doorward_store::test_support::TestDatabase::sqlite().await.unwrap()).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn postgres() {
                ($test)(doorward_store::test_support::TestDatabase::postgres().await.unwrap()).await;
            }
        }
    };
}
pub(crate) use on_both;
