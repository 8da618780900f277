//! Names of others: questions passed on to the owner's upstreams, byte for byte but for the id.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};

use super::message;
use crate::key;

/// How long one upstream has, TCP included, before the next one is asked.
const UPSTREAM_WITHIN: Duration = Duration::from_secs(3);
/// Datagrams that are no answer to the question, looked at before giving up: somebody guesses.
const STRAYS_MAX: usize = 16;

/// The upstreams, in the owner's order.
pub(crate) struct Upstreams {
    addresses: Vec<SocketAddr>,
    /// The one that answered last, which is asked first.
    last_good: AtomicUsize,
}

impl Upstreams {
    pub(crate) fn new(addresses: Vec<SocketAddr>) -> Self {
        Self { addresses, last_good: AtomicUsize::new(0) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.addresses.is_empty()
    }

    /// Asks one after the other until one answers; `None` when none does. The answer has the question's id.
    pub(crate) async fn ask(&self, question: &[u8]) -> Option<Vec<u8>> {
        let first = self.last_good.load(Ordering::Relaxed);
        let count = self.addresses.len();
        for number in (first..first.saturating_add(count)).map(|number| number.checked_rem(count).unwrap_or(0)) {
            let Some(upstream) = self.addresses.get(number) else { continue };
            if let Ok(Some(answer)) = tokio::time::timeout(UPSTREAM_WITHIN, ask_one(*upstream, question)).await {
                self.last_good.store(number, Ordering::Relaxed);
                return Some(answer);
            }
        }
        None
    }
}

async fn ask_one(upstream: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    // A fresh id and, below, a fresh port, whatever the device chose: guessing them is what forgers have to do.
    let mut fresh = [0; 2];
    key::fill_random(&mut fresh).ok()?;
    let mut passed_on = question.to_vec();
    message::set_id(&mut passed_on, fresh);
    let answer = over_udp(upstream, &passed_on).await;
    let mut answer = match answer {
        Some(answer) if !message::is_truncated(&answer) => answer,
        Some(_) | None => over_tcp(upstream, &passed_on).await?,
    };
    message::set_id(&mut answer, message::id(question)?);
    Some(answer)
}

/// `None` at once when the upstream refuses the datagram; else when too much came that was no answer.
async fn over_udp(upstream: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let any: SocketAddr = match upstream {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await.ok()?;
    socket.connect(upstream).await.ok()?;
    socket.send(question).await.ok()?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    for _ in 0..STRAYS_MAX {
        let len = socket.recv(&mut buffer).await.ok()?;
        let answer = buffer.get(..len)?;
        if message::answers(answer, question) {
            return Some(answer.to_vec());
        }
    }
    None
}

async fn over_tcp(upstream: SocketAddr, question: &[u8]) -> Option<Vec<u8>> {
    let mut stream = TcpStream::connect(upstream).await.ok()?;
    let len = u16::try_from(question.len()).ok()?;
    stream.write_all(&[&len.to_be_bytes(), question].concat()).await.ok()?;
    let len = stream.read_u16().await.ok()?;
    let mut answer = vec![0; usize::from(len)];
    stream.read_exact(&mut answer).await.ok()?;
    message::answers(&answer, question).then_some(answer)
}
