//! Flows: only devices open them, and they last while a rule leads there and they are used.

use std::net::IpAddr;

use doorward_gateway_core::FlowTuple;
use doorward_model::{DeviceId, DnsName, Lease, Protocol, PublicKey};

use super::time::Moment;
use crate::packet::{ACK, Body, FIN, RST, SYN};

const SECOND: u64 = 1_000_000;

/// What a change means for a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Stays,
    /// It may go on or not.
    Unsure,
    Ends,
}

/// How a packet gets to its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// As the device addressed it.
    Direct,
    /// From a service address to a target that is an address.
    Host(IpAddr),
    /// From a service address to an address of a target that is a name.
    Name(IpAddr, DnsName),
}

impl Way {
    /// The address that takes the service address's place.
    #[must_use]
    pub fn target(&self) -> Option<IpAddr> {
        match self {
            Self::Direct => None,
            Self::Host(target) | Self::Name(target, _) => Some(*target),
        }
    }

    /// The ends behind the gateway of a flow that goes this way.
    #[must_use]
    pub fn behind(&self, mut tuple: FlowTuple) -> FlowTuple {
        if let Some(target) = self.target() {
            tuple.remote.set_ip(target);
        }
        tuple
    }
}

/// A flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) device: DeviceId,
    /// Its ends as the device sees them.
    pub(super) tuple: FlowTuple,
    /// The way that it goes for all its life; several, to one target, where what passed does not tell which it is.
    pub(super) ways: Vec<Way>,
    /// The key that the device had; with another one it is another device.
    pub(super) key: PublicKey,
    /// False where a timer may have ended it.
    pub(super) is_sure: bool,
    ended: bool,
    used: u64,
    heard: bool,
    closing: bool,
    /// A TCP flow that may have been opened anew in between: how long it may be idle is not known.
    is_vague: bool,
}

impl Flow {
    /// Its ends behind the gateway.
    pub(super) fn behind(&self) -> FlowTuple {
        self.ways.first().map_or(self.tuple, |way| way.behind(self.tuple))
    }

    fn is_idle(&self, now: Moment) -> bool {
        let seconds = match self.tuple.protocol {
            Protocol::Tcp if self.is_vague || (self.heard && !self.closing) => 7_200,
            Protocol::Tcp => 60,
            Protocol::Udp => 180,
            Protocol::Icmp => 30,
        };
        now.boot.saturating_sub(self.used) >= seconds * SECOND
    }
}

/// All flows since the start.
#[derive(Debug, Default)]
pub(super) struct Flows(Vec<Flow>);

impl Flows {
    pub(super) fn all(&self) -> impl Iterator<Item = &Flow> {
        self.0.iter()
    }

    pub(super) fn live(&self, device: DeviceId, tuple: &FlowTuple, now: Moment) -> Option<&Flow> {
        let is = |flow: &&Flow| !flow.ended && flow.device == device && flow.tuple == *tuple && !flow.is_idle(now);
        self.0.iter().find(is)
    }

    /// The flow with those ends behind the gateway: there is one at most, or nobody could tell whose an answer is.
    pub(super) fn live_behind(&self, device: DeviceId, behind: &FlowTuple, now: Moment) -> Option<&Flow> {
        let is = |flow: &&Flow| !flow.ended && flow.device == device && flow.behind() == *behind && !flow.is_idle(now);
        self.0.iter().find(is)
    }

    pub(super) fn may_have(&self, device: DeviceId, behind: &FlowTuple) -> bool {
        self.0.iter().any(|flow| !flow.ended && flow.device == device && flow.behind() == *behind)
    }

    pub(super) fn settle(&mut self, fate: impl Fn(&Flow) -> Fate) {
        for flow in self.0.iter_mut().filter(|flow| !flow.ended) {
            match fate(flow) {
                Fate::Stays => {}
                Fate::Unsure => flow.is_sure = false,
                Fate::Ends => flow.ended = true,
            }
        }
    }

    pub(super) fn doubt(&mut self, is_doubtful: impl Fn(&Flow) -> bool) {
        for flow in self.0.iter_mut().filter(|flow| !flow.ended) {
            flow.is_sure &= !is_doubtful(flow);
        }
    }

    pub(super) fn used_up(
        &mut self,
        now: Moment,
        owner: &Lease,
        (tuple, ways): (FlowTuple, Vec<Way>),
        body: Body,
        is_sure: bool,
    ) {
        let (device, key) = (owner.device, owner.public_key);
        let target = ways.first().and_then(Way::target);
        let behind = ways.first().map_or(tuple, |way| way.behind(tuple));
        // It passed, so what would have stood in its way is gone.
        for flow in self.0.iter_mut().filter(|flow| !flow.ended && flow.device == device) {
            let is_same = flow.tuple == tuple && flow.ways.first().and_then(Way::target) == target;
            flow.ended = !is_same && (flow.tuple == tuple || flow.behind() == behind);
        }
        let held = self.0.iter_mut().find(|flow| !flow.ended && flow.device == device && flow.tuple == tuple);
        let fresh = Flow {
            device,
            tuple,
            ways,
            key,
            is_sure,
            ended: false,
            used: now.boot,
            heard: false,
            closing: false,
            is_vague: false,
        };
        let flow = match held {
            // Where it may have been forgotten before, it was opened anew, as if never answered.
            Some(flow) if flow.is_idle(now) => {
                *flow = fresh;
                flow
            }
            Some(flow) => {
                flow.ways.retain(|way| fresh.ways.contains(way));
                flow.is_vague |= !flow.is_sure && tuple.protocol == Protocol::Tcp;
                flow.is_sure = is_sure && !flow.is_vague;
                flow
            }
            None => {
                self.0.push(fresh);
                let Some(flow) = self.0.last_mut() else { return };
                flow
            }
        };
        flow.used = now.boot;
        if let Body::Tcp(flags) = body {
            if flags & SYN != 0 && flags & ACK == 0 && flow.closing {
                (flow.heard, flow.closing) = (false, false);
            }
            flow.closing |= flags & (FIN | RST) != 0;
        }
    }

    pub(super) fn used_down(&mut self, now: Moment, device: DeviceId, behind: &FlowTuple, body: Body) {
        let held = self.0.iter_mut().find(|flow| !flow.ended && flow.device == device && flow.behind() == *behind);
        let Some(flow) = held else { return };
        flow.used = now.boot;
        flow.heard = true;
        if let Body::Tcp(flags) = body {
            flow.closing |= flags & (FIN | RST) != 0;
        }
    }
}
