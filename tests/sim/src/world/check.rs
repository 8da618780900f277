//! What goes in and what comes out, held against the model.

use std::net::SocketAddr;

use doorward_gateway_core::{Event, FlowTuple};
use doorward_model::{DeviceId, Protocol};

use super::{Ends, Offered, World, nothing_else};
use crate::checksum::same;
use crate::client::GATEWAY;
use crate::control;
use crate::model::{Verdict, Way, tuple_up};
use crate::packet::{Inner, Own, Written, look, own_len};
use crate::plain::{Data, Initiation, mac_is_right};
use crate::source::mix_bytes;
use crate::subject::{Packets, Train, VIA};

/// How long a packet may wait for a session.
const WAITS_MAX: u64 = 5_000_000;

/// What a datagram of a client turned out to be.
pub(super) struct Incoming {
    is_response: bool,
    /// The packet inside, where a session of some gateway sealed it.
    inner: Option<Inner>,
}

impl World {
    /// Finds the session that sealed a datagram: on the gateway's way in, or on its way out.
    fn entry_of(&self, data: &Data<'_>, incoming: bool) -> Option<usize> {
        let ledger = self.air.ledger.borrow();
        let mut from_last = ledger.iter().enumerate().rev();
        let found = from_last.find(|(_, entry)| {
            let receiver = if incoming { entry.local } else { entry.remote };
            receiver == data.receiver && data.is_authentic(entry.key)
        });
        found.map(|(at, _)| at)
    }

    /// A datagram comes to the gateway.
    pub(super) fn receive(&mut self, from: SocketAddr, datagram: Vec<u8>) -> Result<(), String> {
        let kind = datagram.first().copied().unwrap_or(0);
        let gateway = control::key(GATEWAY);
        let is_handshake = matches!((kind, datagram.len()), (1, 148) | (2, 92)) && mac_is_right(&datagram, &gateway);
        if is_handshake {
            let initiation = Initiation::read(&datagram);
            let key = initiation.and_then(|read| read.key().filter(|key| read.is_authentic(&gateway, key)));
            self.knocks.push((from, self.now.boot, key));
        }
        let data =
            Data::read(&datagram).and_then(|data| Some((self.entry_of(&data, true)?, data.counter, data.payload)));
        let mut verdict = (Verdict::Forbidden("it is no packet of a session"), Vec::new());
        let (mut offered, mut device) = (None, None);
        if let Some((entry, counter, payload)) = data {
            offered = find(&self.up, payload).map(|offered| offered.packet.clone());
            (verdict, device) = self.verdict_up(entry, counter, offered.as_ref());
            self.model.sessions.heard(self.now, entry, counter, from);
        }
        let inner = offered.as_ref().map(|offered| offered.inner);
        let bytes = offered.as_ref().map(Written::bytes).unwrap_or_default();
        let mut packets = Packets::default();
        let mut train = Train::default();
        let now = self.core_now();
        let has_end = self.subject.datagram(now, (from, &bytes), &datagram, &mut packets, &mut train);
        self.history.push(datagram);
        self.passed(&packets.0, verdict, (device, offered.as_ref()))?;
        nothing_else(has_end, &Packets::default(), &train)?;
        self.outputs(Some(&Incoming { is_response: kind == 2, inner }))
    }

    fn verdict_up(
        &self,
        entry: usize,
        counter: u64,
        offered: Option<&Written>,
    ) -> ((Verdict, Vec<Way>), Option<DeviceId>) {
        let device = self.model.sessions.of(entry).map(|session| session.device);
        if let Some(why) = self.model.sessions.refusal(self.now, entry, Some(counter)) {
            return ((Verdict::Forbidden(why), Vec::new()), device);
        }
        let (verdict, ways) = match (device, offered) {
            (Some(device), Some(offered)) => self.model.up(self.now, device, &offered.inner),
            _ => (Verdict::Forbidden("there is nothing in it"), Vec::new()),
        };
        let verdict = match verdict {
            Verdict::Required if !self.model.sessions.must_take(self.now, entry, counter) => Verdict::Allowed,
            Verdict::Required | Verdict::Allowed | Verdict::Forbidden(_) => verdict,
        };
        ((verdict, ways), device)
    }

