//! The table of flows: a slab, an index by key, and for each device a list from the longest idle to the last used.

use super::{Direction, Flow, FlowKey, Traffic, tcp};
use crate::access::decision::{Opening, Road};
use crate::hash::{Map, Seed};
use crate::packet::parse::{Body, Packet};
use crate::{Limits, Now};

/// No neighbour.
const NONE: u32 = u32::MAX;
/// Flows looked at for one that makes room, when the whole table is full: bounded work under attack.
const EVICTION_SAMPLE: usize = 16;
/// Flows looked at in one sweep, at least.
const SWEEP_MIN: usize = 256;

#[derive(Debug, Clone, Copy)]
struct List {
    oldest: u32,
    newest: u32,
    count: u32,
}

impl Default for List {
    fn default() -> Self {
        Self { oldest: NONE, newest: NONE, count: 0 }
    }
}

/// Every flow.
pub(crate) struct FlowTable {
    flows: Vec<Option<Flow>>,
    free: Vec<u32>,
    /// By both names of each flow. They never collide but where a device uses one port towards a target and its service
    /// address, because no target lies where service addresses do.
    by_key: Map<FlowKey, u32>,
    count: usize,
    /// Lists by the device's place in the device table.
    lists: Vec<List>,
    per_device_max: u32,
    flows_max: usize,
    /// Where the next sweep or sample begins.
    cursor: usize,
    evicted: u64,
}

impl FlowTable {
    pub(crate) fn new(seed: &Seed, limits: &Limits) -> Self {
        Self {
            flows: Vec::new(),
            free: Vec::new(),
            by_key: seed.map(),
            count: 0,
            lists: Vec::new(),
            per_device_max: limits.flows_per_device_max.max(1),
            flows_max: limits.flows_max.max(1),
            cursor: 0,
            evicted: 0,
        }
    }

