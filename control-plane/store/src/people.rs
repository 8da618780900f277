//! People.

use doorward_domain::{Effect, EndedBy, Principal, PrincipalState, Role};
use doorward_model::{Email, PrincipalId, Timestamp};

use crate::db::{Row, args};
use crate::{ReadTx, StoreError, WriteTx};

/// How many there are, for the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// People who are active.
    pub people: u64,
    /// Devices that were not revoked.
    pub devices: u64,
    /// Grants that hold or begin later.
    pub grants: u64,
}

pub(crate) fn principal(row: &Row) -> Result<Principal, StoreError> {
    Ok(Principal {
        id: PrincipalId::new(row.get("p_id")?),
        email: row.parsed("p_email")?,
        name: row.parsed("p_name")?,
        kind: row.parsed("p_kind")?,
        sponsor: row.get::<Option<uuid::Uuid>>("p_sponsor_id")?.map(PrincipalId::new),
        state: row.parsed("p_state")?,
        role: row.parsed("p_role")?,
        not_after: row.time_opt("p_not_after")?,
        created_at: row.time("p_created_at")?,
        changed_at: row.time("p_changed_at")?,
        signed_in_until: row.time_opt("p_signed_in_until")?,
        signed_in_at: row.time_opt("p_signed_in_at")?,
    })
}

/// A person's columns, each with the prefix that [`principal`] reads.
macro_rules! person_columns {
    () => {
        "p.id AS p_id, p.email AS p_email, p.name AS p_name, p.kind AS p_kind, p.sponsor_id AS p_sponsor_id, \
         p.state AS p_state, p.not_after AS p_not_after, p.created_at AS p_created_at, p.changed_at AS p_changed_at, \
         p.signed_in_until AS p_signed_in_until, p.role AS p_role, p.signed_in_at AS p_signed_in_at"
    };
}
pub(crate) use person_columns;

macro_rules! select_person {
    ($tail:literal) => {
        concat!("SELECT ", crate::people::person_columns!(), " FROM principals p ", $tail)
    };
}
pub(crate) use select_person;

impl ReadTx {
    /// Who has this address, in whatever state.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn person_by_email(&mut self, email: &Email) -> Result<Option<Principal>, StoreError> {
        self.tx
            .row(select_person!("WHERE p.email = $1"), args![email.as_str()])
            .await?
            .as_ref()
            .map(principal)
            .transpose()
    }

    /// Who has this id, in whatever state.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn person(&mut self, id: PrincipalId) -> Result<Option<Principal>, StoreError> {
        self.tx.row(select_person!("WHERE p.id = $1"), args![id.uuid()]).await?.as_ref().map(principal).transpose()
    }

    /// Everybody, in whatever state, by address.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn people(&mut self) -> Result<Vec<Principal>, StoreError> {
        self.tx.rows(select_person!("ORDER BY p.email"), args![]).await?.iter().map(principal).collect()
    }

    /// Whom this person answers for and who has not departed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn people_sponsored_by(&mut self, sponsor: PrincipalId) -> Result<Vec<Principal>, StoreError> {
        let sql = select_person!("WHERE p.sponsor_id = $1 AND p.state <> 'departed' ORDER BY p.email");
        self.tx.rows(sql, args![sponsor.uuid()]).await?.iter().map(principal).collect()
    }

    /// Whose end date came without having been recorded.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn people_ended_unrecorded(&mut self, now: Timestamp) -> Result<Vec<Principal>, StoreError> {
        let sql = select_person!(
            "WHERE p.not_after <= $1 AND p.end_recorded_at IS NULL AND p.state <> 'departed' ORDER BY p.not_after"
        );
        self.tx.rows(sql, args![now]).await?.iter().map(principal).collect()
    }

    /// Who is here with this role.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn people_of_role(&mut self, role: Role) -> Result<Vec<Principal>, StoreError> {
        let sql = select_person!("WHERE p.role = $1 AND p.state = 'active' ORDER BY p.id");
        self.tx.rows(sql, args![role.as_str()]).await?.iter().map(principal).collect()
    }

    /// How many people, devices and grants there are.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn counts(&mut self, now: Timestamp) -> Result<Counts, StoreError> {
        let sql = "SELECT (SELECT COUNT(*) FROM principals WHERE state = 'active') AS people, \
                   (SELECT COUNT(*) FROM devices WHERE revoked_at IS NULL) AS devices, \
                   (SELECT COUNT(*) FROM grants WHERE revoked_at IS NULL AND not_after > $1) \
                   + (SELECT COUNT(*) FROM group_grants WHERE revoked_at IS NULL AND not_after > $1) AS grants";
        let row =
            self.tx.row(sql, args![now]).await?.ok_or_else(|| StoreError::not_found("the database gave no counts"))?;
        Ok(Counts { people: row.count("people")?, devices: row.count("devices")?, grants: row.count("grants")? })
    }
}

