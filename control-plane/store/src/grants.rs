//! Grants.

use std::collections::HashMap;
use std::sync::Arc;

use doorward_domain::{Grant, GrantedResource, Resource};
use doorward_model::{GrantId, Interval, PrincipalId, ResourceId, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

pub(crate) fn grant(row: &Row) -> Result<Grant, StoreError> {
    Ok(Grant {
        id: GrantId::new(row.get("id")?),
        principal: PrincipalId::new(row.get("principal_id")?),
        resource: ResourceId::new(row.get("resource_id")?),
        validity: Interval { not_before: row.time("not_before")?, not_after: row.time("not_after")? },
        requested_by: row.get("requested_by")?,
        approved_by: row.get("approved_by")?,
        reason: row.parsed_opt("reason")?,
        created_at: row.time("created_at")?,
        revoked_at: row.time_opt("revoked_at")?,
    })
}

impl ReadTx {
    /// The grant with this id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grant(&mut self, id: GrantId) -> Result<Option<Grant>, StoreError> {
        self.tx.row("SELECT * FROM grants WHERE id = $1", args![id.uuid()]).await?.as_ref().map(grant).transpose()
    }

    /// Every grant of a person, over and revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_of(&mut self, person: PrincipalId) -> Result<Vec<GrantedResource>, StoreError> {
        let rows = self
            .tx
            .rows("SELECT * FROM grants WHERE principal_id = $1 ORDER BY created_at, id", args![person.uuid()])
            .await?;
        self.with_resources(&rows).await
    }

    /// Every grant, over and revoked ones too, oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants(&mut self) -> Result<Vec<GrantedResource>, StoreError> {
        let rows = self.tx.rows("SELECT * FROM grants ORDER BY created_at, id", args![]).await?;
        self.with_resources(&rows).await
    }

    /// The grants that hold or begin later.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_live(&mut self, now: Timestamp) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = "SELECT * FROM grants WHERE revoked_at IS NULL AND not_after > $1 ORDER BY created_at, id";
        let rows = self.tx.rows(sql, args![now]).await?;
        self.with_resources(&rows).await
    }

    /// Grants whose time ran out without that having been recorded, the earliest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_ended_unrecorded(&mut self, now: Timestamp) -> Result<Vec<GrantedResource>, StoreError> {
        let sql = "SELECT * FROM grants WHERE revoked_at IS NULL AND end_recorded_at IS NULL AND not_after <= $1 \
                   ORDER BY not_after, id LIMIT 1000";
        let rows = self.tx.rows(sql, args![now]).await?;
        self.with_resources(&rows).await
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

impl WriteTx {
    /// Gives a grant.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn grant_add(&mut self, grant: &Grant) -> Result<(), StoreError> {
        let sql = "INSERT INTO grants (id, principal_id, resource_id, not_before, not_after, requested_by, approved_by, reason, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
        let args = args![
            grant.id.uuid(),
            grant.principal.uuid(),
            grant.resource.uuid(),
            grant.validity.not_before,
            grant.validity.not_after,
            grant.requested_by.as_str(),
            grant.approved_by.as_str(),
            grant.reason.clone().map(String::from),
            grant.created_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Takes a grant back; one that was taken back before stays as it is.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown id.
    pub async fn grant_revoke(&mut self, id: GrantId, now: Timestamp) -> Result<Grant, StoreError> {
        self.tx
            .execute("UPDATE grants SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL", args![id.uuid(), now])
            .await?;
        let grant = self.grant(id).await?;
        grant.ok_or_else(|| StoreError::not_found(format!("grant {id} does not exist: see `doorward grant list`")))
    }

    /// Notes that a grant's end is in the audit, so that it is recorded once.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn grant_end_recorded(&mut self, id: GrantId, now: Timestamp) -> Result<(), StoreError> {
        self.tx.execute("UPDATE grants SET end_recorded_at = $2 WHERE id = $1", args![id.uuid(), now]).await.map(drop)
    }
}
