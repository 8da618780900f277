//! What goes down a session's stream: a snapshot, then deltas as they are committed, and a heartbeat for each ping.

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::{Alert, AlertKind};
use doorward_model::{Delta, FeedMessage, Heartbeat, Revision, SNAPSHOT_PAGE_LEASES_MAX, SnapshotPage};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::read::{Changes, State, read_changes, read_state};
use super::session::Session;
use crate::app::{App, Refusal};

/// Messages on their way to a gateway at most. Snapshots wait for room; nothing is ever skipped.
pub(crate) const QUEUE_MESSAGES_MAX: usize = 8;
/// How long a gateway may take to accept a message before its session ends: it comes back for a snapshot.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why a stream ended.
#[derive(Debug)]
enum End {
    /// The session was replaced, removed, or the server leaves.
    Over,
    /// The gateway takes nothing any more.
    Slow,
    /// The gateway closed the stream.
    Closed,
    /// No ping came for as long as authority lasts.
    Silent,
    /// The database did not answer.
    Database(Refusal),
}

/// Feeds one stream until it ends, then closes the session.
pub(crate) async fn run(app: App, session: Arc<Session>, queue: mpsc::Sender<FeedMessage>) {
    app.hub.streaming(&session);
    let end = feed(&app, &session, &queue).await;
    let gateway = &session.gateway;
    app.hub.close(&session);
    match end {
        End::Over => tracing::info!(gateway.name = %gateway, "the feed was ended"),
        End::Closed => tracing::info!(gateway.name = %gateway, "the gateway closed its feed"),
        End::Slow => {
            tracing::warn!(gateway.name = %gateway, "the gateway reads too slowly; its feed was closed, and it will get a snapshot")
        }
        End::Database(refusal) => {
            tracing::warn!(gateway.name = %gateway, ?refusal, "the feed was closed because the database does not answer")
        }
        End::Silent => silent(&app, &session).await,
    }
}

async fn silent(app: &App, session: &Session) {
    if app.replicas.is_elsewhere(app, &session.gateway).await {
        tracing::info!(gateway.name = %session.gateway, "the gateway is connected to another control plane");
        return;
    }
    let ttl = app.authority_ttl.as_secs();
    let message = format!(
        "gateway {} was silent for {ttl} s: its feed is cut or it stopped, and its traffic pauses by itself",
        session.gateway
    );
    let alert = Alert {
        at: app.clock.now(),
        kind: AlertKind::GatewayLost,
        gateway: Some(session.gateway.clone()),
        device: None,
        email: None,
        source: None,
        message,
        count: 1,
    };
    crate::app::alerts::raise(app, alert).await;
}

async fn feed(app: &App, session: &Session, queue: &mpsc::Sender<FeedMessage>) -> End {
    let mut revisions = app.hub.watch_revision();
    let mut pings = session.ping.subscribe();
    // A ping that came before the stream was opened is answered as well.
    pings.mark_changed();
    let mut held = match send_snapshot(app, session, queue).await {
        Ok(revision) => revision,
        Err(end) => return end,
    };
    let mut silent_at = Instant::now() + app.authority_ttl;
    loop {
        let mut pinged = false;
        tokio::select! {
            () = session.ended.cancelled() => return End::Over,
            () = queue.closed() => return End::Closed,
            () = tokio::time::sleep_until(silent_at) => return End::Silent,
            changed = revisions.changed() => if changed.is_err() { return End::Over },
            changed = pings.changed() => match changed {
                Ok(()) => pinged = true,
                Err(_) => return End::Over,
            },
        }
        // Taken before the read: a ping that comes later asks for a later look at the database.
        let echo = if pinged { *pings.borrow_and_update() } else { None };
        held = match send_changes(app, session, queue, held).await {
            Ok(revision) => revision,
            Err(end) => return end,
        };
        if let Some(echo_boot_micros) = echo {
            silent_at = Instant::now() + app.authority_ttl;
            let heartbeat = Heartbeat {
                revision: held,
                sent_at: app.clock.now(),
                echo_boot_micros,
                authority_ttl_ms: millis(app.authority_ttl),
            };
            if let Err(end) = send(session, queue, FeedMessage::Heartbeat(heartbeat)).await {
                return end;
            }
        }
    }
}

async fn send_changes(
    app: &App,
    session: &Session,
    queue: &mpsc::Sender<FeedMessage>,
    held: Revision,
) -> Result<Revision, End> {
    match read_changes(app, session, held).await.map_err(End::Database)? {
        Changes::None => Ok(held),
        Changes::Everything => send_snapshot(app, session, queue).await,
        Changes::Some { revision, changes } => {
            session.sending(revision.0);
            let delta = Delta { base: held, revision, sent_at: app.clock.now(), changes };
            send(session, queue, FeedMessage::Delta(delta)).await?;
            Ok(revision)
        }
    }
}

async fn send_snapshot(app: &App, session: &Session, queue: &mpsc::Sender<FeedMessage>) -> Result<Revision, End> {
    let state = read_state(app).await.map_err(End::Database)?;
    let revision = state.revision;
    session.sending(revision.0);
    for page in pages(state, app.clock.now()) {
        send(session, queue, FeedMessage::Snapshot(page)).await?;
    }
    Ok(revision)
}

/// Cuts a state into pages. Tombstones count like leases, so that a page stays small.
fn pages(state: State, sent_at: doorward_model::Timestamp) -> Vec<SnapshotPage> {
    let State { revision, lockdown, mut lockdown_exempt, leases, tombstones } = state;
    let count = leases.len().max(tombstones.len()).div_ceil(SNAPSHOT_PAGE_LEASES_MAX).max(1);
    let pages = u32::try_from(count).unwrap_or(u32::MAX);
    let (mut leases, mut tombstones) = (leases.into_iter(), tombstones.into_iter());
    (0..pages)
        .map(|page| SnapshotPage {
            revision,
            sent_at,
            page,
            pages,
            lockdown,
            // The first page has them all.
            lockdown_exempt: std::mem::take(&mut lockdown_exempt),
            leases: leases.by_ref().take(SNAPSHOT_PAGE_LEASES_MAX).collect(),
            tombstones: tombstones.by_ref().take(SNAPSHOT_PAGE_LEASES_MAX).collect(),
        })
        .collect()
}

async fn send(session: &Session, queue: &mpsc::Sender<FeedMessage>, message: FeedMessage) -> Result<(), End> {
    tokio::select! {
        () = session.ended.cancelled() => Err(End::Over),
        sent = tokio::time::timeout(ACCEPT_TIMEOUT, queue.send(message)) => match sent {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Closed),
            Err(_) => Err(End::Slow),
        },
    }
}

/// Returns whole milliseconds.
pub(crate) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
