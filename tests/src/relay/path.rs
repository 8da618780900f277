//! The relay's thread: sockets on both sides, and what is on its way between them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::chance::Chance;
use super::{Settings, Shared, Weather};
use crate::netns::Namespace;

/// Datagrams on their way, at most: a bad evening at 100 Mbit/s.
const ON_THEIR_WAY_MAX: usize = 8_192;
/// Laptops and ports at most.
const MAPPINGS_MAX: usize = 64;
/// How often the thread looks at its settings while nothing moves.
const LOOK: Duration = Duration::from_millis(20);
/// How long a datagram is held back to let others overtake it.
const HELD_BACK: Duration = Duration::from_millis(12);

/// A laptop's socket and the place in the list of the socket it spoke to.
type Flow = (usize, SocketAddr);

/// A datagram on its way; ordered by when it is due.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Travelling {
    due: Instant,
    number: u64,
    to_gateway: bool,
    flow: Flow,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Mapping {
    socket: UdpSocket,
    used: Instant,
}

/// Everything the thread has.
#[derive(Debug)]
pub(super) struct Path {
    listeners: Vec<(UdpSocket, SocketAddr)>,
    shared: Arc<Shared>,
    chance: Chance,
    mappings: HashMap<Flow, Mapping>,
    generation: u64,
    queue: BinaryHeap<Reverse<Travelling>>,
    number: u64,
    /// When the latest datagram of each direction is due: jitter keeps the order.
    latest: [Instant; 2],
}

/// Opens a socket towards the laptops.
pub(super) fn listen(cafe: &Namespace, at: SocketAddr) -> UdpSocket {
    let bound = cafe.run(|| {
        let family = if at.is_ipv4() { rustix::net::AddressFamily::INET } else { rustix::net::AddressFamily::INET6 };
        let socket = rustix::net::socket(family, rustix::net::SocketType::DGRAM, None)?;
        if at.is_ipv6() {
            rustix::net::sockopt::set_ipv6_v6only(&socket, true)?;
        }
        rustix::net::bind(&socket, &at)?;
        Ok::<_, rustix::io::Errno>(UdpSocket::from(socket))
    });
    let socket = bound.unwrap_or_else(|error| panic!("the relay cannot listen at {at}: {error}"));
    socket.set_nonblocking(true).expect("a non-blocking socket");
    socket
}

impl Path {
    pub(super) fn new(listeners: Vec<(UdpSocket, SocketAddr)>, shared: Arc<Shared>, seed: u64) -> Self {
        Self {
            listeners,
            shared,
            chance: Chance::new(seed),
            mappings: HashMap::new(),
            generation: 0,
            queue: BinaryHeap::new(),
            number: 0,
            latest: [Instant::now(); 2],
        }
    }

    pub(super) fn run(mut self) {
        let mut buffer = vec![0_u8; 65_536];
        loop {
            let settings = self.shared.settings.lock().expect("scenarios do not panic in here").clone();
            if settings.stop {
                return;
            }
            self.end_mappings(&settings);
            self.wait();
            self.take_from_laptops(&settings, &mut buffer);
            self.take_from_gateway(&settings, &mut buffer);
            self.deliver();
        }
    }

    fn end_mappings(&mut self, settings: &Settings) {
        if self.generation != settings.generation {
            self.generation = settings.generation;
            self.mappings.clear();
        }
        if let Some(idle) = settings.forget_after {
            self.mappings.retain(|_, mapping| mapping.used.elapsed() < idle);
        }
    }

    /// Waits for a datagram, or for the moment at which one is due.
    fn wait(&self) {
        let due = self.queue.peek().map_or(LOOK, |Reverse(next)| next.due.saturating_duration_since(Instant::now()));
        let timeout = Timespec::try_from(due.min(LOOK)).expect("a short time");
        let sockets = self.listeners.iter().map(|(socket, _)| socket);
        let all = sockets.chain(self.mappings.values().map(|mapping| &mapping.socket));
        let mut fds: Vec<_> = all.map(|socket| PollFd::new(socket, PollFlags::IN)).collect();
        let _ = poll(&mut fds, Some(&timeout));
    }

