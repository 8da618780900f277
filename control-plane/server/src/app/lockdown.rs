//! Lockdown: nobody passes but an incident group, until lifted.

use doorward_domain::{Action, Actor, LockdownState, Subject};
use doorward_model::{Lockdown, Timestamp};
use doorward_store::{Outbox, ReadTx};
use serde_json::json;

use super::revocation::{Commitment, Concerned, outcome};
use super::{App, Record, Refusal, Was, allow, allow_read, find, reason};
use crate::api::{Ended, LockdownOutcome, LockdownSet, LockdownStatus};

/// Says whether a lockdown is on.
pub(crate) async fn status(app: &App, actor: &Actor) -> Result<LockdownStatus, Refusal> {
    allow_read(actor)?;
    read(&mut app.store.read().await?).await
}

/// Turns a lockdown on or off.
///
/// What a form saw counts where it opens something: a lockdown that lets nobody through is never held up.
pub(crate) async fn set(
    app: &App,
    actor: &Actor,
    set: LockdownSet,
    was: Was<Option<Timestamp>>,
) -> Result<LockdownOutcome, Refusal> {
    let LockdownSet { on, except, reason: why } = set;
    let (action, state) = if on { (Action::LockdownOn, Lockdown::On) } else { (Action::LockdownOff, Lockdown::Off) };
    allow(actor, action, &Subject::Everything)?;
    let why = reason(why)?;
    if !on && except.is_some() {
        return Err(Refusal::Invalid("`except` goes with a lockdown that is on: leave it out".to_owned()));
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    if !on || except.is_some() {
        let held = tx.lockdown().await?;
        let written = |at: &Option<Timestamp>| match (held.state, at) {
            (Lockdown::On, Some(at)) => format!("on, at {at} by {}", held.changed_by),
            (Lockdown::Off, Some(at)) => format!("off, at {at} by {}", held.changed_by),
            (Lockdown::On | Lockdown::Off, None) => "none".to_owned(),
        };
        was.require(&held.changed_at, "the lockdown", written)?;
    }
    let group = match &except {
        Some(name) => Some(find::group(&mut tx, name).await?.id),
        None => None,
    };
    tx.lockdown_set(&LockdownState::set(state, group, why.clone(), actor.to_string(), now)).await?;
    let detail = json!({ "reason": why, "except": except });
    let record = Record { at: now, actor, action, subject: Subject::Everything, detail };
    let committed = app.commit(tx, record, Outbox::Lockdown).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Everybody);
    Ok(LockdownOutcome { on, outcome: outcome(app, commitment, Ended::default()).await })
}

/// Reads the state, in the words of the API.
pub(crate) async fn read(read: &mut ReadTx) -> Result<LockdownStatus, Refusal> {
    let state = read.lockdown().await?;
    let except = match state.except {
        Some(id) => read.group_names().await?.remove(&id),
        None => None,
    };
    Ok(LockdownStatus {
        on: state.state == Lockdown::On,
        since: state.changed_at,
        except,
        reason: state.reason.map(String::from),
    })
}
