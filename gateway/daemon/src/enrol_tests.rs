//! Enrolment against a control plane of the test's own, over real TLS.

use std::convert::Infallible;
use std::sync::Mutex;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rcgen::{
    BasicConstraints, CertificateSigningRequestParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyUsagePurpose,
};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;

#[test]
fn tokens_are_read_whole_or_not_at_all() {
    let secret = URL_SAFE_NO_PAD.encode([7; 32]);
    let digest = hex::encode([9; 32]);
    let token = EnrolmentToken::parse(&format!(" dwg1.{secret}.{digest}\n")).unwrap();
    assert_eq!(token.authority_digest, [9; 32]);
    assert!(!token.text.contains(char::is_whitespace));
    for wrong in [
        String::new(),
        "dwg1".to_owned(),
        format!("dwg2.{secret}.{digest}"),
        format!("dwg1.{secret}.{digest}.x"),
        format!("dwg1.{secret}.{}", &digest[2..]),
        format!("dwg1.{}.{digest}", URL_SAFE_NO_PAD.encode([7; 31])),
        format!("dwg1.{secret}=.{digest}"),
    ] {
        assert!(matches!(EnrolmentToken::parse(&wrong), Err(EnrolError::TokenFormat)), "{wrong}");
    }
}

#[test]
fn a_gateway_without_certificate_and_token_is_told_what_to_run() {
    let dir = tempfile::tempdir().unwrap();
    let name: GatewayName = "berlin".parse().unwrap();
    let error = Enrolment::find(dir.path(), None, &name).map(|_| ()).unwrap_err();
    assert!(error.to_string().contains("doorward gateway token add berlin"), "{error}");
    let missing = Enrolment::find(dir.path(), Some(&dir.path().join("none")), &name).map(|_| ()).unwrap_err();
    assert!(matches!(missing, EnrolError::TokenFile { .. }));
    std::fs::write(dir.path().join(CERTIFICATE_FILE), "x").unwrap();
    assert!(matches!(Enrolment::find(dir.path(), None, &name), Ok(Enrolment::Done)));
}

/// A feed authority and a server that enrols whoever asks with `TOKEN`, and answers others by who they are.
struct Server {
    port: u16,
    authority: CertificateDer<'static>,
    requests: Arc<Mutex<Vec<String>>>,
}

fn usages(params: &mut CertificateParams, usage: ExtendedKeyUsagePurpose) {
    params.extended_key_usages = vec![usage];
}

async fn server(server_name: &str, refuse: bool) -> Server {
    let authority_key = KeyPair::generate().unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let certificate = authority.self_signed(&authority_key).unwrap();
    let authority_pem = certificate.pem();
    let authority = certificate.der().clone();
    let issuer = Arc::new(Issuer::from_ca_cert_pem(&authority_pem, authority_key).unwrap());
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![server_name.to_owned()]).unwrap();
    usages(&mut params, ExtendedKeyUsagePurpose::ServerAuth);
    let chain = vec![params.signed_by(&key, &issuer).unwrap().der().clone(), authority.clone()];

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider));
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_client_cert_verifier(clients.allow_unauthenticated().build().unwrap())
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let requests = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&requests);
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            let known = stream.get_ref().1.peer_certificates().is_some();
            let (issuer, authority_pem, seen) = (Arc::clone(&issuer), authority_pem.clone(), Arc::clone(&seen));
            let service = service_fn(move |request| {
                answer(request, known, refuse, Arc::clone(&issuer), authority_pem.clone(), Arc::clone(&seen))
            });
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    Server { port, authority, requests }
}

