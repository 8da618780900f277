//! Sources of people: what a directory (SCIM) does to its own people and groups, what other sources say of anybody, and what
//! admins do about sources.
//!
//! A change answers after its commit and does not wait for receipts, because identity providers have timeouts; the
//! receipts are followed and recorded like any others.

pub(crate) mod due;
pub(crate) mod groups;
pub(crate) mod hooks;
pub(crate) mod known;
pub(crate) mod manage;
mod outage;
pub(crate) mod poll;
mod round;
mod said;
pub(crate) mod sources;
pub(crate) mod sync;
pub(crate) mod tokens;
pub(crate) mod users;

use doorward_domain::{
    self as domain, Account, Action, Actor, Alert, AlertKind, Burst, EndedBy, Group, Principal, Return, Source, Subject,
};
use doorward_model::{DecisionId, DeviceId, Timestamp};
use doorward_store::{Outbox, WriteTx};
use serde_json::Value;

pub(crate) use self::outage::note_by_source;
use super::revocation::follow_up;
use super::{App, Record, Refusal, alerts};

/// A source at work: one transaction on its behalf.
struct Work<'a> {
    app: &'a App,
    tx: WriteTx,
    source: Source,
    actor: Actor,
    now: Timestamp,
    alerts: Vec<String>,
}

impl<'a> Work<'a> {
    /// Begins; what the source's brake is like is read inside the transaction.
    async fn begin(app: &'a App, source: &Source) -> Result<Self, Refusal> {
        let now = app.clock.now();
        let mut tx = app.store.write().await?;
        let gone = || Refusal::Unauthenticated("this directory is not known any more".to_owned());
        let source = tx.source(source.id).await?.ok_or_else(gone)?;
        let actor = Actor::Source { name: source.name.clone() };
        Ok(Self { app, tx, source, actor, now, alerts: Vec::new() })
    }

    /// Notes that this transaction takes something away under a name: the journal, which may hear of it too, writes it no
    /// second time.
    async fn takes_away(&mut self, decision: DecisionId) -> Result<(), Refusal> {
        self.tx.decision_add(decision, self.now, self.now).await?;
        Ok(())
    }

    async fn burst(&mut self) -> Result<Burst, Refusal> {
        let since = self.source.counted_since(&self.app.directory, self.now);
        let burst = self.tx.burst(self.source.id, since).await?;
        if self.source.kind.manages_people() || self.source.kind.is_asked() {
            return Ok(burst);
        }
        let active = self.tx.counts(self.now).await?.people;
        Ok(Burst { active, people: active.saturating_add(burst.disabled), ..burst })
    }

    /// Counts one more who is disabled, and turns the brake on where that is one too many.
    async fn count_off(&mut self) -> Result<(), Refusal> {
        if self.source.brake_since.is_some() {
            return Ok(());
        }
        let burst = self.burst().await?;
        if burst.trips_with_one_more_off(&self.app.directory) {
            self.source.brake_since = Some(self.source.counted_since(&self.app.directory, self.now));
            self.tx.source_update(&self.source).await?;
            let (name, disabled) = (&self.source.name, burst.disabled.saturating_add(1));
            let noun = self.source.kind.noun();
            self.alerts.push(format!(
                "{name} disabled {disabled} people within minutes: they are suspended, and nobody departs until somebody \
                 looked; if it was an accident `doorward {noun} undo {name}` takes them back, if not \
                 `doorward {noun} confirm {name}` lets it run its course"
            ));
        }
        Ok(())
    }

    /// Says whether one more who is active again has to wait for a person's decision.
    async fn count_on(&mut self, waits_already: bool) -> Result<bool, Refusal> {
        if waits_already {
            return Ok(true);
        }
        let waits =
            self.source.brake_since.is_some() || self.burst().await?.trips_with_one_more_on(&self.app.directory);
        // The first who waits is told for all of them.
        let is_first = self.tx.accounts_in_burst(self.source.id, Timestamp::MAX).await?.is_empty();
        if waits && is_first {
            let (name, noun) = (&self.source.name, self.source.kind.noun());
            self.alerts.push(format!(
                "{name} takes many people back at once: whoever is one too many stays suspended until somebody looked; \
                 `doorward {noun} undo {name}` takes them all back"
            ));
        }
        Ok(waits)
    }

    /// Commits, follows the receipts, and raises what there is to raise.
    async fn commit(
        self,
        action: Action,
        subject: Subject,
        detail: Value,
        mut devices: Vec<DeviceId>,
    ) -> Result<(), Refusal> {
        let Self { app, tx, actor, now, alerts, .. } = self;
        super::allow(&actor, action, &subject)?;
        devices.sort_unstable();
        devices.dedup();
        let record = Record { at: now, actor: &actor, action, subject, detail };
        let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
        follow_up(app, &committed, devices);
        for message in alerts {
            raise(app, AlertKind::DirectoryBrake, message).await;
        }
        Ok(())
    }
}

/// Raises an alert about a directory.
pub(crate) async fn raise(app: &App, kind: AlertKind, message: String) {
    let at = app.clock.now();
    let alert = Alert { at, kind, gateway: None, device: None, email: None, source: None, message, count: 1 };
    alerts::raise(app, alert).await;
}

/// Notes on accounts what an admin does by hand. Suspending always works, and is no source's to take back; whom a directory
/// suspended comes back through the directory.
pub(crate) async fn note_by_hand(
    tx: &mut WriteTx,
    person: &Principal,
    action: Action,
    now: Timestamp,
) -> Result<(), Refusal> {
    for mut account in tx.accounts_of(person.id).await? {
        if action == Action::PersonSuspend {
            account.by_hand_at = account.by_hand_at.or(Some(now));
        } else if action == Action::PersonRestore {
            let source = tx.source(account.source).await?.ok_or_else(lost_source)?;
            if account.suspended_at.is_some() && source.kind.manages_people() {
                let email = &person.email;
                let way = format!("keep them by hand with `doorward scim release {email}`");
                return Err(domain::managed(&format!("whether {email} is active"), &source.name, &way).into());
            }
            if account.suspended_at.is_some() && source.kind.is_asked() {
                // It would say the same again in a few minutes.
                tx.account_end(account.id, EndedBy::Hand, now).await?;
                continue;
            }
            account = Account { by_hand_at: None, suspended_at: None, held_at: None, deleted_at: None, ..account };
        } else {
            return Ok(());
        }
        tx.account_update(&account).await?;
    }
    Ok(())
}

/// Says whether another source stands in the way of somebody's return.
async fn way_back(tx: &mut WriteTx, account: &Account) -> Result<Return, Refusal> {
    let others = tx.accounts_of(account.principal).await?;
    let is_held = others.iter().any(|other| other.id != account.id && other.suspended_at.is_some());
    Ok(if is_held { Return::HeldElsewhere } else { Return::Free })
}

/// Refuses to make somebody a member of a group whose members a source names.
pub(crate) async fn require_unmanaged(tx: &mut WriteTx, group: &Group) -> Result<(), Refusal> {
    match tx.source_of_group(group.id).await? {
        None => Ok(()),
        Some(source) => {
            let what = format!("who is in group {}", group.name);
            Err(domain::managed(&what, &source.name, "grant to a group of your own").into())
        }
    }
}

fn lost_source() -> Refusal {
    Refusal::Internal("the database has an account of no directory".to_owned())
}

/// The addresses of those who are in this state.
fn people_of(held: Vec<doorward_store::Held>, state: domain::PrincipalState) -> Vec<doorward_model::Email> {
    held.into_iter().filter(|(_, person)| person.state == state).map(|(_, person)| person.email).collect()
}
