//! What leases are derived from, read with few queries however many devices there are.

use std::collections::HashMap;

use doorward_domain::{GrantedResource, LeaseSubject};
use doorward_model::{DeviceId, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::devices::{device, device_columns, uuids};
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
    /// What is known about every device that was not revoked; three queries in all. Revoked ones are in
    /// [`ReadTx::tombstones_since`].
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn lease_subjects_all(&mut self, now: Timestamp) -> Result<Vec<LeaseSubject>, StoreError> {
        let devices = self.tx.rows(select_subject!("WHERE d.revoked_at IS NULL ORDER BY d.id"), args![]).await?;
        let grants = self.grants_live(now).await?;
        subjects(&devices, grants)
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
        let tail = " AND revoked_at IS NULL ORDER BY created_at, id";
        let rows = self.tx.rows_in("SELECT * FROM grants WHERE principal_id IN ", &people, tail).await?;
        let mut grants = self.with_resources(&rows).await?;
        grants.retain(|granted| now < granted.grant.validity.not_after);
        subjects(&devices, grants)
    }
}

fn subjects(devices: &[Row], grants: Vec<GrantedResource>) -> Result<Vec<LeaseSubject>, StoreError> {
    let mut by_person: HashMap<PrincipalId, Vec<GrantedResource>> = HashMap::new();
    for granted in grants {
        by_person.entry(granted.grant.principal).or_default().push(granted);
    }
    let subject = |row: &Row| {
        let principal = principal(row)?;
        let grants = by_person.get(&principal.id).cloned().unwrap_or_default();
        Ok(LeaseSubject { principal, device: device(row)?, grants })
    };
    devices.iter().map(subject).collect()
}
