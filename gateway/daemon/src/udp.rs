//! WireGuard's UDP sockets: trains in (GRO) and trains out (GSO), and no error that could end the gateway.

use std::collections::{BTreeSet, HashMap};
use std::io::{self, IoSliceMut};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_gateway_core::{TrainSender, Via};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::io::Errno;
use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::GatewayError;
use crate::steering::steer;

/// Kernel buffer wanted for each direction of a socket: about 5 ms at 10 Gbit/s.
const SOCKET_BUFFER_BYTES: usize = 7 * 1024 * 1024;

/// Datagram trains taken by one system call.
pub(crate) const READS_PER_CALL: usize = 8;

/// A GRO train is at most one IP packet.
const READ_BUFFER_BYTES: usize = 65_536;

/// How long datagrams go out singly after the kernel refused a train.
const GSO_PAUSE: Duration = Duration::from_secs(60);

/// Addresses with a narrow path that are remembered; past it trains to others are tried and refused each time.
const NARROW_PATHS_MAX: usize = 1_024;

/// What the sockets did, since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct UdpCounters {
    /// System calls that brought at least one train.
    pub(crate) receive_calls: u64,
    /// Trains or single datagrams received.
    pub(crate) trains_received: u64,
    /// Trains or single datagrams sent.
    pub(crate) trains_sent: u64,
    /// Sends dropped because the kernel's buffer was full.
    pub(crate) send_buffer_full: u64,
    /// Sends dropped for another reason: no route, refused, too long.
    pub(crate) send_failed: u64,
    /// Trains that had to go out as single datagrams.
    pub(crate) trains_split: u64,
    /// Errors on receiving, among them ICMP errors for what was sent earlier.
    pub(crate) receive_failed: u64,
}

impl UdpCounters {
    /// Adds what another packet thread counted.
    pub(crate) fn add(&mut self, other: &Self) {
        for (sum, more) in [
            (&mut self.receive_calls, other.receive_calls),
            (&mut self.trains_received, other.trains_received),
            (&mut self.trains_sent, other.trains_sent),
            (&mut self.send_buffer_full, other.send_buffer_full),
            (&mut self.send_failed, other.send_failed),
            (&mut self.trains_split, other.trains_split),
            (&mut self.receive_failed, other.receive_failed),
        ] {
            *sum = sum.wrapping_add(more);
        }
    }
}

/// One bound socket.
pub(crate) struct UdpSocketBound {
    socket: UdpSocket,
    state: UdpSocketState,
    /// Until when trains are split.
    gso_paused_until: Option<Instant>,
}

impl AsFd for UdpSocketBound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Binds every listening address once for each of `shards` packet threads, and steers datagrams to the thread whose
/// peer they name. Each thread's sockets are in the order of the addresses. An IPv6 address is left out with a warning
/// on a host without IPv6.
///
/// # Errors
/// [`GatewayError::UdpPortTaken`], [`GatewayError::UdpBind`].
pub(crate) fn bind_all(listen: &[SocketAddr], shards: u16) -> Result<Vec<Vec<UdpSocketBound>>, GatewayError> {
    let mut all: Vec<Vec<UdpSocketBound>> = (0..shards.max(1)).map(|_| Vec::new()).collect();
    if let [only] = all.as_mut_slice() {
        *only = bind_each(listen, &bind)?;
        return Ok(all);
    }
    // Sharing a port is asked for by each socket, so it would also hide another program of the same user on that port.
    drop(bind_each(listen, &bind)?);
    for own in &mut all {
        *own = bind_each(listen, &|address| open(address, true))?;
    }
    // The sockets of a group are numbered in the order in which they were bound, which is that of the threads.
    for socket in all.first().into_iter().flatten() {
        steer(&socket.socket, shards).map_err(|source| GatewayError::Runtime { source })?;
    }
    Ok(all)
}

fn bind_each(
    listen: &[SocketAddr],
    bind: &dyn Fn(SocketAddr) -> io::Result<UdpSocketBound>,
) -> Result<Vec<UdpSocketBound>, GatewayError> {
    let mut bound = Vec::with_capacity(listen.len());
    let mut skipped = None;
    for &address in listen {
        match bind(address) {
            Ok(socket) => bound.push(socket),
            Err(error) if address.is_ipv6() && no_ipv6(&error) => {
                tracing::warn!(%address, "this host has no IPv6: not listening there");
                skipped = Some((address, error));
            }
            Err(source) if source.kind() == io::ErrorKind::AddrInUse => {
                return Err(GatewayError::UdpPortTaken { address });
            }
            Err(source) => return Err(GatewayError::UdpBind { address, source }),
        }
    }
    match (bound.is_empty(), skipped) {
        (true, Some((address, source))) => Err(GatewayError::UdpBind { address, source }),
        (_, _) => Ok(bound),
    }
}

