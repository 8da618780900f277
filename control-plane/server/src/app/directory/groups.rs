//! A directory's groups: read, add, change, remove. What is granted to them is decided here, by people.

use std::collections::BTreeSet;

use doorward_domain::{self as domain, Action, Source, SourceGroup, Subject};
use doorward_model::{AccountId, Email, GroupId, GroupName};
use doorward_store::SourceMember;
use serde_json::json;
use uuid::Uuid;

use super::Work;
use crate::app::find::live_devices;
use crate::app::{App, Refusal};

/// A group as it is shown to its source.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) group: SourceGroup,
    pub(crate) members: Vec<SourceMember>,
}

/// How a group should be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) display_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) members: BTreeSet<AccountId>,
}

/// Lists groups, by id.
pub(crate) async fn list(app: &App, source: &Source) -> Result<Vec<View>, Refusal> {
    let mut read = app.store.read().await?;
    let groups = read.source_groups(source.id).await?;
    let mut members: std::collections::HashMap<GroupId, Vec<SourceMember>> = std::collections::HashMap::new();
    for member in read.source_members(source.id).await? {
        members.entry(member.group).or_default().push(member);
    }
    let view = |group: SourceGroup| View { members: members.remove(&group.group).unwrap_or_default(), group };
    Ok(groups.into_iter().map(view).collect())
}

fn missing(id: GroupId) -> Refusal {
    Refusal::NotFound(format!("there is no group {id}"))
}

/// Shows a group.
pub(crate) async fn show(app: &App, source: &Source, id: GroupId) -> Result<View, Refusal> {
    let mut read = app.store.read().await?;
    let group = read.source_group(source.id, id).await?.ok_or_else(|| missing(id))?;
    let members = read.source_group_members(id).await?;
    Ok(View { group, members })
}

fn named(display_name: &str) -> Result<GroupName, Refusal> {
    domain::group_name(display_name)
        .ok_or_else(|| Refusal::Invalid("this displayName makes no name for a group".to_owned()))
}

/// Adds a group with its members.
pub(crate) async fn add(app: &App, source: &Source, wanted: Wanted) -> Result<View, Refusal> {
    let mut work = Work::begin(app, source).await?;
    let name = named(&wanted.display_name)?;
    let group = domain::Group::add(GroupId::new(Uuid::now_v7()), name.clone(), work.now);
    work.tx.group_add(&group).await?;
    let group = SourceGroup {
        group: group.id,
        source: work.source.id,
        external_id: wanted.external_id,
        display_name: wanted.display_name,
        created_at: work.now,
        changed_at: work.now,
    };
    work.tx.source_group_add(&group).await?;
    let joined = join(&mut work, group.group, &wanted.members).await?;
    let members = work.tx.source_group_members(group.group).await?;
    let detail = json!({ "id": group.group, "display_name": group.display_name, "joined": joined.emails });
    work.commit(Action::GroupAdd, Subject::Group(name), detail, joined.devices).await?;
    Ok(View { group, members })
}

/// Who came or went, and their devices.
#[derive(Default)]
struct Moved {
    emails: Vec<Email>,
    devices: Vec<doorward_model::DeviceId>,
}

/// Makes people members. Somebody unknown is left out, and holds up nobody else: a directory may go on naming a user that it
/// deleted, and whoever is not here has nothing.
async fn join(work: &mut Work<'_>, group: GroupId, members: &BTreeSet<AccountId>) -> Result<Moved, Refusal> {
    let mut moved = Moved::default();
    for id in members {
        let Some((_, person)) = work.tx.account(work.source.id, *id).await? else {
            tracing::info!(source = %work.source.name, account = %id, "a directory names a member who is not here");
            continue;
        };
        if work.tx.group_join(group, person.id, work.now).await? {
            moved.devices.extend(live_devices(&mut work.tx, person.id).await?);
            moved.emails.push(person.email);
        }
    }
    Ok(moved)
}

