//! Accounts: people as sources know them.

use doorward_domain::{Account, Burst, EndedBy, Principal, SourceKind};
use doorward_model::{AccountId, PrincipalId, SourceId, SourceName, Timestamp};

use crate::db::{Row, args};
use crate::people::{person_columns, principal};
use crate::{ReadTx, StoreError, WriteTx};

/// An account with its person.
pub type Held = (Account, Principal);

fn account(row: &Row) -> Result<Account, StoreError> {
    Ok(Account {
        id: AccountId::new(row.get("a_id")?),
        source: SourceId::new(row.get("a_source_id")?),
        principal: PrincipalId::new(row.get("p_id")?),
        external_id: row.get("a_external_id")?,
        user_name: row.get("a_user_name")?,
        profile: row.json("a_profile")?,
        suspended_at: row.time_opt("a_suspended_at")?,
        held_at: row.time_opt("a_held_at")?,
        by_hand_at: row.time_opt("a_by_hand_at")?,
        reactivated_at: row.time_opt("a_reactivated_at")?,
        deleted_at: row.time_opt("a_deleted_at")?,
        created_at: row.time("a_created_at")?,
        changed_at: row.time("a_changed_at")?,
    })
}

fn held(row: &Row) -> Result<Held, StoreError> {
    Ok((account(row)?, principal(row)?))
}

/// Live accounts with their people; `$tail` goes on with `AND`, or orders.
macro_rules! select_account {
    ($tail:literal) => {
        concat!(
            "SELECT a.id AS a_id, a.source_id AS a_source_id, a.external_id AS a_external_id, ",
            "a.user_name AS a_user_name, a.profile AS a_profile, a.suspended_at AS a_suspended_at, ",
            "a.held_at AS a_held_at, a.by_hand_at AS a_by_hand_at, a.reactivated_at AS a_reactivated_at, ",
            "a.deleted_at AS a_deleted_at, a.created_at AS a_created_at, a.changed_at AS a_changed_at, ",
            person_columns!(),
            " FROM accounts a JOIN principals p ON p.id = a.principal_id WHERE a.ended_at IS NULL ",
            $tail
        )
    };
}

/// What a source says of somebody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceWord {
    /// Whom.
    pub principal: PrincipalId,
    /// The source.
    pub name: SourceName,
    /// What kind of source it is.
    pub kind: SourceKind,
    /// Since when it says that they are not active.
    pub suspended_at: Option<Timestamp>,
}

