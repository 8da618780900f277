//! A small identity provider on loopback: it signs whatever a test wants signed, honest or not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_model::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// What the provider knows.
struct Inner {
    issuer: String,
    claimed_issuer: Mutex<String>,
    key: Mutex<(String, EcdsaKeyPair)>,
    /// Codes with the PKCE challenge they were given for and the token they are traded for.
    codes: Mutex<HashMap<String, (String, String)>>,
    trouble: Mutex<Trouble>,
}

/// What is wrong with the answer to a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Trouble {
    #[default]
    None,
    /// It never comes.
    Silent,
    /// It does not end.
    Endless,
    /// It leads to another server.
    Elsewhere,
    /// It is no JSON.
    Nonsense,
}

/// A running provider.
#[derive(Clone)]
pub(crate) struct Idp {
    inner: Arc<Inner>,
    stop: tokio_util::sync::CancellationToken,
}

impl Idp {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let inner = Arc::new(Inner {
            claimed_issuer: Mutex::new(issuer.clone()),
            issuer,
            key: Mutex::new(("first".to_owned(), new_key())),
            codes: Mutex::default(),
            trouble: Mutex::default(),
        });
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(configuration))
            .route("/jwks", get(keys))
            .route("/token", post(token))
            .with_state(Arc::clone(&inner));
        let stop = tokio_util::sync::CancellationToken::new();
        let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned());
        tokio::spawn(async move { serving.await.unwrap() });
        Self { inner, stop }
    }

    /// Its address, for settings that live as long as the test's process.
    pub(crate) fn issuer(&self) -> &'static str {
        Box::leak(self.inner.issuer.clone().into_boxed_str())
    }

    /// Says another issuer of itself than the one that was asked for.
    pub(crate) fn claim(&self, issuer: &str) {
        issuer.clone_into(&mut self.inner.claimed_issuer.lock().unwrap());
    }

    /// Signs with another key from here on, and publishes that one.
    pub(crate) fn rotate(&self) {
        *self.inner.key.lock().unwrap() = ("second".to_owned(), new_key());
    }

    /// Answers to codes in this way from here on.
    pub(crate) fn give_trouble(&self, trouble: Trouble) {
        *self.inner.trouble.lock().unwrap() = trouble;
    }

    /// The public key as clients get it, in forms that a forger would try as a shared secret.
    pub(crate) fn public_forms(&self) -> Vec<Vec<u8>> {
        let key = self.inner.key.lock().unwrap();
        let point = key.1.public_key().as_ref().to_vec();
        let encoded = URL_SAFE_NO_PAD.encode(&point[1..33]).into_bytes();
        vec![point, encoded, Vec::new(), b"doorward".to_vec()]
    }

    /// Stops answering.
    pub(crate) fn stop(&self) {
        self.stop.cancel();
    }

    /// What an honest token says to somebody who was sent here.
    pub(crate) fn claims(&self, sent: &Sent, subject: &str) -> Value {
        let now = Timestamp::now().as_second();
        json!({
            "iss": self.inner.issuer, "sub": subject, "aud": "doorward", "iat": now, "exp": now + 300,
            "nonce": sent.nonce, "email": "anna@shop.example", "email_verified": false,
        })
    }

    /// Gives a code for a token with these claims, signed as it should be.
    pub(crate) fn grant(&self, sent: &Sent, claims: &Value) -> String {
        let token = self.signed(&json!({ "alg": "ES256", "kid": self.inner.key.lock().unwrap().0 }), claims);
        self.code(sent, token)
    }

    /// Gives a code for any token.
    pub(crate) fn code(&self, sent: &Sent, token: String) -> String {
        let code = format!("code-{}", uuid::Uuid::now_v7());
        self.inner.codes.lock().unwrap().insert(code.clone(), (sent.challenge.clone(), token));
        code
    }

    /// Signs any header and claims.
    pub(crate) fn signed(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(header), part(claims));
        let key = self.inner.key.lock().unwrap();
        let signature = key.1.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// What a browser that was sent to the provider carries.
#[derive(Debug, Clone)]
pub(crate) struct Sent {
    pub(crate) state: String,
    pub(crate) nonce: String,
    pub(crate) challenge: String,
}

impl Sent {
    pub(crate) fn of(location: &str) -> Self {
        let url = url::Url::parse(location).unwrap_or_else(|error| panic!("{location}: {error}"));
        let asked: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!((asked["response_type"].as_str(), asked["client_id"].as_str()), ("code", "doorward"));
        assert_eq!(asked["code_challenge_method"], "S256");
        assert_eq!(asked["redirect_uri"], "https://door.shop.example:8443/sign-in/provider/callback");
        Self {
            state: asked["state"].clone(),
            nonce: asked["nonce"].clone(),
            challenge: asked["code_challenge"].clone(),
        }
    }

    /// The way back with a code.
    pub(crate) fn back(&self, code: &str) -> String {
        format!("/sign-in/provider/callback?state={}&code={code}", self.state)
    }
}

fn new_key() -> EcdsaKeyPair {
    EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap()
}

async fn configuration(State(idp): State<Arc<Inner>>) -> Json<Value> {
    let own = &idp.issuer;
    Json(json!({
        "issuer": *idp.claimed_issuer.lock().unwrap(),
        "authorization_endpoint": format!("{own}/auth"),
        "token_endpoint": format!("{own}/token"),
        "jwks_uri": format!("{own}/jwks"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
    }))
}

async fn keys(State(idp): State<Arc<Inner>>) -> Json<Value> {
    let key = idp.key.lock().unwrap();
    let point = key.1.public_key().as_ref().to_vec();
    let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..65]));
    Json(
        json!({ "keys": [{ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": key.0, "use": "sig", "alg": "ES256" }] }),
    )
}

async fn token(
    State(idp): State<Arc<Inner>>,
    Form(form): Form<HashMap<String, String>>,
) -> Result<Response, StatusCode> {
    let trouble = *idp.trouble.lock().unwrap();
    match trouble {
        Trouble::None => {}
        Trouble::Silent => std::future::pending().await,
        Trouble::Endless => {
            let chunk = || Ok::<_, std::convert::Infallible>(vec![b' '; 64 * 1024]);
            let chunks = futures_util::stream::repeat_with(chunk);
            return Ok(axum::body::Body::from_stream(chunks).into_response());
        }
        Trouble::Elsewhere => return Ok(Redirect::temporary("http://127.0.0.1:1/token").into_response()),
        Trouble::Nonsense => return Ok("<html>It works!</html>".into_response()),
    }
    let found = idp.codes.lock().unwrap().remove(form.get("code").map_or("", String::as_str));
    let (challenge, token) = found.ok_or(StatusCode::BAD_REQUEST)?;
    let verifier = form.get("code_verifier").map_or("", String::as_str);
    if URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)) != challenge {
        return Err(StatusCode::BAD_REQUEST);
    }
    let answer = json!({ "access_token": "access", "token_type": "Bearer", "expires_in": 300, "id_token": token });
    Ok(Json(answer).into_response())
}
