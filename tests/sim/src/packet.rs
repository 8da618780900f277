//! Inner packets: what a schedule means by one, its bytes, and a look at those that the gateway makes itself.

use std::net::{IpAddr, SocketAddr};

use doorward_gateway_core::FlowTuple;
use doorward_model::Protocol;

use crate::checksum;

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

    /// The same on its way to another destination, which it also speaks of where it is an error.
    #[must_use]
    pub fn led_to(mut self, target: IpAddr) -> Self {
        self.destination.set_ip(target);
        if let Body::Error(about) = &mut self.body {
            about.remote.set_ip(target);
        }
        self
    }

    /// The same from another sender, likewise.
    #[must_use]
    pub fn come_from(mut self, sender: IpAddr) -> Self {
        self.source.set_ip(sender);
        if let Body::Error(about) = &mut self.body {
            about.remote.set_ip(sender);
        }
        self
    }

    /// Writes it, with bytes that follow it where its flaw says so.
    fn write(&self, (sequence, acknowledgement): (u32, u32), id: u16, payload: &[u8]) -> Vec<u8> {
        let v4 = self.source.is_ipv4();
        let (protocol, mut message) = match self.body {
            Body::Tcp(flags) => {
                (6, tcp(self.source.port(), self.destination.port(), (sequence, acknowledgement), flags))
            }
            Body::Udp => (17, udp(self.source.port(), self.destination.port(), payload.len())),
            Body::EchoRequest => (icmp(v4), echo(if v4 { 8 } else { 128 }, self.source.port())),
            Body::EchoReply => (icmp(v4), echo(if v4 { 0 } else { 129 }, self.destination.port())),
            Body::Error(about) => (icmp(v4), error(v4, &about, self.destination.ip() == about.device.ip(), sequence)),
        };
        message.extend(payload);
        let protocol = if self.flaw == Flaw::Protocol { 47 } else { protocol };
        let mut packet = wrap((self.source.ip(), self.destination.ip()), (protocol, id), message, self.flaw);
        match self.flaw {
            // Further than padding to 16 bytes would make good.
            Flaw::Short => packet.truncate(packet.len().saturating_sub(20)),
            Flaw::Padded => packet.extend([0; 5]),
            Flaw::None | Flaw::Fragment | Flaw::Option | Flaw::Protocol => {}
        }
        packet
    }
}

/// A packet with all that its bytes come from, so that they can be written again with other addresses.
#[derive(Debug, Clone)]
pub struct Written {
    /// What it is.
    pub inner: Inner,
    /// The TCP sequence number and what is acknowledged.
    sequence: (u32, u32),
    id: u16,
    payload: Vec<u8>,
}

impl Written {
    /// A packet that its number makes unlike any other.
    #[must_use]
    pub fn new(inner: Inner, number: u32) -> Self {
        Self { inner, sequence: (number, number), id: 0, payload: number.to_be_bytes().to_vec() }
    }

    /// The packets that one stands for: as many, numbered from `number`, each with `size` bytes, the last with `last`.
    #[must_use]
    pub fn train(inner: Inner, number: u32, count: u16, (size, last): (u16, u16)) -> Vec<Self> {
        let segment = |at: u16| {
            let is_last = at.saturating_add(1) == count;
            let mut inner = inner;
            if let (Body::Tcp(flags), false) = (&mut inner.body, is_last) {
                *flags &= !FIN;
            }
            let own = number.saturating_add(u32::from(at));
            let mut payload = vec![7; usize::from(if is_last { last } else { size }.saturating_sub(4))];
            payload.extend(own.to_be_bytes());
            let sequence = (number.wrapping_add(u32::from(at).wrapping_mul(u32::from(size))), number);
            Self { inner, sequence, id: 0xfffe_u16.wrapping_add(at), payload }
        };
        (0..count).map(segment).collect()
    }

