//! The feed's routes.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use doorward_model::{
    FeedMessage, GatewayEvent, GatewayHello, GatewayName, HelloReply, Ping, Receipt, USAGE_DEVICES_MAX, UsageReport,
};
use futures_util::Stream;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::pump;
use super::session::{Identity, Session};
use crate::app::{App, Refusal, devices, enrolment, gateways};
use crate::http::{ApiJson, ApiQuery};
use crate::net::Peer;

/// Events in one request at most.
const EVENTS_MAX: usize = 100;

/// The routes that a gateway uses once it has an identity.
pub(crate) fn routes() -> Router<App> {
    Router::new()
        .route("/feed/v1/hello", post(hello))
        .route("/feed/v1/stream", get(stream))
        .route("/feed/v1/ping", post(ping))
        .route("/feed/v1/receipts", post(receipts))
        .route("/feed/v1/events", post(events))
        .route("/feed/v1/usage", post(usage))
}

/// A gateway that proved who it is.
struct GatewayPeer {
    identity: Identity,
    /// The name in its certificate; `None` on the feed socket, where the hello's name counts.
    name: Option<GatewayName>,
}

impl<S: Send + Sync> FromRequestParts<S> for GatewayPeer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        match parts.extensions.get::<Peer>() {
            Some(Peer::FeedSocket) => Ok(Self { identity: Identity::Socket, name: None }),
            Some(Peer::FeedTls { certificate: Some(certificate), .. }) => {
                Ok(Self { identity: Identity::Certificate(certificate.sha256), name: Some(certificate.name.clone()) })
            }
            Some(Peer::FeedTls { certificate: None, .. } | Peer::Admin { .. } | Peer::Https { .. }) | None => Err(
                Refusal::Unauthenticated("the feed needs a gateway's certificate: enrol with a token first".to_owned()),
            ),
        }
    }
}

impl GatewayPeer {
    fn session(&self, app: &App, id: Uuid) -> Result<Arc<Session>, Refusal> {
        let session = app.hub.session(id, &self.identity);
        session.ok_or_else(|| Refusal::NotFound("this session is over: say hello again".to_owned()))
    }
}

async fn hello(
    State(app): State<App>,
    peer: GatewayPeer,
    ApiJson(hello): ApiJson<GatewayHello>,
) -> Result<Json<HelloReply>, Refusal> {
    let name = gateways::hello(&app, peer.name.as_ref(), peer.identity, hello).await?;
    let session = app.hub.open(&name, peer.identity, app.clock.now());
    tracing::info!(gateway.name = %name, session = %session.id, "a gateway said hello");
    let authority_ttl_ms = pump::millis(app.authority_ttl);
    Ok(Json(HelloReply { session: session.id, authority_ttl_ms, portal: app.portal.clone() }))
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OfSession {
    session: Uuid,
}

async fn stream(
    State(app): State<App>,
    peer: GatewayPeer,
    ApiQuery(of): ApiQuery<OfSession>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let session = peer.session(&app, of.session)?;
    if !session.take_stream() {
        return Err(Refusal::Conflict("this session has its stream already: say hello again for another".to_owned()));
    }
    let (queue, messages) = mpsc::channel(pump::QUEUE_MESSAGES_MAX);
    app.workers.spawn(pump::run(Arc::clone(&app), session, queue));
    Ok(Sse::new(futures_util::stream::unfold(messages, |mut messages| async move {
        let message = messages.recv().await?;
        let event = event(&message)?;
        Some((Ok(event), messages))
    })))
}

/// Renders a message; `None`, which ends the stream, where it does not serialise.
fn event(message: &FeedMessage) -> Option<Event> {
    let revision = match message {
        FeedMessage::Snapshot(page) => page.revision,
        FeedMessage::Delta(delta) => delta.revision,
        FeedMessage::Heartbeat(heartbeat) => heartbeat.revision,
    };
    match serde_json::to_string(message) {
        Ok(text) => Some(Event::default().id(revision.to_string()).data(text)),
        Err(error) => {
            tracing::error!(%error, "a feed message did not serialise");
            None
        }
    }
}

async fn ping(State(app): State<App>, peer: GatewayPeer, ApiJson(ping): ApiJson<Ping>) -> Result<StatusCode, Refusal> {
    let session = peer.session(&app, ping.session)?;
    app.hub.heard_ping(&session, &ping, app.clock.now());
    Ok(StatusCode::NO_CONTENT)
}

async fn receipts(
    State(app): State<App>,
    peer: GatewayPeer,
    ApiJson(receipt): ApiJson<Receipt>,
) -> Result<StatusCode, Refusal> {
    let session = peer.session(&app, receipt.session)?;
    let now = app.clock.now();
    if receipt.revision.0 > session.sent().max(app.hub.revision()) {
        // A gateway that comes from another replica may know of a commit earlier than this one.
        app.hub.committed(app.store.read().await?.revision().await?.0);
    }
    let for_others = app.replicas.for_others(&session.gateway, &receipt, now);
    if !app.history.counts(receipt.revision) {
        return Err(Refusal::Invalid("this receipt is of a state that was left behind".to_owned()));
    }
    if app.hub.heard_receipt(&session, receipt, now) {
        app.replicas.hand_on(for_others);
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Refusal::Invalid("this receipt confirms a revision that does not exist".to_owned()))
    }
}

