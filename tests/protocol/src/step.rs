//! What can happen next, and what it does. Each arm stands for a rule of the code, which it names.

use crate::state::{Gateway, Mark, Message, Row, Session, State};
use crate::{Mutant, Protocol, STREAM_MAX, Size, TTL};

/// Something that happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Time passes.
    Tick,
    /// Somebody decides at a replica, and it is committed.
    Decide {
        /// Where.
        replica: usize,
        /// Whether the person may pass.
        allowed: bool,
    },
    /// Somebody decides at a replica that does not reach the database that the person is gone.
    Journal(usize),
    /// The first half of a replay: the entry is committed.
    Replay(usize),
    /// The other half: the entry leaves the journal.
    Forget(usize),
    /// A control plane is killed.
    Kill(usize),
    /// A control plane starts.
    Start(usize),
    /// The database is lost, or comes back: for all replicas or, where the size says so, for this one.
    Outage(usize),
    /// A copy is put back that has so many commits.
    Restore(usize),
    /// A person accepts what was put back.
    Accept(usize),
    /// A gateway says hello at a replica.
    Hello {
        /// Who.
        gateway: usize,
        /// Where.
        replica: usize,
    },
    /// The pump of a gateway's session looks, and sends what there is to say.
    Pump(usize),
    /// A gateway takes the next message from its stream, or takes it once more.
    Take {
        /// Who.
        gateway: usize,
        /// The message stays for another time.
        again: bool,
    },
    /// The message that a control plane sent last never leaves it.
    Skip(usize),
    /// A session is cut.
    Cut(usize),
    /// A gateway is killed and starts again.
    Restart(usize),
    /// A gateway writes a ping; one that is still on its way is lost.
    Ping(usize),
    /// It arrives.
    PingArrives(usize),
    /// A receipt arrives.
    Receipt(usize),
}

/// Lists what may be possible; [`take`] says what is.
pub(crate) fn candidates(size: Size, state: &State, actions: &mut Vec<Action>) {
    actions.push(Action::Tick);
    for replica in 0..size.replicas {
        let decide = |allowed| Action::Decide { replica, allowed };
        actions.extend([decide(true), decide(false), Action::Kill(replica), Action::Start(replica)]);
        if size.outages && (replica == 0 || size.partition) {
            actions.push(Action::Outage(replica));
        }
        if size.outages {
            actions.extend([Action::Journal(replica), Action::Replay(replica), Action::Forget(replica)]);
        }
        if size.restores {
            actions.push(Action::Accept(replica));
        }
    }
    if size.restores {
        actions.extend((1..state.history.0.len()).map(Action::Restore));
    }
    for gateway in 0..size.gateways {
        actions.extend((0..size.replicas).map(|replica| Action::Hello { gateway, replica }));
        actions.push(Action::Take { gateway, again: false });
        actions.extend([Action::Pump, Action::Cut, Action::Ping].map(|action| action(gateway)));
        if size.repeats {
            actions.extend([Action::Take { gateway, again: true }, Action::Restart(gateway)]);
        }
        if size.skips {
            actions.push(Action::Skip(gateway));
        }
        actions.extend([Action::PingArrives, Action::Receipt].map(|action| action(gateway)));
    }
}

/// Lets it happen; `false` where it cannot.
pub(crate) fn take(protocol: &Protocol, state: &mut State, action: Action) -> bool {
    match action {
        Action::Tick => {
            state.tick();
            true
        }
        Action::Decide { replica, allowed } => decide(protocol, state, replica, allowed),
        Action::Journal(replica) => journal(state, replica),
        Action::Replay(replica) => replay(protocol, state, replica),
        Action::Forget(replica) => forget(protocol, state, replica),
        Action::Kill(replica) => {
            state.cut_all(replica);
            let replica = &mut state.replicas[replica];
            replica.overlay = None;
            std::mem::replace(&mut replica.up, false)
        }
        Action::Start(replica) => start(protocol, state, replica),
        Action::Outage(replica) => {
            let reaches = !state.replicas[replica].reaches;
            let all = state.replicas.iter_mut().enumerate();
            let concerned = all.filter(|(other, _)| !protocol.size.partition || *other == replica);
            concerned.for_each(|(_, replica)| replica.reaches = reaches);
            true
        }
        Action::Restore(commits) => {
            let possible = !state.restored && state.replicas.iter().all(|replica| !replica.up);
            state.history.0.truncate(if possible { commits } else { usize::MAX });
            state.restored |= possible;
            possible
        }
        Action::Accept(replica) => accept(protocol, state, replica),
        Action::Hello { gateway, replica } => hello(protocol, state, gateway, replica),
        Action::Pump(gateway) => pump(protocol, state, gateway),
        Action::Take { gateway, again } => take_message(protocol, state, gateway, again),
        Action::Skip(gateway) => {
            let session = state.gateways[gateway].session.as_mut();
            session.is_some_and(|session| session.stream.pop().is_some())
        }
        Action::Cut(gateway) => state.gateways[gateway].session.take().is_some(),
        Action::Restart(gateway) => {
            let fresh = state.gateways[gateway] == Gateway::default();
            state.gateways[gateway] = Gateway::default();
            !fresh
        }
        Action::Ping(_) | Action::PingArrives(_) => ping(state, action),
        Action::Receipt(gateway) => receipt(protocol, state, gateway),
    }
}

