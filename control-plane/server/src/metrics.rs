//! Prometheus metrics, on a listener of their own.

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;

use crate::Shutdown;
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
    let mut registry = Registry::with_prefix("doorward");
    let waiting = u64::try_from(app.journal.overlay().waiting().len()).unwrap_or(u64::MAX);
    gauge(&mut registry, "journal_entries", "Revocations that wait to be written to the database", waiting);
    let own = registry.sub_registry_with_prefix("control_plane");
    for (name, help, value) in values {
        gauge(own, name, help, value);
    }
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
