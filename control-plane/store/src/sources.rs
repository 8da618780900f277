//! Sources of people; of directories over SCIM also the tokens and the groups.

use doorward_domain::{Source, SourceGroup, SourceKind, SourceToken, TokenHash};
use doorward_model::{AccountId, GroupId, GroupName, PrincipalId, SourceId, SourceName, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// A membership in a source's group, with the name that the source knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceMember {
    /// The group.
    pub group: GroupId,
    /// What the source calls the group.
    pub display_name: String,
    /// The member's account.
    pub account: AccountId,
    /// Who that is.
    pub principal: PrincipalId,
}

fn source(row: &Row) -> Result<Source, StoreError> {
    Ok(Source {
        id: SourceId::new(row.get("s_id")?),
        name: row.parsed("s_name")?,
        kind: row.parsed("s_kind")?,
        created_at: row.time("s_created_at")?,
        brake_since: row.time_opt("s_brake_since")?,
        brake_cleared_at: row.time_opt("s_brake_cleared_at")?,
    })
}

macro_rules! select_source {
    ($more:literal, $tail:literal) => {
        concat!(
            "SELECT s.id AS s_id, s.name AS s_name, s.kind AS s_kind, s.created_at AS s_created_at, ",
            "s.brake_since AS s_brake_since, ",
            "s.brake_cleared_at AS s_brake_cleared_at ",
            $more,
            " FROM sources s ",
            $tail
        )
    };
}

fn token(row: &Row) -> Result<SourceToken, StoreError> {
    Ok(SourceToken {
        created_at: row.time("created_at")?,
        created_by: row.get("created_by")?,
        last_used_at: row.time_opt("last_used_at")?,
    })
}

fn group(row: &Row) -> Result<SourceGroup, StoreError> {
    Ok(SourceGroup {
        group: GroupId::new(row.get("group_id")?),
        source: SourceId::new(row.get("source_id")?),
        external_id: row.get("external_id")?,
        display_name: row.get("display_name")?,
        created_at: row.time("created_at")?,
        changed_at: row.time("changed_at")?,
    })
}

macro_rules! select_member {
    ($tail:literal) => {
        concat!(
            "SELECT g.group_id AS group_id, g.display_name AS display_name, a.id AS account_id, ",
            "a.principal_id AS principal_id FROM source_groups g ",
            "JOIN group_members m ON m.group_id = g.group_id ",
            "JOIN accounts a ON a.principal_id = m.principal_id AND a.source_id = g.source_id ",
            "AND a.ended_at IS NULL AND a.deleted_at IS NULL ",
            $tail
        )
    };
}

fn member(row: &Row) -> Result<SourceMember, StoreError> {
    Ok(SourceMember {
        group: GroupId::new(row.get("group_id")?),
        display_name: row.get("display_name")?,
        account: AccountId::new(row.get("account_id")?),
        principal: PrincipalId::new(row.get("principal_id")?),
    })
}

macro_rules! select_group {
    ($tail:literal) => {
        concat!(
            "SELECT g.group_id, g.source_id, g.external_id, g.display_name, g.created_at, g.changed_at FROM source_groups g ",
            "JOIN people_groups p ON p.id = g.group_id AND p.removed_at IS NULL ",
            $tail
        )
    };
}

impl ReadTx {
    /// The source of this name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_by_name(&mut self, name: &SourceName) -> Result<Option<Source>, StoreError> {
        let sql = select_source!("", "WHERE s.name = $1");
        self.tx.row(sql, args![name.as_str()]).await?.as_ref().map(source).transpose()
    }

    /// The source with this id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source(&mut self, id: SourceId) -> Result<Option<Source>, StoreError> {
        let sql = select_source!("", "WHERE s.id = $1");
        self.tx.row(sql, args![id.uuid()]).await?.as_ref().map(source).transpose()
    }

    /// All sources, by name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn sources(&mut self) -> Result<Vec<Source>, StoreError> {
        self.tx.rows(select_source!("", "ORDER BY s.name"), args![]).await?.iter().map(source).collect()
    }

    /// Whose token has this hash, unless it was revoked; with when it was used last.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_of_token(&mut self, hash: &TokenHash) -> Result<Option<(Source, SourceToken)>, StoreError> {
        let sql = select_source!(
            ", t.created_at AS created_at, t.created_by AS created_by, t.last_used_at AS last_used_at",
            "JOIN source_tokens t ON t.source_id = s.id WHERE t.hash = $1 AND t.revoked_at IS NULL"
        );
        let row = self.tx.row(sql, args![&hash.0]).await?;
        row.map(|row| Ok((source(&row)?, token(&row)?))).transpose()
    }

    /// Every token that was not revoked, by its hash, with whose it is.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_tokens_all(&mut self) -> Result<Vec<(TokenHash, Source)>, StoreError> {
        let sql =
            select_source!(", t.hash AS hash", "JOIN source_tokens t ON t.source_id = s.id WHERE t.revoked_at IS NULL");
        let found = self.tx.rows(sql, args![]).await?;
        found.iter().map(|row| Ok((TokenHash(row.bytes32("hash")?), source(row)?))).collect()
    }

    /// The tokens of a source that were not revoked, the oldest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_tokens(&mut self, id: SourceId) -> Result<Vec<SourceToken>, StoreError> {
        let sql = "SELECT hash, source_id, created_at, created_by, last_used_at, revoked_at \
            FROM source_tokens WHERE source_id = $1 AND revoked_at IS NULL ORDER BY created_at";
        self.tx.rows(sql, args![id.uuid()]).await?.iter().map(token).collect()
    }

    /// A source's group, unless it was removed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_group(&mut self, id: SourceId, group_id: GroupId) -> Result<Option<SourceGroup>, StoreError> {
        let sql = select_group!("WHERE g.source_id = $1 AND g.group_id = $2");
        self.tx.row(sql, args![id.uuid(), group_id.uuid()]).await?.as_ref().map(group).transpose()
    }

    /// A source's groups that were not removed, by id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_groups(&mut self, id: SourceId) -> Result<Vec<SourceGroup>, StoreError> {
        let sql = select_group!("WHERE g.source_id = $1 ORDER BY g.group_id");
        self.tx.rows(sql, args![id.uuid()]).await?.iter().map(group).collect()
    }

    /// Whose group it is, where a source manages it.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_of_group(&mut self, group_id: GroupId) -> Result<Option<Source>, StoreError> {
        let sql = select_source!("", "JOIN source_groups g ON g.source_id = s.id WHERE g.group_id = $1");
        self.tx.row(sql, args![group_id.uuid()]).await?.as_ref().map(source).transpose()
    }

    /// Every membership in a source's groups.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_members(&mut self, id: SourceId) -> Result<Vec<SourceMember>, StoreError> {
        let sql = select_member!("WHERE g.source_id = $1 ORDER BY g.group_id, a.id");
        self.tx.rows(sql, args![id.uuid()]).await?.iter().map(member).collect()
    }

    /// The memberships of one of a source's groups.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_group_members(&mut self, group_id: GroupId) -> Result<Vec<SourceMember>, StoreError> {
        let sql = select_member!("WHERE g.group_id = $1 ORDER BY a.id");
        self.tx.rows(sql, args![group_id.uuid()]).await?.iter().map(member).collect()
    }

    /// The memberships of one person in the groups of their source.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_groups_of(&mut self, principal: PrincipalId) -> Result<Vec<SourceMember>, StoreError> {
        let sql = select_member!("WHERE a.principal_id = $1 ORDER BY g.group_id");
        self.tx.rows(sql, args![principal.uuid()]).await?.iter().map(member).collect()
    }
}

