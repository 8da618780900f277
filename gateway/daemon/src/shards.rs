//! The packet threads together: one for each core of the gateway, behind one handle and one stream of events.
//!
//! Each message of the feed goes to all of them. A receipt leaves once all have it in force.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::Duration;

use doorward_gateway_core::{
    BootTime, Command, Counters, ENDED_DEVICES_MAX, Gateway, Handover, PeerStatus, ResourceAsked,
};
use doorward_model::{DecisionId, DnsName, EndedDevice, GatewayEvent, ResourceName, Revision, ServiceAddress};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::{mpsc, oneshot, watch};

use crate::conntrack::ConntrackFlusher;
use crate::error::GatewayError;
use crate::shard::{Parts, Shard};
use crate::tun::{TunCounters, TunQueue};
use crate::udp::{UdpCounters, UdpSocketBound};

/// Messages waiting for a packet thread at most; the feed waits when it is full.
pub(crate) const MESSAGES_MAX: usize = 64;

/// Handovers waiting for a packet thread at most; past it they are dropped and counted.
const HANDOVERS_MAX: usize = 1_024;

/// Events waiting for the feed client at most; past it notices are dropped and counted.
const EVENTS_MAX: usize = 1_024;

/// What others ask of a packet thread.
pub(crate) enum ShardMessage {
    /// A message for the core, and when it arrived at this gateway.
    Command(Command, BootTime),
    /// The peers, for `wg show`.
    Peers(oneshot::Sender<Vec<PeerStatus>>),
    /// The same for those whose tunnels live.
    PeersLive(oneshot::Sender<Vec<PeerStatus>>),
    /// Everything that is counted.
    Sample(oneshot::Sender<Sample>),
    /// A resource that the device with a tunnel address may reach at this moment.
    Resource(IpAddr, ResourceAsked, oneshot::Sender<Option<(ResourceName, ServiceAddress)>>),
    /// Whether an address lies where no name of others may lead the device; `None` when it is another thread's device.
    LeadsInside(IpAddr, Vec<IpAddr>, oneshot::Sender<Option<bool>>),
    /// Enough.
    Stop,
}

/// Everything that the packet threads count.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) core: Counters,
    pub(crate) udp: UdpCounters,
    pub(crate) tun: TunCounters,
    /// Notices dropped because the feed client was behind.
    pub(crate) notices_dropped: u64,
    /// Requests to flush connection tracking that found its queue full.
    pub(crate) flushes_dropped: u64,
    /// What was handed to another thread's core.
    pub(crate) handovers: u64,
    /// Handovers that found the other thread's queue full.
    pub(crate) handovers_dropped: u64,
}

impl Sample {
    fn add(&mut self, other: &Self) {
        self.core.add(&other.core);
        self.udp.add(&other.udp);
        self.tun.add(&other.tun);
        self.notices_dropped = self.notices_dropped.wrapping_add(other.notices_dropped);
        self.flushes_dropped = self.flushes_dropped.wrapping_add(other.flushes_dropped);
        self.handovers = self.handovers.wrapping_add(other.handovers);
        self.handovers_dropped = self.handovers_dropped.wrapping_add(other.handovers_dropped);
    }
}

/// What a ping says of one packet thread, published every second and after each command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardStatus {
    pub(crate) revision: Option<Revision>,
    pub(crate) authority_until: Option<BootTime>,
    pub(crate) devices_active: u32,
    pub(crate) devices_known: u32,
}

impl ShardStatus {
    /// Says for all threads what holds for each: the lowest revision, the shortest authority, the sums.
    pub(crate) fn of_all(all: &[Self]) -> Self {
        Self {
            revision: all.iter().map(|one| one.revision).min().flatten(),
            authority_until: all.iter().map(|one| one.authority_until).min().flatten(),
            devices_active: all.iter().fold(0, |sum, one| sum.saturating_add(one.devices_active)),
            devices_known: all.iter().fold(0, |sum, one| sum.saturating_add(one.devices_known)),
        }
    }
}

/// What the packet threads tell the feed client.
#[derive(Debug)]
pub(crate) enum ShardEvent {
    /// A revision is in force.
    Enforced {
        revision: Revision,
        /// The decision that came ahead of the database, where one did.
        ahead: Option<DecisionId>,
        /// From the message's arrival to the last reset that left.
        took: Duration,
        ended: Vec<EndedDevice>,
    },
    /// The session must begin again.
    ResyncNeeded { held: Option<Revision>, wanted: Revision },
    /// A snapshot of the past was refused.
    SnapshotRefused { held: Revision, offered: Revision },
    /// For the log and for the control plane.
    Notice(GatewayEvent),
    /// Traffic pauses.
    AuthorityLost,
    /// Traffic resumes.
    AuthorityRegained,
}

