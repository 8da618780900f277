//! What people look through in pages: filtered, sorted and cut by the database, with what a row needs joined to it, so
//! that a page costs the same with ten people and with ten thousand.

use doorward_domain::{AuditRow, Device, Grant, PrincipalKind, PrincipalState};
use doorward_model::{DeviceId, Email, GroupName, PersonName, ResourceId, ResourceName, Timestamp};

use crate::audit::audit_row;
use crate::db::{Row, args, int};
use crate::devices::{device, device_columns};
use crate::grants::{every_grant, grant, grant_columns};
use crate::{ReadTx, StoreError};

/// Rows on one page at most.
pub const PAGE_ROWS_MAX: u32 = 100;

/// What to look for, and which part of what is found.
#[derive(Debug, Clone, Default)]
pub struct Search {
    /// Part of an address or a name, in any case; empty: everything.
    pub text: String,
    /// Rows to pass over.
    pub skip: u32,
    /// Rows to give, [`PAGE_ROWS_MAX`] at most.
    pub rows: u32,
}

impl Search {
    /// The text as a pattern of LIKE; empty where nothing was asked for.
    fn pattern(&self) -> String {
        let text = self.text.trim().to_lowercase();
        if text.is_empty() {
            return text;
        }
        let escaped = text.replace('\\', "\\\\").replace('%', "\\%").replace('_', "\\_");
        format!("%{escaped}%")
    }

    fn rows(&self) -> i64 {
        i64::from(self.rows.min(PAGE_ROWS_MAX))
    }
}

/// A part of what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found<T> {
    /// The rows asked for.
    pub rows: Vec<T>,
    /// How many there are in all.
    pub total: u64,
}

/// A person in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// The email address.
    pub email: Email,
    /// The name.
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PrincipalKind,
    /// Active, suspended or departed.
    pub state: PrincipalState,
    /// When access ends at the latest.
    pub not_after: Option<Timestamp>,
    /// Devices that were not revoked.
    pub devices: u64,
    /// Grants that hold or begin later.
    pub grants: u64,
}

/// A device in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device.
    pub device: Device,
    /// Whose it is.
    pub email: Email,
}

/// A grant in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantRow {
    /// The grant.
    pub grant: Grant,
    /// Whose it is; `None` for a group's.
    pub email: Option<Email>,
    /// The group that has it.
    pub group: Option<GroupName>,
    /// What it leads to.
    pub resource: ResourceName,
}

impl GrantRow {
    /// Says whose it is, for a cell.
    #[must_use]
    pub fn who(&self) -> String {
        match (&self.email, &self.group) {
            (Some(email), _) => email.to_string(),
            (None, Some(group)) => format!("group {group}"),
            (None, None) => String::new(),
        }
    }
}

fn person_row(row: &Row) -> Result<PersonRow, StoreError> {
    Ok(PersonRow {
        email: row.parsed("email")?,
        name: row.parsed("name")?,
        kind: row.parsed("kind")?,
        state: row.parsed("state")?,
        not_after: row.time_opt("not_after")?,
        devices: row.count("devices")?,
        grants: row.count("grants")?,
    })
}

fn device_row(row: &Row) -> Result<DeviceRow, StoreError> {
    Ok(DeviceRow { device: device(row)?, email: row.parsed("email")? })
}

fn grant_row(row: &Row) -> Result<GrantRow, StoreError> {
    Ok(GrantRow {
        grant: grant(row)?,
        email: row.parsed_opt("email")?,
        group: row.parsed_opt("group_name")?,
        resource: row.parsed("resource")?,
    })
}

macro_rules! people_found {
    () => {
        "FROM principals p WHERE ($1 = '' OR p.state = $1) \
         AND ($2 = '' OR p.email LIKE $2 ESCAPE '\\' OR lower(p.name) LIKE $2 ESCAPE '\\')"
    };
}

macro_rules! devices_found {
    () => {
        "FROM devices d JOIN principals p ON p.id = d.principal_id WHERE d.revoked_at IS NULL \
         AND ($1 = '' OR p.email LIKE $1 ESCAPE '\\' OR lower(d.name) LIKE $1 ESCAPE '\\')"
    };
}

macro_rules! grants_found {
    () => {
        concat!(
            "FROM ",
            every_grant!(),
            "LEFT JOIN principals p ON p.id = g.principal_id LEFT JOIN people_groups gr ON gr.id = g.group_id ",
            "JOIN resources r ON r.id = g.resource_id WHERE g.revoked_at IS NULL AND g.not_after > $1 ",
            "AND ($2 = '' OR p.email LIKE $2 ESCAPE '\\' OR lower(gr.name) LIKE $2 ESCAPE '\\' ",
            "OR lower(r.name) LIKE $2 ESCAPE '\\')"
        )
    };
}

