//! The feed: leases down, pings, receipts and notices up, for ever.
//!
//! A session begins with a hello and ends when anything is missing: the stream breaks, nothing came for half an
//! authority, the core asks for a snapshot, or the control plane does not know the session. Then the next one begins,
//! after a short, jittered pause. What the core holds stays in force in between, for as long as authority lasts.
//!
//! Each of stream, pings, receipts, notices and usage has its own connection, so that none waits for another.

use std::sync::Arc;
use std::time::Duration;

use doorward_gateway_core::Command;
use doorward_model::{
    DecisionId, EndedDevice, FeedMessage, GatewayEvent, GatewayEventKind, GatewayHello, HelloReply, Ping, Receipt,
    Revision,
};
use http_body_util::BodyExt as _;
use hyper::StatusCode;
use hyper::body::Incoming;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use crate::clock::boot_now;
use crate::enrol::chain;
use crate::http::{Connector, HttpError, Poster};
use crate::key::fill_random;
use crate::shards::{ShardEvent, ShardHandle, ShardStatus};
use crate::snapshot::{Assembly, Misplaced};
use crate::sse::{EventTooLong, SseParser};
use crate::upload::{Outbox, SessionSlot, post_until_taken};
use crate::usage;

/// Logs a notice at a level, which `tracing` wants to know when it is compiled.
macro_rules! notice_line {
    ($level:ident, $notice:expr) => {
        tracing::$level!(
            kind = ?$notice.kind,
            device.id = $notice.device.map(tracing::field::display),
            email = $notice.email.as_ref().map(tracing::field::display),
            source = $notice.source.map(tracing::field::display),
            count = $notice.count,
            "{}",
            $notice.message
        )
    };
}

/// The longest event: a snapshot page is about 1 MiB.
const EVENT_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Pause before the next session: doubles from the first to the second.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A session that lasted this long was a good one: the next pause is short again.
const GOOD_SESSION: Duration = Duration::from_secs(10);

/// Pings come this often at least, however long authority lasts.
const PING_EVERY_MAX: Duration = Duration::from_secs(5);

/// And no more often than this, however short.
const PING_EVERY_MIN: Duration = Duration::from_millis(50);

/// Complaints about control planes that are not repeated.
const REASONS_MAX: usize = 16;

/// Receipts and notices kept while the control plane cannot be reached.
const OUTBOX_MAX: usize = 1_024;

/// Notices in one POST, as the feed's description says.
const NOTICES_PER_POST: usize = 100;

/// How the feed is, for metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FeedStatus {
    /// Whether a session runs.
    pub(crate) connected: bool,
    /// Sessions begun so far.
    pub(crate) sessions: u64,
}

/// What the feed client is made of.
pub(crate) struct FeedClient {
    pub(crate) connector: Connector,
    pub(crate) hello: GatewayHello,
    pub(crate) shard: ShardHandle,
    pub(crate) shard_status: watch::Receiver<Vec<ShardStatus>>,
    pub(crate) events: mpsc::Receiver<ShardEvent>,
    pub(crate) status: watch::Sender<FeedStatus>,
    /// Where people sign in, as the control plane said last.
    pub(crate) portal: watch::Sender<Option<String>>,
    pub(crate) enforcement: Histogram,
}

