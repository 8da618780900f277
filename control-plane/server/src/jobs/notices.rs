//! Notices before an end, each once.

use doorward_domain::{EndNotice, lead_due};
use doorward_store::Ending;
use jiff::SignedDuration;

use crate::app::{App, Refusal};

/// The earliest that a notice is due.
const LEAD_MAX: SignedDuration = SignedDuration::from_hours(3 * 24);

/// Notes what is due.
pub(crate) async fn note(app: &App) -> Result<(), Refusal> {
    let now = app.clock.now();
    let until = now.checked_add(LEAD_MAX).unwrap_or(now);
    let mut read = app.store.read().await?;
    let endings = read.endings(now, until).await?;
    let known = read.end_notices(now).await?;
    drop(read);
    let due = endings.into_iter().filter_map(|ending| {
        let Ending { kind, subject, began, ends_at, principal, group, what } = ending;
        let lead = lead_due(began, ends_at, now)?;
        Some(EndNotice { kind, subject, ends_at, lead, principal, group, what, noticed_at: now })
    });
    let is_known = |notice: &EndNotice| {
        known.iter().any(|it| it.subject == notice.subject && it.ends_at == notice.ends_at && it.lead == notice.lead)
    };
    let due: Vec<EndNotice> = due.filter(|notice| !is_known(notice)).collect();
    for notice in app.store.end_notices_record(due).await? {
        tracing::info!(kind = %notice.kind, what = %notice.what, ends_at = %notice.ends_at, "something ends soon");
    }
    Ok(())
}
