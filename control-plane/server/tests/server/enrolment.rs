//! Gateways on other machines: one-time tokens, certificates, and what neither opens.

use std::sync::Arc;

use hyper::{Method, StatusCode};
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};

use crate::gateway::{Gateway, Way, hello};
use crate::world::{World, on_both, request};

struct Enrolled {
    certificate: String,
    key: KeyPair,
}

fn client(world: &World, enrolled: Option<&Enrolled>) -> Way {
    let mut roots = RootCertStore::empty();
    let authority = std::fs::read(world.socket("feed-ca").join("ca.pem")).unwrap();
    roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let config = match enrolled {
        None => config.with_no_client_auth(),
        Some(Enrolled { certificate, key }) => {
            let chain = vec![CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap()];
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
            config.with_client_auth_cert(chain, key).unwrap()
        }
    };
    Way::Tls { address: world.ready.feed.unwrap(), config: Arc::new(config) }
}

async fn token(world: &World, name: &str) -> String {
    let made = world.post("/api/v1/gateways/tokens", json!({ "name": name })).await;
    made["token"].as_str().unwrap().to_owned()
}

async fn try_enrol(world: &World, token: &str, name: &str) -> (StatusCode, Value, KeyPair) {
    let key = KeyPair::generate().unwrap();
    let csr = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let body = json!({ "token": token, "name": name, "csr_pem": csr });
    let (status, answer) = client(world, None).post("/feed/v1/enrol", body).await;
    (status, answer, key)
}

async fn enrol(world: &World, name: &str) -> Enrolled {
    let (status, answer, key) = try_enrol(world, &token(world, name).await, name).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    Enrolled { certificate: answer["certificate_pem"].as_str().unwrap().to_owned(), key }
}

on_both!(a_token_enrols_one_gateway_once, |world: World| async move {
    let made = token(&world, "berlin").await;
    let authority = std::fs::read(world.socket("feed-ca").join("ca.pem")).unwrap();
    let authority = CertificateDer::from_pem_slice(&authority).unwrap();
    use sha2::Digest as _;
    assert!(
        made.ends_with(&format!(".{}", hex::encode(sha2::Sha256::digest(&authority)))),
        "the token names its authority"
    );
    let (status, answer, _) = try_enrol(&world, &made, "paris").await;
    assert_eq!(status, StatusCode::FORBIDDEN, "it is for another name: {answer}");
    let (status, _, _) = try_enrol(&world, &made, "berlin").await;
    assert_eq!(status, StatusCode::OK);
    let (status, answer, _) = try_enrol(&world, &made, "berlin").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    assert!(answer["error"]["message"].as_str().unwrap().contains("used already"), "{answer}");
    let (status, _, _) = try_enrol(&world, "dwg1.AAAA.BBBB", "berlin").await;
    assert_eq!(status, StatusCode::FORBIDDEN);
});

on_both!(an_enrolled_gateway_is_fed_until_it_is_removed, |world: World| async move {
    world.furnish().await;
    let berlin = enrol(&world, "berlin").await;
    let way = client(&world, Some(&berlin));
    let (status, answer) = way.post("/feed/v1/hello", hello("paris")).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "the certificate's name counts: {answer}");
    let mut gateway = Gateway::over(way.clone(), "berlin").await;
    assert_eq!(gateway.leases.len(), 1);
    // Its session is its own: the socket's gateway cannot use it.
    let local = Way::Socket(world.socket("feed.sock"));
    let ping = json!({ "session": gateway.session, "boot_micros": 1, "revision": null, "devices_active": 0, "devices_known": 0 });
    assert_eq!(local.post("/feed/v1/ping", ping).await.0, StatusCode::NOT_FOUND);
    let (status, _) = local.post("/feed/v1/hello", hello("berlin")).await;
    assert_eq!(status, StatusCode::CONFLICT, "nobody on this machine takes its name");

    let (status, _) = world.call(Method::DELETE, "/api/v1/gateways/berlin", Value::Null).await;
    assert_eq!(status, StatusCode::OK);
    while gateway.step().await.is_ok() {}
    let (status, answer) = way.post("/feed/v1/hello", hello("berlin")).await;
    assert_eq!(status, StatusCode::FORBIDDEN, "{answer}");
});

on_both!(enrolling_again_ends_the_earlier_certificate, |world: World| async move {
    let first = enrol(&world, "berlin").await;
    let mut gateway = Gateway::over(client(&world, Some(&first)), "berlin").await;
    let second = enrol(&world, "berlin").await;
    // Its next ping is answered by the stream's end.
    gateway.ping(1).await;
    while gateway.step().await.is_ok() {}
    let (status, _) = client(&world, Some(&first)).post("/feed/v1/hello", hello("berlin")).await;
    assert_eq!(status, StatusCode::FORBIDDEN);
    drop(Gateway::over(client(&world, Some(&second)), "berlin").await);
});

on_both!(without_a_certificate_of_ours_nothing_but_enrolment_answers, |world: World| async move {
    let nobody = client(&world, None);
    let session = "0192f0c1-7a3e-7cc1-b2f4-0123456789ab";
    for path in ["/feed/v1/hello", "/feed/v1/ping", "/feed/v1/receipts", "/feed/v1/events"] {
        let (status, answer) = nobody.post(path, json!({})).await;
        assert_eq!((status, &answer["error"]["code"]), (StatusCode::UNAUTHORIZED, &json!("unauthenticated")), "{path}");
    }
    let stream = format!("/feed/v1/stream?session={session}");
    let answer = request(nobody.open().await.unwrap(), Method::GET, &stream, None, Value::Null).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    // The feed's port knows nothing of the API, and a certificate of ours does not open the API.
    let answer = request(nobody.open().await.unwrap(), Method::GET, "/api/v1/people", None, Value::Null).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);

    // A certificate that somebody else signed ends the handshake.
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, "berlin");
    let certificate = params.self_signed(&key).unwrap().pem();
    let stranger = client(&world, Some(&Enrolled { certificate, key }));
    // With TLS 1.3 the client learns of the refusal with its first read.
    let refused = match stranger.open().await {
        Err(_) => true,
        Ok(mut io) => {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let _ = io.write_all(b"GET /feed/v1/stream HTTP/1.1\r\nhost: x\r\n\r\n").await;
            let mut answer = Vec::new();
            io.read_to_end(&mut answer).await.is_err() && answer.is_empty()
        }
    };
    assert!(refused, "a stranger's certificate opened the feed");
});