/// What a receipt says, whichever session it goes out in.
struct Enforcement {
    revision: Revision,
    ahead: Option<DecisionId>,
    took: Duration,
    ended: Vec<EndedDevice>,
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
enum SessionEnd {
    #[error("{0}")]
    Http(String),
    #[error("the control plane refused this gateway: {0}")]
    Refused(String),
    #[error("the control plane closed the stream")]
    Closed,
    #[error("nothing came from the control plane for {0:?}")]
    Silent(Duration),
    #[error("the control plane sent what is no message of the feed: {0}")]
    Nonsense(String),
    #[error("a snapshot is needed")]
    Resync,
    #[error("the packet thread ended")]
    ShardGone,
}

impl From<HttpError> for SessionEnd {
    fn from(error: HttpError) -> Self {
        Self::Http(chain(&error))
    }
}

impl From<EventTooLong> for SessionEnd {
    fn from(_: EventTooLong) -> Self {
        Self::Nonsense(format!("an event of more than {EVENT_BYTES_MAX} bytes"))
    }
}

impl From<Misplaced> for SessionEnd {
    fn from(_: Misplaced) -> Self {
        Self::Nonsense("a snapshot page out of its place".to_owned())
    }
}

/// Runs the feed until the packet thread is gone or the future is dropped.
pub(crate) async fn run(client: FeedClient) {
    let FeedClient { connector, hello, shard, shard_status, events, status, portal, enforcement } = client;
    let slot = SessionSlot::new();
    let receipts = Arc::new(Outbox::new(OUTBOX_MAX));
    let notices = Arc::new(Outbox::new(OUTBOX_MAX));
    let mut tasks = JoinSet::new();
    tasks.spawn(hear_shard(events, slot.clone(), Arc::clone(&receipts), Arc::clone(&notices), enforcement));
    tasks.spawn(post_receipts(Poster::new(connector.clone()), slot.clone(), receipts));
    tasks.spawn(post_notices(Poster::new(connector.clone()), slot.clone(), notices));
    tasks.spawn(usage::report(Poster::new(connector.clone()), slot.clone(), shard.clone()));
    let sessions = Sessions { connector, hello, shard, shard_status, status, portal, slot };
    sessions.run().await;
}

async fn hear_shard(
    mut events: mpsc::Receiver<ShardEvent>,
    slot: SessionSlot,
    receipts: Arc<Outbox<Enforcement>>,
    notices: Arc<Outbox<GatewayEvent>>,
    enforcement: Histogram,
) {
    while let Some(event) = events.recv().await {
        match event {
            ShardEvent::Enforced { revision, ahead, took, ended } => {
                enforcement.observe(took.as_secs_f64());
                if !ended.is_empty() {
                    tracing::info!(
                        revision = revision.0,
                        devices = ended.len(),
                        took_us = micros(took),
                        "ended what a revision took away"
                    );
                }
                receipts.push(Enforcement { revision, ahead, took, ended });
            }
            ShardEvent::ResyncNeeded { held, wanted } => {
                tracing::debug!(
                    held = held.map(|revision| revision.0),
                    wanted = wanted.0,
                    "something was missed: asking for a snapshot"
                );
                slot.end_any();
            }
            ShardEvent::SnapshotRefused { held, offered } => {
                tracing::error!(
                    held = held.0,
                    offered = offered.0,
                    "refused a snapshot older than what is enforced: the control plane's database went back in time"
                );
            }
            ShardEvent::AuthorityLost => {
                tracing::warn!("authority lost: traffic pauses until the control plane is heard again")
            }
            ShardEvent::AuthorityRegained => tracing::info!("authority regained: traffic passes"),
            ShardEvent::Notice(notice) => {
                log_notice(&notice);
                notices.push(notice);
            }
        }
    }
}

fn log_notice(notice: &GatewayEvent) {
    match notice.kind {
        GatewayEventKind::Connected | GatewayEventKind::EndpointMoved | GatewayEventKind::AuthorityRegained => {
            notice_line!(info, notice);
        }
        GatewayEventKind::RevokedKeyKnocked
        | GatewayEventKind::Denied
        | GatewayEventKind::SpoofedSource
        | GatewayEventKind::KeyUsedTwice
        | GatewayEventKind::AuthorityLost
        | GatewayEventKind::ClockJumped => notice_line!(warn, notice),
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

async fn post_receipts(mut poster: Poster, slot: SessionSlot, outbox: Arc<Outbox<Enforcement>>) {
    loop {
        for done in outbox.take(1).await {
            let body = |session| {
                serde_json::to_vec(&Receipt {
                    session,
                    revision: done.revision,
                    enforced_after_micros: micros(done.took),
                    ended: done.ended.clone(),
                    ahead: done.ahead,
                })
            };
            post_until_taken(&mut poster, &slot, "/feed/v1/receipts", body).await;
        }
    }
}

async fn post_notices(mut poster: Poster, slot: SessionSlot, outbox: Arc<Outbox<GatewayEvent>>) {
    loop {
        let notices = outbox.take(NOTICES_PER_POST).await;
        post_until_taken(&mut poster, &slot, "/feed/v1/events", |_| serde_json::to_vec(&notices)).await;
    }
}

struct Sessions {
    connector: Connector,
    hello: GatewayHello,
    shard: ShardHandle,
    shard_status: watch::Receiver<Vec<ShardStatus>>,
    status: watch::Sender<FeedStatus>,
    portal: watch::Sender<Option<String>>,
    slot: SessionSlot,
}

impl Sessions {
    async fn run(self) {
        let mut pause = PAUSE_MIN;
        let mut told: Vec<String> = Vec::new();
        loop {
            let begun = Instant::now();
            let end = match self.hello().await {
                Ok(reply) => {
                    told.clear();
                    self.connector.settle();
                    if reply.portal.is_some() {
                        self.portal.send_replace(reply.portal.clone());
                    }
                    let end = self.session(&reply).await;
                    self.slot.end(reply.session);
                    self.status.send_modify(|status| status.connected = false);
                    end
                }
                Err(end) => end,
            };
            let reason = end.to_string();
            // A snapshot is asked for where the stream was; anything else is a reason to look elsewhere.
            let round = matches!(end, SessionEnd::Resync) || self.connector.move_on();
            match end {
                SessionEnd::ShardGone => return,
                SessionEnd::Resync => tracing::info!("the feed begins again with a snapshot"),
                SessionEnd::Http(_)
                | SessionEnd::Refused(_)
                | SessionEnd::Closed
                | SessionEnd::Silent(_)
                | SessionEnd::Nonsense(_) => {
                    // The same complaint every two seconds helps nobody.
                    if told.contains(&reason) {
                        tracing::debug!(reason, "still no feed");
                    } else {
                        tracing::warn!(reason, "the feed is down: trying again until it is back");
                        told.push(reason);
                        // What is told once more after so many other complaints is no secret either.
                        told.drain(..told.len().saturating_sub(REASONS_MAX));
                    }
                }
            }
            if !round {
                continue;
            }
            pause = if begun.elapsed() >= GOOD_SESSION { PAUSE_MIN } else { pause };
            tokio::time::sleep(jittered(pause)).await;
            pause = pause.saturating_mul(2).min(PAUSE_MAX);
        }
    }

    async fn hello(&self) -> Result<HelloReply, SessionEnd> {
        let revision = ShardStatus::of_all(&self.shard_status.borrow()).revision;
        let hello = GatewayHello { revision, ..self.hello.clone() };
        let body = serde_json::to_vec(&hello).map_err(|error| SessionEnd::Nonsense(error.to_string()))?;
        let answer = Poster::new(self.connector.clone()).post("/feed/v1/hello", body).await?;
        if !answer.status.is_success() {
            return Err(SessionEnd::Refused(answer.complaint()));
        }
        serde_json::from_slice(&answer.body).map_err(|error| SessionEnd::Nonsense(error.to_string()))
    }

    async fn session(&self, reply: &HelloReply) -> SessionEnd {
        let session = reply.session;
        let ttl = Duration::from_millis(reply.authority_ttl_ms);
        let mut connection = match self.connector.connect().await {
            Ok(connection) => connection,
            Err(error) => return error.into(),
        };
        let body = match connection.stream(&format!("/feed/v1/stream?session={session}")).await {
            Ok(Ok(body)) => body,
            Ok(Err(answer)) => return SessionEnd::Refused(answer.complaint()),
            Err(error) => return error.into(),
        };
        self.slot.begin(session);
        self.status.send_modify(|status| {
            status.connected = true;
            status.sessions = status.sessions.saturating_add(1);
        });
        tracing::info!(session = %session, ttl_ms = reply.authority_ttl_ms, "the feed is connected");
        // Dropped, and with it ended, when this function returns.
        let mut pings = JoinSet::new();
        pings.spawn(ping(
            Poster::new(self.connector.clone()),
            self.slot.clone(),
            session,
            ttl,
            self.shard_status.clone(),
        ));
        tokio::select! {
            end = self.read(body, ttl / 2) => end,
            () = self.slot.ended(session) => SessionEnd::Resync,
        }
    }

    /// Reads the stream until it ends.
    async fn read(&self, mut body: Incoming, silence_max: Duration) -> SessionEnd {
        let mut parser = SseParser::new(EVENT_BYTES_MAX);
        let mut assembly = Assembly::default();
        let mut events = Vec::new();
        let mut heard_at = Instant::now();
        loop {
            let frame = match tokio::time::timeout_at(heard_at + silence_max, body.frame()).await {
                Err(_) => return SessionEnd::Silent(silence_max),
                Ok(None) => return SessionEnd::Closed,
                Ok(Some(Err(error))) => return SessionEnd::Http(chain(&error)),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(chunk) = frame.into_data() else { continue };
            let arrived = boot_now();
            if let Err(error) = parser.push(&chunk, &mut events) {
                return error.into();
            }
            for event in events.drain(..) {
                heard_at = Instant::now();
                let command = match read_message(&event.data, &mut assembly) {
                    Ok(Some(command)) => command,
                    Ok(None) => continue,
                    Err(end) => return end,
                };
                if self.shard.command(command, arrived).await.is_err() {
                    return SessionEnd::ShardGone;
                }
            }
        }
    }
}

/// Reads one message; `None` for a snapshot page that others follow.
fn read_message(data: &[u8], assembly: &mut Assembly) -> Result<Option<Command>, SessionEnd> {
    let message: FeedMessage = serde_json::from_slice(data).map_err(|error| SessionEnd::Nonsense(error.to_string()))?;
    Ok(match message {
        FeedMessage::Snapshot(page) => assembly.add(page)?.map(|snapshot| Command::Snapshot(Arc::new(snapshot))),
        FeedMessage::Delta(delta) => Some(Command::Delta(delta)),
        FeedMessage::Heartbeat(heartbeat) => Some(Command::Heartbeat(heartbeat)),
    })
}

/// Pings until it is dropped. A ping that fails is not repeated: the next one says the same with a younger clock.
async fn ping(
    mut poster: Poster,
    slot: SessionSlot,
    session: Uuid,
    ttl: Duration,
    status: watch::Receiver<Vec<ShardStatus>>,
) {
    let every = (ttl / 6).clamp(PING_EVERY_MIN, PING_EVERY_MAX);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let shard = ShardStatus::of_all(&status.borrow());
        let ping = Ping {
            session,
            boot_micros: boot_now().as_micros(),
            revision: shard.revision,
            devices_active: shard.devices_active,
            devices_known: shard.devices_known,
        };
        let Ok(body) = serde_json::to_vec(&ping) else { continue };
        match timeout(every.max(Duration::from_secs(1)), poster.post("/feed/v1/ping", body)).await {
            Ok(Ok(answer)) if answer.status == StatusCode::NOT_FOUND => slot.end(session),
            Ok(Ok(answer)) if !answer.status.is_success() => {
                tracing::debug!(complaint = answer.complaint(), "a ping was refused");
            }
            Ok(Ok(_)) => (),
            Ok(Err(error)) => tracing::debug!(error = chain(&error), "a ping was lost"),
            Err(_) => tracing::debug!("a ping was not answered in time"),
        }
    }
}

/// Takes a random part of up to a half away, so that gateways that lost one control plane do not return in step.
fn jittered(pause: Duration) -> Duration {
    let mut bytes = [0_u8; 1];
    // Without randomness the pause is merely the same for all.
    let _filled = fill_random(&mut bytes);
    let part = pause / 512;
    pause.saturating_sub(part.saturating_mul(u32::from(bytes.first().copied().unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_shortened_by_half_at_most() {
        for _ in 0..100 {
            let pause = jittered(PAUSE_MAX);
            assert!(pause > PAUSE_MAX / 2 - Duration::from_millis(10) && pause <= PAUSE_MAX);
        }
    }

    #[test]
    fn what_is_no_message_ends_the_session_and_says_why() {
        let end = read_message(b"{\"type\":\"lease\"}", &mut Assembly::default()).unwrap_err();
        assert!(matches!(end, SessionEnd::Nonsense(_)), "{end}");
    }
}
