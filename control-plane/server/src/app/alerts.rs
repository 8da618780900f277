//! Alerts: into the log, and kept until somebody looks.

use doorward_domain::Alert;

use super::App;

/// Logs an alert and keeps it.
pub(crate) async fn raise(app: &App, alert: Alert) {
    log(&alert);
    if let Err(error) = app.store.alerts_record(std::slice::from_ref(&alert)).await {
        tracing::warn!(error = &error as &dyn std::error::Error, "an alert could not be kept");
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
