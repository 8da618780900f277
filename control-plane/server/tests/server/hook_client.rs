//! A sender of signed messages, over HTTPS.

use doorward_model::Timestamp;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::world::{PATIENCE, World};

/// A webhook with one secret.
pub(crate) struct Sender<'a> {
    pub(crate) world: &'a World,
    pub(crate) name: String,
    pub(crate) secret: String,
    /// How far its clock is from the server's, in seconds.
    pub(crate) ahead: i64,
}

/// HMAC-SHA256 in hexadecimal.
pub(crate) fn hmac(secret: &str, text: &[u8]) -> String {
    use aws_lc_rs::hmac;
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    hex::encode(hmac::sign(&key, text))
}

impl<'a> Sender<'a> {
    /// Makes a secret.
    pub(crate) async fn new(world: &'a World, name: &str) -> Self {
        let made = world.post("/api/v1/hooks", json!({ "name": name })).await;
        Self { world, name: name.to_owned(), secret: made["secret"].as_str().unwrap().to_owned(), ahead: 0 }
    }

    /// Signs a message and sends it.
    pub(crate) async fn send(&self, body: &Value) -> (StatusCode, Value) {
        let (timestamp, body) = (self.now(), body.to_string());
        let signature = self.signed(&timestamp, &body);
        self.send_as(&timestamp, &signature, &body).await
    }

    /// Says one thing of one person, and gives what became of it.
    pub(crate) async fn say(&self, event: &str, email: &str) -> Value {
        let (status, answer) =
            self.send(&json!({ "event": format!("person.{event}"), "email": email, "id": id() })).await;
        assert!(status.is_success(), "{status} {answer}");
        answer["results"][0].clone()
    }

    pub(crate) fn now(&self) -> String {
        (Timestamp::now().as_second() + self.ahead).to_string()
    }

    pub(crate) fn signed(&self, timestamp: &str, body: &str) -> String {
        format!("v1={}", hmac(&self.secret, format!("{}.{timestamp}.{body}", self.name).as_bytes()))
    }

    pub(crate) async fn send_as(&self, timestamp: &str, signature: &str, body: &str) -> (StatusCode, Value) {
        let io = self.world.tls().await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        let request = Request::builder()
            .method(Method::POST)
            .uri("/hooks/v1/people")
            .header("host", "localhost")
            .header("doorward-hook", &self.name)
            .header("doorward-timestamp", timestamp)
            .header("doorward-signature", signature)
            .body(Full::new(Bytes::from(body.to_owned())))
            .unwrap();
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        let status = answer.status();
        let bytes = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }
}

/// An id that no other message has.
fn id() -> String {
    uuid::Uuid::now_v7().to_string()
}
