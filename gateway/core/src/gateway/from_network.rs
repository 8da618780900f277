//! Outer datagrams: handshakes, cookies, transport data; and what is inside the latter, on its way to a resource.

use std::net::{IpAddr, SocketAddr};

use doorward_model::{EndReason, GatewayEvent, GatewayEventKind, Protocol, PublicKey};

use super::Gateway;
use crate::access::decision::{self, Asked};
use crate::counters::{DenyReason, DropReason};
use crate::flow::{Direction, FlowKey};
use crate::outbox::Urgency;
use crate::packet::parse::{Body, Packet, parse};
use crate::packet::translate::{Checksums, Side, rewrite};
use crate::wireguard::admission::Admitted;
use crate::wireguard::bucket::Rate;
use crate::wireguard::message::{self, COUNTER_END, INITIATION_LEN, Message, RESPONSE_LEN, Receiver, classify};
use crate::wireguard::noise::{Noise, Opened, Proof, Tunnel};
use crate::wireguard::peer::{Heard, Moved, Peer};
use crate::wireguard::waiting::Waiting;
use crate::{Handover, Now, Transmit, TunnelSink, Via};

/// Handshakes answered for one device.
const PER_PEER: Rate = Rate { per_second: 50, burst: 50 };

/// Where a datagram came from.
pub(super) type Origin = (SocketAddr, Via);

/// Whose key knocked, although it has ended.
struct Dead {
    device: doorward_model::DeviceId,
    email: doorward_model::Email,
    name: doorward_model::DeviceName,
    why: String,
}

impl<N: Noise> Gateway<N> {
    pub(super) fn datagram(&mut self, now: Now, origin: Origin, datagram: &[u8], out: &mut impl TunnelSink) {
        let message = classify(datagram);
        if let Some(owner) = message.and_then(Message::receiver).map(|receiver| self.share.issuer(receiver.tunnel()))
            && owner != self.share.index()
        {
            return self.hand_over(owner, origin, datagram);
        }
        let result = match message {
            Some(Message::Data { receiver, counter }) => self.data(now, origin, (receiver, counter), datagram, out),
            Some(Message::Initiation) => self.initiation(now, origin, datagram),
            Some(Message::Response { receiver }) => self.response(now, origin, receiver, datagram),
            Some(Message::CookieReply { receiver }) => self.cookie_reply(origin, receiver, datagram),
            None => Err(DropReason::NotWireGuard),
        };
        if let Err(reason) = result {
            self.tally.drop(reason);
        }
    }

    fn data(
        &mut self,
        now: Now,
        (from, via): Origin,
        (receiver, counter): (Receiver, u64),
        datagram: &[u8],
        out: &mut impl TunnelSink,
    ) -> Result<(), DropReason> {
        if counter >= COUNTER_END {
            return Err(DropReason::CounterOver);
        }
        let at = self.indices.owner(receiver.tunnel()).ok_or(DropReason::UnknownIndex)?;
        let device = self.devices.get_mut(at).ok_or(DropReason::UnknownIndex)?;
        let peer = device.peer.as_deref_mut().ok_or(DropReason::UnknownIndex)?;
        if !peer.may_receive(receiver, now) {
            return Err(DropReason::SessionOver);
        }
        // Taken out for the call, so that the packet inside does not borrow the machine.
        let mut buffer = std::mem::take(&mut self.opened);
        let inner = match peer.tunnel.open(from.ip(), datagram, &mut buffer) {
            Opened::Packet(packet) => Ok(Some(packet)),
            Opened::Nothing => Ok(None),
            Opened::Reply(_) | Opened::Refused => Err(DropReason::Crypto),
        };
        if inner.is_ok() {
            peer.count_received(datagram.len());
            let heard = peer.hear(receiver, from, via, now);
            let has_queue = peer.has_queue();
            if heard != (Heard { moved: Moved::No, connected: false }) {
                self.heard(now, at, from, heard);
            }
            if has_queue {
                self.drain(now, at);
            }
        }
        let result = inner.map(|packet| {
            if let Some(packet) = packet {
                self.inner_packet(now, at, packet, out);
            }
        });
        self.opened = buffer;
        result
    }

