//! A device's key was seen in two places: its sign-in window shuts, for whoever uses it, until the person signs in again.

use doorward_domain::{Action, Actor, Subject, micros};
use doorward_model::{DeviceId, GatewayEvent, GatewayEventKind, GatewayName};
use doorward_store::Outbox;
use serde_json::json;

use super::revocation::follow_up;
use super::{App, Record, Refusal};

/// Shuts the window of each device whose key a gateway saw in two places.
///
/// Where no sign-in is asked for there is no window to shut, and the alert is all.
pub(crate) async fn close_windows(app: &App, gateway: &GatewayName, events: &[GatewayEvent]) -> Result<(), Refusal> {
    if app.terms.sign_in_window.is_zero() {
        return Ok(());
    }
    let copied = events.iter().filter(|event| event.kind == GatewayEventKind::KeyUsedTwice);
    for (device, event) in copied.filter_map(|event| Some((event.device?, event))) {
        close_window(app, gateway, device, event).await?;
    }
    Ok(())
}

async fn close_window(app: &App, gateway: &GatewayName, device: DeviceId, event: &GatewayEvent) -> Result<(), Refusal> {
    let now = app.clock.now();
    // As the gateway saw it: a sign-in since then stands. Its clock may be ahead of this one.
    let seen_at = micros(event.at.min(now));
    let mut tx = app.store.write().await?;
    let Some(held) = tx.device(device).await?.filter(|held| held.revoked.is_none()) else { return Ok(()) };
    let Some(person) = tx.person(held.principal).await? else { return Ok(()) };
    let stands = person.signed_in_until.is_some_and(|until| until > now);
    let is_older = person.signed_in_at.is_some_and(|at| at > seen_at)
        || held.window_closed_at.is_some_and(|closed| person.signed_in_at.is_none_or(|at| at <= closed));
    if !stands || is_older {
        return Ok(());
    }
    tx.device_window_close(device, seen_at).await?;
    let source = event.source.map(|source| source.to_string());
    let detail = json!({ "email": person.email, "name": held.name, "gateway": gateway, "source": source });
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::DeviceWindowClose,
        subject: Subject::Device(device),
        detail,
    };
    let committed = app.commit(tx, record, Outbox::Devices(vec![device])).await?;
    follow_up(app, &committed, [device]);
    Ok(())
}