/// The way to one packet thread.
#[derive(Clone)]
pub(crate) struct Inbox {
    messages: SyncSender<ShardMessage>,
    handovers: SyncSender<Handover>,
    wake: Arc<OwnedFd>,
}

impl Inbox {
    fn wake(&self) {
        // EAGAIN means that the counter is full, so the thread is being woken already.
        let _woken = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }

    /// Hands a message over, or gives it back when there is no room.
    fn try_send(&self, message: ShardMessage) -> Result<Option<ShardMessage>, ShardGone> {
        match self.messages.try_send(message) {
            Ok(()) => {
                self.wake();
                Ok(None)
            }
            Err(TrySendError::Full(message)) => Ok(Some(message)),
            Err(TrySendError::Disconnected(_)) => Err(ShardGone),
        }
    }

    /// Gives a packet thread what its core owns; `false` when its queue is full.
    pub(crate) fn hand_over(&self, handover: Handover) -> bool {
        let given = self.handovers.try_send(handover).is_ok();
        if given {
            self.wake();
        }
        given
    }

    async fn send(&self, mut message: ShardMessage) -> Result<(), ShardGone> {
        while let Some(back) = self.try_send(message)? {
            message = back;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }
}

/// The way to all packet threads.
#[derive(Clone)]
pub(crate) struct ShardHandle {
    inboxes: Arc<[Inbox]>,
}

/// A packet thread is gone.
#[derive(Debug)]
pub(crate) struct ShardGone;

impl ShardHandle {
    /// Hands a command to all threads, waiting while there is no room.
    ///
    /// # Errors
    /// [`ShardGone`] when a packet thread ended.
    pub(crate) async fn command(&self, command: Command, arrived: BootTime) -> Result<(), ShardGone> {
        let Some((last, others)) = self.inboxes.split_last() else { return Ok(()) };
        for inbox in others {
            inbox.send(ShardMessage::Command(command.clone(), arrived)).await?;
        }
        last.send(ShardMessage::Command(command, arrived)).await
    }

    /// Asks all threads to end.
    pub(crate) async fn stop(&self) {
        for inbox in self.inboxes.iter() {
            // It may have ended by itself already.
            let _gone = inbox.send(ShardMessage::Stop).await;
        }
    }

    /// Asks for the peers.
    pub(crate) async fn peers(&self) -> Option<Vec<PeerStatus>> {
        self.of_all(ShardMessage::Peers).await
    }

    /// Asks for the peers whose tunnels live.
    pub(crate) async fn peers_live(&self) -> Option<Vec<PeerStatus>> {
        self.of_all(ShardMessage::PeersLive).await
    }

    async fn of_all(&self, ask: impl Fn(oneshot::Sender<Vec<PeerStatus>>) -> ShardMessage) -> Option<Vec<PeerStatus>> {
        let mut all = Vec::new();
        for inbox in self.inboxes.iter() {
            let (sender, receiver) = oneshot::channel();
            inbox.send(ask(sender)).await.ok()?;
            all.extend(receiver.await.ok()?);
        }
        Some(all)
    }

    /// Asks for a resource that the device with this tunnel address may reach at this moment.
    pub(crate) async fn resource(
        &self,
        device: IpAddr,
        asked: ResourceAsked,
    ) -> Option<(ResourceName, ServiceAddress)> {
        for inbox in self.inboxes.iter() {
            let (sender, receiver) = oneshot::channel();
            inbox.send(ShardMessage::Resource(device, asked.clone(), sender)).await.ok()?;
            if let Some(found) = receiver.await.ok()? {
                return Some(found);
            }
        }
        None
    }

    /// Asks whether one of these addresses lies where no name of others may lead the device; yes where nobody knows the
    /// device.
    pub(crate) async fn leads_inside(&self, device: IpAddr, addresses: Vec<IpAddr>) -> bool {
        for inbox in self.inboxes.iter() {
            let (sender, receiver) = oneshot::channel();
            let asked = inbox.send(ShardMessage::LeadsInside(device, addresses.clone(), sender)).await;
            match (asked, receiver.await) {
                (Ok(()), Ok(Some(answer))) => return answer,
                (Ok(()), Ok(None)) => {}
                (Ok(()) | Err(ShardGone), _) => return true,
            }
        }
        true
    }

