//! Gateways: list, tokens, removal, and what they say about themselves.

use doorward_domain::{self as domain, Action, Actor, Alert, Introduction, Subject, TokenHash};
use doorward_model::{GatewayEvent, GatewayHello, GatewayId, GatewayName, Timestamp};
use doorward_store::{Outbox, ReadTx};
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;

use super::secret::fresh_secret;
use super::{App, Record, Refusal, alerts, allow, allow_read, copied_key};
use crate::api::{Gateway, GatewayRemoved, GatewayToken, RestoredAccepted};
use crate::feed::Identity;

/// What every enrolment token begins with.
pub(crate) const ENROLMENT_PREFIX: &str = "dwg1";
/// How long an enrolment token counts.
const ENROLMENT_SPAN: SignedDuration = SignedDuration::from_hours(24);

/// Lists gateways.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Gateway>, Refusal> {
    allow_read(actor)?;
    let gateways = app.store.read().await?.gateways().await?;
    Ok(gateways.into_iter().map(|gateway| render(app, gateway)).collect())
}

/// Renders a gateway with what its session says.
pub(crate) fn render(app: &App, gateway: domain::Gateway) -> Gateway {
    let state = app.hub.state(&gateway.name);
    let revision = state.revision.or(gateway.revision.map(|revision| revision.0));
    let here = || app.store.is_shared().then(|| app.replicas.name().to_owned());
    Gateway {
        connected: state.connected,
        revision,
        revisions_behind: revision.map(|revision| app.hub.revision().saturating_sub(revision)),
        replica: if state.connected { state.replica.or_else(here) } else { None },
        devices_active: state.devices_active,
        devices_known: state.devices_known,
        endpoint: gateway.endpoint,
        public_key: gateway.public_key,
        version: gateway.version,
        resolver: gateway.resolver,
        ports: gateway.ports,
        last_seen: state.heard_at.max(gateway.last_seen_at),
        name: gateway.name,
    }
}

/// Renders a gateway from its session alone.
pub(crate) fn render_connected(app: &App, name: GatewayName) -> Gateway {
    let state = app.hub.state(&name);
    Gateway {
        name,
        connected: state.connected,
        revision: state.revision,
        revisions_behind: state.revision.map(|revision| app.hub.revision().saturating_sub(revision)),
        replica: state.replica,
        devices_active: state.devices_active,
        devices_known: state.devices_known,
        endpoint: None,
        public_key: None,
        version: None,
        resolver: false,
        ports: Vec::new(),
        last_seen: state.heard_at,
    }
}

/// Makes a one-time enrolment token; it is in the answer and nowhere else.
pub(crate) async fn add_token(app: &App, actor: &Actor, name: GatewayName) -> Result<GatewayToken, Refusal> {
    let subject = Subject::Gateway(name.clone());
    allow(actor, Action::GatewayTokenAdd, &subject)?;
    let now = app.clock.now();
    let expires_at = now.checked_add(ENROLMENT_SPAN).unwrap_or(Timestamp::MAX);
    let secret = fresh_secret()?;
    let token = format!("{ENROLMENT_PREFIX}.{}.{}", secret.as_str(), app.feed_authority.digest());
    let mut tx = app.store.write().await?;
    tx.enrolment_token_add(&TokenHash::of(token.as_bytes()), &name, expires_at, now).await?;
    let record = Record {
        at: now,
        actor,
        action: Action::GatewayTokenAdd,
        subject,
        detail: json!({ "expires_at": expires_at }),
    };
    app.commit(tx, record, Outbox::None).await?;
    let off =
        "gateways on other machines cannot connect: set `[server] feed_listen`, such as \"0.0.0.0:8444\", and restart";
    let warnings = if app.remote_feed { Vec::new() } else { vec![off.to_owned()] };
    Ok(GatewayToken { name, token, expires_at, warnings })
}

