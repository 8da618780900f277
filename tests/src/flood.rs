//! A flood of handshake initiations from many addresses.
//!
//! ```text
//!   office 192.0.2.9, in whose name a whole /16 sends ═══ internet ═══ gateway
//! ```
//!
//! What it sends takes turns: initiations with a right mac1 and random contents, initiations that were overheard (a
//! stranger's, a customer's), plain garbage. It sends through a raw socket, so that a source address costs nothing. It can
//! be turned to another port without a pause, so that a scenario can compare a gateway under attack with the same
//! machine on which the generator merely runs.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use blake2::digest::consts::U16;
use blake2::digest::{Digest as _, KeyInit, Mac as _};
use blake2::{Blake2s256, Blake2sMac};

use crate::netns::Namespace;
use crate::raw::RawSocket;
use crate::relay::Chance;

/// A handshake initiation (WireGuard whitepaper, section 5.4.2).
pub const INITIATION_LEN: usize = 148;
/// Where mac1 stands in it.
const MAC1_AT: usize = 116;
/// The first half of the addresses it comes from: 198.18.0.0/15 is for measuring (RFC 2544).
const SOURCES: [u8; 2] = [198, 18];

/// What a flood is made of and where it goes.
#[derive(Debug, Clone)]
pub struct Recipe {
    /// Datagrams a second.
    pub per_second: u32,
    /// The gateway's public key in base64.
    pub gateway_key: String,
    /// Where it goes; [`Flood::aim`] changes the port.
    pub to: SocketAddrV4,
    /// Datagrams that were overheard, each sent as it is.
    pub overheard: Vec<Vec<u8>>,
    /// Of ten datagrams: how many are overheard ones, and how many are garbage. The rest is random with a right mac1.
    pub of_ten: (u64, u64),
}

/// A flood that runs until dropped.
#[derive(Debug)]
pub struct Flood {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    stop: AtomicBool,
    port: AtomicU16,
    sent: AtomicU64,
}

impl Flood {
    /// Starts it; the namespace needs a route to its target, and answers to it should lead nowhere.
    #[must_use]
    pub fn start(from: &Namespace, recipe: Recipe) -> Self {
        let shared = Arc::new(Shared {
            stop: AtomicBool::new(false),
            port: AtomicU16::new(recipe.to.port()),
            sent: AtomicU64::new(0),
        });
        let socket = RawSocket::open(from, false);
        let own = shared.clone();
        let thread = std::thread::spawn(move || send(&socket, &recipe, &own));
        Self { shared, thread: Some(thread) }
    }

    /// Turns it to another port.
    pub fn aim(&self, port: u16) {
        self.shared.port.store(port, Ordering::SeqCst);
    }

    /// How many datagrams it has sent.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.shared.sent.load(Ordering::SeqCst)
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn send(socket: &RawSocket, recipe: &Recipe, shared: &Shared) {
    let mac1 = Mac1::new(&recipe.gateway_key);
    let mut chance = Chance::new(0xf100d);
    let (start, mut sent) = (Instant::now(), 0_u64);
    while !shared.stop.load(Ordering::SeqCst) {
        let due =
            u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX) * u64::from(recipe.per_second) / 1_000_000;
        let port = shared.port.load(Ordering::SeqCst);
        while sent < due {
            let datagram = next_datagram(recipe, &mac1, &mut chance, sent);
            let from = random_source(&mut chance);
            // A full queue loses one, as on any network.
            let _ = socket.send(&packet(from, recipe.to.ip(), port, &datagram), (*recipe.to.ip()).into());
            sent += 1;
        }
        shared.sent.store(sent, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn next_datagram(recipe: &Recipe, mac1: &Mac1, chance: &mut Chance, number: u64) -> Vec<u8> {
    let (overheard, garbage) = recipe.of_ten;
    let place = number % 10;
    if place < overheard && !recipe.overheard.is_empty() {
        let which = usize::try_from(number / 10).unwrap_or(0) % recipe.overheard.len();
        return recipe.overheard[which].clone();
    }
    let mut datagram: Vec<u8> = (0..19).flat_map(|_| chance.next().to_le_bytes()).take(INITIATION_LEN).collect();
    if place < overheard + garbage {
        return datagram;
    }
    datagram[..4].copy_from_slice(&[1, 0, 0, 0]);
    mac1.write(&mut datagram);
    datagram
}

fn random_source(chance: &mut Chance) -> (Ipv4Addr, u16) {
    let [a, b, c, d, ..] = chance.next().to_le_bytes();
    (Ipv4Addr::new(SOURCES[0], SOURCES[1], a, b), u16::from_le_bytes([c, d]) | 1024)
}

/// An IPv4 packet with a UDP datagram in it. The kernel adds the header's checksum; UDP's may be left out (RFC 768).
fn packet((from, from_port): (Ipv4Addr, u16), to: &Ipv4Addr, port: u16, payload: &[u8]) -> Vec<u8> {
    let udp_len = u16::try_from(payload.len() + 8).expect("a short datagram");
    let mut packet = vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 17, 0, 0];
    packet.extend(from.octets());
    packet.extend(to.octets());
    packet.extend(from_port.to_be_bytes());
    packet.extend(port.to_be_bytes());
    packet.extend(udp_len.to_be_bytes());
    packet.extend([0, 0]);
    packet.extend(payload);
    packet
}

/// mac1 = MAC(HASH("mac1----" || responder's public key), message up to mac1), section 5.4.4.
struct Mac1(Blake2sMac<U16>);

impl Mac1 {
    fn new(gateway_key: &str) -> Self {
        let key = STANDARD.decode(gateway_key).expect("a key in base64");
        let hash = Blake2s256::new().chain_update(b"mac1----").chain_update(key).finalize();
        Self(<Blake2sMac<U16> as KeyInit>::new_from_slice(&hash).expect("32 bytes are a key"))
    }

    fn write(&self, initiation: &mut [u8]) {
        let (body, mac) = initiation.split_at_mut(MAC1_AT);
        mac[..16].copy_from_slice(&self.0.clone().chain_update(body).finalize().into_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac1_depends_on_the_key_and_on_every_byte_before_it() {
        let (one, two) = (Mac1::new(&STANDARD.encode([1; 32])), Mac1::new(&STANDARD.encode([2; 32])));
        let mac = |mac1: &Mac1, change: Option<usize>| {
            let mut initiation = [0_u8; INITIATION_LEN];
            change.into_iter().for_each(|at| initiation[at] = 1);
            mac1.write(&mut initiation);
            initiation[MAC1_AT..MAC1_AT + 16].to_vec()
        };
        assert_ne!(mac(&one, None), mac(&two, None));
        assert!((0..MAC1_AT).all(|at| mac(&one, Some(at)) != mac(&one, None)));
        assert_eq!(mac(&one, Some(MAC1_AT + 16)), mac(&one, None), "mac2 is not part of it");
    }

    #[test]
    fn a_packet_says_where_it_comes_from() {
        let packet = packet((Ipv4Addr::new(198, 18, 3, 4), 5000), &Ipv4Addr::new(203, 0, 113, 2), 51820, &[7; 148]);
        let sliced = etherparse::SlicedPacket::from_ip(&{
            let mut whole = packet.clone();
            let len = u16::try_from(whole.len()).unwrap().to_be_bytes();
            whole[2..4].copy_from_slice(&len);
            whole
        })
        .map(|sliced| sliced.transport.is_some());
        assert_eq!(sliced, Ok(true));
    }
}