impl ReadTx {
    /// An account that the source sees.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn account(&mut self, source: SourceId, id: AccountId) -> Result<Option<Held>, StoreError> {
        let sql = select_account!("AND a.deleted_at IS NULL AND a.source_id = $1 AND a.id = $2");
        self.tx.row(sql, args![source.uuid(), id.uuid()]).await?.as_ref().map(held).transpose()
    }

    /// All accounts that the source sees, by id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts(&mut self, source: SourceId) -> Result<Vec<Held>, StoreError> {
        let sql = select_account!("AND a.deleted_at IS NULL AND a.source_id = $1 ORDER BY a.id");
        self.tx.rows(sql, args![source.uuid()]).await?.iter().map(held).collect()
    }

    /// All accounts of a source, those that it deleted in a burst included, by id.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_all(&mut self, source: SourceId) -> Result<Vec<Held>, StoreError> {
        let sql = select_account!("AND a.source_id = $1 ORDER BY a.id");
        self.tx.rows(sql, args![source.uuid()]).await?.iter().map(held).collect()
    }

    /// The account of this user name, whatever its case, that the source sees.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_by_user_name(&mut self, source: SourceId, name: &str) -> Result<Vec<Held>, StoreError> {
        let sql = select_account!("AND a.deleted_at IS NULL AND a.source_id = $1 AND a.user_name_key = $2");
        self.tx.rows(sql, args![source.uuid(), name.to_lowercase()]).await?.iter().map(held).collect()
    }

    /// The accounts with this id of the source's own, that the source sees.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_by_external_id(&mut self, source: SourceId, id: &str) -> Result<Vec<Held>, StoreError> {
        let sql = select_account!("AND a.deleted_at IS NULL AND a.source_id = $1 AND a.external_id = $2 ORDER BY a.id");
        self.tx.rows(sql, args![source.uuid(), id]).await?.iter().map(held).collect()
    }

    /// The account of a person at the directory that manages them, deleted ones of a burst included.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn account_of(&mut self, person: PrincipalId) -> Result<Option<Account>, StoreError> {
        let sql = select_account!(
            "AND a.principal_id = $1 AND EXISTS (SELECT 1 FROM sources s WHERE s.id = a.source_id AND s.kind = 'scim')"
        );
        self.tx.row(sql, args![person.uuid()]).await?.as_ref().map(account).transpose()
    }

    /// The accounts of a person at all sources, deleted ones of a burst included.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_of(&mut self, person: PrincipalId) -> Result<Vec<Account>, StoreError> {
        let sql = select_account!("AND a.principal_id = $1 ORDER BY a.id");
        self.tx.rows(sql, args![person.uuid()]).await?.iter().map(account).collect()
    }

    /// What sources say of a person, or of everybody, in the order in which they spoke first.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn source_words(&mut self, person: Option<PrincipalId>) -> Result<Vec<SourceWord>, StoreError> {
        macro_rules! select {
            ($more:literal) => {
                concat!(
                    "SELECT a.principal_id, s.name, s.kind, a.suspended_at FROM accounts a ",
                    "JOIN sources s ON s.id = a.source_id WHERE a.ended_at IS NULL ",
                    $more,
                    " ORDER BY a.id"
                )
            };
        }
        let rows = match person {
            Some(person) => self.tx.rows(select!("AND a.principal_id = $1"), args![person.uuid()]).await?,
            None => self.tx.rows(select!(""), args![]).await?,
        };
        let word = |row: &Row| {
            Ok(SourceWord {
                principal: PrincipalId::new(row.get("principal_id")?),
                name: row.parsed("name")?,
                kind: row.parsed("kind")?,
                suspended_at: row.time_opt("suspended_at")?,
            })
        };
        rows.iter().map(word).collect()
    }

    /// Whose account a person had last at a directory that managed them, and who ended it.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn account_ended(&mut self, person: PrincipalId) -> Result<Option<(SourceId, EndedBy)>, StoreError> {
        let sql = "SELECT source_id, ended_by FROM accounts WHERE principal_id = $1 AND ended_at IS NOT NULL \
                   AND EXISTS (SELECT 1 FROM sources s WHERE s.id = source_id AND s.kind = 'scim') \
                   ORDER BY ended_at DESC LIMIT 1";
        let row = self.tx.row(sql, args![person.uuid()]).await?;
        row.map(|row| Ok((SourceId::new(row.get("source_id")?), row.parsed("ended_by")?))).transpose()
    }

    /// Accounts that the source says are not active, or whose return waits for a decision, since then; those that it
    /// deleted in a burst included, and without those that it made inactive.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_in_burst(&mut self, source: SourceId, since: Timestamp) -> Result<Vec<Held>, StoreError> {
        let sql = select_account!(
            "AND a.source_id = $1 AND a.suspended_at <> a.created_at AND (a.suspended_at >= $2 OR a.held_at IS NOT NULL) ORDER BY a.id"
        );
        self.tx.rows(sql, args![source.uuid(), since]).await?.iter().map(held).collect()
    }

    /// Accounts of which somebody should look whether they are due: suspended before that moment, or deleted in a burst.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn accounts_maybe_due(&mut self, before: Timestamp) -> Result<Vec<Held>, StoreError> {
        let sql = select_account!(
            "AND a.suspended_at IS NOT NULL AND a.held_at IS NULL AND (a.suspended_at <= $1 OR a.deleted_at IS NOT NULL) AND EXISTS (SELECT 1 FROM sources s WHERE s.id = a.source_id AND s.brake_since IS NULL) ORDER BY a.suspended_at LIMIT 100"
        );
        self.tx.rows(sql, args![before]).await?.iter().map(held).collect()
    }

    /// What a source did since then. Accounts that it made already suspended are none that it disabled.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn burst(&mut self, source: SourceId, since: Timestamp) -> Result<Burst, StoreError> {
        let sql = "SELECT \
            COUNT(CASE WHEN (suspended_at >= $2 AND suspended_at > created_at AND ended_at IS NULL) \
                OR (ended_at >= $2 AND ended_by = 'source' AND (suspended_at IS NULL OR suspended_at >= $2)) THEN 1 END) AS disabled, \
            COUNT(CASE WHEN reactivated_at >= $2 AND ended_at IS NULL THEN 1 END) AS reactivated, \
            COUNT(CASE WHEN suspended_at IS NULL AND ended_at IS NULL THEN 1 END) AS active, \
            COUNT(CASE WHEN ended_at IS NULL THEN 1 END) AS people \
            FROM accounts WHERE source_id = $1";
        let row = self.tx.row(sql, args![source.uuid(), since]).await?;
        let row = row.ok_or_else(|| StoreError::not_found("the database gave no counts"))?;
        Ok(Burst {
            disabled: row.count("disabled")?,
            reactivated: row.count("reactivated")?,
            active: row.count("active")?,
            people: row.count("people")?,
        })
    }
}

