//! API tokens.

use doorward_domain::{ApiToken, TokenHash};
use doorward_model::Timestamp;

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

fn api_token(row: &Row) -> Result<ApiToken, StoreError> {
    Ok(ApiToken {
        name: row.get("name")?,
        created_at: row.time("created_at")?,
        created_by: row.get("created_by")?,
        last_used_at: row.time_opt("last_used_at")?,
    })
}

impl ReadTx {
    /// The token with this hash, unless it was revoked. One that a person made counts while that person is an admin here: they
    /// may know it still.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn api_token(&mut self, hash: &TokenHash, now: Timestamp) -> Result<Option<ApiToken>, StoreError> {
        let sql = "SELECT hash, name, created_at, created_by, last_used_at, revoked_at \
            FROM api_tokens t WHERE hash = $1 AND revoked_at IS NULL AND (created_by NOT LIKE 'person:%' OR EXISTS ( \
            SELECT 1 FROM principals p WHERE 'person:' || p.email = t.created_by AND p.state = 'active' \
            AND p.role IN ('owner', 'admin') AND (p.not_after IS NULL OR p.not_after > $2)))";
        self.tx.row(sql, args![&hash.0, now]).await?.as_ref().map(api_token).transpose()
    }

    /// The tokens that were not revoked, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn api_tokens(&mut self) -> Result<Vec<ApiToken>, StoreError> {
        self.tx
            .rows(
                "SELECT hash, name, created_at, created_by, last_used_at, revoked_at \
                FROM api_tokens WHERE revoked_at IS NULL ORDER BY name",
                args![],
            )
            .await?
            .iter()
            .map(api_token)
            .collect()
    }
}

impl WriteTx {
    /// Keeps the hash of an API token.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where a token of that name exists.
    pub async fn api_token_add(&mut self, hash: &TokenHash, token: &ApiToken) -> Result<(), StoreError> {
        let name = token.name.as_str();
        if self
            .tx
            .row("SELECT name FROM api_tokens WHERE name = $1 AND revoked_at IS NULL", args![name])
            .await?
            .is_some()
        {
            return Err(StoreError::conflict(format!(
                "a token named {name} exists already: choose another name, or revoke that one"
            )));
        }
        let sql = "INSERT INTO api_tokens (hash, name, created_at, created_by) VALUES ($1, $2, $3, $4)";
        self.tx.execute(sql, args![&hash.0, name, token.created_at, token.created_by.as_str()]).await.map(drop)
    }

    /// Ends the API tokens that somebody made; returns their names.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub(crate) async fn api_tokens_end(&mut self, maker: &str, now: Timestamp) -> Result<Vec<String>, StoreError> {
        let sql = "UPDATE api_tokens SET revoked_at = $2 WHERE created_by = $1 AND revoked_at IS NULL RETURNING name";
        let mut names: Vec<String> =
            self.tx.rows(sql, args![maker, now]).await?.iter().map(|row| row.get("name")).collect::<Result<_, _>>()?;
        names.sort();
        Ok(names)
    }

    /// Ends an API token.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where there is none of that name.
    pub async fn api_token_revoke(&mut self, name: &str, now: Timestamp) -> Result<(), StoreError> {
        match self
            .tx
            .execute("UPDATE api_tokens SET revoked_at = $2 WHERE name = $1 AND revoked_at IS NULL", args![name, now])
            .await?
        {
            0 => Err(StoreError::not_found(format!(
                "there is no token named {}: see the list of tokens",
                name.escape_default()
            ))),
            _ => Ok(()),
        }
    }
}

impl Store {
    /// Notes that a token was used; call it at most once a minute for each.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn api_token_used(&self, hash: &TokenHash, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("UPDATE api_tokens SET last_used_at = $2 WHERE hash = $1", args![&hash.0, at]).await?;
        tx.commit_observation().await
    }
}
