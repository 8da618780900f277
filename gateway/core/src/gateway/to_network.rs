//! Packets from resources on their way to a device, and the queue while a handshake is under way.

use std::net::IpAddr;

use super::Gateway;
use crate::access::decision;
use crate::batch::Offload;
use crate::batch::split::Split;
use crate::clock::Window;
use crate::counters::{DenyReason, DropReason};
use crate::flow::{Direction, FlowKey};
use crate::outbox::Urgency;
use crate::packet::parse::{Body, Packet, parse};
use crate::packet::translate::{Checksums, Side, rewrite};
use crate::wireguard::message::INITIATION_LEN;
use crate::wireguard::noise::{Noise, Ticked, Tunnel as _};
use crate::wireguard::peer::sealed_len;
use crate::{DatagramSink, Handover, Now, Transmit};

/// Longest inner packet taken: what fits into a UDP datagram with WireGuard's overhead and padding.
const PACKET_LEN_MAX: usize = 65_000;

/// What was decided on a packet to a device.
#[derive(Clone, Copy)]
struct Admitted {
    device: u32,
    window: Window,
    /// The service address that is to stand in place of the sender's.
    service: Option<IpAddr>,
}

impl<N: Noise> Gateway<N> {
    pub(super) fn tunnel_packet(&mut self, now: Now, offload: Offload, inner: &mut [u8], out: &mut impl DatagramSink) {
        if self.share.of() > 1
            && let Ok(packet) = parse(inner)
        {
            let owner = self.share.owner(&self.network, packet.destination);
            if owner != self.share.index() {
                let handover = Handover::TunnelPacket { offload, packet: inner.to_vec() };
                return self.outbox.hand_over(owner, handover, &mut self.tally);
            }
        }
        self.own_tunnel_packet(now, offload, inner, out);
    }

    /// Decides on a packet whose device this core owns, if any does.
    pub(super) fn own_tunnel_packet(
        &mut self,
        now: Now,
        offload: Offload,
        inner: &mut [u8],
        out: &mut impl DatagramSink,
    ) {
        // Before the decision, because it finishes the checksum of a packet that stands for itself.
        let Some(mut split) = Split::new(offload, inner) else { return self.tally.drop(DropReason::Uncuttable) };
        let admitted = parse(inner).and_then(|packet| {
            let len = packet.bytes.len();
            Ok((len, self.admit_to_device(now, &packet, split.count())?))
        });
        match admitted {
            Ok((len, admitted)) => {
                let packet = inner.get_mut(..len).unwrap_or_default();
                if let Some(service) = admitted.service {
                    let checksums = if split.cuts() { Checksums::Partial } else { Checksums::Whole };
                    if !rewrite(packet, Side::Source, service, checksums) || !split.take_headers(packet) {
                        return self.tally.deny(DenyReason::Malformed);
                    }
                }
                if let Err(reason) = self.seal_segments(now, admitted, (split, packet), out) {
                    self.tally.drop(reason);
                }
            }
            Err(reason) => self.tally.deny(reason),
        }
    }

    /// Cuts what is to be cut and seals each segment.
    fn seal_segments(
        &mut self,
        now: Now,
        Admitted { device: at, window, .. }: Admitted,
        (mut split, packet): (Split, &mut [u8]),
        out: &mut impl DatagramSink,
    ) -> Result<(), DropReason> {
        if split.longest() > PACKET_LEN_MAX {
            return Err(DropReason::TooLarge);
        }
        if let Some(device) = self.devices.get_mut(at) {
            device.last_forwarded = Some(now.boot);
        }
        let sums = &mut self.tally.sums;
        sums.packets_down = sums.packets_down.wrapping_add(split.count());
        sums.bytes_down = sums.bytes_down.wrapping_add(u64::try_from(packet.len()).unwrap_or(0));
        while let Some(segment) = split.next(packet) {
            self.seal_into(now, at, packet.get(segment).unwrap_or_default(), window, out)?;
        }
        Ok(())
    }

    /// Decides on a packet to a device: only what belongs to a flow that the device opened.
    fn admit_to_device(&mut self, now: Now, packet: &Packet<'_>, parts: u64) -> Result<Admitted, DenyReason> {
        let at = self.devices.by_address(packet.destination).ok_or(DenyReason::NoDevice)?;
        let device = self.devices.get(at).ok_or(DenyReason::NoDevice)?;
        let standing = decision::may_pass(device, self.standing(now), now);
        // Quarantine leaves what the gateway offers; whether this is an answer of that, the flow says.
        if let Err(reason) = standing
            && reason != DenyReason::Quarantine
        {
            return Err(reason);
        }
        let otherwise = standing.err().unwrap_or(DenyReason::NoFlow);
        let key = match &packet.body {
            // About a packet of this device; any router on the way may say so.
            Body::Error(quoted) => {
                FlowKey::of_quoted(quoted, Direction::ToDevice).filter(|_| quoted.source == packet.destination)
            }
            Body::Tcp(_) | Body::Udp { .. } | Body::EchoRequest { .. } | Body::EchoReply { .. } => {
                FlowKey::of(packet, Direction::ToDevice)
            }
        };
        let place = key.and_then(|key| self.live_flow(now, at, &key, Direction::ToDevice)).ok_or(otherwise)?;
        let flow = self.flows.get(place).ok_or(otherwise)?;
        if !flow.ground.outlasts_sign_in() {
            standing?;
        }
        let admitted = Admitted { device: at, window: flow.window, service: flow.service() };
        if !matches!(packet.body, Body::Error(_)) {
            self.flows.note(place, packet, parts, Direction::ToDevice, now);
        }
        Ok(admitted)
    }

