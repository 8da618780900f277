//! The meeting point of commits, gateway sessions and those who wait for receipts.
//!
//! It holds what is true of this run of the server alone: open sessions, and what gateways confirmed lately. Nothing in
//! it is a queue of changes: a session that wakes reads what it missed from the database, so that no wake-up that was
//! lost or doubled can lose a change.

mod elsewhere;

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use doorward_model::{DecisionId, DeviceId, DeviceUsage, EndedDevice, GatewayName, Ping, Receipt, Timestamp};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use super::session::{Identity, Session};
use super::usage::{Usage, Use};
use crate::Shutdown;

/// Confirmations kept per gateway: a waiter looks for its own within seconds, so this spans thousands of changes a
/// second.
const CONFIRMATIONS_MAX: usize = 4_096;

/// What a gateway confirmed, and when that was heard.
#[derive(Debug, Clone)]
pub(crate) struct Confirmation {
    /// Everything up to this revision is enforced.
    pub(crate) revision: u64,
    /// And this decision ahead of the database.
    pub(crate) ahead: Option<DecisionId>,
    /// When it was heard, for spans.
    pub(crate) heard: Instant,
    /// When it was heard, for the record.
    pub(crate) heard_at: Timestamp,
    /// From the message's arrival at the gateway to its enforcement.
    pub(crate) enforced_after: Duration,
    /// Devices that lost something.
    pub(crate) ended: Arc<[EndedDevice]>,
}

/// What is known of a gateway from its open session.
#[derive(Debug, Clone, Default)]
pub(crate) struct GatewayState {
    /// Whether its stream is open.
    pub(crate) connected: bool,
    /// The revision that it enforces.
    pub(crate) revision: Option<u64>,
    /// Devices with a live tunnel.
    pub(crate) devices_active: u32,
    /// Devices with a lease.
    pub(crate) devices_known: u32,
    /// When it was last heard.
    pub(crate) heard_at: Option<Timestamp>,
    /// At which other replica its stream is; `None` where it is here, or nowhere.
    pub(crate) replica: Option<String>,
}

/// One gateway's place at the hub.
#[derive(Debug, Default)]
struct Place {
    session: Option<Arc<Session>>,
    state: GatewayState,
    /// Its stream at another replica.
    elsewhere: Option<GatewayState>,
    confirmations: VecDeque<Confirmation>,
    usage: Usage,
}

