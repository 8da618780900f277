//! Certificates of a public authority, with a real one: the first, the next, under open connections, while the authority is
//! away, and what is said when it refuses.

use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use doorward_control_plane::{ControlPlaneConfig, ControlPlaneError, Ready, Shutdown, run_announcing};
use doorward_store::test_support::TestDatabase;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::UnixStream;

use crate::pebble::{Pebble, Places, free_ports};
use crate::world::{PATIENCE, Settings, call, config, connect, tls_to, trusting};

const NAME: &str = "door.shop.example";

/// How long an authority may take in a test: the pause after it did not answer is in it.
const LONG: Duration = Duration::from_secs(60);

struct Server {
    config: ControlPlaneConfig,
    ready: Ready,
    shutdown: Shutdown,
    running: tokio::task::JoinHandle<Result<(), ControlPlaneError>>,
}

impl Server {
    async fn start(config: ControlPlaneConfig) -> Self {
        let (shutdown, (sender, ready)) = (Shutdown::new(), tokio::sync::oneshot::channel());
        let running = tokio::spawn(run_announcing(config.clone(), shutdown.clone(), sender));
        let ready = tokio::time::timeout(PATIENCE, ready).await.expect("the start waits for something");
        let Ok(ready) = ready else { panic!("the server did not start: {:?}", running.await) };
        Self { config, ready, shutdown, running }
    }

    async fn restarted(self) -> Self {
        Self::start(self.stopped().await).await
    }

