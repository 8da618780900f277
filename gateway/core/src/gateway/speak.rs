//! What people and devices are told: notices with names, refusals, and ends of connections.

use std::net::{IpAddr, SocketAddr};

use doorward_model::{GatewayEvent, GatewayEventKind, Timestamp};

use super::Gateway;
use crate::access::device::Leased;
use crate::counters::DenyReason;
use crate::flow::Flow;
use crate::notices::Subject;
use crate::outbox::Urgency;
use crate::packet::icmp;
use crate::packet::parse::{Body, Packet};
use crate::packet::reset::Reset;
use crate::wireguard::bucket::Rate;
use crate::wireguard::noise::Noise;
use crate::wireguard::peer::sealed_len;
use crate::{Now, Transmit};

/// Refusals a device is told about: enough for a person, nothing for a flood.
const REFUSALS: Rate = Rate { per_second: 10, burst: 10 };

impl<N: Noise> Gateway<N> {
    /// Says something, unless the same was said a moment ago.
    pub(super) fn say(&mut self, subject: Subject, now: Now, event: impl FnOnce(Timestamp, u64) -> GatewayEvent) {
        if let Some(count) = self.notices.admit(subject, now) {
            let event = event(now.wall, count);
            self.notices.remember(subject, &event);
            self.outbox.notice(event, &mut self.tally);
        }
    }

    /// Says something about a device that is held; `text` gets its name in front.
    pub(super) fn say_of(
        &mut self,
        (at, source): (u32, Option<SocketAddr>),
        (kind, detail): (GatewayEventKind, u8),
        now: Now,
        text: impl FnOnce(&Leased) -> String,
    ) {
        let Some(leased) = self.devices.get(at).map(|device| &device.leased) else { return };
        let subject = (Some(leased.id), kind, detail);
        if let Some(count) = self.notices.admit(subject, now) {
            let event = GatewayEvent {
                at: now.wall,
                kind,
                device: Some(leased.id),
                email: Some(leased.email.clone()),
                source,
                message: format!("{} ({}) {}", leased.email, leased.name, text(leased)),
                count,
            };
            self.notices.remember(subject, &event);
            self.outbox.notice(event, &mut self.tally);
        }
    }

    /// Denies a packet from a device: counts it, names it, and answers where that helps a person.
    pub(super) fn deny(&mut self, now: Now, at: u32, packet: Option<&Packet<'_>>, reason: DenyReason) {
        self.tally.deny(reason);
        match reason {
            // Traffic pauses and goes on later: whatever is said to a device would end its connections.
            DenyReason::AuthorityLost => return,
            // Late echoes of connections that are over: every system sends them.
            DenyReason::NoFlow => return,
            DenyReason::Lockdown
            | DenyReason::LeaseOver
            | DenyReason::Quarantine
            | DenyReason::SpoofedSource
            | DenyReason::NoRule
            | DenyReason::SpecialDestination
            | DenyReason::TunnelNetwork
            | DenyReason::NoDevice
            | DenyReason::Malformed
            | DenyReason::Fragment
            | DenyReason::HeaderOption
            | DenyReason::Protocol
            | DenyReason::FlowTableFull
            | DenyReason::NoTarget
            | DenyReason::FlowClash => {}
        }
        let source =
            self.devices.get(at).and_then(|device| device.peer.as_deref()?.endpoint()).map(|(source, _)| source);
        let kind = if reason == DenyReason::SpoofedSource {
            GatewayEventKind::SpoofedSource
        } else {
            GatewayEventKind::Denied
        };
        let detail = u8::try_from(reason as usize).unwrap_or(u8::MAX);
        self.say_of((at, source), (kind, detail), now, |leased| match packet {
            Some(packet) => format!("was denied {}: {}", describe(packet, leased), words(reason)),
            None => format!("was denied a packet: {}", words(reason)),
        });
        if let Some(packet) = packet
            && is_answered(reason)
        {
            self.refuse(now, at, packet);
        }
    }

    fn refuse(&mut self, now: Now, at: u32, packet: &Packet<'_>) {
        let Some(device) = self.devices.get_mut(at) else { return };
        if !device.refusals.take(now.boot, REFUSALS) {
            return;
        }
        let gateway = match packet.source {
            IpAddr::V4(_) => IpAddr::V4(self.network.gateway_v4()),
            IpAddr::V6(_) => IpAddr::V6(self.network.gateway_v6()),
        };
        let answer = match &packet.body {
            Body::Tcp(segment) => Reset::answer(packet, segment).and_then(|reset| reset.packet()),
            Body::Udp { .. } | Body::EchoRequest { .. } if answers_icmp(packet.destination) => {
                icmp::prohibited(gateway, packet.source, packet.bytes)
            }
            // Neither errors nor replies are answered (RFC 1122 section 3.2.2), nor what went to many.
            Body::Udp { .. } | Body::EchoRequest { .. } | Body::EchoReply { .. } | Body::Error(_) => None,
        };
        if let Some(answer) = answer {
            self.send_sealed(now, at, &answer, Urgency::Ordinary);
        }
    }

