//! A gateway that speaks the feed and enforces nothing.

use std::collections::HashMap;
use std::time::Duration;

use doorward_model::{
    Change, DecisionId, DeviceId, EndedDevice, FeedMessage, Heartbeat, Lease, Lockdown, Revision, Tombstone,
};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::UnixStream;

use crate::world::{Io, PATIENCE, World, call, request};

/// Where a gateway's connections go.
#[derive(Clone)]
pub(crate) enum Way {
    Socket(std::path::PathBuf),
    Tls { address: std::net::SocketAddr, config: std::sync::Arc<rustls::ClientConfig> },
}

impl Way {
    pub(crate) async fn open(&self) -> std::io::Result<Box<dyn Io>> {
        match self {
            Self::Socket(path) => Ok(Box::new(UnixStream::connect(path).await?)),
            Self::Tls { address, config } => {
                let tcp = tokio::net::TcpStream::connect(address).await?;
                let name = rustls_pki_types::ServerName::try_from("doorward-feed").unwrap();
                Ok(Box::new(tokio_rustls::TlsConnector::from(config.clone()).connect(name, tcp).await?))
            }
        }
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> (StatusCode, Value) {
        call(self.open().await.unwrap(), Method::POST, path, None, body).await
    }
}

/// What it holds, as a real one would.
pub(crate) struct Gateway {
    pub(crate) way: Way,
    pub(crate) session: String,
    pub(crate) held: Revision,
    pub(crate) leases: HashMap<DeviceId, Lease>,
    pub(crate) tombstones: Vec<Tombstone>,
    pub(crate) lockdown: Lockdown,
    pub(crate) lockdown_exempt: Vec<DeviceId>,
    pub(crate) heartbeats: Vec<Heartbeat>,
    /// The decision that the last message carried ahead of the database.
    pub(crate) ahead: Option<DecisionId>,
    body: Incoming,
    buffer: Vec<u8>,
}

/// Each gateway has a key of its own.
fn own_key(name: &str) -> String {
    use base64::Engine as _;
    let mut bytes = [200; 32];
    bytes.iter_mut().zip(name.bytes()).for_each(|(byte, letter)| *byte = letter);
    if name == "main" {
        return crate::world::public_key(200);
    }
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub(crate) fn hello(name: &str) -> Value {
    let network = doorward_model::TunnelNetwork::default();
    json!({
        "name": name, "public_key": own_key(name), "endpoint": "203.0.113.2:51820",
        "network": network, "version": "0.1.0",
    })
}

impl Gateway {
    /// Says hello over the feed socket and takes the snapshot.
    pub(crate) async fn local(world: &World, name: &str) -> Self {
        Self::over(Way::Socket(world.socket("feed.sock")), name).await
    }

    pub(crate) async fn over(way: Way, name: &str) -> Self {
        let (status, reply) = way.post("/feed/v1/hello", hello(name)).await;
        assert_eq!(status, StatusCode::OK, "{reply}");
        let session = reply["session"].as_str().unwrap().to_owned();
        let path = format!("/feed/v1/stream?session={session}");
        let answer = request(way.open().await.unwrap(), Method::GET, &path, None, Value::Null).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut gateway = Self {
            way,
            session,
            held: Revision(0),
            leases: HashMap::new(),
            tombstones: Vec::new(),
            lockdown: Lockdown::Off,
            lockdown_exempt: Vec::new(),
            heartbeats: Vec::new(),
            ahead: None,
            body: answer.into_body(),
            buffer: Vec::new(),
        };
        while !gateway.step().await.unwrap() {}
        gateway.confirm(Vec::new()).await;
        gateway
    }

    /// Takes in the next message; `true` when a whole snapshot or a delta was applied. An error is the stream's end.
    pub(crate) async fn step(&mut self) -> Result<bool, ()> {
        match self.message().await? {
            FeedMessage::Snapshot(page) => {
                if page.page == 0 {
                    self.leases.clear();
                    self.tombstones.clear();
                    self.lockdown_exempt.clear();
                }
                self.lockdown = page.lockdown;
                self.lockdown_exempt.extend(page.lockdown_exempt);
                self.leases.extend(page.leases.into_iter().map(|lease| (lease.device, lease)));
                self.tombstones.extend(page.tombstones);
                self.held = page.revision;
                self.ahead = None;
                Ok(page.page + 1 == page.pages)
            }
            FeedMessage::Delta(delta) => {
                assert_eq!(delta.base, self.held, "a delta builds on what was sent before");
                for change in delta.changes {
                    match change {
                        Change::Lease(lease) => drop(self.leases.insert(lease.device, lease)),
                        Change::Remove(removal) => {
                            self.leases.remove(&removal.device);
                            self.tombstones.push(removal.tombstone);
                        }
                        Change::Lockdown { state, exempt } => (self.lockdown, self.lockdown_exempt) = (state, exempt),
                    }
                }
                assert!(delta.revision > delta.base || delta.ahead.is_some(), "a delta leads on");
                self.held = delta.revision;
                self.ahead = delta.ahead;
                Ok(true)
            }
            FeedMessage::Heartbeat(heartbeat) => {
                assert_eq!(heartbeat.revision, self.held, "all deltas come before the heartbeat");
                self.heartbeats.push(heartbeat);
                Ok(false)
            }
        }
    }

    /// Applies messages until it holds a revision that satisfies `enough`.
    pub(crate) async fn until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            self.step().await.expect("the stream is open");
        }
    }

