//! The audit log: read and verify.

use doorward_domain::{self as domain, Action, Actor, ChainBreak, ChainHead, Subject, verify_chain};

use super::{App, Refusal, allow, status};
use crate::api::{AuditPage, AuditRow, AuditVerdict};

/// Rows on one page at most, and by default.
const ROWS_MAX: u32 = 1_000;
/// Rows of a tail by default.
const TAIL_ROWS: u32 = 20;

/// Reads rows after a number.
pub(crate) async fn page(app: &App, actor: &Actor, after: u64, limit: Option<u32>) -> Result<AuditPage, Refusal> {
    allow(actor, Action::AuditRead, &Subject::Everything)?;
    let limit = bounded("limit", limit, ROWS_MAX)?;
    let rows = app.store.read().await?.audit_after(after, limit).await?;
    let full = u32::try_from(rows.len()).is_ok_and(|count| count >= limit);
    let next = rows.last().filter(|_| full).map(|row| row.seq);
    Ok(AuditPage { rows: render(rows)?, next, alerts: Vec::new() })
}

/// Reads the last rows, and the last alerts beside them.
pub(crate) async fn tail(app: &App, actor: &Actor, lines: Option<u32>) -> Result<AuditPage, Refusal> {
    allow(actor, Action::AuditRead, &Subject::Everything)?;
    let lines = bounded("lines", lines, TAIL_ROWS)?;
    let mut read = app.store.read().await?;
    let rows = render(read.audit_tail(lines).await?)?;
    let alerts = read.alerts_recent(lines).await?.into_iter().map(status::render_alert).collect();
    Ok(AuditPage { rows, next: None, alerts })
}

/// Recomputes the whole chain.
pub(crate) async fn verify(app: &App, actor: &Actor) -> Result<AuditVerdict, Refusal> {
    allow(actor, Action::AuditRead, &Subject::Everything)?;
    let mut read = app.store.read().await?;
    let mut head = ChainHead::START;
    loop {
        let rows = read.audit_after(head.seq, ROWS_MAX).await?;
        if rows.is_empty() {
            return Ok(verdict(head, None));
        }
        match verify_chain(head, &rows) {
            Ok(next) => head = next,
            Err(broken) => {
                // The good rows of this page count as well.
                let good = rows
                    .iter()
                    .take_while(|row| row.seq < broken_at(&broken))
                    .last()
                    .map_or(head, domain::AuditRow::head);
                return Ok(verdict(good, Some(&broken)));
            }
        }
    }
}

fn verdict(head: ChainHead, broken: Option<&ChainBreak>) -> AuditVerdict {
    AuditVerdict {
        intact: broken.is_none(),
        rows: head.seq,
        broken_at: broken.map(broken_at),
        problem: broken.map(ToString::to_string),
        last_hash: (head.seq > 0).then(|| head.hash.to_string()),
    }
}

const fn broken_at(broken: &ChainBreak) -> u64 {
    match broken {
        ChainBreak::Sequence { expected, .. } => *expected,
        ChainBreak::Link { seq } | ChainBreak::Content { seq } => *seq,
    }
}

fn bounded(what: &str, asked: Option<u32>, default: u32) -> Result<u32, Refusal> {
    match asked {
        None => Ok(default),
        Some(rows) if (1..=ROWS_MAX).contains(&rows) => Ok(rows),
        Some(rows) => Err(Refusal::Invalid(format!("`{what}` is {rows}: give 1 to {ROWS_MAX}"))),
    }
}

pub(crate) fn render(rows: Vec<domain::AuditRow>) -> Result<Vec<AuditRow>, Refusal> {
    let row = |row: domain::AuditRow| {
        let detail = serde_json::from_str(&row.detail);
        let detail = detail.map_err(|_| {
            Refusal::Internal(format!("audit row {} holds no JSON: run `doorward audit verify`", row.seq))
        })?;
        Ok(AuditRow {
            seq: row.seq,
            at: row.at,
            actor: row.actor,
            action: row.action,
            subject: row.subject,
            detail,
            previous_hash: row.previous_hash.to_string(),
            hash: row.hash.to_string(),
        })
    };
    rows.into_iter().map(row).collect()
}
