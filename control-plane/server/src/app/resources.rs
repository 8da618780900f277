//! Resources: list, add, remove.

use doorward_domain::{self as domain, Action, Actor, Subject};
use doorward_model::{ResourceId, ResourceName};
use doorward_store::Outbox;
use serde_json::json;
use uuid::Uuid;

use super::revocation::{Commitment, Concerned, outcome};
use super::views::{emails, promised};
use super::{App, Record, Refusal, allow, allow_read, views};
use crate::api::{EndOutcome, Ended, Resource, ResourceNew};

/// Lists resources.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Resource>, Refusal> {
    allow_read(actor)?;
    let resources = app.store.read().await?.resources().await?;
    Ok(resources.into_iter().map(|resource| views::resource(app, resource)).collect())
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
    let rendered = views::resource(app, resource);
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
    let missing = || Refusal::NotFound(format!("no resource has the name {name}: `doorward resource list` shows all"));
    let resource = tx.resource_by_name(name).await?.ok_or_else(missing)?;
    let removed = tx.resource_remove(resource.id, now).await?;
    let emails = emails(&mut tx).await?;
    let mut grants = Vec::new();
    for granted in tx.grants().await?.iter().filter(|granted| removed.grants.contains(&granted.grant.id)) {
        grants.push(views::grant(app, granted, &promised(&emails, &granted.grant.principal)?, now));
    }
    let detail = json!({ "id": resource.id, "grants": removed.grants, "devices": removed.devices });
    let record = Record { at: now, actor, action: Action::ResourceRemove, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(removed.devices.clone())).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Devices(removed.devices.into_iter().collect()));
    Ok(outcome(app, commitment, Ended { grants, ..Ended::default() }).await)
}