    async fn message(&mut self) -> Result<FeedMessage, ()> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|two| two == b"\n\n") {
                let event: Vec<u8> = self.buffer.drain(..end + 2).collect();
                let text = String::from_utf8(event).unwrap();
                let data: String = text.lines().filter_map(|line| line.strip_prefix("data: ")).collect();
                if data.is_empty() {
                    continue;
                }
                let message: FeedMessage = serde_json::from_str(&data).unwrap();
                let id = text.lines().find_map(|line| line.strip_prefix("id: ")).unwrap();
                let revision = match &message {
                    FeedMessage::Snapshot(page) => page.revision,
                    FeedMessage::Delta(delta) => delta.revision,
                    FeedMessage::Heartbeat(heartbeat) => heartbeat.revision,
                };
                assert_eq!(id, revision.to_string());
                return Ok(message);
            }
            let frame = tokio::time::timeout(PATIENCE, self.body.frame()).await.expect("a message comes");
            match frame {
                Some(Ok(frame)) => self.buffer.extend(frame.into_data().unwrap()),
                Some(Err(_)) | None => return Err(()),
            }
        }
    }

    /// Confirms what it holds.
    pub(crate) async fn confirm(&self, ended: Vec<EndedDevice>) {
        let (status, answer) = self.try_confirm(ended).await;
        assert_eq!(status, StatusCode::NO_CONTENT, "{answer}");
    }

    async fn try_confirm(&self, ended: Vec<EndedDevice>) -> (StatusCode, Value) {
        let receipt = json!({ "session": self.session, "revision": self.held, "enforced_after_micros": 150, "ended": ended, "ahead": self.ahead });
        self.way.post("/feed/v1/receipts", receipt).await
    }

    pub(crate) async fn ping(&self, boot_micros: u64) -> StatusCode {
        let ping = json!({
            "session": self.session, "boot_micros": boot_micros, "revision": self.held,
            "devices_active": 1, "devices_known": self.leases.len(),
        });
        self.way.post("/feed/v1/ping", ping).await.0
    }

    /// Goes on confirming everything by itself until another one takes its place; each device that ends lost its last packet 7 ms before.
    pub(crate) fn obedient(mut self) -> tokio::task::JoinHandle<Self> {
        tokio::spawn(async move {
            loop {
                let before: Vec<DeviceId> = self.leases.keys().copied().collect();
                match self.step().await {
                    Ok(true) => {
                        let gone = before.into_iter().filter(|device| !self.leases.contains_key(device));
                        let ended =
                            gone.map(|device| EndedDevice { device, flows_ended: 1, last_packet_before_ms: Some(7) });
                        match self.try_confirm(ended.collect()).await {
                            (StatusCode::NO_CONTENT, _) => {}
                            // Another one took its place in the meantime.
                            (StatusCode::NOT_FOUND, _) => return self,
                            (status, answer) => panic!("{status} {answer}"),
                        }
                    }
                    Ok(false) => {}
                    Err(()) => return self,
                }
            }
        })
    }
}

/// Asks until the answer is as wanted.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(mut ask: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "it did not come true in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
