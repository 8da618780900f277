//! Web sessions, tokens of `doorward login`, and links to join: all that lets a person in, kept as hashes.

use doorward_domain::{Invitation, InvitationKind, LoginToken, Principal, TokenHash, WebSession};
use doorward_model::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::people::principal;
use crate::{ReadTx, Store, StoreError, WriteTx};

fn session(row: &Row) -> Result<WebSession, StoreError> {
    Ok(WebSession {
        id: row.get("id")?,
        principal: PrincipalId::new(row.get("principal_id")?),
        method: row.parsed("method")?,
        created_at: row.time("created_at")?,
        seen_at: row.time("seen_at")?,
        ends_at: row.time("ends_at")?,
        factor_at: row.time("factor_at")?,
        source: row.get("source")?,
        agent: row.get("agent")?,
        policy_pending: row.count("policy_pending")? != 0,
    })
}

fn login_token(row: &Row) -> Result<LoginToken, StoreError> {
    Ok(LoginToken {
        id: row.get("id")?,
        principal: PrincipalId::new(row.get("principal_id")?),
        name: row.get("name")?,
        created_at: row.time("created_at")?,
        expires_at: row.time("expires_at")?,
        factor_at: row.time("factor_at")?,
        last_used_at: row.time_opt("last_used_at")?,
    })
}

fn invitation(row: &Row) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        kind: row.parsed("kind")?,
        principal: row.get::<Option<Uuid>>("principal_id")?.map(PrincipalId::new),
        created_at: row.time("created_at")?,
        created_by: row.get("created_by")?,
        expires_at: row.time("expires_at")?,
        used_at: row.time_opt("used_at")?,
        replaced_at: row.time_opt("replaced_at")?,
    })
}

macro_rules! with_person {
    ($columns:literal, $table:literal) => {
        concat!(
            "SELECT s.id, s.principal_id, s.created_at, s.factor_at, ",
            $columns,
            ", p.id AS p_id, p.email AS p_email, p.name AS p_name, p.kind AS p_kind, ",
            "p.sponsor_id AS p_sponsor_id, p.state AS p_state, p.not_after AS p_not_after, ",
            "p.created_at AS p_created_at, p.changed_at AS p_changed_at, p.signed_in_until AS p_signed_in_until, ",
            "p.role AS p_role, p.signed_in_at AS p_signed_in_at FROM ",
            $table,
            " s JOIN principals p ON p.id = s.principal_id WHERE s.hash = $1"
        )
    };
}

impl ReadTx {
    /// The session with this hash and whose it is; whether it counts is for the caller to decide.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn web_session(&mut self, hash: &TokenHash) -> Result<Option<(WebSession, Principal)>, StoreError> {
        let row = self
            .tx
            .row(
                with_person!("s.method, s.seen_at, s.ends_at, s.source, s.agent, s.policy_pending", "web_sessions"),
                args![&hash.0],
            )
            .await?;
        row.map(|row| Ok((session(&row)?, principal(&row)?))).transpose()
    }

    /// A person's sessions, the latest first; those that are over too.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn web_sessions_of(&mut self, person: PrincipalId) -> Result<Vec<WebSession>, StoreError> {
        let sql = "SELECT hash, id, principal_id, method, created_at, seen_at, ends_at, factor_at, source, agent, policy_pending \
            FROM web_sessions WHERE principal_id = $1 ORDER BY seen_at DESC, id";
        self.tx.rows(sql, args![person.uuid()]).await?.iter().map(session).collect()
    }

    /// The token of `doorward login` with this hash and whose it is; whether it counts is for the caller to decide.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn login_token(&mut self, hash: &TokenHash) -> Result<Option<(LoginToken, Principal)>, StoreError> {
        let row =
            self.tx.row(with_person!("s.name, s.expires_at, s.last_used_at", "login_tokens"), args![&hash.0]).await?;
        row.map(|row| Ok((login_token(&row)?, principal(&row)?))).transpose()
    }

    /// A person's tokens of `doorward login`, the latest first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn login_tokens_of(&mut self, person: PrincipalId) -> Result<Vec<LoginToken>, StoreError> {
        let sql = "SELECT hash, id, principal_id, name, created_at, expires_at, factor_at, last_used_at \
            FROM login_tokens WHERE principal_id = $1 ORDER BY created_at DESC, id";
        self.tx.rows(sql, args![person.uuid()]).await?.iter().map(login_token).collect()
    }

    /// The link with this hash.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn invitation(&mut self, hash: &TokenHash) -> Result<Option<Invitation>, StoreError> {
        let row = self
            .tx
            .row(
                "SELECT hash, kind, principal_id, created_at, created_by, expires_at, used_at, replaced_at \
            FROM invitations WHERE hash = $1",
                args![&hash.0],
            )
            .await?;
        row.as_ref().map(invitation).transpose()
    }
}

