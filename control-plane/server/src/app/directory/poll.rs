//! Asking a directory that tells nothing by itself: when, what came of it, and who is told where nothing comes.
//!
//! A round that fails changes nothing. Rounds of all replicas are one row: whoever has the turn goes by it.

use std::time::Duration;

use doorward_domain::{Absence, Action, Actor, AlertKind, RoundPlan, Source, SourceKind, Subject};
use doorward_model::{Email, SourceName, Timestamp};
use doorward_store::{GoodRound, Outbox, Rounds, Turn, Work};
use serde_json::json;
use tokio::sync::{MutexGuard, oneshot};

use super::round::{Compared, compare, perform};
use super::{raise, tokens};
use crate::api::{DirectoryStatus, PollMissing, PollWanted, Polled};
use crate::app::{App, Record, Refusal, allow};
use crate::net::{Ldap, LdapError};

/// Pause after the first failure, unless it is asked more often anyway; it doubles up to the ordinary one.
const RETRY_FIRST: Duration = Duration::from_secs(5);
/// Failures in a row that are told, where the first one was not because waiting might mend it.
const FAILURES_TOLD: u64 = 3;
/// Intervals without a good round that are told.
const INTERVALS_TOLD: u32 = 3;

/// Why a round came to nothing.
struct Failure {
    why: String,
    needs_a_person: bool,
}

impl From<LdapError> for Failure {
    fn from(error: LdapError) -> Self {
        Self { why: error.reason(), needs_a_person: error.needs_a_person() }
    }
}

/// Has a round if it is time for one, and nobody else has one.
pub(crate) async fn poll_if_due(app: &App, ldap: &Ldap, after_a_start: bool) -> Result<(), Refusal> {
    if !is_due(app, ldap, after_a_start).await? {
        return Ok(());
    }
    let Some(_turn) = turn(app, ldap).await? else { return Ok(()) };
    // Another one may have ended while this one waited for its turn.
    if is_due(app, ldap, after_a_start).await? {
        poll(app, ldap).await?.ok();
    }
    Ok(())
}

/// Says whether it is time. After a start what failed, and what is asked in another way now, is asked at once.
async fn is_due(app: &App, ldap: &Ldap, after_a_start: bool) -> Result<bool, Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let Some(source) = read.source_by_name(&ldap.name).await? else { return Ok(true) };
    let Some(rounds) = read.source_rounds(source.id).await? else { return Ok(true) };
    let anew = after_a_start && (rounds.failures > 0 || rounds.settings != ldap.settings);
    // An interval that was shortened counts from now on.
    Ok(anew || rounds.next_at <= now || rounds.next_at > later(now, ldap.every))
}

/// Takes the turn, here and among the replicas; `None` while somebody else has it.
async fn turn<'a>(app: &App, ldap: &'a Ldap) -> Result<Option<(MutexGuard<'a, ()>, Turn)>, Refusal> {
    let Ok(here) = ldap.round.try_lock() else { return Ok(None) };
    Ok(app.store.turn(Work::Directory).await?.map(|turn| (here, turn)))
}

/// Has a round, and writes down how it went; whoever calls has the turn.
async fn poll(app: &App, ldap: &Ldap) -> Result<Result<Polled, Failure>, Refusal> {
    let source = source(app, ldap).await?;
    let before = app.store.read().await?.source_rounds(source.id).await?;
    let began = app.clock.now();
    let done = match look(app, ldap, Some(&source), began).await? {
        Ok((compared, addresses)) => {
            perform(app, &source, &compared).await?;
            Ok(shown(&compared.plan, addresses, true))
        }
        Err(failure) => Err(failure),
    };
    keep(app, ldap, &source, before, began, &done).await?;
    Ok(done)
}

async fn look(
    app: &App,
    ldap: &Ldap,
    source: Option<&Source>,
    now: Timestamp,
) -> Result<Result<(Compared, usize), Failure>, Refusal> {
    let answer = match ldap.read(now).await {
        Ok(answer) => answer,
        Err(error) => return Ok(Err(error.into())),
    };
    let compared = compare(app, source, &answer).await?;
    Ok(compared.map(|it| (it, answer.len())).map_err(|doubt| Failure { why: doubt.to_string(), needs_a_person: true }))
}