    /// Asks for the counters.
    pub(crate) async fn sample(&self) -> Option<Sample> {
        let mut sum: Option<Sample> = None;
        for inbox in self.inboxes.iter() {
            let (sender, receiver) = oneshot::channel();
            inbox.send(ShardMessage::Sample(sender)).await.ok()?;
            let one = receiver.await.ok()?;
            match &mut sum {
                Some(sum) => sum.add(&one),
                None => sum = Some(one),
            }
        }
        sum
    }
}

/// Packet threads that run.
pub(crate) struct RunningShards {
    pub(crate) handle: ShardHandle,
    pub(crate) events: mpsc::Receiver<ShardEvent>,
    /// One entry a thread.
    pub(crate) status: watch::Receiver<Vec<ShardStatus>>,
    /// The names that the leases of each thread lead to.
    pub(crate) names: watch::Receiver<Vec<Vec<DnsName>>>,
    /// Gets a message when a thread ends: `Ok` when it was asked to, an error when it could not go on. Closed without
    /// one when it panicked.
    pub(crate) ended: Vec<oneshot::Receiver<Result<(), String>>>,
    pub(crate) threads: Vec<std::thread::JoinHandle<()>>,
}

/// What one packet thread works with.
pub(crate) struct Equipment {
    pub(crate) gateway: Gateway,
    /// Their places in the list are their [`doorward_gateway_core::Via`]s, for all threads alike.
    pub(crate) sockets: Arc<[UdpSocketBound]>,
    pub(crate) tun: TunQueue,
}

/// Starts a packet thread for each piece of equipment. Call it on a tokio runtime: receipts are put together there.
///
/// # Errors
/// [`GatewayError::Runtime`].
pub(crate) fn start(equipment: Vec<Equipment>, conntrack: &ConntrackFlusher) -> Result<RunningShards, GatewayError> {
    let failed = |source| GatewayError::Runtime { source };
    let mut inboxes = Vec::with_capacity(equipment.len());
    let mut outlets: Vec<(Receiver<ShardMessage>, Receiver<Handover>, Arc<OwnedFd>)> = Vec::new();
    for _ in &equipment {
        let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
        let wake = Arc::new(eventfd(0, flags).map_err(|error| failed(error.into()))?);
        let (messages, inbox) = sync_channel(MESSAGES_MAX);
        let (handovers, taken) = sync_channel(HANDOVERS_MAX);
        inboxes.push(Inbox { messages, handovers, wake: Arc::clone(&wake) });
        outlets.push((inbox, taken, wake));
    }
    let inboxes: Arc<[Inbox]> = Arc::from(inboxes);
    let (status_out, status) = watch::channel(vec![ShardStatus::default(); equipment.len()]);
    let status_out = Arc::new(status_out);
    let (names_out, names) = watch::channel(vec![Vec::new(); equipment.len()]);
    let names_out = Arc::new(names_out);
    let (mut streams, mut ended, mut threads) = (Vec::new(), Vec::new(), Vec::new());
    for (number, (equipment, (inbox, handovers, wake))) in equipment.into_iter().zip(outlets).enumerate() {
        let (events_out, events) = mpsc::channel(EVENTS_MAX);
        let (ended_out, end) = oneshot::channel();
        let (status, named) = (Arc::clone(&status_out), Arc::clone(&names_out));
        let others = Arc::clone(&inboxes);
        let conntrack = conntrack.clone();
        let parts = Parts {
            number,
            equipment,
            conntrack,
            wake,
            inbox,
            handovers,
            others,
            events: events_out,
            status,
            names: named,
        };
        let mut shard = Shard::new(parts);
        let run = move || {
            let result = shard.run();
            // Nobody waits any more when the gateway is being stopped.
            let _unheard = ended_out.send(result);
        };
        let name = format!("packets-{number}");
        threads.push(std::thread::Builder::new().name(name).spawn(run).map_err(failed)?);
        streams.push(events);
        ended.push(end);
    }
    let events = match streams.pop() {
        Some(only) if streams.is_empty() => only,
        last => merge(streams.into_iter().chain(last).collect()),
    };
    Ok(RunningShards { handle: ShardHandle { inboxes }, events, status, names, ended, threads })
}

/// Makes one stream out of those of all threads.
fn merge(streams: Vec<mpsc::Receiver<ShardEvent>>) -> mpsc::Receiver<ShardEvent> {
    let (out, merged) = mpsc::channel(EVENTS_MAX);
    let (all_out, mut all) = mpsc::channel(EVENTS_MAX);
    let mut receipts = Receipts(vec![VecDeque::new(); streams.len()]);
    for (number, mut stream) in streams.into_iter().enumerate() {
        let all_out = all_out.clone();
        tokio::spawn(async move {
            while let Some(event) = stream.recv().await {
                if all_out.send((number, event)).await.is_err() {
                    return;
                }
            }
        });
    }
    drop(all_out);
    tokio::spawn(async move {
        while let Some((number, event)) = all.recv().await {
            let event = match event {
                ShardEvent::Enforced { revision, ahead, took, ended } => {
                    match receipts.add(number, Enforcement { revision, ahead, took, ended }) {
                        Some(Enforcement { revision, ahead, took, ended }) => {
                            ShardEvent::Enforced { revision, ahead, took, ended }
                        }
                        None => continue,
                    }
                }
                notice @ ShardEvent::Notice(_) => notice,
                // All threads hear the same messages on the same clock; the first one speaks for them.
                general @ (ShardEvent::ResyncNeeded { .. }
                | ShardEvent::SnapshotRefused { .. }
                | ShardEvent::AuthorityLost
                | ShardEvent::AuthorityRegained) => {
                    if number != 0 {
                        continue;
                    }
                    general
                }
            };
            if out.send(event).await.is_err() {
                return;
            }
        }
    });
    merged
}

/// One thread's word that a revision is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Enforcement {
    revision: Revision,
    ahead: Option<DecisionId>,
    took: Duration,
    ended: Vec<EndedDevice>,
}

