//! Steps that send packets.

use std::net::{IpAddr, SocketAddr};

use doorward_gateway_core::{FlowTuple, Offload, Segmentation};
use doorward_model::Protocol;

use super::{Ends, Offered, World, nothing_else, number};
use crate::client::{self, CLIENTS};
use crate::control::{self, DEVICES};
use crate::model::Verdict;
use crate::packet::{ACK, Body, FIN, Flaw, Inner, RST, SYN, Written};
use crate::step::Step;
use crate::subject::{Packets, Train};

/// Bytes that each packet of a train carries, but for the last.
const SEGMENT_LEN: u16 = 64;

fn flaw(number: i32) -> Flaw {
    match number {
        1 => Flaw::Fragment,
        2 => Flaw::Option,
        3 => Flaw::Short,
        4 => Flaw::Protocol,
        5 => Flaw::Padded,
        _ => Flaw::None,
    }
}

/// The address of a device in the family of another address.
fn address(device: u8, like: IpAddr) -> IpAddr {
    let (v4, v6) = control::addresses(device);
    if like.is_ipv4() { IpAddr::V4(v4) } else { IpAddr::V6(v6) }
}

fn port(number: i32) -> u16 {
    4_000_u16.saturating_add(u16::try_from(number.rem_euclid(16)).unwrap_or(0))
}

/// A flow that is not quite the one it is; `other` is its other name.
fn bent(tuple: FlowTuple, bend: i32, other: FlowTuple) -> FlowTuple {
    let FlowTuple { protocol, mut device, mut remote } = tuple;
    match bend {
        1 => device.set_port(device.port() ^ 1),
        2 => remote.set_ip(if remote.is_ipv4() { control::destination(2) } else { control::destination(8) }),
        3 => device.set_ip(address(3, device.ip())),
        4 => remote = other.remote,
        _ => {}
    }
    FlowTuple { protocol, device, remote }
}