fn no_ipv6(error: &io::Error) -> bool {
    let code = error.raw_os_error();
    code == Some(Errno::AFNOSUPPORT.raw_os_error()) || code == Some(Errno::ADDRNOTAVAIL.raw_os_error())
}

/// Lists the ports of bound sockets, each once.
pub(crate) fn ports(sockets: &[Vec<UdpSocketBound>]) -> Vec<u16> {
    let addresses = sockets.iter().flatten().filter_map(|socket| socket.socket.local_addr().ok());
    addresses.map(|address| address.port()).collect::<BTreeSet<u16>>().into_iter().collect()
}

fn bind(address: SocketAddr) -> io::Result<UdpSocketBound> {
    open(address, false)
}

fn open(address: SocketAddr, shares_port: bool) -> io::Result<UdpSocketBound> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.cloexec(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        // Each family has its own socket, so that a source address is never an IPv4-mapped one.
        socket.set_only_v6(true)?;
    }
    // The forced variants go past net.core.rmem_max and need CAP_NET_ADMIN; the plain ones take what they get.
    if sockopt::set_socket_recv_buffer_size_force(&socket, SOCKET_BUFFER_BYTES).is_err() {
        socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    }
    if sockopt::set_socket_send_buffer_size_force(&socket, SOCKET_BUFFER_BYTES).is_err() {
        socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    }
    if shares_port {
        socket.set_reuse_port(true)?;
    }
    socket.bind(&address.into())?;
    let socket: UdpSocket = socket.into();
    let state = UdpSocketState::new((&socket).into())?;
    // quinn-udp forbids fragmentation, as QUIC wants it. WireGuard has no path MTU discovery of its own: on a narrow path
    // full packets would vanish, so they may be cut, by routers (IPv4) or here (IPv6), as with the kernel's WireGuard.
    if address.is_ipv4() {
        sockopt::set_ip_mtu_discover(&socket, sockopt::Ipv4PathMtuDiscovery::DONT)?;
    } else {
        sockopt::set_ipv6_mtu_discover(&socket, sockopt::Ipv6PathMtuDiscovery::WANT)?;
        nix::sys::socket::setsockopt(&socket, nix::sys::socket::sockopt::Ipv6DontFrag, &false)?;
    }
    let gso_paused_until = (state.max_gso_segments() < 2).then(|| Instant::now() + Duration::from_secs(86_400 * 365));
    Ok(UdpSocketBound { socket, state, gso_paused_until })
}

/// Buffers for one receiving call, shared by all sockets.
pub(crate) struct ReadBuffers {
    bytes: Box<[u8]>,
    meta: [RecvMeta; READS_PER_CALL],
}

impl ReadBuffers {
    /// Makes the buffers: 512 KiB.
    pub(crate) fn new() -> Self {
        let bytes = vec![0; READS_PER_CALL * READ_BUFFER_BYTES].into_boxed_slice();
        Self { bytes, meta: [RecvMeta::default(); READS_PER_CALL] }
    }

    /// Reads up to [`READS_PER_CALL`] trains and returns how many came: 0 when there is nothing to read.
    pub(crate) fn read(&mut self, from: &UdpSocketBound, counters: &mut UdpCounters) -> usize {
        let mut chunks = self.bytes.chunks_exact_mut(READ_BUFFER_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; READS_PER_CALL] =
            std::array::from_fn(|_| chunks.next().unwrap_or_else(|| IoSliceMut::new(&mut [])));
        match from.state.recv((&from.socket).into(), &mut slices, &mut self.meta) {
            Ok(count) => {
                counters.receive_calls = counters.receive_calls.wrapping_add(1);
                counters.trains_received = counters.trains_received.wrapping_add(count as u64);
                count
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                // ECONNREFUSED and its like tell of an earlier send; reading them clears them.
                counters.receive_failed = counters.receive_failed.wrapping_add(1);
                0
            }
        }
    }