/// What ended with somebody's access beside devices and grants.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EndedWith {
    /// Browsers' sessions, and tokens of `doorward login`.
    pub sessions: u64,
    /// Links with which they could have come in.
    pub links: u64,
    /// API tokens that they had made, by name.
    pub tokens: Vec<String>,
}

impl WriteTx {
    /// Adds a person.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] where somebody has the address: it stays a person's after they left, and the sentence
    /// says how to take them back.
    pub async fn person_add(&mut self, person: &Principal) -> Result<(), StoreError> {
        if let Some(other) = self.person_by_email(&person.email).await? {
            let (email, state) = (&other.email, other.state);
            return Err(StoreError::conflict(match state {
                PrincipalState::Active => {
                    format!("{email} exists already: see `doorward person show {email}`")
                }
                PrincipalState::Suspended | PrincipalState::Departed => {
                    format!(
                        "{email} exists already and is {state}: run `doorward person restore {email}` to take them back"
                    )
                }
            }));
        }
        let sql = "INSERT INTO principals (id, email, name, kind, sponsor_id, state, not_after, created_at, changed_at, signed_in_until, role, signed_in_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let args = args![
            person.id.uuid(),
            person.email.as_str(),
            person.name.as_str(),
            person.kind.as_str(),
            person.sponsor.map(PrincipalId::uuid),
            person.state.as_str(),
            person.not_after,
            person.created_at,
            person.changed_at,
            person.signed_in_until,
            person.role.as_str(),
            person.signed_in_at,
        ];
        self.tx.execute(sql, args).await.map(drop)
    }

    /// Writes a person's state as it is afterwards; a later end date is recorded again when it comes.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown id.
    pub async fn person_update(&mut self, person: &Principal) -> Result<(), StoreError> {
        let sql = "UPDATE principals SET name = $2, kind = $3, sponsor_id = $4, state = $5, \
                   end_recorded_at = CASE WHEN not_after = $6 THEN end_recorded_at END, not_after = $6, changed_at = $7, \
                   signed_in_until = $8, role = $9, signed_in_at = $10 WHERE id = $1";
        let args = args![
            person.id.uuid(),
            person.name.as_str(),
            person.kind.as_str(),
            person.sponsor.map(PrincipalId::uuid),
            person.state.as_str(),
            person.not_after,
            person.changed_at,
            person.signed_in_until,
            person.role.as_str(),
            person.signed_in_at,
        ];
        match self.tx.execute(sql, args).await? {
            0 => Err(StoreError::not_found(format!("{} does not exist: see `doorward person list`", person.email))),
            _ => Ok(()),
        }
    }

    /// Writes what follows from offboarding, suspending or restoring somebody: the person, devices and grants; whoever
    /// is put out loses their sessions, login tokens and links with it.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] for an unknown person, device or grant.
    pub async fn effect_apply(&mut self, effect: &Effect, now: Timestamp) -> Result<EndedWith, StoreError> {
        let mut ended = EndedWith::default();
        self.person_update(&effect.principal).await?;
        if effect.principal.state != PrincipalState::Active {
            ended.sessions = self.sessions_end(effect.principal.id).await?;
            ended.links = self.invitations_end(effect.principal.id, now).await?;
        }
        for device in &effect.devices_revoked {
            self.device_revoke(*device, effect.reason, now).await?;
        }
        for grant in &effect.grants_revoked {
            self.grant_revoke(*grant, now).await?;
        }
        if effect.principal.state == PrincipalState::Departed {
            self.groups_leave_all(effect.principal.id).await?;
            // The source that put them out says so itself before this; for every other it is as done by hand.
            self.accounts_end(effect.principal.id, EndedBy::Hand, now).await?;
            ended.tokens = self.api_tokens_end(&format!("person:{}", effect.principal.email), now).await?;
        }
        Ok(ended)
    }

    /// Notes that a person's end is in the audit, so that it is recorded once.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn person_end_recorded(&mut self, id: PrincipalId, now: Timestamp) -> Result<(), StoreError> {
        self.tx
            .execute("UPDATE principals SET end_recorded_at = $2 WHERE id = $1", args![id.uuid(), now])
            .await
            .map(drop)
    }
}
