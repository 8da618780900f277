//! Flows: only devices open them, and they last while a rule leads there and they are used.

use doorward_gateway_core::FlowTuple;
use doorward_model::{DeviceId, Lease, Protocol, PublicKey};

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

/// A flow.
#[derive(Debug)]
pub(super) struct Flow {
    pub(super) device: DeviceId,
    pub(super) tuple: FlowTuple,
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

    pub(super) fn may_have(&self, device: DeviceId, tuple: &FlowTuple) -> bool {
        self.0.iter().any(|flow| !flow.ended && flow.device == device && flow.tuple == *tuple)
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

    pub(super) fn used_up(&mut self, now: Moment, owner: &Lease, tuple: FlowTuple, body: Body, is_sure: bool) {
        let (device, key) = (owner.device, owner.public_key);
        let held = self.0.iter_mut().find(|flow| !flow.ended && flow.device == device && flow.tuple == tuple);
        let fresh = Flow {
            device,
            tuple,
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

    pub(super) fn used_down(&mut self, now: Moment, device: DeviceId, tuple: &FlowTuple, body: Body) {
        let held = self.0.iter_mut().find(|flow| !flow.ended && flow.device == device && flow.tuple == *tuple);
        let Some(flow) = held else { return };
        flow.used = now.boot;
        flow.heard = true;
        if let Body::Tcp(flags) = body {
            flow.closing |= flags & (FIN | RST) != 0;
        }
    }
}
