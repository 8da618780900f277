//! Who answers for whom and for what: named anew, handed over, or lost with who goes.

use doorward_domain::{self as domain, Action, Actor, Principal, PrincipalState, Subject};
use doorward_model::{DeviceId, Email, ResourceName, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use serde_json::json;

use super::standing::refuse_own_hand;
use super::was::or_none;
use super::{App, Record, Refusal, Was, allow, allow_read, find};
use crate::api::Person;

/// What changed for those somebody answered for.
#[derive(Debug, Default)]
pub(crate) struct Lost {
    /// Contractors who were suspended because nobody answers for them any more.
    pub(crate) suspended: Vec<Principal>,
    /// Their live devices.
    pub(crate) devices: Vec<DeviceId>,
    /// Contractors whom somebody else answers for from here on.
    pub(crate) handed_over: Vec<Email>,
    /// Resources that changed hands, or that nobody answers for any more.
    pub(crate) resources: Vec<ResourceName>,
}

/// Gives a contractor another sponsor.
pub(crate) async fn set(
    app: &App,
    actor: &Actor,
    email: &Email,
    sponsor: &Email,
    was: Was<Option<Email>>,
) -> Result<Person, Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::PersonSponsor, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, email).await?;
    refuse_own_hand(&mut tx, actor, &person).await?;
    let before = match person.sponsor {
        Some(id) => tx.person(id).await?.map(|sponsor| sponsor.email),
        None => None,
    };
    was.require(&before, &format!("who answers for {email}"), |is| or_none(is.as_ref()))?;
    let sponsor = find::person(&mut tx, sponsor).await?;
    tx.person_update(&person.sponsored_by(&sponsor, now)?).await?;
    let record =
        Record { at: now, actor, action: Action::PersonSponsor, subject, detail: json!({ "sponsor": sponsor.email }) };
    app.commit(tx, record, Outbox::None).await?;
    let mut read = app.store.read().await?;
    let person = find::person(&mut read, email).await?;
    app.render_person(&mut read, &person, now).await
}

/// Whom and what somebody answers for.
#[derive(Debug, Default)]
pub(crate) struct Charge {
    pub(crate) contractors: Vec<Email>,
    pub(crate) resources: Vec<ResourceName>,
}

/// Lists whom and what somebody answers for.
pub(crate) async fn charge(app: &App, actor: &Actor, email: &Email) -> Result<Charge, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let person = find::person(&mut read, email).await?;
    let contractors = read.people_sponsored_by(person.id).await?;
    let resources = read.resources().await?.into_iter().filter(|resource| resource.owner == Some(person.id));
    Ok(Charge {
        contractors: contractors.into_iter().map(|contractor| contractor.email).collect(),
        resources: resources.map(|resource| resource.name).collect(),
    })
}

/// Finds who takes over from somebody who goes.
pub(crate) async fn successor(
    read: &mut ReadTx,
    person: &Principal,
    to: &Email,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    let successor = find::person(read, to).await?;
    if successor.id == person.id {
        return Err(Refusal::Invalid(format!("{to} goes and cannot take over: name somebody else")));
    }
    successor.may_sponsor(now)?;
    Ok(successor)
}

/// Hands over what somebody answered for, or ends the access that depended on them: who answers for nobody any more
/// leaves nobody unanswered for.
pub(crate) async fn lose(
    tx: &mut WriteTx,
    person: &Principal,
    successor: Option<&Principal>,
    now: Timestamp,
) -> Result<Lost, Refusal> {
    let mut lost = Lost::default();
    for contractor in tx.people_sponsored_by(person.id).await? {
        if let Some(successor) = successor {
            tx.person_update(&contractor.sponsored_by(successor, now)?).await?;
            lost.handed_over.push(contractor.email);
        } else if contractor.state == PrincipalState::Active {
            let devices = tx.devices_of(contractor.id).await?;
            let effect = domain::suspend(&contractor, &devices, now)?;
            tx.effect_apply(&effect, now).await?;
            lost.devices.extend(effect.devices_concerned);
            lost.suspended.push(contractor);
        }
    }
    if person.state == PrincipalState::Departed {
        lost.resources = tx.resources_hand_over(person.id, successor.map(|successor| successor.id)).await?;
    }
    Ok(lost)
}

/// Says what has to be looked after.
pub(crate) fn warnings(person: &Principal, lost: &Lost, handed_over: bool) -> Vec<String> {
    let sponsor = &person.email;
    let contractors = lost.suspended.iter().map(|contractor| {
        let email = &contractor.email;
        format!(
            "{email} is suspended, because {sponsor} answered for them: name somebody else with \
             `doorward person sponsor {email} EMAIL`, then run `doorward person restore {email}`"
        )
    });
    let unanswered = lost.resources.iter().filter(|_| !handed_over);
    let resources = unanswered.map(|name| {
        format!("nobody answers for {name} any more: name somebody with `doorward resource owner {name} EMAIL`")
    });
    contractors.chain(resources).collect()
}
