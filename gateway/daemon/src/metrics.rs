//! Prometheus metrics, on a listener of their own.

use std::convert::Infallible;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};

use crate::clock::boot_now;
use crate::error::GatewayError;
use crate::feed_client::FeedStatus;
use crate::resolver::{Counted, Counters as NameCounters};
use crate::shards::{Sample, ShardHandle, ShardStatus};

/// Scrapes served at a time.
const CLIENTS_MAX: usize = 8;

/// How long a connection may last: a scrape is one request.
const PATIENCE: Duration = Duration::from_secs(10);

/// Upper bounds of the enforcement times, in seconds; the promise is 100 ms at the median and 1 s at the 99th.
const ENFORCEMENT_BUCKETS: [f64; 12] = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 31.0];

/// What a scrape is put together from.
pub(crate) struct Metrics {
    shard: ShardHandle,
    status: watch::Receiver<Vec<ShardStatus>>,
    feed: watch::Receiver<FeedStatus>,
    enforcement: Histogram,
    names: NameCounters,
}

impl Metrics {
    /// Puts the sources together.
    pub(crate) fn new(
        shard: ShardHandle,
        status: watch::Receiver<Vec<ShardStatus>>,
        feed: watch::Receiver<FeedStatus>,
        enforcement: Histogram,
        names: NameCounters,
    ) -> Self {
        Self { shard, status, feed, enforcement, names }
    }

    async fn text(&self) -> Option<String> {
        let sample = tokio::time::timeout(Duration::from_secs(1), self.shard.sample()).await.ok()??;
        let scrape = Scrape {
            sample,
            status: ShardStatus::of_all(&self.status.borrow()),
            feed: self.feed.borrow().clone(),
            names: self.names.clone(),
        };
        let mut registry = Registry::with_prefix("doorward_gateway");
        registry.register_collector(Box::new(scrape));
        registry.register_with_unit(
            "enforcement",
            "From the arrival of a snapshot or delta to its enforcement",
            Unit::Seconds,
            self.enforcement.clone(),
        );
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).ok()?;
        Some(text)
    }
}

/// Makes the histogram that the feed client fills.
pub(crate) fn enforcement_histogram() -> Histogram {
    Histogram::new(ENFORCEMENT_BUCKETS)
}

/// Binds the listener.
///
/// # Errors
/// [`GatewayError::Metrics`].
pub(crate) fn bind(address: SocketAddr) -> Result<StdTcpListener, GatewayError> {
    let failed = |source| GatewayError::Metrics { address, source };
    let listener = StdTcpListener::bind(address).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    Ok(listener)
}

/// Serves `/metrics` for ever.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let slots = Arc::new(Semaphore::new(CLIENTS_MAX));
    loop {
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a scrape");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let metrics = Arc::clone(&metrics);
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, &metrics));
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(PATIENCE)
                .max_buf_size(16 * 1024)
                .serve_connection(TokioIo::new(stream), service);
            // A client that goes away or dawdles concerns nobody.
            let _done = tokio::time::timeout(PATIENCE, connection).await;
            drop(slot);
        });
    }
}

async fn respond(request: Request<Incoming>, metrics: &Metrics) -> Result<Response<Full<Bytes>>, Infallible> {
    let plain = |status, text: &'static str| {
        let mut response = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
        *response.status_mut() = status;
        response
    };
    if request.uri().path() != "/metrics" {
        return Ok(plain(StatusCode::NOT_FOUND, "metrics are at /metrics\n"));
    }
    if request.method() != Method::GET {
        let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        response.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET"));
        return Ok(response);
    }
    let Some(text) = metrics.text().await else {
        return Ok(plain(StatusCode::SERVICE_UNAVAILABLE, "the packet thread does not answer\n"));
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    Ok(response)
}

/// Everything of one moment.
#[derive(Debug)]
struct Scrape {
    sample: Sample,
    status: ShardStatus,
    feed: FeedStatus,
    names: NameCounters,
}

impl Collector for Scrape {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        self.encode_core(&mut encoder)?;
        self.encode_sockets(&mut encoder)?;
        self.encode_feed(&mut encoder)?;
        self.encode_names(&mut encoder)
    }
}

