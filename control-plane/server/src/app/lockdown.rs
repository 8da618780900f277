//! Lockdown: nobody passes, until lifted.

use doorward_domain::{Action, Actor, LockdownState, Subject};
use doorward_model::Lockdown;
use doorward_store::Outbox;
use serde_json::json;

use super::revocation::{Commitment, Concerned, outcome};
use super::{App, Record, Refusal, allow, allow_read, reason};
use crate::api::{Ended, LockdownOutcome, LockdownSet, LockdownStatus};

/// Says whether a lockdown is on.
pub(crate) async fn status(app: &App, actor: &Actor) -> Result<LockdownStatus, Refusal> {
    allow_read(actor)?;
    Ok(render(app.store.read().await?.lockdown().await?))
}

/// Turns a lockdown on or off.
pub(crate) async fn set(app: &App, actor: &Actor, set: LockdownSet) -> Result<LockdownOutcome, Refusal> {
    let LockdownSet { on, reason: why } = set;
    let (action, state) = if on { (Action::LockdownOn, Lockdown::On) } else { (Action::LockdownOff, Lockdown::Off) };
    allow(actor, action, &Subject::Everything)?;
    let why = reason(why)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    tx.lockdown_set(&LockdownState::set(state, why.clone(), actor.to_string(), now)).await?;
    let record = Record { at: now, actor, action, subject: Subject::Everything, detail: json!({ "reason": why }) };
    let committed = app.commit(tx, record, Outbox::Lockdown).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Everybody);
    Ok(LockdownOutcome { on, outcome: outcome(app, commitment, Ended::default()).await })
}

/// Renders the state.
pub(crate) fn render(state: LockdownState) -> LockdownStatus {
    LockdownStatus { on: state.state == Lockdown::On, since: state.changed_at, reason: state.reason.map(String::from) }
}
