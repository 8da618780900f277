//! Whose turn it is: work that one replica does for all of them.
//!
//! A turn is an advisory lock of a transaction that does nothing else. It ends with its connection: a replica that is killed
//! loses it at once, one that hangs after [`IDLE_MAX`]. Turns save doubled work; that nothing is done twice is kept by the
//! work's own transactions, since whoever lost a turn while it hung does not know.

use std::time::Duration;

use sqlx::{Postgres, Transaction};

use crate::open::Engine;
use crate::{Store, StoreError};

/// The first half of the locks' keys: "turn" in ASCII.
const TURNS: i32 = 0x7475_726e;

/// How long a turn may last without a word to the database, by the server's clock.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// Work that is one replica's at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// Ends that time brings, and the next weekly hours.
    Ends,
    /// Notices before an end.
    Notices,
    /// Mails.
    Mails,
    /// Deleting old rows.
    Pruning,
    /// What follows from people's sources: cooling periods, lists, inactivity.
    People,
    /// Asking a directory for its people.
    Directory,
}

impl Work {
    /// The second half of the key; never used again for anything else.
    const fn key(self) -> i32 {
        match self {
            Self::Ends => 1,
            Self::Notices => 2,
            Self::Mails => 3,
            Self::Pruning => 4,
            Self::People => 5,
            Self::Directory => 6,
        }
    }
}

/// A turn; it ends when this is dropped.
#[must_use = "the turn ends when this is dropped"]
pub struct Turn {
    _lock: Option<Transaction<'static, Postgres>>,
}

impl Store {
    /// Takes the turn for some work; `None` while another replica has it. On SQLite it is always ours.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Busy`].
    pub async fn turn(&self, work: Work) -> Result<Option<Turn>, StoreError> {
        let aside = match &self.engine {
            Engine::Sqlite { .. } => return Ok(Some(Turn { _lock: None })),
            Engine::Postgres { aside, .. } => aside,
        };
        let mut lock = aside.begin().await?;
        sqlx::query("SELECT set_config('idle_in_transaction_session_timeout', $1, true)")
            .bind(IDLE_MAX.as_millis().to_string())
            .execute(&mut *lock)
            .await?;
        let sql = "SELECT pg_try_advisory_xact_lock($1, $2)";
        let ours: bool = sqlx::query_scalar(sql).bind(TURNS).bind(work.key()).fetch_one(&mut *lock).await?;
        Ok(ours.then_some(Turn { _lock: Some(lock) }))
    }
}
