//! Revocations while the database takes none.
//!
//! A decision to take something away is written to the database, or else to a file in the data folder (`file.rs`); one of
//! both has it on its disk before anybody is told that it was taken. From then on these hold:
//!
//! - **It counts as done.** Whatever is read from the database is read through the [`Overlay`]: leases, the lockdown, whoever
//!   holds a session or a token. An overlay is taken *before* the read that it is laid over, so that a decision that is
//!   written meanwhile is in one of both; what was read under an overlay that has grown since is never sent.
//! - **Gateways hear it at once**, by a delta that leads to no revision of its own and that they confirm by the decision's
//!   name ([`doorward_model::Delta::ahead`]). Whom it concerns comes from memory ([`Roster`]). It may take more away than
//!   was asked for (a device with the grant instead of the grant, a lockdown without its exempt group) where the database
//!   cannot be read; never less.
//! - **It is written before anything else is.** While something waits the store refuses every other change, so that nothing
//!   is given back, signed in or granted that a decision of before would have refused.
//! - **It is written once.** Its name is a row in the same transaction. The first attempt, which was given up, carries the
//!   same name: whichever comes through first, the other one finds the row.
//! - **In order**, and one that applies to nothing any more is recorded as such.
//!
//! What another replica commits while decisions wait here is not held back: what is written afterwards still takes away.

mod decision;
mod file;
mod overlay;
mod remembered;
mod replay;
mod roster;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use doorward_domain::{Alert, Principal};
use doorward_model::DeviceId;
use doorward_store::Store;
use tokio::sync::watch;

pub(crate) use self::decision::{Decision, Order};
use self::file::JournalFile;
pub(crate) use self::overlay::{Overlay, Waiting};
pub(crate) use self::remembered::Remembered;
pub(crate) use self::replay::{alert, keep_written, settle};
pub(crate) use self::roster::{Known, Roster};
use super::{App, Refusal};
use crate::ControlPlaneError;
use crate::net::file_error;

/// The file's name in the data folder.
const FILE_NAME: &str = "journal";
/// Alerts kept until the database takes them.
const ALERTS_MAX: usize = 100;

/// See the module.
#[derive(Debug)]
pub(crate) struct Journal {
    file: Mutex<Option<JournalFile>>,
    overlay: watch::Sender<Arc<Overlay>>,
    alerts: Mutex<Vec<Alert>>,
    /// Lines of the last run that could not be read.
    damaged: usize,
    pub(crate) roster: Roster,
    pub(crate) remembered: Remembered,
    path: std::path::PathBuf,
}

impl Journal {
    /// Opens the journal; what the database has of it already is forgotten, the rest is laid over it.
    ///
    /// # Errors
    /// Where there is a journal that cannot be read: it may say who has to stay out.
    pub(crate) async fn open(data_dir: &Path, store: &Store) -> Result<Self, ControlPlaneError> {
        let path = data_dir.join(FILE_NAME);
        let was_there = path.exists();
        let (file, found) = match JournalFile::open(&path) {
            Ok((file, found)) => (Some(file), found),
            Err(source) if was_there => return Err(file_error("read", &path, source)),
            Err(error) => {
                // It is tried again when it is needed; a server that does not start puts out nobody either.
                tracing::error!(%error, path = %path.display(), "the journal cannot be made: revocations need the database until it can");
                (None, file::Found::default())
            }
        };
        if found.damaged > 0 {
            tracing::error!(lines = found.damaged, path = %path.display(), "the journal has lines that cannot be read: the disk lost what it had confirmed, so look at who was put out lately");
        }
        let mut waiting = Vec::new();
        for decision in found.decisions {
            if is_written(store, &decision).await {
                continue;
            }
            let number = u64::try_from(waiting.len()).unwrap_or(u64::MAX).saturating_add(1);
            waiting.push(Arc::new(Waiting { decision, number, accepted: Instant::now(), concerned: Vec::new() }));
        }
        store.hold_back(!waiting.is_empty());
        let grown = u64::try_from(waiting.len()).unwrap_or(u64::MAX);
        Ok(Self {
            file: Mutex::new(file),
            overlay: watch::Sender::new(Arc::new(Overlay::new(waiting, grown))),
            alerts: Mutex::default(),
            damaged: found.damaged,
            roster: Roster::default(),
            remembered: Remembered::default(),
            path,
        })
    }