    /// Returns train `index` of the last read: its source, the address it was sent to, its bytes and the size of each
    /// datagram in it.
    pub(crate) fn train(&self, index: usize) -> Option<(SocketAddr, Option<IpAddr>, &[u8], usize)> {
        let meta = self.meta.get(index)?;
        let chunk = self.bytes.chunks_exact(READ_BUFFER_BYTES).nth(index)?;
        let bytes = chunk.get(..meta.len)?;
        (meta.len > 0 && meta.stride > 0).then_some((meta.addr, meta.dst_ip, bytes, meta.stride))
    }
}

fn is(error: &io::Error, code: Errno) -> bool {
    error.raw_os_error() == Some(code.raw_os_error())
}

fn is_about_an_address(error: &io::Error) -> bool {
    [Errno::INVAL, Errno::ADDRNOTAVAIL, Errno::NETUNREACH, Errno::HOSTUNREACH].iter().any(|code| is(error, *code))
}

/// Sends trains through the sockets, and counts.
pub(crate) struct UdpSender {
    sockets: Arc<[UdpSocketBound]>,
    gso_paused_until: Vec<Option<Instant>>,
    /// Addresses whose path takes no datagram of a train's size, until when: one person's narrow network slows down
    /// nobody else.
    narrow_paths: HashMap<IpAddr, Instant>,
    /// What was sent and what was not.
    pub(crate) counters: UdpCounters,
}

impl UdpSender {
    /// Makes a sender for sockets whose place in the list is their [`Via`].
    pub(crate) fn new(sockets: Arc<[UdpSocketBound]>) -> Self {
        let gso_paused_until = sockets.iter().map(|socket| socket.gso_paused_until).collect();
        Self { sockets, gso_paused_until, narrow_paths: HashMap::new(), counters: UdpCounters::default() }
    }

    /// Sends one datagram.
    pub(crate) fn send(&mut self, to: SocketAddr, via: Via, datagram: &[u8]) {
        if let Err(error) = self.try_send(to, via, datagram, None) {
            self.count(&error);
        }
    }

    fn try_send(&mut self, to: SocketAddr, via: Via, contents: &[u8], segment_size: Option<usize>) -> io::Result<()> {
        let bound =
            self.sockets.get(usize::from(via.socket)).ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        if to.port() == 0 {
            // The kernel would answer EINVAL, which looks like a refused train.
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let transmit = Transmit { destination: to, ecn: None, contents, segment_size, src_ip: via.local };
        let sent = bound.state.try_send((&bound.socket).into(), &transmit);
        match sent {
            // The address that was asked may be gone from this host since.
            Err(error) if via.local.is_some() && is_about_an_address(&error) => {
                bound.state.try_send((&bound.socket).into(), &Transmit { src_ip: None, ..transmit })?;
            }
            sent => sent?,
        }
        self.counters.trains_sent = self.counters.trains_sent.wrapping_add(1);
        Ok(())
    }

    fn count(&mut self, error: &io::Error) {
        let full =
            error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error());
        let counter = if full { &mut self.counters.send_buffer_full } else { &mut self.counters.send_failed };
        *counter = counter.wrapping_add(1);
    }

    fn gso_is_paused(&mut self, via: Via) -> bool {
        match self.gso_paused_until.get_mut(usize::from(via.socket)) {
            Some(paused @ Some(_)) => {
                let over = paused.is_some_and(|until| until <= Instant::now());
                if over {
                    *paused = None;
                }
                !over
            }
            Some(None) | None => false,
        }
    }

    fn is_narrow(&mut self, to: IpAddr) -> bool {
        if self.narrow_paths.is_empty() {
            return false;
        }
        let until = self.narrow_paths.get(&to).copied();
        if until.is_some_and(|until| until <= Instant::now()) {
            self.narrow_paths.remove(&to);
            return false;
        }
        until.is_some()
    }

    fn note_narrow(&mut self, to: IpAddr) {
        let now = Instant::now();
        if self.narrow_paths.len() >= NARROW_PATHS_MAX {
            self.narrow_paths.retain(|_, until| *until > now);
        }
        if self.narrow_paths.len() < NARROW_PATHS_MAX {
            self.narrow_paths.insert(to, now + GSO_PAUSE);
        }
    }

    fn send_singly(&mut self, to: SocketAddr, via: Via, contents: &[u8], segment: usize) {
        self.counters.trains_split = self.counters.trains_split.wrapping_add(1);
        for datagram in contents.chunks(segment.max(1)) {
            self.send(to, via, datagram);
        }
    }
}