    /// The one packet that stands for a train, with the checksum left open; and where that is. Nothing for ICMP, which no
    /// device cuts.
    #[must_use]
    pub fn joined(train: &[Self]) -> Option<(Vec<u8>, (u16, u16))> {
        let (first, last) = (train.first()?, train.last()?);
        let payload: Vec<u8> = train.iter().flat_map(|one| one.payload.iter().copied()).collect();
        let mut packet = last.inner.write(first.sequence, first.id, &payload);
        let protocol = match last.inner.body {
            Body::Tcp(_) => 6,
            Body::Udp => 17,
            Body::EchoRequest | Body::EchoReply | Body::Error(_) => return None,
        };
        let (source, destination) = (last.inner.source.ip(), last.inner.destination.ip());
        let start = if source.is_ipv4() { 20 } else { 40 };
        let open = checksum::leave_open(source, destination, protocol, &mut packet, start)?;
        Some((packet, open))
    }

    /// The same packet with other addresses.
    #[must_use]
    pub fn with(&self, inner: Inner) -> Self {
        Self { inner, ..self.clone() }
    }

    /// All its bytes.
    #[must_use]
    pub fn whole(&self) -> Vec<u8> {
        self.inner.write(self.sequence, self.id, &self.payload)
    }

    /// Its bytes up to the length that its header gives.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut whole = self.whole();
        whole.truncate(own_len(&whole));
        whole
    }

    /// Says whether a packet ends with the number of this one.
    #[must_use]
    pub fn is_in(&self, packet: &[u8]) -> bool {
        packet.last_chunk::<4>() == self.payload.last_chunk::<4>()
    }
}

fn icmp(v4: bool) -> u8 {
    if v4 { 1 } else { 58 }
}

fn tcp(source: u16, destination: u16, (sequence, acknowledgement): (u32, u32), flags: u8) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(source.to_be_bytes());
    message.extend(destination.to_be_bytes());
    message.extend(sequence.to_be_bytes());
    message.extend(acknowledgement.to_be_bytes());
    message.extend([5 << 4, flags, 1, 0, 0, 0, 0, 0]);
    message
}

fn udp(source: u16, destination: u16, payload_len: usize) -> Vec<u8> {
    let mut message = Vec::with_capacity(64);
    message.extend(source.to_be_bytes());
    message.extend(destination.to_be_bytes());
    message.extend(u16::try_from(payload_len.saturating_add(8)).unwrap_or(0).to_be_bytes());
    message.extend([0, 0]);
    message
}

fn echo(kind: u8, id: u16) -> Vec<u8> {
    let [high, low] = id.to_be_bytes();
    vec![kind, 0, 0, 0, high, low, 0, 1]
}

/// An ICMP error of type unreachable, code port, about a packet that went the other way.
fn error(v4: bool, about: &FlowTuple, to_device: bool, sequence: u32) -> Vec<u8> {
    let (source, destination) = if to_device { (about.device, about.remote) } else { (about.remote, about.device) };
    let quoted_v4 = source.is_ipv4();
    let (protocol, quoted) = match about.protocol {
        Protocol::Tcp => (6, tcp(source.port(), destination.port(), (sequence, sequence), ACK)),
        Protocol::Udp => (17, udp(source.port(), destination.port(), 0)),
        Protocol::Icmp if to_device => (icmp(quoted_v4), echo(if quoted_v4 { 8 } else { 128 }, source.port())),
        Protocol::Icmp => (icmp(quoted_v4), echo(if quoted_v4 { 0 } else { 129 }, destination.port())),
    };
    let mut message = if v4 { vec![3, 3, 0, 0, 0, 0, 0, 0] } else { vec![1, 4, 0, 0, 0, 0, 0, 0] };
    message.extend(wrap((source.ip(), destination.ip()), (protocol, 0), quoted, Flaw::None));
    message
}

fn wrap(
    (source, destination): (IpAddr, IpAddr),
    (protocol, id): (u8, u16),
    mut message: Vec<u8>,
    flaw: Flaw,
) -> Vec<u8> {
    checksum::finish(source, destination, protocol, &mut message);
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
            let [id_high, id_low] = id.to_be_bytes();
            packet.extend([0x45_u8.saturating_add(words), 0, high, low, id_high, id_low, more, 0, 64, protocol, 0, 0]);
            packet.extend(a.octets().into_iter().chain(b.octets()));
            packet.extend(option);
            checksum::finish_header(&mut packet);
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
            packet.extend(option);
        }
    }
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
