//! Return traffic: flows that an allowed packet from a device opened, tied to its lease and grant.
//!
//! A flow has two names: the tuple that the device sees, and the one on the network behind the gateway, where a target
//! stands in a service address's place. They are the same for what the device addresses itself.
//!
//! A flow admits packets to the device; it never outlives the rule that opened it, and each use compares its window
//! with the clocks. Bounded per device and in all; the longest idle goes first.

mod table;
mod tcp;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use doorward_model::{DeviceId, GrantId, Protocol, ResourceName};

use crate::access::decision::{Asked, Ground, Road};
use crate::clock::Window;
use crate::packet::parse::{Body, ICMP_V4, ICMP_V6, Packet, Quoted, TCP, UDP};
use crate::packet::reset::Reset;
use crate::{BootTime, FlowTuple, Now};

pub(crate) use table::FlowTable;

/// An open TCP connection may be silent for 2 h, the default of TCP keepalive (RFC 9293 section 3.8.4).
const TCP_OPEN_IDLE: Duration = Duration::from_secs(7_200);
/// A TCP connection that is not open yet, or closing.
const TCP_HALF_IDLE: Duration = Duration::from_secs(60);
/// UDP, above the 2 min that RFC 4787 (REQ-5) asks for.
const UDP_IDLE: Duration = Duration::from_secs(180);
/// UDP to the resolver: each question has a port of its own, and none may push out a person's connections.
const QUESTION_IDLE: Duration = Duration::from_secs(10);
/// ICMP echo.
const ICMP_IDLE: Duration = Duration::from_secs(30);

/// One live flow, as the core accounts it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStatus {
    /// Its ends on the network behind the gateway.
    pub tuple: FlowTuple,
    /// The device that opened it.
    pub device: DeviceId,
    /// The grant that allowed it; `None` for questions to the resolver.
    pub grant: Option<GrantId>,
    /// The resource it leads to; `None` for questions to the resolver.
    pub resource: Option<ResourceName>,
    /// Packets from the device.
    pub packets_up: u64,
    /// Their bytes, IP headers included.
    pub bytes_up: u64,
    /// Packets to the device.
    pub packets_down: u64,
    /// Their bytes, IP headers included.
    pub bytes_down: u64,
}

/// Which way a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    FromDevice,
    ToDevice,
}

/// What names a flow, packed for hashing: IPv4 addresses are mapped, and a bit keeps the families apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct FlowKey {
    device: u128,
    remote: u128,
    rest: u64,
}

const V6_BIT: u64 = 1 << 40;

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl FlowKey {
    fn new(protocol: Protocol, device: IpAddr, device_port: u16, remote: IpAddr, remote_port: u16) -> Self {
        let number: u64 = match protocol {
            Protocol::Tcp => 1,
            Protocol::Udp => 2,
            Protocol::Icmp => 3,
        };
        let family = if device.is_ipv6() { V6_BIT } else { 0 };
        Self {
            device: bits(device),
            remote: bits(remote),
            rest: family | number << 32 | u64::from(device_port) << 16 | u64::from(remote_port),
        }
    }

    /// Names the flow of a packet that goes the given way; `None` for what has no flow of its own.
    pub(crate) fn of(packet: &Packet<'_>, direction: Direction) -> Option<Self> {
        let (protocol, source_port, destination_port) = match (packet.body, direction) {
            (Body::Tcp(segment), _) => (Protocol::Tcp, segment.source_port, segment.destination_port),
            (Body::Udp { source_port, destination_port }, _) => (Protocol::Udp, source_port, destination_port),
            (Body::EchoRequest { id }, Direction::FromDevice) => (Protocol::Icmp, id, 0),
            (Body::EchoReply { id }, Direction::ToDevice) => (Protocol::Icmp, 0, id),
            (Body::EchoRequest { .. } | Body::EchoReply { .. } | Body::Error(_), _) => return None,
        };
        Some(match direction {
            Direction::FromDevice => {
                Self::new(protocol, packet.source, source_port, packet.destination, destination_port)
            }
            Direction::ToDevice => {
                Self::new(protocol, packet.destination, destination_port, packet.source, source_port)
            }
        })
    }

    /// Names the flow that an ICMP error going `direction` is about: the quoted packet went the other way.
    pub(crate) fn of_quoted(quoted: &Quoted, direction: Direction) -> Option<Self> {
        let protocol = match quoted.protocol {
            TCP => Protocol::Tcp,
            UDP => Protocol::Udp,
            ICMP_V4 | ICMP_V6 => Protocol::Icmp,
            _ => return None,
        };
        Some(match (direction, protocol) {
            (Direction::ToDevice, Protocol::Tcp | Protocol::Udp | Protocol::Icmp) => {
                Self::new(protocol, quoted.source, quoted.source_port, quoted.destination, quoted.destination_port)
            }
            (Direction::FromDevice, Protocol::Icmp) => {
                Self::new(protocol, quoted.destination, quoted.source_port, quoted.source, 0)
            }
            (Direction::FromDevice, Protocol::Tcp | Protocol::Udp) => {
                Self::new(protocol, quoted.destination, quoted.destination_port, quoted.source, quoted.source_port)
            }
        })
    }

    pub(crate) fn protocol(&self) -> Protocol {
        match self.rest >> 32 & 0xff {
            1 => Protocol::Tcp,
            2 => Protocol::Udp,
            _ => Protocol::Icmp,
        }
    }

    fn address(&self, bits: u128) -> IpAddr {
        let v6 = Ipv6Addr::from_bits(bits);
        match v6.to_ipv4_mapped() {
            Some(v4) if self.rest & V6_BIT == 0 => IpAddr::V4(v4),
            Some(_) | None => IpAddr::V6(v6),
        }
    }

    /// The device's end.
    pub(crate) fn device(&self) -> SocketAddr {
        SocketAddr::new(self.address(self.device), u16::try_from(self.rest >> 16 & 0xffff).unwrap_or(0))
    }

    /// The resource's end.
    pub(crate) fn remote(&self) -> SocketAddr {
        SocketAddr::new(self.address(self.remote), u16::try_from(self.rest & 0xffff).unwrap_or(0))
    }

    /// The name of the same flow on the network behind the gateway.
    fn on_network(&self, road: &Road) -> Self {
        match road.target() {
            Some(target) => Self { remote: bits(target), ..*self },
            None => *self,
        }
    }

    pub(crate) fn tuple(&self) -> FlowTuple {
        FlowTuple { protocol: self.protocol(), device: self.device(), remote: self.remote() }
    }
}