async fn events(
    State(app): State<App>,
    peer: GatewayPeer,
    ApiJson(events): ApiJson<Vec<GatewayEvent>>,
) -> Result<StatusCode, Refusal> {
    if events.len() > EVENTS_MAX {
        return Err(Refusal::Invalid(format!("{} events in one request: send at most {EVENTS_MAX}", events.len())));
    }
    let session = app.hub.session_of(&peer.identity);
    let session = session.ok_or_else(|| Refusal::NotFound("there is no session: say hello first".to_owned()))?;
    gateways::events(&app, &session.gateway, events).await.map(|()| StatusCode::NO_CONTENT)
}

async fn usage(
    State(app): State<App>,
    peer: GatewayPeer,
    ApiJson(report): ApiJson<UsageReport>,
) -> Result<StatusCode, Refusal> {
    if report.devices.len() > USAGE_DEVICES_MAX {
        let sent = report.devices.len();
        return Err(Refusal::Invalid(format!("{sent} devices in one request: send at most {USAGE_DEVICES_MAX}")));
    }
    let session = peer.session(&app, report.session)?;
    let used = app.hub.heard_usage(&session, &report.devices);
    devices::note_use(&app, used);
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /feed/v1/enrol`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnrolRequest {
    /// The one-time token.
    token: String,
    /// The gateway's name.
    name: GatewayName,
    /// A certificate request for the gateway's key, in PEM.
    csr_pem: String,
}

/// The answer to an enrolment.
#[derive(Debug, Serialize)]
pub(crate) struct EnrolReply {
    /// The gateway's certificate, in PEM.
    certificate_pem: String,
    /// The feed's authority, in PEM.
    ca_pem: String,
}

/// Enrols a gateway with a one-time token; the one route that needs no certificate.
pub(crate) async fn enrol(
    State(app): State<App>,
    Extension(peer): Extension<Peer>,
    ApiJson(request): ApiJson<EnrolRequest>,
) -> Result<Json<EnrolReply>, Refusal> {
    let EnrolRequest { token, name, csr_pem } = request;
    if let Peer::FeedTls { source, .. } = peer {
        tracing::info!(%source, gateway.name = %name, "a gateway asks to be enrolled");
    }
    let certificate_pem = enrolment::enrol(&app, &token, &name, &csr_pem).await?;
    Ok(Json(EnrolReply { certificate_pem, ca_pem: app.feed_authority.pem().to_owned() }))
}
