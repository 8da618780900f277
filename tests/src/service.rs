//! Servers on the protected side (and wherever a scenario wants one): small, ours, and good witnesses of how a
//! connection ends.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crate::netns::Namespace;

/// How often a waiting thread looks whether it should stop.
const LOOK: Duration = Duration::from_millis(50);

/// What a TCP server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Sends back what comes.
    Echo,
    /// Sends without end, 16 KiB every 2 ms: a long download.
    Stream,
}

/// How a connection ended, as one end saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other end closed it in good order.
    Closed,
    /// It was cut: reset, or another error.
    Cut(ErrorKind),
}

/// A TCP server that remembers how its connections ended.
#[derive(Debug)]
pub struct TcpServer {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicUsize>,
    ends: Arc<Mutex<Vec<(SocketAddr, End)>>>,
}

impl TcpServer {
    /// Serves at the address inside the namespace until dropped.
    #[must_use]
    pub fn start(namespace: &Namespace, at: SocketAddr, manner: Manner) -> Self {
        let listener = namespace.tcp_listener(at);
        let server = Self { stop: Arc::default(), accepted: Arc::default(), ends: Arc::default() };
        let (stop, accepted, ends) = (server.stop.clone(), server.accepted.clone(), server.ends.clone());
        listener.set_nonblocking(true).expect("a non-blocking listener");
        thread::spawn(move || accept_loop(&listener, manner, &stop, &accepted, &ends));
        server
    }

    /// How many connections were taken so far.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    /// How connections ended so far.
    #[must_use]
    pub fn ends(&self) -> Vec<(SocketAddr, End)> {
        self.ends.lock().expect("no server thread panics").clone()
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

fn accept_loop(
    listener: &TcpListener,
    manner: Manner,
    stop: &Arc<AtomicBool>,
    accepted: &AtomicUsize,
    ends: &Arc<Mutex<Vec<(SocketAddr, End)>>>,
) {
    while !stop.load(Ordering::SeqCst) {
        let Ok((stream, from)) = listener.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        accepted.fetch_add(1, Ordering::SeqCst);
        let (stop, ends) = (stop.clone(), ends.clone());
        thread::spawn(move || {
            if let Some(end) = serve(stream, manner, &stop) {
                ends.lock().expect("no server thread panics").push((from, end));
            }
        });
    }
}

fn serve(mut stream: TcpStream, manner: Manner, stop: &AtomicBool) -> Option<End> {
    stream.set_nonblocking(false).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_read_timeout(Some(LOOK)).ok()?;
    stream.set_write_timeout(Some(LOOK)).ok()?;
    let mut buffer = vec![0_u8; 16 * 1024];
    while !stop.load(Ordering::SeqCst) {
        let step = match manner {
            Manner::Echo => stream.read(&mut buffer).and_then(|len| {
                stream.write_all(&buffer[..len])?;
                Ok(len)
            }),
            Manner::Stream => {
                thread::sleep(Duration::from_millis(2));
                stream.write(&buffer)
            }
        };
        match step {
            Ok(0) => return Some(End::Closed),
            Ok(_) => {}
            Err(error) if waits(error.kind()) => {}
            Err(error) => return Some(End::Cut(error.kind())),
        }
    }
    None
}

pub(crate) fn waits(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted)
}

/// A UDP server that sends back what comes, and counts it.
#[derive(Debug)]
pub struct UdpServer {
    stop: Arc<AtomicBool>,
    received: Arc<AtomicUsize>,
    last_from: Arc<Mutex<Option<SocketAddr>>>,
    socket: UdpSocket,
}

impl UdpServer {
    /// Serves at the address inside the namespace until dropped.
    #[must_use]
    pub fn start(namespace: &Namespace, at: SocketAddr) -> Self {
        let socket = namespace.udp_socket(at);
        socket.set_read_timeout(Some(LOOK)).expect("a read timeout");
        let answering = socket.try_clone().expect("sharing a socket");
        let server = Self { stop: Arc::default(), received: Arc::default(), last_from: Arc::default(), socket };
        let (stop, received, last) = (server.stop.clone(), server.received.clone(), server.last_from.clone());
        thread::spawn(move || {
            let mut buffer = [0_u8; 2048];
            while !stop.load(Ordering::SeqCst) {
                if let Ok((len, from)) = answering.recv_from(&mut buffer) {
                    received.fetch_add(1, Ordering::SeqCst);
                    *last.lock().expect("no server thread panics") = Some(from);
                    let _ = answering.send_to(&buffer[..len], from);
                }
            }
        });
        server
    }

    /// How many datagrams came.
    #[must_use]
    pub fn received(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }

    /// Who sent the latest datagram.
    #[must_use]
    pub fn last_from(&self) -> Option<SocketAddr> {
        *self.last_from.lock().expect("no server thread panics")
    }

    /// Sends something nobody asked for.
    pub fn send(&self, payload: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(payload, to);
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}
