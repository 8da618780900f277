//! Everything that is anywhere: database, journals, control planes, streams, gateways, and the truth they are held to.

use crate::{GATEWAYS_MAX, Size, TTL};

/// One committed state, named so that no other history has the same name: in the code the revision and the moment of
/// its commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mark {
    /// The revision.
    pub revision: u8,
    /// Counts every commit of every history.
    pub serial: u8,
}

/// A commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Row {
    /// Its name.
    pub mark: Mark,
    /// Whether the person may pass from then on.
    pub allowed: bool,
    /// The decision whose journal entry it is.
    pub entry: Option<u8>,
    /// An older copy of the database was accepted by it.
    pub accepts: bool,
}

/// The database: what was committed, oldest first, never empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct History(pub Vec<Row>);

impl History {
    /// The newest commit.
    ///
    /// # Panics
    /// Never: there is always a first row.
    #[must_use]
    pub fn latest(&self) -> Row {
        self.0[self.0.len() - 1]
    }

    /// The revision by which an older copy was accepted last; 0 where none was.
    #[must_use]
    pub fn accepted(&self) -> u8 {
        self.0.iter().rev().find(|row| row.accepts).map_or(0, |row| row.mark.revision)
    }

    /// Says whether this history has that state, or knowingly left it behind.
    #[must_use]
    pub fn knows(&self, mark: Mark) -> bool {
        self.0.iter().any(|row| row.mark == mark || (row.accepts && row.mark.revision > mark.revision))
    }
}

/// A control plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Replica {
    /// Whether its process runs.
    pub up: bool,
    /// Whether it reaches the database.
    pub reaches: bool,
    /// An entry in its journal, on disk: which decision.
    pub journal: Option<u8>,
    /// That entry as its process knows it: what snapshots and sessions go by.
    pub overlay: Option<u8>,
    /// The newest state that it ever saw, on disk.
    pub seen: Mark,
}

/// What travels down a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Message {
    /// Everything.
    Snapshot {
        /// Of which state.
        mark: Mark,
        /// Whether the person is in it.
        allowed: bool,
    },
    /// What changed.
    Delta {
        /// The revision it builds on.
        base: u8,
        /// The state it leads to.
        mark: Mark,
        /// Whether the person may pass, where that changed.
        allowed: Option<bool>,
    },
    /// A journalled revocation.
    Push {
        /// Which decision it is.
        number: u8,
    },
    /// An answer to a ping.
    Heartbeat {
        /// The control plane's revision.
        revision: u8,
        /// Ticks since the ping was written.
        age: u8,
    },
}

/// A gateway's session with a control plane.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Session {
    /// With which.
    pub replica: usize,
    /// What the pump sent last; nothing before the snapshot.
    pub sent: Option<Mark>,
    /// Whether a journalled revocation was sent in it.
    pub pushed: bool,
    /// What is on its way down.
    pub stream: Vec<Message>,
    /// A ping on its way up: ticks since it was written.
    pub ping: Option<u8>,
    /// A ping that waits for its answer.
    pub heard: Option<u8>,
}

/// A gateway. A restart leaves nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Gateway {
    /// The state that it enforces.
    pub held: Option<Mark>,
    /// Whether the person has a lease.
    pub lease: bool,
    /// Ticks that authority lasts.
    pub authority: u8,
    /// A receipt that was not taken yet: the revision.
    pub receipt: Option<u8>,
    /// The same for a journalled revocation: which decision.
    pub push_receipt: Option<u8>,
    /// Its session.
    pub session: Option<Session>,
}

impl Gateway {
    /// Says whether it lets the person's packets through (`core/src/gateway/lookup.rs`: lease and authority at that
    /// very moment).
    #[must_use]
    pub fn passes(&self) -> bool {
        self.lease && self.authority > 0
    }
}

/// What was decided about the person, wherever it is written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Truth {
    /// Ticks since the person was decided to be gone; [`TTL`] + 1 stands for all that is longer.
    pub gone_for: Option<u8>,
    /// Counts decisions that the person is gone.
    pub number: u8,
    /// The revision of that decision, once it is in the database.
    pub revision: Option<u8>,
    /// Gateways that enforced it at some time.
    pub confirmed: [bool; GATEWAYS_MAX],
    /// Gateways whose confirmation was told to somebody.
    pub told: [bool; GATEWAYS_MAX],
}

/// The world at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// What was decided.
    pub truth: Truth,
    /// The database.
    pub history: History,
    /// The next commit's number.
    pub serial: u8,
    /// An older copy was put back.
    pub restored: bool,
    /// Control planes.
    pub replicas: Vec<Replica>,
    /// Gateways.
    pub gateways: Vec<Gateway>,
}

impl State {
    /// One commit, by which the person may pass; everything runs, nobody is connected.
    pub(crate) fn first(size: Size) -> Self {
        let mark = Mark { revision: 1, serial: 0 };
        let replica = Replica { up: true, reaches: true, journal: None, overlay: None, seen: mark };
        Self {
            truth: Truth {
                gone_for: None,
                number: 0,
                revision: None,
                confirmed: [false; GATEWAYS_MAX],
                told: [false; GATEWAYS_MAX],
            },
            history: History(vec![Row { mark, allowed: true, entry: None, accepts: false }]),
            serial: 1,
            restored: false,
            replicas: vec![replica; size.replicas],
            gateways: vec![Gateway::default(); size.gateways],
        }
    }

    /// A tick of everybody's clock.
    pub(crate) fn tick(&mut self) {
        self.truth.gone_for = self.truth.gone_for.map(|ticks| (ticks + 1).min(TTL + 1));
        for gateway in &mut self.gateways {
            gateway.authority = gateway.authority.saturating_sub(1);
            let Some(session) = &mut gateway.session else { continue };
            let older = |age: &mut u8| *age = (*age + 1).min(TTL);
            session.ping.as_mut().map(older);
            session.heard.as_mut().map(older);
            for message in &mut session.stream {
                if let Message::Heartbeat { age, .. } = message {
                    older(age);
                }
            }
        }
    }

    /// The person is decided to be gone, or a decision of that kind reached the database.
    pub(crate) fn gone(&mut self, revision: Option<u8>) {
        if self.truth.gone_for.is_none() {
            self.truth.gone_for = Some(0);
            self.truth.number += 1;
            self.truth.revision = None;
        }
        self.truth.revision = self.truth.revision.or(revision);
    }

    /// Somebody decided that the person may pass.
    pub(crate) fn back(&mut self) {
        self.truth.gone_for = None;
        self.truth.revision = None;
        self.truth.confirmed.fill(false);
        self.truth.told.fill(false);
    }

    /// Says whether a journalled decision is in the database.
    pub(crate) fn is_written(&self, entry: u8) -> bool {
        self.history.0.iter().any(|row| row.entry == Some(entry))
    }

    /// Ends a replica's sessions: its process is gone.
    pub(crate) fn cut_all(&mut self, replica: usize) {
        for gateway in &mut self.gateways {
            if gateway.session.as_ref().is_some_and(|session| session.replica == replica) {
                gateway.session = None;
            }
        }
    }
}
