//! People's devices: a key, a place, a plain tunnel.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use doorward_gateway_core::noise::{INITIATION_LEN, Opened, Sealed, Tunnel as _};

use crate::control;
use crate::plain::{Air, PlainTunnel};

/// How many clients there are: one for each device, one with a copied key, one with a key that nobody listed.
pub const CLIENTS: u8 = 6;
/// The gateway's key.
pub const GATEWAY: u8 = 9;

/// A client.
#[derive(Debug)]
pub struct Client {
    number: u8,
    /// Whose key it has.
    pub key: u8,
    /// Its pre-shared key.
    pub psk: i32,
    /// Where it is.
    pub place: SocketAddr,
    tunnel: PlainTunnel,
}

/// A place in the world.
#[must_use]
pub fn place(number: i32) -> SocketAddr {
    let host = u8::try_from(number.rem_euclid(16)).unwrap_or(0);
    SocketAddr::new(IpAddr::from([203, 0, 113, host]), 40_000)
}

impl Client {
    /// Makes one of [`CLIENTS`].
    #[must_use]
    pub fn new(air: &Rc<Air>, number: u8) -> Self {
        let key = match number {
            4 => 0,
            5 => 4,
            own => own,
        };
        Self { number, key, psk: 0, place: place(i32::from(number)), tunnel: tunnel(air, number, key, 0) }
    }

    /// Takes another pre-shared key, as an app does that imports a config: with a tunnel of its own.
    pub fn set_psk(&mut self, air: &Rc<Air>, psk: i32) {
        self.psk = psk;
        self.tunnel = tunnel(air, self.number, self.key, psk);
    }

    /// Begins a handshake.
    pub fn initiation(&mut self) -> Option<Vec<u8>> {
        self.tunnel.initiate(&mut [0; INITIATION_LEN]).map(<[u8]>::to_vec)
    }

    /// Seals a packet, padded.
    pub fn seal(&mut self, packet: &[u8], with_older: bool) -> Option<Vec<u8>> {
        let mut padded = packet.to_vec();
        padded.resize(packet.len().next_multiple_of(16), 0);
        let mut datagram = vec![0; padded.len().saturating_add(32)];
        let sealed = if with_older {
            self.tunnel.seal_with_older(&padded, &mut datagram)
        } else {
            self.tunnel.seal(&padded, &mut datagram)
        };
        matches!(sealed, Sealed::Data(_)).then_some(datagram)
    }

    /// Takes a datagram in; returns what it answers, and whether it was for this client at all.
    pub fn take(&mut self, datagram: &[u8]) -> (Option<Vec<u8>>, bool) {
        let mut buffer = vec![0; datagram.len().max(INITIATION_LEN)];
        match self.tunnel.open(self.place.ip(), datagram, &mut buffer) {
            Opened::Reply(reply) => (Some(reply.to_vec()), true),
            Opened::Packet(_) | Opened::Nothing => (None, true),
            Opened::Refused => (None, false),
        }
    }
}

fn tunnel(air: &Rc<Air>, number: u8, key: u8, psk: i32) -> PlainTunnel {
    let index = u32::from(number).saturating_add(1);
    PlainTunnel::of_device(air, control::key(key), control::key(GATEWAY), control::psk(psk).as_ref(), index)
}
