//! What somebody may ask for: every resource that they have no access to.

use std::collections::HashSet;

use doorward_domain::{Action, Actor, Subject};
use doorward_model::{Allow, Email, GrantId, ResourceId, ResourceName, Span, Timestamp};

use super::home::signed_in;
use super::views::{Emails, is_open, owners};
use super::{App, Refusal, allow};

/// A resource as those see it who may ask for it: what it is, not where it is.
#[derive(Debug, Clone)]
pub(crate) struct Offer {
    pub(crate) name: ResourceName,
    /// What is allowed there.
    pub(crate) allow: Vec<Allow>,
    /// Who answers for it.
    pub(crate) owner: Option<Email>,
    /// The longest time that one request may ask for.
    pub(crate) most: Option<Span>,
}

/// A grant after which more time is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Renewal {
    pub(crate) grant: GrantId,
    pub(crate) until: Timestamp,
    pub(crate) offer: Offer,
}

/// Lists what whoever signed in may ask for: what they have no open grant for, and no request that waits.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Offer>, Refusal> {
    let person = signed_in(actor)?;
    allow(actor, Action::RequestAdd, &Subject::Person(person.email.clone()))?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let granted = read.grants_for(person.id).await?;
    let held = granted.iter().filter(|granted| is_open(&granted.grant, now)).map(|granted| granted.grant.resource);
    let mut left_out: HashSet<ResourceId> = held.collect();
    let waiting = read.requests_open(now).await?;
    left_out.extend(waiting.iter().filter(|it| it.principal == person.id).map(|it| it.resource));
    let resources = read.resources().await?;
    let emails = owners(&mut read, &resources).await?;
    let offered = resources.into_iter().filter(|resource| !left_out.contains(&resource.id));
    Ok(offered.map(|resource| offer(resource, &emails)).collect())
}

/// Finds a grant of whoever signed in, to ask for more time after it.
pub(crate) async fn renewal(app: &App, actor: &Actor, id: GrantId) -> Result<Renewal, Refusal> {
    let person = signed_in(actor)?;
    allow(actor, Action::RequestAdd, &Subject::Person(person.email.clone()))?;
    let mut read = app.store.read().await?;
    let granted = read.grants_for(person.id).await?.into_iter().find(|granted| granted.grant.id == id);
    let missing = || Refusal::NotFound("you have no such access: ask for it anew at your requests".to_owned());
    let grant = granted.ok_or_else(missing)?.grant;
    let resource = read.resource(grant.resource).await?.filter(|resource| resource.removed_at.is_none());
    let resource = resource.ok_or_else(missing)?;
    let emails = owners(&mut read, std::slice::from_ref(&resource)).await?;
    Ok(Renewal { grant: id, until: grant.validity.not_after, offer: offer(resource, &emails) })
}

fn offer(resource: doorward_domain::Resource, emails: &Emails) -> Offer {
    Offer {
        owner: resource.owner.and_then(|id| emails.get(&id).cloned()),
        most: Span::from_secs(resource.span_max().as_secs()),
        name: resource.name,
        allow: resource.allow,
    }
}