/// Removes a gateway and closes its feed.
pub(crate) async fn remove(app: &App, actor: &Actor, name: &GatewayName) -> Result<GatewayRemoved, Refusal> {
    let subject = Subject::Gateway(name.clone());
    allow(actor, Action::GatewayRemove, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let gateway = tx.gateway_remove(name, now).await?;
    let record = Record { at: now, actor, action: Action::GatewayRemove, subject, detail: json!({ "id": gateway.id }) };
    let committed = app.commit(tx, record, Outbox::None).await?;
    app.hub.remove(name);
    let authority_ttl_ms = u64::try_from(app.authority_ttl.as_millis()).unwrap_or(u64::MAX);
    Ok(GatewayRemoved { name: name.clone(), decided_at: committed.at, authority_ttl_ms })
}

/// Accepts a database that was put back from an older copy, as it is: gateways follow it from there on.
pub(crate) async fn accept_restored(app: &App, actor: &Actor) -> Result<RestoredAccepted, Refusal> {
    let subject = Subject::Everything;
    allow(actor, Action::DatabaseAccept, &subject)?;
    let Some(beyond) = app.history.refused() else {
        return Err(Refusal::Conflict(
            "there is nothing to accept: the database has every state that was seen".to_owned(),
        ));
    };
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let was = tx.revision().await?;
    tx.revision_leap(beyond).await?;
    let detail = json!({ "revision": was, "seen": beyond });
    let record = Record { at: now, actor, action: Action::DatabaseAccept, subject, detail };
    let committed = app.commit(tx, record, Outbox::Everything).await?;
    app.history.accepted(&committed);
    Ok(RestoredAccepted { was: was.0, seen: beyond.0, revision: committed.revision.0 })
}

/// Takes in how a gateway introduces itself; returns the name under which it counts.
pub(crate) async fn hello(
    app: &App,
    certified: Option<&GatewayName>,
    identity: Identity,
    hello: GatewayHello,
) -> Result<GatewayName, Refusal> {
    let GatewayHello { name, public_key, endpoint, network, version, resolver, ports, revision } = hello;
    if let Some(certified) = certified.filter(|certified| **certified != name) {
        return Err(Refusal::Refused(format!(
            "this gateway calls itself {name}, and its certificate is for {certified}: set `[gateway] name` to {certified}, or enrol {name}"
        )));
    }
    let (actor, subject) = (Actor::Gateway { name: name.clone() }, Subject::Gateway(name.clone()));
    allow(&actor, Action::GatewayHello, &subject)?;
    let own = app.terms.network;
    if network != own {
        return Err(Refusal::Conflict(format!(
            "gateway {name} has `[network]` {} and {}, and the control plane has {} and {}: make them the same",
            network.v4(),
            network.v6(),
            own.v4(),
            own.v6()
        )));
    }
    let said = Introduction { public_key, endpoint, version, resolver, ports }.check()?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let known = enrolled(&mut read, &name, identity).await?;
    app.history.heard(revision.unwrap_or_default(), read.mark().await?);
    app.history.look(app, &mut read).await?;
    drop(read);
    if known.as_ref().is_some_and(|gateway| said.is_known(gateway)) {
        return Ok(name);
    }
    let mut tx = app.store.write().await?;
    let gateway = match enrolled(&mut tx, &name, identity).await? {
        Some(gateway) => gateway,
        None => tx.gateway_local(GatewayId::new(Uuid::now_v7()), &name, now).await?,
    };
    tx.gateway_hello(gateway.id, &said, now).await?;
    let detail = json!({
        "public_key": said.public_key, "endpoint": said.endpoint, "version": said.version, "resolver": said.resolver,
        "ports": said.ports,
    });
    app.commit(tx, Record { at: now, actor: &actor, action: Action::GatewayHello, subject, detail }, Outbox::None)
        .await?;
    Ok(name)
}

/// Finds the gateway that a peer says it is; `None` for one on this machine that is not registered yet.
///
/// A certificate counts only as long as it is the one that was enrolled last under a name that was not removed.
pub(crate) async fn enrolled(
    read: &mut ReadTx,
    name: &GatewayName,
    identity: Identity,
) -> Result<Option<domain::Gateway>, Refusal> {
    let gateway = read.gateway_by_name(name).await?;
    match (identity, gateway) {
        (Identity::Socket, gateway) => match gateway {
            Some(gateway) if gateway.certificate_sha256.is_some() => Err(Refusal::Conflict(format!(
                "gateway {name} is enrolled on another machine: set another `[gateway] name` here, or run `doorward gateway remove {name}`"
            ))),
            gateway => Ok(gateway),
        },
        (Identity::Certificate(sha256), Some(gateway)) if gateway.certificate_sha256 == Some(sha256) => {
            Ok(Some(gateway))
        }
        (Identity::Certificate(_), _) => Err(Refusal::Refused(format!(
            "the certificate of gateway {name} counts no more: run `doorward gateway token add {name}` and enrol it again"
        ))),
    }
}

/// Keeps what a gateway saw; what is urgent is logged as a warning.
pub(crate) async fn events(app: &App, gateway: &GatewayName, events: Vec<GatewayEvent>) -> Result<(), Refusal> {
    copied_key::close_windows(app, gateway, &events).await?;
    let alerts: Vec<Alert> = events.into_iter().map(|event| Alert::from_gateway(gateway, event)).collect();
    alerts.iter().for_each(alerts::log);
    if !alerts.is_empty() {
        app.store.alerts_record(&alerts).await?;
    }
    Ok(())
}
