//! Word between replicas: what one commits or hears wakes the others (LISTEN/NOTIFY of PostgreSQL).
//!
//! A word is a wake-up and never the thing itself: whoever hears it reads the database. So a word that was lost costs the
//! time until the next look, which is taken after each reconnect and every half second besides.
//!
//! Architecture invariant: the word of a change is spoken inside its transaction, so that nobody is woken for nothing, and
//! nobody before the change can be read.

use sqlx::postgres::{PgListener, PgPool};

use crate::db::{Tx, args};
use crate::open::Engine;
use crate::{Store, StoreError};

/// The one channel. Payloads are [`Word`]s.
const CHANNEL: &str = "doorward";

/// What another replica, or this one, had to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// This revision was committed.
    Revision(u64),
    /// Gateways confirmed something.
    Confirmed,
    /// A gateway came or went.
    Gateways,
    /// A later release said something that this one does not know.
    Other,
}

impl Word {
    fn parse(payload: &str) -> Self {
        match payload.split_once(' ') {
            Some(("revision", number)) => number.parse().map_or(Self::Other, Self::Revision),
            None if payload == CONFIRMED => Self::Confirmed,
            None if payload == GATEWAYS => Self::Gateways,
            Some(_) | None => Self::Other,
        }
    }
}

/// Payload of [`Word::Confirmed`].
pub(crate) const CONFIRMED: &str = "confirmed";
/// Payload of [`Word::Gateways`].
pub(crate) const GATEWAYS: &str = "gateways";

/// Speaks inside a transaction, where the engine has other replicas to hear it.
pub(crate) async fn say_revision(tx: &mut Tx, revision: u64) -> Result<(), StoreError> {
    if matches!(tx, Tx::Postgres(_)) {
        tx.row("SELECT pg_notify($1, $2)::text", args![CHANNEL, format!("revision {revision}")]).await?;
    }
    Ok(())
}

/// An ear on the database, with a connection of its own.
#[derive(Debug)]
pub struct Listener {
    ear: PgListener,
}

impl Listener {
    async fn open(pool: &PgPool) -> Result<Self, StoreError> {
        let mut ear = PgListener::connect_with(pool).await?;
        // Otherwise words that were lost meanwhile would go unnoticed.
        ear.eager_reconnect(false);
        ear.listen(CHANNEL).await?;
        Ok(Self { ear })
    }

    /// Waits for the next word.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] where the connection was lost: open another listener, then look at the database once.
    pub async fn heard(&mut self) -> Result<Word, StoreError> {
        let lost = || StoreError::Unreachable(sqlx::Error::WorkerCrashed);
        let notification = self.ear.try_recv().await?.ok_or_else(lost)?;
        Ok(Word::parse(notification.payload()))
    }
}

impl Store {
    /// Opens an ear; `None` on SQLite, where there is nobody else.
    ///
    /// # Errors
    /// [`StoreError::Unreachable`] or [`StoreError::Busy`].
    pub async fn listen(&self) -> Result<Option<Listener>, StoreError> {
        match &self.engine {
            Engine::Sqlite { .. } => Ok(None),
            Engine::Postgres { listening, .. } => Listener::open(listening).await.map(Some),
        }
    }

    /// Whether other control planes may use this database at the same time.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.engine, Engine::Postgres { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_read_back_and_unknown_ones_are_let_pass() {
        assert_eq!(Word::parse("revision 12"), Word::Revision(12));
        assert_eq!(Word::parse(CONFIRMED), Word::Confirmed);
        assert_eq!(Word::parse(GATEWAYS), Word::Gateways);
        for other in ["", "revision", "revision x", "revision -1", "moon"] {
            assert_eq!(Word::parse(other), Word::Other, "{other}");
        }
    }
}
