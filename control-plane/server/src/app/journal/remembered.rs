//! Tokens that were good lately, for a database that cannot be asked: whoever offboards by a token still can.
//!
//! Only API tokens, by their hashes, for an hour after the database last said that they count. Whatever may end a token
//! here empties this, a revocation as well as its maker's end; one that another replica revokes meanwhile counts here until the hour is over, or until the database
//! answers. Nothing but a revocation can be done while the database does not answer, so that is all it is good for.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use doorward_domain::{Actor, TokenHash};

/// How long a token is remembered.
const KEPT: Duration = Duration::from_secs(3600);
/// Tokens at most; a shop has a handful.
const TOKENS_MAX: usize = 1_000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Remembered(Mutex<HashMap<TokenHash, (Actor, Instant)>>);

impl Remembered {
    /// The database said whose token it is, or that it counts no more.
    pub(crate) fn learn(&self, hash: &TokenHash, actor: Option<&Actor>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match actor {
            Some(actor) => {
                if known.len() >= TOKENS_MAX {
                    known.clear();
                }
                known.insert(*hash, (actor.clone(), Instant::now()));
            }
            None => drop(known.remove(hash)),
        }
    }

    /// Forgets all of them.
    pub(crate) fn forget(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whose token it was within the last hour.
    pub(crate) fn holder(&self, hash: &TokenHash) -> Option<Actor> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(hash).filter(|(_, at)| at.elapsed() < KEPT).map(|(actor, _)| actor.clone())
    }
}
