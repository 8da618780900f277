//! People: add, show, put out, take back.

use std::collections::HashMap;

use doorward_domain::{
    self as domain, Action, Actor, Effect, Grantee, NewPrincipal, Principal, PrincipalState, Role, Subject, micros,
};
use doorward_model::{DeviceId, Email, GrantId, GroupId, PrincipalId, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use serde_json::json;
use uuid::Uuid;

use super::applied::Applied;
use super::decide::{Effects, Origin, decide};
use super::journal::{Decision, Order};
use super::revocation::Concerned;
use super::standing::at_this_moment;
use super::views::{Belongs, Holder, Names, names, promised};
use super::{App, Record, Refusal, Server, Was, allow, allow_read, apply, directory, find, reason, sponsors, views};
use crate::api::{EndOutcome, Ended, Person, PersonNew, PersonOffboard};

/// Lists everybody with what they have.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Person>, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let people = read.people().await?;
    let names = names(&mut read).await?;
    let mut groups = views::groups_of_all(&mut read, &names).await?;
    let mut devices: HashMap<PrincipalId, Vec<_>> = HashMap::new();
    for device in read.devices().await? {
        let email = promised(&names.emails, &device.principal)?;
        devices.entry(device.principal).or_default().push(views::device(&device, &email, &app.terms.network, now)?);
    }
    let mut sources: HashMap<PrincipalId, Vec<_>> = HashMap::new();
    for word in read.source_words(None).await? {
        sources.entry(word.principal).or_default().push(directory::sources::word(word));
    }
    let mut members: HashMap<GroupId, Vec<PrincipalId>> = HashMap::new();
    for (person, groups) in read.memberships().await? {
        for group in groups {
            members.entry(group).or_default().push(person);
        }
    }
    let mut grants: HashMap<PrincipalId, Vec<_>> = HashMap::new();
    for granted in read.grants().await? {
        let holders = match granted.grant.to {
            Grantee::Person(id) => vec![id],
            Grantee::Group(id) => members.get(&id).cloned().unwrap_or_default(),
        };
        for id in holders {
            let holder = names.held_by(granted.grant.to, &promised(&names.emails, &id)?)?;
            grants.entry(id).or_default().push(views::grant(app, &granted, &holder, now));
        }
    }
    let render = |person: Principal| {
        let sponsor = person.sponsor.and_then(|id| names.emails.get(&id).cloned());
        let (devices, grants) = (devices.remove(&person.id), grants.remove(&person.id));
        let groups = groups.remove(&person.id).unwrap_or_default();
        let belongs = Belongs { groups, sources: sources.remove(&person.id).unwrap_or_default() };
        views::person(&person, sponsor, belongs, devices.unwrap_or_default(), grants.unwrap_or_default())
    };
    Ok(people.into_iter().map(render).collect())
}

/// Shows a person.
pub(crate) async fn show(app: &App, actor: &Actor, email: &Email) -> Result<Person, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let person = find::person(&mut read, email).await?;
    app.render_person(&mut read, &person, app.clock.now()).await
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
        Some(sponsor) => Some(find::person(&mut tx, sponsor).await?),
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
    Ok(views::person(&person, sponsor.map(|sponsor| sponsor.email), Belongs::default(), Vec::new(), Vec::new()))
}

/// Puts a person out for good.
pub(crate) async fn offboard(
    app: &App,
    actor: &Actor,
    email: &Email,
    offboard: PersonOffboard,
) -> Result<EndOutcome, Refusal> {
    let PersonOffboard { reason: why, hand_over_to } = offboard;
    allow(actor, Action::PersonOffboard, &Subject::Person(email.clone()))?;
    decide(app, actor, Order::Offboard { email: email.clone(), hand_over_to }, reason(why)?).await
}

/// Suspends a person.
pub(crate) async fn suspend(
    app: &App,
    actor: &Actor,
    email: &Email,
    why: Option<String>,
) -> Result<EndOutcome, Refusal> {
    allow(actor, Action::PersonSuspend, &Subject::Person(email.clone()))?;
    decide(app, actor, Order::Suspend { email: email.clone() }, reason(why)?).await
}

