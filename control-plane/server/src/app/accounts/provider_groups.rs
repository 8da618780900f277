//! Groups that the identity provider names: at each sign-in the memberships that it set become what it says. What an admin
//! set stays, and a group that nobody made here is none.

use std::collections::{BTreeMap, BTreeSet};

use doorward_domain::{Action, Actor, Group, Principal, Subject, provided_groups};
use doorward_model::{GroupId, GroupName};
use doorward_store::Outbox;
use serde_json::json;

use crate::app::find::live_devices;
use crate::app::{App, Record, Refusal, follow_up};

/// Sets somebody's memberships by the names that the provider `issuer` gave; nothing where none are read.
pub(super) async fn set(app: &App, person: &Principal, issuer: &str, names: Option<&[String]>) -> Result<(), Refusal> {
    let (Some(names), Some(provider)) = (names, &app.accounts.provider) else { return Ok(()) };
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let groups: Vec<Group> = tx.groups().await?;
    let said = known(names, provider.groups(), &groups);
    let changes = provided_groups(&said, &tx.memberships_set(person.id).await?);
    if changes.join.is_empty() && changes.leave.is_empty() {
        return Ok(());
    }
    for group in groups.iter().filter(|group| changes.join.contains(&group.id)) {
        group.join(person, now)?;
        tx.group_provide(group.id, person.id, issuer, now).await?;
    }
    for group in &changes.leave {
        tx.group_leave(*group, person.id).await?;
    }
    let devices = live_devices(&mut tx, person.id).await?;
    let named = |ids: &[GroupId]| -> Vec<&GroupName> {
        groups.iter().filter(|group| ids.contains(&group.id)).map(|group| &group.name).collect()
    };
    let detail = json!({
        "provider": issuer, "joined": named(&changes.join), "left": named(&changes.leave), "devices": devices,
    });
    let subject = Subject::Person(person.email.clone());
    let record = Record { at: now, actor: &Actor::System, action: Action::GroupSync, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
    if !changes.leave.is_empty() {
        follow_up(app, &committed, devices);
    }
    Ok(())
}

/// Finds the groups that are meant: by the owner's table where there is one, else by the same name.
fn known(names: &[String], table: &BTreeMap<String, GroupName>, groups: &[Group]) -> BTreeSet<GroupId> {
    let meant = names
        .iter()
        .filter_map(|name| if table.is_empty() { name.parse::<GroupName>().ok() } else { table.get(name).cloned() });
    let meant: BTreeSet<GroupName> = meant.collect();
    groups.iter().filter(|group| meant.contains(&group.name)).map(|group| group.id).collect()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_table_is_all_that_counts_where_there_is_one() {
        let group = |n: u128, name: &str| {
            Group::add(GroupId::new(Uuid::from_u128(n)), name.parse().unwrap(), doorward_model::Timestamp::UNIX_EPOCH)
        };
        let groups = [group(1, "support"), group(2, "stores")];
        let ids = |names: &[&str], table: &[(&str, &str)]| -> Vec<u128> {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            let table = table.iter().map(|(there, here)| ((*there).to_owned(), here.parse().unwrap())).collect();
            known(&names, &table, &groups).into_iter().map(|id| id.uuid().as_u128()).collect()
        };
        assert_eq!(ids(&["support", "unheard-of", "no name\n"], &[]), [1]);
        assert_eq!(ids(&["support", "4f1c"], &[("4f1c", "stores"), ("aa", "support")]), [2]);
        assert_eq!(ids(&[], &[]), Vec::<u128>::new());
    }
}
