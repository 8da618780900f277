//! What leases are derived from, read with few queries however many devices there are.

use std::collections::{BTreeSet, HashMap};

use doorward_domain::{GrantedResource, Grantee, LeaseSubject};
use doorward_model::{DeviceId, GroupId, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::devices::{device, device_columns, uuids};
use crate::grants::select_grants;
use crate::people::principal;
use crate::{ReadTx, StoreError};

macro_rules! select_subject {
    ($tail:literal) => {
        concat!(
            "SELECT ",
            device_columns!(),
            ", p.id AS p_id, p.email AS p_email, p.name AS p_name, p.kind AS p_kind, p.sponsor_id AS p_sponsor_id, ",
            "p.state AS p_state, p.not_after AS p_not_after, p.created_at AS p_created_at, p.changed_at AS p_changed_at, ",
            "p.signed_in_until AS p_signed_in_until, p.role AS p_role, p.signed_in_at AS p_signed_in_at ",
            "FROM devices d JOIN principals p ON p.id = d.principal_id ",
            $tail
        )
    };
}

impl ReadTx {
    /// What is known about every device that was not revoked; four queries in all. Revoked ones are in
    /// [`ReadTx::tombstones_since`].
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lease_subjects_all(&mut self, now: Timestamp) -> Result<Vec<LeaseSubject>, StoreError> {
        let devices = self.tx.rows(select_subject!("WHERE d.revoked_at IS NULL ORDER BY d.id"), args![]).await?;
        let grants = self.grants_live(now).await?;
        let groups = self.memberships().await?;
        subjects(&devices, grants, &groups)
    }

    /// What is known about these devices, revoked ones too; unknown ids are left out.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lease_subjects(&mut self, ids: &[DeviceId], now: Timestamp) -> Result<Vec<LeaseSubject>, StoreError> {
        let devices = self.tx.rows_in(select_subject!("WHERE d.id IN "), &uuids(ids), " ORDER BY d.id").await?;
        let mut people: Vec<Uuid> = devices.iter().map(|row| row.get("p_id")).collect::<Result<_, _>>()?;
        people.sort_unstable();
        people.dedup();
        let memberships = self.memberships_of(&people).await?;
        let groups: BTreeSet<Uuid> = memberships.values().flatten().map(|group| group.uuid()).collect();
        let groups: Vec<Uuid> = groups.into_iter().collect();
        let tail = " AND g.revoked_at IS NULL ORDER BY g.created_at, g.id";
        let mut rows = self.tx.rows_in(select_grants!("WHERE g.principal_id IN "), &people, tail).await?;
        rows.extend(self.tx.rows_in(select_grants!("WHERE g.group_id IN "), &groups, tail).await?);
        let mut grants = self.with_resources(&rows).await?;
        grants.retain(|granted| now < granted.grant.validity.not_after);
        subjects(&devices, grants, &memberships)
    }
}

fn subjects(
    devices: &[Row],
    grants: Vec<GrantedResource>,
    memberships: &HashMap<PrincipalId, BTreeSet<GroupId>>,
) -> Result<Vec<LeaseSubject>, StoreError> {
    let mut by_grantee: HashMap<Grantee, Vec<GrantedResource>> = HashMap::new();
    for granted in grants {
        by_grantee.entry(granted.grant.to).or_default().push(granted);
    }
    let subject = |row: &Row| {
        let principal = principal(row)?;
        let groups = memberships.get(&principal.id).cloned().unwrap_or_default();
        let whose = std::iter::once(Grantee::Person(principal.id)).chain(groups.iter().copied().map(Grantee::Group));
        let grants = whose.filter_map(|grantee| by_grantee.get(&grantee)).flatten().cloned().collect();
        Ok(LeaseSubject { principal, device: device(row)?, groups, grants })
    };
    devices.iter().map(subject).collect()
}
