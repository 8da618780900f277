//! One fair course of events without any fault, from wherever the world is.

use crate::rules::passes;
use crate::state::State;
use crate::step::{Action, take};
use crate::{Protocol, TTL};

/// Rounds of everything that wants to happen; a session that has to begin again takes three.
const ROUNDS: usize = 5;

/// Runs that course: databases and control planes are back, and what can be done is done. Then each gateway must
/// enforce the newest state, with authority. Where an older copy was put back it must come to pass nobody, and do so
/// once a person accepted the copy.
pub(crate) fn heals(protocol: &Protocol, state: &State) -> bool {
    // One more commit than the search allows itself: the journal's.
    let mut size = protocol.size;
    size.commits = u8::MAX;
    let protocol = &Protocol { size, ..*protocol };
    let mut world = state.clone();
    for replica in &mut world.replicas {
        replica.reaches = true;
    }
    for number in 0..world.replicas.len() {
        let _ = take(protocol, &mut world, Action::Start(number));
        let _ = take(protocol, &mut world, Action::Replay(number));
        let _ = take(protocol, &mut world, Action::Forget(number));
    }
    if settles(protocol, &mut world) {
        return true;
    }
    // An older copy was put back: nobody passes, until a person accepts it.
    let mut refused = world.clone();
    (0..TTL).for_each(|_| refused.tick());
    let mut accepted = false;
    for number in 0..world.replicas.len() {
        accepted |= take(protocol, &mut world, Action::Accept(number));
    }
    accepted && !passes(&refused) && settles(protocol, &mut world)
}

fn settles(protocol: &Protocol, world: &mut State) -> bool {
    (0..ROUNDS).any(|_| {
        (0..world.gateways.len()).for_each(|gateway| round(protocol, world, gateway));
        is_well(world)
    })
}

fn is_well(world: &State) -> bool {
    let latest = world.history.latest();
    let enforced = world
        .gateways
        .iter()
        .all(|gateway| gateway.held == Some(latest.mark) && gateway.lease == latest.allowed && gateway.authority > 0);
    enforced && (world.truth.gone_for.is_none() || !latest.allowed)
}

fn round(protocol: &Protocol, world: &mut State, gateway: usize) {
    for replica in 0..world.replicas.len() {
        let _ = take(protocol, world, Action::Hello { gateway, replica });
    }
    drain(protocol, world, gateway);
    let _ = take(protocol, world, Action::Pump(gateway));
    for action in [Action::Ping(gateway), Action::PingArrives(gateway)] {
        let _ = take(protocol, world, action);
    }
    let _ = take(protocol, world, Action::Pump(gateway));
    drain(protocol, world, gateway);
    let _ = take(protocol, world, Action::Receipt(gateway));
}

fn drain(protocol: &Protocol, world: &mut State, gateway: usize) {
    while take(protocol, world, Action::Take { gateway, again: false }) {}
}