    fn heard(&mut self, now: Now, at: u32, from: SocketAddr, heard: Heard) {
        if heard.connected {
            self.say_of((at, Some(from)), (GatewayEventKind::Connected, 0), now, |_| format!("connected from {from}"));
        }
        match heard.moved {
            Moved::No => {}
            Moved::Yes => {
                self.say_of((at, Some(from)), (GatewayEventKind::EndpointMoved, 0), now, |_| {
                    format!("moved to {from}")
                });
            }
            Moved::TookTurns => {
                let text = format!("is used in two places at once, one of them {from}: its config was copied");
                self.say_of((at, Some(from)), (GatewayEventKind::KeyUsedTwice, 0), now, |_| text);
            }
        }
    }

    /// Decides on a packet from a device, and lets it pass or says why not.
    fn inner_packet(&mut self, now: Now, at: u32, inner: &mut [u8], out: &mut impl TunnelSink) {
        let packet = match parse(inner) {
            Ok(packet) => packet,
            Err(reason) => return self.deny(now, at, None, reason),
        };
        let len = packet.bytes.len();
        let target = match self.admit_from_device(now, at, &packet) {
            Ok(target) => target,
            Err(reason) => return self.deny(now, at, Some(&packet), reason),
        };
        let packet = inner.get_mut(..len).unwrap_or_default();
        if let Some(target) = target
            && !rewrite(packet, Side::Destination, target, Checksums::Whole)
        {
            return self.deny(now, at, None, DenyReason::Malformed);
        }
        out.packet(packet);
        if let Some(device) = self.devices.get_mut(at) {
            device.last_forwarded = Some(now.boot);
        }
        let sums = &mut self.tally.sums;
        sums.packets_up = sums.packets_up.wrapping_add(1);
        sums.bytes_up = sums.bytes_up.wrapping_add(u64::try_from(len).unwrap_or(0));
    }

    /// Decides; returns the target that the service address stands for, where the packet has one.
    fn admit_from_device(&mut self, now: Now, at: u32, packet: &Packet<'_>) -> Result<Option<IpAddr>, DenyReason> {
        let device = self.devices.get(at).ok_or(DenyReason::LeaseOver)?;
        if !device.leased.has_address(packet.source) {
            return Err(DenyReason::SpoofedSource);
        }
        let asked = asked(packet);
        let quarantined = match decision::may_pass(device, self.standing(now), now) {
            Err(DenyReason::Quarantine) => true,
            standing => {
                standing?;
                false
            }
        };
        // During quarantine a packet belongs to what the gateway offers, or goes nowhere. Flows to resources are cut by a
        // timer, which may be late.
        let missing = if quarantined { DenyReason::Quarantine } else { DenyReason::NoFlow };
        if let Body::Error(quoted) = &packet.body {
            // About a packet that went to this device, to the one who sent it.
            let fits = quoted.destination == packet.source && quoted.source == packet.destination;
            let key = FlowKey::of_quoted(quoted, Direction::FromDevice).filter(|_| fits).ok_or(missing)?;
            let flow = self.live_flow(now, at, &key, Direction::FromDevice).and_then(|place| self.flows.get(place));
            let flow = flow.filter(|flow| !quarantined || flow.ground.outlasts_sign_in()).ok_or(missing)?;
            return Ok(flow.road.target());
        }
        let key = FlowKey::of(packet, Direction::FromDevice).ok_or(missing)?;
        let flow = match self.live_flow(now, at, &key, Direction::FromDevice) {
            Some(flow) if quarantined && !self.flows.get(flow).is_some_and(|flow| flow.ground.outlasts_sign_in()) => {
                return Err(missing);
            }
            Some(flow) => flow,
            None => {
                let asked = asked.ok_or(missing)?;
                let surroundings = self.surroundings();
                let opening = if quarantined {
                    decision::open_in_quarantine(device, surroundings, asked, now)?
                } else {
                    decision::open(device, surroundings, asked, now)?
                };
                if self.flows.is_taken(&key, &opening.road, now) {
                    return Err(DenyReason::FlowClash);
                }
                self.flows.open(key, at, opening, now).ok_or(DenyReason::FlowTableFull)?
            }
        };
        if let Some(device) = self.devices.get_mut(at) {
            device.recent_flow = flow;
        }
        self.flows.note(flow, packet, 1, Direction::FromDevice, now);
        Ok(self.flows.get(flow).and_then(|flow| flow.road.target()))
    }

