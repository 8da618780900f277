//! The packet thread: it owns the core and runs each packet to completion.
//!
//! One turn: commands first, then the core's timers, then a bounded batch of each UDP socket and of the TUN device, then
//! everything the core wants to say. A revocation therefore waits for one batch at most, whatever the traffic. Nothing
//! here blocks but `poll`: events leave through a bounded channel, receipts wait in a list when that is full, and logs
//! are written elsewhere.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::time::Duration;

use doorward_gateway_core::{
    BootTime, Coalescer, Command, Counters, Event, Gateway, PeerStatus, SocketId, Train, TunnelSink as _,
};
use doorward_model::{DnsName, EndedDevice, GatewayEvent, Revision};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{boot_now, now};
use crate::conntrack::ConntrackFlusher;
use crate::error::GatewayError;
use crate::tun::{TunCounters, TunQueue};
use crate::udp::{ReadBuffers, UdpCounters, UdpSender, UdpSocketBound};

/// Messages waiting for the packet thread at most; the feed waits when it is full.
const MESSAGES_MAX: usize = 64;

/// Events waiting for the feed client at most; past it notices are dropped and counted.
const EVENTS_MAX: usize = 1_024;

/// Receipts kept while the feed client does not take them. One of a later revision covers those before it.
const RECEIPTS_KEPT_MAX: usize = 1_024;

/// Receiving calls on one socket in one turn; each brings up to 8 trains.
const UDP_READS_PER_TURN: usize = 2;

/// Packets read from the TUN device in one turn; each may stand for several.
const TUN_READS_PER_TURN: usize = 64;

/// Bytes after which the TUN device waits for its next turn: about half a millisecond of sealing.
const TUN_BYTES_PER_TURN: usize = 512 * 1024;

/// How old the published status gets.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// What others ask of the packet thread.
pub(crate) enum ShardMessage {
    /// A message for the core, and when it arrived at this gateway.
    Command(Command, BootTime),
    /// The peers, for `wg show`.
    Peers(oneshot::Sender<Vec<PeerStatus>>),
    /// Everything that is counted.
    Sample(oneshot::Sender<Sample>),
    /// Enough.
    Stop,
}

/// Everything that the packet thread counts.
#[derive(Debug, Clone)]
pub(crate) struct Sample {
    pub(crate) core: Counters,
    pub(crate) udp: UdpCounters,
    pub(crate) tun: TunCounters,
    /// Notices dropped because the feed client was behind.
    pub(crate) notices_dropped: u64,
    /// Requests to flush connection tracking that found its queue full.
    pub(crate) flushes_dropped: u64,
}

/// What a ping says, published every second and after each command.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ShardStatus {
    pub(crate) revision: Option<Revision>,
    pub(crate) authority_until: Option<BootTime>,
    pub(crate) devices_active: u32,
    pub(crate) devices_known: u32,
}