/// A replica reads the database: what it saw last must be part of it (`server/src/feed/history.rs`). `None`: it does
/// not reach it, or refuses it.
fn read(protocol: &Protocol, state: &mut State, replica: usize) -> Option<Row> {
    let reader = &state.replicas[replica];
    if !reader.up || !reader.reaches || !trusts(protocol, state, reader.seen) {
        return None;
    }
    let latest = state.history.latest();
    state.replicas[replica].seen = latest.mark;
    Some(latest)
}

/// Says whether a history that should have this state has it.
pub(crate) fn trusts(protocol: &Protocol, state: &State, mark: Mark) -> bool {
    let by_number = protocol.is(Mutant::OlderCopyByNumber) && mark.revision <= state.history.latest().mark.revision;
    protocol.is(Mutant::OlderCopyServed) || by_number || state.history.knows(mark)
}

/// One transaction: state, audit row, outbox row (`store/src/tx.rs`, `WriteTx::commit`). Replicas that run hear of it.
fn commit(protocol: &Protocol, state: &mut State, by: usize, row: (bool, Option<u8>, u8)) -> bool {
    if state.serial >= protocol.size.commits {
        return false;
    }
    let (allowed, entry, revision) = row;
    let mark = Mark { revision, serial: state.serial };
    state.serial += 1;
    let State { history, replicas, .. } = state;
    for (number, replica) in replicas.iter_mut().enumerate() {
        // What it refuses it does not take for the newest.
        if (number == by || (replica.up && replica.reaches)) && history.knows(replica.seen) {
            replica.seen = mark;
        }
    }
    history.0.push(Row { mark, allowed, entry, accepts: false });
    true
}

fn decide(protocol: &Protocol, state: &mut State, replica: usize, allowed: bool) -> bool {
    let at = &state.replicas[replica];
    // What is in the journal is written first, so that a decision is not undone by one that came before it.
    let possible = at.up && at.reaches && at.overlay.is_none();
    let concerns = state.history.latest().allowed != allowed;
    let revision = state.history.latest().mark.revision + 1;
    if !possible || !(concerns || protocol.size.others) || !commit(protocol, state, replica, (allowed, None, revision))
    {
        return false;
    }
    if !concerns {
        return true;
    }
    if allowed {
        state.back();
    } else {
        state.gone(Some(revision));
    }
    true
}

/// Accepted once it is on disk.
fn journal(state: &mut State, replica: usize) -> bool {
    let at = &state.replicas[replica];
    let possible = at.up && !at.reaches && at.journal.is_none() && state.truth.gone_for.is_none();
    if possible {
        state.gone(None);
        let entry = Some(state.truth.number);
        let at = &mut state.replicas[replica];
        (at.journal, at.overlay) = (entry, entry);
    }
    possible
}

fn replay(protocol: &Protocol, state: &mut State, replica: usize) -> bool {
    let at = &mut state.replicas[replica];
    let Some(entry) = at.overlay.filter(|_| at.up && at.reaches) else { return false };
    if protocol.is(Mutant::JournalEmptiedEarly) && at.journal.take().is_some() {
        return true;
    }
    if state.is_written(entry) && !protocol.is(Mutant::ReplayTwice) {
        return false;
    }
    let revision = state.history.latest().mark.revision + 1;
    commit(protocol, state, replica, (false, Some(entry), revision)) && {
        state.gone(Some(revision));
        true
    }
}

