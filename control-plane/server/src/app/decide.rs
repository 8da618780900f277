//! The one way to take something away: into the database, or else into the journal, and to the gateways in either case.
//!
//! A use case checks who asks, and calls [`decide`]. What follows from an order is written by the same hand whether it is
//! asked for now or was journalled (`write_end` and its like in the use cases' files).

use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_domain::{Action, Actor, AlertKind, Reason, Subject};
use doorward_model::{DecisionId, DeviceId, PrincipalId, Timestamp};
use doorward_store::{Outbox, WriteTx};
use serde_json::{Value, json};
use uuid::Uuid;

use super::journal::{Decision, Journal, Order, Waiting};
use super::revocation::{Commitment, Concerned, follow_up_of, outcome};
use super::{App, Record, Refusal, Was, alerts, allow, devices, grants, health, lockdown, people};
use crate::api::{EndOutcome, Ended};

/// How long a decision waits for a database that says nothing at all before the journal takes it.
const MUTE_PATIENCE: Duration = Duration::from_millis(400);
/// How long it waits for one that answers questions and commits nothing.
const SLOW_PATIENCE: Duration = Duration::from_millis(850);
/// How often that is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What an order does to the database, before it is committed.
pub(super) struct Effects {
    pub(super) detail: Value,
    pub(super) outbox: Outbox,
    pub(super) concerned: Concerned,
    pub(super) ended: Ended,
    pub(super) warnings: Vec<String>,
}

/// Where an order comes from.
#[derive(Clone, Copy)]
pub(super) enum Origin<'a> {
    /// Somebody asks; a form showed this of the lockdown.
    Asked(&'a Was<Option<Timestamp>>),
    /// It was decided earlier: it is not asked again whether it may be.
    Journal,
}

/// Takes something away.
pub(super) async fn decide(
    app: &App,
    actor: &Actor,
    order: Order,
    reason: Option<Reason>,
) -> Result<EndOutcome, Refusal> {
    decide_seen(app, actor, order, reason, &Was::Anything).await
}

/// The same for a form that showed whether a lockdown is on.
pub(super) async fn decide_seen(
    app: &App,
    actor: &Actor,
    order: Order,
    reason: Option<Reason>,
    seen: &Was<Option<Timestamp>>,
) -> Result<EndOutcome, Refusal> {
    let (id, at) = (DecisionId::new(Uuid::now_v7()), app.clock.now());
    let decision = Decision { id, at, actor: actor.clone(), reason, order, person: None };
    match while_it_commits(app, write(app, &decision, seen)).await {
        Ok((commitment, effects)) => {
            let mut outcome = outcome(app, commitment, effects.ended).await;
            outcome.warnings.extend(effects.warnings);
            Ok(outcome)
        }
        Err(refusal) if is_outage(&refusal) => journalled(app, decision, &refusal).await,
        Err(refusal) => Err(refusal),
    }
}

/// Says whether a refusal is the database's, and not an answer to what was asked.
pub(super) fn is_outage(refusal: &Refusal) -> bool {
    matches!(refusal, Refusal::Unavailable(_) | Refusal::Internal(_))
}

/// Tries the database, for as long as it commits anything at all: others who are served before are no reason to give up.
pub(super) async fn while_it_commits<T>(
    app: &App,
    writing: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    if app.health.is_down() {
        return Err(health::silent());
    }
    let begun = Instant::now();
    let asking = app.store.ping();
    tokio::pin!(writing, asking);
    let mut asked = false;
    let mut patience = MUTE_PATIENCE;
    loop {
        tokio::select! {
            written = &mut writing => return written,
            answer = &mut asking, if !asked => {
                asked = true;
                // Somebody else writes, or its disk is slow: that takes longer than a server that is not there.
                if answer.is_ok() {
                    patience = SLOW_PATIENCE;
                }
            }
            () = tokio::time::sleep(LOOK_EVERY) => {
                let progress = app.health.last_commit().map_or(begun, |commit| commit.max(begun));
                if progress.elapsed() >= patience {
                    return Err(health::silent());
                }
            }
        }
    }
}

