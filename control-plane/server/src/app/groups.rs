//! Groups: list, add, remove, join, leave.

use doorward_domain::{self as domain, Action, Actor, Subject};
use doorward_model::{Email, GroupId, GroupName, Timestamp};
use doorward_store::{Outbox, ReadTx};
use serde_json::json;
use uuid::Uuid;

use super::find::live_devices;
use super::revocation::{Commitment, Concerned, outcome};
use super::standing::refuse_own_hand;
use super::views::Holder;
use super::{App, Record, Refusal, Server, allow, allow_read, directory, find, views};
use crate::api::{EndOutcome, Ended, Group};

/// Lists groups with their members and grants.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Group>, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let mut groups = Vec::new();
    for group in read.groups().await? {
        groups.push(app.render_group(&mut read, &group, now).await?);
    }
    Ok(groups)
}

/// Lists groups by name.
pub(crate) async fn names(app: &App, actor: &Actor) -> Result<Vec<GroupName>, Refusal> {
    allow_read(actor)?;
    Ok(app.store.read().await?.groups().await?.into_iter().map(|group| group.name).collect())
}

/// Shows a group.
pub(crate) async fn show(app: &App, actor: &Actor, name: &GroupName) -> Result<Group, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let group = find::group(&mut read, name).await?;
    app.render_group(&mut read, &group, app.clock.now()).await
}

/// Adds a group, with nobody in it.
pub(crate) async fn add(app: &App, actor: &Actor, name: GroupName) -> Result<Group, Refusal> {
    let subject = Subject::Group(name.clone());
    allow(actor, Action::GroupAdd, &subject)?;
    let now = app.clock.now();
    let group = domain::Group::add(GroupId::new(Uuid::now_v7()), name, now);
    let mut tx = app.store.write().await?;
    tx.group_add(&group).await?;
    let detail = json!({ "id": group.id });
    app.commit(tx, Record { at: now, actor, action: Action::GroupAdd, subject, detail }, Outbox::None).await?;
    Ok(Group { id: group.id, name: group.name, members: Vec::new(), grants: Vec::new(), created_at: now })
}

/// Removes a group: its memberships end, and what it was granted.
pub(crate) async fn remove(app: &App, actor: &Actor, name: &GroupName) -> Result<EndOutcome, Refusal> {
    let subject = Subject::Group(name.clone());
    allow(actor, Action::GroupRemove, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let group = find::group(&mut tx, name).await?;
    let removed = tx.group_remove(group.id, now).await?;
    let holder = Holder::group(name.clone());
    let granted = tx.grants_of_group(group.id).await?;
    let ended = granted.iter().filter(|granted| removed.grants.contains(&granted.grant.id));
    let grants = ended.map(|granted| views::grant(app, granted, &holder, now)).collect();
    let detail = json!({ "id": group.id, "grants": removed.grants, "devices": removed.devices });
    let record = Record { at: now, actor, action: Action::GroupRemove, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(removed.devices.clone())).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Devices(removed.devices.into_iter().collect()));
    Ok(outcome(app, commitment, Ended { grants, ..Ended::default() }).await)
}

/// Makes somebody a member; once more is no error.
pub(crate) async fn join(app: &App, actor: &Actor, name: &GroupName, email: &Email) -> Result<Group, Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::GroupJoin, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let group = find::group(&mut tx, name).await?;
    let person = find::person(&mut tx, email).await?;
    refuse_own_hand(&mut tx, actor, &person).await?;
    directory::require_unmanaged(&mut tx, &group).await?;
    group.join(&person, now)?;
    if tx.group_join(group.id, person.id, now).await? {
        let devices = live_devices(&mut tx, person.id).await?;
        let detail = json!({ "group": name, "devices": devices });
        let record = Record { at: now, actor, action: Action::GroupJoin, subject, detail };
        app.commit(tx, record, Outbox::Devices(devices)).await?;
    } else {
        drop(tx);
    }
    let mut read = app.store.read().await?;
    app.render_group(&mut read, &group, now).await
}

/// Ends a membership, and what somebody had through it.
pub(crate) async fn leave(app: &App, actor: &Actor, name: &GroupName, email: &Email) -> Result<EndOutcome, Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::GroupLeave, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let group = find::group(&mut tx, name).await?;
    let person = find::person(&mut tx, email).await?;
    if !tx.group_leave(group.id, person.id).await? {
        return Err(Refusal::NotFound(format!(
            "{email} is no member of group {name}: `doorward group show {name}` lists who is"
        )));
    }
    let devices = live_devices(&mut tx, person.id).await?;
    let holder = Holder::member(email.clone(), name.clone());
    let granted = tx.grants_of_group(group.id).await?;
    let lost = granted.iter().filter(|granted| views::is_open(&granted.grant, now));
    let grants = lost.map(|granted| views::grant(app, granted, &holder, now)).collect();
    let detail = json!({ "group": name, "devices": devices });
    let record = Record { at: now, actor, action: Action::GroupLeave, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Devices(devices.into_iter().collect()));
    Ok(outcome(app, commitment, Ended { grants, ..Ended::default() }).await)
}

impl Server {
    async fn render_group(&self, read: &mut ReadTx, group: &domain::Group, now: Timestamp) -> Result<Group, Refusal> {
        let holder = Holder::group(group.name.clone());
        let members = read.group_members(group.id).await?;
        let granted = read.grants_of_group(group.id).await?;
        Ok(Group {
            id: group.id,
            name: group.name.clone(),
            members: members.into_iter().map(|person| person.email).collect(),
            grants: granted.iter().map(|granted| views::grant(self, granted, &holder, now)).collect(),
            created_at: group.created_at,
        })
    }
}
