//! What leases are derived from, read with few queries however many devices there are.

use std::collections::{BTreeSet, HashMap};

use doorward_domain::{GrantedResource, Grantee, LeaseSubject, Principal};
use doorward_model::{DeviceId, GroupId, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::devices::{device, select_device, uuids};
use crate::grants::select_grants;
use crate::people::{principal, select_person};
use crate::{ReadTx, StoreError};

impl ReadTx {
    /// What is known about every device that was not revoked; five queries in all. Revoked ones are in
    /// [`ReadTx::tombstones_since`].
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lease_subjects_all(&mut self, now: Timestamp) -> Result<Vec<LeaseSubject>, StoreError> {
        // People have columns of their own, and devices many more rows: whoever read them joined would read each person again
        // with each device.
        let devices = self.tx.rows(select_device!("WHERE d.revoked_at IS NULL ORDER BY d.id"), args![]).await?;
        let people = self.tx.rows(select_person!("WHERE p.id IN (SELECT principal_id FROM devices)"), args![]).await?;
        let grants = self.grants_live(now).await?;
        let groups = self.memberships().await?;
        subjects(&devices, &people, grants, &groups)
    }

    /// What is known about these devices, revoked ones too; unknown ids are left out.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lease_subjects(&mut self, ids: &[DeviceId], now: Timestamp) -> Result<Vec<LeaseSubject>, StoreError> {
        let devices = self.tx.rows_in(select_device!("WHERE d.id IN "), &uuids(ids), " ORDER BY d.id").await?;
        let mut people: Vec<Uuid> = devices.iter().map(|row| row.get("d_principal_id")).collect::<Result<_, _>>()?;
        people.sort_unstable();
        people.dedup();
        let found = self.tx.rows_in(select_person!("WHERE p.id IN "), &people, "").await?;
        let memberships = self.memberships_of(&people).await?;
        let groups: BTreeSet<Uuid> = memberships.values().flatten().map(|group| group.uuid()).collect();
        let groups: Vec<Uuid> = groups.into_iter().collect();
        let tail = " AND g.revoked_at IS NULL ORDER BY g.created_at, g.id";
        let mut rows = self.tx.rows_in(select_grants!("WHERE g.principal_id IN "), &people, tail).await?;
        rows.extend(self.tx.rows_in(select_grants!("WHERE g.group_id IN "), &groups, tail).await?);
        let mut grants = self.with_resources(&rows).await?;
        grants.retain(|granted| now < granted.grant.validity.not_after);
        subjects(&devices, &found, grants, &memberships)
    }
}

fn subjects(
    devices: &[Row],
    people: &[Row],
    grants: Vec<GrantedResource>,
    memberships: &HashMap<PrincipalId, BTreeSet<GroupId>>,
) -> Result<Vec<LeaseSubject>, StoreError> {
    let mut by_grantee: HashMap<Grantee, Vec<GrantedResource>> = HashMap::new();
    for granted in grants {
        by_grantee.entry(granted.grant.to).or_default().push(granted);
    }
    let people = people.iter().map(|row| principal(row).map(|person| (person.id, person)));
    let people: HashMap<PrincipalId, Principal> = people.collect::<Result<_, _>>()?;
    let subject = |row: &Row| {
        let device = device(row)?;
        let nobody = || StoreError::not_found(format!("the person of device {} is missing", device.id));
        let principal = people.get(&device.principal).cloned().ok_or_else(nobody)?;
        let groups = memberships.get(&principal.id).cloned().unwrap_or_default();
        let whose = std::iter::once(Grantee::Person(principal.id)).chain(groups.iter().copied().map(Grantee::Group));
        let grants = whose.filter_map(|grantee| by_grantee.get(&grantee)).flatten().cloned().collect();
        Ok(LeaseSubject { principal, device, groups, grants })
    };
    devices.iter().map(subject).collect()
}
