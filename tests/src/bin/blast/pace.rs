//! A steady rate out of bursts.

use std::thread;
use std::time::{Duration, Instant};

/// Shorter waits than this are not worth a system call: sleeping takes about as long.
const WORTH_SLEEPING: Duration = Duration::from_micros(60);

/// Holds a sender to so many things a second, counted from its start.
pub(crate) struct Pace {
    start: Instant,
    per_second: f64,
}

impl Pace {
    /// Starts counting; a rate of zero means flat out.
    pub(crate) fn start(per_second: f64) -> Self {
        Self { start: Instant::now(), per_second }
    }

    /// Waits until another one may go after so many. A sender that fell behind catches up.
    pub(crate) fn wait(&self, sent: u64) {
        if self.per_second <= 0.0 {
            return;
        }
        let due = Duration::from_secs_f64(sent as f64 / self.per_second);
        let ahead = due.saturating_sub(self.start.elapsed());
        if ahead > WORTH_SLEEPING {
            // Sleeping and not spinning: pings and servers run on the same core.
            thread::sleep(ahead);
        }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