impl World {
    /// Steps that send packets.
    #[expect(clippy::wildcard_enum_match_arm, reason = "`World::step` hands over these alone")]
    pub(super) fn traffic(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Up { client, place, source, to, kind, port: local, service, flaw: wrong, older } => {
                let client = number(client, CLIENTS);
                if place >= 0
                    && let Some(client) = self.client(client)
                {
                    client.place = client::place(place);
                }
                let inner = self.inner_up(client, (source, to), (kind, local, service), flaw(wrong));
                self.send_up(client, inner, older == 1)
            }
            Step::UpError { client, flow, bend } => {
                let client = number(client, CLIENTS);
                let Ends { seen, behind } = self.flow(flow);
                let about = bent(seen, bend, behind);
                let owner = address(self.key_of(client), about.device.ip());
                let (source, destination) = (SocketAddr::new(owner, 0), SocketAddr::new(about.remote.ip(), 0));
                self.send_up(client, Inner { source, destination, body: Body::Error(about), flaw: Flaw::None }, false)
            }
            Step::Down { flow, bend, kind, flaw: wrong } => {
                let Ends { seen, behind } = self.flow(flow);
                let tuple = bent(behind, bend, seen);
                let packet = Written::new(inner_down(tuple, kind, flaw(wrong)), self.unlike());
                let whole = packet.whole();
                self.send_down(vec![packet], Offload::NONE, whole)
            }
            Step::DownMany { flow, bend, kind, parts, last } => {
                let Ends { seen, behind } = self.flow(flow);
                let inner = inner_down(bent(behind, bend, seen), kind.rem_euclid(2), Flaw::None);
                self.send_train(inner, parts, last)
            }
            Step::Replay { back, place } => {
                let datagram = self.sent(back).unwrap_or_default();
                self.receive(client::place(place), datagram)
            }
            Step::Tamper { back, place, byte } => {
                let mut datagram = self.sent(back).unwrap_or_default();
                if let Some(byte) = usize::try_from(byte).ok().and_then(|at| datagram.get_mut(at)) {
                    *byte ^= 0x41;
                }
                self.receive(client::place(place), datagram)
            }
            Step::Rubbish { kind, len } => {
                let mut datagram = vec![0; usize::try_from(len.rem_euclid(2_000)).unwrap_or(0)];
                if let (Some(first), Ok(kind)) = (datagram.first_mut(), u8::try_from(kind)) {
                    *first = kind;
                }
                self.receive(client::place(0), datagram)
            }
            _ => Ok(()),
        }
    }

    fn key_of(&self, client: u8) -> u8 {
        self.clients.get(usize::from(client)).map_or(0, |client| client.key)
    }

    /// A flow that was opened, counted back; the first of all flows where there is none.
    fn flow(&self, back: i32) -> Ends {
        let at = usize::try_from(back.max(0)).unwrap_or(0) % self.opened.len().max(1);
        self.opened.iter().rev().nth(at).copied().unwrap_or_else(|| {
            let remote = control::destination(0);
            let device = SocketAddr::new(address(0, remote), 4_000);
            let tuple = FlowTuple { protocol: Protocol::Tcp, device, remote: SocketAddr::new(remote, 5_432) };
            Ends { seen: tuple, behind: tuple }
        })
    }

    fn sent(&self, back: i32) -> Option<Vec<u8>> {
        self.history.iter().rev().nth(usize::try_from(back).ok()?).cloned()
    }

    fn inner_up(
        &self,
        client: u8,
        (source, to): (i32, i32),
        (kind, local, service): (i32, i32, i32),
        flaw: Flaw,
    ) -> Inner {
        let to = control::destination(to);
        let key = self.key_of(client);
        let from = match source {
            1 => address((key + 1) % DEVICES, to),
            2 => {
                if to.is_ipv4() {
                    control::destination(2)
                } else {
                    control::destination(8)
                }
            }
            _ => address(key, to),
        };
        let services: [u16; 4] = if kind == 4 { [53, 443, 5_432, 80] } else { [5_432, 443, 53, 80] };
        let service = usize::try_from(service).ok().and_then(|at| services.get(at)).copied().unwrap_or(22);
        let body = match kind {
            0 => Body::Tcp(SYN),
            1 => Body::Tcp(ACK),
            2 => Body::Tcp(FIN | ACK),
            3 => Body::Tcp(RST),
            4 => Body::Udp,
            5 => Body::EchoRequest,
            _ => Body::EchoReply,
        };
        Inner { source: SocketAddr::new(from, port(local)), destination: SocketAddr::new(to, service), body, flaw }
    }

    /// A number that makes a packet unlike all others.
    fn unlike(&self) -> u32 {
        u32::try_from(self.up.len().saturating_add(self.down.len())).unwrap_or(0).saturating_add(1_000)
    }

    fn send_up(&mut self, client: u8, inner: Inner, older: bool) -> Result<(), String> {
        let packet = Written::new(inner, self.unlike());
        let whole = packet.whole();
        let Some(client) = self.client(client) else { return Ok(()) };
        let place = client.place;
        let Some(datagram) = client.seal(&whole, older) else { return Ok(()) };
        self.up.push(Offered { packet, boot: self.now.boot, gone: false });
        self.receive(place, datagram)
    }

    /// Packets of a resource come joined, as a kernel with offloads gives them.
    fn send_train(&mut self, inner: Inner, parts: i32, last: i32) -> Result<(), String> {
        let parts = u16::try_from(parts.rem_euclid(16)).unwrap_or(0).max(1);
        let last = u16::try_from(last.rem_euclid(65)).unwrap_or(0).max(4);
        let train = Written::train(inner, self.unlike(), parts, (SEGMENT_LEN, last));
        let Some((whole, checksum)) = Written::joined(&train) else { return Ok(()) };
        let segmentation = match inner.body {
            Body::Tcp(_) if parts > 1 => Segmentation::Tcp { size: SEGMENT_LEN },
            Body::Udp if parts > 1 => Segmentation::Udp { size: SEGMENT_LEN },
            Body::Tcp(_) | Body::Udp | Body::EchoRequest | Body::EchoReply | Body::Error(_) => Segmentation::None,
        };
        self.send_down(train, Offload { checksum: Some(checksum), segmentation }, whole)
    }

    /// Packets of a resource come as `whole`. They pass all or not at all.
    fn send_down(&mut self, packets: Vec<Written>, offload: Offload, mut whole: Vec<u8>) -> Result<(), String> {
        let Some(inner) = packets.last().map(|packet| packet.inner) else { return Ok(()) };
        let count = packets.len();
        let (verdict, device, service) = self.model.down(self.now, &inner);
        let boot = self.now.boot;
        self.down.extend(packets.into_iter().map(|packet| Offered { packet, boot, gone: false }));
        let (mut packets, mut train) = (Packets::default(), Train::default());
        let now = self.core_now();
        let has_end = self.subject.tunnel_packet(now, offload, &mut whole, (&mut packets, &mut train));
        nothing_else(has_end, &packets, &Train::default())?;
        let reached = train.sent.len() == count;
        for (to, datagram) in train.sent {
            self.sealed(to, &datagram, None)?;
        }
        match (verdict, device) {
            (Verdict::Forbidden(_), _) => self.seen.forbidden = self.seen.forbidden.saturating_add(1),
            (Verdict::Required, Some(device)) => {
                let held = self.model.leases().iter().find(|held| held.lease.device == device);
                let must = held.is_some_and(|held| self.model.sessions.must_reach(self.now, held));
                if must && !reached {
                    return Err(format!("{count} packets to a device had to pass and did not all: {inner:?}"));
                }
                self.seen.down_required = self.seen.down_required.saturating_add(u64::from(must));
                self.seen.cut = self.seen.cut.saturating_add(u64::from(must && count > 1));
                let is_translated = must && service.is_some();
                self.seen.translated = self.seen.translated.saturating_add(u64::from(is_translated));
            }
            (Verdict::Allowed | Verdict::Required, _) => {}
        }
        if let (Verdict::Allowed | Verdict::Required, Some(device)) = (verdict, device) {
            self.model.passed_down(self.now, device, &inner);
        }
        self.outputs(None)
    }
}

fn inner_down(tuple: FlowTuple, kind: i32, flaw: Flaw) -> Inner {
    let (mut source, mut destination) = (tuple.remote, tuple.device);
    let body = match (kind, tuple.protocol) {
        (3, _) => {
            let router = if destination.is_ipv4() {
                [192, 0, 2, 1].into()
            } else {
                IpAddr::from([0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1])
            };
            source = SocketAddr::new(router, 0);
            destination.set_port(0);
            Body::Error(tuple)
        }
        (1, Protocol::Tcp) => Body::Tcp(FIN | ACK),
        (2, Protocol::Tcp) => Body::Tcp(RST),
        (_, Protocol::Tcp) => Body::Tcp(ACK),
        (_, Protocol::Udp) => Body::Udp,
        (2, Protocol::Icmp) => Body::EchoRequest,
        (_, Protocol::Icmp) => Body::EchoReply,
    };
    Inner { source, destination, body, flaw }
}
