//! Whether the database answers, as the last reads and writes found it.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use doorward_model::Timestamp;

use super::{App, Refusal};

/// How long a read may take before the database counts as one that does not answer.
pub(crate) const READ_PATIENCE: Duration = Duration::from_secs(1);
/// How long gateways wait after a database that others write is back: a replica that journalled revocations meanwhile writes
/// them first, within a quarter of a second of its return.
const SETTLE: Duration = Duration::from_millis(1_500);
/// How often it is asked when nobody else asks.
const ASK_EVERY: Duration = Duration::from_millis(500);

/// Since when something is not as it should be, and what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    pub(crate) since: Timestamp,
    pub(crate) what: String,
}

#[derive(Debug, Default)]
struct Seen {
    reading: Option<Trouble>,
    writing: Option<Trouble>,
    committed: Option<Instant>,
    back: Option<Instant>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Health(Mutex<Seen>);

impl Health {
    /// A read succeeded, or did not.
    pub(crate) fn read(&self, done: Result<(), &Refusal>, now: Timestamp) {
        let mut seen = self.seen();
        match done {
            Ok(()) => {
                if let Some(trouble) = seen.reading.take() {
                    seen.back = Some(Instant::now());
                    tracing::info!(since = %trouble.since, "the database answers again");
                }
            }
            Err(refusal) => {
                let trouble = seen.reading.get_or_insert_with(|| {
                    tracing::error!(?refusal, "the database does not answer");
                    Trouble { since: now, what: String::new() }
                });
                trouble.what = refusal.clone().into_parts().1;
            }
        }
    }

    /// A change was committed.
    pub(crate) fn committed(&self) {
        let mut seen = self.seen();
        seen.writing = None;
        seen.committed = Some(Instant::now());
    }

    /// A change was not.
    pub(crate) fn not_committed(&self, refusal: &Refusal, now: Timestamp) {
        let mut seen = self.seen();
        let trouble = seen.writing.get_or_insert_with(|| Trouble { since: now, what: String::new() });
        trouble.what = refusal.clone().into_parts().1;
    }

    /// Says when a change was committed last.
    pub(crate) fn last_commit(&self) -> Option<Instant> {
        self.seen().committed
    }

    /// Says how long what other replicas may have journalled still has time to be written.
    pub(crate) fn settles_in(&self) -> Duration {
        self.seen().back.map_or(Duration::ZERO, |back| SETTLE.saturating_sub(back.elapsed()))
    }

    /// Says whether the last read found no answer.
    pub(crate) fn is_down(&self) -> bool {
        self.seen().reading.is_some()
    }

    /// What is wrong: that nothing can be read before that nothing can be written.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        let seen = self.seen();
        seen.reading.clone().or_else(|| seen.writing.clone())
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for something that is read, and no longer than a database that answers takes.
pub(crate) async fn in_time<T>(read: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout(READ_PATIENCE, read).await.unwrap_or_else(|_| Err(silent()))
}

/// The same where something else answers instead: for a database that is known to say nothing nobody waits.
pub(crate) async fn in_time_if_up<T>(app: &App, read: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    if app.health.is_down() { Err(silent()) } else { in_time(read).await }
}

/// The refusal for a database that says nothing at all.
pub(crate) fn silent() -> Refusal {
    Refusal::Unavailable("the database does not answer: check that it runs and can be reached".to_owned())
}

/// Asks the database from time to time whether it is there.
pub(crate) async fn watch(app: &App) {
    let mut ticks = tokio::time::interval(ASK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let answer = in_time(async { Ok(app.store.ping().await?) }).await;
        app.health.read(answer.as_ref().copied(), app.clock.now());
    }
}
