//! One WireGuard client: a socket with an address of its own, and a session.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Tunn, TunnResult};
use boringtun::x25519::PublicKey;
use clap::Args;

use crate::Outcome;
use crate::config::Config;
use crate::pace::Pace;
use crate::trains::Trains;

/// The largest datagram that a client hears or sends.
const DATAGRAM_MAX: usize = 2_048;
/// Initiations a second of all clients together: below what any gateway calls a flood.
const INITIATIONS_A_SECOND: f64 = 150.0;
/// A client tries again after this long: below the 20 a second that gateways grant one source.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// All sessions stand by then, or the benchmark ends.
const SESSIONS_WITHIN: Duration = Duration::from_secs(110);
/// Message types (WireGuard whitepaper, section 5.4).
pub(crate) const RESPONSE: u8 = 2;
pub(crate) const COOKIE_REPLY: u8 = 3;
pub(crate) const DATA: u8 = 4;

/// Which devices to play.
#[derive(Debug, Args)]
pub(crate) struct Devices {
    /// Their wg-quick configs, or folders full of them
    #[arg(required = true)]
    configs: Vec<PathBuf>,
    /// The first device's source address; each of the others takes the next one
    #[arg(long)]
    from: Ipv4Addr,
}

/// One client.
pub(crate) struct Client {
    tunnel: Tunn,
    pub(crate) trains: Trains,
    /// Inside of the tunnel.
    pub(crate) address: Ipv4Addr,
    pub(crate) endpoint: SocketAddr,
    connected: bool,
    /// Whether it was sent a cookie: its initiations prove its address since.
    pub(crate) has_cookie: bool,
    tried: Option<Instant>,
}

/// One datagram that came, after boringtun saw it.
pub(crate) struct Heard {
    /// The WireGuard message type.
    pub(crate) kind: u8,
    /// Bytes of the whole message.
    pub(crate) length: usize,
    /// Whether it was genuine.
    pub(crate) genuine: bool,
}

impl Devices {
    /// Makes the clients, without sessions.
    pub(crate) fn clients(&self) -> Outcome<Vec<Client>> {
        let configs = Config::read_all(&self.configs)?;
        let clients = (0_u32..).zip(configs).map(|(index, config)| {
            let from = Ipv4Addr::from_bits(self.from.to_bits().wrapping_add(index));
            Client::new(index, config, from)
        });
        clients.collect()
    }

    /// Makes the clients and waits until each has a session.
    pub(crate) fn connected(&self) -> Outcome<Vec<Client>> {
        let mut clients = self.clients()?;
        let pace = Pace::start(INITIATIONS_A_SECOND);
        let mut sent = 0;
        while !clients.iter().all(|client| client.connected) {
            if pace.elapsed() > SESSIONS_WITHIN {
                let missing = clients.iter().filter(|client| !client.connected).count();
                return Err(format!("{missing} of {} clients got no session", clients.len()).into());
            }
            let mut waiting = true;
            for client in &mut clients {
                if !client.connected && client.tried.is_none_or(|at| at.elapsed() > RETRY_AFTER) {
                    pace.wait(sent);
                    sent += 1;
                    waiting = false;
                    client.initiate()?;
                }
                while client.hear()?.is_some() {}
            }
            if waiting {
                thread::sleep(Duration::from_millis(1));
            }
        }
        Ok(clients)
    }
}

impl Client {
    fn new(index: u32, config: Config, from: Ipv4Addr) -> Outcome<Self> {
        // The limiter of a client would take its own responses for a flood.
        let limiter = RateLimiter::new(&PublicKey::from(&config.secret), u64::MAX);
        Ok(Self {
            tunnel: Tunn::new(
                config.secret,
                config.gateway,
                config.preshared_key,
                None,
                index,
                Some(Arc::new(limiter)),
            ),
            trains: Trains::bind(SocketAddr::new(IpAddr::V4(from), 0))?,
            address: config.address,
            endpoint: config.endpoint,
            connected: false,
            has_cookie: false,
            tried: None,
        })
    }

    /// Makes an initiation, with the latest cookie's proof in it if there is one.
    pub(crate) fn initiation(&mut self) -> Outcome<Vec<u8>> {
        let mut message = [0; DATAGRAM_MAX];
        let made = self.tunnel.format_handshake_initiation(&mut message, true);
        let TunnResult::WriteToNetwork(message) = made else { return Err(format!("no initiation: {made:?}").into()) };
        Ok(message.to_vec())
    }

    /// Sends an initiation.
    pub(crate) fn initiate(&mut self) -> Outcome<()> {
        self.tried = Some(Instant::now());
        let message = self.initiation()?;
        self.send(&message)
    }

    /// Sends a datagram.
    pub(crate) fn send(&self, datagram: &[u8]) -> Outcome<()> {
        self.trains.send(self.endpoint, datagram, datagram.len()).map(|_| ())
    }

    /// Seals a packet behind what is in the bank.
    pub(crate) fn seal(&mut self, packet: &[u8], bank: &mut Vec<u8>) -> Outcome<()> {
        let mut message = [0; DATAGRAM_MAX];
        let sealed = self.tunnel.encapsulate(packet, &mut message);
        let TunnResult::WriteToNetwork(message) = sealed else {
            return Err(format!("a packet was not sealed: {sealed:?}").into());
        };
        if message.first() != Some(&DATA) {
            return Err("there is no session to seal a packet with".into());
        }
        bank.extend_from_slice(message);
        Ok(())
    }

    /// Takes a datagram, if one came, and does what the protocol wants.
    pub(crate) fn hear(&mut self) -> Outcome<Option<Heard>> {
        let mut datagram = [0; DATAGRAM_MAX];
        let length = match self.trains.socket.recv(&mut datagram) {
            Ok(length) => length,
            Err(error) if [ErrorKind::WouldBlock, ErrorKind::ConnectionRefused].contains(&error.kind()) => {
                return Ok(None);
            }
            Err(error) => return Err(format!("receiving: {error}").into()),
        };
        let Some(datagram) = datagram.get(..length) else { return Ok(None) };
        let kind = datagram.first().copied().unwrap_or_default();
        let mut plain = [0; DATAGRAM_MAX];
        let (genuine, answer) = match self.tunnel.decapsulate(Some(self.endpoint.ip()), datagram, &mut plain) {
            TunnResult::Done | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => (true, None),
            TunnResult::WriteToNetwork(answer) => (true, Some(answer.to_vec())),
            TunnResult::Err(_) => (false, None),
        };
        self.has_cookie |= genuine && kind == COOKIE_REPLY;
        if let Some(answer) = answer {
            self.connected |= kind == RESPONSE;
            self.send(&answer)?;
        }
        Ok(Some(Heard { kind, length, genuine }))
    }
}
