//! Long courses through worlds that are too large to be searched: chance picks what happens next, a seed picks the chance.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    missing_docs,
    reason = "tests fail by panicking with a sentence, and print what they walked"
)]

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use doorward_protocol::{Action, Mutant, Protocol, Rule, Size};
use stateright::{Expectation, Model};

/// Everything that the exhaustive searches have one after the other, at once.
const ALL_FAULTS: Size = Size {
    replicas: 1,
    gateways: 2,
    commits: 24,
    outages: true,
    partition: false,
    single_writer: false,
    restores: true,
    others: true,
    skips: true,
    repeats: true,
};
const SQLITE: Size = Size { single_writer: true, ..ALL_FAULTS };
/// What several control planes have without journals and restored copies, which the search has beside one alone.
const REPLICAS: Size = Size { replicas: 2, outages: false, restores: false, ..ALL_FAULTS };

/// Courses through each world, and events in each: a few seconds on one core.
const COURSES: u64 = 3_000;
const EVENTS: usize = 300;
/// Whether everything heals is a course of its own: looked at after every so many events.
const HEALS_EVERY: usize = 10;

/// Makes the same sequence of numbers from the same seed (`SplitMix64`).
struct Chance(u64);

impl Chance {
    const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        it ^ (it >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("a few actions");
        usize::try_from(self.next() % bound).expect("below a few actions")
    }
}

/// How often each event is picked in one course: never, sometimes or often. With everything equally often no course would
/// ever hold one fault for long (swarm testing: Groce et al., ISSTA 2012).
#[derive(Default)]
struct Swarm(HashMap<Action, usize>);

impl Swarm {
    fn weight(&mut self, action: Action, chance: &mut Chance) -> usize {
        let mut fresh = || [0, 1, 1, 4, 16].get(chance.below(5)).copied().unwrap_or(1);
        *self.0.entry(action).or_insert_with(&mut fresh)
    }

    /// Puts weights to actions, without those that this course never has.
    fn weigh(&mut self, actions: &[Action], chance: &mut Chance) -> Vec<(Action, usize)> {
        let mut weighed: Vec<_> = actions.iter().map(|action| (*action, self.weight(*action, chance))).collect();
        weighed.retain(|(_, weight)| *weight > 0);
        weighed
    }
}

/// Takes one of them out, by weight.
fn pick(weighed: &mut Vec<(Action, usize)>, chance: &mut Chance) -> Option<Action> {
    let whole = weighed.iter().map(|(_, weight)| weight).sum::<usize>();
    let mut left = if whole == 0 { return None } else { chance.below(whole) };
    let picked = weighed.iter().position(|(_, weight)| {
        let is_it = left < *weight;
        left = left.saturating_sub(*weight);
        is_it
    })?;
    Some(weighed.swap_remove(picked).0)
}

/// Walks one course and notes what was seen. Returns how many events there were; an error is the rule that does not hold,
/// and the course to there.
fn walk(world: &Protocol, seed: u64, seen: &mut BTreeSet<&'static str>) -> Result<usize, (&'static str, Vec<Action>)> {
    let rules = world.properties();
    let (mut chance, mut swarm) = (Chance(seed), Swarm::default());
    let mut state = world.init_states().swap_remove(0);
    let (mut course, mut actions) = (Vec::new(), Vec::new());
    while course.len() < EVENTS {
        actions.clear();
        world.actions(&state, &mut actions);
        let mut weighed = swarm.weigh(&actions, &mut chance);
        let next = std::iter::from_fn(|| {
            let action = pick(&mut weighed, &mut chance)?;
            Some((action, world.next_state(&state, action)))
        })
        .find_map(|(action, next)| Some((action, next?)));
        let Some((action, next)) = next else { break };
        course.push(action);
        state = next;
        for rule in &rules {
            if rule.name == Rule::Heals.name() && !course.len().is_multiple_of(HEALS_EVERY) {
                continue;
            }
            let holds = (rule.condition)(world, &state);
            match rule.expectation {
                Expectation::Always if !holds => return Err((rule.name, course)),
                Expectation::Sometimes if holds => drop(seen.insert(rule.name)),
                Expectation::Always | Expectation::Sometimes | Expectation::Eventually => {}
            }
        }
    }
    Ok(course.len())
}

/// Walks through a world from seeds of its own. `DOORWARD_WALK_SEED` and `DOORWARD_WALK_COURSES` name others.
#[track_caller]
fn walks(size: Size) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("a number"));
    let seed = number("DOORWARD_WALK_SEED").unwrap_or(1);
    let courses = number("DOORWARD_WALK_COURSES").unwrap_or(COURSES);
    let world = Protocol { size, mutant: None };
    let begun = Instant::now();
    let mut seen = BTreeSet::new();
    let course = |seed| {
        let walked = walk(&world, seed, &mut seen);
        walked.unwrap_or_else(|(rule, course)| panic!("seed {seed}: {rule}: broken after {course:?} in {size:?}"))
    };
    let events: usize = (seed..seed + courses).map(course).sum();
    println!("{courses} courses from seed {seed}, {events} events in {:.1} s: {size:?}", begun.elapsed().as_secs_f64());
    let mut wanted = world.properties();
    wanted.retain(|it| matches!(it.expectation, Expectation::Sometimes));
    assert!(wanted.iter().all(|it| seen.contains(it.name)), "courses without anything in them: {seen:?}");
}

#[test]
fn every_rule_holds_on_long_courses_with_every_fault_at_once() {
    walks(ALL_FAULTS);
}

#[test]
fn every_rule_holds_on_long_courses_beside_sqlite() {
    walks(SQLITE);
}

#[test]
fn every_rule_holds_on_long_courses_with_two_control_planes_and_two_gateways() {
    walks(REPLICAS);
}

#[test]
fn a_rule_that_is_left_out_is_missed_on_such_courses_too() {
    // The exhaustive search alone finds the two that are not here.
    let mutants = [
        (Mutant::AuthorityFromArrival, REPLICAS),
        (Mutant::HeartbeatWithoutRead, REPLICAS),
        (Mutant::SnapshotKeepsTheRest, REPLICAS),
        (Mutant::GapIgnored, REPLICAS),
        (Mutant::ReceiptOnArrival, REPLICAS),
        (Mutant::JournalForgotten, ALL_FAULTS),
        (Mutant::JournalEmptiedEarly, ALL_FAULTS),
        (Mutant::ReplayTwice, ALL_FAULTS),
        (Mutant::OverlayLeftOut, ALL_FAULTS),
        (Mutant::OlderCopyServed, ALL_FAULTS),
        (Mutant::OlderCopyByNumber, ALL_FAULTS),
        (Mutant::AcceptedTooLow, ALL_FAULTS),
    ];
    for (mutant, size) in mutants {
        let world = Protocol { size, mutant: Some(mutant) };
        let found = (1..=COURSES).find_map(|seed| Some((seed, walk(&world, seed, &mut BTreeSet::new()).err()?)));
        let (seed, (rule, course)) = found.unwrap_or_else(|| panic!("{mutant:?} is not missed"));
        println!("{mutant:?} is missed with seed {seed}, after {} events: {rule}", course.len());
    }
}