impl WriteTx {
    /// Adds an account.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the source has one of that user name.
    pub async fn account_add(&mut self, account: &Account) -> Result<(), StoreError> {
        self.require_free(account).await?;
        let sql = "INSERT INTO accounts (id, source_id, principal_id, external_id, user_name, user_name_key, profile, \
                   created_at, changed_at, suspended_at, by_hand_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";
        let args = args![
            account.id.uuid(),
            account.source.uuid(),
            account.principal.uuid(),
            account.external_id.clone(),
            account.user_name.as_str(),
            account.user_name.to_lowercase(),
            profile(account)?,
            account.created_at,
            account.changed_at,
            account.suspended_at,
            account.by_hand_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Writes an account as it is afterwards.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where the source has another one of that user name.
    pub async fn account_update(&mut self, account: &Account) -> Result<(), StoreError> {
        self.require_free(account).await?;
        let sql = "UPDATE accounts SET external_id = $2, user_name = $3, user_name_key = $4, profile = $5, \
                   changed_at = $6, suspended_at = $7, held_at = $8, by_hand_at = $9, reactivated_at = $10, \
                   deleted_at = $11 WHERE id = $1";
        let args = args![
            account.id.uuid(),
            account.external_id.clone(),
            account.user_name.as_str(),
            account.user_name.to_lowercase(),
            profile(account)?,
            account.changed_at,
            account.suspended_at,
            account.held_at,
            account.by_hand_at,
            account.reactivated_at,
            account.deleted_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    async fn require_free(&mut self, account: &Account) -> Result<(), StoreError> {
        if account.deleted_at.is_some() {
            return Ok(());
        }
        let others = self.accounts_by_user_name(account.source, &account.user_name).await?;
        if others.iter().any(|(other, _)| other.id != account.id) {
            let name = doorward_model::repeatable(&account.user_name, 100);
            return Err(StoreError::conflict(format!("a user with the userName {name} exists already")));
        }
        Ok(())
    }

    /// Ends an account.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn account_end(&mut self, id: AccountId, by: EndedBy, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET ended_at = $2, ended_by = $3 WHERE id = $1 AND ended_at IS NULL";
        self.tx.execute(sql, args![id.uuid(), now, by.as_str()]).await.map(drop)
    }

    /// Ends whatever accounts a person has.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn accounts_end(&mut self, person: PrincipalId, by: EndedBy, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE accounts SET ended_at = $2, ended_by = $3 WHERE principal_id = $1 AND ended_at IS NULL";
        self.tx.execute(sql, args![person.uuid(), now, by.as_str()]).await.map(drop)
    }

    /// Gives a person another address. The API tokens that they made go on naming them, so that nobody gives access to
    /// themselves through a token of an earlier address.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing; ask first who has the address.
    pub async fn person_readdress(&mut self, person: &Principal) -> Result<(), StoreError> {
        let sql = "UPDATE api_tokens SET created_by = 'person:' || $2 \
                   WHERE created_by = (SELECT 'person:' || email FROM principals WHERE id = $1)";
        self.tx.execute(sql, args![person.id.uuid(), person.email.as_str()]).await?;
        let sql = "UPDATE principals SET email = $2 WHERE id = $1";
        self.tx.execute(sql, args![person.id.uuid(), person.email.as_str()]).await.map(drop)
    }
}

fn profile(account: &Account) -> Result<String, StoreError> {
    serde_json::to_string(&account.profile).map_err(|source| StoreError::corrupt("profile", source))
}
