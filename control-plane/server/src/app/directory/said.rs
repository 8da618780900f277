//! What a source says of somebody by their address: they pause, they left, they are back. It adds nobody and gives no access.

use doorward_domain::{
    self as domain, Account, Action, AlertKind, EndedBy, Principal, PrincipalState, Role, Source, Subject, Turn, Word,
};
use doorward_model::{DecisionId, Email, Timestamp};
use doorward_store::WriteTx;
use serde::Serialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::outage::{self, Untaken};
use super::{Work, manage, raise, way_back};
use crate::app::decide::while_it_commits;
use crate::app::{App, Refusal, apply, people};

/// What became of a word about somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Became {
    /// Everything of theirs ended at once and is kept.
    Suspended,
    /// Everything of theirs ended for good.
    Departed,
    /// They are back.
    Active,
    /// They come back once a person decided it.
    Waits,
    /// There was nothing to do.
    Unchanged,
    /// Nobody here has this address.
    Unknown,
    /// A rule forbids it.
    Refused,
}

/// What became of it, with a sentence where there is more to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Answered {
    /// The address, as it was sent.
    pub(crate) email: String,
    /// What became of it.
    pub(crate) result: Became,
    /// Why, or what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

type Outcome = (Became, Option<String>);

/// Does what a source says of one person, in one transaction, or else through the journal.
pub(super) async fn say(
    app: &App,
    source: &Source,
    email: &Email,
    word: Word,
    why: Option<&domain::Reason>,
) -> Result<Outcome, Refusal> {
    let decision = DecisionId::new(Uuid::now_v7());
    let saying = say_as(app, source, (decision, email), (word, why), |_| true);
    // What gives something back has all the time it needs.
    let said = if word == Word::Active { saying.await } else { while_it_commits(app, saying).await };
    match said {
        Err(refusal) => outage::say(app, source, email, (word, why), Untaken { decision, refusal }).await,
        said => said,
    }
}

/// The same, if their account at the source is still as `still` wants it; and in the database alone, for who asks again.
pub(super) async fn say_if(
    app: &App,
    source: &Source,
    email: &Email,
    word: Word,
    why: Option<&domain::Reason>,
    still: impl FnOnce(Option<&Account>) -> bool,
) -> Result<Outcome, Refusal> {
    say_as(app, source, (DecisionId::new(Uuid::now_v7()), email), (word, why), still).await
}

/// Why a source does not put out an owner.
pub(super) fn owner(email: &Email) -> String {
    format!("{email} is an owner: owners are put out by hand, with `doorward person offboard {email}`")
}

async fn say_as(
    app: &App,
    source: &Source,
    (decision, email): (DecisionId, &Email),
    (word, why): (Word, Option<&domain::Reason>),
    still: impl FnOnce(Option<&Account>) -> bool,
) -> Result<Outcome, Refusal> {
    let mut work = Work::begin(app, source).await?;
    let Some(person) = work.tx.person_by_email(email).await? else { return Ok((Became::Unknown, None)) };
    if person.role == Role::Owner && word != Word::Active {
        drop(work);
        let sentence = owner(email);
        raise(app, AlertKind::DirectoryUnreadable, format!("{} was not heard: {sentence}", source.name)).await;
        return Ok((Became::Refused, Some(sentence)));
    }
    let known = work.tx.accounts_of(person.id).await?.into_iter().find(|it| it.source == work.source.id);
    if !still(known.as_ref()) {
        return Ok((Became::Unchanged, Some(format!("{email} was changed meanwhile"))));
    }
    let done = match (person.state, word) {
        (PrincipalState::Departed, _) => Ok((Became::Unchanged, Some(format!("{email} departed already")))),
        (_, Word::Active) => back(work, person, known, why).await,
        (_, Word::Suspended | Word::Departed) => {
            work.takes_away(decision).await?;
            off(work, person, known, word, why).await
        }
    };
    match done {
        // One person whom nobody answers for, or whose own time is over, holds up nobody else.
        Err(Refusal::Refused(sentence)) => Ok((Became::Refused, Some(sentence))),
        other => other,
    }
}