impl WriteTx {
    /// Keeps a session.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn web_session_add(&mut self, hash: &TokenHash, session: &WebSession) -> Result<(), StoreError> {
        let sql = "INSERT INTO web_sessions (hash, id, principal_id, method, created_at, seen_at, ends_at, factor_at, \
                   source, agent, policy_pending) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let args = args![
            &hash.0,
            session.id,
            session.principal.uuid(),
            session.method.as_str(),
            session.created_at,
            session.seen_at,
            session.ends_at,
            session.factor_at,
            session.source.as_str(),
            session.agent.as_str(),
            i64::from(session.policy_pending),
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Notes that a second factor was proved in this session.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn web_session_factor(&mut self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        self.tx.execute("UPDATE web_sessions SET factor_at = $2 WHERE id = $1", args![id, now]).await.map(drop)
    }

    /// Notes whether the access policy has to be accepted before this session is good for anything else.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn web_session_policy(&mut self, id: Uuid, pending: bool) -> Result<(), StoreError> {
        let sql = "UPDATE web_sessions SET policy_pending = $2 WHERE id = $1";
        self.tx.execute(sql, args![id, i64::from(pending)]).await.map(drop)
    }

    /// Ends one of a person's sessions or tokens; returns whether there was one.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn session_end(&mut self, person: PrincipalId, id: Uuid) -> Result<bool, StoreError> {
        let mut ended = 0;
        for sql in [
            "DELETE FROM web_sessions WHERE id = $1 AND principal_id = $2",
            "DELETE FROM login_tokens WHERE id = $1 AND principal_id = $2",
        ] {
            ended += self.tx.execute(sql, args![id, person.uuid()]).await?;
        }
        Ok(ended > 0)
    }

    /// Ends all of a person's sessions, tokens, and ceremonies that are under way. Returns how many sessions and tokens.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn sessions_end(&mut self, person: PrincipalId) -> Result<u64, StoreError> {
        let mut ended: u64 = 0;
        for sql in
            ["DELETE FROM web_sessions WHERE principal_id = $1", "DELETE FROM login_tokens WHERE principal_id = $1"]
        {
            ended = ended.saturating_add(self.tx.execute(sql, args![person.uuid()]).await?);
        }
        self.tx.execute("DELETE FROM ceremonies WHERE principal_id = $1", args![person.uuid()]).await?;
        Ok(ended)
    }

    /// Ends all of a person's sessions and tokens but one.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn sessions_end_but(&mut self, person: PrincipalId, kept: Uuid) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM web_sessions WHERE principal_id = $1 AND id <> $2",
            "DELETE FROM login_tokens WHERE principal_id = $1 AND id <> $2",
        ] {
            self.tx.execute(sql, args![person.uuid(), kept]).await?;
        }
        Ok(())
    }

    /// Ends links that a person could still come in with.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn invitations_end(&mut self, person: PrincipalId, now: Timestamp) -> Result<u64, StoreError> {
        let sql = "UPDATE invitations SET replaced_at = $2 \
                   WHERE principal_id = $1 AND used_at IS NULL AND replaced_at IS NULL";
        self.tx.execute(sql, args![person.uuid(), now]).await
    }

    /// Keeps a token of `doorward login`.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn login_token_add(&mut self, hash: &TokenHash, token: &LoginToken) -> Result<(), StoreError> {
        let sql = "INSERT INTO login_tokens (hash, id, principal_id, name, created_at, expires_at, factor_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let args = args![
            &hash.0,
            token.id,
            token.principal.uuid(),
            token.name.as_str(),
            token.created_at,
            token.expires_at,
            token.factor_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Keeps a link, in place of those of the same kind and person that were not used.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn invitation_add(&mut self, hash: &TokenHash, link: &Invitation) -> Result<(), StoreError> {
        match (link.kind, link.principal) {
            (InvitationKind::Join, Some(person)) => drop(self.invitations_end(person, link.created_at).await?),
            (InvitationKind::Setup, _) | (InvitationKind::Join, None) => {
                let sql = "UPDATE invitations SET replaced_at = $1 \
                           WHERE kind = 'setup' AND used_at IS NULL AND replaced_at IS NULL";
                self.tx.execute(sql, args![link.created_at]).await?;
            }
        }
        let sql = "INSERT INTO invitations (hash, kind, principal_id, created_at, created_by, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let args = args![
            &hash.0,
            link.kind.as_str(),
            link.principal.map(PrincipalId::uuid),
            link.created_at,
            link.created_by.as_str(),
            link.expires_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Uses a link up.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn invitation_use(&mut self, hash: &TokenHash, now: Timestamp) -> Result<(), StoreError> {
        self.tx.execute("UPDATE invitations SET used_at = $2 WHERE hash = $1", args![&hash.0, now]).await.map(drop)
    }
}

impl Store {
    /// Notes that a session was used; call it when [`WebSession::is_seen_late`] says so.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn web_session_seen(&self, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("UPDATE web_sessions SET seen_at = $2 WHERE id = $1 AND seen_at < $2", args![id, at]).await?;
        tx.commit_observation().await
    }

    /// Notes that a token of `doorward login` was used; call it at most once a minute for each.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn login_token_used(&self, id: Uuid, at: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        tx.tx.execute("UPDATE login_tokens SET last_used_at = $2 WHERE id = $1", args![id, at]).await?;
        tx.commit_observation().await
    }
}
