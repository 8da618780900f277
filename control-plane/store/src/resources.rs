//! Resources.

use doorward_domain::Resource;
use doorward_model::{DeviceId, GrantId, ResourceId, ResourceName, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

/// What ended with a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Grants that were taken back with it.
    pub grants: Vec<GrantId>,
    /// Live devices of the people who had those, for the outbox.
    pub devices: Vec<DeviceId>,
}

fn resource(row: &Row) -> Result<Resource, StoreError> {
    Ok(Resource {
        id: ResourceId::new(row.get("id")?),
        name: row.parsed("name")?,
        targets: row.json("targets")?,
        allow: row.json("allowed")?,
        created_at: row.time("created_at")?,
        removed_at: row.time_opt("removed_at")?,
    })
}

impl ReadTx {
    /// The resource of this name that was not removed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resource_by_name(&mut self, name: &ResourceName) -> Result<Option<Resource>, StoreError> {
        let sql = "SELECT * FROM resources WHERE name = $1 AND removed_at IS NULL";
        self.tx.row(sql, args![name.as_str()]).await?.as_ref().map(resource).transpose()
    }

    /// The resources that were not removed, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resources(&mut self) -> Result<Vec<Resource>, StoreError> {
        self.tx
            .rows("SELECT * FROM resources WHERE removed_at IS NULL ORDER BY name", args![])
            .await?
            .iter()
            .map(resource)
            .collect()
    }

    /// Every resource there ever was, for what names one by its id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resources_with_removed(&mut self) -> Result<Vec<Resource>, StoreError> {
        self.tx.rows("SELECT * FROM resources ORDER BY created_at, id", args![]).await?.iter().map(resource).collect()
    }
}

impl WriteTx {
    /// Adds a resource. The name of a removed one may come back; the grants of the old one do not.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a resource of that name exists.
    pub async fn resource_add(&mut self, resource: &Resource) -> Result<(), StoreError> {
        if self.resource_by_name(&resource.name).await?.is_some() {
            let name = &resource.name;
            return Err(StoreError::conflict(format!(
                "resource {name} exists already: choose another name, or run `doorward resource remove {name}` first"
            )));
        }
        let json =
            |result: Result<String, serde_json::Error>| result.map_err(|source| StoreError::corrupt("targets", source));
        let args = args![
            resource.id.uuid(),
            resource.name.as_str(),
            json(serde_json::to_string(&resource.targets))?,
            json(serde_json::to_string(&resource.allow))?,
            resource.created_at,
        ];
        self.tx
            .execute("INSERT INTO resources (id, name, targets, allowed, created_at) VALUES ($1, $2, $3, $4, $5)", args)
            .await
            .map(drop)
    }

    /// Removes a resource and takes back every grant on it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where it does not exist or was removed before.
    pub async fn resource_remove(&mut self, id: ResourceId, now: Timestamp) -> Result<Removed, StoreError> {
        let removed = "UPDATE resources SET removed_at = $2 WHERE id = $1 AND removed_at IS NULL";
        if self.tx.execute(removed, args![id.uuid(), now]).await? == 0 {
            return Err(StoreError::not_found("this resource does not exist any longer: see `doorward resource list`"));
        }
        let devices = "SELECT DISTINCT d.id AS id FROM grants g JOIN devices d ON d.principal_id = g.principal_id \
                       WHERE g.resource_id = $1 AND g.revoked_at IS NULL AND g.not_after > $2 AND d.revoked_at IS NULL";
        let devices = self.tx.rows(devices, args![id.uuid(), now]).await?;
        let grants = "UPDATE grants SET revoked_at = $2 WHERE resource_id = $1 AND revoked_at IS NULL AND not_after > $2 RETURNING id";
        let grants = self.tx.rows(grants, args![id.uuid(), now]).await?;
        Ok(Removed {
            grants: grants.iter().map(|row| row.get("id").map(GrantId::new)).collect::<Result<_, _>>()?,
            devices: devices.iter().map(|row| row.get("id").map(DeviceId::new)).collect::<Result<_, _>>()?,
        })
    }
}
