//! Writing what waits, in order and once each, as soon as the database takes it.

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::{Alert, AlertKind};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::Waiting;
use crate::app::{App, Refusal, alerts, decide, health};

/// How often it is tried while something waits.
const TRY_EVERY: Duration = Duration::from_millis(250);
/// How long one decision may take to be written before it is tried again.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a start waits for what the last run left; after that it goes on in the background.
const START_PATIENCE: Duration = Duration::from_secs(3);

/// Writes what the last run left, before anything is served.
pub(crate) async fn settle(app: &App) {
    if app.journal.damaged > 0 {
        let message = format!(
            "{} lines of the journal cannot be read: its disk lost what it had confirmed, so look at who was to be put out lately, \
             and put them out once more",
            app.journal.damaged
        );
        alerts::raise(app, alert(app, AlertKind::RevocationJournalled, message)).await;
    }
    let left = app.journal.overlay().waiting().len();
    if left == 0 {
        return;
    }
    tracing::warn!(left, "revocations of the last run are still to be written");
    if timeout(START_PATIENCE, write_all(app)).await.is_err() {
        tracing::warn!("the database takes them not yet: they count as done");
    }
}

/// Writes what waits, for as long as the server runs.
pub(crate) async fn keep_written(app: &App) {
    let mut ticks = interval(TRY_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut decisions = app.journal.watch();
    loop {
        if app.journal.overlay().is_empty() && decisions.wait_for(|overlay| !overlay.is_empty()).await.is_err() {
            return;
        }
        ticks.tick().await;
        write_all(app).await;
    }
}

/// Writes from the first to the last, or to the first that the database does not take.
async fn write_all(app: &App) {
    let overlay = app.journal.overlay();
    let Some(first) = overlay.waiting().first().cloned() else { return };
    let mut count = 0_u64;
    for waiting in overlay.waiting() {
        if let Err(refusal) = write(app, waiting).await {
            app.health.not_committed(&refusal, app.clock.now());
            tracing::debug!(?refusal, "a revocation waits on");
            return;
        }
        count = count.saturating_add(1);
    }
    if app.journal.overlay().is_empty() {
        tell(app, count, &first).await;
    }
}

async fn write(app: &App, waiting: &Arc<Waiting>) -> Result<(), Refusal> {
    let written = timeout(WRITE_PATIENCE, decide::write_waiting(app, waiting));
    written.await.unwrap_or_else(|_| Err(health::silent()))?;
    let (server, done) = (Arc::clone(app), Arc::clone(waiting));
    let forgotten = tokio::task::spawn_blocking(move || server.journal.written(&server.store, &done)).await;
    forgotten.map_err(|_| Refusal::Internal("the journal ended in a panic".to_owned()))
}

/// Tells that the database has everything, and what could not be told before.
async fn tell(app: &App, count: u64, first: &Waiting) {
    for alert in app.journal.take_alerts() {
        alerts::keep(app, alert).await;
    }
    let message = format!(
        "what was revoked while the database took nothing is written to it: {count}, the first decided at {}",
        first.decision.at
    );
    alerts::raise(app, alert(app, AlertKind::JournalWritten, message)).await;
}

/// An alert about the journal.
pub(crate) fn alert(app: &App, kind: AlertKind, message: String) -> Alert {
    let at = app.clock.now();
    Alert { at, kind, gateway: None, device: None, email: None, source: None, message, count: 1 }
}