    /// Stops it, and waits until its port is free for the next one.
    async fn stopped(self) -> ControlPlaneConfig {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
        let free = async {
            while tokio::net::TcpListener::bind(self.config.server.listen).await.is_err() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(PATIENCE, free).await.expect("the port is never free");
        self.config
    }

    /// What the status says of the certificate.
    async fn certificate(&self) -> Value {
        let io = UnixStream::connect(self.config.data_dir.join("admin.sock")).await.unwrap();
        let (status, body) = call(io, Method::GET, "/api/v1/status", None, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body["certificate"].clone()
    }

    async fn certificate_when(&self, what: &str, holds: impl Fn(&Value) -> bool) -> Value {
        let waiting = async {
            loop {
                let certificate = self.certificate().await;
                if holds(&certificate) {
                    break certificate;
                }
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        match tokio::time::timeout(LONG, waiting).await {
            Ok(certificate) => certificate,
            Err(_) => panic!("{what}: {}", self.certificate().await),
        }
    }

    /// Asks over HTTPS as any browser would that trusts `root`.
    async fn browse(&self, root: &[u8]) -> reqwest::Response {
        let address = self.ready.https;
        let client = reqwest::Client::builder().tls_certs_only([reqwest::Certificate::from_pem(root).unwrap()]);
        let client = client.resolve(NAME, address).build().unwrap();
        client.get(format!("https://{NAME}:{}/readyz", address.port())).send().await.unwrap()
    }

    fn files(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.config.data_dir.join("keys")).unwrap().map(Result::unwrap);
        let kept = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with("acme-"));
        let mut files: Vec<_> = kept
            .map(|entry| {
                assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
                (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap())
            })
            .collect();
        files.sort();
        files
    }
}

/// A server at `url` that asks the authority at `places`.
fn asking(folder: &std::path::Path, database: &TestDatabase, url: &'static str, places: &Places) -> ControlPlaneConfig {
    let mut config = config(folder, database.url(), Settings { url: Some(url), ..Settings::default() });
    config.acme.names = vec![url.split('/').nth(2).unwrap().split(':').next().unwrap().parse().unwrap()];
    config.acme.terms_agreed = true;
    config.acme.contact = Some("admin@shop.example".parse().unwrap());
    config.acme.directory = places.directory_url();
    config.acme.directory_ca = Some(places.ca());
    config.acme.http_listen = SocketAddr::from(([127, 0, 0, 1], places.http));
    config.server.listen = SocketAddr::from(([127, 0, 0, 1], places.tls));
    config
}

fn is_from(source: &str) -> impl Fn(&Value) -> bool {
    move |certificate| certificate["source"] == source
}

async fn ask(sender: &mut SendRequest<Empty<Bytes>>) -> StatusCode {
    let request = Request::get("/readyz").header("host", "localhost").body(Empty::new()).unwrap();
    let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
    let status = response.status();
    response.into_body().collect().await.unwrap();
    status
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_certificate_comes_by_itself_and_is_kept() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite().await.unwrap());
    let data = folder.path().join("data");
    let places = Places::new(folder.path(), 90 * 86_400);
    // The authority is away: the server starts all the same, with its own certificate, and says what it waits for.
    let server = Server::start(asking(&data, &database, "https://door.shop.example", &places)).await;
    let waiting = server.certificate_when("no word of the authority", |it| !it["trouble"].is_null()).await;
    assert!(waiting["source"] == "own" && waiting["next_at"].is_string(), "{waiting}");
    assert!(waiting["trouble"].as_str().unwrap().contains("does not answer"), "{waiting}");
    let io = tls_to(server.ready.https, &server.ready.certificate_sha256).await;
    let (mut open, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    assert_eq!(ask(&mut open).await, StatusCode::NO_CONTENT);

    // It comes back, and looks into the portal's own handshake.
    let pebble = Pebble::start(&places).await;
    let issued = server.certificate_when("no certificate", is_from("acme")).await;
    assert!(issued["trouble"].is_null() && issued["names"] == serde_json::json!([NAME]), "{issued}");
    assert_eq!(ask(&mut open).await, StatusCode::NO_CONTENT, "the connection that was open goes on");
    let root = pebble.root().await;
    let seen = server.browse(&root).await;
    assert_eq!(seen.status(), StatusCode::NO_CONTENT);
    assert_eq!(seen.headers()["strict-transport-security"], "max-age=31536000");
    let kept = server.files();
    assert_eq!(kept.len(), 2, "the account and the certificate with its key");

    // A restart needs no authority.
    drop(pebble);
    let server = server.restarted().await;
    assert_eq!(server.ready.certificate_sha256, issued["sha256"]);
    assert_eq!(server.browse(&root).await.status(), StatusCode::NO_CONTENT);
    assert_eq!(server.files(), kept);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_certificate_comes_in_time_and_another_account_where_the_first_is_unknown() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite().await.unwrap());
    let data = folder.path().join("data");
    let places = Places::new(folder.path(), 12);
    let pebble = Pebble::start(&places).await;
    let server = Server::start(asking(&data, &database, "https://door.shop.example:8443", &places)).await;
    let first = server.certificate_when("no certificate", is_from("acme")).await;
    let account = server.files().into_iter().find(|(name, _)| name.ends_with(".account")).unwrap();
    let next = server.certificate_when("no second certificate", |it| it["sha256"] != first["sha256"]).await;
    assert!(next["source"] == "acme" && next["trouble"].is_null(), "{next}");
    assert!(server.files().contains(&account), "the account stays");

    // An authority that began anew knows nobody.
    drop(pebble);
    let pebble = Pebble::start(&places).await;
    let root = pebble.root().await;
    let after = |it: &Value| it["sha256"] != next["sha256"] && it["trouble"].is_null();
    server.certificate_when("no certificate with another account", after).await;
    assert!(!server.files().contains(&account), "another account was opened");
    assert_eq!(server.browse(&root).await.status(), StatusCode::NO_CONTENT);

    // Whoever comes by the port of the question is led to the portal, and nowhere else.
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let plain = format!("http://127.0.0.1:{}", places.http);
    let led = client.get(format!("{plain}/devices/new")).header("host", "evil.example").send().await.unwrap();
    assert_eq!(led.status(), StatusCode::TEMPORARY_REDIRECT);
    assert_eq!(led.headers()["location"], "https://door.shop.example:8443/devices/new");
    let guessed = client.get(format!("{plain}/.well-known/acme-challenge/guess")).send().await.unwrap();
    assert_eq!(guessed.status(), StatusCode::NOT_FOUND);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_is_said_in_a_sentence_and_the_own_certificate_stays() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite().await.unwrap());
    let mut places = Places::new(folder.path(), 90 * 86_400);
    // It looks where nobody answers: a name that leads elsewhere, or a port that is shut.
    let portal = std::mem::replace(&mut places.tls, free_ports::<1>()[0]);
    let _pebble = Pebble::start(&places).await;
    places.tls = portal;
    let config = asking(&folder.path().join("door"), &database, "https://door.shop.example", &places);
    let server = Server::start(config).await;
    let refused = server.certificate_when("no refusal", |it| !it["trouble"].is_null()).await;
    let sentence = refused["trouble"].as_str().unwrap();
    assert!(sentence.contains("could not check door.shop.example (\""), "{sentence}");
    assert!(sentence.ends_with("let TCP port 443 in from everywhere"), "{sentence}");
    assert_eq!(refused["source"], "own");
    server.stopped().await;

