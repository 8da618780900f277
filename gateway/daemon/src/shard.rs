//! A packet thread: it owns one core and runs each packet to completion.
//!
//! One turn: commands first, then the core's timers, then a bounded batch of what `poll` found ready, UDP sockets and the
//! TUN queue, then everything the core wants to say. A revocation therefore waits for one batch at most, whatever the
//! traffic. Nothing here blocks but `poll`, and nothing is locked: events leave through a bounded channel, receipts wait
//! in a list when that is full, logs are written elsewhere, and what belongs to another thread's core is handed over as
//! a message.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::Duration;

use doorward_gateway_core::{BootTime, Coalescer, Event, Gateway, Handover, Train, TunnelSink as _, Via};
use doorward_model::DnsName;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::sync::{mpsc, watch};

use crate::clock::{boot_now, now};
use crate::config::LISTEN_MAX;
use crate::conntrack::ConntrackFlusher;
use crate::shards::{Equipment, Inbox, MESSAGES_MAX, Sample, ShardEvent, ShardMessage, ShardStatus};
use crate::tun::TunQueue;
use crate::udp::{READS_PER_CALL, ReadBuffers, UdpCounters, UdpSender, UdpSocketBound};

/// Receipts kept while the feed client does not take them. One of a later revision covers those before it.
const RECEIPTS_KEPT_MAX: usize = 1_024;

/// Receiving calls on one socket in one turn; each brings up to 8 trains.
const UDP_READS_PER_TURN: usize = 2;

/// Packets read from the TUN queue in one turn; each may stand for several.
const TUN_READS_PER_TURN: usize = 64;

/// Bytes after which the TUN queue waits for its next turn: a fifth of a millisecond of sealing, which is what a datagram waits
/// that comes meanwhile. A turn more costs a `poll`, a thousandth of that.
const TUN_BYTES_PER_TURN: usize = 128 * 1024;

/// Handovers taken in one turn.
const HANDOVERS_PER_TURN: usize = 64;

/// How old the published status gets.
const STATUS_EVERY: Duration = Duration::from_secs(1);

/// What a packet thread is made of.
pub(crate) struct Parts {
    /// Its number, which is its core's.
    pub(crate) number: usize,
    pub(crate) equipment: Equipment,
    pub(crate) conntrack: ConntrackFlusher,
    pub(crate) wake: Arc<OwnedFd>,
    pub(crate) inbox: Receiver<ShardMessage>,
    pub(crate) handovers: Receiver<Handover>,
    /// The ways to all threads, by number.
    pub(crate) others: Arc<[Inbox]>,
    pub(crate) events: mpsc::Sender<ShardEvent>,
    /// What each thread publishes, by number.
    pub(crate) status: Arc<watch::Sender<Vec<ShardStatus>>>,
    /// The names that each thread's leases lead to, by number.
    pub(crate) names: Arc<watch::Sender<Vec<Vec<DnsName>>>>,
}

/// A packet thread's state.
pub(crate) struct Shard {
    number: usize,
    gateway: Gateway,
    train: Train<UdpSender>,
    sockets: Arc<[UdpSocketBound]>,
    tun: Coalescer<TunQueue>,
    conntrack: ConntrackFlusher,
    wake: Arc<OwnedFd>,
    inbox: Receiver<ShardMessage>,
    handovers: Receiver<Handover>,
    others: Arc<[Inbox]>,
    events: mpsc::Sender<ShardEvent>,
    /// Receipts and other events that must not be lost, while the channel is full.
    receipts: VecDeque<ShardEvent>,
    status: Arc<watch::Sender<Vec<ShardStatus>>>,
    names: Arc<watch::Sender<Vec<Vec<DnsName>>>>,
    status_at: BootTime,
    buffers: ReadBuffers,
    receive_counters: UdpCounters,
    notices_dropped: u64,
    flushes_dropped: u64,
    handed_over: u64,
    handovers_dropped: u64,
}

/// What `poll` found.
#[derive(Debug, Clone, Copy, Default)]
struct Ready {
    /// Messages or handovers.
    inbox: bool,
    tun: bool,
    /// One bit a socket.
    sockets: u32,
}

