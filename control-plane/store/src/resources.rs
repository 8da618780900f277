//! Resources.

use doorward_domain::Resource;
use doorward_model::{DeviceId, GrantId, PrincipalId, ResourceId, ResourceName, Span, Timestamp, TunnelNetwork};

use crate::db::{Row, args};
use crate::devices::ADDRESS_REST;
use crate::{ReadTx, StoreError, WriteTx};

/// What ended with a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removed {
    /// Grants that were taken back with it.
    pub grants: Vec<GrantId>,
    /// Live devices of the people who had those, for the outbox.
    pub devices: Vec<DeviceId>,
}

/// Columns are named, so that a statement that a replica has prepared stays valid when a later release adds one.
macro_rules! select_resources {
    ($tail:literal) => {
        concat!(
            "SELECT id, name, targets, allowed, service_slot, owner_id, window_seconds, span_max_seconds, created_at, ",
            "removed_at FROM resources ",
            $tail
        )
    };
}

fn resource(row: &Row) -> Result<Resource, StoreError> {
    Ok(Resource {
        id: ResourceId::new(row.get("id")?),
        name: row.parsed("name")?,
        targets: row.json("targets")?,
        allow: row.json("allowed")?,
        service_slot: row.get::<Option<i64>>("service_slot")?.map(slot).transpose()?,
        owner: row.get::<Option<uuid::Uuid>>("owner_id")?.map(PrincipalId::new),
        sign_in_window: row.count_opt("window_seconds")?.and_then(Span::from_secs),
        request_span_max: row.count_opt("span_max_seconds")?.and_then(Span::from_secs),
        created_at: row.time("created_at")?,
        removed_at: row.time_opt("removed_at")?,
    })
}

fn slot(number: i64) -> Result<u32, StoreError> {
    u32::try_from(number).map_err(|source| StoreError::corrupt("service_slot", source))
}

impl ReadTx {
    /// The resource of this name that was not removed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resource_by_name(&mut self, name: &ResourceName) -> Result<Option<Resource>, StoreError> {
        let sql = select_resources!("WHERE name = $1 AND removed_at IS NULL");
        self.tx.row(sql, args![name.as_str()]).await?.as_ref().map(resource).transpose()
    }

    /// The resources that were not removed, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resources(&mut self) -> Result<Vec<Resource>, StoreError> {
        self.tx
            .rows(select_resources!("WHERE removed_at IS NULL ORDER BY name"), args![])
            .await?
            .iter()
            .map(resource)
            .collect()
    }

    /// The resource with this id, removed or not.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resource(&mut self, id: ResourceId) -> Result<Option<Resource>, StoreError> {
        self.tx.row(select_resources!("WHERE id = $1"), args![id.uuid()]).await?.as_ref().map(resource).transpose()
    }

    /// The live devices of whoever has a grant on a resource, alone or through a group.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resource_devices(&mut self, id: ResourceId, now: Timestamp) -> Result<Vec<DeviceId>, StoreError> {
        let sql = "SELECT d.id AS id FROM devices d WHERE d.revoked_at IS NULL AND d.principal_id IN (\
                   SELECT g.principal_id FROM grants g WHERE g.resource_id = $1 AND g.revoked_at IS NULL AND g.not_after > $2 \
                   UNION SELECT m.principal_id FROM group_grants g JOIN group_members m ON m.group_id = g.group_id \
                   WHERE g.resource_id = $1 AND g.revoked_at IS NULL AND g.not_after > $2) ORDER BY d.id";
        let rows = self.tx.rows(sql, args![id.uuid(), now]).await?;
        rows.iter().map(|row| row.get("id").map(DeviceId::new)).collect()
    }

    /// Every resource there ever was, for what names one by its id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn resources_with_removed(&mut self) -> Result<Vec<Resource>, StoreError> {
        self.tx.rows(select_resources!("ORDER BY created_at, id"), args![]).await?.iter().map(resource).collect()
    }
}