/// Takes a person back.
pub(crate) async fn restore(app: &App, actor: &Actor, email: &Email, why: Option<String>) -> Result<Person, Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::PersonRestore, &subject)?;
    let why = reason(why)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, email).await?;
    require_sponsor(&mut tx, &person, now).await?;
    let devices = tx.devices_of(person.id).await?;
    let effect = domain::restore(&person, &devices, now)?;
    let asked = Asked { actor, action: Action::PersonRestore, why: why.as_ref(), successor: None };
    let Effects { detail, outbox, .. } = write_change(app, &mut tx, (&person, effect), asked, now).await?;
    app.commit(tx, Record { at: now, actor, action: Action::PersonRestore, subject, detail }, outbox).await?;
    let mut read = app.store.read().await?;
    let person = find::person(&mut read, email).await?;
    app.render_person(&mut read, &person, app.clock.now()).await
}

/// Writes the end of somebody's time here, or its suspension.
pub(super) async fn write_end(
    app: &App,
    tx: &mut WriteTx,
    decision: &Decision,
    origin: Origin<'_>,
) -> Result<Effects, Refusal> {
    let (email, hand_over_to) = match &decision.order {
        Order::Offboard { email, hand_over_to } => (email, hand_over_to.as_ref()),
        Order::Suspend { email } => (email, None),
        Order::RevokeDevice { .. } | Order::RevokeGrant { .. } | Order::LockdownOn { .. } => {
            return Err(Refusal::Internal("this order concerns no person".to_owned()));
        }
    };
    let now = decision.at;
    // An address may have changed since: who was meant is who had it then.
    let meant = match decision.person {
        Some(id) => tx.person(id).await?,
        None => None,
    };
    let person = match meant {
        Some(person) => person,
        None => find::person(tx, email).await?,
    };
    let mut unfit = None;
    let successor = match hand_over_to {
        Some(to) => match (sponsors::successor(tx, &person, to, now).await, origin) {
            (Ok(successor), _) => Some(successor),
            (Err(refusal @ (Refusal::Unavailable(_) | Refusal::Internal(_))), _) => return Err(refusal),
            (Err(refusal), Origin::Asked(_)) => return Err(refusal),
            // Whoever was put out stays out; what they answered for is suspended, as without a successor.
            (Err(refusal), Origin::Journal) => {
                unfit = Some(refusal.into_parts().1);
                None
            }
        },
        None => None,
    };
    let devices = tx.devices_of(person.id).await?;
    let grants: Vec<_> = tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
    let effect = if decision.order.action() == Action::PersonSuspend {
        domain::suspend(&person, &devices, now)?
    } else {
        domain::offboard(&person, &devices, &grants, now)
    };
    let (actor, why) = (&decision.actor, decision.reason.as_ref());
    let asked = Asked { actor, action: decision.order.action(), why, successor: successor.as_ref() };
    let mut effects = write_change(app, tx, (&person, effect), asked, now).await?;
    if let (Some(unfit), Some(detail)) = (unfit, effects.detail.as_object_mut()) {
        detail.insert("not_handed_over".to_owned(), json!(unfit));
    }
    Ok(effects)
}

/// Who asks for which change.
struct Asked<'a> {
    actor: &'a Actor,
    action: Action,
    why: Option<&'a domain::Reason>,
    successor: Option<&'a Principal>,
}

