//! Gateways and how they enrol.

use doorward_domain::{EnrolmentToken, Gateway, Introduction, TokenHash, check_enrolment};
use doorward_model::{GatewayId, GatewayName, Revision, Timestamp};

use crate::db::{Row, args};
use crate::devices::public_key;
use crate::{ReadTx, Store, StoreError, WriteTx};

/// Columns are named, so that a statement that a replica has prepared stays valid when a later release adds one.
macro_rules! select_gateways {
    ($tail:literal) => {
        concat!(
            "SELECT id, name, certificate_sha256, public_key, endpoint, version, resolver, ports, enrolled_at, ",
            "last_seen_at, revision, removed_at FROM gateways ",
            $tail
        )
    };
}

fn gateway(row: &Row) -> Result<Gateway, StoreError> {
    Ok(Gateway {
        id: GatewayId::new(row.get("id")?),
        name: row.parsed("name")?,
        certificate_sha256: row.bytes32_opt("certificate_sha256")?,
        public_key: row.bytes32_opt("public_key")?.map(public_key).transpose()?,
        endpoint: row.get("endpoint")?,
        version: row.get("version")?,
        resolver: row.count("resolver")? != 0,
        ports: row.json("ports")?,
        enrolled_at: row.time("enrolled_at")?,
        last_seen_at: row.time_opt("last_seen_at")?,
        revision: row.count_opt("revision")?.map(Revision),
        removed_at: row.time_opt("removed_at")?,
    })
}

impl ReadTx {
    /// The gateways that were not removed, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn gateways(&mut self) -> Result<Vec<Gateway>, StoreError> {
        self.tx
            .rows(select_gateways!("WHERE removed_at IS NULL ORDER BY name"), args![])
            .await?
            .iter()
            .map(gateway)
            .collect()
    }

    /// The gateway of this name that was not removed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn gateway_by_name(&mut self, name: &GatewayName) -> Result<Option<Gateway>, StoreError> {
        let sql = select_gateways!("WHERE name = $1 AND removed_at IS NULL");
        self.tx.row(sql, args![name.as_str()]).await?.as_ref().map(gateway).transpose()
    }

    /// The enrolment token with this hash, used and expired ones too.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn enrolment_token(&mut self, hash: &TokenHash) -> Result<Option<EnrolmentToken>, StoreError> {
        let row = self
            .tx
            .row("SELECT gateway, expires_at, used_at FROM gateway_tokens WHERE hash = $1", args![&hash.0])
            .await?;
        let token = |row: Row| {
            Ok(EnrolmentToken {
                gateway: row.parsed("gateway")?,
                expires_at: row.time("expires_at")?,
                used_at: row.time_opt("used_at")?,
            })
        };
        row.map(token).transpose()
    }
}

impl WriteTx {
    /// Keeps the hash of an enrolment token that was made for a gateway of this name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a gateway of this machine has the name: that one needs no token.
    pub async fn enrolment_token_add(
        &mut self,
        hash: &TokenHash,
        name: &GatewayName,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.refuse_local(name).await?;
        let sql = "INSERT INTO gateway_tokens (hash, gateway, created_at, expires_at) VALUES ($1, $2, $3, $4)";
        self.tx.execute(sql, args![&hash.0, name.as_str(), now, expires_at]).await.map(drop)
    }

    /// Uses up a token and enrols the gateway with its certificate; one that was enrolled before under the name gets
    /// the new certificate, and its old one stops counting.
    ///
    /// # Errors
    /// [`StoreError::Enrolment`] where the token does not count; [`StoreError::Conflict`] where a gateway of this machine
    /// has the name.
    pub async fn gateway_enrol(
        &mut self,
        id: GatewayId,
        name: &GatewayName,
        token: &TokenHash,
        certificate_sha256: &[u8; 32],
        now: Timestamp,
    ) -> Result<Gateway, StoreError> {
        check_enrolment(self.enrolment_token(token).await?.as_ref(), name, now)?;
        self.refuse_local(name).await?;
        self.tx.execute("UPDATE gateway_tokens SET used_at = $2 WHERE hash = $1", args![&token.0, now]).await?;
        let sql =
            "UPDATE gateways SET certificate_sha256 = $2, enrolled_at = $3 WHERE name = $1 AND removed_at IS NULL";
        if self.tx.execute(sql, args![name.as_str(), certificate_sha256, now]).await? == 0 {
            let sql = "INSERT INTO gateways (id, name, certificate_sha256, enrolled_at) VALUES ($1, $2, $3, $4)";
            self.tx.execute(sql, args![id.uuid(), name.as_str(), certificate_sha256, now]).await?;
        }
        self.gateway_required(name).await
    }

