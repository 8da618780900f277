//! What a directory takes away while the database can be read and takes nothing: it is journalled like anybody's word.
//!
//! Where the database cannot even be read, nobody knows whom a directory's id names, and the directory is told to try again.

use doorward_domain::{Actor, Principal, PrincipalState, Source};
use doorward_model::{AccountId, Timestamp};
use doorward_store::WriteTx;

use super::users::{View, Wanted, show};
use crate::app::decide::{is_outage, journal};
use crate::app::health::in_time;
use crate::app::journal::Order;
use crate::app::{App, Refusal};

/// Changes an account as far as that takes something away; the rest of what the source says is not done, and not said to be.
pub(super) async fn change<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: AccountId,
    decide: impl FnOnce(&View) -> Result<Wanted, E>,
    refusal: Refusal,
) -> Result<View, E> {
    let view = found(app, source, id, &refusal).await?;
    match decide(&view)?.active {
        Some(false) => Ok(suspend(app, source, view, &refusal).await?),
        Some(true) | None => Err(refusal.into()),
    }
}

/// Suspends whom the source removes: they depart after the cooling period, or when it says so again.
pub(super) async fn remove<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: AccountId,
    check: impl FnOnce(&View) -> Result<(), E>,
    refusal: Refusal,
) -> Result<(), E> {
    let view = found(app, source, id, &refusal).await?;
    check(&view)?;
    suspend(app, source, view, &refusal).await?;
    Ok(())
}

async fn found(app: &App, source: &Source, id: AccountId, refusal: &Refusal) -> Result<View, Refusal> {
    if !is_outage(refusal) {
        return Err(refusal.clone());
    }
    let found = in_time(show(app, source, id)).await;
    found.map_err(|error| if is_outage(&error) { refusal.clone() } else { error })
}

async fn suspend(app: &App, source: &Source, mut view: View, refusal: &Refusal) -> Result<View, Refusal> {
    let actor = Actor::Source { name: source.name.clone() };
    let order = Order::Suspend { email: view.person.email.clone() };
    let outcome = journal(app, &actor, order, Some(view.person.id), refusal).await?;
    view.account.suspended_at = view.account.suspended_at.or(Some(outcome.decided_at));
    if view.person.state == PrincipalState::Active {
        view.person.state = PrincipalState::Suspended;
    }
    Ok(view)
}

/// Notes on an account that its source suspended somebody, so that the source can take it back.
pub(crate) async fn note_by_source(tx: &mut WriteTx, person: &Principal, now: Timestamp) -> Result<(), Refusal> {
    let Some(account) = tx.account_of(person.id).await? else { return Ok(()) };
    Ok(tx.account_update(&account.turn_off(person, &[], now).account).await?)
}
