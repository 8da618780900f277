//! Inner packets: what a schedule means by one, its bytes, and a look at those that the gateway makes itself.

use std::net::{IpAddr, SocketAddr};

use doorward_gateway_core::FlowTuple;
use doorward_model::Protocol;

/// TCP flags (RFC 9293 section 3.1).
pub const FIN: u8 = 0x01;
/// Opens a connection.
pub const SYN: u8 = 0x02;
/// Resets it.
pub const RST: u8 = 0x04;
/// Acknowledges.
pub const ACK: u8 = 0x10;

/// What a packet carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Body {
    /// TCP, with its flags.
    Tcp(u8),
    /// UDP.
    Udp,
    /// ICMP echo; the port of the one who asks is its identifier.
    EchoRequest,
    /// Its reply.
    EchoReply,
    /// An ICMP error about a packet of this flow that went the other way.
    Error(FlowTuple),
}

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Nothing.
    None,
    /// It is a fragment.
    Fragment,
    /// It has a source route or an extension header.
    Option,
    /// It ends before its length.
    Short,
    /// Its protocol is GRE.
    Protocol,
    /// Nothing, but bytes follow it.
    Padded,
}

/// A packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Inner {
    /// The sender; the port is 0 where there is none.
    pub source: SocketAddr,
    /// The receiver.
    pub destination: SocketAddr,
    /// What it carries.
    pub body: Body,
    /// What is wrong with it.
    pub flaw: Flaw,
}

impl Inner {
    /// Its protocol, as rules name it; an error has none.
    #[must_use]
    pub fn protocol(&self) -> Option<Protocol> {
        match self.body {
            Body::Tcp(_) => Some(Protocol::Tcp),
            Body::Udp => Some(Protocol::Udp),
            Body::EchoRequest | Body::EchoReply => Some(Protocol::Icmp),
            Body::Error(_) => None,
        }
    }

    /// Writes it. `number` makes it unlike any other.
    #[must_use]
    pub fn bytes(&self, number: u32) -> Vec<u8> {
        let v4 = self.source.is_ipv4();
        let (protocol, mut message) = match self.body {
            Body::Tcp(flags) => (6, tcp(self.source.port(), self.destination.port(), number, flags)),
            Body::Udp => (17, udp(self.source.port(), self.destination.port(), number)),
            Body::EchoRequest => (icmp(v4), echo(if v4 { 8 } else { 128 }, self.source.port(), number)),
            Body::EchoReply => (icmp(v4), echo(if v4 { 0 } else { 129 }, self.destination.port(), number)),
            Body::Error(about) => (icmp(v4), error(v4, &about, self.destination.ip() == about.device.ip(), number)),
        };
        message.extend(number.to_be_bytes());
        if matches!(self.body, Body::Udp) {
            let len = u16::try_from(message.len()).unwrap_or(0).to_be_bytes();
            message.iter_mut().skip(4).zip(len).for_each(|(to, from)| *to = from);
        }
        let protocol = if self.flaw == Flaw::Protocol { 47 } else { protocol };
        let mut packet = wrap(self.source.ip(), self.destination.ip(), protocol, &message, self.flaw);
        match self.flaw {
            // Further than padding to 16 bytes would make good.
            Flaw::Short => packet.truncate(packet.len().saturating_sub(20)),
            Flaw::Padded => packet.extend([0; 5]),
            Flaw::None | Flaw::Fragment | Flaw::Option | Flaw::Protocol => {}
        }
        packet
    }
}

fn icmp(v4: bool) -> u8 {
    if v4 { 1 } else { 58 }
}

fn tcp(source: u16, destination: u16, number: u32, flags: u8) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(source.to_be_bytes());
    message.extend(destination.to_be_bytes());
    message.extend(number.to_be_bytes());
    message.extend(number.to_be_bytes());
    message.extend([5 << 4, flags, 1, 0, 0, 0, 0, 0]);
    message
}

fn udp(source: u16, destination: u16, _: u32) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(source.to_be_bytes());
    message.extend(destination.to_be_bytes());
    message.extend([0, 12, 0, 0]);
    message
}

fn echo(kind: u8, id: u16, _: u32) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![kind, 0, 0, 0, high, low, 0, 1]
}

