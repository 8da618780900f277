//! A plain stand-in for WireGuard's Noise: the same messages, lengths and indices, everything in clear with a check value
//! that only who has the keys can compute. Both sides of a tunnel use it.
//!
//! Beside the tunnels it keeps a ledger of every session that a gateway's tunnel made, so that the simulation can read
//! any datagram without believing anybody.

use std::cell::{Cell, RefCell};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use doorward_gateway_core::noise::{
    COOKIE_REPLY_LEN, DATA_OVERHEAD, INITIATION_LEN, Noise, Opened, Proof, RESPONSE_LEN, Sealed, Ticked, Tunnel,
};
use doorward_model::{PresharedKey, PublicKey};

use crate::source::{mix, mix_bytes};

/// When an unanswered initiation is sent again (WireGuard whitepaper, section 6.1), in microseconds.
const RETRY_AFTER: u64 = 5_000_000;
/// When it is given up.
const GIVE_UP_AFTER: u64 = 90_000_000;
/// When what is left of sessions is wiped.
const WIPED_AFTER: u64 = 540_000_000;
/// Counters behind the highest that are still taken.
const WINDOW: u64 = 128;

/// A session that the gateway's side made.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The index that the gateway gave out.
    pub local: u32,
    /// The index that the device gave out.
    pub remote: u32,
    /// The transport key.
    pub key: u64,
    /// The device's public key, mixed.
    pub peer: u64,
    /// The pre-shared key, mixed.
    pub preshared_key: u64,
}

/// What all plain tunnels of a world share: the boot clock, a count for time stamps and nonces, the ledger.
#[derive(Debug, Default)]
pub struct Air {
    /// Microseconds since boot.
    pub boot: Cell<u64>,
    drawn: Cell<u64>,
    /// Sessions of the gateway's side, in order.
    pub ledger: RefCell<Vec<Entry>>,
}

impl Air {
    /// Returns a number that is higher than all before.
    fn draw(&self) -> u64 {
        self.drawn.set(self.drawn.get().wrapping_add(1));
        self.drawn.get()
    }
}

#[derive(Debug, Clone, Copy)]
struct Session {
    local: u32,
    remote: u32,
    key: u64,
    established: u64,
    sent: u64,
    highest: Option<u64>,
    seen: u128,
}

impl Session {
    /// Takes a counter once.
    fn take(&mut self, counter: u64) -> bool {
        let Some(highest) = self.highest else {
            (self.highest, self.seen) = (Some(counter), 1);
            return true;
        };
        if counter > highest {
            let ahead = u32::try_from(counter.saturating_sub(highest)).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = Some(counter);
            return true;
        }
        let behind = highest.saturating_sub(counter);
        let bit = u32::try_from(behind).ok().and_then(|behind| 1_u128.checked_shl(behind)).unwrap_or(0);
        let fresh = behind < WINDOW && self.seen & bit == 0;
        self.seen |= bit;
        fresh
    }
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    sender: u32,
    nonce: u64,
    begun: u64,
    sent: u64,
}

/// One side of a tunnel.
#[derive(Debug)]
pub struct PlainTunnel {
    air: Rc<Air>,
    own: PublicKey,
    peer: PublicKey,
    shared: u64,
    preshared_key: u64,
    index: u32,
    handshakes: u32,
    sessions: [Option<Session>; 8],
    current: usize,
    newest_timestamp: u64,
    attempt: Option<Attempt>,
    cookie: [u8; 8],
    is_gateway: bool,
}

impl PlainTunnel {
    /// Makes a device's side; `index` names its sessions.
    #[must_use]
    pub fn of_device(
        air: &Rc<Air>,
        own: PublicKey,
        gateway: PublicKey,
        psk: Option<&PresharedKey>,
        index: u32,
    ) -> Self {
        Self::new(air, (own, gateway), psk, index, false)
    }

    fn new(
        air: &Rc<Air>,
        (own, peer): (PublicKey, PublicKey),
        psk: Option<&PresharedKey>,
        index: u32,
        is_gateway: bool,
    ) -> Self {
        Self {
            air: Rc::clone(air),
            own,
            peer,
            shared: shared(&own, &peer),
            preshared_key: psk.map_or(0, |psk| mix_bytes(psk.expose_secret())),
            index,
            handshakes: 0,
            sessions: [None; 8],
            current: 0,
            newest_timestamp: 0,
            attempt: None,
            cookie: [0; 8],
            is_gateway,
        }
    }