async fn write_change(
    app: &App,
    tx: &mut WriteTx,
    (person, effect): (&Principal, Effect),
    asked: Asked<'_>,
    now: Timestamp,
) -> Result<Effects, Refusal> {
    let Asked { actor, action, why, successor } = asked;
    match actor {
        Actor::Source { name } => directory::note_by_source(tx, name, person, now).await?,
        Actor::LocalAdmin { .. }
        | Actor::ApiToken { .. }
        | Actor::Person(_)
        | Actor::Gateway { .. }
        | Actor::System => directory::note_by_hand(tx, person, action, now).await?,
    }
    let applied = apply(tx, actor, &effect, successor, now).await?;
    let to = successor.map(|successor| &successor.email);
    let detail = applied.recorded_with([("reason", json!(why)), ("to", json!(to))]);
    let Applied { devices, lost, with, requests, .. } = applied;
    let mut ended = ended(app, tx, &effect, now).await?;
    (ended.sessions, ended.links, ended.requests, ended.tokens) = (with.sessions, with.links, requests, with.tokens);
    let warnings = sponsors::warnings(&effect.principal, &lost, successor.is_some());
    for contractor in &lost.suspended {
        ended.people.push(contractor.email.clone());
        for device in tx.devices_of(contractor.id).await?.iter().filter(|device| lost.devices.contains(&device.id)) {
            ended.devices.push(views::device(device, &contractor.email, &app.terms.network, now)?);
        }
    }
    let concerned = Concerned::Devices(devices.iter().copied().collect());
    Ok(Effects { detail, outbox: Outbox::Devices(devices), concerned, ended, warnings })
}

/// Refuses to take back whoever nobody answers for any more.
pub(super) async fn require_sponsor(tx: &mut WriteTx, person: &Principal, now: Timestamp) -> Result<(), Refusal> {
    let sponsor = match person.sponsor {
        Some(id) => tx.person(id).await?,
        None => None,
    };
    Ok(person.require_sponsor(sponsor.as_ref(), now)?)
}

/// Says what a person may do for others.
pub(crate) async fn set_role(
    app: &App,
    actor: &Actor,
    email: &Email,
    role: Role,
    was: Was<Role>,
) -> Result<Person, Refusal> {
    let subject = Subject::Person(email.clone());
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let actor = &at_this_moment(&mut tx, actor, now).await?;
    allow(actor, Action::PersonRole, &subject)?;
    let person = find::person(&mut tx, email).await?;
    was.require(&person.role, &format!("the role of {email}"), ToString::to_string)?;
    let owners =
        tx.people().await?.into_iter().filter(|it| it.role == Role::Owner && it.state == PrincipalState::Active);
    let others = owners.filter(|owner| owner.id != person.id).count();
    let by_person = matches!(actor, Actor::Person(_));
    let changed = person.with_role(role, by_person && others == 0, now)?;
    tx.person_update(&changed).await?;
    let detail = json!({ "role": role, "before": person.role });
    app.commit(tx, Record { at: now, actor, action: Action::PersonRole, subject, detail }, Outbox::None).await?;
    let mut read = app.store.read().await?;
    app.render_person(&mut read, &changed, now).await
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
            .map(|granted| views::grant(app, granted, &Holder::person(email.clone()), now))
            .collect(),
        ..Ended::default()
    })
}

impl Server {
    /// Renders a person with what they have.
    pub(crate) async fn render_person(
        &self,
        read: &mut ReadTx,
        person: &Principal,
        now: Timestamp,
    ) -> Result<Person, Refusal> {
        let sponsor = match person.sponsor {
            Some(id) => read.person(id).await?.map(|sponsor| sponsor.email),
            None => None,
        };
        let devices = read.devices_of(person.id).await?;
        let devices = devices.iter().map(|device| views::device(device, &person.email, &self.terms.network, now));
        let names = Names::of_groups(read).await?;
        let groups = find::groups_of(read, person).await?;
        let sources = read.source_words(Some(person.id)).await?.into_iter().map(directory::sources::word).collect();
        let mut grants = Vec::new();
        for granted in read.grants_for(person.id).await? {
            let holder = names.held_by(granted.grant.to, &person.email)?;
            grants.push(views::grant(self, &granted, &holder, now));
        }
        Ok(views::person(person, sponsor, Belongs { groups, sources }, devices.collect::<Result<_, _>>()?, grants))
    }
}
