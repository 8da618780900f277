//! What waits to be polled. Bounded, but for what commands cause: that is bounded by the commands.

use std::collections::VecDeque;

use doorward_model::GatewayEvent;

use crate::counters::{DropReason, Tally};
use crate::{Event, Handover, Limits, Transmit, TunnelPacket};

/// Whether something is part of a revocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Urgency {
    Ordinary,
    Revocation,
}

/// The queues.
pub(crate) struct Outbox {
    transmits: VecDeque<Transmit>,
    tunnel: VecDeque<TunnelPacket>,
    handovers: VecDeque<(u16, Handover)>,
    events: VecDeque<Event>,
    notices: usize,
    ordinary_max: usize,
    urgent_max: usize,
    notices_max: usize,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            transmits: VecDeque::new(),
            tunnel: VecDeque::new(),
            handovers: VecDeque::new(),
            events: VecDeque::new(),
            notices: 0,
            ordinary_max: limits.transmits_max,
            urgent_max: limits.transmits_max.max(limits.resets_max),
            notices_max: limits.notices_max,
        }
    }

    fn max(&self, urgency: Urgency) -> usize {
        match urgency {
            Urgency::Ordinary => self.ordinary_max,
            Urgency::Revocation => self.urgent_max,
        }
    }

    pub(crate) fn transmit(&mut self, transmit: Transmit, urgency: Urgency, tally: &mut Tally) {
        if self.transmits.len() < self.max(urgency) {
            self.transmits.push_back(transmit);
        } else {
            tally.drop(DropReason::QueueFull);
        }
    }

    pub(crate) fn tunnel(&mut self, packet: Vec<u8>, urgency: Urgency, tally: &mut Tally) {
        if self.tunnel.len() < self.max(urgency) {
            self.tunnel.push_back(TunnelPacket { packet });
        } else {
            tally.drop(DropReason::QueueFull);
        }
    }

    pub(crate) fn hand_over(&mut self, to: u16, handover: Handover, tally: &mut Tally) {
        if self.handovers.len() < self.ordinary_max {
            self.handovers.push_back((to, handover));
        } else {
            tally.drop(DropReason::QueueFull);
        }
    }

    pub(crate) fn event(&mut self, event: Event) {
        self.events.push_back(event);
    }

    pub(crate) fn notice(&mut self, notice: GatewayEvent, tally: &mut Tally) {
        if self.notices < self.notices_max {
            self.notices = self.notices.saturating_add(1);
            self.events.push_back(Event::Notice(notice));
        } else {
            tally.sums.notices_dropped = tally.sums.notices_dropped.wrapping_add(1);
        }
    }

    pub(crate) fn next_transmit(&mut self) -> Option<Transmit> {
        self.transmits.pop_front()
    }

    pub(crate) fn next_tunnel(&mut self) -> Option<TunnelPacket> {
        self.tunnel.pop_front()
    }

    pub(crate) fn next_handover(&mut self) -> Option<(u16, Handover)> {
        self.handovers.pop_front()
    }

    pub(crate) fn next_event(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if matches!(event, Some(Event::Notice(_))) {
            self.notices = self.notices.saturating_sub(1);
        }
        event
    }
}