    fn take_from_laptops(&mut self, settings: &Settings, buffer: &mut [u8]) {
        for index in 0..self.listeners.len() {
            while let Ok((len, from)) = self.listeners[index].0.recv_from(buffer) {
                let flow = (index, from);
                if settings.portal || settings.blocked.contains(&self.listeners[index].1.port()) {
                    self.count(|counts| counts.eaten += 1);
                    continue;
                }
                if self.open(settings, flow) {
                    self.send_off(&settings.weather, true, flow, &buffer[..len]);
                }
            }
        }
    }

    /// Makes sure that a laptop has a socket towards the gateway.
    fn open(&mut self, settings: &Settings, flow: Flow) -> bool {
        if let Some(mapping) = self.mappings.get_mut(&flow) {
            mapping.used = Instant::now();
            return true;
        }
        if self.mappings.len() >= MAPPINGS_MAX {
            return false;
        }
        let to = self.listeners[flow.0].1;
        let from: IpAddr = if to.is_ipv4() { settings.from.0.into() } else { settings.from.1.into() };
        let opened = UdpSocket::bind(SocketAddr::new(from, 0)).and_then(|socket| {
            socket.connect(to)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        });
        let socket = opened.unwrap_or_else(|error| panic!("the café has no address {from}: {error}"));
        self.mappings.insert(flow, Mapping { socket, used: Instant::now() });
        self.count(|counts| counts.mappings += 1);
        true
    }

    fn take_from_gateway(&mut self, settings: &Settings, buffer: &mut [u8]) {
        let flows: Vec<Flow> = self.mappings.keys().copied().collect();
        for flow in flows {
            while let Some(Ok(len)) = self.mappings.get(&flow).map(|mapping| mapping.socket.recv(buffer)) {
                if settings.portal {
                    self.count(|counts| counts.eaten += 1);
                    continue;
                }
                self.send_off(&settings.weather, false, flow, &buffer[..len]);
            }
        }
    }

    /// Lets the weather decide what becomes of a datagram.
    fn send_off(&mut self, weather: &Weather, to_gateway: bool, flow: Flow, datagram: &[u8]) {
        let header = if self.listeners[flow.0].1.is_ipv4() { 28 } else { 48 };
        if weather.mtu > 0 && datagram.len() + header > weather.mtu {
            return self.count(|counts| counts.too_long += 1);
        }
        if self.chance.says_yes(weather.loss) {
            return self.count(|counts| counts.lost += 1);
        }
        let mut bytes = datagram.to_vec();
        if self.chance.says_yes(weather.truncate) {
            let keep = self.chance.below(datagram.len() as u64);
            bytes.truncate(usize::try_from(keep).expect("shorter than a datagram"));
            self.count(|counts| counts.cut += 1);
        }
        let latest = &mut self.latest[usize::from(to_gateway)];
        let mut due = Instant::now() + weather.delay + self.chance.shorter_than(weather.jitter);
        if self.chance.says_yes(weather.reorder) {
            due = due.max(*latest) + HELD_BACK;
            self.count(|counts| counts.reordered += 1);
        } else {
            due = due.max(*latest);
            *latest = due;
        }
        if self.chance.says_yes(weather.duplicate) {
            self.count(|counts| counts.doubled += 1);
            self.enqueue(due, to_gateway, flow, bytes.clone());
        }
        self.enqueue(due, to_gateway, flow, bytes);
    }

    fn enqueue(&mut self, due: Instant, to_gateway: bool, flow: Flow, bytes: Vec<u8>) {
        if self.queue.len() >= ON_THEIR_WAY_MAX {
            return self.count(|counts| counts.overflowed += 1);
        }
        self.number += 1;
        self.queue.push(Reverse(Travelling { due, number: self.number, to_gateway, flow, bytes }));
    }

    /// Sends what is due. What the other side refuses is lost, as anywhere.
    fn deliver(&mut self) {
        let now = Instant::now();
        while self.queue.peek().is_some_and(|Reverse(next)| next.due <= now) {
            let Some(Reverse(next)) = self.queue.pop() else { return };
            let sent = if next.to_gateway {
                self.mappings.get(&next.flow).map(|mapping| mapping.socket.send(&next.bytes))
            } else {
                Some(self.listeners[next.flow.0].0.send_to(&next.bytes, next.flow.1))
            };
            if matches!(sent, Some(Ok(_))) {
                self.count(|counts| counts.carried += 1);
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut super::Counts)) {
        change(&mut self.shared.counts.lock().expect("nobody panics while counting"));
    }
}