impl TrainSender for UdpSender {
    fn send_train(&mut self, to: SocketAddr, via: Via, contents: &[u8], segment: usize) {
        if contents.len() <= segment {
            return self.send(to, via, contents);
        }
        if self.gso_is_paused(via) || self.is_narrow(to.ip()) {
            return self.send_singly(to, via, contents, segment);
        }
        match self.try_send(to, via, contents, Some(segment)) {
            Ok(()) => (),
            // The driver cannot checksum a train.
            Err(error) if is(&error, Errno::IO) => {
                if let Some(paused) = self.gso_paused_until.get_mut(usize::from(via.socket)) {
                    *paused = Some(Instant::now() + GSO_PAUSE);
                }
                self.send_singly(to, via, contents, segment);
            }
            // Its datagrams are longer than the path takes; singly they are cut on the way.
            Err(error) if is(&error, Errno::INVAL) || is(&error, Errno::MSGSIZE) => {
                self.note_narrow(to.ip());
                self.send_singly(to, via, contents, segment);
            }
            Err(error) => self.count(&error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (UdpSocketBound, UdpSender, SocketAddr) {
        let receiver = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let sender = UdpSender::new(Arc::from(vec![bind("127.0.0.1:0".parse().unwrap()).unwrap()]));
        let to = receiver.socket.local_addr().unwrap();
        (receiver, sender, to)
    }

    fn receive(from: &UdpSocketBound, wanted: usize) -> Vec<Vec<u8>> {
        let (mut buffers, mut counters, mut datagrams) = (ReadBuffers::new(), UdpCounters::default(), Vec::new());
        let until = Instant::now() + Duration::from_secs(5);
        while datagrams.len() < wanted && Instant::now() < until {
            for index in 0..buffers.read(from, &mut counters) {
                let (_, _, bytes, stride) = buffers.train(index).unwrap();
                datagrams.extend(bytes.chunks(stride).map(<[u8]>::to_vec));
            }
        }
        datagrams
    }

    #[test]
    fn a_train_arrives_as_the_datagrams_it_was_made_of() {
        let (receiver, mut sender, to) = pair();
        let contents: Vec<u8> = (0..10_u8).flat_map(|n| [n; 1000]).chain([99; 300]).collect();
        sender.send_train(to, Via::socket(0), &contents, 1000);
        let datagrams = receive(&receiver, 11);
        assert_eq!(datagrams.len(), 11);
        assert_eq!(datagrams.concat(), contents);
    }

    #[test]
    fn a_paused_socket_sends_the_same_datagrams_singly() {
        let (receiver, mut sender, to) = pair();
        sender.gso_paused_until[0] = Some(Instant::now() + Duration::from_secs(60));
        sender.send_train(to, Via::socket(0), &[7; 2500], 1000);
        let lens: Vec<usize> = receive(&receiver, 3).iter().map(Vec::len).collect();
        assert_eq!(lens, [1000, 1000, 500]);
        assert_eq!(sender.counters.trains_split, 1);
    }

    #[test]
    fn a_narrow_path_is_its_owners_alone() {
        let (receiver, mut sender, to) = pair();
        sender.note_narrow("127.0.0.9".parse().unwrap());
        sender.send_train(to, Via::socket(0), &[7; 2500], 1000);
        assert_eq!((receive(&receiver, 3).len(), sender.counters.trains_split), (3, 0));
        sender.note_narrow(to.ip());
        sender.send_train(to, Via::socket(0), &[7; 2500], 1000);
        assert_eq!((receive(&receiver, 3).len(), sender.counters.trains_split), (3, 1));
        sender.narrow_paths.insert(to.ip(), Instant::now());
        assert!(!sender.is_narrow(to.ip()), "after a minute it is tried again");
    }

    #[test]
    fn what_cannot_be_sent_is_counted_and_nothing_else() {
        let (_receiver, mut sender, _) = pair();
        sender.send("127.0.0.1:0".parse().unwrap(), Via::socket(0), &[0; 10]);
        sender.send("[2001:db8::1]:9".parse().unwrap(), Via::socket(0), &[0; 10]);
        sender.send("127.0.0.1:9".parse().unwrap(), Via::socket(7), &[0; 10]);
        assert_eq!(sender.counters.send_failed, 3);
        assert_eq!(sender.counters.trains_sent, 0);
    }

    #[test]
    fn a_taken_port_is_named() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let error = bind_all(&[address], 1).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&address.port().to_string()), "{error}");
        assert!(matches!(error, GatewayError::UdpPortTaken { .. }));
    }
}
