//! What people do with their tunnel: a chat over TCP, a chat over UDP, a download, pings. Each remembers when it was
//! last answered and how it ended.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use jiff::Timestamp;

use crate::netns::Namespace;
use crate::service::{End, waits};
use crate::wait::{comes_true, wait_until};

/// Pause between two questions of a chat: fine enough to see a bound of 1 s, gentle on two cores.
const PACE: Duration = Duration::from_millis(5);

/// Microseconds since 1970, on the clock that captures use too.
#[must_use]
pub fn micros_now() -> i64 {
    Timestamp::now().as_microsecond()
}

/// Traffic that goes on by itself.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// The local address and port.
    pub local: SocketAddr,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    answers: AtomicU64,
    last_answer: AtomicI64,
    end: Mutex<Option<(End, i64)>>,
}

impl Shared {
    fn answered(&self) {
        self.last_answer.store(micros_now(), Ordering::SeqCst);
        self.answers.fetch_add(1, Ordering::SeqCst);
    }

    fn ended(&self, end: End) {
        *self.end.lock().expect("no traffic thread panics") = Some((end, micros_now()));
    }
}

impl Traffic {
    /// A question and its answer over one TCP connection, every 5 ms.
    ///
    /// # Panics
    /// When the connection cannot be opened within 15 s.
    #[must_use]
    #[track_caller]
    pub fn tcp_chat(from: &Namespace, to: SocketAddr) -> Self {
        Self::over_tcp(from, to, chat)
    }

    /// Reads whatever the server sends, over one TCP connection.
    ///
    /// # Panics
    /// When the connection cannot be opened within 15 s.
    #[must_use]
    #[track_caller]
    pub fn tcp_download(from: &Namespace, to: SocketAddr) -> Self {
        Self::over_tcp(from, to, download)
    }

    /// Opens a connection, says one word, and then nothing more.
    ///
    /// # Panics
    /// When the connection cannot be opened within 15 s.
    #[must_use]
    #[track_caller]
    pub fn tcp_idle(from: &Namespace, to: SocketAddr) -> Self {
        Self::over_tcp(from, to, |stream, shared| {
            let word = stream.write_all(b"hello");
            if let Err(error) = word {
                shared.ended(End::Cut(error.kind()));
                return;
            }
            download(stream, shared);
        })
    }

    #[track_caller]
    fn over_tcp(from: &Namespace, to: SocketAddr, work: fn(&mut TcpStream, &Shared)) -> Self {
        let opened = from.tcp_connect(to, Duration::from_secs(15));
        let mut stream = opened.unwrap_or_else(|error| panic!("{} cannot open {to}: {error}", from.name()));
        stream.set_nodelay(true).expect("TCP_NODELAY");
        stream.set_read_timeout(Some(Duration::from_millis(50))).expect("a read timeout");
        let local = stream.local_addr().expect("a connected socket has an address");
        Self::spawn(local, move |shared| work(&mut stream, shared))
    }

    /// A question and its answer over UDP, every 5 ms; lost ones are not repeated.
    #[must_use]
    pub fn udp_chat(from: &Namespace, to: SocketAddr) -> Self {
        let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = from.udp_socket(SocketAddr::new(any, 0));
        socket.connect(to).expect("routes cover the target");
        let local = socket.local_addr().expect("a bound socket has an address");
        Self::spawn(local, move |shared| udp_chat(&socket, shared))
    }

    fn spawn(local: SocketAddr, work: impl FnOnce(&Shared) + Send + 'static) -> Self {
        let shared = Arc::new(Shared::default());
        let own = shared.clone();
        Self { shared, thread: Some(thread::spawn(move || work(&own))), local }
    }

