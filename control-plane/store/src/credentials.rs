//! What people sign in with: passkeys, passwords, time-based codes, recovery codes; and who they are to identity providers.

use doorward_domain::{Credentials, StoredPasskey, StoredTotp, TokenHash};
use doorward_model::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

fn passkey(row: &Row) -> Result<StoredPasskey, StoreError> {
    Ok(StoredPasskey {
        id: row.get("id")?,
        principal: PrincipalId::new(row.get("principal_id")?),
        credential_id: row.get("credential_id")?,
        rp_id: row.get("rp_id")?,
        name: row.get("name")?,
        credential: row.get("credential")?,
        created_at: row.time("created_at")?,
        last_used_at: row.time_opt("last_used_at")?,
        refused_at: row.time_opt("refused_at")?,
    })
}

impl ReadTx {
    /// What a person can sign in with.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn credentials(&mut self, person: PrincipalId) -> Result<Credentials, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM passkeys WHERE principal_id = $1 AND refused_at IS NULL) AS passkeys, \
                   (SELECT COUNT(*) FROM passwords WHERE principal_id = $1) AS passwords, \
                   (SELECT COUNT(*) FROM totps WHERE principal_id = $1) AS totps, \
                   (SELECT COUNT(*) FROM recovery_codes WHERE principal_id = $1 AND used_at IS NULL) AS codes";
        let row = self.tx.row(sql, args![person.uuid()]).await?;
        let row = row.ok_or_else(|| StoreError::not_found("the database gave no counts"))?;
        Ok(Credentials {
            passkeys: row.count("passkeys")?,
            password: row.count("passwords")? > 0,
            totp: row.count("totps")? > 0,
            recovery_codes: row.count("codes")?,
        })
    }

    /// Says whether an active owner can sign in: while none can, the first run goes on.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn has_owner_with_credentials(&mut self) -> Result<bool, StoreError> {
        let sql = "SELECT p.id AS id FROM principals p WHERE p.role = 'owner' AND p.state = 'active' AND ( \
                   EXISTS (SELECT 1 FROM passkeys k WHERE k.principal_id = p.id AND k.refused_at IS NULL) OR ( \
                   EXISTS (SELECT 1 FROM passwords w WHERE w.principal_id = p.id) AND \
                   EXISTS (SELECT 1 FROM totps c WHERE c.principal_id = p.id)) OR \
                   EXISTS (SELECT 1 FROM identities i WHERE i.principal_id = p.id)) LIMIT 1";
        Ok(self.tx.row(sql, args![]).await?.is_some())
    }

    /// A person's passkeys, the oldest first; refused ones too.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn passkeys_of(&mut self, person: PrincipalId) -> Result<Vec<StoredPasskey>, StoreError> {
        let sql = "SELECT id, principal_id, credential_id, rp_id, name, credential, created_at, last_used_at, refused_at \
            FROM passkeys WHERE principal_id = $1 ORDER BY created_at, id";
        self.tx.rows(sql, args![person.uuid()]).await?.iter().map(passkey).collect()
    }

    /// The passkey that an authenticator names.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn passkey_named(&mut self, credential_id: &[u8]) -> Result<Option<StoredPasskey>, StoreError> {
        let sql = "SELECT id, principal_id, credential_id, rp_id, name, credential, created_at, last_used_at, refused_at \
            FROM passkeys WHERE credential_id = $1";
        self.tx.row(sql, args![credential_id]).await?.as_ref().map(passkey).transpose()
    }

    /// The hash of a person's password.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn password_of(&mut self, person: PrincipalId) -> Result<Option<String>, StoreError> {
        let row = self.tx.row("SELECT hash FROM passwords WHERE principal_id = $1", args![person.uuid()]).await?;
        row.map(|row| row.get("hash")).transpose()
    }

    /// A person's sealed seed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn totp_of(&mut self, person: PrincipalId) -> Result<Option<StoredTotp>, StoreError> {
        let row = self
            .tx
            .row(
                "SELECT principal_id, sealed, last_step, created_at \
            FROM totps WHERE principal_id = $1",
                args![person.uuid()],
            )
            .await?;
        let totp = |row: Row| {
            Ok(StoredTotp {
                principal: person,
                sealed: row.get("sealed")?,
                last_step: row.count("last_step")?,
                created_at: row.time("created_at")?,
            })
        };
        row.map(totp).transpose()
    }

    /// Who this is to us, by what the provider says of them; never by email address.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn identity(&mut self, issuer: &str, subject: &str) -> Result<Option<PrincipalId>, StoreError> {
        let sql = "SELECT principal_id FROM identities WHERE issuer = $1 AND subject = $2";
        let row = self.tx.row(sql, args![issuer, subject]).await?;
        row.map(|row| row.get("principal_id").map(PrincipalId::new)).transpose()
    }

    /// Whose the provider's session is, of those with which people signed in last.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn identity_of_session(&mut self, issuer: &str, sid: &str) -> Result<Option<PrincipalId>, StoreError> {
        let sql = "SELECT principal_id FROM identities WHERE issuer = $1 AND sid = $2 LIMIT 1";
        let row = self.tx.row(sql, args![issuer, sid]).await?;
        row.map(|row| row.get("principal_id").map(PrincipalId::new)).transpose()
    }
}

impl ReadTx {
    /// Says whether an identity provider's account is linked to somebody.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn has_identity(&mut self, person: PrincipalId) -> Result<bool, StoreError> {
        let sql = "SELECT issuer FROM identities WHERE principal_id = $1 LIMIT 1";
        Ok(self.tx.row(sql, args![person.uuid()]).await?.is_some())
    }
}

