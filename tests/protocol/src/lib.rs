//! The protocol between control planes and gateways as a small model, searched through exhaustively.
//!
//! The other tests run the code in schedules that somebody or chance picked. This one runs no code of Doorward: it has
//! the *rules* of feed, authority, receipts, journal, restarts, replicas and restored databases, for one person, and
//! looks at every state that any order of messages, faults and ticks of the clock can lead to. Each rule names the lines
//! that keep it, so that who changes those changes this; each can be broken by a [`Mutant`], which the search must find.
//!
//! # What holds in every reachable state ([`Rule`])
//! - *The bound*: no gateway passes a packet of the person once `authority_ttl` has passed since the decision.
//! - *Confirmed is confirmed*: a gateway that enforced a revocation never passes the person again, restarts included,
//!   until a person decides otherwise.
//! - *A receipt is never early*: nobody is told that a gateway enforces what it does not.
//! - *Nothing acknowledged is lost*: a revocation is in the database or in a journal, or the database is known to be an
//!   older copy and no gateway gets authority from it.
//! - *Written once*: a journalled revocation is in the database at most once.
//! - *It heals*: from every state, without further faults and without hands, each gateway comes to enforce the newest
//!   state; where an older copy of the database was put back, it comes to pass nobody.
//!
//! # What is assumed
//! - *Clocks.* Time is ticks; `authority_ttl` is a whole number of them. The gateway's boot clock counts evenly and
//!   through sleep (`CLOCK_BOOTTIME`); no clock of the control plane is part of the bound, and none is compared with the
//!   gateway's. Between two ticks anything may happen in any order, so the bound is exact to one tick. Deadlines of
//!   leases are not here: `gateway/core`'s tests and the simulation have them, on both clocks.
//! - *Network.* A session's stream is TCP: in order, without gaps, for as long as it lasts; it may stand still for any
//!   time, and it may be cut at any moment, with the loss of what is on its way. A message may be taken twice. Pings may
//!   be late or lost.
//! - *Database.* A commit is whole and lasting, a read sees one committed state, at least as new as every commit that was
//!   acknowledged before the read began (SQLite, or PostgreSQL's primary; a read-only standby must not be used).
//! - *Restored copies.* They are put in place while no control plane runs; the folder's `feed-mark.json` stays. One
//!   that comes back together with that file, to gateways that were restarted too, cannot be told from the truth.
//!   With several replicas the one that serves must have been there when the revocation was decided, so that the search
//!   restores copies beside one replica.
//! - *Journal.* An entry that was acknowledged survives the process; only its own replica knows it. A replica that is
//!   the only one cut off from the database therefore cannot bound what gateways at other replicas pass: see
//!   [`Size::partition`] and the test that shows it. Who journals has to be told so.
//! - *Sessions.* One gateway with several packet threads counts as one: its receipt leaves when all have enforced.

mod heal;
mod rules;
mod state;
mod step;

pub use rules::Rule;
pub use state::{Gateway, History, Mark, Message, Replica, Row, Session, State, Truth};
pub use step::Action;

use stateright::{Model, Property};

/// Ticks that authority lasts from the ping.
pub const TTL: u8 = 2;
/// Messages on their way down a stream before the pump waits for room; one look adds three at most.
pub const STREAM_MAX: usize = 1;
/// Gateways at most.
pub const GATEWAYS_MAX: usize = 2;

/// How large a world is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Control planes on one database.
    pub replicas: usize,
    /// Gateways.
    pub gateways: usize,
    /// Changes to the database at most, replays and acceptances included.
    pub commits: u8,
    /// The database may be unreachable, and revocations are journalled meanwhile.
    pub outages: bool,
    /// It may be unreachable for one replica alone.
    pub partition: bool,
    /// This process is the database's only writer (SQLite): heartbeats go on without it.
    pub single_writer: bool,
    /// An older copy of the database may be put back, once.
    pub restores: bool,
    /// Changes concern other people too.
    pub others: bool,
    /// A control plane may leave out a message that it counts as sent.
    pub skips: bool,
    /// Messages may be taken twice, and gateways restart.
    pub repeats: bool,
}

/// A rule that is left out, to show that the search would notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutant {
    /// Authority counts from the heartbeat's arrival in place of the ping (`core/src/authority.rs`, `extend`).
    AuthorityFromArrival,
    /// A heartbeat answers a ping without a look at the database (`server/src/feed/pump.rs`, `feed`).
    HeartbeatWithoutRead,
    /// A snapshot leaves what it does not list (`core/src/gateway/enforce.rs`, `snapshot`).
    SnapshotKeepsTheRest,
    /// A delta is applied whatever it builds on (`enforce.rs`, `delta`: `follows`).
    GapIgnored,
    /// A receipt leaves when the message arrives (`daemon/src/shards.rs`, `Receipts`; `enforce.rs`, `enforced`).
    ReceiptOnArrival,
    /// A heartbeat overtakes a journalled revocation that the session was not sent.
    HeartbeatBeforePush,
    /// The journal is not read at the start.
    JournalForgotten,
    /// An entry leaves the journal before it is in the database.
    JournalEmptiedEarly,
    /// An entry is written without a look whether it is written already.
    ReplayTwice,
    /// Journalled revocations are left out of snapshots and deltas.
    OverlayLeftOut,
    /// An older copy of the database is served.
    OlderCopyServed,
    /// An older copy is known by its revision alone, and served when it has counted as far.
    OlderCopyByNumber,
    /// Receipts of a history that was left behind count.
    ReceiptOfAnotherHistory,
    /// What was put back is accepted without going above every revision that was seen.
    AcceptedTooLow,
}

/// The world to search.
#[derive(Debug, Clone, Copy)]
pub struct Protocol {
    /// How large.
    pub size: Size,
    /// With what left out.
    pub mutant: Option<Mutant>,
}

impl Protocol {
    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(self.size)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        step::candidates(self.size, state, actions);
    }

    fn next_state(&self, state: &State, action: Action) -> Option<State> {
        let mut next = state.clone();
        step::take(self, &mut next, action).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::properties()
    }
}
