//! People: add, show, put out, take back.

use std::collections::HashMap;

use doorward_domain::{
    self as domain, Action, Actor, Effect, NewPrincipal, Principal, PrincipalState, Subject, micros,
};
use doorward_model::{DeviceId, Email, GrantId, PrincipalId, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use serde_json::json;
use uuid::Uuid;

use super::revocation::{Commitment, Concerned, outcome};
use super::views::{Emails, promised};
use super::{App, Record, Refusal, allow, allow_read, reason, views};
use crate::api::{EndOutcome, Ended, Person, PersonNew};

/// Lists everybody with what they have.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Person>, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let people = read.people().await?;
    let emails: Emails = people.iter().map(|person| (person.id, person.email.clone())).collect();
    let mut devices: HashMap<PrincipalId, Vec<_>> = HashMap::new();
    for device in read.devices().await? {
        let email = promised(&emails, &device.principal)?;
        devices.entry(device.principal).or_default().push(views::device(&device, &email, &app.terms.network, now)?);
    }
    let mut grants: HashMap<PrincipalId, Vec<_>> = HashMap::new();
    for granted in read.grants().await? {
        let email = promised(&emails, &granted.grant.principal)?;
        grants.entry(granted.grant.principal).or_default().push(views::grant(app, &granted, &email, now));
    }
    let render = |person: Principal| {
        let sponsor = person.sponsor.and_then(|id| emails.get(&id).cloned());
        let (devices, grants) = (devices.remove(&person.id), grants.remove(&person.id));
        views::person(&person, sponsor, devices.unwrap_or_default(), grants.unwrap_or_default())
    };
    Ok(people.into_iter().map(render).collect())
}

/// Shows a person.
pub(crate) async fn show(app: &App, actor: &Actor, email: &Email) -> Result<Person, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let person = find(&mut read, email).await?;
    render(app, &mut read, &person, app.clock.now()).await
}

/// Adds a person.
pub(crate) async fn add(app: &App, actor: &Actor, new: PersonNew) -> Result<Person, Refusal> {
    let PersonNew { email, name, kind, sponsor, until } = new;
    allow(actor, Action::PersonAdd, &Subject::Person(email.clone()))?;
    let now = app.clock.now();
    let until =
        until.map(|until| until.resolve(now)).transpose().map_err(|error| Refusal::Invalid(error.to_string()))?;
    let mut tx = app.store.write().await?;
    let sponsor = match &sponsor {
        Some(sponsor) => Some(find(&mut tx, sponsor).await?),
        None => None,
    };
    let id = PrincipalId::new(Uuid::now_v7());
    let not_after = until.map(micros);
    let new = NewPrincipal { id, email, name, kind: kind.into(), sponsor: sponsor.as_ref(), not_after };
    let person = Principal::add(new, now)?;
    tx.person_add(&person).await?;
    let record = Record {
        at: now,
        actor,
        action: Action::PersonAdd,
        subject: Subject::Person(person.email.clone()),
        detail: json!({
            "name": person.name, "kind": person.kind, "until": person.not_after,
            "sponsor": sponsor.as_ref().map(|sponsor| &sponsor.email),
        }),
    };
    app.commit(tx, record, Outbox::None).await?;
    Ok(views::person(&person, sponsor.map(|sponsor| sponsor.email), Vec::new(), Vec::new()))
}

/// Puts a person out for good.
pub(crate) async fn offboard(
    app: &App,
    actor: &Actor,
    email: &Email,
    why: Option<String>,
) -> Result<EndOutcome, Refusal> {
    let request = ChangeRequest { actor, action: Action::PersonOffboard, email, why };
    change(app, request, |person, devices, grants, now| Ok(domain::offboard(person, devices, grants, now))).await
}

/// Suspends a person.
pub(crate) async fn suspend(
    app: &App,
    actor: &Actor,
    email: &Email,
    why: Option<String>,
) -> Result<EndOutcome, Refusal> {
    let request = ChangeRequest { actor, action: Action::PersonSuspend, email, why };
    change(app, request, |person, devices, _, now| domain::suspend(person, devices, now)).await
}

/// Takes a person back.
pub(crate) async fn restore(app: &App, actor: &Actor, email: &Email, why: Option<String>) -> Result<Person, Refusal> {
    let request = ChangeRequest { actor, action: Action::PersonRestore, email, why };
    commit_change(app, request, |person, devices, _, now| domain::restore(person, devices, now)).await?;
    let mut read = app.store.read().await?;
    let person = find(&mut read, email).await?;
    render(app, &mut read, &person, app.clock.now()).await
}

