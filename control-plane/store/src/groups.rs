//! Groups and who is in them.

use std::collections::{BTreeSet, HashMap};

use doorward_domain::{Group, Membership, Principal};
use doorward_model::{DeviceId, GrantId, GroupId, GroupName, PrincipalId, Timestamp};

use crate::db::{Row, args};
use crate::people::{principal, select_person};
use crate::{ReadTx, StoreError, WriteTx};

/// What ended with a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupRemoved {
    /// Grants that were taken back with it.
    pub grants: Vec<GrantId>,
    /// Live devices of its members, for the outbox.
    pub devices: Vec<DeviceId>,
}

macro_rules! select_groups {
    ($tail:literal) => {
        concat!("SELECT g.id AS id, g.name AS name, g.created_at AS created_at, g.removed_at AS removed_at FROM people_groups g ", $tail)
    };
}

fn group(row: &Row) -> Result<Group, StoreError> {
    Ok(Group {
        id: GroupId::new(row.get("id")?),
        name: row.parsed("name")?,
        created_at: row.time("created_at")?,
        removed_at: row.time_opt("removed_at")?,
    })
}

impl ReadTx {
    /// The group of this name that was not removed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn group_by_name(&mut self, name: &GroupName) -> Result<Option<Group>, StoreError> {
        let sql = select_groups!("WHERE g.name = $1 AND g.removed_at IS NULL");
        self.tx.row(sql, args![name.as_str()]).await?.as_ref().map(group).transpose()
    }

    /// The groups that were not removed, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn groups(&mut self) -> Result<Vec<Group>, StoreError> {
        let sql = select_groups!("WHERE g.removed_at IS NULL ORDER BY g.name");
        self.tx.rows(sql, args![]).await?.iter().map(group).collect()
    }

    /// The name of every group there ever was, for what names one by its id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn group_names(&mut self) -> Result<HashMap<GroupId, GroupName>, StoreError> {
        let rows = self.tx.rows(select_groups!("ORDER BY g.id"), args![]).await?;
        rows.iter().map(|row| group(row).map(|group| (group.id, group.name))).collect()
    }

    /// The groups that somebody is a member of, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn groups_of(&mut self, person: PrincipalId) -> Result<Vec<Group>, StoreError> {
        let sql = select_groups!("JOIN group_members m ON m.group_id = g.id WHERE m.principal_id = $1 ORDER BY g.name");
        self.tx.rows(sql, args![person.uuid()]).await?.iter().map(group).collect()
    }

    /// Somebody's memberships, and who set each.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn memberships_set(&mut self, person: PrincipalId) -> Result<Vec<Membership>, StoreError> {
        let sql = "SELECT m.group_id AS group_id, m.provider AS provider FROM group_members m \
                   WHERE m.principal_id = $1 ORDER BY m.group_id";
        let rows = self.tx.rows(sql, args![person.uuid()]).await?;
        let membership =
            |row: &Row| Ok(Membership { group: GroupId::new(row.get("group_id")?), provider: row.get("provider")? });
        rows.iter().map(membership).collect()
    }

    /// A group's members, by address.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn group_members(&mut self, id: GroupId) -> Result<Vec<Principal>, StoreError> {
        let sql =
            select_person!("JOIN group_members m ON m.principal_id = p.id WHERE m.group_id = $1 ORDER BY p.email");
        self.tx.rows(sql, args![id.uuid()]).await?.iter().map(principal).collect()
    }

    /// Whether somebody is a member.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn is_member(&mut self, id: GroupId, person: PrincipalId) -> Result<bool, StoreError> {
        let sql = "SELECT joined_at FROM group_members WHERE group_id = $1 AND principal_id = $2";
        Ok(self.tx.row(sql, args![id.uuid(), person.uuid()]).await?.is_some())
    }

    /// Every membership, by person.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn memberships(&mut self) -> Result<HashMap<PrincipalId, BTreeSet<GroupId>>, StoreError> {
        let rows = self.tx.rows("SELECT group_id, principal_id FROM group_members", args![]).await?;
        by_person(&rows)
    }

    /// The memberships of these people.
    pub(crate) async fn memberships_of(
        &mut self,
        people: &[uuid::Uuid],
    ) -> Result<HashMap<PrincipalId, BTreeSet<GroupId>>, StoreError> {
        let sql = "SELECT group_id, principal_id FROM group_members WHERE principal_id IN ";
        let rows = self.tx.rows_in(sql, people, "").await?;
        by_person(&rows)
    }

    /// The live devices of a group's members.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn group_devices(&mut self, id: GroupId) -> Result<Vec<DeviceId>, StoreError> {
        let sql = "SELECT d.id AS id FROM group_members m JOIN devices d ON d.principal_id = m.principal_id \
                   WHERE m.group_id = $1 AND d.revoked_at IS NULL ORDER BY d.id";
        self.tx.rows(sql, args![id.uuid()]).await?.iter().map(|row| row.get("id").map(DeviceId::new)).collect()
    }
}