    /// What waits, as it is laid over what is read next.
    pub(crate) fn overlay(&self) -> Arc<Overlay> {
        Arc::clone(&self.overlay.borrow())
    }

    /// Wakes at each decision, and when one was written.
    pub(crate) fn watch(&self) -> watch::Receiver<Arc<Overlay>> {
        self.overlay.subscribe()
    }

    /// Says whether somebody was put out.
    pub(crate) fn ends(&self, person: &Principal) -> bool {
        self.overlay.borrow().ends(person)
    }

    /// Takes a decision: on the disk first, then for everybody to see.
    ///
    /// # Errors
    /// Where the disk does not take it either; it is not taken then.
    pub(crate) async fn take(app: &App, decision: Decision) -> Result<Arc<Waiting>, Refusal> {
        let app = app.clone();
        // On a thread of its own, and to its end even where the caller goes.
        let taken = tokio::task::spawn_blocking(move || app.journal.take_now(&app.store, decision));
        taken.await.unwrap_or_else(|_| Err(Refusal::Internal("the journal ended in a panic".to_owned())))
    }

    fn take_now(&self, store: &Store, mut decision: Decision) -> Result<Arc<Waiting>, Refusal> {
        // Held all along, so that the file and the overlay have one order.
        let mut file = lock(&self.file);
        store.hold_back(true);
        let concerned = self.concerned(&mut decision);
        if let Err(error) = self.append(&mut file, &decision) {
            store.hold_back(!self.overlay.borrow().is_empty());
            return Err(self.refusal(&error));
        }
        let before = self.overlay();
        let number = before.grown.saturating_add(1);
        let waiting = Arc::new(Waiting { decision, number, accepted: Instant::now(), concerned });
        let all = before.waiting().iter().cloned().chain([Arc::clone(&waiting)]).collect();
        self.overlay.send_replace(Arc::new(Overlay::new(all, number)));
        Ok(waiting)
    }

    fn append(&self, file: &mut Option<JournalFile>, decision: &Decision) -> std::io::Result<()> {
        if let Some(file) = file {
            return file.append(decision);
        }
        let (mut opened, _) = JournalFile::open(&self.path)?;
        opened.append(decision)?;
        *file = Some(opened);
        Ok(())
    }

    fn refusal(&self, error: &std::io::Error) -> Refusal {
        let waiting = self.overlay.borrow().waiting().len();
        tracing::error!(%error, waiting, path = %self.path.display(), "a revocation was not taken");
        Refusal::Unavailable(format!(
            "neither the database nor the journal {} takes this ({error}), so nothing was revoked: stop the gateway to end all access at once, then look at the disk and at the database",
            self.path.display()
        ))
    }

    /// Finds the devices that a decision concerns among those that gateways were told of, and the person behind an address.
    fn concerned(&self, decision: &mut Decision) -> Vec<(DeviceId, Known)> {
        match &decision.order {
            Order::LockdownOn { .. } => Vec::new(),
            Order::RevokeDevice { device, .. } => self.roster.find(|id, _| id == *device),
            Order::RevokeGrant { grant } => self.roster.find(|_, known| known.has(*grant)),
            Order::Offboard { email, .. } | Order::Suspend { email } => {
                let own =
                    self.roster.find(|_, known| known.email == *email || Some(known.principal) == decision.person);
                decision.person = decision.person.or_else(|| own.first().map(|(_, known)| known.principal));
                let hands_over = matches!(&decision.order, Order::Offboard { hand_over_to: Some(_), .. });
                let Some(person) = decision.person.filter(|_| !hands_over) else { return own };
                let theirs = self.roster.find(|_, known| known.sponsor == Some(person) && known.principal != person);
                own.into_iter().chain(theirs).collect()
            }
        }
    }

    /// Forgets a decision that the database has.
    fn written(&self, store: &Store, waiting: &Waiting) {
        let mut file = lock(&self.file);
        let before = self.overlay();
        let left: Vec<_> = before.waiting().iter().filter(|one| one.number != waiting.number).cloned().collect();
        let is_last = left.is_empty();
        if is_last {
            // Before anybody sees that nothing waits: whoever does may go on.
            store.hold_back(false);
        }
        self.overlay.send_replace(Arc::new(Overlay::new(left, before.grown)));
        if let Some(Err(error)) = file.as_mut().filter(|_| is_last).map(JournalFile::clear) {
            // The next start finds that the database has all of it.
            tracing::warn!(%error, "the journal could not be cleared");
        }
    }

