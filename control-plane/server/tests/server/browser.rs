//! A browser as far as the server can tell: it keeps cookies, names its origin, and sends forms and JSON.

use std::net::Ipv4Addr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::{HeaderMap, HeaderValue};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::authenticator::Authenticator;
use crate::world::{PATIENCE, World};

/// The name under which the tests' server is reached.
pub(crate) const HOST: &str = "door.shop.example:8443";
/// Its origin.
pub(crate) const ORIGIN: &str = "https://door.shop.example:8443";

/// What came back.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or(Value::Null)
    }

    /// Where it leads.
    pub(crate) fn location(&self) -> &str {
        self.headers.get("location").map_or("", |value| value.to_str().unwrap())
    }

    /// The sentence of a JSON refusal.
    pub(crate) fn message(&self) -> String {
        self.json()["error"]["message"].as_str().unwrap_or_default().to_owned()
    }

    /// The value of a field in the page.
    pub(crate) fn field(&self, name: &str) -> String {
        let marked = format!("name=\"{name}\"");
        let input = self.text.split("<input").find(|input| input.contains(&marked)).unwrap_or_default();
        let input = input.split('>').next().unwrap_or_default();
        let value = input.split("value=\"").nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_else(|| panic!("no field {name} in {}", self.text)).to_owned()
    }
}

/// A browser with its cookie.
pub(crate) struct Browser<'a> {
    /// The servers that answer its requests in turn.
    worlds: Vec<&'a World>,
    sent: usize,
    /// The session's cookie, while there is one.
    pub(crate) cookie: Option<String>,
    /// The cookie that it keeps while it is at an identity provider.
    away: Option<String>,
    /// The host that it asks for.
    pub(crate) host: String,
    /// The origin of the page that makes it ask; `None` for none.
    pub(crate) origin: Option<String>,
    /// Where it is.
    pub(crate) source: Ipv4Addr,
    /// More headers.
    pub(crate) more: Vec<(&'static str, String)>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        let (host, origin) = (HOST.to_owned(), Some(ORIGIN.to_owned()));
        Self {
            worlds: vec![world],
            sent: 0,
            cookie: None,
            away: None,
            host,
            origin,
            source: Ipv4Addr::LOCALHOST,
            more: Vec::new(),
        }
    }

    /// A browser whose requests are spread over two servers, as a balancer without a memory would.
    pub(crate) fn between(first: &'a World, second: &'a World) -> Self {
        Self { worlds: vec![first, second], ..Self::new(first) }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Reply {
        self.send(Method::GET, path, "text/plain", String::new()).await
    }

    pub(crate) async fn form(&mut self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let encoded = fields.iter().map(|(name, value)| format!("{name}={}", encoded(value)));
        let body = encoded.collect::<Vec<_>>().join("&");
        self.send(Method::POST, path, "application/x-www-form-urlencoded", body).await
    }

    pub(crate) async fn post(&mut self, path: &str, body: Value) -> Reply {
        self.send(Method::POST, path, "application/json", body.to_string()).await
    }

    pub(crate) async fn send(&mut self, method: Method, path: &str, kind: &str, body: String) -> Reply {
        let world = self.worlds[self.sent % self.worlds.len()];
        self.sent += 1;
        let (mut sender, connection) = http1::handshake(TokioIo::new(world.tls_from(self.source).await)).await.unwrap();
        tokio::spawn(connection);
        let mut request = Request::builder().method(method.clone()).uri(path).header("host", &self.host);
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", format!("other=1; __Host-doorward={cookie}"));
        }
        if let Some(away) = &self.away {
            request = request.header("cookie", format!("__Host-doorward-provider={away}"));
        }
        if let Some(origin) = self.origin.as_ref().filter(|_| method != Method::GET) {
            request = request.header("origin", origin);
        }
        for (name, value) in &self.more {
            request = request.header(*name, value);
        }
        let request = request.header("content-type", kind).body(Full::new(Bytes::from(body))).unwrap();
        let response = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let body = tokio::time::timeout(PATIENCE, response.into_body().collect()).await.unwrap().unwrap();
        for set in headers.get_all("set-cookie") {
            self.take(set);
        }
        Reply { status, headers, text: String::from_utf8_lossy(&body.to_bytes()).into_owned() }
    }

    /// Keeps a cookie, if it is one that browsers keep under this prefix.
    fn take(&mut self, set: &HeaderValue) {
        let text = set.to_str().unwrap();
        let rest = text.strip_prefix("__Host-doorward=");
        let away = text.strip_prefix("__Host-doorward-provider=");
        let Some(kept) = rest.or(away) else { return };
        for attribute in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
            assert!(text.contains(attribute), "{text}");
        }
        assert!(!text.contains("Domain"), "{text}");
        let value = Some(kept.split(';').next().unwrap().to_owned()).filter(|value| !value.is_empty());
        if away.is_some() {
            self.away = value;
        } else {
            self.cookie = value;
        }
    }

    /// Joins through a link with a passkey.
    pub(crate) async fn join_with_passkey(&mut self, way: &str, who: Value) -> Authenticator {
        let (authenticator, done) = self.create_passkey(way, who).await;
        assert_eq!(done.status, StatusCode::OK, "{}", done.text);
        assert!(self.cookie.is_some());
        authenticator
    }

    /// Creates a passkey at a link, and returns what the link says of it.
    pub(crate) async fn create_passkey(&mut self, way: &str, who: Value) -> (Authenticator, Reply) {
        let accepts = self.get(way).await.field("accepts");
        let mut fields = who;
        fields["accepts"] = json!(accepts);
        let begun = self.post(&format!("{way}/passkey/start"), fields.clone()).await;
        assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
        let (authenticator, credential) = Authenticator::create(ORIGIN, &begun.json()["options"]);
        fields["ceremony"] = begun.json()["ceremony"].clone();
        fields["credential"] = credential;
        let done = self.post(&format!("{way}/passkey/finish"), fields).await;
        (authenticator, done)
    }

    /// Proves a passkey at the sign-in or the step-up.
    pub(crate) async fn prove(&mut self, way: &str, authenticator: &mut Authenticator) -> Reply {
        let begun = self.post(&format!("{way}/passkey/start"), json!({})).await;
        assert_eq!(begun.status, StatusCode::OK, "{}", begun.text);
        let credential = authenticator.get(&begun.json()["options"]);
        let proof = json!({ "ceremony": begun.json()["ceremony"], "credential": credential });
        self.post(&format!("{way}/passkey/finish"), proof).await
    }
}

fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// Returns the part of a link behind the server's address.
pub(crate) fn way(url: &Value) -> String {
    url.as_str().unwrap().strip_prefix(ORIGIN).unwrap().to_owned()
}