/// Finds a person by address, in whatever state.
pub(crate) async fn find(read: &mut ReadTx, email: &Email) -> Result<Principal, Refusal> {
    let missing = || Refusal::NotFound(format!("no person has the email {email}: `doorward person list` shows all"));
    read.person_by_email(email).await?.ok_or_else(missing)
}

/// Who asks for which change of whom.
struct ChangeRequest<'a> {
    actor: &'a Actor,
    action: Action,
    email: &'a Email,
    why: Option<String>,
}

/// What was changed, and how it is confirmed.
struct Changed {
    commitment: Commitment,
    ended: Ended,
    warnings: Vec<String>,
}

type Decide = fn(&Principal, &[domain::Device], &[domain::Grant], Timestamp) -> Result<Effect, domain::Denial>;

async fn change(app: &App, request: ChangeRequest<'_>, decide: Decide) -> Result<EndOutcome, Refusal> {
    let Changed { commitment, ended, warnings } = commit_change(app, request, decide).await?;
    let mut outcome = outcome(app, commitment, ended).await;
    outcome.warnings.extend(warnings);
    Ok(outcome)
}

async fn commit_change(app: &App, request: ChangeRequest<'_>, decide: Decide) -> Result<Changed, Refusal> {
    let ChangeRequest { actor, action, email, why } = request;
    let subject = Subject::Person(email.clone());
    allow(actor, action, &subject)?;
    let why = reason(why)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find(&mut tx, email).await?;
    let devices = tx.devices_of(person.id).await?;
    let grants: Vec<_> = tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
    let effect = decide(&person, &devices, &grants, now)?;
    tx.effect_apply(&effect, now).await?;
    let ended = ended(app, &mut tx, &effect, now).await?;
    let warnings = orphans(&mut tx, &effect).await?;
    let detail = json!({
        "reason": why, "state": effect.principal.state, "devices": effect.devices_concerned, "grants": effect.grants_revoked,
    });
    let outbox = Outbox::Devices(effect.devices_concerned.clone());
    let committed = app.commit(tx, Record { at: now, actor, action, subject, detail }, outbox).await?;
    let concerned = Concerned::Devices(effect.devices_concerned.into_iter().collect());
    Ok(Changed { commitment: Commitment::new(app, &committed, concerned), ended, warnings })
}

/// Lists what ended, as it is afterwards.
async fn ended(app: &App, tx: &mut WriteTx, effect: &Effect, now: Timestamp) -> Result<Ended, Refusal> {
    let Principal { id, email, state, .. } = &effect.principal;
    let people = match state {
        PrincipalState::Active => Vec::new(),
        PrincipalState::Suspended | PrincipalState::Departed => vec![email.clone()],
    };
    let (device_ids, grant_ids): (&[DeviceId], &[GrantId]) = (&effect.devices_concerned, &effect.grants_revoked);
    let devices = tx.devices_of(*id).await?;
    let devices = devices.iter().filter(|device| device_ids.contains(&device.id));
    let grants = tx.grants_of(*id).await?;
    Ok(Ended {
        people,
        devices: devices
            .map(|device| views::device(device, email, &app.terms.network, now))
            .collect::<Result<_, _>>()?,
        grants: grants
            .iter()
            .filter(|granted| grant_ids.contains(&granted.grant.id))
            .map(|granted| views::grant(app, granted, email, now))
            .collect(),
    })
}

/// Says who loses their sponsor with this person.
async fn orphans(tx: &mut WriteTx, effect: &Effect) -> Result<Vec<String>, Refusal> {
    let sponsor = &effect.principal;
    if sponsor.state != PrincipalState::Departed {
        return Ok(Vec::new());
    }
    let sponsored = tx.people_sponsored_by(sponsor.id).await?;
    let warn = |person: &Principal| {
        format!(
            "{} answered for {}, who keeps their access: run `doorward person offboard {}` if they go too",
            sponsor.email, person.email, person.email
        )
    };
    Ok(sponsored.iter().map(warn).collect())
}

/// Renders a person with what they have.
pub(crate) async fn render(
    app: &App,
    read: &mut ReadTx,
    person: &Principal,
    now: Timestamp,
) -> Result<Person, Refusal> {
    let sponsor = match person.sponsor {
        Some(id) => read.person(id).await?.map(|sponsor| sponsor.email),
        None => None,
    };
    let devices = read.devices_of(person.id).await?;
    let devices = devices.iter().map(|device| views::device(device, &person.email, &app.terms.network, now));
    let grants = read.grants_of(person.id).await?;
    let grants = grants.iter().map(|granted| views::grant(app, granted, &person.email, now)).collect();
    Ok(views::person(person, sponsor, devices.collect::<Result<_, _>>()?, grants))
}