    /// Finds a flow of that device whose rule holds at this moment.
    pub(super) fn live_flow(&self, now: Now, at: u32, key: &FlowKey, direction: Direction) -> Option<u32> {
        let recent = self.devices.get(at)?.recent_flow;
        let place = match self.flows.is_at(recent, key, direction, now) {
            true => recent,
            false => self.flows.find(key, direction, now)?,
        };
        let flow = self.flows.get(place)?;
        (flow.device == at && flow.window.holds(now)).then_some(place)
    }

    /// Front checks of a handshake message; says whether to go on with it. Where not, it waits or its sender is asked for
    /// proof.
    fn admit_handshake(&mut self, now: Now, (from, via): Origin, datagram: &[u8]) -> Result<bool, DropReason> {
        match self.admission.admit(&self.noise, now.boot, from, datagram) {
            Admitted::Yes => Ok(true),
            Admitted::No(reason) => Err(reason),
            Admitted::Unproven => {
                if let Ok(initiation) = datagram.try_into() {
                    if self.waiting.is_empty() {
                        self.tick_at = self.tick_at.min(now.boot.after(super::TICK_LIVE));
                    }
                    if let Some(pushed) = self.waiting.enter(now.boot, (from, via), initiation) {
                        self.tally.drop(DropReason::RateLimited);
                        self.ask_for_proof((pushed.from, pushed.via), &pushed.datagram);
                    }
                    return Ok(false);
                }
                self.ask_for_proof((from, via), datagram);
                Err(DropReason::RateLimited)
            }
        }
    }

    /// Answers a handshake message with a cookie.
    fn ask_for_proof(&mut self, (to, via): Origin, datagram: &[u8]) {
        if let Proof::Cookie(datagram) = self.noise.prove(to, datagram) {
            self.tally.sums.cookies_sent = self.tally.sums.cookies_sent.wrapping_add(1);
            self.outbox.transmit(Transmit { to, via, datagram }, Urgency::Ordinary, &mut self.tally);
        }
    }

    /// Answers one initiation that waited; says whether one did.
    pub(super) fn answer_waiting(&mut self, now: Now) -> bool {
        let Some(waiting) = self.waiting.next(now.boot) else { return false };
        self.let_in(now, &waiting);
        true
    }

    /// Answers those whose turn it is although packets may wait.
    pub(super) fn answer_hurried(&mut self, now: Now) {
        while let Some(waiting) = self.waiting.next_hurried(now.boot) {
            self.let_in(now, &waiting);
        }
    }

    fn let_in(&mut self, now: Now, waiting: &Waiting) {
        if let Err(reason) = self.admitted(now, (waiting.from, waiting.via), &waiting.datagram) {
            self.tally.drop(reason);
        }
    }

    /// Asks those who waited too long for proof.
    pub(super) fn send_away_waiting(&mut self, now: Now) {
        while let Some(waiting) = self.waiting.overdue(now.boot) {
            self.tally.drop(DropReason::RateLimited);
            self.ask_for_proof((waiting.from, waiting.via), &waiting.datagram);
        }
    }

    fn initiation(&mut self, now: Now, origin: Origin, datagram: &[u8]) -> Result<(), DropReason> {
        if self.admit_handshake(now, origin, datagram)? { self.admitted(now, origin, datagram) } else { Ok(()) }
    }

    /// Finds out whose an admitted initiation is, and whose business.
    fn admitted(&mut self, now: Now, origin: Origin, datagram: &[u8]) -> Result<(), DropReason> {
        let key = self.noise.claimed_key(datagram).ok_or(DropReason::Crypto)?;
        if self.devices.by_key(&key).is_none()
            && let Some(owner) = self.elsewhere.owner(&key)
        {
            let (from, via) = origin;
            let datagram = datagram.try_into().map_err(|_| DropReason::NotWireGuard)?;
            let handover = Handover::Initiation { key, from, via, datagram };
            self.outbox.hand_over(owner, handover, &mut self.tally);
            return Ok(());
        }
        if self.devices.by_key(&key).is_none() && self.share.index() != 0 {
            // It came along with the data of another; core 0 says who knocks with a dead key.
            self.hand_over(0, origin, datagram);
            return Ok(());
        }
        self.knocked(now, origin, &key, datagram)
    }