async fn off(
    mut work: Work<'_>,
    person: Principal,
    known: Option<Account>,
    word: Word,
    why: Option<&domain::Reason>,
) -> Result<Outcome, Refusal> {
    let account = match known {
        Some(account) => account,
        None => first_word(&mut work.tx, &work.source, &person, work.now).await?,
    };
    if account.suspended_at.is_none() {
        work.count_off().await?;
    }
    let braked = work.source.brake_since.is_some();
    let was_off = account.suspended_at.is_some() && account.held_at.is_none();
    let departs = word == Word::Departed && !braked;
    if was_off && !departs && (word == Word::Suspended || account.deleted_at.is_some()) {
        return Ok((Became::Unchanged, None));
    }
    let devices = work.tx.devices_of(person.id).await?;
    let grants: Vec<_> = work.tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
    let turn = match word {
        Word::Departed => account.delete(&person, &devices, &grants, braked, work.now),
        Word::Suspended | Word::Active => account.turn_off(&person, &devices, work.now),
    };
    let action = if departs {
        work.tx.account_end(account.id, EndedBy::Source, work.now).await?;
        Action::PersonOffboard
    } else {
        work.tx.account_update(&turn.account).await?;
        Action::PersonSuspend
    };
    let (name, noun) = (work.source.name.clone(), work.source.kind.noun());
    commit(work, &person, turn, action, why).await?;
    Ok(match (departs, word) {
        (true, _) => (Became::Departed, None),
        (false, Word::Departed) => {
            let sentence = format!("they depart once somebody confirms it: `doorward {noun} confirm {name}`");
            (Became::Suspended, Some(sentence))
        }
        (false, Word::Suspended | Word::Active) => (Became::Suspended, None),
    })
}

/// The account that a source's first word about somebody makes. They were here before, and whoever else suspended them keeps
/// them suspended.
pub(super) async fn first_word(
    tx: &mut WriteTx,
    source: &Source,
    person: &Principal,
    now: Timestamp,
) -> Result<Account, Refusal> {
    let others = tx.accounts_of(person.id).await?;
    let by_hand = others.iter().find_map(|other| other.by_hand_at);
    let by_another = others.iter().any(|other| other.suspended_at.is_some());
    let suspended = person.state == PrincipalState::Suspended;
    let account = Account {
        by_hand_at: by_hand.or((suspended && !by_another).then_some(now)),
        created_at: person.created_at.min(earlier(now)),
        // Addresses move from one person to another; this never does.
        user_name: person.id.to_string(),
        ..manage::given(source, person, now)
    };
    tx.account_add(&account).await?;
    Ok(account)
}

/// Before this moment: who was there already when the source spoke counts as one whom it disabled.
fn earlier(now: Timestamp) -> Timestamp {
    now.checked_sub(jiff::SignedDuration::from_micros(1)).unwrap_or(now)
}

async fn back(
    mut work: Work<'_>,
    person: Principal,
    known: Option<Account>,
    why: Option<&domain::Reason>,
) -> Result<Outcome, Refusal> {
    let nothing = || format!("{} did not suspend {}: it takes back only what it took", work.source.name, person.email);
    let Some(account) = known.filter(|account| account.suspended_at.is_some()) else {
        return Ok((Became::Unchanged, Some(nothing())));
    };
    let waits = work.count_on(account.held_at.is_some()).await?;
    let back = if waits { domain::Return::Waits } else { way_back(&mut work.tx, &account).await? };
    if back == domain::Return::Free {
        people::require_sponsor(&mut work.tx, &person, work.now).await?;
    }
    let devices = work.tx.devices_of(person.id).await?;
    let turn = account.turn_on(&person, &devices, back, work.now)?;
    work.tx.account_update(&turn.account).await?;
    let is_back = turn.effect.is_some();
    let (name, noun) = (work.source.name.clone(), work.source.kind.noun());
    commit(work, &person, turn, Action::PersonRestore, why).await?;
    Ok(match (waits, is_back) {
        (true, _) => (Became::Waits, Some(format!("too many at once: `doorward {noun} undo {name}` takes them back"))),
        (false, true) => (Became::Active, None),
        (false, false) => (Became::Unchanged, Some("they are suspended by hand, or by another source".to_owned())),
    })
}

async fn commit(
    mut work: Work<'_>,
    person: &Principal,
    turn: Turn,
    action: Action,
    why: Option<&domain::Reason>,
) -> Result<(), Refusal> {
    let mut detail =
        json!({ "reason": why, "brake_since": work.source.brake_since, "waits": turn.account.held_at.is_some() });
    let mut devices = Vec::new();
    if let (Some(effect), Value::Object(detail)) = (turn.effect, &mut detail) {
        let applied = apply(&mut work.tx, &work.actor, &effect, None, work.now).await?;
        detail.extend(applied.recorded());
        devices = applied.devices;
    }
    work.commit(action, Subject::Person(person.email.clone()), detail, devices).await
}