impl Place {
    fn confirm(&mut self, confirmation: Confirmation) {
        if self.confirmations.len() >= CONFIRMATIONS_MAX {
            self.confirmations.pop_front();
        }
        self.confirmations.push_back(confirmation);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Hub {
    places: Mutex<HashMap<GatewayName, Place>>,
    /// The latest revision that is known to be committed; wakes sessions.
    revision: watch::Sender<u64>,
    /// Counts confirmations; wakes waiters.
    confirmed: watch::Sender<u64>,
    /// Wakes who tells other replicas of streams that came or went.
    streams_changed: Notify,
    shutdown: Shutdown,
}

impl Hub {
    /// Opens the hub; sessions end with `shutdown`.
    pub(crate) fn new(revision: u64, shutdown: Shutdown) -> Self {
        Self {
            places: Mutex::default(),
            revision: watch::Sender::new(revision),
            confirmed: watch::Sender::new(0),
            streams_changed: Notify::new(),
            shutdown,
        }
    }

    /// Tells sessions that a revision was committed, here or by another replica.
    pub(crate) fn committed(&self, revision: u64) {
        self.revision.send_if_modified(|latest| {
            let later = revision > *latest;
            *latest = revision.max(*latest);
            later
        });
    }

    /// Returns the latest committed revision that is known here.
    pub(crate) fn revision(&self) -> u64 {
        *self.revision.borrow()
    }

    /// Wakes at each committed revision.
    pub(crate) fn watch_revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Wakes at each confirmation.
    pub(crate) fn watch_confirmations(&self) -> watch::Receiver<u64> {
        self.confirmed.subscribe()
    }

    /// Opens a session for a gateway and ends its earlier one: two programs under one name would take turns.
    pub(crate) fn open(&self, gateway: &GatewayName, identity: Identity, now: Timestamp) -> Arc<Session> {
        let session = Arc::new(Session::new(gateway.clone(), identity, self.shutdown.child_token()));
        let mut places = self.places();
        let place = places.entry(gateway.clone()).or_default();
        place.state = GatewayState { heard_at: Some(now), ..GatewayState::default() };
        if let Some(earlier) = place.session.replace(Arc::clone(&session)) {
            tracing::info!(gateway.name = %gateway, "a second hello ended the earlier session");
            earlier.ended.cancel();
        }
        session
    }

    /// Finds a live session that belongs to this peer.
    pub(crate) fn session(&self, id: Uuid, identity: &Identity) -> Option<Arc<Session>> {
        let places = self.places();
        let mut sessions = places.values().filter_map(|place| place.session.as_ref());
        let session = sessions.find(|session| session.id == id)?;
        (session.identity == *identity && !session.ended.is_cancelled()).then(|| Arc::clone(session))
    }

    /// Finds the live session of a peer; the newest, where several gateways share the feed socket.
    pub(crate) fn session_of(&self, identity: &Identity) -> Option<Arc<Session>> {
        let places = self.places();
        let sessions = places.values().filter_map(|place| Some((place.state.heard_at, place.session.as_ref()?)));
        let own = sessions.filter(|(_, session)| session.identity == *identity && !session.ended.is_cancelled());
        own.max_by_key(|(heard_at, _)| *heard_at).map(|(_, session)| Arc::clone(session))
    }

    /// Notes that a session's stream is open.
    pub(crate) fn streaming(&self, session: &Session) {
        self.with_place(session, |place| place.state.connected = true);
        self.streams_changed.notify_one();
    }

    /// Waits until a stream came or went.
    pub(crate) async fn streams_change(&self) {
        self.streams_changed.notified().await;
    }

    /// Forgets a session, unless another took its place.
    pub(crate) fn close(&self, session: &Session) {
        session.ended.cancel();
        self.with_place(session, |place| {
            place.session = None;
            place.state.connected = false;
            place.state.devices_active = 0;
        });
        self.streams_changed.notify_one();
        // Who waits for this gateway has to look again.
        self.confirmed.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Ends the session of a gateway that was removed, and forgets the gateway.
    pub(crate) fn remove(&self, gateway: &GatewayName) {
        if let Some(session) = self.places().remove(gateway).and_then(|place| place.session) {
            session.ended.cancel();
        }
    }

    /// Takes a ping in.
    pub(crate) fn heard_ping(&self, session: &Session, ping: &Ping, now: Timestamp) {
        self.with_place(session, |place| {
            place.state.revision = ping.revision.map(|revision| revision.0.min(session.sent()));
            place.state.devices_active = ping.devices_active;
            place.state.devices_known = ping.devices_known;
            place.state.heard_at = Some(now);
        });
        session.ping.send_replace(Some(ping.boot_micros));
    }

    /// Takes a receipt in; `false` when it confirms what does not exist.
    ///
    /// What an earlier session was sent counts too: a gateway offers a receipt again after the session broke.
    pub(crate) fn heard_receipt(&self, session: &Session, receipt: Receipt, now: Timestamp) -> bool {
        if receipt.revision.0 > session.sent().max(self.revision()) {
            return false;
        }
        self.with_place(session, |place| {
            place.state.revision = place.state.revision.max(Some(receipt.revision.0));
            place.state.heard_at = Some(now);
            place.confirm(Confirmation {
                revision: receipt.revision.0,
                ahead: receipt.ahead,
                heard: Instant::now(),
                heard_at: now,
                enforced_after: Duration::from_micros(receipt.enforced_after_micros),
                ended: receipt.ended.into(),
            });
        });
        self.confirmed.send_modify(|count| *count = count.wrapping_add(1));
        true
    }

    /// Takes in who is connected; returns whose last handshakes are to be written down.
    pub(crate) fn heard_usage(&self, session: &Session, usages: &[DeviceUsage]) -> Vec<(DeviceId, Timestamp)> {
        let mut unnoted = Vec::new();
        self.with_place(session, |place| unnoted = place.usage.heard(usages, Instant::now()));
        unnoted
    }

    /// Returns what gateways told about these devices, the latest handshake where several know one.
    pub(crate) fn usage_of(&self, devices: impl Iterator<Item = DeviceId>) -> HashMap<DeviceId, (GatewayName, Use)> {
        let places = self.places();
        let latest = |device: DeviceId| {
            let known = places.iter().filter_map(|(name, place)| Some((name, place.usage.of(&device)?)));
            let (name, usage) = known.max_by_key(|(_, usage)| usage.last_handshake)?;
            Some((device, (name.clone(), usage)))
        };
        devices.filter_map(latest).collect()
    }

    /// Returns who shook hands since a moment, with the gateway where they did.
    pub(crate) fn usage_since(&self, since: Timestamp) -> Vec<(DeviceId, GatewayName, Use)> {
        let places = self.places();
        let all =
            places.iter().flat_map(|(name, place)| place.usage.all().map(move |(device, usage)| (device, name, usage)));
        all.filter(|(_, _, usage)| usage.last_handshake >= since)
            .map(|(device, name, usage)| (device, name.clone(), usage))
            .collect()
    }

    /// Returns the first confirmation of a gateway that covers a revision.
    pub(crate) fn confirmation(&self, gateway: &GatewayName, revision: u64) -> Option<Confirmation> {
        let places = self.places();
        places.get(gateway)?.confirmations.iter().find(|confirmation| confirmation.revision >= revision).cloned()
    }

    /// Returns a gateway's confirmation of a decision ahead of the database.
    pub(crate) fn confirmation_ahead(&self, gateway: &GatewayName, id: DecisionId) -> Option<Confirmation> {
        let places = self.places();
        places.get(gateway)?.confirmations.iter().find(|confirmation| confirmation.ahead == Some(id)).cloned()
    }

    /// Returns every gateway's confirmation of a decision ahead of the database.
    pub(crate) fn confirmed_ahead(&self, id: DecisionId) -> Vec<(GatewayName, Confirmation)> {
        let names: Vec<GatewayName> = self.places().keys().cloned().collect();
        names.into_iter().filter_map(|name| self.confirmation_ahead(&name, id).map(|it| (name, it))).collect()
    }

    /// Returns the gateways whose streams are open, here or at another replica.
    pub(crate) fn connected(&self) -> Vec<GatewayName> {
        let places = self.places();
        let open = places.iter().filter(|(_, place)| place.state.connected || place.elsewhere.is_some());
        open.map(|(name, _)| name.clone()).collect()
    }

    /// Returns what is known of a gateway.
    pub(crate) fn state(&self, gateway: &GatewayName) -> GatewayState {
        let places = self.places();
        let Some(place) = places.get(gateway) else { return GatewayState::default() };
        match &place.elsewhere {
            Some(elsewhere) if !place.state.connected => elsewhere.clone(),
            Some(_) | None => place.state.clone(),
        }
    }

    fn with_place(&self, session: &Session, change: impl FnOnce(&mut Place)) {
        let mut places = self.places();
        let place = places.get_mut(&session.gateway);
        if let Some(place) = place.filter(|place| place.session.as_ref().is_some_and(|open| open.id == session.id)) {
            change(place);
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<GatewayName, Place>> {
        // Each change above leaves the map whole, so a panic elsewhere does not make it unusable.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::Revision;

    use super::*;

    fn hub() -> (Hub, GatewayName) {
        (Hub::new(0, Shutdown::new()), "main".parse().unwrap())
    }

    fn receipt(session: &Session, revision: u64) -> Receipt {
        Receipt {
            session: session.id,
            revision: Revision(revision),
            enforced_after_micros: 1,
            ended: Vec::new(),
            ahead: None,
        }
    }

    #[test]
    fn a_second_hello_ends_the_earlier_session_and_its_late_words_count_for_nothing() {
        let (hub, name) = hub();
        let first = hub.open(&name, Identity::Socket, Timestamp::UNIX_EPOCH);
        first.sending(5);
        let second = hub.open(&name, Identity::Socket, Timestamp::UNIX_EPOCH);
        assert!(first.ended.is_cancelled() && !second.ended.is_cancelled());
        assert!(hub.session(first.id, &Identity::Socket).is_none());
        hub.heard_receipt(&first, receipt(&first, 5), Timestamp::UNIX_EPOCH);
        assert!(hub.confirmation(&name, 5).is_none());
        hub.close(&first);
        assert!(hub.session(second.id, &Identity::Socket).is_some());
    }

    #[test]
    fn nobody_uses_a_session_of_another_peer() {
        let (hub, name) = hub();
        let session = hub.open(&name, Identity::Certificate([1; 32]), Timestamp::UNIX_EPOCH);
        assert!(hub.session(session.id, &Identity::Certificate([2; 32])).is_none());
        assert!(hub.session(session.id, &Identity::Socket).is_none());
    }

    #[test]
    fn a_gateway_cannot_confirm_what_does_not_exist() {
        let (hub, name) = hub();
        hub.committed(3);
        let session = hub.open(&name, Identity::Socket, Timestamp::UNIX_EPOCH);
        assert!(!hub.heard_receipt(&session, receipt(&session, 4), Timestamp::UNIX_EPOCH));
        assert!(hub.heard_receipt(&session, receipt(&session, 3), Timestamp::UNIX_EPOCH));
        assert!(hub.confirmation(&name, 2).is_some() && hub.confirmation(&name, 4).is_none());
    }
}