fn forget(protocol: &Protocol, state: &mut State, replica: usize) -> bool {
    let at = &state.replicas[replica];
    let Some(entry) = at.overlay.filter(|_| at.up && at.reaches) else { return false };
    if !state.is_written(entry) || (at.journal.is_none() && !protocol.is(Mutant::JournalEmptiedEarly)) {
        return false;
    }
    let at = &mut state.replicas[replica];
    (at.journal, at.overlay) = (None, None);
    for session in state.gateways.iter_mut().filter_map(|gateway| gateway.session.as_mut()) {
        session.pushed &= session.replica != replica;
    }
    true
}

/// The journal is read before anything is served.
fn start(protocol: &Protocol, state: &mut State, replica: usize) -> bool {
    let at = &mut state.replicas[replica];
    if at.up {
        return false;
    }
    at.up = true;
    at.overlay = at.journal.filter(|_| !protocol.is(Mutant::JournalForgotten));
    true
}

/// `doorward database accept-restored`: a revision above all that were seen, so that every gateway takes a snapshot.
fn accept(protocol: &Protocol, state: &mut State, replica: usize) -> bool {
    let at = &state.replicas[replica];
    if !at.up || !at.reaches || state.history.knows(at.seen) && !refuses_a_gateway(state) {
        return false;
    }
    // Gateways say what they hold when they say hello.
    let told = state.gateways.iter().filter_map(|gateway| gateway.held).map(|held| held.revision).max();
    let latest = state.history.latest();
    let seen = at.seen.revision.max(told.unwrap_or(0)).max(latest.mark.revision);
    let revision = if protocol.is(Mutant::AcceptedTooLow) { latest.mark.revision + 1 } else { seen + 1 };
    if !commit(protocol, state, replica, (latest.allowed, None, revision)) {
        return false;
    }
    let last = state.history.0.len() - 1;
    state.history.0[last].accepts = true;
    state.replicas[replica].seen = state.history.latest().mark;
    if latest.allowed {
        state.back();
    }
    true
}

fn refuses_a_gateway(state: &State) -> bool {
    let latest = state.history.latest().mark.revision;
    state.gateways.iter().filter_map(|gateway| gateway.held).any(|held| held.revision > latest)
}

/// A hello needs the database (`app/gateways.rs`, `hello`), which must be as far as what the gateway holds.
fn hello(protocol: &Protocol, state: &mut State, gateway: usize, replica: usize) -> bool {
    if state.gateways[gateway].session.is_some() || read(protocol, state, replica).is_none() {
        return false;
    }
    // It says a revision alone, which tells where no control plane remembers.
    let latest = state.history.latest().mark.revision;
    let ahead = state.gateways[gateway].held.is_some_and(|held| held.revision > latest);
    if ahead && !protocol.is(Mutant::OlderCopyServed) {
        return false;
    }
    state.gateways[gateway].session =
        Some(Session { replica, sent: None, pushed: false, stream: Vec::new(), ping: None, heard: None });
    true
}

/// What a session is sent (`server/src/feed/pump.rs`): a snapshot first; then what it was not sent yet; then, if a ping
/// came before this look, the heartbeat.
fn pump(protocol: &Protocol, state: &mut State, gateway: usize) -> bool {
    let Some(mut session) = state.gateways[gateway].session.clone() else { return false };
    let number = session.replica;
    if !state.replicas[number].up || session.stream.len() > STREAM_MAX {
        return false;
    }
    let blind = protocol.is(Mutant::HeartbeatWithoutRead) && session.sent.is_some() && session.heard.is_some();
    let row = if blind { None } else { read(protocol, state, number) };
    let replica = &state.replicas[number];
    if row.is_none() && replica.reaches && !blind {
        // The history is refused: the session ends.
        state.gateways[gateway].session = None;
        return true;
    }
    let overlay = replica.overlay.is_some() && !protocol.is(Mutant::OverlayLeftOut);
    let before = session.stream.len();
    let known = replica.seen;
    match (row, session.sent) {
        (Some(Row { mark, allowed, .. }), None) => {
            session.stream.push(Message::Snapshot { mark, allowed: allowed && !overlay });
            session.pushed = replica.overlay.is_some();
            session.sent = Some(mark);
        }
        (Some(Row { mark, allowed, .. }), Some(sent)) if mark != sent => {
            let allowed = allowed && !overlay;
            session.stream.push(match state.history.0.iter().position(|row| row.mark == sent) {
                Some(at) => {
                    let concerns = state.history.0[at..].iter().any(|row| row.allowed != state.history.0[at].allowed);
                    Message::Delta { base: sent.revision, mark, allowed: concerns.then_some(allowed) }
                }
                None => Message::Snapshot { mark, allowed },
            });
            session.sent = Some(mark);
        }
        (Some(_) | None, _) => {}
    }
    let Some(sent) = session.sent else { return false };
    let entry = replica.overlay.filter(|_| !session.pushed && !protocol.is(Mutant::HeartbeatBeforePush));
    if let Some(number) = entry {
        session.stream.push(Message::Push { number });
        session.pushed = true;
    }
    let knows_all = protocol.size.single_writer && sent == known;
    if (row.is_some() || knows_all || blind)
        && let Some(age) = session.heard.take()
    {
        session.stream.push(Message::Heartbeat { revision: sent.revision, age });
    }
    let said = session.stream.len() > before;
    if said {
        state.gateways[gateway].session = Some(session);
    }
    said
}

