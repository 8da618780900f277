//! Notices before an end, each once.

use std::collections::BTreeSet;

use doorward_domain::{EndNotice, PrincipalState, lead_due};
use doorward_model::PrincipalId;
use doorward_store::{Ending, ReadTx};
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
    let due = endings.into_iter().filter_map(|ending| {
        let Ending { kind, subject, began, ends_at, principal, group, what } = ending;
        let lead = lead_due(began, ends_at, now)?;
        Some(EndNotice { kind, subject, ends_at, lead, principal, group, what, noticed_at: now })
    });
    let is_known = |notice: &EndNotice| {
        known.iter().any(|it| it.subject == notice.subject && it.ends_at == notice.ends_at && it.lead == notice.lead)
    };
    let due: Vec<EndNotice> = due.filter(|notice| !is_known(notice)).collect();
    let mut addressed = Vec::with_capacity(due.len());
    for notice in due {
        let people = if app.accounts.mail.is_some() { addressees(&mut read, &notice).await? } else { Vec::new() };
        addressed.push((notice, people));
    }
    drop(read);
    for notice in app.store.end_notices_record(addressed).await? {
        tracing::info!(kind = %notice.kind, what = %notice.what, ends_at = %notice.ends_at, "something ends soon");
    }
    Ok(())
}

/// Who is told of an end: whose it is, or the group's members, and who answers for those who are contractors.
async fn addressees(read: &mut ReadTx, notice: &EndNotice) -> Result<Vec<PrincipalId>, Refusal> {
    let mut people = Vec::new();
    if let Some(id) = notice.principal {
        people.extend(read.person(id).await?);
    }
    if let Some(group) = notice.group {
        people.extend(read.group_members(group).await?);
    }
    people.retain(|person| person.state == PrincipalState::Active);
    let told: BTreeSet<PrincipalId> = people.iter().flat_map(|it| std::iter::once(it.id).chain(it.sponsor)).collect();
    Ok(told.into_iter().collect())
}
