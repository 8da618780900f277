//! What a shell may do wrong between the world and the cores.

#![expect(clippy::wildcard_enum_match_arm, reason = "most faults have nothing to do with most calls")]

use std::net::{IpAddr, SocketAddr};

use doorward_gateway_core::{BootTime, Command, Now, Offload, Segmentation};
use doorward_model::{Change, Lockdown, Revision, TunnelNetwork};

use crate::control;
use crate::subject::{Fault, Packets, Train};

/// A shell with its fault, and what it remembers for it.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) fault: Fault,
    /// What a name was resolved to last.
    pub(crate) resolved: Option<Command>,
    first: Option<Now>,
    slept: u64,
    last_boot: u64,
    last_from: Option<SocketAddr>,
    /// Length and first bytes of inner packets that passed.
    passed: Vec<(usize, Vec<u8>)>,
    count: u32,
}

/// The destination of an IPv4 packet.
fn destination(packet: &[u8]) -> Option<IpAddr> {
    (packet.first()? >> 4 == 4).then_some(())?;
    packet.get(16..)?.first_chunk::<4>().map(|octets| IpAddr::from(*octets))
}

fn is_service(address: Option<IpAddr>) -> bool {
    address.is_some_and(|address| TunnelNetwork::default().is_service(address))
}

/// Overwrites an address of an IPv4 header and puts the header's checksum right.
fn overwrite(packet: &mut [u8], at: usize, octets: [u8; 4]) {
    packet.iter_mut().skip(at).zip(octets).for_each(|(to, from)| *to = from);
    if let Some(header) = packet.get_mut(..20) {
        crate::checksum::finish_header(header);
    }
}

impl Shell {
    pub(crate) fn new(fault: Fault) -> Self {
        Self {
            fault,
            resolved: None,
            first: None,
            slept: 0,
            last_boot: 0,
            last_from: None,
            passed: Vec::new(),
            count: 0,
        }
    }

    /// The moment as this shell sees it.
    pub(crate) fn now(&mut self, now: Now) -> Now {
        let first = *self.first.get_or_insert(now);
        let step = now.boot.as_micros().saturating_sub(std::mem::replace(&mut self.last_boot, now.boot.as_micros()));
        if self.fault == Fault::WallClockStands {
            return Now { wall: first.wall, ..now };
        }
        if self.fault == Fault::BootClockSleeps {
            let is_first = step == now.boot.as_micros();
            self.slept = self.slept.saturating_add(if is_first { 0 } else { step.saturating_sub(20_000_000) });
            return Now { boot: BootTime::from_micros(now.boot.as_micros().saturating_sub(self.slept)), ..now };
        }
        now
    }

    /// A datagram was handled, and `out` is what came of it.
    pub(crate) fn passed(&mut self, from: SocketAddr, inner: &[u8], has_clashed: bool, out: &mut Packets) {
        self.last_from = Some(from);
        let like = (inner.len(), inner.get(..24).unwrap_or_default().to_vec());
        let passes = !out.0.is_empty();
        let by_service = is_service(destination(inner));
        match self.fault {
            Fault::RemembersPasses if passes => self.passed.push(like),
            Fault::RemembersPasses if self.passed.contains(&like) => out.0.push(inner.to_vec()),
            Fault::DropsThirds if passes => {
                self.count = self.count.wrapping_add(1);
                if self.count.is_multiple_of(3) {
                    out.0.clear();
                }
            }
            Fault::LeadsElsewhere if by_service => {
                out.0.iter_mut().for_each(|packet| overwrite(packet, 16, [10, 0, 5, 22]));
            }
            Fault::LeavesServiceAddress if by_service && passes => out.0 = vec![inner.to_vec()],
            Fault::AllowsClashes if has_clashed => {
                let mut packet = inner.to_vec();
                if by_service {
                    overwrite(&mut packet, 16, [10, 0, 5, 20]);
                }
                out.0.push(packet);
            }
            _ => {}
        }
    }

    /// A packet from behind the gateway is about to be handled.
    pub(crate) fn take_for_target(&self, packet: &mut [u8]) {
        let source = packet.get(12..16).and_then(<[u8]>::first_chunk::<4>).map(|octets| IpAddr::from(*octets));
        if self.fault == Fault::TakesServiceSources && destination(packet).is_some() && is_service(source) {
            overwrite(packet, 12, [10, 0, 5, 20]);
        }
    }

    /// It was handled, and `train` is what came of it.
    pub(crate) fn sealed(&mut self, plain: &[u8], offload: Offload, train: &mut Train) {
        let is_one = offload.segmentation == Segmentation::None;
        match (self.fault, self.last_from, train.sent.last_mut()) {
            (Fault::SendsToLastSource, Some(last), Some((to, _))) => *to = last,
            (Fault::LeaksPlainPackets, Some(last), None) => train.sent.push((last, plain.to_vec())),
            (Fault::LosesLastSegments, _, Some(_)) if !is_one => {
                train.sent.pop();
            }
            (Fault::SendsTwice, _, Some(last)) => {
                let last = last.clone();
                train.sent.push(last);
            }
            _ => {}
        }
    }

    /// Says whether the cores beside the first are not to hear of it, or not of all of it.
    pub(crate) fn is_for_one_core(&self, command: &Command) -> bool {
        match command {
            Command::Delta(_) => self.fault == Fault::RemovesAtOneCore,
            Command::Heartbeat(_) => self.fault == Fault::HeartensOneCore,
            Command::Snapshot(_)
            | Command::OwnAddresses(_)
            | Command::Resolved { .. }
            | Command::ResolverListens(_)
            | Command::PortalListens { .. } => false,
        }
    }

    /// Changes a command on its way to the cores, whose revision is given.
    pub(crate) fn change(&mut self, command: &mut Command, revision: Option<Revision>) {
        match command {
            Command::Delta(delta) => match self.fault {
                Fault::LosesRemovals => delta.changes.retain(|change| !matches!(change, Change::Remove(_))),
                Fault::LosesLockdowns => {
                    delta.changes.retain(|change| !matches!(change, Change::Lockdown { state: Lockdown::On, .. }));
                }
                Fault::RenumbersDeltas => {
                    if let Some(held) = revision {
                        (delta.base, delta.revision) = (held, Revision(held.0.saturating_add(1)));
                    }
                }
                _ => {}
            },
            Command::Resolved { addresses, .. } => {
                match self.fault {
                    Fault::KeepsDeadNames if addresses.is_empty() => {
                        if let Some(Command::Resolved { addresses: held, .. }) = &self.resolved {
                            addresses.clone_from(held);
                        }
                    }
                    Fault::DisguisesAddresses => {
                        let inside = |address: &&mut IpAddr| is_service(Some(**address)) || address.is_loopback();
                        addresses.iter_mut().filter(inside).for_each(|address| *address = control::destination(17));
                    }
                    _ => {}
                }
                self.resolved = Some(command.clone());
            }
            Command::Snapshot(_)
            | Command::Heartbeat(_)
            | Command::OwnAddresses(_)
            | Command::ResolverListens(_)
            | Command::PortalListens { .. } => {}
        }
    }
}