    fn next_sender(&mut self) -> u32 {
        self.handshakes = self.handshakes.wrapping_add(1);
        self.index << 8 | self.handshakes & 0xff
    }

    fn establish(&mut self, local: u32, remote: u32, initiator: u64, responder: u64) {
        let key = mix(&[self.shared, self.preshared_key, initiator, responder]);
        let established = self.air.boot.get();
        let session = Session { local, remote, key, established, sent: 0, highest: None, seen: 0 };
        if let Some(slot) = self.sessions.get_mut(slot(local)) {
            *slot = Some(session);
        }
        if self.is_gateway {
            let (peer, preshared_key) = (mix_bytes(self.peer.as_bytes()), self.preshared_key);
            self.air.ledger.borrow_mut().push(Entry { local, remote, key, peer, preshared_key });
        }
    }

    fn make_current(&mut self, local: u32) {
        let age = |at: usize| self.sessions.get(at).copied().flatten().map(|session| session.established);
        if age(self.current).is_none_or(|held| age(slot(local)).is_some_and(|new| new >= held)) {
            self.current = slot(local);
        }
    }

    fn initiation<'b>(&mut self, attempt: Attempt, into: &'b mut [u8; INITIATION_LEN]) -> &'b [u8] {
        let timestamp = self.air.draw();
        self.attempt = Some(attempt);
        let check = mix(&[self.shared, u64::from(attempt.sender), timestamp, attempt.nonce]);
        into.fill(0);
        put(into, 0, &1_u32.to_le_bytes());
        put(into, 4, &attempt.sender.to_le_bytes());
        put(into, 8, self.own.as_bytes());
        put(into, 40, &timestamp.to_le_bytes());
        put(into, 48, &attempt.nonce.to_le_bytes());
        put(into, 56, &check.to_le_bytes());
        seal_macs(into, &self.peer, self.cookie);
        into
    }

    fn take_initiation<'b>(&mut self, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b> {
        let Some(initiation) = Initiation::read(datagram) else { return Opened::Refused };
        if !initiation.is_authentic(&self.own, &self.peer) || initiation.timestamp <= self.newest_timestamp {
            return Opened::Refused;
        }
        self.newest_timestamp = initiation.timestamp;
        let (sender, nonce) = (self.next_sender(), self.air.draw());
        self.establish(sender, initiation.sender, initiation.nonce, nonce);
        let check = mix(&[self.shared, self.preshared_key, initiation.nonce, nonce, u64::from(sender)]);
        let Some(reply) = into.get_mut(..RESPONSE_LEN) else { return Opened::Refused };
        reply.fill(0);
        put(reply, 0, &2_u32.to_le_bytes());
        put(reply, 4, &sender.to_le_bytes());
        put(reply, 8, &initiation.sender.to_le_bytes());
        put(reply, 12, &nonce.to_le_bytes());
        put(reply, 20, &check.to_le_bytes());
        seal_macs(reply, &self.peer, self.cookie);
        Opened::Reply(reply)
    }

    fn take_response<'b>(&mut self, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b> {
        let (sender, receiver, nonce) = (word(datagram, 4), word(datagram, 8), long(datagram, 12));
        let Some(attempt) = self.attempt.filter(|attempt| attempt.sender == receiver) else { return Opened::Refused };
        let check = mix(&[self.shared, self.preshared_key, attempt.nonce, nonce, u64::from(sender)]);
        if long(datagram, 20) != check {
            return Opened::Refused;
        }
        self.attempt = None;
        self.establish(receiver, sender, attempt.nonce, nonce);
        self.make_current(receiver);
        match self.seal(&[], into) {
            Sealed::Data(len) => into.get(..len).map_or(Opened::Refused, Opened::Reply),
            Sealed::NoSession => Opened::Refused,
        }
    }

    fn take_cookie<'b>(&mut self, datagram: &[u8]) -> Opened<'b> {
        if datagram.len() != COOKIE_REPLY_LEN || self.attempt.is_none_or(|held| held.sender != word(datagram, 4)) {
            return Opened::Refused;
        }
        self.cookie = long(datagram, 8).to_le_bytes();
        Opened::Nothing
    }

    fn take_data<'b>(&mut self, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b> {
        let Some(data) = Data::read(datagram) else { return Opened::Refused };
        let Some(session) = self.sessions.get_mut(slot(data.receiver)).and_then(Option::as_mut) else {
            return Opened::Refused;
        };
        if session.local != data.receiver || !data.is_authentic(session.key) || !session.take(data.counter) {
            return Opened::Refused;
        }
        self.make_current(data.receiver);
        if data.payload.is_empty() {
            return Opened::Nothing;
        }
        let Some(to) = into.get_mut(..data.payload.len()) else { return Opened::Refused };
        to.copy_from_slice(data.payload);
        Opened::Packet(to)
    }

    /// Seals with the session before the current one, where there is one: a packet that was late.
    pub fn seal_with_older(&mut self, packet: &[u8], into: &mut [u8]) -> Sealed {
        let held = self.current;
        self.current = self.current.wrapping_add(7) & 7;
        let sealed = self.seal(packet, into);
        self.current = held;
        sealed
    }
}