    /// Resets both ends of a flow that ends, while there is still a session to do it.
    pub(super) fn reset_both(&mut self, now: Now, flow: &Flow) {
        for packet in flow.resets_to_device().filter_map(|reset| reset.packet()) {
            self.send_sealed(now, flow.device, &packet, Urgency::Revocation);
        }
        for packet in flow.resets_to_remote().filter_map(|reset| reset.packet()) {
            self.outbox.tunnel(packet, Urgency::Revocation, &mut self.tally);
        }
    }

    /// Seals a packet of the gateway's own, if there is a session; it is not worth a handshake.
    pub(super) fn send_sealed(&mut self, now: Now, at: u32, packet: &[u8], urgency: Urgency) {
        let Some(peer) = self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()) else { return };
        let Some((to, via)) = peer.endpoint().filter(|_| peer.may_send(now)) else { return };
        let mtu = usize::from(self.limits.mtu);
        let mut datagram = vec![0; sealed_len(packet.len(), mtu)];
        if peer.seal(packet, mtu, &mut self.padded, &mut datagram).is_some() {
            self.outbox.transmit(Transmit { to, via, datagram }, urgency, &mut self.tally);
        }
    }
}

/// Says whether the device hears about a denial: only where its own session and address were right.
fn is_answered(reason: DenyReason) -> bool {
    match reason {
        DenyReason::NoRule
        | DenyReason::SpecialDestination
        | DenyReason::TunnelNetwork
        | DenyReason::Quarantine
        | DenyReason::Lockdown
        | DenyReason::FlowTableFull
        | DenyReason::NoTarget
        | DenyReason::FlowClash => true,
        DenyReason::AuthorityLost
        | DenyReason::LeaseOver
        | DenyReason::SpoofedSource
        | DenyReason::NoFlow
        | DenyReason::NoDevice
        | DenyReason::Malformed
        | DenyReason::Fragment
        | DenyReason::HeaderOption
        | DenyReason::Protocol => false,
    }
}

fn answers_icmp(destination: IpAddr) -> bool {
    let broadcast = matches!(destination, IpAddr::V4(v4) if v4.is_broadcast());
    !destination.is_multicast() && !broadcast && !destination.is_unspecified()
}

/// Says what a packet was for; a service address goes by its resource's name.
fn describe(packet: &Packet<'_>, leased: &Leased) -> String {
    let to = packet.destination;
    let resource = leased.resource_at(to);
    let host = || resource.map_or_else(|| to.to_string(), ToString::to_string);
    let end =
        |port| resource.map_or_else(|| SocketAddr::new(to, port).to_string(), |resource| format!("{resource}:{port}"));
    match &packet.body {
        Body::Tcp(segment) => format!("tcp {}", end(segment.destination_port)),
        Body::Udp { destination_port, .. } => format!("udp {}", end(*destination_port)),
        Body::EchoRequest { .. } => format!("ping {}", host()),
        Body::EchoReply { .. } => format!("a ping's reply to {}", host()),
        Body::Error(_) => format!("an ICMP error to {}", host()),
    }
}

fn words(reason: DenyReason) -> &'static str {
    match reason {
        DenyReason::AuthorityLost => "the gateway has lost its control plane",
        DenyReason::Lockdown => "lockdown",
        DenyReason::LeaseOver => "the device's time is over or has not begun",
        DenyReason::Quarantine => "the sign-in window is closed",
        DenyReason::SpoofedSource => "the inner source address is not its own",
        DenyReason::NoRule => "no grant allows it",
        DenyReason::SpecialDestination => "the destination is the gateway itself or another special address",
        DenyReason::TunnelNetwork => "devices do not reach each other",
        DenyReason::NoFlow => "it belongs to no connection that the device opened",
        DenyReason::NoDevice => "no device has that address",
        DenyReason::Malformed => "it is malformed",
        DenyReason::Fragment => "it is a fragment",
        DenyReason::HeaderOption => "its header asks for routing or extensions",
        DenyReason::Protocol => "its protocol cannot be allowed",
        DenyReason::FlowTableFull => "too many connections are open",
        DenyReason::NoTarget => "the resource has no single host that its service address could lead to",
        DenyReason::FlowClash => "a connection from the same port to the same host is open by its other address",
    }
}