fn by_person(rows: &[Row]) -> Result<HashMap<PrincipalId, BTreeSet<GroupId>>, StoreError> {
    let mut found: HashMap<PrincipalId, BTreeSet<GroupId>> = HashMap::new();
    for row in rows {
        found.entry(PrincipalId::new(row.get("principal_id")?)).or_default().insert(GroupId::new(row.get("group_id")?));
    }
    Ok(found)
}

impl WriteTx {
    /// Adds a group. The name of a removed one may come back; its members and grants do not.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a group of that name exists.
    pub async fn group_add(&mut self, group: &Group) -> Result<(), StoreError> {
        if self.group_by_name(&group.name).await?.is_some() {
            let name = &group.name;
            return Err(StoreError::conflict(format!("group {name} exists already: see `doorward group show {name}`")));
        }
        let sql = "INSERT INTO people_groups (id, name, created_at) VALUES ($1, $2, $3)";
        self.tx.execute(sql, args![group.id.uuid(), group.name.as_str(), group.created_at]).await.map(drop)
    }

    /// Makes somebody a member; `false` where they are one.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn group_join(&mut self, id: GroupId, person: PrincipalId, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "INSERT INTO group_members (group_id, principal_id, joined_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (group_id, principal_id) DO NOTHING";
        Ok(self.tx.execute(sql, args![id.uuid(), person.uuid(), now]).await? > 0)
    }

    /// Makes somebody a member because an identity provider says so; `false` where they are one.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn group_provide(
        &mut self,
        id: GroupId,
        person: PrincipalId,
        provider: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "INSERT INTO group_members (group_id, principal_id, joined_at, provider) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (group_id, principal_id) DO NOTHING";
        Ok(self.tx.execute(sql, args![id.uuid(), person.uuid(), now, provider]).await? > 0)
    }

    /// Ends a membership; `false` where there is none.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn group_leave(&mut self, id: GroupId, person: PrincipalId) -> Result<bool, StoreError> {
        let sql = "DELETE FROM group_members WHERE group_id = $1 AND principal_id = $2";
        Ok(self.tx.execute(sql, args![id.uuid(), person.uuid()]).await? > 0)
    }

    /// Ends every membership of somebody.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn groups_leave_all(&mut self, person: PrincipalId) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM group_members WHERE principal_id = $1", args![person.uuid()]).await.map(drop)
    }

    /// Removes a group: its memberships end, and its grants are taken back.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it does not exist or was removed before.
    pub async fn group_remove(&mut self, id: GroupId, now: Timestamp) -> Result<GroupRemoved, StoreError> {
        let removed = "UPDATE people_groups SET removed_at = $2 WHERE id = $1 AND removed_at IS NULL";
        if self.tx.execute(removed, args![id.uuid(), now]).await? == 0 {
            return Err(StoreError::not_found("this group does not exist any longer: see `doorward group list`"));
        }
        let devices = self.group_devices(id).await?;
        self.tx.execute("DELETE FROM group_members WHERE group_id = $1", args![id.uuid()]).await?;
        let grants = "UPDATE group_grants SET revoked_at = $2 \
                      WHERE group_id = $1 AND revoked_at IS NULL AND not_after > $2 RETURNING id";
        let grants = self.tx.rows(grants, args![id.uuid(), now]).await?;
        let grants = grants.iter().map(|row| row.get("id").map(GrantId::new)).collect::<Result<_, _>>()?;
        Ok(GroupRemoved { grants, devices })
    }
}