impl Scrape {
    fn encode_core(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let core = &self.sample.core;
        let directions = |up, down| [("up", up), ("down", down)];
        let packets = directions(core.packets_up, core.packets_down);
        family(encoder, "packets", "Inner packets forwarded; up is from devices to resources", "direction", &packets)?;
        let bytes = directions(core.bytes_up, core.bytes_down);
        family(encoder, "bytes", "Bytes of inner packets forwarded", "direction", &bytes)?;
        let denied: Vec<_> = core.denied.iter().map(|(reason, count)| (reason.label(), *count)).collect();
        family(encoder, "denied", "Inner packets that did not pass", "reason", &denied)?;
        let dropped: Vec<_> = core.dropped.iter().map(|(reason, count)| (reason.label(), *count)).collect();
        family(encoder, "dropped", "Outer datagrams and outgoing packets dropped", "reason", &dropped)?;
        let handshakes = [("answered", core.handshakes_answered), ("initiated", core.handshakes_initiated)];
        family(encoder, "handshakes", "Handshakes, by who began", "kind", &handshakes)?;
        counter(encoder, "cookies_sent", "Cookie replies sent under load", core.cookies_sent)?;
        counter(encoder, "flows_evicted", "Flows ended to make room for others", core.flows_evicted)?;
        let lost = core.notices_dropped.saturating_add(self.sample.notices_dropped);
        counter(encoder, "notices_dropped", "Notices dropped because the feed was behind", lost)?;
        counter(encoder, "handovers", "Given to the packet thread that owns the device", self.sample.handovers)?;
        let lost = self.sample.handovers_dropped;
        counter(encoder, "handovers_dropped", "Handovers that found that thread's queue full", lost)?;
        counter(
            encoder,
            "conntrack_flushes_dropped",
            "Flushes dropped because too many waited",
            self.sample.flushes_dropped,
        )?;
        gauge(encoder, "devices_known", "Devices with a lease", core.devices_known)?;
        gauge(encoder, "devices_active", "Devices with a session younger than 180 s", core.devices_active)?;
        gauge(encoder, "tunnels", "Tunnels in memory", core.tunnels)?;
        gauge(encoder, "flows", "Flows in the table", core.flows)?;
        gauge(encoder, "tombstones", "Revoked keys that are recognised", core.tombstones)
    }

    fn encode_sockets(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let (udp, tun) = (&self.sample.udp, &self.sample.tun);
        counter(encoder, "udp_receive_calls", "System calls that brought datagrams", udp.receive_calls)?;
        counter(encoder, "udp_trains_received", "Trains or single datagrams received", udp.trains_received)?;
        counter(encoder, "udp_trains_sent", "Trains or single datagrams sent", udp.trains_sent)?;
        counter(encoder, "udp_trains_split", "Trains that went out as single datagrams", udp.trains_split)?;
        let errors = [
            ("send_buffer_full", udp.send_buffer_full),
            ("send_failed", udp.send_failed),
            ("receive_failed", udp.receive_failed),
        ];
        family(encoder, "udp_errors", "Errors on UDP sockets", "kind", &errors)?;
        let packets = [("read", tun.read), ("written", tun.written)];
        family(encoder, "tun_packets", "Packets through the TUN device", "kind", &packets)?;
        let errors = [("read_failed", tun.read_failed), ("write_failed", tun.write_failed)];
        family(encoder, "tun_errors", "Errors on the TUN device", "kind", &errors)
    }

    fn encode_names(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        let counted = |all: &[(Counted, &'static str)]| {
            all.iter().map(|(what, label)| (*label, self.names.get(*what))).collect::<Vec<_>>()
        };
        let answers = counted(&Counted::ANSWERS);
        family(encoder, "names_answered", "Questions of devices to the resolver", "outcome", &answers)?;
        let targets = counted(&Counted::NAMES);
        family(encoder, "target_names", "Lookups of targets that are names", "outcome", &targets)
    }

    fn encode_feed(&self, encoder: &mut DescriptorEncoder<'_>) -> std::fmt::Result {
        gauge(encoder, "feed_connected", "1 while the feed runs", u64::from(self.feed.connected))?;
        counter(encoder, "feed_sessions", "Feed sessions begun", self.feed.sessions)?;
        gauge(encoder, "revision", "Revision in force, 0 before the first", self.status.revision.map_or(0, |r| r.0))?;
        let left = self.status.authority_until.map_or(Duration::ZERO, |until| until.since(boot_now()));
        let unit = Unit::Seconds;
        let help = "Time until traffic pauses unless a heartbeat comes, 0 while it is paused";
        let metric = encoder.encode_descriptor("authority_left", help, Some(&unit), MetricType::Gauge)?;
        ConstGauge::new(left.as_secs_f64()).encode(metric)
    }
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> std::fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> std::fmt::Result {
    let value = i64::try_from(value).unwrap_or(i64::MAX);
    ConstGauge::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
}

fn family(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &'static str,
    values: &[(&'static str, u64)],
) -> std::fmt::Result {
    let mut descriptor = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (value, count) in values {
        ConstCounter::new(*count).encode(descriptor.encode_family(&[(label, *value)])?)?;
    }
    Ok(())
}