impl Tunnel for PlainTunnel {
    fn open<'b>(&mut self, _: IpAddr, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b> {
        match word(datagram, 0) {
            1 => self.take_initiation(datagram, into),
            2 => self.take_response(datagram, into),
            3 => self.take_cookie(datagram),
            4 => self.take_data(datagram, into),
            _ => Opened::Refused,
        }
    }

    fn seal(&mut self, packet: &[u8], into: &mut [u8]) -> Sealed {
        let Some(session) = self.sessions.get_mut(self.current).and_then(Option::as_mut) else {
            return Sealed::NoSession;
        };
        let len = packet.len().saturating_add(DATA_OVERHEAD);
        let Some(into) = into.get_mut(..len) else { return Sealed::NoSession };
        put(into, 0, &4_u32.to_le_bytes());
        put(into, 4, &session.remote.to_le_bytes());
        put(into, 8, &session.sent.to_le_bytes());
        put(into, 16, packet);
        let tag = mix(&[session.key, session.sent, mix_bytes(packet)]);
        put(into, len.saturating_sub(16), &[0; 16]);
        put(into, len.saturating_sub(16), &tag.to_le_bytes());
        session.sent = session.sent.wrapping_add(1);
        Sealed::Data(len)
    }

    fn initiate<'b>(&mut self, into: &'b mut [u8; INITIATION_LEN]) -> Option<&'b [u8]> {
        let now = self.air.boot.get();
        let attempt = Attempt { sender: self.next_sender(), nonce: self.air.draw(), begun: now, sent: now };
        Some(self.initiation(attempt, into))
    }

    fn tick<'b>(&mut self, into: &'b mut [u8; INITIATION_LEN]) -> Ticked<'b> {
        let now = self.air.boot.get();
        for session in &mut self.sessions {
            if session.is_some_and(|held| now.saturating_sub(held.established) >= WIPED_AFTER) {
                *session = None;
            }
        }
        match self.attempt {
            Some(attempt) if now.saturating_sub(attempt.begun) >= GIVE_UP_AFTER => {
                self.attempt = None;
                Ticked::Expired
            }
            Some(attempt) if now.saturating_sub(attempt.sent) >= RETRY_AFTER => {
                let (sender, nonce) = (self.next_sender(), self.air.draw());
                Ticked::Send(self.initiation(Attempt { sender, nonce, sent: now, ..attempt }, into))
            }
            None if self.sessions.iter().all(Option::is_none) => Ticked::Expired,
            Some(_) | None => Ticked::Nothing,
        }
    }
}

/// The gateway's side.
#[derive(Debug)]
pub struct Plain {
    air: Rc<Air>,
    own: PublicKey,
}

impl Plain {
    /// Takes the gateway's key.
    #[must_use]
    pub fn new(air: &Rc<Air>, own: PublicKey) -> Self {
        Self { air: Rc::clone(air), own }
    }
}

impl Noise for Plain {
    type Tunnel = PlainTunnel;

    fn is_own(&self, key: &PublicKey) -> bool {
        *key == self.own
    }

    fn tunnel(&self, key: &PublicKey, preshared_key: Option<&PresharedKey>, index: u32) -> PlainTunnel {
        PlainTunnel::new(&self.air, (self.own, *key), preshared_key, index, true)
    }

    fn mac_is_right(&self, datagram: &[u8]) -> bool {
        mac_is_right(datagram, &self.own)
    }