async fn leave(work: &mut Work<'_>, group: GroupId, members: &[&SourceMember]) -> Result<Moved, Refusal> {
    let mut moved = Moved::default();
    for member in members {
        if work.tx.group_leave(group, member.principal).await? {
            moved.devices.extend(live_devices(&mut work.tx, member.principal).await?);
            moved.emails.extend(work.tx.person(member.principal).await?.map(|person| person.email));
        }
    }
    Ok(moved)
}

/// Changes a group to what `decide` makes of it, inside one transaction. While the source's brake is on, whoever is to
/// leave leaves, and whoever is to join waits.
pub(crate) async fn change<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: GroupId,
    decide: impl FnOnce(&View) -> Result<Wanted, E>,
) -> Result<View, E> {
    let mut work = Work::begin(app, source).await?;
    let group = work.tx.source_group(work.source.id, id).await.map_err(Refusal::from)?.ok_or_else(|| missing(id))?;
    let members = work.tx.source_group_members(id).await.map_err(Refusal::from)?;
    let before = View { group, members };
    let wanted = decide(&before)?;
    Ok(apply(work, before, wanted).await?)
}

async fn apply(mut work: Work<'_>, before: View, wanted: Wanted) -> Result<View, Refusal> {
    let id = before.group.group;
    let Wanted { display_name, external_id, members } = wanted;
    let mut group = before.group.clone();
    let here: BTreeSet<AccountId> = before.members.iter().map(|member| member.account).collect();
    let leaving: Vec<&SourceMember> = before.members.iter().filter(|it| !members.contains(&it.account)).collect();
    let joining: BTreeSet<AccountId> = members.difference(&here).copied().collect();
    let waits = work.source.brake_since.is_some() && !joining.is_empty();
    let name = named(&display_name)?;
    if group.display_name != display_name || group.external_id != external_id {
        work.tx.group_rename(id, &name).await?;
        group = SourceGroup { display_name, external_id, ..group };
    }
    let left = leave(&mut work, id, &leaving).await?;
    let joined = if waits { Moved::default() } else { join(&mut work, id, &joining).await? };
    let renamed = group != before.group;
    let action = match (left.emails.is_empty(), joined.emails.is_empty()) {
        (false, _) => Action::GroupLeave,
        (true, false) => Action::GroupJoin,
        (true, true) => Action::SourceUpdate,
    };
    let source = work.source.name.clone();
    let members = work.tx.source_group_members(id).await?;
    if renamed || action != Action::SourceUpdate {
        group.changed_at = work.now;
        work.tx.source_group_update(&group).await?;
        let devices: Vec<_> = left.devices.into_iter().chain(joined.devices).collect();
        let detail = json!({
            "id": id, "display_name": group.display_name, "left": left.emails, "joined": joined.emails,
            "devices": devices,
        });
        work.commit(action, Subject::Group(name), detail, devices).await?;
    } else {
        drop(work);
    }
    if waits {
        return Err(Refusal::Unavailable(format!(
            "nobody joins a group while the brake of {source} is on: an admin decides with `doorward scim undo {source}` or \
             `doorward scim confirm {source}`"
        )));
    }
    Ok(View { group, members })
}

/// Removes a group: its memberships end, and what it was granted.
pub(crate) async fn remove<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: GroupId,
    check: impl FnOnce(&View) -> Result<(), E>,
) -> Result<(), E> {
    let mut work = Work::begin(app, source).await?;
    let group = work.tx.source_group(work.source.id, id).await.map_err(Refusal::from)?.ok_or_else(|| missing(id))?;
    let members = work.tx.source_group_members(id).await.map_err(Refusal::from)?;
    let view = View { group, members };
    check(&view)?;
    Ok(delete(work, view.group).await?)
}

async fn delete(mut work: Work<'_>, group: SourceGroup) -> Result<(), Refusal> {
    let name = named(&group.display_name)?;
    let removed = work.tx.group_remove(group.group, work.now).await?;
    let detail = json!({ "id": group.group, "grants": removed.grants, "devices": removed.devices });
    work.commit(Action::GroupRemove, Subject::Group(name), detail, removed.devices).await
}
