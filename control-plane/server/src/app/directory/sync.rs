//! A file of people: what it would do, and then that, if it is still the same.
//!
//! Each person is one transaction with a record of its own. What fails in the middle leaves the rest undone, and the same file
//! handed in again does that rest.

use std::collections::HashMap;

use doorward_domain::{
    self as domain, Action, Actor, AlertKind, Principal, SourceKind, Subject, SyncChange, SyncColumns, SyncPerson,
    SyncPlan, SyncRow,
};
use doorward_model::{DeviceId, Email, SourceName, TimeLimit, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tokio::sync::oneshot;

use super::said::first_word;
use super::{raise, tokens, way_back};
use crate::api::{PeopleSync, PeopleSynced, PersonNew, SyncChanged, SyncGone, SyncLeft, SyncProblem};
use crate::app::find::{self, live_devices};
use crate::app::revocation::follow_up;
use crate::app::{App, Record, Refusal, allow, apply, people, sponsors};

/// The source under which those are suspended who are too many at once.
const SOURCE: &str = "csv";

/// Compares a file with who is here, and does what the comparison says if that was asked for.
pub(crate) async fn sync(app: &App, actor: &Actor, file: PeopleSync) -> Result<PeopleSynced, Refusal> {
    allow(actor, Action::PersonUpdate, &Subject::Everything)?;
    let columns = SyncColumns { kind: file.compared.kind, sponsor: file.compared.sponsor, until: file.compared.until };
    let rows: Vec<SyncRow> = file.lines.into_iter().map(row).collect();
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let plan = SyncPlan::new(&rows, columns, &everybody(&mut read).await?, &app.directory, now);
    let mut shown = shown(&mut read, &plan, now).await?;
    drop(read);
    let Some(wanted) = file.apply else { return Ok(shown) };
    if !plan.problems.is_empty() {
        return Err(Refusal::Invalid("the file has lines that make no sense: nothing was done".to_owned()));
    }
    if wanted != shown.digest {
        let sentence = "the people here, or the file, changed since somebody looked: look again";
        return Err(Refusal::Conflict(sentence.to_owned()));
    }
    let (answer, answered) = oneshot::channel();
    let (app, actor) = (app.clone(), actor.clone());
    app.clone().workers.spawn(async move {
        // Whoever asked may have gone; what was begun is done.
        let _ = answer.send(Doing { app: &app, actor: &actor, warnings: Vec::new() }.all(plan, columns).await);
    });
    // An error means that the work ended in a panic, which is logged where it happened.
    let unfinished = || Refusal::Internal("the file was not worked through: hand it in again".to_owned());
    shown.warnings = answered.await.unwrap_or_else(|_| Err(unfinished()))?;
    shown.applied = true;
    Ok(shown)
}

fn row(line: crate::api::SyncLine) -> SyncRow {
    let crate::api::SyncLine { line, email, name, kind, sponsor, until } = line;
    SyncRow { line, email, name, kind: kind.into(), sponsor, until: until.map(domain::micros) }
}

async fn everybody(read: &mut ReadTx) -> Result<Vec<SyncPerson>, Refusal> {
    let people = read.people().await?;
    let emails: HashMap<_, _> = people.iter().map(|person| (person.id, person.email.clone())).collect();
    let (mut managed, mut missed): (HashMap<_, SourceName>, HashMap<_, bool>) = Default::default();
    for source in read.sources().await? {
        for (account, _) in read.accounts_all(source.id).await? {
            match source.kind {
                SourceKind::Scim => drop(managed.insert(account.principal, source.name.clone())),
                SourceKind::File => drop(missed.insert(account.principal, account.suspended_at.is_some())),
                SourceKind::Hook | SourceKind::Ldap => {}
            }
        }
    }
    let known = |person: Principal| SyncPerson {
        sponsor: person.sponsor.and_then(|id| emails.get(&id).cloned()),
        managed_by: managed.get(&person.id).cloned(),
        missed: missed.get(&person.id).copied().unwrap_or_default(),
        person,
    };
    Ok(people.into_iter().map(known).collect())
}

async fn shown(read: &mut ReadTx, plan: &SyncPlan, now: Timestamp) -> Result<PeopleSynced, Refusal> {
    let mut gone = Vec::new();
    for email in &plan.gone {
        let person = find::person(read, email).await?;
        let devices = read.devices_of(person.id).await?;
        let grants = read.grants_of(person.id).await?;
        let effect = domain::offboard(
            &person,
            &devices,
            &grants.into_iter().map(|granted| granted.grant).collect::<Vec<_>>(),
            now,
        );
        gone.push(SyncGone {
            email: email.clone(),
            devices: count(effect.devices_revoked.len()),
            grants: count(effect.grants_revoked.len()),
        });
    }
    let changed = plan.changed.iter().map(|it| SyncChanged { email: it.row.email.clone(), what: it.what.clone() });
    let left = plan.left.iter().map(|(email, why)| SyncLeft { email: email.clone(), why: why.clone() });
    let problems = plan.problems.iter().map(|(line, message)| SyncProblem { line: *line, message: message.clone() });
    Ok(PeopleSynced {
        applied: false,
        digest: digest(plan),
        problems: problems.collect(),
        added: plan.added.iter().map(|row| row.email.clone()).collect(),
        changed: changed.collect(),
        back: plan.back.clone(),
        gone,
        left: left.collect(),
        unchanged: count(plan.unchanged),
        braked: plan.braked,
        warnings: Vec::new(),
    })
}

/// Names a comparison: whatever would be done differently has another digest.
fn digest(plan: &SyncPlan) -> String {
    let row = |row: &SyncRow| json!([row.email, row.name, row.kind, row.sponsor, row.until]);
    let added: Vec<Value> = plan.added.iter().map(row).collect();
    let changed: Vec<Value> = plan.changed.iter().map(|it| json!([row(&it.row), it.what])).collect();
    let all = json!([added, changed, plan.back, plan.gone, plan.braked, plan.problems.len()]);
    hex::encode(Sha256::digest(all.to_string().as_bytes()))
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// A comparison at work.
struct Doing<'a> {
    app: &'a App,
    actor: &'a Actor,
    warnings: Vec<String>,
}

impl Doing<'_> {
    /// Those first on whom others depend, and the departures last. Returns what has to be looked after.
    async fn all(mut self, plan: SyncPlan, columns: SyncColumns) -> Result<Vec<String>, Refusal> {
        for row in plan.added {
            let SyncRow { email, name, kind, sponsor, until, .. } = row;
            let kind = kind.into();
            let new = PersonNew { email, name, kind, sponsor, until: until.map(TimeLimit::At) };
            people::add(self.app, self.actor, new).await?;
        }
        for change in plan.changed {
            self.change(change, columns).await?;
        }
        for email in plan.back {
            self.back(&email).await?;
        }
        let many = plan.gone.len();
        for email in plan.gone {
            self.gone(&email, plan.braked).await?;
        }
        if plan.braked {
            let message = format!(
                "{many} people are missing in a file: they are suspended, and nobody departs until somebody looked; if it was an \
                 accident `doorward source undo {SOURCE}` takes them back, if not `doorward source confirm {SOURCE}` lets them depart"
            );
            raise(self.app, AlertKind::DirectoryBrake, message.clone()).await;
            self.warnings.push(message);
        }
        Ok(self.warnings)
    }

    async fn change(&mut self, change: SyncChange, columns: SyncColumns) -> Result<(), Refusal> {
        let SyncChange { row, what } = change;
        let now = self.app.clock.now();
        let mut tx = self.app.store.write().await?;
        let mut person = find::person(&mut tx, &row.email).await?;
        person.name = row.name;
        if columns.until {
            person.not_after = row.until;
        }
        if let Some(sponsor) = row.sponsor.filter(|_| columns.sponsor) {
            let sponsor = find::person(&mut tx, &sponsor).await?;
            person = person.sponsored_by(&sponsor, now)?;
        }
        tx.person_update(&person).await?;
        let devices = live_devices(&mut tx, person.id).await?;
        self.commit(tx, Action::PersonUpdate, row.email, json!({ "file": what, "devices": devices }), devices).await
    }

    async fn back(&mut self, email: &Email) -> Result<(), Refusal> {
        let now = self.app.clock.now();
        let mut tx = self.app.store.write().await?;
        let person = find::person(&mut tx, email).await?;
        let source = tokens::found_or_made(&mut tx, &name()?, SourceKind::File, now).await?;
        let accounts = tx.accounts_of(person.id).await?;
        let Some(account) = accounts.into_iter().find(|account| account.source == source.id) else { return Ok(()) };
        let back = way_back(&mut tx, &account).await?;
        people::require_sponsor(&mut tx, &person, now).await?;
        let turn = account.turn_on(&person, &tx.devices_of(person.id).await?, back, now)?;
        tx.account_update(&turn.account).await?;
        let Some(effect) = turn.effect else {
            self.warnings.push(format!("{email} stays suspended: somebody else says so"));
            return self.commit(tx, Action::PersonRestore, email.clone(), json!({ "file": "back" }), Vec::new()).await;
        };
        tx.effect_apply(&effect, now).await?;
        let devices = effect.devices_concerned;
        let detail = json!({ "file": "back", "state": effect.principal.state, "devices": devices });
        self.commit(tx, Action::PersonRestore, email.clone(), detail, devices).await
    }

    async fn gone(&mut self, email: &Email, braked: bool) -> Result<(), Refusal> {
        let now = self.app.clock.now();
        let mut tx = self.app.store.write().await?;
        let person = find::person(&mut tx, email).await?;
        let devices = tx.devices_of(person.id).await?;
        let grants: Vec<_> = tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
        let effect = if braked {
            let mut source = tokens::found_or_made(&mut tx, &name()?, SourceKind::File, now).await?;
            source.brake_since = source.brake_since.or(Some(now));
            tx.source_update(&source).await?;
            let accounts = tx.accounts_of(person.id).await?;
            let account = match accounts.into_iter().find(|account| account.source == source.id) {
                Some(account) => account,
                None => first_word(&mut tx, &source, &person, now).await?,
            };
            let turn = account.delete(&person, &devices, &grants, true, now);
            tx.account_update(&turn.account).await?;
            turn.effect
        } else {
            Some(domain::offboard(&person, &devices, &grants, now))
        };
        let action = if braked { Action::PersonSuspend } else { Action::PersonOffboard };
        let Some(effect) = effect else {
            return self.commit(tx, action, email.clone(), json!({ "file": "missing" }), Vec::new()).await;
        };
        let applied = apply(&mut tx, self.actor, &effect, None, now).await?;
        self.warnings.extend(sponsors::warnings(&effect.principal, &applied.lost, false));
        let detail = applied.recorded_with([("because", json!("missing in the file"))]);
        self.commit(tx, action, email.clone(), detail, applied.devices).await
    }

    async fn commit(
        &self,
        tx: WriteTx,
        action: Action,
        email: Email,
        detail: Value,
        devices: Vec<DeviceId>,
    ) -> Result<(), Refusal> {
        let subject = Subject::Person(email);
        allow(self.actor, action, &subject)?;
        let record = Record { at: self.app.clock.now(), actor: self.actor, action, subject, detail };
        let committed = self.app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
        follow_up(self.app, &committed, devices);
        Ok(())
    }
}

fn name() -> Result<SourceName, Refusal> {
    SOURCE.parse().map_err(|_| Refusal::Internal(format!("{SOURCE} is no name of a source")))
}