    let database = TestDatabase::sqlite().await.unwrap();
    let config = asking(&folder.path().join("refused"), &database, "https://refused.shop.example", &places);
    let server = Server::start(config).await;
    let refused = server.certificate_when("no refusal", |it| !it["trouble"].is_null()).await;
    let sentence = refused["trouble"].as_str().unwrap();
    assert!(sentence.starts_with("the certificate authority refused (\""), "{sentence}");
    assert!(sentence.ends_with("check `[acme] names` and `contact`"), "{sentence}");
    assert_eq!(refused["source"], "own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_owners_files_are_read_again_when_they_change() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite().await.unwrap());
    let (chain, key) = (folder.path().join("chain.pem"), folder.path().join("key.pem"));
    let put = |path: &std::path::Path, text: &str| {
        // As those who renew files do it: whole, under another name, then in its place.
        std::fs::write(path.with_extension("fresh"), text).unwrap();
        std::fs::rename(path.with_extension("fresh"), path).unwrap();
    };
    let pair = || rcgen::generate_simple_self_signed(vec![NAME.to_owned()]).unwrap();
    let first = pair();
    put(&chain, &first.cert.pem());
    put(&key, &first.signing_key.serialize_pem());
    let mut config = config(&folder.path().join("data"), database.url(), Settings::default());
    config.server.tls_certificate = Some(chain.clone());
    config.server.tls_key = Some(key.clone());
    let server = Server::start(config).await;
    let before = server.certificate().await;
    assert_eq!(before["source"], "files");
    let second = pair();
    put(&chain, &second.cert.pem());
    let torn = server.certificate_when("half a change is taken", |it| !it["trouble"].is_null()).await;
    assert!(torn["trouble"].as_str().unwrap().contains("do not go together"), "{torn}");
    assert_eq!(torn["sha256"], before["sha256"], "the pair before is used on");
    put(&key, &second.signing_key.serialize_pem());
    let after = server.certificate_when("the change is not taken", |it| it["trouble"].is_null()).await;
    assert_ne!(after["sha256"], before["sha256"]);
    tls_to(server.ready.https, after["sha256"].as_str().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_but_an_authority_that_asked_gets_the_answer_s_protocol() {
    let (folder, database) = (tempfile::tempdir().unwrap(), TestDatabase::sqlite().await.unwrap());
    let config = config(folder.path(), database.url(), Settings::default());
    let server = Server::start(config).await;
    let mut asking = trusting(&server.ready.certificate_sha256);
    asking.alpn_protocols = vec![b"acme-tls/1".to_vec()];
    let refused = connect(server.ready.https, asking.clone()).await.unwrap_err();
    assert!(refused.to_string().to_lowercase().contains("denied"), "{refused}");
    // A browser that knows the protocol's name too is a browser.
    asking.alpn_protocols.insert(0, b"http/1.1".to_vec());
    connect(server.ready.https, asking).await.unwrap();
}