    /// Seals straight into the shell's buffer, or keeps the packet and asks for a session.
    fn seal_into(
        &mut self,
        now: Now,
        at: u32,
        packet: &[u8],
        window: Window,
        out: &mut impl DatagramSink,
    ) -> Result<(), DropReason> {
        let peer =
            self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()).ok_or(DropReason::Unreachable)?;
        if let Some((to, via)) = peer.endpoint().filter(|_| peer.may_send(now)) {
            let mtu = usize::from(self.limits.mtu);
            let len = sealed_len(packet.len(), mtu);
            let room = out.reserve(to, via, len).filter(|room| room.len() >= len).ok_or(DropReason::NoRoom)?;
            if let Some(sealed) = peer.seal(packet, mtu, &mut self.padded, room) {
                out.commit(sealed);
                return Ok(());
            }
        }
        let kept = peer.enqueue(packet, window, now);
        self.initiate(now, at);
        if kept { Ok(()) } else { Err(DropReason::Unreachable) }
    }

    /// Sends what waited, in order, as far as it is still allowed.
    pub(super) fn drain(&mut self, now: Now, at: u32) {
        let standing = self.standing(now);
        let Some(device) = self.devices.get_mut(at) else { return };
        let may_pass = decision::may_pass(device, standing, now).is_ok();
        let Some(peer) = device.peer.as_deref_mut() else { return };
        if !may_pass {
            peer.clear_queue();
        }
        if !peer.may_send(now) || peer.endpoint().is_none() {
            return;
        }
        while let Some(packet) =
            self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()).and_then(|peer| peer.dequeue(now))
        {
            self.send_sealed(now, at, &packet, Urgency::Ordinary);
        }
    }

    /// Begins a handshake with a device whose endpoint is known, unless one is under way.
    fn initiate(&mut self, now: Now, at: u32) {
        let is_live = self.live.contains(&at);
        let Some(device) = self.devices.get_mut(at) else { return };
        let Some(peer) = device.peer.as_deref_mut() else { return };
        let Some((to, via)) = peer.endpoint() else { return };
        if peer.initiating_since.is_some() {
            return;
        }
        if peer.preshared_key_is_old {
            let leased = &device.leased;
            let Some(index) = self.indices.claim(&mut self.seed, at, now.boot) else { return };
            let tunnel = self.noise.tunnel(&leased.public_key, leased.preshared_key.as_ref(), index);
            let old = peer.replace_tunnel(tunnel, index);
            self.indices.release(old, now.boot);
        } else if !is_live {
            let _ = peer.tunnel.tick(&mut [0; INITIATION_LEN]);
        }
        let mut buffer = [0; INITIATION_LEN];
        let Some(initiation) = peer.tunnel.initiate(&mut buffer) else { return };
        peer.initiating_since = Some(now.boot);
        peer.count_sent(initiation.len());
        let transmit = Transmit { to, via, datagram: initiation.to_vec() };
        self.tally.sums.handshakes_initiated = self.tally.sums.handshakes_initiated.wrapping_add(1);
        self.outbox.transmit(transmit, Urgency::Ordinary, &mut self.tally);
        self.enliven(at, now);
    }

    /// Runs one live tunnel's timers; returns whether it still has any.
    pub(super) fn tick_tunnel(&mut self, now: Now, at: u32) -> bool {
        let Some(peer) = self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()) else { return false };
        peer.age_queue(now);
        let mut buffer = [0; INITIATION_LEN];
        match peer.tunnel.tick(&mut buffer) {
            Ticked::Nothing => {}
            Ticked::Expired => {
                peer.initiating_since = None;
                return false;
            }
            Ticked::Send(datagram) => {
                let is_initiation = datagram.len() == INITIATION_LEN;
                // An initiation with the old pre-shared key could only make a session with it.
                let fits = if is_initiation { !peer.preshared_key_is_old } else { peer.may_send(now) };
                if let Some((to, via)) = peer.endpoint().filter(|_| fits) {
                    if is_initiation {
                        peer.initiating_since.get_or_insert(now.boot);
                        let sums = &mut self.tally.sums;
                        sums.handshakes_initiated = sums.handshakes_initiated.wrapping_add(1);
                    }
                    peer.count_sent(datagram.len());
                    let transmit = Transmit { to, via, datagram: datagram.to_vec() };
                    self.outbox.transmit(transmit, Urgency::Ordinary, &mut self.tally);
                }
            }
        }
        let lives = peer.is_live(now);
        if !lives {
            peer.initiating_since = None;
        }
        lives
    }
}
