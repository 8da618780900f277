//! Attempts to sign in, and ceremonies that take two requests: what is counted and kept before anybody is known.

use doorward_domain::{Attempts, Denial, TokenHash};
use doorward_model::{PrincipalId, Timestamp};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// How long old attempts, used links and ended sessions are kept.
const KEPT: SignedDuration = SignedDuration::from_hours(24 * 30);

/// A ceremony that was taken: it is gone from the database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ceremony {
    /// Whose, where somebody was known when it began.
    pub principal: Option<PrincipalId>,
    /// What its begin left.
    pub state: String,
}

/// A ceremony that begins.
#[derive(Debug, Clone, Copy)]
pub struct NewCeremony<'a> {
    /// The hash of the secret that the browser holds.
    pub hash: TokenHash,
    /// What it is for; it ends as nothing else.
    pub kind: &'a str,
    /// Whose, where somebody is known.
    pub principal: Option<PrincipalId>,
    /// What its end needs.
    pub state: &'a str,
    /// When its time is over.
    pub expires_at: Timestamp,
}

fn attempts(row: &Row) -> Result<Attempts, StoreError> {
    Ok(Attempts {
        failures: row.count("failures")?,
        last_at: row.time("last_at")?,
        locked_until: row.time_opt("locked_until")?,
    })
}

impl ReadTx {
    /// The failures of an account or a source.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn attempts(&mut self, subject: &str) -> Result<Option<Attempts>, StoreError> {
        let row = self
            .tx
            .row(
                "SELECT subject, failures, last_at, locked_until \
            FROM sign_in_attempts WHERE subject = $1",
                args![subject],
            )
            .await?;
        row.as_ref().map(attempts).transpose()
    }
}

impl ReadTx {
    /// Says whether a ceremony of this kind still waits for its end.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn ceremony_waits(&mut self, hash: &TokenHash, kind: &str, now: Timestamp) -> Result<bool, StoreError> {
        let sql = "SELECT kind FROM ceremonies WHERE hash = $1 AND kind = $2 AND expires_at > $3";
        Ok(self.tx.row(sql, args![&hash.0, kind, now]).await?.is_some())
    }
}

impl WriteTx {
    /// Writes the failures of an account or a source.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn attempts_set(&mut self, subject: &str, attempts: &Attempts) -> Result<(), StoreError> {
        let sql = "INSERT INTO sign_in_attempts (subject, failures, last_at, locked_until) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (subject) DO UPDATE SET failures = excluded.failures, last_at = excluded.last_at, \
                   locked_until = excluded.locked_until";
        let args = args![subject, attempts.failures, attempts.last_at, attempts.locked_until];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Takes an attempt back that went well: all of the account's, and the one of the source.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn attempt_succeeded(&mut self, account: &str, source: &str) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM sign_in_attempts WHERE subject = $1", args![account]).await?;
        if let Some(before) = self.attempts(source).await? {
            self.attempts_set(source, &before.succeeded()).await?;
        }
        Ok(())
    }

    pub(crate) async fn accounts_prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let long_ago = now.checked_sub(KEPT).unwrap_or(Timestamp::MIN);
        for (sql, before) in [
            ("DELETE FROM ceremonies WHERE expires_at <= $1", now),
            ("DELETE FROM web_sessions WHERE ends_at <= $1", now),
            ("DELETE FROM login_tokens WHERE expires_at <= $1", now),
            ("DELETE FROM sign_in_attempts WHERE last_at <= $1", long_ago),
            ("DELETE FROM invitations WHERE expires_at <= $1", long_ago),
        ] {
            self.tx.execute(sql, args![before]).await?;
        }
        Ok(())
    }
}

impl Store {
    /// Counts an attempt of each subject before it is known how it goes. Returns those that it locks, or the denial of one
    /// that is locked; nothing is counted then.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn attempt_begin(
        &self,
        subjects: &[&str],
        now: Timestamp,
    ) -> Result<Result<Vec<String>, Denial>, StoreError> {
        let mut tx = self.write().await?;
        let mut locks = Vec::new();
        for subject in subjects {
            match Attempts::begin(tx.attempts(subject).await?.as_ref(), now) {
                Ok(after) => {
                    tx.attempts_set(subject, &after).await?;
                    if after.locked(now).is_some() {
                        locks.push((*subject).to_owned());
                    }
                }
                Err(denial) => return Ok(Err(denial)),
            }
        }
        tx.commit_observation().await?;
        Ok(Ok(locks))
    }

    /// Keeps what the end of a ceremony needs.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn ceremony_begin(&self, new: NewCeremony<'_>, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.write().await?;
        let sql = "INSERT INTO ceremonies (hash, kind, principal_id, state, created_at, expires_at) \
                   VALUES ($1, $2, $3, $4, $5, $6)";
        let principal = new.principal.map(PrincipalId::uuid);
        let args = args![&new.hash.0, new.kind, principal, new.state, now, new.expires_at];
        tx.tx.execute(sql, args).await?;
        tx.commit_observation().await
    }

    /// Takes a ceremony, once; nothing where there is none of this kind, or its time is over.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn ceremony_take(
        &self,
        hash: &TokenHash,
        kind: &str,
        now: Timestamp,
    ) -> Result<Option<Ceremony>, StoreError> {
        let mut tx = self.write().await?;
        let sql = "DELETE FROM ceremonies WHERE hash = $1 AND kind = $2 RETURNING principal_id, state, expires_at";
        let row = tx.tx.row(sql, args![&hash.0, kind]).await?;
        tx.commit_observation().await?;
        let Some(row) = row else { return Ok(None) };
        let principal = row.get::<Option<Uuid>>("principal_id")?.map(PrincipalId::new);
        let ceremony = Ceremony { principal, state: row.get("state")? };
        Ok((now < row.time("expires_at")?).then_some(ceremony))
    }
}
