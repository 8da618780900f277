//! Resources: list, add, remove, and who answers for them on which terms.

use doorward_domain::{self as domain, Action, Actor, Subject};
use doorward_model::{Email, ResourceId, ResourceName, Span};
use doorward_store::{Outbox, ReadTx};
use serde_json::json;
use uuid::Uuid;

use super::revocation::{Commitment, Concerned, outcome};
use super::views::{names, owners};
use super::was::or_none;
use super::{App, Record, Refusal, Was, allow, allow_read, find, views};
use crate::api::{EndOutcome, Ended, Resource, ResourceNew};

/// Lists resources.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Resource>, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let resources = read.resources().await?;
    let emails = owners(&mut read, &resources).await?;
    let owner = |resource: &domain::Resource| resource.owner.and_then(|id| emails.get(&id).cloned());
    Ok(resources
        .into_iter()
        .map(|resource| (owner(&resource), resource))
        .map(|(owner, it)| views::resource(app, it, owner))
        .collect())
}

/// Shows a resource.
pub(crate) async fn show(app: &App, actor: &Actor, name: &ResourceName) -> Result<Resource, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let resource = find::resource(&mut read, name).await?;
    let owner = owner_of(&mut read, &resource).await?;
    Ok(views::resource(app, resource, owner))
}

async fn owner_of(read: &mut ReadTx, resource: &domain::Resource) -> Result<Option<Email>, Refusal> {
    match resource.owner {
        Some(id) => Ok(read.person(id).await?.map(|person| person.email)),
        None => Ok(None),
    }
}

/// Says who answers for a resource, or that nobody does.
pub(crate) async fn set_owner(
    app: &App,
    actor: &Actor,
    name: &ResourceName,
    owner: Option<Email>,
    was: Was<Option<Email>>,
) -> Result<Resource, Refusal> {
    let subject = Subject::Resource(name.clone());
    allow(actor, Action::ResourceOwner, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let resource = find::resource(&mut tx, name).await?;
    let before = owner_of(&mut tx, &resource).await?;
    was.require(&before, &format!("who answers for {name}"), |is| or_none(is.as_ref()))?;
    let resource = match &owner {
        Some(email) => resource.owned_by(&find::person(&mut tx, email).await?, now)?,
        None => domain::Resource { owner: None, ..resource },
    };
    tx.resource_update(&resource).await?;
    let record = Record { at: now, actor, action: Action::ResourceOwner, subject, detail: json!({ "owner": owner }) };
    app.commit(tx, record, Outbox::None).await?;
    Ok(views::resource(app, resource, owner))
}

/// Says how long after a sign-in a resource can be reached.
pub(crate) async fn set_window(
    app: &App,
    actor: &Actor,
    name: &ResourceName,
    window: Option<Span>,
    was: Was<Option<Span>>,
) -> Result<Resource, Refusal> {
    set_terms(app, actor, name, Action::ResourceWindow, (window, was)).await
}

/// Says how much time one request for a resource may ask for.
pub(crate) async fn set_span(
    app: &App,
    actor: &Actor,
    name: &ResourceName,
    span: Option<Span>,
    was: Was<Option<Span>>,
) -> Result<Resource, Refusal> {
    set_terms(app, actor, name, Action::ResourceSpan, (span, was)).await
}

async fn set_terms(
    app: &App,
    actor: &Actor,
    name: &ResourceName,
    action: Action,
    (span, was): (Option<Span>, Was<Option<Span>>),
) -> Result<Resource, Refusal> {
    let subject = Subject::Resource(name.clone());
    allow(actor, action, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let mut resource = find::resource(&mut tx, name).await?;
    // Leases follow the window; what may be asked for concerns no gateway.
    let devices = if action == Action::ResourceWindow {
        was.require(&resource.sign_in_window, &format!("the sign-in window of {name}"), |is| or_none(is.as_ref()))?;
        resource.sign_in_window = span;
        tx.resource_devices(resource.id, now).await?
    } else {
        was.require(&resource.request_span_max, &format!("the longest request for {name}"), |is| or_none(is.as_ref()))?;
        resource.request_span_max = span;
        Vec::new()
    };
    tx.resource_update(&resource).await?;
    let owner = owner_of(&mut tx, &resource).await?;
    let record = Record { at: now, actor, action, subject, detail: json!({ "span": span }) };
    app.commit(tx, record, Outbox::Devices(devices)).await?;
    Ok(views::resource(app, resource, owner))
}

/// Adds a resource.
pub(crate) async fn add(app: &App, actor: &Actor, new: ResourceNew) -> Result<Resource, Refusal> {
    let ResourceNew { name, targets, allow: allowed } = new;
    let subject = Subject::Resource(name.clone());
    allow(actor, Action::ResourceAdd, &subject)?;
    let now = app.clock.now();
    let id = ResourceId::new(Uuid::now_v7());
    let new = domain::NewResource { id, name, targets, allow: allowed };
    let resource = domain::Resource::add(new, &app.terms.network, &app.zone, now)?;
    let mut tx = app.store.write().await?;
    let resource = tx.resource_add(&resource, &app.terms.network).await?;
    let rendered = views::resource(app, resource, None);
    let detail = json!({
        "id": rendered.id, "targets": rendered.targets, "allow": rendered.allow, "service_v4": rendered.service_v4,
        "service_v6": rendered.service_v6,
    });
    app.commit(tx, Record { at: now, actor, action: Action::ResourceAdd, subject, detail }, Outbox::None).await?;
    Ok(rendered)
}

/// Removes a resource with its grants.
pub(crate) async fn remove(app: &App, actor: &Actor, name: &ResourceName) -> Result<EndOutcome, Refusal> {
    let subject = Subject::Resource(name.clone());
    allow(actor, Action::ResourceRemove, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let resource = find::resource(&mut tx, name).await?;
    let removed = tx.resource_remove(resource.id, now).await?;
    let names = names(&mut tx).await?;
    let mut grants = Vec::new();
    for granted in tx.grants().await?.iter().filter(|granted| removed.grants.contains(&granted.grant.id)) {
        grants.push(views::grant(app, granted, &names.holder(granted.grant.to)?, now));
    }
    let detail = json!({ "id": resource.id, "grants": removed.grants, "devices": removed.devices });
    let record = Record { at: now, actor, action: Action::ResourceRemove, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(removed.devices.clone())).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Devices(removed.devices.into_iter().collect()));
    Ok(outcome(app, commitment, Ended { grants, ..Ended::default() }).await)
}