    fn hand_over(&mut self, owner: u16, (from, via): Origin, datagram: &[u8]) {
        let handover = Handover::Datagram { from, via, datagram: datagram.to_vec() };
        self.outbox.hand_over(owner, handover, &mut self.tally);
    }

    /// Answers an initiation that was admitted, by the key that it claims.
    pub(super) fn knocked(
        &mut self,
        now: Now,
        origin: Origin,
        key: &PublicKey,
        datagram: &[u8],
    ) -> Result<(), DropReason> {
        let Some(at) = self.devices.by_key(key) else { return Err(self.unknown_key(now, origin, key, datagram)) };
        let device = self.devices.get_mut(at).ok_or(DropReason::UnknownKey)?;
        if !device.leased.window.holds(now) {
            let why = if device.leased.window.over(now) { "its time is over" } else { "its time has not begun" };
            let leased = &device.leased;
            let (device, email, name) = (leased.id, leased.email.clone(), leased.name.clone());
            return Err(self.knock(now, origin, key, datagram, Dead { device, email, name, why: why.to_owned() }));
        }
        if !device.handshakes.take(now.boot, PER_PEER) {
            return Err(DropReason::RateLimited);
        }
        let reply = self.answer(now, at, origin, datagram)?;
        let receiver = message::sender(&reply).ok_or(DropReason::Crypto)?;
        if let Some(peer) = self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()) {
            peer.count_received(datagram.len());
            peer.count_sent(reply.len());
            peer.note_session(receiver, now, true);
        }
        self.enliven(at, now);
        self.tally.sums.handshakes_answered = self.tally.sums.handshakes_answered.wrapping_add(1);
        let (to, via) = origin;
        self.outbox.transmit(Transmit { to, via, datagram: reply.to_vec() }, Urgency::Ordinary, &mut self.tally);
        Ok(())
    }

    /// Lets a device's tunnel answer an initiation, making it if there is none. What fails leaves no tunnel behind.
    fn answer(
        &mut self,
        now: Now,
        at: u32,
        (from, _): Origin,
        datagram: &[u8],
    ) -> Result<[u8; RESPONSE_LEN], DropReason> {
        let is_live = self.live.contains(&at);
        let device = self.devices.get_mut(at).ok_or(DropReason::UnknownKey)?;
        let leased = &device.leased;
        let mut held = device.peer.as_deref_mut();
        if let Some(peer) = held.as_deref_mut() {
            if !is_live {
                // Brings boringtun's idea of the time up to date; it would take the session for an old one.
                let _ = peer.tunnel.tick(&mut [0; INITIATION_LEN]);
            }
            // It remembers the last timestamp: a replay ends here.
            let reply = response(&mut peer.tunnel, from, datagram).ok_or(DropReason::Crypto)?;
            if !peer.preshared_key_is_old {
                return Ok(reply);
            }
        }
        let index = self.indices.claim(&mut self.seed, at, now.boot).ok_or(DropReason::QueueFull)?;
        let mut tunnel = self.noise.tunnel(&leased.public_key, leased.preshared_key.as_ref(), index);
        let Some(reply) = response(&mut tunnel, from, datagram) else {
            self.indices.abandon(index);
            return Err(DropReason::Crypto);
        };
        match held {
            Some(peer) => {
                let old = peer.replace_tunnel(tunnel, index);
                self.indices.release(old, now.boot);
            }
            None => device.peer = Some(Box::new(Peer::new(tunnel, index))),
        }
        Ok(reply)
    }

    fn unknown_key(&mut self, now: Now, origin: Origin, key: &PublicKey, datagram: &[u8]) -> DropReason {
        let Some(tombstone) = self.tombstones.get(key) else { return DropReason::UnknownKey };
        let why = match tombstone.reason {
            EndReason::NotListed => "revoked".to_owned(),
            EndReason::Offboarded
            | EndReason::Suspended
            | EndReason::ContractEnded
            | EndReason::DeviceRevoked
            | EndReason::DeviceExpired => tombstone.reason.to_string(),
        };
        let dead =
            Dead { device: tombstone.device, email: tombstone.email.clone(), name: tombstone.device_name.clone(), why };
        self.knock(now, origin, key, datagram, dead)
    }

    /// A key that ended tried a handshake. It is named, once it has shown that it is that key; nothing is answered.
    fn knock(&mut self, now: Now, (from, _): Origin, key: &PublicKey, datagram: &[u8], dead: Dead) -> DropReason {
        if self.noise.is_authentic(key, from.ip(), datagram) {
            let kind = GatewayEventKind::RevokedKeyKnocked;
            self.say((Some(dead.device), kind, 0), now, |at, count| GatewayEvent {
                at,
                kind,
                device: Some(dead.device),
                message: format!("{} ({}) tried to connect from {from}: {}", dead.email, dead.name, dead.why),
                email: Some(dead.email),
                source: Some(from),
                count,
            });
        }
        DropReason::DeadKey
    }

    fn response(&mut self, now: Now, origin: Origin, receiver: Receiver, datagram: &[u8]) -> Result<(), DropReason> {
        let at = self.indices.owner(receiver.tunnel()).ok_or(DropReason::UnknownIndex)?;
        if !self.admit_handshake(now, origin, datagram)? {
            return Ok(());
        }
        let device = self.devices.get_mut(at).ok_or(DropReason::UnknownIndex)?;
        if !device.leased.window.holds(now) {
            return Err(DropReason::DeadKey);
        }
        let peer = device.peer.as_deref_mut().ok_or(DropReason::UnknownIndex)?;
        if peer.preshared_key_is_old {
            return Err(DropReason::Crypto);
        }
        let (to, via) = origin;
        let mut buffer = [0; INITIATION_LEN];
        let Opened::Reply(keepalive) = peer.tunnel.open(to.ip(), datagram, &mut buffer) else {
            return Err(DropReason::Crypto);
        };
        let was_active = peer.is_active(now);
        peer.count_received(datagram.len());
        peer.count_sent(keepalive.len());
        peer.note_session(receiver, now, false);
        let transmit = Transmit { to, via, datagram: keepalive.to_vec() };
        self.outbox.transmit(transmit, Urgency::Ordinary, &mut self.tally);
        self.enliven(at, now);
        if !was_active {
            self.heard(now, at, to, Heard { moved: Moved::No, connected: true });
        }
        self.drain(now, at);
        Ok(())
    }

    /// A cookie for an initiation of ours. It says nothing about where the device is.
    fn cookie_reply(&mut self, (from, _): Origin, receiver: Receiver, datagram: &[u8]) -> Result<(), DropReason> {
        let at = self.indices.owner(receiver.tunnel()).ok_or(DropReason::UnknownIndex)?;
        let peer =
            self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()).ok_or(DropReason::UnknownIndex)?;
        match peer.tunnel.open(from.ip(), datagram, &mut [0; INITIATION_LEN]) {
            Opened::Nothing => {
                peer.count_received(datagram.len());
                Ok(())
            }
            Opened::Packet(_) | Opened::Reply(_) | Opened::Refused => Err(DropReason::Crypto),
        }
    }
}

/// What a packet that may begin something asks for.
fn asked(packet: &Packet<'_>) -> Option<Asked> {
    match packet.body {
        Body::Tcp(segment) => Some((Protocol::Tcp, packet.destination, segment.destination_port)),
        Body::Udp { destination_port, .. } => Some((Protocol::Udp, packet.destination, destination_port)),
        Body::EchoRequest { .. } => Some((Protocol::Icmp, packet.destination, 0)),
        Body::EchoReply { .. } | Body::Error(_) => None,
    }
}

/// Returns a tunnel's response to an initiation; `None` for a replay or a wrong key.
fn response(tunnel: &mut impl Tunnel, from: SocketAddr, datagram: &[u8]) -> Option<[u8; RESPONSE_LEN]> {
    match tunnel.open(from.ip(), datagram, &mut [0; INITIATION_LEN]) {
        Opened::Reply(reply) => reply.try_into().ok(),
        Opened::Packet(_) | Opened::Nothing | Opened::Refused => None,
    }
}