impl WriteTx {
    /// Adds a resource and gives it a service address; returns it with its number. The name of a removed one may come
    /// back; the grants of the old one do not, nor does its address while any other is free.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a resource of that name exists; [`StoreError::ServicePoolFull`].
    pub async fn resource_add(&mut self, resource: &Resource, network: &TunnelNetwork) -> Result<Resource, StoreError> {
        if self.resource_by_name(&resource.name).await?.is_some() {
            let name = &resource.name;
            return Err(StoreError::conflict(format!(
                "resource {name} exists already: choose another name, or run `doorward resource remove {name}` first"
            )));
        }
        let slot = self.free_service_slot(network, resource.created_at).await?;
        let json =
            |result: Result<String, serde_json::Error>| result.map_err(|source| StoreError::corrupt("targets", source));
        let args = args![
            resource.id.uuid(),
            resource.name.as_str(),
            json(serde_json::to_string(&resource.targets))?,
            json(serde_json::to_string(&resource.allow))?,
            resource.created_at,
            i64::from(slot),
        ];
        let sql = "INSERT INTO resources (id, name, targets, allowed, created_at, service_slot) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        self.tx.execute(sql, args).await?;
        Ok(Resource { service_slot: Some(slot), ..resource.clone() })
    }

    /// Finds the lowest number that was never given, or else the one that has rested longest: bookmarks and firewall rules
    /// outlive a resource, and must not lead to another one sooner than they have to.
    async fn free_service_slot(&mut self, network: &TunnelNetwork, now: Timestamp) -> Result<u32, StoreError> {
        // A network without service addresses hands out numbers all the same, so that a larger one gives addresses later.
        let slots = if network.service_address(0).is_some() { network.service_slots() } else { u32::MAX };
        let next = "SELECT COALESCE(MAX(service_slot) + 1, 0) AS slot FROM resources";
        let next = self.tx.row(next, args![]).await?.map(|row| row.get("slot").and_then(slot)).transpose()?;
        if let Some(next) = next.filter(|next| *next < slots) {
            return Ok(next);
        }
        let rested_since = now.checked_sub(ADDRESS_REST).unwrap_or(Timestamp::MIN);
        let rested = "SELECT service_slot AS slot FROM resources WHERE service_slot < $1 GROUP BY service_slot \
                      HAVING COUNT(*) = COUNT(removed_at) AND MAX(removed_at) <= $2 \
                      ORDER BY MAX(removed_at), service_slot LIMIT 1";
        if let Some(row) = self.tx.row(rested, args![i64::from(slots), rested_since]).await? {
            return row.get("slot").and_then(slot);
        }
        let resting = "SELECT COUNT(DISTINCT service_slot) AS resting FROM resources r WHERE service_slot < $1 AND NOT EXISTS \
                       (SELECT 1 FROM resources l WHERE l.service_slot = r.service_slot AND l.removed_at IS NULL)";
        let row = self.tx.row(resting, args![i64::from(slots)]).await?;
        let resting = row.map(|row| row.count("resting")).transpose()?.unwrap_or(0);
        Err(StoreError::ServicePoolFull { slots, resting })
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
        let devices = self.resource_devices(id, now).await?;
        let mut grants = Vec::new();
        for sql in [
            "UPDATE grants SET revoked_at = $2 WHERE resource_id = $1 AND revoked_at IS NULL AND not_after > $2 RETURNING id",
            "UPDATE group_grants SET revoked_at = $2 WHERE resource_id = $1 AND revoked_at IS NULL AND not_after > $2 RETURNING id",
        ] {
            for row in self.tx.rows(sql, args![id.uuid(), now]).await? {
                grants.push(GrantId::new(row.get("id")?));
            }
        }
        Ok(Removed { grants, devices })
    }

    /// Writes who answers for a resource, how long a sign-in opens it, and how much one request may ask for.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn resource_update(&mut self, resource: &Resource) -> Result<(), StoreError> {
        let seconds = |span: Option<Span>| span.map(|span| span.duration().as_secs());
        let sql = "UPDATE resources SET owner_id = $2, window_seconds = $3, span_max_seconds = $4 WHERE id = $1";
        let args = args![
            resource.id.uuid(),
            resource.owner.map(PrincipalId::uuid),
            seconds(resource.sign_in_window),
            seconds(resource.request_span_max),
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Takes away everything that somebody answers for, or hands it on; returns what it was.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn resources_hand_over(
        &mut self,
        from: PrincipalId,
        to: Option<PrincipalId>,
    ) -> Result<Vec<ResourceName>, StoreError> {
        let sql = "UPDATE resources SET owner_id = $2 WHERE owner_id = $1 AND removed_at IS NULL RETURNING name";
        let rows = self.tx.rows(sql, args![from.uuid(), to.map(PrincipalId::uuid)]).await?;
        rows.iter().map(|row| row.parsed("name")).collect()
    }
}