async fn write(
    app: &App,
    decision: &Decision,
    seen: &Was<Option<Timestamp>>,
) -> Result<(Commitment, Effects), Refusal> {
    let mut tx = app.store.write().await?;
    tx.decision_add(decision.id, decision.at, app.clock.now()).await?;
    let mut effects = effects_of(app, &mut tx, decision, Origin::Asked(seen)).await?;
    let detail = effects.detail.take();
    let committed = app.commit(tx, record(decision, detail), effects.outbox.clone()).await?;
    Ok((Commitment::new(app, &committed, effects.concerned.clone()), effects))
}

async fn effects_of(app: &App, tx: &mut WriteTx, decision: &Decision, origin: Origin<'_>) -> Result<Effects, Refusal> {
    match &decision.order {
        Order::Offboard { .. } | Order::Suspend { .. } => people::write_end(app, tx, decision, origin).await,
        Order::RevokeDevice { device, lost } => {
            devices::write_revoke(app, tx, decision, (*device, *lost), origin).await
        }
        Order::RevokeGrant { grant } => grants::write_revoke(app, tx, decision, *grant).await,
        Order::LockdownOn { except } => lockdown::write_on(tx, decision, except.as_ref(), origin).await,
    }
}

fn record(decision: &Decision, detail: Value) -> Record<'_> {
    let Decision { at, actor, order, .. } = decision;
    Record { at: *at, actor, action: order.action(), subject: order.subject(), detail }
}

/// Takes something away that the database just refused to take, from whoever is behind an address.
pub(super) async fn journal(
    app: &App,
    (id, actor, reason): (DecisionId, Actor, Option<Reason>),
    order: Order,
    person: Option<PrincipalId>,
    refusal: &Refusal,
) -> Result<EndOutcome, Refusal> {
    let at = app.clock.now();
    journalled(app, Decision { id, at, actor, reason, order, person }, refusal).await
}

/// Puts a decision into the journal, and waits for the gateways.
async fn journalled(app: &App, decision: Decision, refusal: &Refusal) -> Result<EndOutcome, Refusal> {
    may(app, &decision)?;
    app.health.not_committed(refusal, decision.at);
    let is_first = app.journal.overlay().is_empty();
    let waiting = Journal::take(app, decision).await?;
    let Waiting { decision, concerned, .. } = &*waiting;
    tracing::warn!(decision.id = %decision.id, action = decision.order.action().as_str(), "a revocation is journalled");
    if is_first {
        let why = refusal.clone().into_parts().1;
        let message = format!("revocations are kept on this machine's disk until the database takes them: {why}");
        // Told beside: where the database hangs, so would this.
        let (app, alert) = (app.clone(), super::journal::alert(app, AlertKind::RevocationJournalled, message));
        app.workers.clone().spawn(async move { alerts::raise(&app, alert).await });
    }
    let devices = concerned.iter().map(|(device, _)| *device).collect();
    let whom = match decision.order {
        Order::LockdownOn { .. } => Concerned::Everybody,
        Order::Offboard { .. } | Order::Suspend { .. } | Order::RevokeDevice { .. } | Order::RevokeGrant { .. } => {
            Concerned::Devices(devices)
        }
    };
    let ended = Ended { people: decision.order.person().cloned().into_iter().collect(), ..Ended::default() };
    let mut outcome = outcome(app, Commitment::ahead(app, &waiting, whom), ended).await;
    outcome.warnings.extend(what_it_means(app, &waiting));
    outcome.journalled = true;
    Ok(outcome)
}

/// Refuses what needs the database to be allowed.
fn may(app: &App, decision: &Decision) -> Result<(), Refusal> {
    let Decision { actor, order, .. } = decision;
    let own = |device: DeviceId| {
        let Actor::Person(person) = actor else { return None };
        let found = app.journal.roster.find(|id, known| id == device && known.principal == person.id);
        (!found.is_empty()).then(|| Subject::Person(person.email.clone()))
    };
    if let Order::RevokeDevice { device, .. } = order {
        return match own(*device) {
            Some(oneself) => allow(actor, Action::DeviceReportLost, &oneself),
            None => allow(actor, Action::DeviceRevoke, &Subject::Device(*device)),
        };
    }
    allow(actor, order.action(), &order.subject())
}

