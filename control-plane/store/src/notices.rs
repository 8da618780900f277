//! What ends soon, and who was told.

use std::time::Duration;

use doorward_domain::{EndNotice, EndingKind};
use doorward_model::{GroupId, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::{ReadTx, Store, StoreError, WriteTx};

/// Rows of one answer at most.
const ROWS_MAX: i64 = 1_000;

/// Something that ends within the time that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// What kind of thing.
    pub kind: EndingKind,
    /// Its id.
    pub subject: Uuid,
    /// When it began.
    pub began: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Whose it is; `None` for a group's grant.
    pub principal: Option<PrincipalId>,
    /// The group whose grant ends.
    pub group: Option<GroupId>,
    /// Its name.
    pub what: String,
}

pub(crate) fn notice(row: &Row) -> Result<EndNotice, StoreError> {
    Ok(EndNotice {
        kind: row.parsed("kind")?,
        subject: row.get("subject_id")?,
        ends_at: row.time("ends_at")?,
        lead: Duration::from_secs(row.count("lead_seconds")?),
        principal: row.get::<Option<Uuid>>("principal_id")?.map(PrincipalId::new),
        group: row.get::<Option<Uuid>>("group_id")?.map(GroupId::new),
        what: row.get("what")?,
        noticed_at: row.time("noticed_at")?,
    })
}

impl ReadTx {
    /// What ends after `now` and up to `until`, the earliest first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn endings(&mut self, now: Timestamp, until: Timestamp) -> Result<Vec<Ending>, StoreError> {
        let sql = "SELECT e.kind AS kind, e.id AS id, e.began AS began, e.ends_at AS ends_at, \
                   e.principal_id AS principal_id, e.group_id AS group_id, e.what AS what FROM (\
                   SELECT 'grant' AS kind, g.id AS id, g.not_before AS began, g.not_after AS ends_at, \
                   g.principal_id AS principal_id, NULL AS group_id, r.name AS what \
                   FROM grants g JOIN resources r ON r.id = g.resource_id JOIN principals p ON p.id = g.principal_id \
                   WHERE g.revoked_at IS NULL AND p.state = 'active' AND g.not_after > $1 AND g.not_after <= $2 UNION ALL \
                   SELECT 'grant' AS kind, g.id AS id, g.not_before AS began, g.not_after AS ends_at, \
                   NULL AS principal_id, g.group_id AS group_id, r.name AS what \
                   FROM group_grants g JOIN resources r ON r.id = g.resource_id \
                   WHERE g.revoked_at IS NULL AND g.not_after > $1 AND g.not_after <= $2 UNION ALL \
                   SELECT 'person' AS kind, p.id AS id, p.created_at AS began, p.not_after AS ends_at, \
                   p.id AS principal_id, NULL AS group_id, p.name AS what \
                   FROM principals p WHERE p.state = 'active' AND p.not_after > $1 AND p.not_after <= $2 UNION ALL \
                   SELECT 'device' AS kind, d.id AS id, d.created_at AS began, d.not_after AS ends_at, \
                   d.principal_id AS principal_id, NULL AS group_id, d.name AS what \
                   FROM devices d JOIN principals p ON p.id = d.principal_id \
                   WHERE d.revoked_at IS NULL AND p.state = 'active' AND d.not_after > $1 AND d.not_after <= $2) e \
                   ORDER BY e.ends_at, e.id LIMIT $3";
        let rows = self.tx.rows(sql, args![now, until, ROWS_MAX]).await?;
        let ending = |row: &Row| {
            Ok(Ending {
                kind: row.parsed("kind")?,
                subject: row.get("id")?,
                began: row.time("began")?,
                ends_at: row.time("ends_at")?,
                principal: row.get::<Option<Uuid>>("principal_id")?.map(PrincipalId::new),
                group: row.get::<Option<Uuid>>("group_id")?.map(GroupId::new),
                what: row.get("what")?,
            })
        };
        rows.iter().map(ending).collect()
    }

    /// Notices of what has not ended yet, the earliest end first; at most 1,000.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn end_notices(&mut self, now: Timestamp) -> Result<Vec<EndNotice>, StoreError> {
        let sql = "SELECT kind, subject_id, ends_at, lead_seconds, principal_id, group_id, what, noticed_at FROM end_notices \
                   WHERE ends_at > $1 ORDER BY ends_at, subject_id, lead_seconds LIMIT $2";
        self.tx.rows(sql, args![now, ROWS_MAX]).await?.iter().map(notice).collect()
    }
}

impl Store {
    /// Keeps notices, each once for its end and its lead, and a mail for each of the people named with it. Returns those
    /// that were not known.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn end_notices_record(
        &self,
        notices: Vec<(EndNotice, Vec<PrincipalId>)>,
    ) -> Result<Vec<EndNotice>, StoreError> {
        if notices.is_empty() {
            return Ok(Vec::new());
        }
        let mut tx = self.write().await?;
        let sql = "INSERT INTO end_notices (kind, subject_id, ends_at, lead_seconds, principal_id, group_id, what, noticed_at) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (kind, subject_id, ends_at, lead_seconds) DO NOTHING";
        let mut fresh = Vec::new();
        for (notice, people) in notices {
            let args = args![
                notice.kind.as_str(),
                notice.subject,
                notice.ends_at,
                notice.lead.as_secs(),
                notice.principal.map(PrincipalId::uuid),
                notice.group.map(GroupId::uuid),
                notice.what.as_str(),
                notice.noticed_at,
            ];
            if tx.tx.execute(sql, args).await? > 0 {
                tx.notice_mails_add(&notice, &people).await?;
                fresh.push(notice);
            }
        }
        tx.commit_observation().await?;
        Ok(fresh)
    }
}

impl WriteTx {
    /// Forgets notices of what ended.
    pub(crate) async fn end_notices_prune(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.tx.execute("DELETE FROM end_notices WHERE ends_at <= $1", args![now]).await.map(drop)
    }
}
