//! Alerts: into the log, and kept until somebody looks.

use doorward_domain::Alert;

use super::App;
use super::health::in_time;

/// Logs an alert and keeps it.
pub(crate) async fn raise(app: &App, alert: Alert) {
    log(&alert);
    keep(app, alert).await;
}

/// Keeps an alert; in memory until the database takes it.
pub(crate) async fn keep(app: &App, alert: Alert) {
    if !app.journal.overlay().is_empty() {
        // It comes after the decisions that wait.
        app.journal.keep_alert(alert);
        return;
    }
    let kept = in_time(async { Ok(app.store.alerts_record(std::slice::from_ref(&alert)).await?) }).await;
    if let Err(refusal) = kept {
        tracing::warn!(?refusal, "an alert could not be kept yet");
        app.journal.keep_alert(alert);
    }
}

/// Logs an alert: as a warning where somebody should look soon.
pub(crate) fn log(alert: &Alert) {
    let (kind, gateway) = (alert.kind.as_str(), alert.gateway.as_ref().map(tracing::field::display));
    let device = alert.device.map(tracing::field::display);
    if alert.kind.is_urgent() {
        tracing::warn!(kind, gateway.name = gateway, device.id = device, count = alert.count, "{}", alert.message);
    } else {
        tracing::info!(kind, gateway.name = gateway, device.id = device, count = alert.count, "{}", alert.message);
    }
}