    /// How often it was answered.
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.shared.answers.load(Ordering::SeqCst)
    }

    /// When it was last answered, microseconds since 1970.
    #[must_use]
    pub fn last_answer(&self) -> i64 {
        self.shared.last_answer.load(Ordering::SeqCst)
    }

    /// How and when (microseconds since 1970) the connection ended, if it did.
    #[must_use]
    pub fn end(&self) -> Option<(End, i64)> {
        *self.shared.end.lock().expect("no traffic thread panics")
    }

    /// Waits until it is answered (again).
    #[track_caller]
    pub fn flows(&self, bound: Duration) {
        let before = self.answers();
        wait_until("traffic that flows", bound, || {
            assert!(self.end().is_none(), "the connection ended: {:?}", self.end());
            self.answers() > before + 2
        });
    }

    /// Waits until nothing was answered for `span`, and returns when the last answer came.
    #[track_caller]
    pub fn stalls(&self, span: Duration, bound: Duration) -> i64 {
        let span = i64::try_from(span.as_micros()).expect("a short span");
        wait_until("traffic that stops", bound, || micros_now() - self.last_answer() > span);
        self.last_answer()
    }

    /// Waits for the connection's end.
    #[track_caller]
    pub fn ends(&self, bound: Duration) -> (End, i64) {
        crate::wait::wait_for("the connection's end", bound, || self.end())
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn chat(stream: &mut TcpStream, shared: &Shared) {
    let question = [7_u8; 100];
    let mut answer = [0_u8; 100];
    while !shared.stop.load(Ordering::SeqCst) {
        let asked = stream.write_all(&question).and_then(|()| read_all(stream, &mut answer, shared));
        match asked {
            Ok(true) => shared.answered(),
            Ok(false) => return shared.ended(End::Closed),
            Err(error) => return shared.ended(End::Cut(error.kind())),
        }
        thread::sleep(PACE);
    }
}

/// Reads the whole answer, however long it takes; `false` when the other end closed or the scenario is over.
fn read_all(stream: &mut TcpStream, answer: &mut [u8], shared: &Shared) -> std::io::Result<bool> {
    let mut filled = 0;
    while filled < answer.len() {
        match stream.read(&mut answer[filled..]) {
            Ok(0) => return Ok(false),
            Ok(len) => filled += len,
            Err(error) if waits(error.kind()) && !shared.stop.load(Ordering::SeqCst) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

fn download(stream: &mut TcpStream, shared: &Shared) {
    let mut buffer = vec![0_u8; 64 * 1024];
    while !shared.stop.load(Ordering::SeqCst) {
        match stream.read(&mut buffer) {
            Ok(0) => return shared.ended(End::Closed),
            Ok(_) => shared.answered(),
            Err(error) if waits(error.kind()) => {}
            Err(error) => return shared.ended(End::Cut(error.kind())),
        }
    }
}

fn udp_chat(socket: &UdpSocket, shared: &Shared) {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a read timeout");
    let mut buffer = [0_u8; 256];
    while !shared.stop.load(Ordering::SeqCst) {
        let _ = socket.send(b"question");
        match socket.recv(&mut buffer) {
            Ok(_) => shared.answered(),
            // What an ICMP error of the gateway does to a connected socket.
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
            Err(_) => {}
        }
        thread::sleep(PACE);
    }
}

/// How an attempt to open a TCP connection went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attempt {
    /// It was opened.
    Opened,
    /// It was refused: a reset, or an ICMP error.
    Refused,
    /// Nobody answered.
    Silence,
}

/// Tries to open a TCP connection for at most `bound`.
#[must_use]
pub fn knock_tcp(from: &Namespace, to: SocketAddr, bound: Duration) -> Attempt {
    match from.tcp_connect(to, bound) {
        Ok(_) => Attempt::Opened,
        Err(error) if waits(error.kind()) => Attempt::Silence,
        Err(_) => Attempt::Refused,
    }
}

/// Sends a few datagrams and says whether one was answered.
#[must_use]
pub fn knock_udp(from: &Namespace, to: SocketAddr) -> bool {
    let any: IpAddr = if to.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
    let socket = from.udp_socket(SocketAddr::new(any, 0));
    socket.set_read_timeout(Some(Duration::from_millis(250))).expect("a read timeout");
    let mut buffer = [0_u8; 64];
    (0..4).any(|_| socket.send_to(b"knock", to).is_ok() && socket.recv_from(&mut buffer).is_ok())
}

/// Asks over UDP for up to 15 s, as a person would who was just given a config, and says whether an answer came.
#[must_use]
pub fn reaches_udp(from: &Namespace, to: SocketAddr) -> bool {
    comes_true(Duration::from_secs(15), || knock_udp(from, to))
}

/// Pings for up to 15 s and says whether an answer came.
#[must_use]
pub fn reaches_ping(from: &Namespace, to: &str) -> bool {
    from.output("ping", &["-n", "-c", "1", "-i", "0.2", "-w", "15", to]).status.success()
}

/// Pings once or twice and says whether an answer came.
#[must_use]
pub fn pings(from: &Namespace, to: &str) -> bool {
    from.output("ping", &["-n", "-c", "2", "-i", "0.2", "-W", "1", to]).status.success()
}
