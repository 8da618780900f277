//! One gateway's session, from its hello to its end.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use doorward_model::GatewayName;
use tokio::sync::watch;
use uuid::Uuid;

use crate::Shutdown;

/// Whose session it is; each later request must come from the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Identity {
    /// The feed socket, which only root and the server's own user may open.
    Socket,
    /// A client certificate, by its SHA-256.
    Certificate([u8; 32]),
}

/// A session.
#[derive(Debug)]
pub(crate) struct Session {
    /// Names it in later requests.
    pub(crate) id: Uuid,
    /// Whose it is.
    pub(crate) gateway: GatewayName,
    /// Over what it came.
    pub(crate) identity: Identity,
    /// The boot clock in the newest ping.
    pub(crate) ping: watch::Sender<Option<u64>>,
    /// Cancelled when it is over.
    pub(crate) ended: Shutdown,
    stream: Once,
    sent: HighWater,
}

impl Session {
    pub(crate) fn new(gateway: GatewayName, identity: Identity, ended: Shutdown) -> Self {
        Self {
            // Version 4: an id that names a session is not to be guessed from the time.
            id: Uuid::new_v4(),
            gateway,
            identity,
            ping: watch::Sender::new(None),
            ended,
            stream: Once::default(),
            sent: HighWater::default(),
        }
    }

    /// Takes the session's one stream; `false` when it is taken.
    pub(crate) fn take_stream(&self) -> bool {
        self.stream.take()
    }

    /// Notes that a revision is about to be sent.
    pub(crate) fn sending(&self, revision: u64) {
        self.sent.raise(revision);
    }

    /// Returns the highest revision that was sent.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.get()
    }
}

/// A flag that is taken once.
#[derive(Debug, Default)]
struct Once(AtomicBool);

impl Once {
    /// Returns `true` the first time.
    fn take(&self) -> bool {
        !self.0.swap(true, Ordering::AcqRel)
    }
}

/// A number that only grows.
#[derive(Debug, Default)]
struct HighWater(AtomicU64);

impl HighWater {
    /// Raises it.
    fn raise(&self, to: u64) {
        self.0.fetch_max(to, Ordering::AcqRel);
    }

    /// Returns it.
    fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}
