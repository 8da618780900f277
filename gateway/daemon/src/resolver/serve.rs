//! The resolver's sockets: port 53 of the tunnel addresses, UDP and TCP, for devices whose packets the core let through.

use std::net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::TunnelNetwork;
use socket2::{SockRef, Type};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::{Answerer, Counted, Transport};
use crate::error::GatewayError;
use crate::inward::{Places, bound};

/// The port that every device asks on (RFC 1035 section 4.2).
const PORT: u16 = 53;
/// Questions under way at a time, from everybody.
const QUESTIONS_MAX: usize = 256;
/// The same from one device: a browser that opens many tabs asks some twenty at once.
const QUESTIONS_PER_DEVICE_MAX: usize = 32;
/// TCP connections at a time, from everybody.
const CONNECTIONS_MAX: usize = 128;
/// The same from one device.
const CONNECTIONS_PER_DEVICE_MAX: usize = 8;
/// The longest question taken. A name has 255 bytes; the rest is room for extensions.
const QUESTION_LEN_MAX: usize = 4_096;
/// How long a TCP connection may wait for the next question, or for its sender to take an answer.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// How long one may last at all.
const CONNECTION_MAX: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted.
const BACKLOG: i32 = 64;

/// The bound sockets, of each family that the tunnel has.
pub(crate) struct ResolverSockets {
    udp: Vec<StdUdpSocket>,
    tcp: Vec<StdTcpListener>,
}

impl ResolverSockets {
    /// Binds to the tunnel addresses, and to the interface: what comes in elsewhere does not reach them, and no answer
    /// leaves elsewhere. Sockets of this gateway may listen on the same port of all addresses: `beside` are all there are.
    ///
    /// # Errors
    /// [`GatewayError::Resolver`].
    pub(crate) fn bind(
        interface: &str,
        network: &TunnelNetwork,
        has_v6: bool,
        beside: &[&impl AsFd],
    ) -> Result<Self, GatewayError> {
        let on_the_port = |socket: &SockRef<'_>| {
            socket.local_addr().is_ok_and(|local| local.as_socket().is_some_and(|local| local.port() == PORT))
        };
        let beside: Vec<SockRef<'_>> = beside.iter().map(|socket| SockRef::from(*socket)).filter(on_the_port).collect();
        // For this moment alone, so that nobody else can slip in between.
        let share = |shared| beside.iter().try_for_each(|socket| socket.set_reuse_address(shared));
        let failed =
            |source| GatewayError::Resolver { address: SocketAddr::new(network.gateway_v4().into(), PORT), source };
        share(true).map_err(failed)?;
        let bound = Self::bind_all(interface, network, has_v6);
        share(false).map_err(failed)?;
        bound
    }

    fn bind_all(interface: &str, network: &TunnelNetwork, has_v6: bool) -> Result<Self, GatewayError> {
        let v4 = IpAddr::V4(network.gateway_v4());
        let v6 = has_v6.then_some(IpAddr::V6(network.gateway_v6()));
        let mut sockets = Self { udp: Vec::new(), tcp: Vec::new() };
        for address in [Some(v4), v6].into_iter().flatten().map(|address| SocketAddr::new(address, PORT)) {
            let failed = |source| GatewayError::Resolver { address, source };
            sockets.udp.push(bound(interface, address, Type::DGRAM).map_err(failed)?.into());
            let listener = bound(interface, address, Type::STREAM).map_err(failed)?;
            listener.listen(BACKLOG).map_err(failed)?;
            sockets.tcp.push(listener.into());
        }
        Ok(sockets)
    }

    /// Serves until dropped.
    ///
    /// # Errors
    /// [`GatewayError::Runtime`] when the runtime does not take the sockets.
    pub(crate) fn serve(self, answerer: &Arc<Answerer>, tasks: &mut JoinSet<()>) -> Result<(), GatewayError> {
        let failed = |source| GatewayError::Runtime { source };
        let questions = Arc::new(Places::new(QUESTIONS_MAX, QUESTIONS_PER_DEVICE_MAX));
        let connections = Arc::new(Places::new(CONNECTIONS_MAX, CONNECTIONS_PER_DEVICE_MAX));
        for socket in self.udp {
            let socket = UdpSocket::from_std(socket).map_err(failed)?;
            tasks.spawn(serve_udp(Arc::new(socket), Arc::clone(answerer), Arc::clone(&questions)));
        }
        for listener in self.tcp {
            let listener = TcpListener::from_std(listener).map_err(failed)?;
            tasks.spawn(serve_tcp(listener, Arc::clone(answerer), Arc::clone(&connections)));
        }
        Ok(())
    }
}

async fn serve_udp(socket: Arc<UdpSocket>, answerer: Arc<Answerer>, share: Arc<Places>) {
    let mut buffer = vec![0; QUESTION_LEN_MAX];
    loop {
        let (question, from) = match socket.recv_from(&mut buffer).await {
            Ok((len, from)) => (buffer.get(..len).unwrap_or_default().to_vec(), from),
            Err(error) => {
                tracing::debug!(%error, "cannot receive a question");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = Places::take(&share, from.ip()) else {
            answerer.counters.count(Counted::Busy);
            continue;
        };
        let (socket, answerer) = (Arc::clone(&socket), Arc::clone(&answerer));
        tokio::spawn(async move {
            if let Some(answer) = answerer.answer(from.ip(), &question, Transport::Udp).await {
                // Whoever does not take it asks again.
                let _sent = socket.send_to(&answer, from).await;
            }
            drop(place);
        });
    }
}

async fn serve_tcp(listener: TcpListener, answerer: Arc<Answerer>, share: Arc<Places>) {
    loop {
        let (stream, from) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, "cannot accept a question");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = Places::take(&share, from.ip()) else {
            answerer.counters.count(Counted::Busy);
            continue;
        };
        let answerer = Arc::clone(&answerer);
        tokio::spawn(async move {
            // However it ends, there is nobody to tell.
            let _ended = timeout(CONNECTION_MAX, converse(stream, from.ip(), &answerer)).await;
            drop(place);
        });
    }
}

/// Answers one question after the other (RFC 7766 section 6.2.1.1 wants several on one connection to work).
async fn converse(mut stream: TcpStream, device: IpAddr, answerer: &Answerer) -> Option<()> {
    loop {
        let len = usize::from(timeout(IDLE_MAX, stream.read_u16()).await.ok()?.ok()?);
        if len > QUESTION_LEN_MAX {
            answerer.counters.count(Counted::Malformed);
            return None;
        }
        let mut question = vec![0; len];
        timeout(IDLE_MAX, stream.read_exact(&mut question)).await.ok()?.ok()?;
        let answer = answerer.answer(device, &question, Transport::Tcp).await?;
        let len = u16::try_from(answer.len()).ok()?.to_be_bytes();
        timeout(IDLE_MAX, stream.write_all(&[&len, &answer[..]].concat())).await.ok()?.ok()?;
    }
}