    /// Returns the gateway of this machine, which comes over the Unix socket, and registers it under `id` the first time.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a gateway with a certificate has the name.
    pub async fn gateway_local(
        &mut self,
        id: GatewayId,
        name: &GatewayName,
        now: Timestamp,
    ) -> Result<Gateway, StoreError> {
        match self.gateway_by_name(name).await? {
            Some(gateway) if gateway.certificate_sha256.is_none() => Ok(gateway),
            Some(_) => Err(StoreError::conflict(format!(
                "gateway {name} is enrolled on another machine: set another `[gateway] name` here, or run `doorward gateway remove {name}`"
            ))),
            None => {
                let sql = "INSERT INTO gateways (id, name, enrolled_at) VALUES ($1, $2, $3)";
                self.tx.execute(sql, args![id.uuid(), name.as_str(), now]).await?;
                self.gateway_required(name).await
            }
        }
    }

    /// Keeps what a gateway said about itself.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where its key is a device's or another gateway's; [`StoreError::NotFound`] where it was
    /// removed.
    pub async fn gateway_hello(
        &mut self,
        id: GatewayId,
        said: &Introduction,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let Introduction { public_key: key, endpoint, version, resolver, ports } = said;
        let own = "SELECT name FROM gateways WHERE public_key = $1 AND id = $2";
        if self.tx.row(own, args![key.as_bytes(), id.uuid()]).await?.is_none() {
            self.refuse_used_key(key).await?;
        }
        let ports = serde_json::to_string(ports).map_err(|source| StoreError::corrupt("ports", source))?;
        let args =
            args![id.uuid(), key.as_bytes(), endpoint.as_str(), version.as_str(), now, i64::from(*resolver), ports,];
        let sql = "UPDATE gateways SET public_key = $2, endpoint = $3, version = $4, last_seen_at = $5, resolver = $6, \
                   ports = $7 WHERE id = $1 AND removed_at IS NULL";
        match self.tx.execute(sql, args).await? {
            0 => Err(StoreError::not_found(
                "this gateway was removed: enrol it again with `doorward gateway token add NAME`",
            )),
            _ => Ok(()),
        }
    }

    /// Removes a gateway; its certificate stops counting.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name.
    pub async fn gateway_remove(&mut self, name: &GatewayName, now: Timestamp) -> Result<Gateway, StoreError> {
        let gateway = self.gateway_required(name).await?;
        self.tx.execute("UPDATE gateways SET removed_at = $2 WHERE id = $1", args![gateway.id.uuid(), now]).await?;
        let unused =
            "UPDATE gateway_tokens SET expires_at = $2 WHERE gateway = $1 AND used_at IS NULL AND expires_at > $2";
        self.tx.execute(unused, args![name.as_str(), now]).await?;
        Ok(Gateway { removed_at: Some(now), ..gateway })
    }

    async fn gateway_required(&mut self, name: &GatewayName) -> Result<Gateway, StoreError> {
        let gateway = self.gateway_by_name(name).await?;
        gateway
            .ok_or_else(|| StoreError::not_found(format!("gateway {name} does not exist: see `doorward gateway list`")))
    }

    async fn refuse_local(&mut self, name: &GatewayName) -> Result<(), StoreError> {
        match self.gateway_by_name(name).await? {
            Some(gateway) if gateway.certificate_sha256.is_none() => Err(StoreError::conflict(format!(
                "gateway {name} is the one on this machine and needs no token: choose another name, or run `doorward gateway remove {name}` first"
            ))),
            Some(_) | None => Ok(()),
        }
    }
}

impl Store {
    /// Notes that a gateway was heard; call it seldom (once a minute), not with each ping.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn gateway_seen(&self, id: GatewayId, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("UPDATE gateways SET last_seen_at = $2 WHERE id = $1", args![id.uuid(), at]).await?;
        tx.commit_observation().await
    }
}
