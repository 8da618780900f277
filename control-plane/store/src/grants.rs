//! Grants.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_domain::{Grant, GrantedResource, Grantee, Hours, Resource, WeeklyHours};
use doorward_model::{GrantId, GroupId, Interval, PrincipalId, ResourceId, Timestamp};
use jiff::tz::TimeZone;

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

/// Grants to people and grants to groups, as one: `g`.
macro_rules! every_grant {
    () => {
        "(SELECT id, principal_id, NULL AS group_id, resource_id, not_before, not_after, hours, hours_until, requested_by, \
         approved_by, reason, created_at, revoked_at, end_recorded_at FROM grants UNION ALL \
         SELECT id, NULL AS principal_id, group_id, resource_id, not_before, not_after, hours, hours_until, requested_by, \
         approved_by, reason, created_at, revoked_at, end_recorded_at FROM group_grants) g "
    };
}
pub(crate) use every_grant;

/// The columns of a grant that [`grant`] reads.
macro_rules! grant_columns {
    () => {
        "g.id AS id, g.principal_id AS principal_id, g.group_id AS group_id, g.resource_id AS resource_id, \
         g.not_before AS not_before, g.not_after AS not_after, g.hours AS hours, g.requested_by AS requested_by, \
         g.approved_by AS approved_by, g.reason AS reason, g.created_at AS created_at, g.revoked_at AS revoked_at"
    };
}
pub(crate) use grant_columns;

macro_rules! select_grants {
    ($tail:literal) => {
        concat!("SELECT ", $crate::grants::grant_columns!(), " FROM ", $crate::grants::every_grant!(), $tail)
    };
}
pub(crate) use select_grants;

pub(crate) fn grant(row: &Row) -> Result<Grant, StoreError> {
    let person = row.get::<Option<uuid::Uuid>>("principal_id")?.map(PrincipalId::new);
    let group = row.get::<Option<uuid::Uuid>>("group_id")?.map(GroupId::new);
    let to = match (person, group) {
        (Some(person), None) => Grantee::Person(person),
        (None, Some(group)) => Grantee::Group(group),
        (Some(_), Some(_)) | (None, None) => {
            return Err(StoreError::not_found("the database holds a grant for nobody: restore it from a copy"));
        }
    };
    Ok(Grant {
        id: GrantId::new(row.get("id")?),
        to,
        resource: ResourceId::new(row.get("resource_id")?),
        validity: Interval { not_before: row.time("not_before")?, not_after: row.time("not_after")? },
        hours: row.parsed_opt::<WeeklyHours>("hours")?.map(in_zone),
        requested_by: row.get("requested_by")?,
        approved_by: row.get("approved_by")?,
        reason: row.parsed_opt("reason")?,
        created_at: row.time("created_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}

/// Hours whose time zone this system does not know have no occurrence, and so allow nothing.
fn in_zone(weekly: WeeklyHours) -> Hours {
    let zone = TimeZone::get(weekly.zone_name()).ok();
    weekly.in_zone(zone)
}

impl ReadTx {
    /// The grant with this id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.tx.row(select_grants!("WHERE g.id = $1"), args![id.uuid()]).await?.as_ref().map(grant).transpose()
    }

    /// Every grant to a person alone, over and revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_of(&mut self, person: PrincipalId) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = select_grants!("WHERE g.principal_id = $1 ORDER BY g.created_at, g.id");
        let rows = self.tx.rows(sql, args![person.uuid()]).await?;
        self.with_resources(&rows).await
    }

    /// Every grant to a group, over and revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_of_group(&mut self, group: GroupId) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = select_grants!("WHERE g.group_id = $1 ORDER BY g.created_at, g.id");
        let rows = self.tx.rows(sql, args![group.uuid()]).await?;
        self.with_resources(&rows).await
    }

    /// What a person has: their own grants, and those of the groups they are a member of, over and revoked ones too.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_for(&mut self, person: PrincipalId) -> Result<Vec<GrantedResource>, StoreError> {
        let mut granted = self.grants_of(person).await?;
        let sql = select_grants!(
            "WHERE g.group_id IN (SELECT m.group_id FROM group_members m WHERE m.principal_id = $1) \
             ORDER BY g.created_at, g.id"
        );
        let rows = self.tx.rows(sql, args![person.uuid()]).await?;
        granted.extend(self.with_resources(&rows).await?);
        Ok(granted)
    }

    /// Every grant, over and revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants(&mut self) -> Result<Vec<GrantedResource>, StoreError> {
        let rows = self.tx.rows(select_grants!("ORDER BY g.created_at, g.id"), args![]).await?;
        self.with_resources(&rows).await
    }

    /// The grants that hold or begin later.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_live(&mut self, now: Timestamp) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = select_grants!("WHERE g.revoked_at IS NULL AND g.not_after > $1 ORDER BY g.created_at, g.id");
        let rows = self.tx.rows(sql, args![now]).await?;
        self.with_resources(&rows).await
    }

    /// Grants whose time ran out without that having been recorded, the earliest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_ended_unrecorded(&mut self, now: Timestamp) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = select_grants!(
            "WHERE g.revoked_at IS NULL AND g.end_recorded_at IS NULL AND g.not_after <= $1 \
             ORDER BY g.not_after, g.id LIMIT 1000"
        );
        let rows = self.tx.rows(sql, args![now]).await?;
        self.with_resources(&rows).await
    }

    /// Grants of which gateways were told an occurrence of their hours that is over; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_hours_due(&mut self, now: Timestamp) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = select_grants!(
            "WHERE g.revoked_at IS NULL AND g.hours_until <= $1 AND g.not_after > $1 ORDER BY g.hours_until, g.id LIMIT 1000"
        );
        let rows = self.tx.rows(sql, args![now]).await?;
        self.with_resources(&rows).await
    }

    /// The live devices of whom this grant is for.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grantee_devices(&mut self, to: Grantee) -> Result<Vec<doorward_model::DeviceId>, StoreError> {
        match to {
            Grantee::Group(group) => self.group_devices(group).await,
            Grantee::Person(person) => {
                let devices = self.devices_of(person).await?;
                Ok(devices.into_iter().filter(|it| it.revoked.is_none()).map(|it| it.id).collect())
            }
        }
    }

    /// Puts the resource beside each grant, with one query for all of them.
    pub(crate) async fn with_resources(&mut self, rows: &[Row]) -> Result<Vec<GrantedResource>, StoreError> {
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let resources = self.resources_with_removed().await?;
        let resources: HashMap<ResourceId, Arc<Resource>> =
            resources.into_iter().map(|resource| (resource.id, Arc::new(resource))).collect();
        let granted = rows.iter().map(|row| {
            let grant = grant(row)?;
            let resource = resources.get(&grant.resource).map(Arc::clone);
            let resource = resource.ok_or_else(|| {
                StoreError::not_found(format!("grant {} names a resource that is not there", grant.id))
            })?;
            Ok(GrantedResource { grant, resource })
        });
        granted.collect()
    }
}

