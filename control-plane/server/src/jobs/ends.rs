//! Ends that time brings, recorded once each: inside the write transaction, so that replicas do not do it twice.
//!
//! Whose time is over loses access by the deadline in the lease, at once. That a device or a person ended for good is
//! recorded by the settled clock: a clock that jumped for an hour ends nobody.

use doorward_domain::{self as domain, Action, Actor, Grantee, Subject};
use doorward_model::{EndReason, Timestamp};
use doorward_store::Outbox;
use serde_json::json;

use crate::app::{App, Record, Refusal, apply, follow_up};
use crate::clock::Jump;

/// Records what ended up to this moment.
pub(crate) async fn record(app: &App) -> Result<(), Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let grants = !read.grants_ended_unrecorded(now).await?.is_empty();
    let settled = app.clock.settled();
    let devices = !read.devices_expired(settled).await?.is_empty();
    let people = !read.people_ended_unrecorded(settled).await?.is_empty();
    drop(read);
    if grants {
        record_grants(app, now).await?;
    }
    while devices && record_device(app, settled).await? {}
    while people && record_person(app, settled).await? {}
    Ok(())
}

/// Records that the wall clock is right again, so that what was recorded meanwhile is no floor for the next start's clock.
pub(super) async fn record_set_right(app: &App, jump: Jump) -> Result<(), Refusal> {
    let tx = app.store.write().await?;
    let record = Record {
        at: app.clock.now(),
        actor: &Actor::System,
        action: Action::ClockSetRight,
        subject: Subject::Everything,
        detail: json!({ "set_back_seconds": jump.by.unsigned_abs().as_secs() }),
    };
    app.commit(tx, record, Outbox::None).await.map(drop)
}

/// All grants in one row: a thousand may end with one working day.
async fn record_grants(app: &App, now: Timestamp) -> Result<(), Refusal> {
    let mut tx = app.store.write().await?;
    let ended = tx.grants_ended_unrecorded(now).await?;
    let subject = match ended.as_slice() {
        [] => return Ok(()),
        [only] => Subject::Grant(only.grant.id),
        _ => Subject::Everything,
    };
    let mut detail = Vec::with_capacity(ended.len());
    for granted in &ended {
        tx.grant_end_recorded(granted.grant.id, now).await?;
        let (email, group) = match granted.grant.to {
            Grantee::Person(id) => (tx.person(id).await?.map(|person| person.email), None),
            Grantee::Group(id) => (None, tx.group_names().await?.remove(&id)),
        };
        let (grant, resource, ended_at) = (granted.grant.id, &granted.resource.name, granted.grant.validity.not_after);
        detail.push(
            json!({ "grant": grant, "email": email, "group": group, "resource": resource, "ended_at": ended_at }),
        );
    }
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::GrantEnd,
        subject,
        detail: json!({ "grants": detail }),
    };
    app.commit(tx, record, Outbox::None).await.map(drop)
}

/// Ends one device whose time is over for good, so that its address rests and comes back.
async fn record_device(app: &App, settled: Timestamp) -> Result<bool, Refusal> {
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let Some(device) = tx.devices_expired(settled).await?.into_iter().next() else { return Ok(false) };
    tx.device_revoke(device.id, EndReason::DeviceExpired, now).await?;
    let email = tx.person(device.principal).await?.map(|person| person.email);
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::DeviceEnd,
        subject: Subject::Device(device.id),
        detail: json!({ "email": email, "name": device.name, "ended_at": device.not_after }),
    };
    let committed = app.commit(tx, record, Outbox::Devices(vec![device.id])).await?;
    follow_up(app, &committed, [device.id]);
    Ok(true)
}

/// Lets one person depart whose own end date came; gateways hear it, so that they refuse the keys by name.
async fn record_person(app: &App, settled: Timestamp) -> Result<bool, Refusal> {
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let Some(person) = tx.people_ended_unrecorded(settled).await?.into_iter().next() else { return Ok(false) };
    tx.person_end_recorded(person.id, now).await?;
    let devices = tx.devices_of(person.id).await?;
    let grants: Vec<_> = tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
    let effect = domain::end(&person, &devices, &grants, now);
    let applied = apply(&mut tx, &Actor::System, &effect, None, now).await?;
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::PersonEnd,
        subject: Subject::Person(person.email),
        detail: applied
            .recorded_with([("because", json!("their end date came")), ("ended_at", json!(person.not_after))]),
    };
    let committed = app.commit(tx, record, Outbox::Devices(applied.devices.clone())).await?;
    follow_up(app, &committed, applied.devices);
    Ok(true)
}