    fn prove(&self, source: SocketAddr, datagram: &[u8]) -> Proof {
        let cookie = mix(&[mix_bytes(self.own.as_bytes()), mix_bytes(source.to_string().as_bytes())]);
        if datagram.len() < 32 {
            return Proof::Refused;
        }
        if long(datagram, datagram.len().saturating_sub(16)) == cookie {
            return Proof::Proven;
        }
        let mut reply = vec![0; COOKIE_REPLY_LEN];
        put(&mut reply, 0, &3_u32.to_le_bytes());
        put(&mut reply, 4, &word(datagram, 4).to_le_bytes());
        put(&mut reply, 8, &cookie.to_le_bytes());
        Proof::Cookie(reply)
    }

    fn claimed_key(&self, datagram: &[u8]) -> Option<PublicKey> {
        Initiation::read(datagram)?.key()
    }
}

/// An initiation, read.
#[derive(Debug, Clone, Copy)]
pub struct Initiation {
    sender: u32,
    key: [u8; 32],
    timestamp: u64,
    nonce: u64,
    check: u64,
}

impl Initiation {
    /// Reads one; `None` for another message.
    #[must_use]
    pub fn read(datagram: &[u8]) -> Option<Self> {
        if datagram.len() != INITIATION_LEN || word(datagram, 0) != 1 {
            return None;
        }
        let key = *datagram.get(8..)?.first_chunk::<32>()?;
        let (timestamp, nonce, check) = (long(datagram, 40), long(datagram, 48), long(datagram, 56));
        Some(Self { sender: word(datagram, 4), key, timestamp, nonce, check })
    }

    /// The key that it claims.
    #[must_use]
    pub fn key(&self) -> Option<PublicKey> {
        PublicKey::from_bytes(self.key).ok()
    }

    /// When it was made, as a count.
    #[must_use]
    pub fn timestamp(&self) -> u64 {
        self.timestamp
    }

    /// Says whether the claimed key's owner made it for the receiver.
    #[must_use]
    pub fn is_authentic(&self, receiver: &PublicKey, sender: &PublicKey) -> bool {
        let check = mix(&[shared(receiver, sender), u64::from(self.sender), self.timestamp, self.nonce]);
        self.key == *sender.as_bytes() && self.check == check
    }
}

/// Transport data, read.
#[derive(Debug, Clone, Copy)]
pub struct Data<'a> {
    /// Whom it is addressed to.
    pub receiver: u32,
    /// Its number.
    pub counter: u64,
    /// The padded packet.
    pub payload: &'a [u8],
    tag: u64,
}

impl<'a> Data<'a> {
    /// Reads one; `None` for another message.
    #[must_use]
    pub fn read(datagram: &'a [u8]) -> Option<Self> {
        let end = datagram.len().checked_sub(16)?;
        let payload = datagram.get(16..end)?;
        let data = Self { receiver: word(datagram, 4), counter: long(datagram, 8), payload, tag: long(datagram, end) };
        (word(datagram, 0) == 4 && long(datagram, end.saturating_add(8)) == 0).then_some(data)
    }

    /// Says whether that session sealed it.
    #[must_use]
    pub fn is_authentic(&self, key: u64) -> bool {
        self.tag == mix(&[key, self.counter, mix_bytes(self.payload)])
    }
}

/// Says whether mac1 is the one for that receiver.
#[must_use]
pub fn mac_is_right(datagram: &[u8], receiver: &PublicKey) -> bool {
    let Some((message, macs)) = datagram.len().checked_sub(32).and_then(|at| datagram.split_at_checked(at)) else {
        return false;
    };
    long(macs, 0) == mix(&[mix_bytes(receiver.as_bytes()), mix_bytes(message)]) && long(macs, 8) == 0
}

fn seal_macs(message: &mut [u8], receiver: &PublicKey, cookie: [u8; 8]) {
    let at = message.len().saturating_sub(32);
    let mac = mix(&[mix_bytes(receiver.as_bytes()), message.get(..at).map_or(0, mix_bytes)]);
    put(message, at, &mac.to_le_bytes());
    put(message, at.saturating_add(16), &cookie);
}

fn shared(a: &PublicKey, b: &PublicKey) -> u64 {
    mix_bytes(a.as_bytes()) ^ mix_bytes(b.as_bytes())
}

fn slot(local: u32) -> usize {
    usize::try_from(local & 7).unwrap_or(0)
}

fn put(into: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(to) = into.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        to.copy_from_slice(bytes);
    }
}

fn word(from: &[u8], at: usize) -> u32 {
    from.get(at..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn long(from: &[u8], at: usize) -> u64 {
    from.get(at..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