/// When the part of a grant's hours ends that gateways are told at that moment; its own end where none comes.
fn hours_until(grant: &Grant, now: Timestamp) -> Option<Timestamp> {
    grant.hours.as_ref()?;
    Some(grant.span_told(now).map_or(grant.validity.not_after, |told| told.not_after))
}

impl WriteTx {
    /// Gives a grant.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn grant_add(&mut self, grant: &Grant) -> Result<(), StoreError> {
        let (sql, to) = match grant.to {
            Grantee::Person(person) => (
                "INSERT INTO grants (id, principal_id, resource_id, not_before, not_after, requested_by, approved_by, reason, \
                 created_at, hours, hours_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                person.uuid(),
            ),
            Grantee::Group(group) => (
                "INSERT INTO group_grants (id, group_id, resource_id, not_before, not_after, requested_by, approved_by, reason, \
                 created_at, hours, hours_until) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
                group.uuid(),
            ),
        };
        let args = args![
            grant.id.uuid(),
            to,
            grant.resource.uuid(),
            grant.validity.not_before,
            grant.validity.not_after,
            grant.requested_by.as_str(),
            grant.approved_by.as_str(),
            grant.reason.clone().map(String::from),
            grant.created_at,
            grant.hours.as_ref().map(ToString::to_string),
            hours_until(grant, grant.created_at),
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Takes a grant back; one that was taken back before stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown id.
    pub async fn grant_revoke(&mut self, id: GrantId, now: Timestamp) -> Result<Grant, StoreError> {
        for sql in [
            "UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
            "UPDATE group_grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL",
        ] {
            self.tx.execute(sql, args![id.uuid(), now]).await?;
        }
        let grant = self.grant(id).await?;
        grant.ok_or_else(|| StoreError::not_found(format!("grant {id} does not exist: see `doorward grant list`")))
    }

    /// Notes that a grant's end is in the audit, so that it is recorded once.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn grant_end_recorded(&mut self, id: GrantId, now: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "UPDATE grants SET end_recorded_at = $2 WHERE id = $1",
            "UPDATE group_grants SET end_recorded_at = $2 WHERE id = $1",
        ] {
            self.tx.execute(sql, args![id.uuid(), now]).await?;
        }
        Ok(())
    }

    /// Notes which part of a grant's hours gateways are told at that moment, so that it is told once.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn grant_hours_told(&mut self, grant: &Grant, now: Timestamp) -> Result<(), StoreError> {
        for sql in [
            "UPDATE grants SET hours_until = $2 WHERE id = $1",
            "UPDATE group_grants SET hours_until = $2 WHERE id = $1",
        ] {
            self.tx.execute(sql, args![grant.id.uuid(), hours_until(grant, now)]).await?;
        }
        Ok(())
    }
}