impl WriteTx {
    /// Keeps a passkey.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it is registered already, with anybody.
    pub async fn passkey_add(&mut self, passkey: &StoredPasskey) -> Result<(), StoreError> {
        if self.passkey_named(&passkey.credential_id).await?.is_some() {
            return Err(StoreError::conflict(
                "this passkey is registered already: use another one, or sign in with it",
            ));
        }
        let sql = "INSERT INTO passkeys (id, principal_id, credential_id, rp_id, name, credential, created_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let args = args![
            passkey.id,
            passkey.principal.uuid(),
            passkey.credential_id.as_slice(),
            passkey.rp_id.as_str(),
            passkey.name.as_str(),
            passkey.credential.as_str(),
            passkey.created_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Notes that a passkey was used, with its counter.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn passkey_used(&mut self, id: Uuid, credential: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE passkeys SET credential = $2, last_used_at = $3 WHERE id = $1";
        self.tx.execute(sql, args![id, credential, now]).await.map(drop)
    }

    /// Refuses a passkey from here on.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn passkey_refuse(&mut self, id: Uuid, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE passkeys SET refused_at = $2 WHERE id = $1 AND refused_at IS NULL";
        self.tx.execute(sql, args![id, now]).await.map(drop)
    }

    /// Removes a person's passkey.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] where they have none with this id.
    pub async fn passkey_remove(&mut self, person: PrincipalId, id: Uuid) -> Result<(), StoreError> {
        let sql = "DELETE FROM passkeys WHERE id = $1 AND principal_id = $2";
        match self.tx.execute(sql, args![id, person.uuid()]).await? {
            0 => Err(StoreError::not_found("you have no such passkey: look at the list again")),
            _ => Ok(()),
        }
    }

    /// Sets a person's password.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn password_set(&mut self, person: PrincipalId, hash: &str, now: Timestamp) -> Result<(), StoreError> {
        let sql = "INSERT INTO passwords (principal_id, hash, changed_at) VALUES ($1, $2, $3) \
                   ON CONFLICT (principal_id) DO UPDATE SET hash = excluded.hash, changed_at = excluded.changed_at";
        self.tx.execute(sql, args![person.uuid(), hash, now]).await.map(drop)
    }

    /// Sets a person's seed, and the step of the code that proved it.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn totp_set(&mut self, totp: &StoredTotp) -> Result<(), StoreError> {
        let sql = "INSERT INTO totps (principal_id, sealed, last_step, created_at) VALUES ($1, $2, $3, $4) \
                   ON CONFLICT (principal_id) DO UPDATE SET sealed = excluded.sealed, last_step = excluded.last_step, \
                   created_at = excluded.created_at";
        let args = args![totp.principal.uuid(), totp.sealed.as_slice(), totp.last_step, totp.created_at];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Uses up the code of `step`; returns whether it counted. A code counts once, and none before it.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn totp_use(&mut self, person: PrincipalId, step: u64) -> Result<bool, StoreError> {
        let sql = "UPDATE totps SET last_step = $2 WHERE principal_id = $1 AND last_step < $2";
        Ok(self.tx.execute(sql, args![person.uuid(), step]).await? > 0)
    }

    /// Replaces a person's recovery codes.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn recovery_codes_set(
        &mut self,
        person: PrincipalId,
        codes: &[TokenHash],
        now: Timestamp,
    ) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM recovery_codes WHERE principal_id = $1", args![person.uuid()]).await?;
        let sql = "INSERT INTO recovery_codes (principal_id, hash, created_at) VALUES ($1, $2, $3)";
        for code in codes {
            self.tx.execute(sql, args![person.uuid(), &code.0, now]).await?;
        }
        Ok(())
    }

    /// Uses a recovery code up; returns whether there was one.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn recovery_code_use(
        &mut self,
        person: PrincipalId,
        code: &TokenHash,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let sql = "UPDATE recovery_codes SET used_at = $3 WHERE principal_id = $1 AND hash = $2 AND used_at IS NULL";
        Ok(self.tx.execute(sql, args![person.uuid(), &code.0, now]).await? > 0)
    }

    /// Takes away everything that a person could sign in with, before they get something else.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn credentials_clear(&mut self, person: PrincipalId) -> Result<(), StoreError> {
        for sql in [
            "DELETE FROM passkeys WHERE principal_id = $1",
            "DELETE FROM passwords WHERE principal_id = $1",
            "DELETE FROM totps WHERE principal_id = $1",
            "DELETE FROM recovery_codes WHERE principal_id = $1",
            "DELETE FROM identities WHERE principal_id = $1",
        ] {
            self.tx.execute(sql, args![person.uuid()]).await?;
        }
        Ok(())
    }

    /// Links what a provider says of somebody to a person.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where it is somebody's already.
    pub async fn identity_link(
        &mut self,
        issuer: &str,
        subject: &str,
        person: PrincipalId,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        if self.identity(issuer, subject).await?.is_some() {
            return Err(StoreError::conflict("this account of the identity provider is linked to somebody already"));
        }
        let sql = "INSERT INTO identities (issuer, subject, principal_id, linked_at) VALUES ($1, $2, $3, $4)";
        self.tx.execute(sql, args![issuer, subject, person.uuid(), now]).await.map(drop)
    }

    /// Notes that somebody signed in through a provider, and what it calls that session.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn identity_used(
        &mut self,
        issuer: &str,
        subject: &str,
        sid: Option<&str>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "UPDATE identities SET last_used_at = $3, sid = $4 WHERE issuer = $1 AND subject = $2";
        self.tx.execute(sql, args![issuer, subject, now, sid.map(ToOwned::to_owned)]).await.map(drop)
    }
}
