//! A directory that speaks SCIM, over HTTPS with its token.

use std::net::SocketAddr;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::header::HeaderMap;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};

use crate::world::{PATIENCE, World, tls_to};

/// An answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Reply {
    /// The id of the resource that came.
    pub(crate) fn id(&self) -> String {
        assert!(self.status.is_success(), "{self:?}");
        self.body["id"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Checks the status, and gives the body.
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        self.body
    }
}

/// A directory with one connection.
pub(crate) struct Scim {
    pub(crate) token: String,
    address: SocketAddr,
    certificate: String,
}

impl Scim {
    /// Makes a directory's token and connects with it.
    pub(crate) async fn new(world: &World, name: &str) -> Self {
        let made = world.post("/api/v1/scim/tokens", json!({ "name": name })).await;
        Self::with(world, made["token"].as_str().unwrap())
    }

    pub(crate) fn with(world: &World, token: &str) -> Self {
        let certificate = world.ready.certificate_sha256.clone();
        Self { token: token.to_owned(), address: world.ready.https, certificate }
    }

    pub(crate) async fn send(&self, method: Method, path: &str, body: Value) -> Reply {
        self.send_with(method, path, &[], body).await
    }

    /// One request with more headers, on a connection of its own.
    pub(crate) async fn send_with(&self, method: Method, path: &str, headers: &[(&str, &str)], body: Value) -> Reply {
        let io = tls_to(self.address, &self.certificate).await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        self.on(&mut sender, method, path, headers, body).await
    }

    async fn on(
        &self,
        sender: &mut http1::SendRequest<Full<Bytes>>,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(format!("/scim/v2{path}")).header("host", "localhost");
        if !self.token.is_empty() {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = request.header("content-type", "application/scim+json").body(Full::new(bytes)).unwrap();
        let answer = tokio::time::timeout(PATIENCE, sender.send_request(request)).await.unwrap().unwrap();
        let (status, headers) = (answer.status(), answer.headers().clone());
        let bytes = tokio::time::timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap().to_bytes();
        let body = if bytes.is_empty() { Value::Null } else { serde_json::from_slice(&bytes).unwrap() };
        Reply { status, headers, body }
    }

    /// Many times the same, on one connection; returns the statuses.
    pub(crate) async fn repeat(&self, times: usize, path: &str) -> Vec<Reply> {
        let io = tls_to(self.address, &self.certificate).await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
        tokio::spawn(connection);
        let mut replies = Vec::new();
        for _ in 0..times {
            sender.ready().await.unwrap();
            replies.push(self.on(&mut sender, Method::GET, path, &[], Value::Null).await);
        }
        replies
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        self.send(Method::GET, path, Value::Null).await
    }

    /// Lists with a filter, and gives the list.
    pub(crate) async fn filtered(&self, path: &str, filter: &str, more: &str) -> Value {
        let filter: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        self.get(&format!("{path}?filter={filter}{more}")).await.expect(200)
    }

    /// Adds a user whose name is an address.
    pub(crate) async fn user(&self, email: &str) -> String {
        let user = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User"], "userName": email, "displayName": "Somebody",
            "active": true, "emails": [{ "value": email, "type": "work", "primary": true }],
        });
        self.send(Method::POST, "/Users", user).await.id()
    }

    pub(crate) async fn group(&self, name: &str, members: &[&str]) -> String {
        let members: Vec<Value> = members.iter().map(|id| json!({ "value": id })).collect();
        let group = json!({
            "schemas": ["urn:ietf:params:scim:schemas:core:2.0:Group"], "displayName": name, "members": members,
        });
        self.send(Method::POST, "/Groups", group).await.id()
    }

    pub(crate) async fn patch(&self, path: &str, operations: Value) -> Reply {
        let body = json!({ "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations });
        self.send(Method::PATCH, path, body).await
    }

    pub(crate) async fn set_active(&self, id: &str, active: bool) -> Reply {
        self.patch(&format!("/Users/{id}"), json!([{ "op": "replace", "value": { "active": active } }])).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Reply {
        self.send(Method::DELETE, path, Value::Null).await
    }
}
