//! Waiting for conditions, never for a guessed time.

use std::thread;
use std::time::{Duration, Instant};

/// How long a poll rests between two looks: short beside every bound that scenarios claim (100 ms and more).
const REST: Duration = Duration::from_millis(10);

/// Returns the first `Some` that `look` gives.
///
/// # Panics
/// When `bound` passes without one, naming what was waited for.
#[track_caller]
pub fn wait_for<T>(what: &str, bound: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = look() {
            return value;
        }
        assert!(start.elapsed() < bound, "waited {bound:?} in vain for: {what}");
        thread::sleep(REST);
    }
}

/// Waits until the condition holds and returns how long that took.
///
/// # Panics
/// When `bound` passes before it does.
#[track_caller]
pub fn wait_until(what: &str, bound: Duration, mut condition: impl FnMut() -> bool) -> Duration {
    let start = Instant::now();
    wait_for(what, bound, || condition().then_some(()));
    start.elapsed()
}

/// Says whether the condition came to hold within `bound`.
pub fn comes_true(bound: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    while start.elapsed() < bound {
        if condition() {
            return true;
        }
        thread::sleep(REST);
    }
    condition()
}

/// Watches a condition for the whole `span` and panics at the first look at which it does not hold.
#[track_caller]
pub fn holds_for(what: &str, span: Duration, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while start.elapsed() < span {
        assert!(condition(), "did not hold for {span:?}: {what} (after {:?})", start.elapsed());
        thread::sleep(REST);
    }
}