    /// Keeps an alert until the database takes it.
    pub(crate) fn keep_alert(&self, alert: Alert) {
        let mut alerts = lock(&self.alerts);
        if alerts.len() < ALERTS_MAX {
            alerts.push(alert);
        }
    }

    /// The alerts that wait for the database, the oldest first.
    pub(crate) fn alerts(&self) -> Vec<Alert> {
        lock(&self.alerts).clone()
    }

    /// Takes the alerts that were kept.
    fn take_alerts(&self) -> Vec<Alert> {
        std::mem::take(&mut *lock(&self.alerts))
    }
}

/// Asks whether a decision was written before the last end; one that cannot be asked for waits.
async fn is_written(store: &Store, decision: &Decision) -> bool {
    let asked = super::health::in_time(async { Ok(store.read().await?.decision_is_written(decision.id).await?) }).await;
    asked.unwrap_or(false)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change leaves what it guards whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use doorward_domain::AuditEntry;
    use doorward_store::Outbox;
    use proptest::prelude::*;

    use super::file::tests::{decision, torn_line};
    use super::*;

    /// What happens to a server.
    #[derive(Debug, Clone)]
    enum Step {
        /// It takes a decision.
        Take,
        /// It writes the first that waits, and clears it away.
        Write,
        /// It writes the first that waits, and is killed before it clears it away.
        WriteAndDie,
        /// It is killed while it appends so many bytes of a decision.
        Die(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            4 => Just(Step::Take),
            3 => Just(Step::Write),
            1 => Just(Step::WriteAndDie),
            1 => (0_usize..300).prop_map(Step::Die),
        ]
    }

    /// Writes a decision as the server does: its name, and its row in the audit.
    async fn write(store: &Store, waiting: &Waiting) {
        let Decision { id, at, actor, order, .. } = waiting.decision.clone();
        let mut tx = store.write_held_back().await.unwrap();
        if tx.decision_add(id, at, at).await.unwrap() {
            let detail = serde_json::json!({ "number": id.uuid().as_u128().to_string() });
            let entry = AuditEntry { at, actor, action: order.action(), subject: order.subject(), detail };
            tx.commit(entry, Outbox::None).await.unwrap();
        }
    }

    async fn run(steps: Vec<Step>) -> (Vec<String>, Vec<String>) {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open("sqlite:doorward.db", folder.path()).await.unwrap();
        let mut journal = Journal::open(folder.path(), &store).await.unwrap();
        let mut taken = Vec::new();
        for step in steps {
            let first = journal.overlay().waiting().first().cloned();
            match (step, first) {
                (Step::Take, _) => {
                    let number = u128::try_from(taken.len()).unwrap() + 1;
                    journal.take_now(&store, decision(number)).unwrap();
                    assert!(matches!(store.write().await, Err(doorward_store::StoreError::HeldBack)));
                    taken.push(number.to_string());
                }
                (Step::Write, Some(first)) => {
                    write(&store, &first).await;
                    journal.written(&store, &first);
                }
                (Step::WriteAndDie, Some(first)) => {
                    write(&store, &first).await;
                    journal = Journal::open(folder.path(), &store).await.unwrap();
                }
                (Step::Die(bytes), _) => {
                    torn_line(lock(&journal.file).as_ref().unwrap(), bytes);
                    journal = Journal::open(folder.path(), &store).await.unwrap();
                }
                (Step::Write | Step::WriteAndDie, None) => {}
            }
        }
        let journal = Journal::open(folder.path(), &store).await.unwrap();
        for waiting in journal.overlay().waiting() {
            write(&store, waiting).await;
            journal.written(&store, waiting);
        }
        assert!(store.write().await.is_ok(), "nothing waits, so that others may write");
        let rows = store.read().await.unwrap().audit_tail(1_000).await.unwrap();
        let number = |row: doorward_domain::AuditRow| {
            let detail: serde_json::Value = serde_json::from_str(&row.detail).unwrap();
            detail["number"].as_str().unwrap().to_owned()
        };
        (taken, rows.into_iter().map(number).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn whatever_order_they_come_in_each_decision_is_written_once_and_in_order(
            steps in prop::collection::vec(step(), 0..24),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let (taken, written) = runtime.block_on(run(steps));
            prop_assert_eq!(taken, written);
        }
    }
}
