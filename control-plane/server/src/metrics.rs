//! Prometheus metrics, on a listener of their own.

use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use tokio::net::TcpListener;

use crate::Shutdown;
use crate::api::GatewayReceipt;
use crate::app::directory::poll;
use crate::app::health::in_time;
use crate::app::{App, Refusal};

/// Serves `/metrics` until `shutdown`.
pub(crate) async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) {
    let router = axum::Router::new().route("/metrics", get(metrics)).with_state(app);
    let serving = axum::serve(listener, router).with_graceful_shutdown(shutdown.cancelled_owned());
    if let Err(error) = serving.await {
        tracing::warn!(%error, "the metrics listener ended");
    }
}

/// Upper bounds of the times of a revocation, in seconds: the promise is 1 s, and `authority_ttl` (30 s) more whatever fails.
const REVOCATION_BUCKETS: [f64; 13] = [0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 2.0, 3.0, 5.0, 10.0, 31.0, 91.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfGateway {
    gateway: String,
}

type Times = Family<OfGateway, Histogram, fn() -> Histogram>;

/// What gateways confirmed of revocations in this run of the server. Receipts themselves are in the audit log.
#[derive(Debug)]
pub(crate) struct Receipts {
    enforced: Times,
    last_packet: Times,
    missing: Family<OfGateway, Counter>,
}

impl Receipts {
    pub(crate) fn new() -> Self {
        let times = || Times::new_with_constructor(|| Histogram::new(REVOCATION_BUCKETS));
        Self { enforced: times(), last_packet: times(), missing: Family::default() }
    }

    /// Takes in what came of one revocation, gateway by gateway.
    pub(crate) fn came(&self, receipts: &[GatewayReceipt]) {
        for receipt in receipts {
            let gateway = OfGateway { gateway: receipt.gateway.to_string() };
            match receipt.enforced_after_ms {
                Some(after) => {
                    self.enforced.get_or_create(&gateway).observe(seconds(after));
                    if let Some(before) = receipt.last_packet_before_ms {
                        // A packet from before the decision is none too many.
                        self.last_packet.get_or_create(&gateway).observe(seconds(after.saturating_sub(before)));
                    }
                }
                // Who was not connected had nothing to confirm: its authority ends.
                None if receipt.connected => {
                    self.missing.get_or_create(&gateway).inc();
                }
                None => {}
            }
        }
    }

    fn register(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "revocation_enforced",
            "From a revocation's decision to the gateway's receipt, which is later than its enforcement",
            Unit::Seconds,
            self.enforced.clone(),
        );
        registry.register_with_unit(
            "revocation_last_packet",
            "From a revocation's decision to the last packet that the gateway let through for it",
            Unit::Seconds,
            self.last_packet.clone(),
        );
        registry.register(
            "receipts_missing",
            "Revocations that a connected gateway did not confirm within 5 s",
            self.missing.clone(),
        );
    }
}

fn seconds(millis: u64) -> f64 {
    Duration::from_millis(millis).as_secs_f64()
}

async fn metrics(State(app): State<App>) -> Result<Response, Refusal> {
    // The rest is told while the database does not answer, and most of all then.
    let counts = in_time(async { Ok(app.store.read().await?.counts(app.clock.now()).await?) }).await.ok();
    let connected = app.hub.connected();
    let active: u64 = connected.iter().map(|name| u64::from(app.hub.state(name).devices_active)).sum();
    let mut values = vec![
        ("revision", "The current revision", app.hub.revision()),
        ("gateways_connected", "Gateways whose feed is open", u64::try_from(connected.len()).unwrap_or(u64::MAX)),
        ("devices_active", "Devices with a live tunnel, over all gateways", active),
        ("database_answers", "Whether the database answers", u64::from(counts.is_some())),
    ];
    if let Some(counts) = counts {
        values.push(("people", "People who are active", counts.people));
        values.push(("devices", "Devices that are not revoked", counts.devices));
        values.push(("grants", "Grants that hold or begin later", counts.grants));
    }
    if let Ok(Some(directory)) = in_time(poll::status(&app)).await {
        values.push(("directory_failures", "Rounds of asking the directory in a row that failed", directory.failures));
        if let Some(age) = directory.age_seconds {
            values.push((
                "directory_age_seconds",
                "How long ago the last good round of asking the directory began",
                age,
            ));
        }
    }
    let mut registry = Registry::with_prefix("doorward");
    let waiting = u64::try_from(app.journal.overlay().waiting().len()).unwrap_or(u64::MAX);
    gauge(&mut registry, "journal_entries", "Revocations that wait to be written to the database", waiting);
    let own = registry.sub_registry_with_prefix("control_plane");
    for (name, help, value) in values {
        gauge(own, name, help, value);
    }
    app.receipts.register(own);
    let mut text = String::new();
    encode(&mut text, &registry)
        .map_err(|error| Refusal::Internal(format!("the metrics could not be written: {error}")))?;
    Ok(([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response())
}

fn gauge(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(gateway: &str, enforced_after_ms: Option<u64>) -> GatewayReceipt {
        GatewayReceipt {
            gateway: gateway.parse().unwrap(),
            connected: true,
            enforced_after_ms,
            enforced_at: None,
            last_packet_before_ms: Some(7),
        }
    }

    #[test]
    fn times_are_seconds_by_gateway_and_a_receipt_that_is_missing_counts() {
        let receipts = Receipts::new();
        receipts.came(&[receipt("main", Some(20)), receipt("berlin", None)]);
        receipts.came(&[receipt("main", Some(5))]);
        let mut registry = Registry::with_prefix("doorward_control_plane");
        receipts.register(&mut registry);
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        for line in [
            "doorward_control_plane_revocation_enforced_seconds_sum{gateway=\"main\"} 0.025",
            "doorward_control_plane_revocation_enforced_seconds_count{gateway=\"main\"} 2",
            "doorward_control_plane_revocation_last_packet_seconds_sum{gateway=\"main\"} 0.013",
            "doorward_control_plane_receipts_missing_total{gateway=\"berlin\"} 1",
        ] {
            assert!(text.contains(line), "{line} is not in:\n{text}");
        }
    }
}
