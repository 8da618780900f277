//! The seam at which cryptography stands: what the core asks of WireGuard's Noise handshake and transport, and nothing
//! more.
//!
//! [`Boringtun`](super::tunnel::Boringtun) is what a gateway runs. A simulation puts a plain stand-in here and gets the
//! same machine around it: the core is generic over [`Noise`], so that nothing on the packet path is looked up at run
//! time.
//!
//! # What an implementation keeps to
//! - Messages have WireGuard's types, lengths and places of indices (whitepaper, section 5.4): the core tells them apart
//!   by these before it asks.
//! - The 32-bit sender index of a session is `index << 8 | n`: `index` is the 24 bits that the core handed to
//!   [`Noise::tunnel`], `n` counts the tunnel's handshakes and wraps. Of sessions that share the low three bits of `n`
//!   the latest stays.
//! - [`Tunnel::seal`] uses the latest session on which something came in, or which this side initiated.
//! - Data is opened once a counter. Initiations whose timestamp is not later than the last one are refused.
//!
//! What it need not do: look at ages, endpoints, source addresses or policy. The core does, with its own clocks.

use std::net::{IpAddr, SocketAddr};

use doorward_model::{PresharedKey, PublicKey};

pub use super::message::{COOKIE_REPLY_LEN, DATA_OVERHEAD, INITIATION_LEN, RESPONSE_LEN};

/// What opening a datagram gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Opened<'a> {
    /// An inner packet, in place, so that an address in it can be replaced without a copy.
    Packet(&'a mut [u8]),
    /// A keepalive, or a cookie that was taken in.
    Nothing,
    /// A handshake message, or the keepalive that confirms one, to send back.
    Reply(&'a [u8]),
    /// Wrong key, replay, or no such session.
    Refused,
}

/// What sealing a packet gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Sealed {
    /// A transport message of that length.
    Data(usize),
    /// There is no session after all.
    NoSession,
}

/// What a tunnel's timers gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Ticked<'a> {
    /// A keepalive or an initiation to send.
    Send(&'a [u8]),
    /// Nothing is due.
    Nothing,
    /// All sessions are gone, and nobody is trying.
    Expired,
}

/// Whether a sender proved its address.
#[derive(Debug)]
pub enum Proof {
    /// It carries a cookie made for that address and port.
    Proven,
    /// It does not; this cookie reply, of [`COOKIE_REPLY_LEN`] bytes, asks it to.
    Cookie(Vec<u8>),
    /// It is not even a handshake message.
    Refused,
}

/// One device's Noise state and transport keys.
pub trait Tunnel {
    /// Opens any message from the network. `into` is at least as long as the datagram and [`INITIATION_LEN`].
    fn open<'b>(&mut self, source: IpAddr, datagram: &[u8], into: &'b mut [u8]) -> Opened<'b>;
    /// Seals a packet; `into` is [`DATA_OVERHEAD`] longer than it.
    fn seal(&mut self, packet: &[u8], into: &mut [u8]) -> Sealed;
    /// Writes an initiation; the caller knows whether one is under way already.
    fn initiate<'b>(&mut self, into: &'b mut [u8; INITIATION_LEN]) -> Option<&'b [u8]>;
    /// Runs the timers; due every 250 ms while the tunnel lives, and before a handshake after a silence.
    fn tick<'b>(&mut self, into: &'b mut [u8; INITIATION_LEN]) -> Ticked<'b>;
}

/// The gateway's own key, and what follows from it.
pub trait Noise {
    /// The tunnels it makes.
    type Tunnel: Tunnel;

    /// Says whether this is the gateway's own public key.
    fn is_own(&self, key: &PublicKey) -> bool;
    /// Makes a tunnel to the device with that key; `index` has 24 bits.
    fn tunnel(&self, key: &PublicKey, preshared_key: Option<&PresharedKey>, index: u32) -> Self::Tunnel;
    /// Checks mac1 of a handshake message (whitepaper, section 5.4.4).
    fn mac_is_right(&self, datagram: &[u8]) -> bool;
    /// Checks mac2 of a handshake message, or writes a cookie reply (whitepaper, section 5.4.7).
    fn prove(&self, source: SocketAddr, datagram: &[u8]) -> Proof;
    /// Reads the sender's public key out of an initiation. It is a claim, not yet a proof.
    fn claimed_key(&self, datagram: &[u8]) -> Option<PublicKey>;

    /// Says whether the sender of an initiation has the private key it claims: a tunnel that is thrown away answers it.
    fn is_authentic(&self, key: &PublicKey, source: IpAddr, datagram: &[u8]) -> bool {
        let mut reply = [0; INITIATION_LEN];
        matches!(self.tunnel(key, None, 0).open(source, datagram, &mut reply), Opened::Reply(_))
    }
}