fn what_it_means(app: &App, waiting: &Waiting) -> Vec<String> {
    let mut warnings = vec![
        "the database takes nothing, so this is journalled on this machine's disk: gateways enforce it, it counts as done \
         here, and it is written to the database by itself once that is back (`doorward status`)"
            .to_owned(),
    ];
    if !app.store.is_sole_writer() {
        warnings.push(
            "this holds for gateways that are connected to this control plane: those of another replica hear of it when it is \
             written, and pause until then only where that replica has lost the database too"
                .to_owned(),
        );
    }
    // A control plane at which no gateway ever was knows of nobody's devices.
    let nobody = waiting.concerned.is_empty() && app.journal.roster.counts().devices > 0;
    let unknown = match &waiting.decision.order {
        Order::Offboard { email, .. } | Order::Suspend { email } => (nobody && waiting.decision.person.is_none())
            .then(|| format!("nobody with the address {email} has a device at a gateway")),
        Order::RevokeDevice { device, .. } => nobody.then(|| format!("no gateway was told of a device {device}")),
        Order::RevokeGrant { grant } => nobody.then(|| format!("no device at a gateway has the grant {grant}")),
        Order::LockdownOn { .. } => None,
    };
    if let Some(unknown) = unknown {
        warnings.push(format!(
            "{unknown}: if it is misspelt this does nothing, so look at it again when the database is back"
        ));
    }
    if waiting.is_too_much() {
        warnings.push(
            "where the database cannot even be read, more ends until it is back: whole devices instead of one grant, and \
             nobody is exempt from the lockdown"
                .to_owned(),
        );
    }
    warnings
}

/// Writes what was journalled; nothing where it was written before.
pub(super) async fn write_waiting(app: &App, waiting: &Arc<Waiting>) -> Result<(), Refusal> {
    let decision = &waiting.decision;
    let Some(mut tx) = begin(app, decision).await? else { return Ok(()) };
    let (detail, outbox, concerned) = match effects_of(app, &mut tx, decision, Origin::Journal).await {
        Ok(effects) => (effects.detail, effects.outbox, effects.concerned),
        Err(refusal) if is_outage(&refusal) => return Err(refusal),
        Err(refusal) => {
            // What was begun is taken back, and the record says why.
            drop(tx);
            let Some(again) = begin(app, decision).await? else { return Ok(()) };
            tx = again;
            let why = refusal.into_parts().1;
            (
                json!({ "not_applied": why }),
                Outbox::None,
                Concerned::Devices(waiting.concerned.iter().map(|(id, _)| *id).collect()),
            )
        }
    };
    let detail = with_journal(app, waiting, detail);
    let committed = app.commit(tx, record(decision, detail), with_told(outbox, waiting)).await?;
    follow_up_of(app, Commitment::new(app, &committed, concerned).told_ahead(waiting));
    Ok(())
}

/// Begins to write a decision; `None` where it was written before.
async fn begin(app: &App, decision: &Decision) -> Result<Option<WriteTx>, Refusal> {
    let mut tx = app.store.write_held_back().await?;
    let is_new = tx.decision_add(decision.id, decision.at, app.clock.now()).await?;
    Ok(is_new.then_some(tx))
}

/// Says in the record when it was written, and who had enforced it by then.
fn with_journal(app: &App, waiting: &Waiting, mut detail: Value) -> Value {
    let Decision { id, at, .. } = &waiting.decision;
    let receipts = app.hub.confirmed_ahead(*id).into_iter().map(|(gateway, confirmation)| {
        let after = confirmation.heard.saturating_duration_since(waiting.accepted).as_millis();
        json!({ "gateway": gateway, "enforced_at": confirmation.heard_at, "enforced_after_ms": u64::try_from(after).ok() })
    });
    let receipts: Vec<Value> = receipts.collect();
    let journal = json!({ "id": id, "decided_at": at, "written_at": app.clock.now(), "receipts": receipts });
    if let Some(detail) = detail.as_object_mut() {
        detail.insert("journal".to_owned(), journal);
    }
    detail
}

/// Adds the devices that gateways were told of: they may have lost more than was asked for, and get it back.
fn with_told(outbox: Outbox, waiting: &Waiting) -> Outbox {
    let told = waiting.concerned.iter().map(|(device, _)| *device);
    match outbox {
        Outbox::None => Outbox::Devices(told.collect()),
        Outbox::Devices(devices) => Outbox::Devices(devices.into_iter().chain(told).collect()),
        Outbox::Everything | Outbox::Lockdown => outbox,
    }
}
