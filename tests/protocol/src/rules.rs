//! What has to hold in every reachable state, and what has to be reachable so that this means something.

use stateright::Property;

use crate::state::State;
use crate::{Protocol, TTL, heal, step};

/// A rule that every reachable state keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// Nobody who is gone passes once authority's time is over.
    Bound,
    /// A gateway that enforced a revocation never lets the person pass again.
    ConfirmedIsConfirmed,
    /// Nobody is told of an enforcement that did not happen.
    ReceiptNeverEarly,
    /// A revocation that was accepted is written down somewhere, or its loss is known.
    NothingLost,
    /// A journalled revocation is written once.
    WrittenOnce,
    /// Every gateway comes to enforce the newest state by itself.
    Heals,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Bound,
        Self::ConfirmedIsConfirmed,
        Self::ReceiptNeverEarly,
        Self::NothingLost,
        Self::WrittenOnce,
        Self::Heals,
    ];

    /// Its name in the search.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bound => "nobody who is gone passes past the bound",
            Self::ConfirmedIsConfirmed => "a confirmed revocation stays enforced",
            Self::ReceiptNeverEarly => "a receipt is never early",
            Self::NothingLost => "nothing acknowledged is lost",
            Self::WrittenOnce => "a journalled revocation is written once",
            Self::Heals => "every gateway comes to enforce the newest state",
        }
    }
}

/// What must be seen at least once, in every world.
pub(crate) const SEEN: [&str; 3] =
    ["somebody passes", "somebody who is gone passes for a moment", "an enforcement is told"];

pub(crate) fn properties() -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always(Rule::Bound.name(), bound),
        Property::always(Rule::ConfirmedIsConfirmed.name(), confirmed),
        Property::always(Rule::ReceiptNeverEarly.name(), |_, state: &State| {
            state.truth.told.iter().zip(&state.truth.confirmed).all(|(told, confirmed)| !told || *confirmed)
        }),
        Property::always(Rule::NothingLost.name(), nothing_lost),
        Property::always(Rule::WrittenOnce.name(), |_, state: &State| {
            let entries = |number| state.history.0.iter().filter(|row| row.entry == Some(number)).count();
            state.history.0.iter().filter_map(|row| row.entry).all(|entry| entries(entry) == 1)
        }),
        Property::always(Rule::Heals.name(), heal::heals),
    ];
    let [first, second, third] = SEEN;
    properties.push(Property::sometimes(first, |_, state| passes(state)));
    properties.push(Property::sometimes(second, |_, state| passes(state) && state.truth.gone_for.is_some()));
    properties.push(Property::sometimes(third, |_, state: &State| state.truth.told.contains(&true)));
    properties
}

pub(crate) fn passes(state: &State) -> bool {
    state.gateways.iter().any(crate::Gateway::passes)
}

fn bound(_: &Protocol, state: &State) -> bool {
    state.truth.gone_for.is_none_or(|ticks| ticks < TTL) || !passes(state)
}

fn confirmed(_: &Protocol, state: &State) -> bool {
    let gone = state.truth.gone_for.is_some();
    let again = state
        .gateways
        .iter()
        .zip(&state.truth.confirmed)
        .any(|(gateway, confirmed)| gone && *confirmed && gateway.passes());
    !again
}

/// A journal that is still to be written, the database, or a history that nobody serves.
fn nothing_lost(protocol: &Protocol, state: &State) -> bool {
    let journalled = state.replicas.iter().any(|replica| replica.journal.is_some());
    let written = !state.history.latest().allowed;
    let refused = state.replicas.iter().all(|replica| !step::trusts(protocol, state, replica.seen));
    state.truth.gone_for.is_none() || journalled || written || refused
}
