//! What a stream carries, each read in one consistent state of the database.

use doorward_domain::{Derived, LeaseSubject, derive_lease};
use doorward_model::{Change, DeviceId, Lease, Lockdown, Removal, Revision, Timestamp, Tombstone};
use doorward_store::ReadTx;
use jiff::SignedDuration;

use super::session::Session;
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

/// Reads everything.
pub(crate) async fn read_state(app: &App) -> Result<State, Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    app.history.look(app, &mut read).await?;
    let revision = read.revision().await?;
    let lockdown = read.lockdown().await?;
    let lockdown_exempt = read.lockdown_exempt(&lockdown).await?;
    let since = now.checked_sub(TOMBSTONES_SPAN).unwrap_or(Timestamp::MIN);
    let mut tombstones = read.tombstones_since(since).await?;
    let mut leases = Vec::new();
    for subject in read.lease_subjects_all(now).await? {
        match derive_lease(&subject, &app.terms, now) {
            Derived::Lease(lease) => leases.push(lease),
            Derived::Ended(reason) => tombstones.push(subject.tombstone(reason)),
        }
    }
    Ok(State { revision, lockdown: lockdown.state, lockdown_exempt, leases, tombstones })
}

/// Reads what changed since a revision, and that the session's gateway may still hear it.
pub(crate) async fn read_changes(app: &App, session: &Session, since: Revision) -> Result<Changes, Refusal> {
    let now = app.clock.now();
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
    let mut changes = Vec::new();
    let lockdown = read.lockdown().await?;
    // Who is exempt may change with any membership and any device, so that each change says it again.
    if found.lockdown || (lockdown.state == Lockdown::On && lockdown.except.is_some()) {
        let exempt = read.lockdown_exempt(&lockdown).await?;
        changes.push(Change::Lockdown { state: lockdown.state, exempt });
    }
    let devices: Vec<DeviceId> = found.devices.into_iter().collect();
    let subjects = lease_subjects(&mut read, &devices, now).await?;
    changes.extend(subjects.iter().map(|subject| match derive_lease(subject, &app.terms, now) {
        Derived::Lease(lease) => Change::Lease(lease),
        Derived::Ended(reason) => {
            Change::Remove(Removal { device: subject.device.id, tombstone: subject.tombstone(reason) })
        }
    }));
    Ok(Changes::Some { revision: found.revision, changes })
}

async fn lease_subjects(read: &mut ReadTx, devices: &[DeviceId], now: Timestamp) -> Result<Vec<LeaseSubject>, Refusal> {
    if devices.is_empty() {
        return Ok(Vec::new());
    }
    Ok(read.lease_subjects(devices, now).await?)
}