/// One flow.
#[derive(Debug)]
pub(crate) struct Flow {
    /// Its ends as the device sees them.
    pub(crate) key: FlowKey,
    /// How it gets to its target.
    pub(crate) road: Road,
    /// The device's place in the device table.
    pub(crate) device: u32,
    pub(crate) ground: Ground,
    /// The rule's validity, compared on each packet.
    pub(crate) window: Window,
    last_used: BootTime,
    connection: tcp::Connection,
    up: Traffic,
    down: Traffic,
    /// Neighbours in the device's list, oldest use first.
    previous: u32,
    next: u32,
}

#[derive(Debug, Default, Clone, Copy)]
struct Traffic {
    packets: u64,
    bytes: u64,
}

impl Flow {
    /// Lets it go on on another ground; says whether its validity is another one than before.
    pub(crate) fn move_to(&mut self, ground: Ground, window: Window) -> bool {
        self.ground = ground;
        std::mem::replace(&mut self.window, window) != window
    }

    /// How long it may stay unused.
    fn idle_max(&self) -> Duration {
        match self.key.protocol() {
            Protocol::Tcp if self.connection.is_open() && !self.connection.is_closing() => TCP_OPEN_IDLE,
            Protocol::Tcp => TCP_HALF_IDLE,
            Protocol::Udp if self.ground == Ground::Resolver => QUESTION_IDLE,
            Protocol::Udp => UDP_IDLE,
            Protocol::Icmp => ICMP_IDLE,
        }
    }

    fn is_idle(&self, now: Now) -> bool {
        now.boot.since(self.last_used) >= self.idle_max()
    }

    /// What the device asked for when it opened it.
    pub(crate) fn asked(&self) -> Asked {
        let remote = self.key.remote();
        (self.key.protocol(), remote.ip(), remote.port())
    }

    /// Its ends on the network behind the gateway, where connection tracking sees it.
    pub(crate) fn network_tuple(&self) -> FlowTuple {
        self.key.on_network(&self.road).tuple()
    }

    /// The service address that its target has for the device; `None` where the device knows the target itself.
    pub(crate) fn service(&self) -> Option<IpAddr> {
        self.road.target().map(|_| self.key.remote().ip())
    }

    /// The resets that end it on the device's side; none unless it is TCP.
    pub(crate) fn resets_to_device(&self) -> impl Iterator<Item = Reset> + use<> {
        let resets = (self.key.protocol() == Protocol::Tcp)
            .then(|| self.connection.resets_to_device(self.key.device(), self.key.remote()));
        resets.into_iter().flatten()
    }

    /// The resets that end it on the resource's side.
    pub(crate) fn resets_to_remote(&self) -> impl Iterator<Item = Reset> + use<> {
        let resets = (self.key.protocol() == Protocol::Tcp)
            .then(|| self.connection.resets_to_remote(self.key.device(), self.network_tuple().remote));
        resets.into_iter().flatten()
    }

    pub(crate) fn status(&self, device: DeviceId, resource: Option<ResourceName>) -> FlowStatus {
        FlowStatus {
            tuple: self.network_tuple(),
            device,
            grant: self.ground.grant(),
            resource,
            packets_up: self.up.packets,
            bytes_up: self.up.bytes,
            packets_down: self.down.packets,
            bytes_down: self.down.bytes,
        }
    }
}