    /// Takes at most that many flows.
    pub(crate) fn limit_to(&mut self, flows_max: usize) {
        self.flows_max = flows_max.max(1);
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Flows ended to make room.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Flow> {
        self.flows.iter().flatten()
    }

    /// Finds a flow that has not been idle for too long, by the name that it has for packets of that direction.
    pub(crate) fn find(&self, key: &FlowKey, direction: Direction, now: Now) -> Option<u32> {
        let at = *self.by_key.get(key)?;
        let flow = self.get(at)?;
        let is_named_so = match (flow.road.target(), direction) {
            (None, Direction::FromDevice | Direction::ToDevice) => true,
            (Some(_), Direction::FromDevice) => flow.key == *key,
            (Some(_), Direction::ToDevice) => flow.key != *key,
        };
        (is_named_so && !flow.is_idle(now)).then_some(at)
    }

    /// Says whether a flow that lives has the ends behind the gateway that a flow named `key` would get: what comes back
    /// could belong to either.
    pub(crate) fn is_taken(&self, key: &FlowKey, road: &Road, now: Now) -> bool {
        let holder = self.by_key.get(&key.on_network(road)).and_then(|at| self.get(*at));
        holder.is_some_and(|flow| flow.key != *key && !flow.is_idle(now) && flow.window.holds(now))
    }

    /// Says whether the flow at a place has that key and has not been idle for too long: a guess, checked.
    pub(crate) fn is_at(&self, at: u32, key: &FlowKey, direction: Direction, now: Now) -> bool {
        let Some(flow) = self.get(at) else { return false };
        let name = match (flow.road.target(), direction) {
            (Some(_), Direction::ToDevice) => flow.key.on_network(&flow.road),
            (Some(_), Direction::FromDevice) | (None, Direction::FromDevice | Direction::ToDevice) => flow.key,
        };
        name == *key && !flow.is_idle(now)
    }

    pub(crate) fn get(&self, at: u32) -> Option<&Flow> {
        self.flows.get(slot(at)).and_then(Option::as_ref)
    }

    pub(crate) fn get_mut(&mut self, at: u32) -> Option<&mut Flow> {
        self.flows.get_mut(slot(at)).and_then(Option::as_mut)
    }

    /// Opens a flow, replacing those that have one of its names (see [`FlowTable::is_taken`]); makes room by ending the
    /// longest idle. `None` only when the table cannot take it at all.
    pub(crate) fn open(&mut self, key: FlowKey, device: u32, opening: Opening, now: Now) -> Option<u32> {
        let Opening { ground, window, road } = opening;
        let names = [key, key.on_network(&road)];
        for name in names {
            if let Some(at) = self.by_key.get(&name).copied() {
                self.remove(at);
            }
        }
        let list = self.list(device);
        if list.count >= self.per_device_max {
            self.evict(list.oldest);
        } else if self.count >= self.flows_max {
            let victim = self.sample_victim()?;
            self.evict(victim);
        }
        let flow = Flow {
            key,
            road,
            device,
            ground,
            window,
            last_used: now.boot,
            connection: tcp::Connection::default(),
            up: Traffic::default(),
            down: Traffic::default(),
            previous: NONE,
            next: NONE,
        };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                let at = u32::try_from(self.flows.len()).ok().filter(|at| *at != NONE)?;
                self.flows.push(None);
                at
            }
        };
        *self.flows.get_mut(slot(at))? = Some(flow);
        self.by_key.extend(names.map(|name| (name, at)));
        self.count = self.count.saturating_add(1);
        self.link_newest(at);
        Some(at)
    }

    /// Accounts a packet that passes and stands for `parts`.
    pub(crate) fn note(&mut self, at: u32, packet: &Packet<'_>, parts: u64, direction: Direction, now: Now) {
        let Some(flow) = self.get_mut(at) else { return };
        flow.last_used = now.boot;
        let from_device = direction == Direction::FromDevice;
        let traffic = if from_device { &mut flow.up } else { &mut flow.down };
        traffic.packets = traffic.packets.wrapping_add(parts);
        traffic.bytes = traffic.bytes.wrapping_add(u64::try_from(packet.bytes.len()).unwrap_or(0));
        if let Body::Tcp(segment) = &packet.body {
            flow.connection.note(segment, from_device);
        }
        if flow.next != NONE {
            self.unlink(at);
            self.link_newest(at);
        }
    }

    /// Ends a flow and returns it, for its resets.
    pub(crate) fn remove(&mut self, at: u32) -> Option<Flow> {
        self.get(at)?;
        self.unlink(at);
        let flow = self.flows.get_mut(slot(at)).and_then(Option::take)?;
        for name in [flow.key, flow.key.on_network(&flow.road)] {
            self.by_key.remove(&name);
        }
        self.count = self.count.saturating_sub(1);
        self.free.push(at);
        Some(flow)
    }

    /// Lists a device's flows.
    pub(crate) fn of_device(&self, device: u32) -> Vec<u32> {
        let mut at = self.list(device).oldest;
        let mut all = Vec::new();
        while let Some(flow) = self.get(at) {
            all.push(at);
            at = flow.next;
        }
        all
    }

    /// Removes idle flows from the next part of the table; a few calls go round it.
    pub(crate) fn sweep(&mut self, now: Now) {
        let part = SWEEP_MIN.max(self.flows.len() / 8);
        for _ in 0..part.min(self.flows.len()) {
            let at = self.advance();
            if self.get(at).is_some_and(|flow| flow.is_idle(now)) {
                self.remove(at);
            }
        }
    }

    fn advance(&mut self) -> u32 {
        self.cursor = self.cursor.wrapping_add(1);
        if self.cursor >= self.flows.len() {
            self.cursor = 0;
        }
        u32::try_from(self.cursor).unwrap_or(NONE)
    }

    fn list(&self, device: u32) -> List {
        self.lists.get(slot(device)).copied().unwrap_or_default()
    }

    fn evict(&mut self, at: u32) {
        if self.remove(at).is_some() {
            self.evicted = self.evicted.wrapping_add(1);
        }
    }

    /// Of a few flows, the longest idle one of the device that has most: a greedy device pays first.
    fn sample_victim(&mut self) -> Option<u32> {
        let mut victim = None;
        for _ in 0..EVICTION_SAMPLE {
            let Some(flow) = ({
                let at = self.advance();
                self.get(at)
            }) else {
                continue;
            };
            let list = self.list(flow.device);
            if victim.is_none_or(|(_, count)| count < list.count) {
                victim = Some((list.oldest, list.count));
            }
        }
        victim.map(|(at, _)| at)
    }

    fn link_newest(&mut self, at: u32) {
        let Some(device) = self.get(at).map(|flow| flow.device) else { return };
        if self.lists.len() <= slot(device) {
            self.lists.resize_with(slot(device).saturating_add(1), List::default);
        }
        let Some(list) = self.lists.get_mut(slot(device)) else { return };
        let newest = list.newest;
        list.newest = at;
        list.count = list.count.saturating_add(1);
        if newest == NONE {
            list.oldest = at;
        } else if let Some(before) = self.get_mut(newest) {
            before.next = at;
        }
        if let Some(flow) = self.get_mut(at) {
            (flow.previous, flow.next) = (newest, NONE);
        }
    }

    fn unlink(&mut self, at: u32) {
        let Some((device, previous, next)) = self.get(at).map(|flow| (flow.device, flow.previous, flow.next)) else {
            return;
        };
        if let Some(before) = self.get_mut(previous) {
            before.next = next;
        }
        if let Some(after) = self.get_mut(next) {
            after.previous = previous;
        }
        let Some(list) = self.lists.get_mut(slot(device)) else { return };
        list.count = list.count.saturating_sub(1);
        if list.oldest == at {
            list.oldest = next;
        }
        if list.newest == at {
            list.newest = previous;
        }
    }
}

/// A place as an index; `u32` always fits.
fn slot(at: u32) -> usize {
    usize::try_from(at).unwrap_or(usize::MAX)
}
