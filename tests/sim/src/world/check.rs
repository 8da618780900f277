//! What goes in and what comes out, held against the model.

use std::net::SocketAddr;

use doorward_gateway_core::{Event, FlowTuple};
use doorward_model::Protocol;

use super::{Offered, World};
use crate::client::GATEWAY;
use crate::control;
use crate::model::{Verdict, tuple_up};
use crate::packet::{Inner, Own, look, own_len};
use crate::plain::{Data, Initiation, mac_is_right};
use crate::source::mix_bytes;
use crate::subject::{Packets, VIA};

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
        let mut verdict = Verdict::Forbidden("it is no packet of a session");
        let (mut offered, mut device) = (None, None);
        if let Some((entry, counter, payload)) = data {
            offered = find(&self.up, payload, false).cloned();
            (verdict, device) = self.verdict_up(entry, counter, offered.as_ref());
            self.model.sessions.heard(self.now, entry, counter, from);
        }
        let inner = offered.as_ref().map(|offered| offered.inner);
        let bytes = offered.map(|offered| offered.bytes).unwrap_or_default();
        let mut packets = Packets::default();
        self.subject.datagram(self.core_now(), from, &datagram, &bytes, &mut packets);
        self.history.push(datagram);
        self.passed(&packets.0, &bytes, verdict, (device, inner))?;
        self.outputs(Some(&Incoming { is_response: kind == 2, inner }))
    }

    fn verdict_up(
        &self,
        entry: usize,
        counter: u64,
        offered: Option<&Offered>,
    ) -> (Verdict, Option<doorward_model::DeviceId>) {
        let device = self.model.sessions.of(entry).map(|session| session.device);
        if let Some(why) = self.model.sessions.refusal(self.now, entry, Some(counter)) {
            return (Verdict::Forbidden(why), device);
        }
        let verdict = match (device, offered) {
            (Some(device), Some(offered)) => self.model.up(self.now, device, &offered.inner),
            _ => Verdict::Forbidden("there is nothing in it"),
        };
        match verdict {
            Verdict::Required if !self.model.sessions.must_take(self.now, entry, counter) => (Verdict::Allowed, device),
            Verdict::Required | Verdict::Allowed | Verdict::Forbidden(_) => (verdict, device),
        }
    }

    /// Holds what came out towards the resources against the verdict.
    fn passed(
        &mut self,
        packets: &[Vec<u8>],
        bytes: &[u8],
        verdict: Verdict,
        (device, inner): (Option<doorward_model::DeviceId>, Option<Inner>),
    ) -> Result<(), String> {
        match (packets, verdict) {
            ([], Verdict::Required) => Err(format!("a packet of a device had to pass and did not: {inner:?}")),
            ([], Verdict::Allowed) => Ok(()),
            ([], Verdict::Forbidden(_)) => {
                self.seen.forbidden = self.seen.forbidden.saturating_add(u64::from(inner.is_some()));
                Ok(())
            }
            ([_, ..], Verdict::Forbidden(why)) => Err(format!("a packet passed although {why}: {inner:?}")),
            ([packet], Verdict::Required | Verdict::Allowed) if packet == bytes => {
                let required = verdict == Verdict::Required;
                self.seen.up_required = self.seen.up_required.saturating_add(u64::from(required));
                self.seen.allowed = self.seen.allowed.saturating_add(u64::from(!required));
                if let (Some(device), Some(inner)) = (device, inner) {
                    self.model.passed_up(self.now, device, &inner);
                    let tuple = tuple_up(&inner).filter(|tuple| !self.opened.contains(tuple));
                    self.opened.extend(tuple);
                }
                Ok(())
            }
            ([_, ..], _) => Err(format!("what passed is not what was sent: {inner:?}")),
        }
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
                    if self.model.ever_opened(None, &FlowTuple { protocol: Protocol::Tcp, device, remote }) => {}
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
        let Some(offered) = find(&self.down, data.payload, true).cloned() else {
            return self.made_by_gateway(to, data.payload, (entry, device), incoming);
        };
        let (verdict, owner) = self.model.down(self.now, &offered.inner);
        let what = &offered.inner;
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
        payload: &[u8],
        (entry, device): (usize, doorward_model::DeviceId),
        incoming: Option<&Incoming>,
    ) -> Result<(), String> {
        self.seen.own = self.seen.own.saturating_add(1);
        let packet = payload.get(..own_len(payload)).unwrap_or(payload);
        let refused = incoming.and_then(|incoming| incoming.inner);
        let fits = match look(packet) {
            Some(Own::Reset(remote, at)) => {
                let tuple = FlowTuple { protocol: Protocol::Tcp, device: at, remote };
                refused.as_ref().and_then(tuple_up) == Some(tuple) || self.model.ever_opened(Some(device), &tuple)
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

/// Finds the packet that is inside a padded payload; `incoming` packets are told apart by all their bytes.
fn find<'a>(offered: &'a [Offered], payload: &[u8], is_cut: bool) -> Option<&'a Offered> {
    offered.iter().rev().find(|offered| {
        let (head, tail) = payload.split_at_checked(offered.bytes.len()).unwrap_or((payload, &[]));
        head == offered.bytes && tail.len() < 32 && (!is_cut || tail.iter().all(|byte| *byte == 0))
    })
}
