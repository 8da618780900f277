//! The newest state that this control plane ever saw, kept beside the database, and the proof that it is part of it.
//!
//! Whoever puts back an older copy of the database undoes revocations that were accepted and confirmed. So every read that
//! gateways are served from looks first whether the newest state that was ever seen here is in the database, by revision
//! *and* moment: the number alone comes back as soon as other changes were made. A gateway says what it enforces as well,
//! which tells where the whole folder was put back. Until a person accepts the copy no gateway is served, and what they
//! enforce ends with their authority. Accepting leaps past every revision that was seen, so that every gateway takes a
//! snapshot, and receipts from before the leap count for nothing.
//!
//! **Invariant.** What is remembered here is never replaced by a state of a history that does not have it.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use doorward_domain::{Alert, AlertKind};
use doorward_model::{Revision, Timestamp};
use doorward_store::{Committed, Mark, ReadTx};
use serde::{Deserialize, Serialize};

use crate::app::{App, Refusal, alerts};

/// The file in the data folder.
const FILE: &str = "feed-mark.json";

/// What is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Kept {
    revision: Revision,
    at: Timestamp,
    /// Revisions before it were left behind.
    #[serde(default)]
    accepted: Revision,
}

#[derive(Debug, Default)]
struct Held {
    kept: Option<Kept>,
    /// The latest that a gateway said it enforces, where the database did not have it.
    told: Revision,
    /// The database is an older copy.
    refused: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct History {
    path: PathBuf,
    held: Mutex<Held>,
}

impl History {
    /// Reads what was kept. A file that cannot be read is as none: gateways still say what they enforce.
    pub(crate) fn open(data_dir: &Path) -> Self {
        let path = data_dir.join(FILE);
        let kept = std::fs::read(&path).ok().and_then(|text| {
            let read = serde_json::from_slice(&text);
            read.inspect_err(
                |error| tracing::warn!(%error, path = %path.display(), "the newest state seen is not known"),
            )
            .ok()
        });
        Self { path, held: Mutex::new(Held { kept, ..Held::default() }) }
    }

    /// Looks whether the database still has the newest state that was seen, and remembers its newest.
    ///
    /// # Errors
    /// A conflict that says what to do, where it does not.
    pub(crate) async fn look(&self, app: &App, read: &mut ReadTx) -> Result<(), Refusal> {
        let latest = read.mark().await?;
        if is_part_of(read, latest, self.seen()).await? {
            self.is_well(latest);
            return Ok(());
        }
        // That read may have begun before a commit that was seen since: one that begins after the question tells.
        let seen = self.seen();
        let mut read = app.store.read().await?;
        let latest = read.mark().await?;
        if is_part_of(&mut read, latest, seen).await? {
            return Ok(());
        }
        Err(self.refuse(app, latest))
    }

    /// The newest state that was seen here, and the latest revision that a gateway told of.
    fn seen(&self) -> (Option<Mark>, Revision) {
        let held = self.held();
        (held.kept.map(|kept| Mark { revision: kept.revision, at: kept.at }), held.told)
    }

    fn is_well(&self, latest: Option<Mark>) {
        let mut held = self.held();
        held.refused = false;
        let accepted = held.kept.unwrap_or_default().accepted;
        drop(held);
        if let Some(Mark { revision, at }) = latest {
            self.keep(Kept { revision, at, accepted });
        }
    }

    /// Takes in what a gateway says it enforces; a database that is not so far is looked at again by [`Self::look`].
    pub(crate) fn heard(&self, revision: Revision, latest: Option<Mark>) {
        if revision > latest.map(|mark| mark.revision).unwrap_or_default() {
            let mut held = self.held();
            held.told = held.told.max(revision);
        }
    }

    /// Remembers a commit of this process.
    pub(crate) fn committed(&self, committed: &Committed) {
        let held = self.held();
        let (refused, kept) = (held.refused, held.kept.unwrap_or_default());
        drop(held);
        if committed.gateways_concerned && !refused && committed.revision > kept.revision {
            self.keep(Kept { revision: committed.revision, at: committed.at, accepted: kept.accepted });
        }
    }

    /// Returns the revision that a leap has to pass, where the database is an older copy.
    pub(crate) fn refused(&self) -> Option<Revision> {
        let held = self.held();
        held.refused.then(|| held.kept.unwrap_or_default().revision.max(held.told))
    }

    /// Remembers that a person accepted what is there, by this commit.
    pub(crate) fn accepted(&self, committed: &Committed) {
        let Committed { revision, at, .. } = *committed;
        let mut held = self.held();
        (held.told, held.refused) = (Revision::default(), false);
        drop(held);
        self.keep(Kept { revision, at, accepted: revision });
    }

    /// Says whether a receipt is of this history.
    pub(crate) fn counts(&self, receipt: Revision) -> bool {
        receipt >= self.held().kept.unwrap_or_default().accepted
    }

    fn refuse(&self, app: &App, latest: Option<Mark>) -> Refusal {
        let seen = {
            let held = self.held();
            held.kept.unwrap_or_default().revision.max(held.told)
        };
        let of = latest.map_or_else(
            || "has no revision".to_owned(),
            |mark| format!("is at revision {}, committed {}", mark.revision, mark.at),
        );
        let message = format!(
            "the database {of}, and it is not the one that was at revision {seen} before: an older copy was put back, and \
             revocations since then are undone in it; no gateway is served until somebody has looked and runs \
             `doorward gateway accept-restored`"
        );
        if !std::mem::replace(&mut self.held().refused, true) {
            let alert = Alert {
                at: app.clock.now(),
                kind: AlertKind::DatabaseOlder,
                gateway: None,
                device: None,
                email: None,
                source: None,
                message: message.clone(),
                count: 1,
            };
            // Beside the read that found it: a write inside would wait for that one.
            let app = App::clone(app);
            app.workers.clone().spawn(async move { alerts::raise(&app, alert).await });
        }
        Refusal::Conflict(message)
    }

    fn keep(&self, kept: Kept) {
        let mut held = self.held();
        // Revisions only grow, a leap included; a read that began earlier knows less.
        if held.kept.is_some_and(|held| held.revision >= kept.revision) {
            return;
        }
        held.kept = Some(kept);
        // Under the lock: an earlier state never replaces a later one.
        if let Err(error) = write(&self.path, kept) {
            tracing::warn!(%error, path = %self.path.display(), "the newest state seen could not be kept");
        }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        // Each change above leaves it whole.
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn is_part_of(
    read: &mut ReadTx,
    latest: Option<Mark>,
    (seen, told): (Option<Mark>, Revision),
) -> Result<bool, Refusal> {
    let is_known = match seen {
        Some(seen) if latest != Some(seen) => read.has_been(seen).await?,
        Some(_) | None => true,
    };
    Ok(is_known && told <= latest.map(|mark| mark.revision).unwrap_or_default())
}

fn write(path: &Path, kept: Kept) -> std::io::Result<()> {
    let beside = path.with_extension("json.tmp");
    std::fs::write(&beside, serde_json::to_vec(&kept)?)?;
    std::fs::rename(&beside, path)
}
