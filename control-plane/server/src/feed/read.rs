//! What a stream carries, each read in one consistent state of the database.

use std::collections::HashMap;

use doorward_domain::{Derived, LeaseSubject, LockdownState};
use doorward_model::{Change, DeviceId, Lease, Lockdown, Removal, Revision, Timestamp, Tombstone};
use doorward_store::ReadTx;
use jiff::SignedDuration;

use super::session::Session;
use crate::app::journal::{Known, Overlay, Waiting};
use crate::app::{App, Refusal, gateways};

/// How long a revoked key is recognised by name.
const TOMBSTONES_SPAN: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Everything, of one revision.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) revision: Revision,
    pub(crate) lockdown: Lockdown,
    /// Devices that pass during a lockdown.
    pub(crate) lockdown_exempt: Vec<DeviceId>,
    pub(crate) leases: Vec<Lease>,
    pub(crate) tombstones: Vec<Tombstone>,
}

/// What changed.
#[derive(Debug)]
pub(crate) enum Changes {
    /// Nothing.
    None,
    /// This.
    Some { revision: Revision, changes: Vec<Change> },
    /// Too much to list: a snapshot says it.
    Everything,
}

/// Reads everything, as if what waits to be written were: the overlay was taken before this began.
pub(crate) async fn read_state(app: &App, overlay: &Overlay) -> Result<State, Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    app.history.look(app, &mut read).await?;
    let revision = read.revision().await?;
    let lockdown = lockdown_of(&mut read, overlay).await?;
    let lockdown_exempt = read.lockdown_exempt(&lockdown).await?;
    let since = now.checked_sub(TOMBSTONES_SPAN).unwrap_or(Timestamp::MIN);
    let mut tombstones = read.tombstones_since(since).await?;
    let mut leases = Vec::new();
    // Many gateways read the same state; one of them has it remembered.
    let remember = app.journal.roster.is_behind(revision);
    let mut known = HashMap::new();
    for subject in read.lease_subjects_all(now).await? {
        match overlay.derive(subject, &app.terms, now) {
            (subject, Derived::Lease(lease)) => {
                if remember {
                    known.insert(lease.device, Known::of(&subject, &lease));
                }
                leases.push(lease);
            }
            (subject, Derived::Ended(reason)) => tombstones.push(subject.tombstone(reason)),
        }
    }
    if remember {
        app.journal.roster.replace(revision, known);
    }
    Ok(State { revision, lockdown: lockdown.state, lockdown_exempt, leases, tombstones })
}

/// Reads what changed since a revision, and that the session's gateway may still hear it.
pub(crate) async fn read_changes(
    app: &App,
    session: &Session,
    since: Revision,
    overlay: &Overlay,
) -> Result<Changes, Refusal> {
    let mut read = app.store.read().await?;
    // Another replica may have removed the gateway, or enrolled another machine under its name.
    if gateways::enrolled(&mut read, &session.gateway, session.identity).await?.is_none() {
        return Err(Refusal::Refused(format!("gateway {} was removed", session.gateway)));
    }
    app.history.look(app, &mut read).await?;
    let found = read.outbox_since(since).await?;
    if found.everything {
        return Ok(Changes::Everything);
    }
    if found.revision == since {
        return Ok(Changes::None);
    }
    let devices: Vec<DeviceId> = found.devices.into_iter().collect();
    let changes = changes(app, &mut read, overlay, (found.revision, found.lockdown), &devices).await?;
    Ok(Changes::Some { revision: found.revision, changes })
}

/// Reads how the devices are that a waiting decision concerns, and the lockdown; `None` where the database is at another
/// revision than the gateway.
pub(crate) async fn read_waiting(
    app: &App,
    held: Revision,
    overlay: &Overlay,
    waiting: &Waiting,
) -> Result<Option<Vec<Change>>, Refusal> {
    let mut read = app.store.read().await?;
    app.history.look(app, &mut read).await?;
    if read.revision().await? != held {
        return Ok(None);
    }
    let devices: Vec<DeviceId> = waiting.concerned.iter().map(|(device, _)| *device).collect();
    changes(app, &mut read, overlay, (held, overlay.locked().is_some()), &devices).await.map(Some)
}

async fn changes(
    app: &App,
    read: &mut ReadTx,
    overlay: &Overlay,
    (revision, is_locking): (Revision, bool),
    devices: &[DeviceId],
) -> Result<Vec<Change>, Refusal> {
    let now = app.clock.now();
    let mut changes = Vec::new();
    let lockdown = lockdown_of(read, overlay).await?;
    // Who is exempt may change with any membership and any device, so that each change says it again.
    if is_locking || (lockdown.state == Lockdown::On && lockdown.except.is_some()) {
        let exempt = read.lockdown_exempt(&lockdown).await?;
        changes.push(Change::Lockdown { state: lockdown.state, exempt });
    }
    let mut known = Vec::new();
    for subject in lease_subjects(read, devices, now).await? {
        let device = subject.device.id;
        changes.push(match overlay.derive(subject, &app.terms, now) {
            (subject, Derived::Lease(lease)) => {
                known.push((device, Some(Known::of(&subject, &lease))));
                Change::Lease(lease)
            }
            (subject, Derived::Ended(reason)) => {
                known.push((device, None));
                Change::Remove(Removal { device, tombstone: subject.tombstone(reason) })
            }
        });
    }
    app.journal.roster.update(revision, known.into_iter());
    Ok(changes)
}

/// Reads the lockdown, as if what waits were written.
pub(crate) async fn lockdown_of(read: &mut ReadTx, overlay: &Overlay) -> Result<LockdownState, Refusal> {
    let held = read.lockdown().await?;
    let except = match overlay.locked().flatten() {
        Some(name) => read.group_by_name(name).await?.map(|group| group.id),
        None => None,
    };
    Ok(overlay.lockdown(held, except))
}

async fn lease_subjects(read: &mut ReadTx, devices: &[DeviceId], now: Timestamp) -> Result<Vec<LeaseSubject>, Refusal> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    Ok(read.lease_subjects(devices, now).await?)
}