impl Ready {
    /// Says whether no packet and no message waits.
    fn is_quiet(self) -> bool {
        !self.inbox && !self.tun && self.sockets == 0
    }
}

/// Whether the thread goes on.
#[derive(PartialEq, Eq)]
enum Go {
    On,
    Stop,
}

impl Shard {
    /// Puts a packet thread together.
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { number, equipment, conntrack, wake, inbox, handovers, others, events, status, names } = parts;
        let Equipment { gateway, sockets, tun } = equipment;
        let joins_udp = tun.joins_udp();
        Self {
            number,
            gateway,
            train: Train::new(UdpSender::new(Arc::clone(&sockets))),
            sockets,
            tun: Coalescer::new(tun, joins_udp),
            conntrack,
            wake,
            inbox,
            handovers,
            others,
            events,
            receipts: VecDeque::new(),
            status,
            names,
            status_at: BootTime::from_micros(0),
            buffers: ReadBuffers::new(),
            receive_counters: UdpCounters::default(),
            notices_dropped: 0,
            flushes_dropped: 0,
            handed_over: 0,
            handovers_dropped: 0,
        }
    }

    /// Runs until it is asked to stop.
    ///
    /// # Errors
    /// One sentence about why it cannot go on.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        loop {
            let ready = self.wait()?;
            if ready.inbox && self.take_messages() == Go::Stop {
                return Ok(());
            }
            self.take_timeout();
            self.read_datagrams(ready.sockets);
            if ready.tun {
                self.read_tunnel();
            }
            if ready.inbox {
                self.take_handovers();
            }
            if ready.is_quiet() && self.gateway.poll_quiet().is_some() {
                self.gateway.handle_quiet(now());
            }
            self.deliver(None);
            self.publish_status(false);
        }
    }

    /// Sleeps until something is there to do. What a turn left behind is found again at once.
    fn wait(&mut self) -> Result<Ready, String> {
        let timeout = self.time_to_sleep();
        let timeout = Timespec {
            tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(timeout.subsec_nanos()),
        };
        // On the stack: this runs once a turn, which may be once a packet.
        let mut waits: [PollFd<'_>; LISTEN_MAX + 2] = std::array::from_fn(|place| match place.checked_sub(2) {
            Some(socket) => match self.sockets.get(socket) {
                Some(socket) => PollFd::new(socket, PollFlags::IN),
                None => PollFd::new(&self.wake, PollFlags::empty()),
            },
            None if place == 0 => PollFd::new(&self.wake, PollFlags::IN),
            None => PollFd::new(self.tun.writer_ref(), PollFlags::IN),
        });
        let count = self.sockets.len().saturating_add(2).min(waits.len());
        match poll(waits.get_mut(..count).unwrap_or_default(), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => (),
            Err(error) => return Err(format!("cannot wait for packets: {error}")),
        }
        let mut ready = Ready::default();
        let mut tun_failed = false;
        for (place, wait) in waits.iter().take(count).enumerate() {
            let found = wait.revents();
            match place.checked_sub(2) {
                // An error on a socket is read like a datagram, which clears it.
                Some(socket) if !found.is_empty() => {
                    ready.sockets |= 1_u32.wrapping_shl(u32::try_from(socket).unwrap_or(0))
                }
                Some(_) => {}
                None if place == 0 => ready.inbox = found.intersects(PollFlags::IN),
                None => {
                    ready.tun = found.intersects(PollFlags::IN);
                    tun_failed = found.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL);
                }
            }
        }
        if ready.inbox {
            let _count = rustix::io::read(&self.wake, &mut [0_u8; 8]);
        }
        if tun_failed && self.tun.writer().is_gone() {
            return Err("somebody removed the TUN device".to_owned());
        }
        Ok(ready)
    }

    fn time_to_sleep(&self) -> Duration {
        let now = boot_now();
        let until_status = self.status_at.after(STATUS_EVERY).since(now);
        let until_timeout = self.gateway.poll_timeout().map_or(STATUS_EVERY, |at| at.since(now));
        // Rounded up, so that the timer is due when the thread wakes.
        if let Some(at) = self.gateway.poll_quiet() {
            return at.since(now).min(until_status).min(until_timeout);
        }
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
                ShardMessage::PeersLive(reply) => drop(reply.send(self.gateway.peers_live().collect())),
                ShardMessage::Sample(reply) => drop(reply.send(self.sample())),
                ShardMessage::Resource(device, asked, reply) => {
                    drop(reply.send(self.gateway.resource(now(), device, &asked)));
                }
                ShardMessage::LeadsInside(device, addresses, reply) => {
                    let now = now();
                    let is_inside = |address: &IpAddr| self.gateway.is_inside(now, device, *address);
                    // The first `None` says that the device is another thread's.
                    let answer = addresses.iter().map(is_inside).find(|inside| *inside != Some(false));
                    let _unheard = reply.send(answer.unwrap_or(Some(false)));
                }
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

    fn read_datagrams(&mut self, ready: u32) {
        for (index, socket) in self.sockets.iter().enumerate() {
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            if ready & 1_u32.wrapping_shl(u32::from(index)) == 0 {
                continue;
            }
            for _ in 0..UDP_READS_PER_TURN {
                let trains = self.buffers.read(socket, &mut self.receive_counters);
                let now = now();
                for train in 0..trains {
                    if let Some((from, local, bytes, stride)) = self.buffers.train(train) {
                        let via = Via { socket: index, local };
                        self.gateway.handle_datagrams(now, from, via, bytes, stride, &mut self.tun);
                    }
                }
                if trains < READS_PER_CALL {
                    break;
                }
            }
        }
        self.tun.flush();
    }

    fn read_tunnel(&mut self) {
        let now = now();
        let mut packets = 0;
        let mut bytes = 0;
        while packets < TUN_READS_PER_TURN && bytes < TUN_BYTES_PER_TURN {
            let Some((offload, packet)) = self.tun.writer().read() else { break };
            packets += 1;
            bytes += packet.len();
            self.gateway.handle_tunnel_packet(now, offload, packet, &mut self.train);
        }
        self.train.flush();
    }

    fn take_handovers(&mut self) {
        let now = now();
        for taken in 0..=HANDOVERS_PER_TURN {
            if taken == HANDOVERS_PER_TURN {
                // The rest waits for the next turn, which must come at once.
                let _woken = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
                break;
            }
            let Ok(handover) = self.handovers.try_recv() else { break };
            self.gateway.handle_handover(now, handover, &mut self.tun, &mut self.train);
        }
        self.tun.flush();
        self.train.flush();
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
        while let Some((owner, handover)) = self.gateway.poll_handover() {
            let given = self.others.get(usize::from(owner)).is_some_and(|inbox| inbox.hand_over(handover));
            let count = if given { &mut self.handed_over } else { &mut self.handovers_dropped };
            *count = count.wrapping_add(1);
        }
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
                ahead: enforced.ahead,
                took: boot_now().since(arrived.unwrap_or(enforced.arrived)),
                ended: enforced.ended,
            },
            Event::ResyncNeeded { held, wanted } => ShardEvent::ResyncNeeded { held, wanted },
            Event::SnapshotRefused { held, offered } => ShardEvent::SnapshotRefused { held, offered },
            Event::AuthorityLost => ShardEvent::AuthorityLost,
            Event::AuthorityRegained => ShardEvent::AuthorityRegained,
            Event::NamesWanted(names) => {
                self.names.send_modify(|all| {
                    if let Some(held) = all.get_mut(self.number) {
                        *held = names;
                    }
                });
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
        let status = ShardStatus {
            revision: self.gateway.revision(),
            authority_until: self.gateway.authority_until(),
            devices_active: u32::try_from(counters.devices_active).unwrap_or(u32::MAX),
            devices_known: u32::try_from(counters.devices_known).unwrap_or(u32::MAX),
        };
        self.status.send_modify(|all| {
            if let Some(own) = all.get_mut(self.number) {
                *own = status;
            }
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
            handovers: self.handed_over,
            handovers_dropped: self.handovers_dropped,
        }
    }
}
