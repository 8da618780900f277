//! What goes down a session's stream: a snapshot, then deltas as they are committed, and a heartbeat for each ping.

use std::sync::Arc;
use std::time::Duration;

use doorward_domain::{Alert, AlertKind};
use doorward_model::{
    Change, DecisionId, Delta, FeedMessage, Heartbeat, Revision, SNAPSHOT_PAGE_LEASES_MAX, SnapshotPage,
};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::read::{Changes, State, read_changes, read_state, read_waiting};
use super::session::Session;
use crate::app::health::in_time;
use crate::app::journal::{Overlay, Waiting};
use crate::app::{App, RECEIPT_TIMEOUT, Refusal};

/// Messages on their way to a gateway at most. Snapshots wait for room; nothing is ever skipped.
pub(crate) const QUEUE_MESSAGES_MAX: usize = 8;
/// How long a gateway may take to accept a message before its session ends: it comes back for a snapshot.
const ACCEPT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a decision may wait for a look at the database that narrows it: the rest of its second is the gateway's.
const NARROW_PATIENCE: Duration = Duration::from_millis(300);

/// How soon a database that did not answer is read again.
const AGAIN_AFTER: Duration = Duration::from_millis(500);

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
    let mut decisions = app.journal.watch();
    // A ping that came before the stream was opened is answered as well.
    pings.mark_changed();
    let mut stream = Stream { app, session, queue, held: None, told: 0 };
    if let Err(end) = stream.snapshot(&mut decisions).await {
        return end;
    }
    let mut silent_at = Instant::now() + app.authority_ttl;
    // A ping that was not answered yet: whatever is read from here on is read after it came.
    let mut echo = None;
    let mut missed = false;
    loop {
        tokio::select! {
            () = session.ended.cancelled() => return End::Over,
            () = queue.closed() => return End::Closed,
            () = tokio::time::sleep_until(silent_at) => return End::Silent,
            changed = decisions.changed() => {
                let told = if changed.is_ok() { stream.tell().await } else { Err(End::Over) };
                match told {
                    Ok(()) => continue,
                    Err(end) => return end,
                }
            }
            () = tokio::time::sleep(AGAIN_AFTER), if missed => {}
            changed = revisions.changed() => if changed.is_err() { return End::Over },
            changed = pings.changed() => match changed {
                Ok(()) => {
                    // Taken before the read: a ping that comes later asks for a later look at the database.
                    echo = *pings.borrow_and_update();
                    silent_at = Instant::now() + app.authority_ttl;
                }
                Err(_) => return End::Over,
            },
        }
        let caught_up = match stream.catch_up(&mut decisions).await {
            Ok(caught_up) => caught_up,
            Err(end) => return end,
        };
        let may_beat = match caught_up {
            // What another replica journalled may not be written yet.
            CaughtUp::Read => stream.settles_in().is_zero(),
            CaughtUp::Known => true,
            CaughtUp::No => false,
        };
        missed = caught_up != CaughtUp::Read || !may_beat;
        if let Some(echo_boot_micros) = echo.take_if(|_| may_beat) {
            let heartbeat = Heartbeat {
                revision: stream.held.unwrap_or_default(),
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

/// Whether a gateway has everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CaughtUp {
    /// The database said so.
    Read,
    /// It does not answer, and nobody else writes it: what was committed was committed here.
    Known,
    /// Nobody can say.
    No,
}

type Decisions = watch::Receiver<Arc<Overlay>>;

/// What a gateway was sent so far, and how it is sent more.
///
/// Everything goes out here, one after the other: what was read before a decision can never follow what tells the decision.
struct Stream<'a> {
    app: &'a App,
    session: &'a Session,
    queue: &'a mpsc::Sender<FeedMessage>,
    /// The revision of what was sent; `None` before the first snapshot.
    held: Option<Revision>,
    /// Up to which decision it has those that wait to be written.
    told: u64,
}

impl Stream<'_> {
    /// Sends what changed, and says whether the gateway has everything that was there when this was called.
    ///
    /// A database that does not answer is no reason to close a stream: decisions go through it all the same. It gets no
    /// heartbeat then, since another replica may have committed what nobody here knows of; except where this process is
    /// the only one that commits, and has sent all of it.
    async fn catch_up(&mut self, decisions: &mut Decisions) -> Result<CaughtUp, End> {
        let app = self.app;
        loop {
            let overlay = app.journal.overlay();
            let held = self.held.unwrap_or_default();
            let reading = in_time(read_changes(app, self.session, held, &overlay));
            let found = self.read(reading, decisions).await?;
            app.health.read(found.as_ref().map(|_| ()), app.clock.now());
            if app.journal.overlay().grown != overlay.grown {
                // It was read as if nobody had decided what was decided meanwhile.
                self.tell().await?;
                continue;
            }
            return match found {
                Ok(Changes::None) => Ok(CaughtUp::Read),
                Ok(Changes::Everything) => self.snapshot(decisions).await.map(|()| CaughtUp::Read),
                Ok(Changes::Some { revision, changes }) => {
                    self.session.sending(revision.0);
                    self.delta(revision, changes, None).await.map(|()| CaughtUp::Read)
                }
                Err(_) => {
                    let has_all = held.0 == app.hub.revision() && self.told == overlay.grown;
                    Ok(if app.store.is_sole_writer() && has_all { CaughtUp::Known } else { CaughtUp::No })
                }
            };
        }
    }

    /// How long other replicas still have to write what they journalled.
    fn settles_in(&self) -> Duration {
        if self.app.store.is_sole_writer() { Duration::ZERO } else { self.app.health.settles_in() }
    }

    /// Reads something; decisions that come meanwhile are told without waiting for it.
    async fn read<T>(
        &mut self,
        reading: impl Future<Output = Result<T, Refusal>>,
        decisions: &mut Decisions,
    ) -> Result<Result<T, Refusal>, End> {
        tokio::pin!(reading);
        loop {
            tokio::select! {
                biased;
                () = self.session.ended.cancelled() => return Err(End::Over),
                changed = decisions.changed() => match changed {
                    // Before the first snapshot a gateway has nothing that a decision could build on.
                    Ok(()) if self.held.is_none() => {}
                    Ok(()) => self.tell().await?,
                    Err(_) => return Err(End::Over),
                },
                found = &mut reading => return match found {
                    Err(refusal @ (Refusal::Refused(_) | Refusal::Conflict(_))) => Err(End::Database(refusal)),
                    found => Ok(found),
                },
            }
        }
    }

    /// Sends everything.
    async fn snapshot(&mut self, decisions: &mut Decisions) -> Result<(), End> {
        let app = self.app;
        tokio::time::sleep(self.settles_in()).await;
        let (overlay, state) = loop {
            let overlay = app.journal.overlay();
            let state = self.read(read_state(app, &overlay), decisions).await?.map_err(End::Database)?;
            if self.held.is_none() || app.journal.overlay().grown == overlay.grown {
                break (overlay, state);
            }
        };
        self.held = Some(state.revision);
        self.session.sending(state.revision.0);
        for page in pages(state, app.clock.now()) {
            send(self.session, self.queue, FeedMessage::Snapshot(page)).await?;
        }
        // Whoever waits for a receipt gets one under the decision's name.
        let waited_for = |waiting: &&Arc<Waiting>| waiting.accepted.elapsed() < RECEIPT_TIMEOUT;
        let before = overlay.waiting().iter().find(waited_for);
        self.told = before.map_or(overlay.grown, |waiting| waiting.number.saturating_sub(1));
        self.tell().await
    }

    /// Tells the decisions that wait to be written and that this gateway was not told yet.
    async fn tell(&mut self) -> Result<(), End> {
        let overlay = self.app.journal.overlay();
        for waiting in
            overlay.waiting().iter().filter(|waiting| waiting.number > self.told).cloned().collect::<Vec<_>>()
        {
            let changes = self.changes(&overlay, &waiting).await;
            self.delta(self.held.unwrap_or_default(), changes, Some(waiting.decision.id)).await?;
            self.told = waiting.number;
        }
        self.told = self.told.max(overlay.grown);
        Ok(())
    }

    /// What a decision takes away; no more than it has to where the database can be read at once.
    async fn changes(&self, overlay: &Overlay, waiting: &Waiting) -> Vec<Change> {
        if waiting.is_too_much() && !self.app.health.is_down() {
            let reading = read_waiting(self.app, self.held.unwrap_or_default(), overlay, waiting);
            if let Ok(Ok(Some(changes))) = tokio::time::timeout(NARROW_PATIENCE, reading).await {
                return changes;
            }
        }
        waiting.changes()
    }

    async fn delta(&mut self, revision: Revision, changes: Vec<Change>, ahead: Option<DecisionId>) -> Result<(), End> {
        let base = self.held.unwrap_or_default();
        let delta = Delta { base, revision, sent_at: self.app.clock.now(), changes, ahead };
        send(self.session, self.queue, FeedMessage::Delta(delta)).await?;
        self.held = Some(revision);
        Ok(())
    }
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