/// What a gateway does with a message (`core/src/gateway/enforce.rs`).
fn take_message(protocol: &Protocol, state: &mut State, gateway: usize, again: bool) -> bool {
    let State { gateways, truth, .. } = state;
    let Gateway { session: Some(session), .. } = &mut gateways[gateway] else { return false };
    let Some(message) = session.stream.first().copied() else { return false };
    if !again {
        session.stream.remove(0);
    }
    let at = &mut gateways[gateway];
    let keeps = protocol.is(Mutant::SnapshotKeepsTheRest) && at.lease;
    let enforced = match message {
        Message::Snapshot { mark, .. } if at.held.is_some_and(|held| mark.revision < held.revision) => None,
        Message::Snapshot { mark, allowed } => {
            at.lease = allowed || keeps;
            Some(mark)
        }
        Message::Delta { base, mark, allowed } => {
            let follows = at.held.is_some_and(|held| held.revision == base && mark.revision > base);
            let follows = follows || protocol.is(Mutant::GapIgnored);
            // Removals are honoured whatever else is wrong.
            let allowed = allowed.unwrap_or(at.lease);
            at.lease = if follows { allowed } else { at.lease && allowed };
            if !follows && protocol.is(Mutant::ReceiptOnArrival) {
                at.receipt = at.receipt.max(Some(mark.revision));
            }
            follows.then_some(mark)
        }
        Message::Push { number } => {
            at.lease = false;
            at.push_receipt = Some(number);
            truth.confirmed[gateway] |= number == truth.number && truth.gone_for.is_some();
            return true;
        }
        Message::Heartbeat { revision, age } => {
            let held = at.held.map(|held| held.revision);
            if held == Some(revision) {
                let left = if protocol.is(Mutant::AuthorityFromArrival) { TTL } else { TTL - age };
                at.authority = at.authority.max(left);
            }
            if held.is_none_or(|held| revision > held) {
                at.session = None;
            }
            return true;
        }
    };
    match enforced {
        Some(mark) => {
            at.held = Some(mark);
            at.receipt = at.receipt.max(Some(mark.revision));
            truth.confirmed[gateway] |= !at.lease && truth.revision.is_some_and(|revision| mark.revision >= revision);
        }
        // Something was missed: hello again.
        None => at.session = None,
    }
    true
}

fn ping(state: &mut State, action: Action) -> bool {
    let (Action::Ping(gateway) | Action::PingArrives(gateway)) = action else { return false };
    let Some(session) = &mut state.gateways[gateway].session else { return false };
    if action == Action::Ping(gateway) {
        return session.ping.replace(0) != Some(0);
    }
    let arrived = session.ping.take();
    session.heard = arrived.or(session.heard);
    arrived.is_some()
}

/// A receipt is offered until it is taken, in whichever session (`daemon/src/upload.rs`), and covers the revisions
/// before its own (`server/src/feed/hub.rs`, `confirmation`).
fn receipt(protocol: &Protocol, state: &mut State, gateway: usize) -> bool {
    let State { gateways, truth, replicas, history, .. } = state;
    let at = &mut gateways[gateway];
    let Some(session) = &at.session else { return false };
    if !replicas[session.replica].up || (at.receipt.is_none() && at.push_receipt.is_none()) {
        return false;
    }
    let from = if protocol.is(Mutant::ReceiptOfAnotherHistory) { 0 } else { history.accepted() };
    let covers = |revision: u8| at.receipt.is_some_and(|receipt| receipt >= revision.max(from));
    let told = truth.revision.is_some_and(covers) || at.push_receipt == Some(truth.number);
    truth.told[gateway] |= told && truth.gone_for.is_some();
    (at.receipt, at.push_receipt) = (None, None);
    true
}
