//! The search itself: every rule in every world, and every mutant found.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests fail by panicking with a sentence, and print what they searched"
)]

use std::num::NonZeroUsize;
use std::time::Instant;

use doorward_protocol::{Mutant, Protocol, Rule, Size};
use stateright::{Checker, HasDiscoveries, Model};

const ONE: Size = Size {
    replicas: 1,
    gateways: 1,
    commits: 4,
    outages: false,
    partition: false,
    single_writer: false,
    restores: false,
    others: false,
    skips: false,
    repeats: true,
};

/// Events in a course, where not everything is searched.
const DEPTH: NonZeroUsize = NonZeroUsize::new(13).unwrap();

/// Searches through everything.
fn search(size: Size) {
    search_to(size, None);
}

fn search_to(size: Size, depth: Option<NonZeroUsize>) {
    let begun = Instant::now();
    let checker = Protocol { size, mutant: None }.checker().threads(1);
    let checker = match depth {
        Some(depth) => checker.target_max_depth(depth.get()),
        None => checker,
    };
    let checker = checker.spawn_bfs().join();
    println!("{} states in {:.1} s: {size:?}", checker.unique_state_count(), begun.elapsed().as_secs_f64());
    for rule in Rule::ALL {
        if let Some(path) = checker.discovery(rule.name()) {
            panic!("{rule:?} does not hold after {:?}:\n{:?}", path.clone().into_actions(), path.last_state());
        }
    }
    checker.assert_properties();
}

/// Searches until the rule is seen broken.
#[track_caller]
fn finds(size: Size, mutant: impl Into<Option<Mutant>>, rule: Rule) {
    let mutant = mutant.into();
    let until = HasDiscoveries::AnyOf([rule.name()].into());
    let checker = Protocol { size, mutant }.checker().threads(1).finish_when(until).spawn_bfs().join();
    let path = checker.discovery(rule.name()).unwrap_or_else(|| panic!("{mutant:?} does not break {rule:?}"));
    println!(
        "{mutant:?} breaks {rule:?} in {} steps, after {} states",
        path.into_actions().len(),
        checker.unique_state_count()
    );
}

#[test]
fn the_bound_holds_between_one_control_plane_and_a_gateway() {
    search(ONE);
}

const OUTAGES: Size = Size { outages: true, commits: 3, ..ONE };
const SQLITE: Size = Size { single_writer: true, ..OUTAGES };
const RESTORES: Size = Size { restores: true, others: true, ..ONE };
const SKIPS: Size = Size { skips: true, others: true, ..ONE };
const REPLICAS: Size = Size { replicas: 2, commits: 3, ..ONE };

#[test]
fn it_holds_while_the_database_is_lost_and_revocations_are_journalled() {
    search(OUTAGES);
    search(SQLITE);
}

#[test]
fn it_holds_when_an_older_copy_of_the_database_is_put_back() {
    search(RESTORES);
}

#[test]
fn it_holds_when_a_control_plane_leaves_a_message_out() {
    search(SKIPS);
}

#[test]
fn it_holds_with_two_control_planes_on_one_database() {
    search(REPLICAS);
}

#[test]
fn it_holds_with_two_gateways() {
    // Their product is too large for the whole of it: every course of so many events.
    search_to(Size { gateways: 2, ..ONE }, Some(DEPTH));
}

#[test]
fn every_rule_that_is_left_out_is_missed() {
    use Mutant as M;
    use Rule as R;
    finds(ONE, M::AuthorityFromArrival, R::Bound);
    finds(REPLICAS, M::HeartbeatWithoutRead, R::Bound);
    finds(ONE, M::SnapshotKeepsTheRest, R::Bound);
    finds(SKIPS, M::GapIgnored, R::Bound);
    finds(SKIPS, M::ReceiptOnArrival, R::ReceiptNeverEarly);
    finds(OUTAGES, M::HeartbeatBeforePush, R::Bound);
    finds(OUTAGES, M::JournalForgotten, R::Heals);
    finds(OUTAGES, M::JournalEmptiedEarly, R::NothingLost);
    finds(OUTAGES, M::ReplayTwice, R::WrittenOnce);
    finds(OUTAGES, M::OverlayLeftOut, R::ConfirmedIsConfirmed);
    finds(RESTORES, M::OlderCopyServed, R::Bound);
    finds(RESTORES, M::OlderCopyByNumber, R::Bound);
    finds(RESTORES, M::ReceiptOfAnotherHistory, R::ReceiptNeverEarly);
    finds(RESTORES, M::AcceptedTooLow, R::Heals);
}

#[test]
fn what_one_of_several_control_planes_journalled_binds_its_own_gateways_alone() {
    // The assumption about journals, seen to be one: the other control plane reads a database without the entry.
    finds(Size { outages: true, ..REPLICAS }, None, Rule::Bound);
    finds(Size { outages: true, partition: true, ..REPLICAS }, None, Rule::Bound);
}