impl ReadTx {
    /// People by address, of one state or (`None`) of all.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn people_found(
        &mut self,
        state: Option<PrincipalState>,
        search: &Search,
        now: Timestamp,
    ) -> Result<Found<PersonRow>, StoreError> {
        let (state, pattern) = (state.map_or("", PrincipalState::as_str), search.pattern());
        let total =
            self.total(concat!("SELECT COUNT(*) AS total ", people_found!()), args![state, pattern.as_str()]).await?;
        let sql = concat!(
            "SELECT p.email, p.name, p.kind, p.state, p.not_after, ",
            "(SELECT COUNT(*) FROM devices d WHERE d.principal_id = p.id AND d.revoked_at IS NULL) AS devices, ",
            "(SELECT COUNT(*) FROM grants g WHERE g.principal_id = p.id AND g.revoked_at IS NULL AND g.not_after > $3) ",
            "+ (SELECT COUNT(*) FROM group_grants g JOIN group_members m ON m.group_id = g.group_id ",
            "WHERE m.principal_id = p.id AND g.revoked_at IS NULL AND g.not_after > $3) AS grants ",
            people_found!(),
            " ORDER BY p.email LIMIT $4 OFFSET $5"
        );
        let args = args![state, pattern.as_str(), now, search.rows(), i64::from(search.skip)];
        Ok(Found { rows: self.tx.rows(sql, args).await?.iter().map(person_row).collect::<Result<_, _>>()?, total })
    }

    /// Devices that were not revoked, by owner and name.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn devices_found(&mut self, search: &Search) -> Result<Found<DeviceRow>, StoreError> {
        let pattern = search.pattern();
        let total = self.total(concat!("SELECT COUNT(*) AS total ", devices_found!()), args![pattern.as_str()]).await?;
        let sql = concat!(
            "SELECT p.email AS email, ",
            device_columns!(),
            " ",
            devices_found!(),
            " ORDER BY p.email, d.name LIMIT $2 OFFSET $3"
        );
        let args = args![pattern.as_str(), search.rows(), i64::from(search.skip)];
        Ok(Found { rows: self.tx.rows(sql, args).await?.iter().map(device_row).collect::<Result<_, _>>()?, total })
    }

    /// These devices, revoked or not, with whose they are.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn devices_by_ids(&mut self, ids: &[DeviceId]) -> Result<Vec<DeviceRow>, StoreError> {
        let ids: Vec<_> = ids.iter().map(|id| id.uuid()).collect();
        let sql = concat!(
            "SELECT p.email AS email, ",
            device_columns!(),
            " FROM devices d JOIN principals p ON p.id = d.principal_id WHERE d.id IN "
        );
        self.tx.rows_in(sql, &ids, "").await?.iter().map(device_row).collect()
    }

    /// Grants that hold or begin later, those that end first at the beginning.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_found(&mut self, search: &Search, now: Timestamp) -> Result<Found<GrantRow>, StoreError> {
        let pattern = search.pattern();
        let total =
            self.total(concat!("SELECT COUNT(*) AS total ", grants_found!()), args![now, pattern.as_str()]).await?;
        let sql = concat!(
            "SELECT ",
            grant_columns!(),
            ", p.email AS email, gr.name AS group_name, r.name AS resource ",
            grants_found!(),
            " ORDER BY g.not_after, g.id LIMIT $3 OFFSET $4"
        );
        let args = args![now, pattern.as_str(), search.rows(), i64::from(search.skip)];
        Ok(Found { rows: self.tx.rows(sql, args).await?.iter().map(grant_row).collect::<Result<_, _>>()?, total })
    }

    /// How many grants of each resource hold or begin later.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn grants_by_resource(&mut self, now: Timestamp) -> Result<Vec<(ResourceId, u64)>, StoreError> {
        let sql = concat!(
            "SELECT g.resource_id AS resource_id, COUNT(*) AS total FROM ",
            every_grant!(),
            "WHERE g.revoked_at IS NULL AND g.not_after > $1 GROUP BY g.resource_id"
        );
        let rows = self.tx.rows(sql, args![now]).await?;
        rows.iter().map(|row| Ok((ResourceId::new(row.get("resource_id")?), row.count("total")?))).collect()
    }

    /// The rows of the audit before that number, the latest first, whose action begins with `action` and in which the
    /// text stands somewhere.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn audit_found(
        &mut self,
        before: u64,
        action: &str,
        search: &Search,
    ) -> Result<Vec<AuditRow>, StoreError> {
        let sql = "SELECT seq, at, actor, action, subject, detail, previous_hash, hash \
            FROM audit WHERE seq < $1 AND ($2 = '' OR action LIKE $2 ESCAPE '\\') AND ($3 = '' \
                   OR lower(actor) LIKE $3 ESCAPE '\\' OR lower(subject) LIKE $3 ESCAPE '\\' OR lower(detail) LIKE $3 ESCAPE '\\') \
                   ORDER BY seq DESC LIMIT $4";
        let family = Search { text: action.to_owned(), ..Search::default() }.pattern();
        let family = family.strip_prefix('%').unwrap_or_default();
        let pattern = search.pattern();
        let args = args![int(before), family, pattern.as_str(), search.rows()];
        self.tx.rows(sql, args).await?.iter().map(audit_row).collect()
    }

    async fn total(&mut self, sql: &'static str, args: Vec<crate::db::Arg>) -> Result<u64, StoreError> {
        let row = self.tx.row(sql, args).await?;
        row.ok_or_else(|| StoreError::not_found("the database gave no count"))?.count("total")
    }
}