async fn answer(
    request: Request<Incoming>,
    known: bool,
    refuse: bool,
    issuer: Arc<Issuer<'static, KeyPair>>,
    authority_pem: String,
    seen: Arc<Mutex<Vec<String>>>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    seen.lock().unwrap().push(format!("{} known={known}", request.uri().path()));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    if refuse {
        let text = r#"{"error":{"code":"refused","message":"this token was used already"}}"#;
        return Ok(Response::builder().status(403).body(Full::new(Bytes::from(text))).unwrap());
    }
    if known {
        return Ok(Response::new(Full::new(Bytes::from("{}"))));
    }
    let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert!(body["token"].as_str().unwrap().starts_with("dwg1.") && body["name"] == "berlin");
    let csr = CertificateSigningRequestParams::from_pem(body["csr_pem"].as_str().unwrap()).unwrap();
    let mut params = CertificateParams::default();
    usages(&mut params, ExtendedKeyUsagePurpose::ClientAuth);
    let certificate_pem = params.signed_by(&csr.public_key, &issuer).unwrap().pem();
    let text = serde_json::json!({ "certificate_pem": certificate_pem, "ca_pem": authority_pem }).to_string();
    Ok(Response::new(Full::new(Bytes::from(text))))
}

fn planes(port: u16) -> Arc<Planes> {
    Arc::new(Planes::new(vec![("127.0.0.1".to_owned(), port)]))
}

fn token(digest: [u8; 32]) -> EnrolmentToken {
    EnrolmentToken::parse(&format!("dwg1.{}.{}", URL_SAFE_NO_PAD.encode([7; 32]), hex::encode(digest))).unwrap()
}

async fn try_enrol(folder: &Path, server: &Server, token: &EnrolmentToken) -> Result<(), GatewayError> {
    let name = "berlin".parse().unwrap();
    let planes = planes(server.port);
    let enrolling = enrol(folder, &planes, &name, token);
    tokio::time::timeout(Duration::from_secs(10), enrolling).await.unwrap()
}

#[tokio::test]
async fn a_token_becomes_a_certificate_that_the_feed_accepts() {
    let (dir, server) = (tempfile::tempdir().unwrap(), server("doorward-feed", false).await);
    try_enrol(dir.path(), &server, &token(tls::digest(&server.authority))).await.unwrap();
    let config = Arc::new(tls::enrolled(dir.path()).unwrap());
    let mut poster = Poster::new(Connector::Tls { planes: planes(server.port), config });
    assert!(poster.post("/feed/v1/ping", b"{}".to_vec()).await.unwrap().status.is_success());
    assert_eq!(*server.requests.lock().unwrap(), ["/feed/v1/enrol known=false", "/feed/v1/ping known=true"]);
    for file in [KEY_FILE, CERTIFICATE_FILE, AUTHORITY_FILE] {
        use std::os::unix::fs::MetadataExt as _;
        assert_eq!(std::fs::metadata(dir.path().join(file)).unwrap().mode() & 0o777, 0o600);
    }
}

#[tokio::test]
async fn a_server_of_another_authority_or_name_never_sees_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let other = server("doorward-feed", false).await;
    let error = try_enrol(dir.path(), &other, &token([9; 32])).await.unwrap_err();
    assert!(matches!(error, GatewayError::Enrol(EnrolError::WrongServer { .. })), "{error}");
    let misnamed = server("door.shop.example", false).await;
    let error = try_enrol(dir.path(), &misnamed, &token(tls::digest(&misnamed.authority))).await.unwrap_err();
    assert!(matches!(error, GatewayError::Enrol(EnrolError::WrongServer { .. })), "{error}");
    assert!(other.requests.lock().unwrap().is_empty() && misnamed.requests.lock().unwrap().is_empty());
    assert!(!dir.path().join(CERTIFICATE_FILE).exists());
}

#[tokio::test]
async fn a_used_token_is_refused_with_the_servers_sentence() {
    let (dir, server) = (tempfile::tempdir().unwrap(), server("doorward-feed", true).await);
    let error = try_enrol(dir.path(), &server, &token(tls::digest(&server.authority))).await.unwrap_err();
    assert!(error.to_string().contains("this token was used already"), "{error}");
    assert!(error.to_string().contains("doorward gateway token add berlin"), "{error}");
}
