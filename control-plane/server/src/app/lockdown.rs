//! Lockdown: nobody passes but an incident group, until lifted.

use doorward_domain::{Action, Actor, LockdownState, Subject};
use doorward_model::{GroupName, Lockdown, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use serde_json::json;

use super::decide::{Effects, Origin, decide_seen};
use super::health::in_time;
use super::journal::{Decision, Order, Overlay};
use super::revocation::{Commitment, Concerned, outcome};
use super::{App, Record, Refusal, Was, allow, allow_read, find, reason};
use crate::api::{Ended, LockdownOutcome, LockdownSet, LockdownStatus};

/// Says whether a lockdown is on.
pub(crate) async fn status(app: &App, actor: &Actor) -> Result<LockdownStatus, Refusal> {
    allow_read(actor)?;
    let overlay = app.journal.overlay();
    let read = in_time(async { read_over(&mut app.store.read().await?, &overlay).await }).await;
    // What waits is known without the database.
    read.or_else(|refusal| overlay.locked().map(|_| known(&overlay)).ok_or(refusal))
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
    if on {
        let outcome = decide_seen(app, actor, Order::LockdownOn { except }, why, &was).await?;
        return Ok(LockdownOutcome { on, outcome });
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    require_seen(&mut tx, &was).await?;
    tx.lockdown_set(&LockdownState::set(state, None, why.clone(), actor.to_string(), now)).await?;
    let detail = json!({ "reason": why, "except": except });
    let record = Record { at: now, actor, action, subject: Subject::Everything, detail };
    let committed = app.commit(tx, record, Outbox::Lockdown).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Everybody);
    Ok(LockdownOutcome { on, outcome: outcome(app, commitment, Ended::default()).await })
}

async fn require_seen(tx: &mut WriteTx, was: &Was<Option<Timestamp>>) -> Result<(), Refusal> {
    let held = tx.lockdown().await?;
    let written = |at: &Option<Timestamp>| match (held.state, at) {
        (Lockdown::On, Some(at)) => format!("on, at {at} by {}", held.changed_by),
        (Lockdown::Off, Some(at)) => format!("off, at {at} by {}", held.changed_by),
        (Lockdown::On | Lockdown::Off, None) => "none".to_owned(),
    };
    was.require(&held.changed_at, "the lockdown", written)
}

/// Writes that a lockdown is on.
pub(super) async fn write_on(
    tx: &mut WriteTx,
    decision: &Decision,
    except: Option<&GroupName>,
    origin: Origin<'_>,
) -> Result<Effects, Refusal> {
    let group = match (except, origin) {
        (None, _) => None,
        (Some(name), Origin::Asked(was)) => {
            require_seen(tx, was).await?;
            Some(find::group(tx, name).await?.id)
        }
        // Where the group is gone by then, nobody is exempt.
        (Some(name), Origin::Journal) => tx.group_by_name(name).await?.map(|group| group.id),
    };
    let Decision { at, actor, reason, .. } = decision;
    tx.lockdown_set(&LockdownState::set(Lockdown::On, group, reason.clone(), actor.to_string(), *at)).await?;
    Ok(Effects {
        detail: json!({ "reason": reason, "except": except.filter(|_| group.is_some()) }),
        outbox: Outbox::Lockdown,
        concerned: Concerned::Everybody,
        ended: Ended::default(),
        warnings: Vec::new(),
    })
}

/// Says what waits to be written about it; without that, nothing is known of one.
pub(crate) fn known(overlay: &Overlay) -> LockdownStatus {
    let except = overlay.locked().flatten().cloned();
    LockdownStatus { on: overlay.locked().is_some(), since: overlay.locked_since(), except, reason: None }
}

/// Reads the state, in the words of the API, as if what waits were written.
pub(crate) async fn read_over(read: &mut ReadTx, overlay: &Overlay) -> Result<LockdownStatus, Refusal> {
    if overlay.locked().is_some() {
        return Ok(known(overlay));
    }
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
