//! Mails that wait to be sent, and how it went.

use doorward_domain::{EndNotice, Principal, mail_pause};
use doorward_model::{PrincipalId, Timestamp};
use uuid::Uuid;

use crate::db::{Row, args};
use crate::notices::notice;
use crate::people::principal;
use crate::{ReadTx, Store, StoreError, WriteTx};

/// Longest reason of a failure that is kept, in characters.
const ERROR_CHARS_MAX: usize = 200;
/// Mails taken at once.
const TAKEN_MAX: i64 = 20;

/// A mail about an end, for one person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoticeMail {
    /// What ends.
    pub notice: EndNotice,
    /// Who gets it.
    pub to: Principal,
    /// Tries so far.
    pub tries: u64,
}

/// How mails go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailCounts {
    /// Mails that still have to be sent.
    pub waiting: u64,
    /// Those among them that failed at least once.
    pub failing: u64,
    /// Why the last of those failed.
    pub error: Option<String>,
}

fn mail(row: &Row) -> Result<NoticeMail, StoreError> {
    Ok(NoticeMail { notice: notice(row)?, to: principal(row)?, tries: row.count("tries")? })
}

impl ReadTx {
    /// Mails whose turn it is, the one that waits longest first; at most 20. Who has gone meanwhile gets none.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn notice_mails_due(&mut self, now: Timestamp) -> Result<Vec<NoticeMail>, StoreError> {
        let sql = "SELECT n.kind AS kind, n.subject_id AS subject_id, n.ends_at AS ends_at, n.lead_seconds AS lead_seconds, \
                   n.principal_id AS principal_id, n.group_id AS group_id, n.what AS what, n.noticed_at AS noticed_at, \
                   m.tries AS tries, p.id AS p_id, p.email AS p_email, p.name AS p_name, p.kind AS p_kind, \
                   p.sponsor_id AS p_sponsor_id, p.state AS p_state, p.not_after AS p_not_after, \
                   p.created_at AS p_created_at, p.changed_at AS p_changed_at, p.signed_in_until AS p_signed_in_until, \
                   p.role AS p_role, p.signed_in_at AS p_signed_in_at FROM notice_mails m \
                   JOIN end_notices n ON n.kind = m.kind AND n.subject_id = m.subject_id AND n.ends_at = m.ends_at \
                   AND n.lead_seconds = m.lead_seconds JOIN principals p ON p.id = m.principal_id \
                   WHERE m.mailed_at IS NULL AND m.due_at <= $1 AND n.ends_at > $1 AND p.state = 'active' \
                   ORDER BY m.due_at, m.subject_id, m.principal_id LIMIT $2";
        self.tx.rows(sql, args![now, TAKEN_MAX]).await?.iter().map(mail).collect()
    }

    /// How many mails wait, and how many of them failed.
    ///
    /// # Errors
    /// Any [`StoreError`] of reading.
    pub async fn mail_counts(&mut self, now: Timestamp) -> Result<MailCounts, StoreError> {
        let sql = "SELECT COUNT(*) AS waiting, COUNT(error) AS failing FROM notice_mails \
                   WHERE mailed_at IS NULL AND ends_at > $1";
        let row = self.tx.row(sql, args![now]).await?;
        let row = row.ok_or_else(|| StoreError::not_found("the database gave no count"))?;
        let last = "SELECT error FROM notice_mails WHERE mailed_at IS NULL AND error IS NOT NULL AND ends_at > $1 \
                    ORDER BY due_at DESC LIMIT 1";
        let last = self.tx.row(last, args![now]).await?;
        Ok(MailCounts {
            waiting: row.count("waiting")?,
            failing: row.count("failing")?,
            error: last.map(|row| row.get("error")).transpose()?,
        })
    }
}

impl WriteTx {
    pub(crate) async fn notice_mails_add(
        &mut self,
        notice: &EndNotice,
        people: &[PrincipalId],
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO notice_mails (kind, subject_id, ends_at, lead_seconds, principal_id, due_at) \
                   VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING";
        for person in people {
            let (kind, subject, ends_at, lead) = key(notice);
            let args = args![kind, subject, ends_at, lead, person.uuid(), notice.noticed_at];
            self.tx.execute(sql, args).await?;
        }
        Ok(())
    }
}

fn key(notice: &EndNotice) -> (&'static str, Uuid, Timestamp, u64) {
    (notice.kind.as_str(), notice.subject, notice.ends_at, notice.lead.as_secs())
}

impl Store {
    /// Takes a mail before it is sent, so that of two servers one sends it; its next turn comes after a pause. `false` where
    /// somebody else has it.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn notice_mail_take(&self, mail: &NoticeMail, now: Timestamp) -> Result<bool, StoreError> {
        let tries = mail.tries.saturating_add(1);
        let next = now.checked_add(mail_pause(tries)).unwrap_or(Timestamp::MAX);
        let sql = "UPDATE notice_mails SET tries = $6, due_at = $7 WHERE kind = $1 AND subject_id = $2 AND ends_at = $3 \
                   AND lead_seconds = $4 AND principal_id = $5 AND mailed_at IS NULL AND tries = $8";
        let (kind, subject, ends_at, lead) = key(&mail.notice);
        let args = args![kind, subject, ends_at, lead, mail.to.id.uuid(), tries, next, mail.tries];
        let mut tx = self.write().await?;
        let taken = tx.tx.execute(sql, args).await? > 0;
        tx.commit_observation().await?;
        Ok(taken)
    }

    /// Notes that a mail was sent, or why not. A notice was mailed when all its mails were.
    ///
    /// # Errors
    /// Any [`StoreError`] of writing.
    pub async fn notice_mail_done(
        &self,
        mail: &NoticeMail,
        done: Result<(), String>,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (mailed_at, error) = match done {
            Ok(()) => (Some(now), None),
            Err(error) => (None, Some(error.chars().take(ERROR_CHARS_MAX).collect::<String>())),
        };
        let (kind, subject, ends_at, lead) = key(&mail.notice);
        let mut tx = self.write().await?;
        let sql = "UPDATE notice_mails SET mailed_at = $6, error = $7 WHERE kind = $1 AND subject_id = $2 \
                   AND ends_at = $3 AND lead_seconds = $4 AND principal_id = $5";
        tx.tx.execute(sql, args![kind, subject, ends_at, lead, mail.to.id.uuid(), mailed_at, error]).await?;
        let sql = "UPDATE end_notices SET mailed_at = $5 WHERE kind = $1 AND subject_id = $2 AND ends_at = $3 \
                   AND lead_seconds = $4 AND mailed_at IS NULL AND NOT EXISTS (SELECT 1 FROM notice_mails m \
                   WHERE m.kind = $1 AND m.subject_id = $2 AND m.ends_at = $3 AND m.lead_seconds = $4 \
                   AND m.mailed_at IS NULL)";
        if mailed_at.is_some() {
            tx.tx.execute(sql, args![kind, subject, ends_at, lead, now]).await?;
        }
        tx.commit_observation().await
    }
}