impl Enforcement {
    /// Decisions ahead of the database come after the revision that they build on, and each only confirms itself.
    fn place(&self) -> (Revision, Option<DecisionId>) {
        (self.revision, self.ahead)
    }
}

/// What each thread said and others did not say yet, in order.
struct Receipts(Vec<VecDeque<Enforcement>>);

impl Receipts {
    /// Takes a thread's word; gives the receipt when it was the last one missing.
    fn add(&mut self, number: usize, enforcement: Enforcement) -> Option<Enforcement> {
        self.0.get_mut(number)?.push_back(enforcement);
        loop {
            let fronts: Vec<_> =
                self.0.iter().map(|said| said.front().map(Enforcement::place)).collect::<Option<_>>()?;
            let (lowest, highest) = (fronts.iter().min()?, fronts.iter().max()?);
            if lowest == highest {
                let said = self.0.iter_mut().filter_map(VecDeque::pop_front);
                return said.reduce(|mut sum, mut one| {
                    sum.took = sum.took.max(one.took);
                    sum.ended.append(&mut one.ended);
                    sum.ended.truncate(ENDED_DEVICES_MAX);
                    sum
                });
            }
            // A thread that could not say one revision says a later one, which covers it.
            for said in &mut self.0 {
                if said.front().is_some_and(|one| one.place() < *highest) {
                    said.pop_front();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enforced(revision: u64, took: u64) -> Enforcement {
        Enforcement { revision: Revision(revision), ahead: None, took: Duration::from_millis(took), ended: Vec::new() }
    }

    #[test]
    fn a_receipt_waits_for_the_last_thread() {
        let mut receipts = Receipts(vec![VecDeque::new(); 3]);
        assert_eq!(receipts.add(0, enforced(5, 1)), None);
        assert_eq!(receipts.add(0, enforced(5, 1)), None, "the same thread twice");
        assert_eq!(receipts.add(1, enforced(5, 9)), None);
        assert_eq!(receipts.add(2, enforced(5, 2)), Some(enforced(5, 9)));
        assert_eq!(receipts.add(1, enforced(5, 1)), None);
        assert_eq!(receipts.add(2, enforced(5, 1)), Some(enforced(5, 1)));
    }

    #[test]
    fn a_later_revision_covers_one_that_was_lost() {
        let mut receipts = Receipts(vec![VecDeque::new(); 2]);
        assert_eq!(receipts.add(0, enforced(5, 1)), None);
        assert_eq!(receipts.add(0, enforced(6, 1)), None);
        assert_eq!(receipts.add(1, enforced(6, 1)), Some(enforced(6, 1)));
    }

    #[test]
    fn a_decision_ahead_of_the_database_is_confirmed_by_all_threads_or_by_none() {
        let id: DecisionId = "0192f0c1-7a3e-7cc1-b2f4-0123456789ab".parse().unwrap();
        let ahead = || Enforcement { ahead: Some(id), ..enforced(5, 1) };
        let mut receipts = Receipts(vec![VecDeque::new(); 2]);
        assert_eq!(receipts.add(0, enforced(5, 1)), None);
        assert_eq!(receipts.add(0, ahead()), None);
        // The other thread's word for the revision itself was lost.
        assert_eq!(receipts.add(1, ahead()), Some(ahead()));
        assert_eq!(receipts.add(1, enforced(5, 1)), None);
        assert_eq!(receipts.add(0, ahead()), None, "one thread's word is not enough");
        assert_eq!(receipts.add(1, enforced(6, 1)), None);
        assert_eq!(receipts.add(0, enforced(6, 1)), Some(enforced(6, 1)));
    }

    #[test]
    fn what_is_said_of_all_holds_for_each() {
        let one = ShardStatus { revision: Some(Revision(4)), devices_active: 2, ..ShardStatus::default() };
        let other = ShardStatus { revision: None, devices_active: 3, ..ShardStatus::default() };
        assert_eq!(ShardStatus::of_all(&[one, other]).revision, None);
        assert_eq!(ShardStatus::of_all(&[one, other]).devices_active, 5);
        assert_eq!(ShardStatus::of_all(&[one]), one);
    }
}