    /// Holds what came out towards the resources against the verdict: it went one of the ways it may go.
    fn passed(
        &mut self,
        packets: &[Vec<u8>],
        (verdict, mut ways): (Verdict, Vec<Way>),
        (device, offered): (Option<DeviceId>, Option<&Written>),
    ) -> Result<(), String> {
        let inner = offered.map(|offered| offered.inner);
        let required = match (packets, verdict) {
            ([], Verdict::Required) => return Err(format!("a packet of a device had to pass and did not: {inner:?}")),
            ([], Verdict::Allowed) => return Ok(()),
            ([], Verdict::Forbidden(_)) => {
                self.seen.forbidden = self.seen.forbidden.saturating_add(u64::from(inner.is_some()));
                return Ok(());
            }
            ([_, ..], Verdict::Forbidden(why)) => return Err(format!("a packet passed although {why}: {inner:?}")),
            ([_, ..], Verdict::Required) => true,
            ([_, ..], Verdict::Allowed) => false,
        };
        let (Some(device), Some(offered), [packet]) = (device, offered, packets) else {
            return Err(format!("one packet became several: {inner:?}"));
        };
        ways.retain(|way| {
            let led = way.target().map_or(offered.inner, |target| offered.inner.led_to(target));
            same(packet, &offered.with(led).bytes())
        });
        let Some(way) = ways.first() else {
            return Err(format!("what passed is not what was sent, or not where it was to go: {inner:?}"));
        };
        self.seen.up_required = self.seen.up_required.saturating_add(u64::from(required));
        self.seen.allowed = self.seen.allowed.saturating_add(u64::from(!required));
        self.seen.translated = self.seen.translated.saturating_add(u64::from(way.target().is_some()));
        let ends = tuple_up(&offered.inner).map(|seen| Ends { seen, behind: way.behind(seen) });
        self.opened.extend(ends.filter(|ends| !self.opened.contains(ends)));
        self.model.passed_up(self.now, device, &offered.inner, ways);
        Ok(())
    }

    /// Takes every output and says what it was not allowed to be.
    pub(super) fn outputs(&mut self, incoming: Option<&Incoming>) -> Result<(), String> {
        self.note_sessions(incoming)?;
        while let Some(transmit) = self.subject.transmit() {
            if transmit.via != VIA {
                return Err("a datagram left by another socket".to_owned());
            }
            let (to, datagram) = (transmit.to, transmit.datagram);
            match datagram.first() {
                Some(4) => self.sealed(to, &datagram, incoming)?,
                Some(kind @ 1..=3) => self.handshake(*kind, to, &datagram)?,
                _ => return Err("a datagram left that is no WireGuard message".to_owned()),
            }
            self.mail.push((to, datagram));
        }
        while let Some(packet) = self.subject.tunnel() {
            self.seen.own = self.seen.own.saturating_add(1);
            match look(&packet.packet) {
                Some(Own::Reset(device, remote))
                    if self.model.ever_behind(&FlowTuple { protocol: Protocol::Tcp, device, remote }) => {}
                other => return Err(format!("the gateway sent resources what it has no reason to: {other:?}")),
            }
        }
        while let Some(event) = self.subject.event() {
            match event {
                Event::ResyncNeeded { .. } => self.control.is_asked = true,
                Event::Enforced(enforced) if Some(enforced.revision.0) != self.model.revision() => {
                    return Err(format!("a receipt for revision {}, which is not in force", enforced.revision));
                }
                Event::Enforced(_)
                | Event::SnapshotRefused { .. }
                | Event::FlushConntrack(_)
                | Event::NamesWanted(_)
                | Event::Notice(_)
                | Event::AuthorityLost
                | Event::AuthorityRegained => {}
            }
        }
        Ok(())
    }

    /// Tells the model of sessions that the gateway's tunnels made.
    fn note_sessions(&mut self, incoming: Option<&Incoming>) -> Result<(), String> {
        let ledger = self.air.ledger.borrow();
        for (at, entry) in ledger.iter().enumerate().skip(self.entries) {
            self.entries = at.saturating_add(1);
            // The index 0 has the tunnel that is made to tell whether a dead key knocked itself; nobody gets its answer.
            if entry.local >> 8 == 0 {
                continue;
            }
            let is_peer = |number: &u8| mix_bytes(control::key(*number).as_bytes()) == entry.peer;
            let key = (0..=GATEWAY).find(is_peer).map(control::key);
            let held = key.and_then(|key| self.model.answers(self.now, &key)).cloned();
            let Some(held) = held else {
                return Err("a handshake was completed with a key that has no lease at this moment".to_owned());
            };
            let confirmed = incoming.is_some_and(|incoming| incoming.is_response);
            self.model.sessions.made(self.now, at, &held, entry.preshared_key, confirmed);
        }
        Ok(())
    }

    /// Nobody hears anything who did not knock with the right mac1 from there; an answer gets who showed a key that has a
    /// lease at this moment. It may come later: what is in no hurry waits for a quiet moment.
    fn handshake(&self, kind: u8, to: SocketAddr, datagram: &[u8]) -> Result<(), String> {
        let mut knocks = self.knocks.iter().filter(|(from, _, _)| *from == to);
        let fits = match kind {
            1 => {
                let initiation = Initiation::read(datagram);
                let gateway = control::key(GATEWAY);
                self.model.leases().iter().any(|held| {
                    let key = &held.lease.public_key;
                    let is_for = |initiation: &Initiation| initiation.is_authentic(key, &gateway);
                    initiation.as_ref().is_some_and(is_for) && self.model.sessions.may_be_at(held.lease.device, to)
                })
            }
            2 => knocks.any(|(_, _, key)| key.is_some_and(|key| self.model.answers(self.now, &key).is_some())),
            _ => knocks.next().is_some(),
        };
        if fits { Ok(()) } else { Err(format!("a handshake message of type {kind} left without a reason")) }
    }