impl WriteTx {
    /// Adds a source.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_add(&mut self, source: &Source) -> Result<(), StoreError> {
        let sql = "INSERT INTO sources (id, name, kind, created_at) VALUES ($1, $2, $3, $4)";
        let args = args![source.id.uuid(), source.name.as_str(), source.kind.as_str(), source.created_at];
        self.tx.execute(sql, args).await?;
        if source.kind == SourceKind::Ldap {
            // A program of before cannot read this kind; where there is none, it may go on beside this one.
            self.tx.execute("UPDATE schema_floor SET version = 13 WHERE version < 13", args![]).await?;
        }
        Ok(())
    }

    /// Writes whether the brake is on.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_update(&mut self, source: &Source) -> Result<(), StoreError> {
        let sql = "UPDATE sources SET brake_since = $2, brake_cleared_at = $3 WHERE id = $1";
        let args = args![source.id.uuid(), source.brake_since, source.brake_cleared_at];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Keeps the hash of a source's token.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_token_add(
        &mut self,
        id: SourceId,
        hash: &TokenHash,
        token: &SourceToken,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO source_tokens (hash, source_id, created_at, created_by) VALUES ($1, $2, $3, $4)";
        let args = args![&hash.0, id.uuid(), token.created_at, token.created_by.as_str()];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Ends a source's tokens that were made before that moment, and returns how many.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_tokens_revoke(
        &mut self,
        id: SourceId,
        made_before: Timestamp,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let sql = "UPDATE source_tokens SET revoked_at = $3 \
                   WHERE source_id = $1 AND revoked_at IS NULL AND created_at < $2";
        self.tx.execute(sql, args![id.uuid(), made_before, now]).await
    }

    /// Makes a group a source's.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_group_add(&mut self, group: &SourceGroup) -> Result<(), StoreError> {
        let sql = "INSERT INTO source_groups (group_id, source_id, external_id, display_name, created_at, changed_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let args = args![
            group.group.uuid(),
            group.source.uuid(),
            group.external_id.clone(),
            group.display_name.as_str(),
            group.created_at,
            group.changed_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Writes what a source says of its group.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_group_update(&mut self, group: &SourceGroup) -> Result<(), StoreError> {
        let sql = "UPDATE source_groups SET external_id = $2, display_name = $3, changed_at = $4 WHERE group_id = $1";
        let args = args![group.group.uuid(), group.external_id.clone(), group.display_name.as_str(), group.changed_at];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Gives a group another name.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where another group has it.
    pub async fn group_rename(&mut self, id: GroupId, name: &GroupName) -> Result<(), StoreError> {
        if self.group_by_name(name).await?.is_some_and(|other| other.id != id) {
            return Err(StoreError::conflict(format!("group {name} exists already: see `doorward group show {name}`")));
        }
        let sql = "UPDATE people_groups SET name = $2 WHERE id = $1 AND removed_at IS NULL";
        self.tx.execute(sql, args![id.uuid(), name.as_str()]).await.map(drop)
    }
}

impl Store {
    /// Notes that a source's token was used; call it at most once a minute for each.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn source_token_used(&self, hash: &TokenHash, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("UPDATE source_tokens SET last_used_at = $2 WHERE hash = $1", args![&hash.0, at]).await?;
        tx.commit_observation().await
    }
}