/// An ICMP error of type unreachable, code port, about a packet that went the other way.
fn error(v4: bool, about: &FlowTuple, to_device: bool, number: u32) -> Vec<u8> {
    let (source, destination) = if to_device { (about.device, about.remote) } else { (about.remote, about.device) };
    let quoted_v4 = source.is_ipv4();
    let (protocol, quoted) = match about.protocol {
        Protocol::Tcp => (6, tcp(source.port(), destination.port(), number, ACK)),
        Protocol::Udp => (17, udp(source.port(), destination.port(), number)),
        Protocol::Icmp if to_device => (icmp(quoted_v4), echo(if quoted_v4 { 8 } else { 128 }, source.port(), 0)),
        Protocol::Icmp => (icmp(quoted_v4), echo(if quoted_v4 { 0 } else { 129 }, destination.port(), 0)),
    };
    let mut message = if v4 { vec![3, 3, 0, 0, 0, 0, 0, 0] } else { vec![1, 4, 0, 0, 0, 0, 0, 0] };
    message.extend(wrap(source.ip(), destination.ip(), protocol, &quoted, Flaw::None));
    message
}

fn wrap(source: IpAddr, destination: IpAddr, protocol: u8, message: &[u8], flaw: Flaw) -> Vec<u8> {
    let len = |extra: usize| u16::try_from(message.len().saturating_add(extra)).unwrap_or(0).to_be_bytes();
    let option: &[u8] = match (source, flaw) {
        // A loose source route (RFC 791 section 3.1).
        (IpAddr::V4(_), Flaw::Option) => &[131, 7, 4, 10, 0, 0, 1, 0],
        // A hop-by-hop header with padding (RFC 8200 section 4.3).
        (IpAddr::V6(_), Flaw::Option) => &[protocol, 0, 1, 4, 0, 0, 0, 0],
        // A fragment header with an offset of 0 and more to come (RFC 8200 section 4.5).
        (IpAddr::V6(_), Flaw::Fragment) => &[protocol, 0, 0, 1, 0, 0, 0, 7],
        (_, Flaw::None | Flaw::Fragment | Flaw::Short | Flaw::Protocol | Flaw::Padded) => &[],
    };
    let mut packet = Vec::with_capacity(message.len().saturating_add(56));
    match (source, destination) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let [high, low] = len(20_usize.saturating_add(option.len()));
            let words = u8::try_from(option.len() / 4).unwrap_or(0);
            let more = if flaw == Flaw::Fragment { 0x20 } else { 0 };
            packet.extend([0x45_u8.saturating_add(words), 0, high, low, 0, 0, more, 0, 64, protocol, 0, 0]);
            packet.extend(a.octets().into_iter().chain(b.octets()));
        }
        (a, b) => {
            let mapped = |address: IpAddr| match address {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            let [high, low] = len(option.len());
            let next = match flaw {
                Flaw::Option => 0,
                Flaw::Fragment => 44,
                Flaw::None | Flaw::Short | Flaw::Protocol | Flaw::Padded => protocol,
            };
            packet.extend([0x60, 0, 0, 0, high, low, next, 64]);
            packet.extend(mapped(a).into_iter().chain(mapped(b)));
        }
    }
    packet.extend(option);
    packet.extend(message);
    packet
}

/// The length that a packet's header gives.
#[must_use]
pub fn own_len(packet: &[u8]) -> usize {
    let at = |place: usize| packet.get(place).copied().unwrap_or(0);
    match at(0) >> 4 {
        4 => usize::from(u16::from_be_bytes([at(2), at(3)])),
        _ => usize::from(u16::from_be_bytes([at(4), at(5)])).saturating_add(40),
    }
}

/// What a packet of the gateway's own is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Own {
    /// A TCP reset, from and to.
    Reset(SocketAddr, SocketAddr),
    /// ICMP "administratively prohibited" to that address.
    Prohibited(IpAddr),
}

/// Looks at a packet that the gateway made; `None` for anything that it has no reason to make.
#[must_use]
pub fn look(packet: &[u8]) -> Option<Own> {
    let at = |place: usize| packet.get(place).copied();
    let (source, destination, protocol, start) = match at(0)? >> 4 {
        4 => {
            let octets = |place: usize| packet.get(place..)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets));
            (octets(12)?, octets(16)?, at(9)?, 20)
        }
        6 => {
            let octets = |place: usize| packet.get(place..)?.first_chunk::<16>().map(|octets| IpAddr::from(*octets));
            (octets(8)?, octets(24)?, at(6)?, 40)
        }
        _ => return None,
    };
    let message = packet.get(start..)?;
    let port = |place: usize| message.get(place..)?.first_chunk::<2>().map(|bytes| u16::from_be_bytes(*bytes));
    match (protocol, message.first()?, message.get(1)?) {
        (6, _, _) if message.get(13)? & RST != 0 => {
            Some(Own::Reset(SocketAddr::new(source, port(0)?), SocketAddr::new(destination, port(2)?)))
        }
        (1, 3, 13) | (58, 1, 1) => Some(Own::Prohibited(destination)),
        _ => None,
    }
}