    /// Holds a sealed datagram against the model: who gets it, on which session, and what is inside.
    pub(super) fn sealed(
        &mut self,
        to: SocketAddr,
        datagram: &[u8],
        incoming: Option<&Incoming>,
    ) -> Result<(), String> {
        let Some(data) = Data::read(datagram) else { return Err("plain bytes left for the network".to_owned()) };
        let entry = self.entry_of(&data, false).ok_or("a datagram left that no session sealed")?;
        let session = self.model.sessions.of(entry).ok_or("a datagram left on a session of the past")?;
        let device = session.device;
        let refusal = self.model.sessions.refusal(self.now, entry, None);
        if data.payload.is_empty() {
            return refusal.map_or(Ok(()), |why| Err(format!("a keepalive left although {why}")));
        }
        let packet = data.payload.get(..own_len(data.payload)).unwrap_or(data.payload);
        let Some(offered) = self.down.iter_mut().rev().find(|offered| offered.packet.is_in(packet)) else {
            return self.made_by_gateway(to, packet, (entry, device), incoming);
        };
        let what = &offered.packet.inner;
        if std::mem::replace(&mut offered.gone, true) {
            return Err(format!("a packet was sealed twice: {what:?}"));
        }
        let (verdict, owner, service) = self.model.down(self.now, what);
        let seen = service.map_or(*what, |service| what.come_from(service));
        let rest = data.payload.get(packet.len()..).unwrap_or_default();
        if let Verdict::Forbidden(why) = verdict {
            return Err(format!("a packet to a device passed although {why}: {what:?}"));
        }
        if let Some(why) = refusal {
            return Err(format!("a packet to a device was sealed although {why}: {what:?}"));
        }
        if owner != Some(device) {
            return Err(format!("a packet was sealed for a device that does not have the address: {what:?}"));
        }
        if !self.model.sessions.may_be_at(device, to) {
            return Err(format!("a packet was sent to {to}, where the device is not: {what:?}"));
        }
        if !same(packet, &offered.packet.with(seen).bytes()) || rest.len() >= 16 || rest.iter().any(|byte| *byte != 0) {
            return Err(format!("what was sealed is not what came, or not from where it was to come: {what:?}"));
        }
        let waited = self.now.boot.saturating_sub(offered.boot);
        if waited >= WAITS_MAX {
            return Err(format!("a packet was sent after {waited} µs: {what:?}"));
        }
        self.seen.waited = self.seen.waited.saturating_add(u64::from(incoming.is_some()));
        Ok(())
    }

    /// The gateway speaks for itself in resets and refusals alone, to the device that they concern.
    fn made_by_gateway(
        &mut self,
        to: SocketAddr,
        packet: &[u8],
        (entry, device): (usize, DeviceId),
        incoming: Option<&Incoming>,
    ) -> Result<(), String> {
        self.seen.own = self.seen.own.saturating_add(1);
        let refused = incoming.and_then(|incoming| incoming.inner);
        let fits = match look(packet) {
            Some(Own::Reset(remote, at)) => {
                let tuple = FlowTuple { protocol: Protocol::Tcp, device: at, remote };
                refused.as_ref().and_then(tuple_up) == Some(tuple) || self.model.ever_opened(device, &tuple)
            }
            Some(Own::Prohibited(at)) => refused.is_some_and(|inner| inner.source.ip() == at),
            None => false,
        };
        let young = self.model.sessions.is_young(self.now, entry);
        if fits && young && self.model.sessions.was_ever_at(device, to) {
            return Ok(());
        }
        Err(format!("the gateway sent a device what it has no reason to: {:?}", look(packet)))
    }

    /// Holds the core's own lists against the model's.
    pub(super) fn tables(&self) -> Result<(), String> {
        let mut count = 0_usize;
        for peer in self.subject.peers() {
            count = count.saturating_add(1);
            let held = self.model.leases().iter().find(|held| held.lease.device == peer.device);
            let fits = held.is_some_and(|held| {
                held.lease.public_key == peer.public_key && peer.allowed_ips.map(|net| net.addr()) == held.addresses()
            });
            if !fits {
                return Err(format!("the gateway lists device {}, which has no such lease", peer.device));
            }
        }
        if count != self.model.leases().len() {
            return Err(format!("the gateway lists {count} devices, and {} have a lease", self.model.leases().len()));
        }
        let odd = self.subject.flows().find(|flow| !self.model.may_have(flow.device, &flow.tuple));
        odd.map_or(Ok(()), |flow| Err(format!("the gateway holds a flow that ended: {:?}", flow.tuple)))
    }
}

/// Finds the packet that is inside a padded payload of a device.
fn find<'a>(offered: &'a [Offered], payload: &[u8]) -> Option<&'a Offered> {
    offered.iter().rev().find(|offered| {
        let bytes = offered.packet.bytes();
        let (head, tail) = payload.split_at_checked(bytes.len()).unwrap_or((payload, &[]));
        head == bytes && tail.len() < 32
    })
}