/// What the packet thread tells the feed client.
#[derive(Debug)]
pub(crate) enum ShardEvent {
    /// A revision is in force.
    Enforced {
        revision: Revision,
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

/// The way to the packet thread.
#[derive(Clone)]
pub(crate) struct ShardHandle {
    messages: SyncSender<ShardMessage>,
    wake: Arc<OwnedFd>,
}

/// The packet thread is gone.
#[derive(Debug)]
pub(crate) struct ShardGone;

impl ShardHandle {
    /// Hands a message over, or gives it back when there is no room.
    fn try_send(&self, message: ShardMessage) -> Result<Option<ShardMessage>, ShardGone> {
        match self.messages.try_send(message) {
            Ok(()) => {
                // EAGAIN means that the counter is full, so the thread is being woken already.
                let _woken = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
                Ok(None)
            }
            Err(TrySendError::Full(message)) => Ok(Some(message)),
            Err(TrySendError::Disconnected(_)) => Err(ShardGone),
        }
    }

    /// Hands a message over, waiting while there is no room.
    ///
    /// # Errors
    /// [`ShardGone`] when the packet thread ended.
    pub(crate) async fn send(&self, mut message: ShardMessage) -> Result<(), ShardGone> {
        while let Some(back) = self.try_send(message)? {
            message = back;
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Asks for the peers.
    pub(crate) async fn peers(&self) -> Option<Vec<PeerStatus>> {
        let (sender, receiver) = oneshot::channel();
        self.send(ShardMessage::Peers(sender)).await.ok()?;
        receiver.await.ok()
    }

    /// Asks for the counters.
    pub(crate) async fn sample(&self) -> Option<Sample> {
        let (sender, receiver) = oneshot::channel();
        self.send(ShardMessage::Sample(sender)).await.ok()?;
        receiver.await.ok()
    }
}

/// A packet thread that runs.
pub(crate) struct RunningShard {
    pub(crate) handle: ShardHandle,
    pub(crate) events: mpsc::Receiver<ShardEvent>,
    pub(crate) status: watch::Receiver<ShardStatus>,
    /// The names to keep resolved.
    pub(crate) names: watch::Receiver<Vec<DnsName>>,
    /// Resolves when the thread ends: to a message when it ended by itself, to an error when it panicked.
    pub(crate) ended: oneshot::Receiver<Result<(), String>>,
    pub(crate) thread: std::thread::JoinHandle<()>,
}

/// Starts the packet thread.
///
/// # Errors
/// [`GatewayError::Runtime`].
pub(crate) fn start(
    gateway: Gateway,
    sockets: Arc<[UdpSocketBound]>,
    tun: TunQueue,
    conntrack: ConntrackFlusher,
) -> Result<RunningShard, GatewayError> {
    let failed = |source| GatewayError::Runtime { source };
    let joins_udp = tun.joins_udp();
    let flags = EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK;
    let wake = Arc::new(eventfd(0, flags).map_err(|error| failed(error.into()))?);
    let (messages, inbox) = sync_channel(MESSAGES_MAX);
    let (events_out, events) = mpsc::channel(EVENTS_MAX);
    let (status_out, status) = watch::channel(ShardStatus::default());
    let (names_out, names) = watch::channel(Vec::new());
    let (ended_out, ended) = oneshot::channel();
    let mut shard = Shard {
        gateway,
        train: Train::new(UdpSender::new(Arc::clone(&sockets))),
        sockets,
        tun: Coalescer::new(tun, joins_udp),
        conntrack,
        wake: Arc::clone(&wake),
        inbox,
        events: events_out,
        receipts: VecDeque::new(),
        status: status_out,
        names: names_out,
        status_at: BootTime::from_micros(0),
        buffers: ReadBuffers::new(),
        receive_counters: UdpCounters::default(),
        notices_dropped: 0,
        flushes_dropped: 0,
    };
    let run = move || {
        let result = shard.run();
        // Nobody waits any more when the gateway is being stopped.
        let _unheard = ended_out.send(result);
    };
    let thread = std::thread::Builder::new().name("packets".to_owned()).spawn(run).map_err(failed)?;
    Ok(RunningShard { handle: ShardHandle { messages, wake }, events, status, names, ended, thread })
}

struct Shard {
    gateway: Gateway,
    train: Train<UdpSender>,
    sockets: Arc<[UdpSocketBound]>,
    tun: Coalescer<TunQueue>,
    conntrack: ConntrackFlusher,
    wake: Arc<OwnedFd>,
    inbox: Receiver<ShardMessage>,
    events: mpsc::Sender<ShardEvent>,
    /// Receipts and other events that must not be lost, while the channel is full.
    receipts: VecDeque<ShardEvent>,
    status: watch::Sender<ShardStatus>,
    names: watch::Sender<Vec<DnsName>>,
    status_at: BootTime,
    buffers: ReadBuffers,
    receive_counters: UdpCounters,
    notices_dropped: u64,
    flushes_dropped: u64,
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl Shard {
    fn run(&mut self) -> Result<(), String> {
        loop {
            if self.take_messages() == Go::Stop {
                return Ok(());
            }
            self.take_timeout();
            let more_datagrams = self.read_datagrams();
            let more_packets = self.read_tunnel();
            self.deliver(None);
            self.publish_status(false);
            self.wait(more_datagrams || more_packets)?;
        }
    }

    /// Sleeps until something is there to do; returns at once when a batch was cut short.
    fn wait(&mut self, more: bool) -> Result<(), String> {
        let timeout = if more { Duration::ZERO } else { self.time_to_sleep() };
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        let mut waits = Vec::with_capacity(self.sockets.len().saturating_add(2));
        waits.push(PollFd::new(&self.wake, PollFlags::IN));
        waits.push(PollFd::new(self.tun.writer(), PollFlags::IN));
        waits.extend(self.sockets.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        match poll(&mut waits, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(format!("cannot wait for packets: {error}")),
        }
        let ready = |index: usize, flags| waits.get(index).is_some_and(|wait| wait.revents().intersects(flags));
        let woken = ready(0, PollFlags::IN);
        let tun_failed = ready(1, PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
        drop(waits);
        if woken {
            let _count = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        }
        if tun_failed && self.tun.writer().is_gone() {
            return Err("somebody removed the TUN device".to_owned());
        }
        Ok(())
    }

    fn time_to_sleep(&self) -> Duration {
        let now = boot_now();
        let until_status = self.status_at.after(STATUS_EVERY).since(now);
        let until_timeout = self.gateway.poll_timeout().map_or(STATUS_EVERY, |at| at.since(now));
        // Rounded up, so that the timer is due when the thread wakes.
        until_status.min(until_timeout).saturating_add(Duration::from_micros(1))
    }

    fn take_messages(&mut self) -> Go {
        for _ in 0..MESSAGES_MAX {
            let message = match self.inbox.try_recv() {
                Ok(message) => message,
                Err(TryRecvError::Empty) => break,
                // Nobody is left who could stop this thread, or revoke anything.
                Err(TryRecvError::Disconnected) => return Go::Stop,
            };
            match message {
                ShardMessage::Command(command, arrived) => {
                    self.gateway.handle_command(now(), command);
                    self.deliver(Some(arrived));
                    self.publish_status(true);
                }
                ShardMessage::Peers(reply) => drop(reply.send(self.gateway.peers().collect())),
                ShardMessage::Sample(reply) => drop(reply.send(self.sample())),
                ShardMessage::Stop => return Go::Stop,
            }
        }
        Go::On
    }

    fn take_timeout(&mut self) {
        let now = now();
        if self.gateway.poll_timeout().is_some_and(|at| at <= now.boot) {
            self.gateway.handle_timeout(now);
        }
    }

    /// Says whether a socket may have more.
    fn read_datagrams(&mut self) -> bool {
        let mut more = false;
        for (index, socket) in self.sockets.iter().enumerate() {
            let via = SocketId(u16::try_from(index).unwrap_or(u16::MAX));
            let mut calls = 0;
            while calls < UDP_READS_PER_TURN {
                let trains = self.buffers.read(socket, &mut self.receive_counters);
                if trains == 0 {
                    break;
                }
                let now = now();
                for train in 0..trains {
                    if let Some((from, bytes, stride)) = self.buffers.train(train) {
                        self.gateway.handle_datagrams(now, from, via, bytes, stride, &mut self.tun);
                    }
                }
                calls += 1;
            }
            more |= calls == UDP_READS_PER_TURN;
        }
        self.tun.flush();
        more
    }

    /// Says whether the device may have more.
    fn read_tunnel(&mut self) -> bool {
        let now = now();
        let mut packets = 0;
        let mut bytes = 0;
        while packets < TUN_READS_PER_TURN && bytes < TUN_BYTES_PER_TURN {
            let Some((offload, packet)) = self.tun.writer().read() else {
                self.train.flush();
                return false;
            };
            packets += 1;
            bytes += packet.len();
            self.gateway.handle_tunnel_packet(now, offload, packet, &mut self.train);
        }
        self.train.flush();
        true
    }

    /// Sends what the core wants sent, then passes its events on. `arrived` is that of the command just handled.
    fn deliver(&mut self, arrived: Option<BootTime>) {
        while let Some(transmit) = self.gateway.poll_transmit() {
            self.train.sender().send(transmit.to, transmit.via, &transmit.datagram);
        }
        while let Some(packet) = self.gateway.poll_tunnel() {
            self.tun.packet(&packet.packet);
        }
        self.tun.flush();
        while let Some(event) = self.receipts.pop_front() {
            if let Some(back) = self.emit(event) {
                self.receipts.push_front(back);
                break;
            }
        }
        while let Some(event) = self.gateway.poll_event() {
            self.pass_on(event, arrived);
        }
    }

    fn pass_on(&mut self, event: Event, arrived: Option<BootTime>) {
        let event = match event {
            Event::Enforced(enforced) => ShardEvent::Enforced {
                revision: enforced.revision,
                took: boot_now().since(arrived.unwrap_or(enforced.arrived)),
                ended: enforced.ended,
            },
            Event::ResyncNeeded { held, wanted } => ShardEvent::ResyncNeeded { held, wanted },
            Event::SnapshotRefused { held, offered } => ShardEvent::SnapshotRefused { held, offered },
            Event::AuthorityLost => ShardEvent::AuthorityLost,
            Event::AuthorityRegained => ShardEvent::AuthorityRegained,
            Event::NamesWanted(names) => {
                self.names.send_replace(names);
                return;
            }
            Event::FlushConntrack(entries) => {
                if !self.conntrack.flush(entries) {
                    self.flushes_dropped = self.flushes_dropped.wrapping_add(1);
                }
                return;
            }
            Event::Notice(notice) => {
                if self.emit(ShardEvent::Notice(notice)).is_some() {
                    self.notices_dropped = self.notices_dropped.wrapping_add(1);
                }
                return;
            }
        };
        // What waits goes first, so that receipts keep their order.
        let kept = if self.receipts.is_empty() { self.emit(event) } else { Some(event) };
        if let Some(event) = kept {
            if self.receipts.len() >= RECEIPTS_KEPT_MAX {
                self.receipts.pop_front();
            }
            self.receipts.push_back(event);
        }
    }

    /// Gives the event back when nobody takes it at the moment.
    fn emit(&mut self, event: ShardEvent) -> Option<ShardEvent> {
        match self.events.try_reserve() {
            Ok(permit) => {
                permit.send(event);
                None
            }
            Err(_) => Some(event),
        }
    }

    fn publish_status(&mut self, at_once: bool) {
        let now = boot_now();
        if !at_once && now < self.status_at.after(STATUS_EVERY) {
            return;
        }
        let counters = self.gateway.counters();
        self.status_at = now;
        self.status.send_replace(ShardStatus {
            revision: self.gateway.revision(),
            authority_until: self.gateway.authority_until(),
            devices_active: u32::try_from(counters.devices_active).unwrap_or(u32::MAX),
            devices_known: u32::try_from(counters.devices_known).unwrap_or(u32::MAX),
        });
    }

    fn sample(&mut self) -> Sample {
        let sent = self.train.sender().counters;
        let udp = UdpCounters {
            receive_calls: self.receive_counters.receive_calls,
            trains_received: self.receive_counters.trains_received,
            receive_failed: self.receive_counters.receive_failed,
            ..sent
        };
        Sample {
            core: self.gateway.counters(),
            udp,
            tun: self.tun.writer().counters,
            notices_dropped: self.notices_dropped,
            flushes_dropped: self.flushes_dropped,
        }
    }
}