async fn source(app: &App, ldap: &Ldap) -> Result<Source, Refusal> {
    if let Some(source) = app.store.read().await?.source_by_name(&ldap.name).await?
        && source.kind == SourceKind::Ldap
    {
        return Ok(source);
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let source = tokens::found_or_made(&mut tx, &ldap.name, SourceKind::Ldap, now).await?;
    let (actor, subject) = (Actor::Source { name: source.name.clone() }, Subject::Source(source.name.clone()));
    let detail = json!({ "kind": source.kind.as_str(), "url": ldap.url });
    let record = Record { at: now, actor: &actor, action: Action::SourceUpdate, subject, detail };
    app.commit(tx, record, Outbox::None).await?;
    Ok(source)
}

/// Writes down how a round went, and tells where somebody has to know.
async fn keep(
    app: &App,
    ldap: &Ldap,
    source: &Source,
    before: Option<Rounds>,
    began: Timestamp,
    done: &Result<Polled, Failure>,
) -> Result<(), Refusal> {
    let now = app.clock.now();
    let was = before.as_ref();
    let (failures, alerted_at, last_good) = was.map_or((0, None, None), |was| (was.failures, was.alerted_at, was.good));
    let name = &source.name;
    let (rounds, message) = match done {
        Ok(Polled { addresses, known, strangers, .. }) => {
            let next_at = later(began, ldap.every).max(now);
            let message = alerted_at.map(|_| format!("{name} is read again: {addresses} addresses"));
            let (addresses, known, strangers) = (*addresses, *known, *strangers);
            let good = Some(GoodRound { at: began, took: elapsed(began, now), addresses, known, strangers });
            let settings = ldap.settings.clone();
            (Rounds { settings, asked_at: began, next_at, failures: 0, error: None, alerted_at: None, good }, message)
        }
        Err(Failure { why, needs_a_person }) => {
            tracing::warn!(source = %name, why, "a directory was not read");
            let failures = failures.saturating_add(1);
            let is_stale = last_good.is_some_and(|good| elapsed(good.at, now) > ldap.every * INTERVALS_TOLD);
            let is_told = alerted_at.is_none() && (*needs_a_person || is_stale || failures >= FAILURES_TOLD);
            let since = last_good.map_or_else(|| "at all so far".to_owned(), |good| format!("since {}", good.at));
            let message = is_told.then(|| {
                format!("{name} was not read {since}: {why}; nobody is suspended for it, and who left there is not known here")
            });
            let rounds = Rounds {
                settings: ldap.settings.clone(),
                asked_at: began,
                next_at: later(now, pause(ldap.every, failures)),
                failures,
                error: Some(why.clone()),
                alerted_at: alerted_at.or(is_told.then_some(now)),
                good: last_good,
            };
            (rounds, message)
        }
    };
    app.store.source_rounds_keep(source.id, &rounds).await?;
    if let Some(message) = message {
        raise(app, AlertKind::DirectorySilent, message).await;
    }
    Ok(())
}

/// How long until a directory that failed so often is asked again.
fn pause(every: Duration, failures: u64) -> Duration {
    let doublings = u32::try_from(failures.saturating_sub(1)).unwrap_or(u32::MAX).min(16);
    (every / 8).max(RETRY_FIRST).saturating_mul(1 << doublings).min(every)
}

fn later(at: Timestamp, span: Duration) -> Timestamp {
    at.checked_add(span).unwrap_or(Timestamp::MAX)
}

fn elapsed(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

fn count(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

/// How long a departure in the directory may take to count here, while rounds are read to their end: it may come just after
/// a round began, and counts at the end of the next one.
pub(super) fn delay(ldap: &Ldap, good: &GoodRound) -> u64 {
    ldap.every.saturating_add(good.took).as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX)
}

/// Shows how asking goes; `None` where no directory is asked.
pub(crate) async fn status(app: &App) -> Result<Option<DirectoryStatus>, Refusal> {
    let Some(ldap) = &app.ldap else { return Ok(None) };
    let mut read = app.store.read().await?;
    let rounds = match read.source_by_name(&ldap.name).await? {
        Some(source) => read.source_rounds(source.id).await?,
        None => None,
    };
    let good = rounds.as_ref().and_then(|rounds| rounds.good);
    Ok(Some(DirectoryStatus {
        name: ldap.name.clone(),
        url: ldap.url.clone(),
        every_seconds: ldap.every.as_secs(),
        delay_seconds: good.map(|good| delay(ldap, &good)),
        asked_at: good.map(|good| good.at),
        age_seconds: good.map(|good| elapsed(good.at, app.clock.now()).as_secs()),
        took_ms: good.map(|good| u64::try_from(good.took.as_millis()).unwrap_or(u64::MAX)),
        addresses: good.map_or(0, |good| good.addresses),
        known: good.map_or(0, |good| good.known),
        strangers: good.map_or(0, |good| good.strangers),
        failures: rounds.as_ref().map_or(0, |rounds| rounds.failures),
        trouble: rounds.as_ref().and_then(|rounds| rounds.error.clone()),
        next_at: rounds.map(|rounds| rounds.next_at),
    }))
}

/// Has a round by hand, or says what one would do.
pub(crate) async fn by_hand(
    app: &App,
    actor: &Actor,
    name: &SourceName,
    wanted: PollWanted,
) -> Result<Polled, Refusal> {
    allow(actor, Action::SourcePoll, &Subject::Source(name.clone()))?;
    if app.ldap.as_ref().is_none_or(|ldap| ldap.name != *name) {
        let sentence = format!("{name} is no directory that is asked: `[ldap]` in doorward.toml names the one that is");
        return Err(Refusal::NotFound(sentence));
    }
    let (answer, answered) = oneshot::channel();
    let (app, dry) = (app.clone(), wanted.dry_run);
    app.clone().workers.spawn(async move {
        // Whoever asked may have gone; what was begun is done.
        let _ = answer.send(asked(&app, dry).await);
    });
    // An error means that the work ended in a panic, which is logged where it happened.
    answered.await.unwrap_or_else(|_| Err(Refusal::Internal("the round did not come to its end: try again".to_owned())))
}

async fn asked(app: &App, dry: bool) -> Result<Polled, Refusal> {
    let Some(ldap) = &app.ldap else { return Err(Refusal::Internal("no directory is asked".to_owned())) };
    let done = if dry {
        let source = app.store.read().await?.source_by_name(&ldap.name).await?;
        let looked = look(app, ldap, source.as_ref(), app.clock.now()).await?;
        looked.map(|(compared, addresses)| shown(&compared.plan, addresses, false))
    } else {
        let busy = || Refusal::Conflict("a round is under way: `doorward status` shows when it is done".to_owned());
        let _turn = turn(app, ldap).await?.ok_or_else(busy)?;
        poll(app, ldap).await?
    };
    done.map_err(|failure| Refusal::Unavailable(format!("nothing was done: {}", failure.why)))
}

fn shown(plan: &RoundPlan, addresses: usize, done: bool) -> Polled {
    let missing =
        |(email, absence): &(Email, Absence)| PollMissing { email: email.clone(), why: absence.sentence().to_owned() };
    Polled {
        done,
        addresses: count(addresses),
        known: count(plan.known),
        strangers: count(plan.strangers),
        first_seen: plan.first_seen.clone(),
        suspended: plan.off.iter().map(missing).collect(),
        back: plan.back.clone(),
        owners: plan.owners.iter().map(missing).collect(),
        kept: plan.kept.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_failed_is_tried_again_sooner_and_then_as_often_as_ever() {
        let seconds = |every| [1, 2, 3, 4, 5, 99].map(|failures| pause(Duration::from_secs(every), failures).as_secs());
        assert_eq!(seconds(300), [37, 75, 150, 300, 300, 300]);
        assert_eq!(seconds(30), [5, 10, 20, 30, 30, 30]);
        assert_eq!(seconds(1), [1; 6]);
    }
}
