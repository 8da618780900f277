//! What sources take away while the database takes nothing: it is journalled like anybody's word.
//!
//! Where the database cannot even be read, whom a message names comes out of memory ([`super::known`]). What is not known
//! there is not answered: whoever sent it is told to try again.

use doorward_domain::{Action, Actor, Principal, PrincipalState, Reason, Source, Word};
use doorward_model::{AccountId, DecisionId, Email, SourceName, Timestamp};
use doorward_store::WriteTx;

use super::said::{Became, first_word};
use super::users::{View, Wanted, show};
use crate::app::decide::{is_outage, journal};
use crate::app::journal::Order;
use crate::app::{App, Refusal};

/// A change that the database did not take: the name under which it was tried, and what the database said.
pub(super) struct Untaken {
    pub(super) decision: DecisionId,
    pub(super) refusal: Refusal,
}

/// Changes an account as far as that takes something away; the rest of what the source says is not done, and not said to be.
pub(super) async fn change<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: AccountId,
    decide: impl Fn(&View) -> Result<Wanted, E>,
    untaken: Untaken,
) -> Result<View, E> {
    let view = found(app, source, id, &untaken.refusal).await?;
    match decide(&view)?.active {
        Some(false) => Ok(suspend(app, source, view, untaken).await?),
        Some(true) | None => Err(untaken.refusal.into()),
    }
}

/// Suspends whom the source removes: they depart after the cooling period, or when it says so again.
pub(super) async fn remove<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: AccountId,
    check: impl Fn(&View) -> Result<(), E>,
    untaken: Untaken,
) -> Result<(), E> {
    let view = found(app, source, id, &untaken.refusal).await?;
    check(&view)?;
    suspend(app, source, view, untaken).await?;
    Ok(())
}

async fn found(app: &App, source: &Source, id: AccountId, refusal: &Refusal) -> Result<View, Refusal> {
    if !is_outage(refusal) {
        return Err(refusal.clone());
    }
    let found = show(app, source, id).await;
    found.map_err(|error| if is_outage(&error) { refusal.clone() } else { error })
}

async fn suspend(app: &App, source: &Source, mut view: View, untaken: Untaken) -> Result<View, Refusal> {
    let Untaken { decision, refusal } = untaken;
    let order = Order::Suspend { email: view.person.email.clone() };
    let by = (decision, by(source), None);
    let outcome = journal(app, by, order, Some(view.person.id), &refusal).await?;
    view.account.suspended_at = view.account.suspended_at.or(Some(outcome.decided_at));
    if view.person.state == PrincipalState::Active {
        view.person.state = PrincipalState::Suspended;
    }
    app.sources.put(&view);
    Ok(view)
}

/// Suspends whom a source speaks of by their address; who would depart is suspended, and departs after the cooling period.
pub(super) async fn say(
    app: &App,
    source: &Source,
    email: &Email,
    (word, why): (Word, Option<&Reason>),
    untaken: Untaken,
) -> Result<(Became, Option<String>), Refusal> {
    let Untaken { decision, refusal } = untaken;
    if !is_outage(&refusal) || word == Word::Active {
        return Err(refusal);
    }
    if app.sources.is_owner(email) {
        return Ok((Became::Refused, Some(super::said::owner(email))));
    }
    let by = (decision, by(source), why.cloned());
    let outcome = journal(app, by, Order::Suspend { email: email.clone() }, None, &refusal).await?;
    Ok((Became::Suspended, Some(outcome.warnings.join("; "))))
}

fn by(source: &Source) -> Actor {
    Actor::Source { name: source.name.clone() }
}

/// Notes on accounts that a source suspended somebody, so that the source can take it back.
pub(crate) async fn note_by_source(
    tx: &mut WriteTx,
    name: &SourceName,
    person: &Principal,
    now: Timestamp,
) -> Result<(), Refusal> {
    // A source that was removed meanwhile takes nothing back: an admin does.
    let Some(source) = tx.source_by_name(name).await? else {
        return super::note_by_hand(tx, person, Action::PersonSuspend, now).await;
    };
    let known = tx.accounts_of(person.id).await?.into_iter().find(|account| account.source == source.id);
    let account = match known {
        Some(account) => account,
        None if source.kind.manages_people() => return Ok(()),
        None => first_word(tx, &source, person, now).await?,
    };
    Ok(tx.account_update(&account.turn_off(person, &[], now).account).await?)
}
