//! A control plane that speaks just enough of the feed: one snapshot with one lease, and a heartbeat for each ping.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use doorward_model::{
    FeedMessage, GatewayHello, Heartbeat, HelloReply, Interval, Lease, Lockdown, Ping, PublicKey, Receipt, Revision,
    SnapshotPage, Timestamp,
};
use futures_util::StreamExt as _;
use http_body_util::{BodyExt, StreamBody, combinators::BoxBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;
use tokio::sync::broadcast;
use uuid::Uuid;

/// The revision of the one snapshot.
pub(crate) const REVISION: Revision = Revision(7);

/// The one lease.
pub(crate) fn lease() -> Lease {
    Lease {
        device: "0192f0c1-7a3e-7cc1-b2f4-0123456789ab".parse().unwrap(),
        device_name: "laptop".parse().unwrap(),
        principal: "0192f0c1-7a3e-7cc1-b2f4-0123456789ac".parse().unwrap(),
        email: "dba@agency.example".parse().unwrap(),
        public_key: PublicKey::from_bytes([9; 32]).unwrap(),
        preshared_key: None,
        address_v4: "100.80.0.2".parse().unwrap(),
        address_v6: "fd64:6f6f:7277::2".parse().unwrap(),
        validity: Interval::ALWAYS,
        sign_in_until: None,
        rules: Vec::new(),
    }
}

#[derive(Default)]
struct Heard {
    hellos: Vec<GatewayHello>,
    pings: Vec<Ping>,
    receipts: Vec<Receipt>,
}

/// The control plane; it stops answering when it is dropped.
pub(crate) struct Plane {
    heard: Arc<Mutex<Heard>>,
    path: PathBuf,
    runtime: Option<tokio::runtime::Runtime>,
}

impl Plane {
    pub(crate) fn start(path: &Path, ttl: Duration) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let heard = Arc::new(Mutex::new(Heard::default()));
        let listener = runtime.block_on(async { UnixListener::bind(path) }).unwrap();
        let (stream, _) = broadcast::channel(64);
        let plane = Arc::new(Shared { heard: Arc::clone(&heard), stream, ttl, session: Uuid::new_v4() });
        runtime.spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                let plane = Arc::clone(&plane);
                let service = service_fn(move |request| Arc::clone(&plane).answer(request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(socket), service),
                );
            }
        });
        Self { heard, path: path.to_owned(), runtime: Some(runtime) }
    }

    pub(crate) fn hellos(&self) -> Vec<GatewayHello> {
        self.heard.lock().unwrap().hellos.clone()
    }

    pub(crate) fn pings(&self) -> Vec<Ping> {
        self.heard.lock().unwrap().pings.clone()
    }

    pub(crate) fn receipts(&self) -> Vec<Receipt> {
        self.heard.lock().unwrap().receipts.clone()
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
        let _gone = std::fs::remove_file(&self.path);
    }
}

struct Shared {
    heard: Arc<Mutex<Heard>>,
    stream: broadcast::Sender<FeedMessage>,
    ttl: Duration,
    session: Uuid,
}

type Body = BoxBody<Bytes, Infallible>;

fn whole(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(http_body_util::Full::new(Bytes::from(text)).boxed());
    *response.status_mut() = status;
    response
}

impl Shared {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok(match path.as_str() {
            "/feed/v1/hello" => {
                self.heard.lock().unwrap().hellos.push(serde_json::from_slice(&body).unwrap());
                let authority_ttl_ms = u64::try_from(self.ttl.as_millis()).unwrap();
                let reply = HelloReply { session: self.session, authority_ttl_ms, portal: None };
                whole(StatusCode::OK, serde_json::to_string(&reply).unwrap())
            }
            "/feed/v1/stream" => self.stream(),
            "/feed/v1/ping" => {
                let ping: Ping = serde_json::from_slice(&body).unwrap();
                let heartbeat = Heartbeat {
                    revision: REVISION,
                    sent_at: Timestamp::now(),
                    echo_boot_micros: ping.boot_micros,
                    authority_ttl_ms: u64::try_from(self.ttl.as_millis()).unwrap(),
                };
                self.heard.lock().unwrap().pings.push(ping);
                let _nobody = self.stream.send(FeedMessage::Heartbeat(heartbeat));
                whole(StatusCode::NO_CONTENT, String::new())
            }
            "/feed/v1/receipts" => {
                self.heard.lock().unwrap().receipts.push(serde_json::from_slice(&body).unwrap());
                whole(StatusCode::NO_CONTENT, String::new())
            }
            _ => whole(StatusCode::NO_CONTENT, String::new()),
        })
    }

    fn stream(&self) -> Response<Body> {
        // Two pages, so that they have to be put together; the lease is on the second.
        let pages = [Vec::new(), vec![lease()]].into_iter().enumerate().map(|(page, leases)| {
            FeedMessage::Snapshot(SnapshotPage {
                revision: REVISION,
                sent_at: Timestamp::now(),
                page: u32::try_from(page).unwrap(),
                pages: 2,
                lockdown: Lockdown::Off,
                lockdown_exempt: Vec::new(),
                leases,
                tombstones: Vec::new(),
            })
        });
        let rest = futures_util::stream::unfold(self.stream.subscribe(), |mut messages| async move {
            messages.recv().await.ok().map(|message| (message, messages))
        });
        let frames = futures_util::stream::iter(pages).chain(rest).map(|message| {
            let text = format!("id: 7\ndata: {}\n\n", serde_json::to_string(&message).unwrap());
            Ok::<_, Infallible>(Frame::data(Bytes::from(text)))
        });
        Response::new(BodyExt::boxed(StreamBody::new(frames)))
    }
}
