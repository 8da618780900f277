//! One device's tunnel with what boringtun does not keep: session ages, the endpoint, our own queue, bytes.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use doorward_model::Timestamp;

use super::message::{DATA_OVERHEAD, Receiver};
use super::noise::{Sealed, Tunnel};
use crate::clock::Window;
use crate::{BootTime, Now, Via};

/// `REJECT_AFTER_TIME`: a session's age at which it is refused (WireGuard whitepaper, section 6.1).
pub(crate) const REJECT_AFTER: Duration = Duration::from_secs(180);
/// After three times that, boringtun wipes what is left; the timers of the tunnel run until then.
const WIPED_AFTER: Duration = Duration::from_secs(3 * 180);
/// `REKEY_ATTEMPT_TIME` and a retry's jitter: how long an initiation of ours is tried.
const ATTEMPT: Duration = Duration::from_secs(95);
/// Packets that wait for a handshake, at most.
const QUEUE_PACKETS_MAX: usize = 8;
/// Their bytes, at most.
const QUEUE_BYTES_MAX: usize = 16_384;
/// How long they wait.
const QUEUE_AGE_MAX: Duration = Duration::from_secs(5);
/// Sessions that boringtun keeps, by the low bits of the receiver index.
const SESSIONS: usize = 8;
/// Endpoints remembered to see two of them take turns.
const MOVES: usize = 4;
/// How late a datagram of an older session may come after the device began to use the next one. A device that made a
/// session sends on no older one; what was on its way is here within seconds.
const OVERTAKEN_AFTER: Duration = Duration::from_secs(5);

/// A session, by the receiver index that this gateway gave out for it.
#[derive(Debug, Clone, Copy)]
struct Session {
    receiver: u32,
    established: BootTime,
    /// When the other side showed that it has the keys.
    confirmed: Option<BootTime>,
    /// The device began the handshake.
    by_device: bool,
}

/// A change of the address that a device is heard from.
#[derive(Debug, Clone, Copy)]
struct Move {
    to: IpAddr,
    at: BootTime,
    /// The session on which it was heard there.
    receiver: u32,
}

/// A packet that waits for a session.
#[derive(Debug)]
struct Queued {
    packet: Vec<u8>,
    since: BootTime,
    /// The validity of the flow it belongs to.
    window: Window,
}

/// What an authenticated datagram said about where the device is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    /// Nothing new, or another port of the same address: a NAT does that.
    No,
    /// To another address.
    Yes,
    /// Two who have the key take turns: one went back to a session that the other had superseded, or two addresses
    /// alternate that share no session.
    TookTurns,
}

/// What came of the first authenticated datagram of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    pub(crate) moved: Moved,
    /// A handshake was confirmed after a time without any session.
    pub(crate) connected: bool,
}

/// A tunnel and its surroundings.
pub(crate) struct Peer<T> {
    pub(crate) tunnel: T,
    /// The 24 bits that name it in receiver indices.
    pub(crate) index: u32,
    sessions: [Option<Session>; SESSIONS],
    /// The receiver index of the session that boringtun seals with.
    current: u32,
    endpoint: Option<(SocketAddr, Via)>,
    moves: [Option<Move>; MOVES],
    queue: VecDeque<Queued>,
    queue_bytes: usize,
    /// When an initiation of ours was first sent, until it is answered.
    pub(crate) initiating_since: Option<BootTime>,
    /// The pre-shared key changed: the tunnel is replaced at the next handshake.
    pub(crate) preshared_key_is_old: bool,
    last_handshake: Option<Timestamp>,
    rx_bytes: u64,
    tx_bytes: u64,
}

impl<T: Tunnel> Peer<T> {
    pub(crate) fn new(tunnel: T, index: u32) -> Self {
        Self {
            tunnel,
            index,
            sessions: [None; SESSIONS],
            current: 0,
            endpoint: None,
            moves: [None; MOVES],
            queue: VecDeque::new(),
            queue_bytes: 0,
            initiating_since: None,
            preshared_key_is_old: false,
            last_handshake: None,
            rx_bytes: 0,
            tx_bytes: 0,
        }
    }

    /// Puts another tunnel in place, with no sessions; endpoint and counts stay. Returns the index of the old one.
    pub(crate) fn replace_tunnel(&mut self, tunnel: T, index: u32) -> u32 {
        let old = std::mem::replace(&mut self.index, index);
        self.tunnel = tunnel;
        self.sessions = [None; SESSIONS];
        self.initiating_since = None;
        self.preshared_key_is_old = false;
        old
    }

