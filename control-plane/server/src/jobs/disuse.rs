//! What nobody uses any more ends by itself: keys are revoked, people are suspended and can be taken back.

use std::time::Duration;

use doorward_domain::{Action, Actor, Alert, AlertKind, Subject, is_doubtful, suspend};
use doorward_model::{DeviceId, EndReason, PrincipalId, Timestamp};
use doorward_store::Outbox;
use jiff::SignedDuration;
use serde_json::json;

use crate::app::{App, Record, Refusal, alerts, apply, follow_up};

/// Alerts that are looked at in order not to tell the same thing again.
const ALERTS_LOOKED_AT: u32 = 200;

/// Ends what was not used for long enough. Where that is a large share at once nothing ends, and the admins are told.
pub(super) async fn end(app: &App) -> Result<(), Refusal> {
    let now = app.clock.settled();
    let mut read = app.store.read().await?;
    let counts = read.counts(now).await?;
    let mut devices = Vec::new();
    if let Some(since) = before(now, app.disuse.unused_keys) {
        let unused = read.unused(since).await?.devices;
        if is_doubtful(unused, counts.devices, app.directory.brake_share) {
            doubt(app, &format!("{unused} of {} keys", counts.devices), "unused_keys").await?;
        } else {
            devices = read.devices_unused(since).await?;
        }
    }
    let mut people = Vec::new();
    if let Some(since) = before(now, app.disuse.inactive) {
        let unseen = read.unused(since).await?.people;
        if is_doubtful(unseen, counts.people, app.directory.brake_share) {
            doubt(app, &format!("{unseen} of {} people", counts.people), "inactive").await?;
        } else {
            people = read.people_inactive(since).await?;
        }
    }
    drop(read);
    for device in devices {
        revoke(app, device.id).await?;
    }
    for person in people {
        rest(app, person.id).await?;
    }
    Ok(())
}

/// When something has to have been used last in order to stay; `None` where it stays anyway.
fn before(now: Timestamp, terms: Duration) -> Option<Timestamp> {
    if terms.is_zero() { None } else { now.checked_sub(SignedDuration::try_from(terms).ok()?).ok() }
}

async fn revoke(app: &App, id: DeviceId) -> Result<(), Refusal> {
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let Some(since) = before(app.clock.settled(), app.disuse.unused_keys) else { return Ok(()) };
    // Looked at again inside the transaction: it may have been used, or ended, meanwhile.
    let Some(device) = tx.devices_unused(since).await?.into_iter().find(|device| device.id == id) else {
        return Ok(());
    };
    tx.device_revoke(id, EndReason::DeviceExpired, now).await?;
    let email = tx.person(device.principal).await?.map(|person| person.email);
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::DeviceEnd,
        subject: Subject::Device(id),
        detail: json!({ "email": email, "name": device.name, "unused_for": spelled(app.disuse.unused_keys) }),
    };
    let committed = app.commit(tx, record, Outbox::Devices(vec![id])).await?;
    follow_up(app, &committed, [id]);
    Ok(())
}

async fn rest(app: &App, id: PrincipalId) -> Result<(), Refusal> {
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let Some(since) = before(app.clock.settled(), app.disuse.inactive) else { return Ok(()) };
    let Some(person) = tx.people_inactive(since).await?.into_iter().find(|person| person.id == id) else {
        return Ok(());
    };
    let effect = suspend(&person, &tx.devices_of(id).await?, now)?;
    let applied = apply(&mut tx, &Actor::System, &effect, None, now).await?;
    let span = spelled(app.disuse.inactive);
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::PersonInactive,
        subject: Subject::Person(person.email.clone()),
        detail: applied.recorded_with([("unseen_for", json!(span))]),
    };
    let committed = app.commit(tx, record, Outbox::Devices(applied.devices.clone())).await?;
    follow_up(app, &committed, applied.devices);
    let email = &person.email;
    let message = format!(
        "{email} did not sign in and used no device for {span}, and is suspended: `doorward person restore {email}` takes them back, \
         `doorward person offboard {email}` puts them out"
    );
    raise(app, message).await;
    Ok(())
}

/// Tells the admins, once a day, that too much would end at once.
async fn doubt(app: &App, what: &str, key: &str) -> Result<(), Refusal> {
    let now = app.clock.now();
    let day = now.checked_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let message = format!(
        "{what} were not used for longer than `[people] {key}` allows, which is too many to end without somebody looking: check this \
         machine's clock and that gateways are connected; then revoke or suspend them by hand, or set another span"
    );
    let told = app.store.read().await?.alerts_recent(ALERTS_LOOKED_AT).await?;
    let is_told = |alert: &Alert| alert.kind == AlertKind::Disuse && alert.at >= day && alert.message.contains(key);
    if !told.iter().any(is_told) {
        raise(app, message).await;
    }
    Ok(())
}

async fn raise(app: &App, message: String) {
    let (at, kind) = (app.clock.now(), AlertKind::Disuse);
    let alert = Alert { at, kind, gateway: None, device: None, email: None, source: None, message, count: 1 };
    alerts::raise(app, alert).await;
}

fn spelled(span: Duration) -> String {
    let days = span.as_secs() / (24 * 3600);
    if days > 0 { format!("{days} days") } else { format!("{} s", span.as_secs()) }
}
