//! Many schedules, and what is done about one that fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::source::{Bytes, Seeded};
use crate::step::{self, Step};
use crate::subject::Fault;
use crate::world::{Seen, Violation, play};

/// A schedule that failed.
#[derive(Debug, Clone)]
pub struct Failure {
    /// Its number.
    pub schedule: u64,
    /// Its steps, shrunk.
    pub steps: Vec<Step>,
    /// What was seen.
    pub violation: Violation,
}

impl Failure {
    /// The text of a corpus file.
    #[must_use]
    pub fn text(&self, seed: u64) -> String {
        format!(
            "# Found by seed {seed}, schedule {}, and shrunk. At step {}:\n# {}\n{}",
            self.schedule,
            self.violation.step.saturating_add(1),
            self.violation.what,
            step::write(&self.steps)
        )
    }
}

/// Plays the schedules of a range; returns what was seen, or the first failure, shrunk.
///
/// # Errors
/// The failure.
pub fn run(
    seed: u64,
    schedules: impl Iterator<Item = u64>,
    fault: Fault,
    done: &AtomicU64,
    stop: &AtomicBool,
) -> Result<Seen, Box<Failure>> {
    let mut seen = Seen::default();
    for schedule in schedules {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let steps = step::schedule(&mut Seeded::new(seed, schedule));
        match play(&steps, fault) {
            Ok(more) => seen.add(&more),
            Err(_) => {
                stop.store(true, Ordering::Relaxed);
                let (steps, violation) = shrink(steps, fault);
                return Err(Box::new(Failure { schedule, steps, violation }));
            }
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(seen)
}

/// Leaves out steps, in ever smaller parts, as long as something still fails (delta debugging: Zeller and Hildebrandt,
/// "Simplifying and isolating failure-inducing input", 2002).
fn shrink(mut steps: Vec<Step>, fault: Fault) -> (Vec<Step>, Violation) {
    let mut violation = Violation { step: 0, what: "it does not fail a second time".to_owned() };
    if let Err(seen) = play(&steps, fault) {
        steps.truncate(seen.step.saturating_add(1));
        violation = seen;
    }
    let mut part = steps.len().max(1);
    loop {
        let mut shorter = false;
        let mut at = 0;
        while at < steps.len() {
            let mut fewer = steps.clone();
            fewer.drain(at..steps.len().min(at.saturating_add(part)));
            match play(&fewer, fault) {
                Err(seen) => {
                    fewer.truncate(seen.step.saturating_add(1));
                    (steps, violation, shorter) = (fewer, seen, true);
                }
                Ok(_) => at = at.saturating_add(part),
            }
        }
        if part == 1 && !shorter {
            return (steps, violation);
        }
        part = if shorter { part } else { (part / 2).max(1) };
    }
}

/// Plays the schedule that bytes stand for, as a fuzzer gives them.
///
/// # Errors
/// What was not as promised.
pub fn play_bytes(bytes: &[u8]) -> Result<Seen, Violation> {
    let mut source = Bytes(bytes);
    let mut steps = Vec::new();
    while source.has_more() && steps.len() < 200 {
        steps.push(Step::draw(&mut source));
    }
    play(&steps, Fault::None)
}
