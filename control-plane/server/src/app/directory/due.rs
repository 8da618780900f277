//! Whoever a directory suspended, and did not take back within the cooling period, departs.

use doorward_domain::{self as domain, Action, EndedBy, Subject};
use serde_json::json;

use super::{Work, lost_source};
use crate::app::{App, Refusal, apply};

/// Lets everybody depart who is due, each in a transaction of their own.
pub(crate) async fn depart(app: &App) -> Result<(), Refusal> {
    while depart_one(app).await? {}
    Ok(())
}

async fn depart_one(app: &App) -> Result<bool, Refusal> {
    let settled = app.clock.settled();
    let before = settled.checked_sub(app.directory.cooling).unwrap_or(doorward_model::Timestamp::MIN);
    let mut read = app.store.read().await?;
    let Some((account, _)) = read.accounts_maybe_due(before).await?.into_iter().next() else { return Ok(false) };
    let source = read.source(account.source).await?.ok_or_else(lost_source)?;
    drop(read);
    let mut work = Work::begin(app, &source).await?;
    // Decided once more inside the transaction: the source may have taken them back meanwhile.
    let live = work.tx.accounts_of(account.principal).await?.into_iter().find(|it| it.id == account.id);
    let Some(account) = live else { return Ok(true) };
    let person = work.tx.person(account.principal).await?;
    let Some(person) = person.filter(|_| account.is_due(&work.source, &app.directory, settled)) else {
        return Ok(false);
    };
    let devices = work.tx.devices_of(person.id).await?;
    let grants: Vec<_> = work.tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
    let effect = domain::offboard(&person, &devices, &grants, work.now);
    work.tx.account_end(account.id, EndedBy::Source, work.now).await?;
    let applied = apply(&mut work.tx, &work.actor, &effect, None, work.now).await?;
    let because = if account.deleted_at.is_some() { "deleted" } else { "the cooling period is over" };
    let detail = applied.recorded_with([("because", json!(because)), ("inactive_since", json!(account.suspended_at))]);
    work.commit(Action::PersonOffboard, Subject::Person(person.email), detail, applied.devices).await?;
    Ok(true)
}
