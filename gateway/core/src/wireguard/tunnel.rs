//! The one caller of boringtun, and everything it needs to be protected from.
//!
//! boringtun reads its own clock and RNG, queues packets in an order of its own, panics on a short buffer, counts a shared
//! rate limiter twice and gives `Done` for a keepalive and a cookie alike. Here it gets checked buffers, a limiter that
//! never limits, no queue to fill, and its answers become plain values. It makes cookies for an address alone; here they
//! are for address and port.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use boringtun::noise::handshake::parse_handshake_anon;
use boringtun::noise::rate_limiter::RateLimiter;
use boringtun::noise::{Packet, Tunn, TunnResult};
use doorward_model::{PresharedKey, PublicKey};
use sha2::{Digest as _, Sha256};
use x25519_dalek::StaticSecret;

use super::noise::{COOKIE_REPLY_LEN, DATA_OVERHEAD, INITIATION_LEN, Noise, Opened, Proof, Sealed, Ticked, Tunnel};

/// One device's tunnel as boringtun keeps it.
pub struct BoringtunTunnel(Tunn);

impl Tunnel for BoringtunTunnel {
    fn open<'b>(&mut self, source: IpAddr, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b> {
        // An empty datagram asks boringtun for its own queue, and a short buffer makes it panic.
        if datagram.is_empty() || into.len() < datagram.len().max(INITIATION_LEN) {
            return Opened::Refused;
        }
        match self.0.decapsulate(Some(source), datagram, into) {
            TunnResult::WriteToTunnelV4(packet, _) | TunnResult::WriteToTunnelV6(packet, _) => Opened::Packet(packet),
            TunnResult::WriteToNetwork(reply) => Opened::Reply(reply),
            TunnResult::Done => Opened::Nothing,
            TunnResult::Err(_) => Opened::Refused,
        }
    }

    fn seal(&mut self, packet: &[u8], into: &mut [u8]) -> Sealed {
        let want = packet.len().saturating_add(DATA_OVERHEAD);
        if into.len() < want {
            return Sealed::NoSession;
        }
        match self.0.encapsulate(packet, into) {
            // Without a session boringtun writes an initiation instead, of another type.
            TunnResult::WriteToNetwork(sent) if sent.first() == Some(&4) && sent.len() == want => Sealed::Data(want),
            TunnResult::WriteToNetwork(_)
            | TunnResult::Done
            | TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => Sealed::NoSession,
        }
    }

    fn initiate<'b>(&mut self, into: &'b mut [u8; INITIATION_LEN]) -> Option<&'b [u8]> {
        match self.0.format_handshake_initiation(into, true) {
            TunnResult::WriteToNetwork(sent) => Some(sent),
            TunnResult::Done
            | TunnResult::Err(_)
            | TunnResult::WriteToTunnelV4(..)
            | TunnResult::WriteToTunnelV6(..) => None,
        }
    }

    fn tick<'b>(&mut self, into: &'b mut [u8; INITIATION_LEN]) -> Ticked<'b> {
        match self.0.update_timers(into) {
            TunnResult::WriteToNetwork(sent) => Ticked::Send(sent),
            TunnResult::Err(_) => Ticked::Expired,
            TunnResult::Done | TunnResult::WriteToTunnelV4(..) | TunnResult::WriteToTunnelV6(..) => Ticked::Nothing,
        }
    }
}

/// WireGuard's Noise by boringtun, with the gateway's own key: what a [`Gateway`](crate::Gateway) runs by default.
pub struct Boringtun {
    secret: StaticSecret,
    public: x25519_dalek::PublicKey,
    /// Checks mac1 and never limits; tunnels share it, because a limiter that counts would count twice.
    macs: Arc<RateLimiter>,
    /// Always under load: it lets pass only what carries a cookie. The cookies' secret changes every 128 s.
    cookies: RateLimiter,
}

impl Boringtun {
    /// Takes the gateway's private key.
    #[must_use]
    pub fn new(secret: StaticSecret) -> Self {
        let public = x25519_dalek::PublicKey::from(&secret);
        Self {
            secret,
            public,
            macs: Arc::new(RateLimiter::new(&public, u64::MAX)),
            cookies: RateLimiter::new(&public, 0),
        }
    }
}

impl Noise for Boringtun {
    type Tunnel = BoringtunTunnel;

    fn is_own(&self, key: &PublicKey) -> bool {
        key.as_bytes() == self.public.as_bytes()
    }

    fn tunnel(&self, key: &PublicKey, preshared_key: Option<&PresharedKey>, index: u32) -> BoringtunTunnel {
        BoringtunTunnel(Tunn::new(
            self.secret.clone(),
            x25519_dalek::PublicKey::from(*key.as_bytes()),
            preshared_key.map(|key| *key.expose_secret()),
            None,
            index & 0x00ff_ffff,
            Some(Arc::clone(&self.macs)),
        ))
    }

    fn mac_is_right(&self, datagram: &[u8]) -> bool {
        self.macs.verify_packet(None, datagram, &mut []).is_ok()
    }

    fn prove(&self, source: SocketAddr, datagram: &[u8]) -> Proof {
        let mut reply = [0; COOKIE_REPLY_LEN];
        match self.cookies.verify_packet(Some(stand_in(source)), datagram, &mut reply) {
            Ok(_) => Proof::Proven,
            Err(TunnResult::WriteToNetwork(cookie)) => Proof::Cookie(cookie.to_vec()),
            Err(_) => Proof::Refused,
        }
    }

    fn claimed_key(&self, datagram: &[u8]) -> Option<PublicKey> {
        let Ok(Packet::HandshakeInit(initiation)) = Tunn::parse_incoming_packet(datagram) else { return None };
        let half = parse_handshake_anon(&self.secret, &self.public, &initiation).ok()?;
        PublicKey::from_bytes(half.peer_static_public).ok()
    }
}

/// An address that stands for address and port: boringtun makes a cookie for an address, and the whitepaper (section
/// 5.4.7) asks for both, so that a neighbour behind the same address cannot use it.
fn stand_in(source: SocketAddr) -> IpAddr {
    let mut digest = Sha256::new();
    match source.ip() {
        IpAddr::V4(v4) => digest.update(v4.octets()),
        IpAddr::V6(v6) => digest.update(v6.octets()),
    }
    digest.update(source.port().to_be_bytes());
    let digest: [u8; 32] = digest.finalize().into();
    // 128 bits of it collide for nobody; boringtun hashes them once more, with its secret.
    IpAddr::V6(digest.first_chunk::<16>().map_or(Ipv6Addr::UNSPECIFIED, |octets| Ipv6Addr::from_octets(*octets)))
}