    pub(crate) fn endpoint(&self) -> Option<(SocketAddr, Via)> {
        self.endpoint
    }

    pub(crate) fn last_handshake(&self) -> Option<Timestamp> {
        self.last_handshake
    }

    /// Bytes of whole datagrams, received and sent.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        (self.rx_bytes, self.tx_bytes)
    }

    pub(crate) fn count_received(&mut self, len: usize) {
        self.rx_bytes = self.rx_bytes.wrapping_add(u64::try_from(len).unwrap_or(0));
    }

    pub(crate) fn count_sent(&mut self, len: usize) {
        self.tx_bytes = self.tx_bytes.wrapping_add(u64::try_from(len).unwrap_or(0));
    }

    /// Notes a session that a handshake made. One that the gateway began is confirmed by the response.
    pub(crate) fn note_session(&mut self, receiver: Receiver, now: Now, by_device: bool) {
        let confirmed = (!by_device).then_some(now.boot);
        let session = Session { receiver: receiver.0, established: now.boot, confirmed, by_device };
        if let Some(place) = self.sessions.get_mut(place(receiver.0)) {
            *place = Some(session);
        }
        if !by_device {
            self.initiating_since = None;
            self.last_handshake = Some(now.wall);
            self.move_current(receiver.0);
        }
    }

    /// Says whether a session of that receiver index is young enough to take data.
    pub(crate) fn may_receive(&self, receiver: Receiver, now: Now) -> bool {
        self.session(receiver.0).is_some_and(|session| now.boot.since(session.established) < REJECT_AFTER)
    }

    /// Says whether a confirmed session is young enough to send on.
    pub(crate) fn may_send(&self, now: Now) -> bool {
        self.session(self.current)
            .is_some_and(|session| session.confirmed.is_some() && now.boot.since(session.established) < REJECT_AFTER)
    }

    /// Says whether a confirmed session younger than 180 s exists.
    pub(crate) fn is_active(&self, now: Now) -> bool {
        self.sessions
            .iter()
            .flatten()
            .any(|session| session.confirmed.is_some() && now.boot.since(session.established) < REJECT_AFTER)
    }

    /// Says whether the tunnel's timers have anything to do.
    pub(crate) fn is_live(&self, now: Now) -> bool {
        self.initiating_since.is_some_and(|since| now.boot.since(since) < ATTEMPT)
            || self.sessions.iter().flatten().any(|session| now.boot.since(session.established) < WIPED_AFTER)
    }

    /// Notes authenticated transport data or a keepalive from an endpoint.
    pub(crate) fn hear(&mut self, receiver: Receiver, from: SocketAddr, via: Via, now: Now) -> Heard {
        // The next packet of a session from where the last one came: nothing to note.
        if receiver.0 == self.current
            && self.endpoint == Some((from, via))
            && self.session(receiver.0).is_some_and(|session| session.confirmed.is_some())
        {
            return Heard { moved: Moved::No, connected: false };
        }
        let was_active = self.is_active(now);
        let mut connected = false;
        if let Some(session) = self.sessions.get_mut(place(receiver.0)).and_then(Option::as_mut)
            && session.confirmed.is_none()
        {
            session.confirmed = Some(now.boot);
            connected = !was_active;
            self.last_handshake = Some(now.wall);
        }
        self.move_current(receiver.0);
        let is_overtaken = self.is_overtaken(receiver.0, now);
        let moved = self.move_endpoint(receiver.0, (from, via), now);
        Heard { moved: if is_overtaken { Moved::TookTurns } else { moved }, connected }
    }

    /// Says whether a session is used although its device has made and used a later one for a while: then somebody else
    /// has the key. Where the gateway began the later one, the device may not know of it yet.
    fn is_overtaken(&self, receiver: u32, now: Now) -> bool {
        let Some(used) = self.session(receiver) else { return false };
        self.session(self.current).is_some_and(|current| {
            current.by_device
                && current.established > used.established
                && current.confirmed.is_some_and(|at| now.boot.since(at) >= OVERTAKEN_AFTER)
        })
    }

    fn move_endpoint(&mut self, receiver: u32, (from, via): (SocketAddr, Via), now: Now) -> Moved {
        let before = self.endpoint.replace((from, via));
        if before.is_some_and(|(old, _)| old.ip() == from.ip()) {
            return Moved::No;
        }
        self.moves.rotate_left(1);
        if let Some(last) = self.moves.last_mut() {
            *last = Some(Move { to: from.ip(), at: now.boot, receiver });
        }
        if let [Some(a), Some(b), Some(c), Some(d)] = self.moves
            && (a.to, b.to) == (c.to, d.to)
            && now.boot.since(a.at) < REJECT_AFTER
            // Who takes a session along is one and the same: a phone between two networks.
            && a.receiver != b.receiver
            && b.receiver != c.receiver
            && c.receiver != d.receiver
        {
            return Moved::TookTurns;
        }
        if before.is_some() { Moved::Yes } else { Moved::No }
    }

    /// Follows boringtun's choice of the session to send on: the newer one, once data came on it.
    fn move_current(&mut self, receiver: u32) {
        let new = self.session(receiver).map(|session| session.established);
        let held = self.sessions.get(place(self.current)).copied().flatten().map(|session| session.established);
        if held.is_none_or(|held| new.is_some_and(|new| new >= held)) {
            self.current = receiver;
        }
    }

    fn session(&self, receiver: u32) -> Option<&Session> {
        self.sessions.get(place(receiver)).and_then(Option::as_ref).filter(|session| session.receiver == receiver)
    }

    /// Seals a packet, padded, into a buffer of [`sealed_len`] bytes; `None` when there is no session after all.
    pub(crate) fn seal(&mut self, packet: &[u8], mtu: usize, scratch: &mut Vec<u8>, into: &mut [u8]) -> Option<usize> {
        let padded = padded_len(packet.len(), mtu);
        let sealed = if padded == packet.len() {
            self.tunnel.seal(packet, into)
        } else {
            scratch.clear();
            scratch.extend_from_slice(packet);
            scratch.resize(padded, 0);
            self.tunnel.seal(scratch, into)
        };
        match sealed {
            Sealed::Data(len) => {
                self.count_sent(len);
                Some(len)
            }
            Sealed::NoSession => {
                if let Some(session) = self.sessions.get_mut(place(self.current)) {
                    *session = None;
                }
                None
            }
        }
    }

    /// Keeps a packet until a session is there; `false` when the queue is full.
    pub(crate) fn enqueue(&mut self, packet: &[u8], window: Window, now: Now) -> bool {
        let bytes = self.queue_bytes.saturating_add(packet.len());
        if self.queue.len() >= QUEUE_PACKETS_MAX || bytes > QUEUE_BYTES_MAX {
            return false;
        }
        self.queue_bytes = bytes;
        self.queue.push_back(Queued { packet: packet.to_vec(), since: now.boot, window });
        true
    }

    /// Takes the next packet that waited and is still allowed by its flow's window.
    pub(crate) fn dequeue(&mut self, now: Now) -> Option<Vec<u8>> {
        while let Some(queued) = self.queue.pop_front() {
            self.queue_bytes = self.queue_bytes.saturating_sub(queued.packet.len());
            if now.boot.since(queued.since) < QUEUE_AGE_MAX && queued.window.holds(now) {
                return Some(queued.packet);
            }
        }
        None
    }

    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// Drops what waited too long.
    pub(crate) fn age_queue(&mut self, now: Now) {
        while self.queue.front().is_some_and(|queued| now.boot.since(queued.since) >= QUEUE_AGE_MAX) {
            if let Some(queued) = self.queue.pop_front() {
                self.queue_bytes = self.queue_bytes.saturating_sub(queued.packet.len());
            }
        }
    }

    /// Drops what waits, because what allowed it may be gone.
    pub(crate) fn clear_queue(&mut self) {
        self.queue.clear();
        self.queue_bytes = 0;
    }
}

/// Where boringtun keeps the session of a receiver index.
fn place(receiver: u32) -> usize {
    usize::try_from(receiver & 7).unwrap_or(0)
}

/// The length after padding to 16 bytes, not past the MTU (WireGuard whitepaper, section 5.4.6): lengths leak less.
pub(crate) fn padded_len(len: usize, mtu: usize) -> usize {
    if len >= mtu { len } else { len.next_multiple_of(16).min(mtu) }
}

/// The length of the datagram that carries a packet.
pub(crate) fn sealed_len(len: usize, mtu: usize) -> usize {
    padded_len(len, mtu).saturating_add(DATA_OVERHEAD)
}
