//! Sessions: who may speak, for how long, and where a device is.

use doorward_model::{DeviceId, PublicKey};

use super::leases::Held;
use super::time::Moment;
use crate::source::mix_bytes;

/// `REJECT_AFTER_TIME`, 180 s (WireGuard whitepaper, section 6.1).
const REJECT_AFTER: u64 = 180_000_000;

/// One session that a handshake made.
#[derive(Debug, Clone)]
pub struct Session {
    /// Its place in the ledger.
    pub entry: usize,
    /// The device whose key it was.
    pub device: DeviceId,
    /// That key.
    pub key: PublicKey,
    /// The addresses that it had; with others it may have a core of its own, which knows no session.
    addresses: [std::net::IpAddr; 2],
    /// The pre-shared key that it was made with, mixed.
    pub preshared_key: u64,
    established: u64,
    ended: bool,
    /// False where a timer may have wiped it.
    is_sure: bool,
    /// The device has shown that it has the keys.
    pub confirmed: bool,
    taken: Vec<u64>,
}

impl Session {
    /// Says why it cannot carry anything, if so.
    fn refusal(&self, now: Moment) -> Option<&'static str> {
        if self.ended {
            return Some("the session ended");
        }
        (now.boot.saturating_sub(self.established) >= REJECT_AFTER).then_some("the session is too old")
    }
}

/// Every session since the start, the latest last.
#[derive(Debug, Default)]
pub struct Sessions {
    all: Vec<Session>,
    /// Where a device may be: the last place that it surely spoke from, and later ones that are not sure.
    places: Vec<(DeviceId, std::net::SocketAddr, bool)>,
    ever: Vec<(DeviceId, std::net::SocketAddr)>,
}

/// The pre-shared key of a lease, mixed; 0 for none.
fn preshared_key(held: &Held) -> u64 {
    held.lease.preshared_key.as_ref().map_or(0, |key| mix_bytes(key.expose_secret()))
}

impl Sessions {
    /// A handshake made a session.
    pub fn made(&mut self, now: Moment, entry: usize, held: &Held, preshared_key: u64, confirmed: bool) {
        let (device, key) = (held.lease.device, held.lease.public_key);
        // Another pre-shared key applies from this handshake on: what was made with the old one goes.
        for old in self.all.iter_mut().filter(|old| old.device == device && old.preshared_key != preshared_key) {
            old.ended = true;
        }
        let (established, taken) = (now.boot, Vec::new());
        let addresses = held.addresses();
        let session = Session {
            addresses,
            entry,
            device,
            key,
            preshared_key,
            established,
            ended: false,
            is_sure: true,
            confirmed,
            taken,
        };
        self.all.push(session);
    }

    /// The session of that place in the ledger.
    #[must_use]
    pub fn of(&self, entry: usize) -> Option<&Session> {
        self.all.iter().find(|session| session.entry == entry)
    }

    /// Why that session may not carry this, if so; `counter` for what comes in.
    #[must_use]
    pub fn refusal(&self, now: Moment, entry: usize, counter: Option<u64>) -> Option<&'static str> {
        let Some(session) = self.of(entry) else { return Some("nobody shook hands for it") };
        let replayed = counter.is_some_and(|counter| session.taken.contains(&counter));
        session.refusal(now).or(replayed.then_some("it is a replay"))
    }

    /// Says whether that session must take a packet with that counter.
    #[must_use]
    pub fn must_take(&self, now: Moment, entry: usize, counter: u64) -> bool {
        let Some(session) = self.of(entry) else { return false };
        let is_latest = self.all.iter().rfind(|other| other.device == session.device).map(|other| other.entry);
        session.refusal(now).is_none()
            && session.is_sure
            && is_latest == Some(entry)
            && session.taken.iter().all(|taken| *taken < counter)
    }

    /// Says whether the device can surely be reached: its latest session is confirmed and young.
    #[must_use]
    pub fn must_reach(&self, now: Moment, held: &Held) -> bool {
        let latest = self.all.iter().rfind(|session| session.device == held.lease.device);
        latest.is_some_and(|session| session.confirmed && session.is_sure && session.refusal(now).is_none())
            && self.places.iter().any(|(device, _, _)| *device == held.lease.device)
    }

    /// Authentic data came from a place.
    pub fn heard(&mut self, now: Moment, entry: usize, counter: u64, from: std::net::SocketAddr) {
        if self.refusal(now, entry, Some(counter)).is_some() {
            return;
        }
        let is_sure = self.must_take(now, entry, counter);
        let Some(session) = self.all.iter_mut().find(|session| session.entry == entry) else { return };
        session.taken.push(counter);
        session.confirmed |= is_sure;
        let device = session.device;
        if is_sure {
            self.places.retain(|(other, _, _)| *other != device);
        }
        self.places.push((device, from, is_sure));
        self.ever.push((device, from));
    }

    /// Says whether that session is young enough to be told of its end.
    #[must_use]
    pub fn is_young(&self, now: Moment, entry: usize) -> bool {
        self.of(entry).is_some_and(|session| now.boot.saturating_sub(session.established) < REJECT_AFTER)
    }

    /// Says whether the device was ever there.
    #[must_use]
    pub fn was_ever_at(&self, device: DeviceId, place: std::net::SocketAddr) -> bool {
        self.ever.contains(&(device, place))
    }

    /// Says whether the device may be there.
    #[must_use]
    pub fn may_be_at(&self, device: DeviceId, place: std::net::SocketAddr) -> bool {
        self.places.iter().any(|(other, from, _)| *other == device && *from == place)
    }

    /// Sessions and places end with the lease, and with its key.
    pub(super) fn settle(&mut self, now: Moment, leases: &[Held], changed: impl Fn(DeviceId) -> bool) {
        for session in self.all.iter_mut().filter(|session| !session.ended) {
            let held = leases.iter().find(|held| held.lease.device == session.device);
            let Some(held) = held.filter(|held| held.lease.public_key == session.key) else {
                session.ended = true;
                continue;
            };
            session.ended = changed(session.device) && !held.holds(now);
            // The next handshake, whoever begins it, does away with the session.
            session.is_sure &= session.preshared_key == preshared_key(held) && session.addresses == held.addresses();
        }
        let all = &self.all;
        self.places.retain(|(device, _, _)| all.iter().any(|session| session.device == *device && !session.ended));
    }

    /// Timers may have wiped sessions of these devices.
    pub(super) fn doubt(&mut self, is_doubtful: impl Fn(DeviceId) -> bool) {
        for session in &mut self.all {
            session.is_sure &= !is_doubtful(session.device);
        }
    }
}
