//! A road for TCP that can be held up: what goes through it is delayed, stands still, or is cut, each way for itself.
//!
//! ```text
//!   gateway ── 192.0.2.9:8445 ─ relay ─ 192.0.2.9:8444 control plane
//! ```

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::netns::Namespace;

/// How often a held road is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// A direction, as the gateway sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// What the control plane says.
    Down,
    /// What the gateway says.
    Up,
}

#[derive(Debug, Default)]
struct Road {
    held: AtomicBool,
    delay_ms: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    down: Road,
    up: Road,
    open: Mutex<Vec<TcpStream>>,
    over: AtomicBool,
}

impl Shared {
    fn road(&self, way: Way) -> &Road {
        match way {
            Way::Down => &self.down,
            Way::Up => &self.up,
        }
    }
}

/// The relay; connections end with it.
#[derive(Debug)]
pub struct TcpRelay {
    shared: Arc<Shared>,
    at: SocketAddr,
}

impl TcpRelay {
    /// Takes connections at an address inside the namespace, and leads them to another there.
    #[must_use]
    pub fn start(namespace: &Namespace, at: SocketAddr, to: SocketAddr) -> Self {
        let shared = Arc::new(Shared::default());
        let listener = namespace.tcp_listener(at);
        let relay = Arc::clone(&shared);
        // Sockets are opened by the thread that is inside the namespace; the others only move bytes.
        drop(namespace.spawn(move || {
            for taken in listener.incoming() {
                if relay.over.load(Ordering::SeqCst) {
                    return;
                }
                let (Ok(client), Ok(server)) = (taken, TcpStream::connect(to)) else { continue };
                join(&relay, &client, &server);
            }
        }));
        Self { shared, at }
    }

    /// Lets nothing through this way until [`Self::release`]; what comes meanwhile waits.
    pub fn hold(&self, way: Way) {
        self.shared.road(way).held.store(true, Ordering::SeqCst);
    }

    /// Lets everything through again.
    pub fn release(&self, way: Way) {
        self.shared.road(way).held.store(false, Ordering::SeqCst);
    }

    /// Lets each byte arrive so much later; order is kept.
    pub fn delay(&self, way: Way, by: Duration) {
        let millis = u64::try_from(by.as_millis()).expect("a delay of a scenario");
        self.shared.road(way).delay_ms.store(millis, Ordering::SeqCst);
    }

    /// Cuts every connection that there is; others may be opened at once.
    pub fn cut(&self) {
        for stream in self.shared.open.lock().expect("no thread panics with it").drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Returns where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.at
    }
}

impl Drop for TcpRelay {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.cut();
    }
}

fn join(shared: &Arc<Shared>, client: &TcpStream, server: &TcpStream) {
    let twin = |stream: &TcpStream| stream.try_clone().expect("a second handle of a socket");
    shared.open.lock().expect("no thread panics with it").extend([twin(client), twin(server)]);
    for (way, from, to) in [(Way::Up, twin(client), twin(server)), (Way::Down, twin(server), twin(client))] {
        let (sender, receiver) = channel();
        let shared = Arc::clone(shared);
        std::thread::spawn(move || take(from, &sender));
        std::thread::spawn(move || give(to, &receiver, &shared, way));
    }
}

fn take(mut from: TcpStream, to: &Sender<(Instant, Vec<u8>)>) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(len @ 1..) = from.read(&mut buffer) {
        if to.send((Instant::now(), buffer[..len].to_vec())).is_err() {
            return;
        }
    }
}

fn give(mut to: TcpStream, from: &Receiver<(Instant, Vec<u8>)>, shared: &Shared, way: Way) {
    let road = shared.road(way);
    while let Ok((came, bytes)) = from.recv() {
        let waits = || {
            let delay = Duration::from_millis(road.delay_ms.load(Ordering::SeqCst));
            road.held.load(Ordering::SeqCst) || came.elapsed() < delay
        };
        while waits() && !shared.over.load(Ordering::SeqCst) {
            std::thread::sleep(LOOK_EVERY);
        }
        if to.write_all(&bytes).is_err() {
            return;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}
