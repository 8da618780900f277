//! Commands: what the feed says becomes what is enforced, before the call returns.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use doorward_model::{
    Change, DecisionId, Delta, DeviceId, EndReason, EndedDevice, GatewayEvent, GatewayEventKind, Heartbeat, Lease,
    Lockdown, Revision, Snapshot, Tombstone,
};

use super::Gateway;
use crate::access::deadlines::Ends;
use crate::access::decision::{self, Ground};
use crate::access::device::Leased;
use crate::access::elsewhere::Claims;
use crate::access::reconcile::{self, Grounds, Plan};
use crate::authority::Edge;
use crate::clock::Arrival;
use crate::wireguard::noise::Noise;
use crate::{BootTime, ConntrackEntry, ENDED_DEVICES_MAX, Enforced, Event, Now};

/// What one message ends.
#[derive(Debug, Default)]
pub(super) struct Ending {
    ended: Vec<EndedDevice>,
    flush: Vec<ConntrackEntry>,
}

impl Ending {
    fn add(&mut self, ended: EndedDevice) {
        if self.ended.len() < ENDED_DEVICES_MAX {
            self.ended.push(ended);
        }
    }
}

impl<N: Noise> Gateway<N> {
    pub(super) fn snapshot(&mut self, now: Now, mut snapshot: Arc<Snapshot>) {
        let offered = snapshot.revision;
        if let Some(held) = self.revision.filter(|held| offered < *held) {
            self.outbox.event(Event::SnapshotRefused { held, offered });
            self.outbox.event(Event::ResyncNeeded { held: Some(held), wanted: offered });
            return;
        }
        let mut ending = Ending::default();
        let arrival = Arrival { boot: now.boot, sent_at: snapshot.sent_at };
        for tombstone in &snapshot.tombstones {
            self.tombstones.write(tombstone.clone());
        }
        self.elsewhere.clear();
        // The only core need not copy what it takes.
        let plan = match Arc::get_mut(&mut snapshot).map(|snapshot| std::mem::take(&mut snapshot.leases)) {
            Some(leases) => self.plan(leases.into_iter().map(Cow::Owned).collect(), true),
            None => self.plan(snapshot.leases.iter().map(Cow::Borrowed).collect(), true),
        };
        let mut listed = self.seed.set();
        listed.extend(plan.take.iter().map(|lease| lease.device));
        for at in self.devices.places() {
            if self.devices.get(at).is_some_and(|device| !listed.contains(&device.leased.id)) {
                self.end_device(now, at, EndReason::NotListed, &mut ending);
            }
        }
        self.set_lockdown(now, snapshot.lockdown, snapshot.lockdown_exempt.clone(), &mut ending);
        self.carry_out(now, plan, arrival, &mut ending);
        self.enforced(now, (offered, None), ending);
    }

    pub(super) fn delta(&mut self, now: Now, delta: Delta) {
        // A decision ahead of the database leads to no revision of its own.
        let leads_on = delta.revision > delta.base || (delta.ahead.is_some() && delta.revision == delta.base);
        let follows = self.revision == Some(delta.base) && leads_on;
        let is_later = self.revision.is_none_or(|held| delta.revision > held);
        let mut ending = Ending::default();
        let mut leases = Vec::new();
        for change in delta.changes {
            match change {
                Change::Remove(removal) => self.remove(now, removal.device, removal.tombstone, &mut ending),
                Change::Lockdown { state, exempt } => match state {
                    // A lockdown is a revocation of everything: a gap before it does not hold it up.
                    Lockdown::On if is_later || follows => self.set_lockdown(now, state, exempt, &mut ending),
                    Lockdown::On => {}
                    Lockdown::Off if follows => self.set_lockdown(now, state, exempt, &mut ending),
                    Lockdown::Off => {}
                },
                Change::Lease(lease) => leases.push(lease),
            }
        }
        if !follows {
            self.flush_conntrack(ending.flush);
            self.outbox.event(Event::ResyncNeeded { held: self.revision, wanted: delta.revision });
            return;
        }
        let plan = self.plan(leases.into_iter().map(Cow::Owned).collect(), false);
        self.carry_out(now, plan, Arrival { boot: now.boot, sent_at: delta.sent_at }, &mut ending);
        self.enforced(now, (delta.revision, delta.ahead), ending);
    }

    pub(super) fn heartbeat(&mut self, now: Now, heartbeat: &Heartbeat) {
        if self.revision.is_none_or(|held| heartbeat.revision > held) {
            self.outbox.event(Event::ResyncNeeded { held: self.revision, wanted: heartbeat.revision });
        }
        if self.revision != Some(heartbeat.revision) {
            return;
        }
        let echo = BootTime::from_micros(heartbeat.echo_boot_micros);
        self.authority.extend(echo, Duration::from_millis(heartbeat.authority_ttl_ms), now);
        if self.authority.edge(now) == Some(Edge::Regained) {
            self.outbox.event(Event::AuthorityRegained);
        }
    }

    pub(super) fn own_addresses(&mut self, now: Now, addresses: Vec<IpAddr>) {
        self.own.clear();
        self.own.extend(addresses.into_iter().map(|address| address.to_canonical()));
        let mut flush = Vec::new();
        for at in self.devices.places() {
            let Some(device) = self.devices.get(at) else { continue };
            let Self { own, flows, .. } = self;
            let (mut ends, mut is_moved) = (Vec::new(), false);
            for place in flows.of_device(at) {
                let Some(flow) = flows.get_mut(place) else { continue };
                let asked = flow.asked();
                if !own.contains(&flow.road.target().unwrap_or(asked.1)) || flow.ground.outlasts_sign_in() {
                    continue;
                }
                // The rule that opened it may have been a prefix, which does not cover the machine's own addresses.
                match decision::rule_to_keep(&device.leased.rules, flow.ground, own, (asked, &flow.road), now) {
                    Some(rule) => is_moved |= flow.move_to(Ground::Grant(rule.grant), rule.window),
                    None => ends.push(place),
                }
            }
            self.cut(now, at, &ends, &mut flush);
            if is_moved {
                self.clear_queue(at);
            }
        }
        self.flush_conntrack(flush);
    }

    fn plan(&self, leases: Vec<Cow<'_, Lease>>, whole: bool) -> Plan {
        let grounds = Grounds {
            seed: &self.seed,
            network: &self.network,
            share: self.share,
            elsewhere: &self.elsewhere,
            devices: &self.devices,
            devices_max: self.limits.devices_max,
            is_own_key: &|key| self.noise.is_own(key),
        };
        grounds.plan(leases, whole)
    }

    fn enforced(&mut self, now: Now, (revision, ahead): (Revision, Option<DecisionId>), ending: Ending) {
        self.revision = Some(revision);
        self.flush_conntrack(ending.flush);
        self.outbox.event(Event::Enforced(Enforced { revision, ahead, arrived: now.boot, ended: ending.ended }));
    }

    pub(super) fn flush_conntrack(&mut self, flush: Vec<ConntrackEntry>) {
        if !flush.is_empty() {
            self.outbox.event(Event::FlushConntrack(flush));
        }
    }

    fn carry_out(&mut self, now: Now, plan: Plan, arrival: Arrival, ending: &mut Ending) {
        for (lease, refusal) in plan.refused {
            let kind = GatewayEventKind::Denied;
            self.elsewhere.forget(lease.device);
            if self.share.owner(&self.network, IpAddr::V4(lease.address_v4)) == self.share.index() {
                self.say((Some(lease.device), kind, u8::MAX), now, |at, count| GatewayEvent {
                    at,
                    kind,
                    device: Some(lease.device),
                    message: format!("the lease of {} ({}) {}", lease.email, lease.device_name, refusal.text()),
                    email: Some(lease.email.clone()),
                    source: None,
                    count,
                });
            }
            if let Some(at) = self.devices.by_id(lease.device) {
                self.end_device(now, at, EndReason::NotListed, ending);
            }
        }
        for at in plan.contradicted {
            self.end_device(now, at, EndReason::NotListed, ending);
        }
        for device in plan.contradicted_elsewhere {
            self.elsewhere.forget(device);
        }
        for (device, claims) in plan.elsewhere {
            self.note_elsewhere(now, (device, claims), ending);
        }
        // Ends first, with the sessions that are there; then all old keys and addresses go before a new one comes,
        // because two devices may have traded them.
        let placed: Vec<Leased> =
            plan.take.into_iter().map(|lease| reconcile::place(lease, arrival, &mut self.memory)).collect();
        for leased in &placed {
            if let Some(at) = self.devices.by_id(leased.id) {
                self.shrink(now, at, leased, ending);
                self.devices.unroute(at);
            }
        }
        for leased in placed {
            self.take(now, leased);
        }
    }

    /// Ends what a held device loses by its next lease.
    fn shrink(&mut self, now: Now, at: u32, next: &Leased, ending: &mut Ending) {
        let Some(device) = self.devices.get(at) else { return };
        let held = &device.leased;
        let other_key = held.public_key != next.public_key;
        let other_device = other_key || held.addresses() != next.addresses();
        let stands = next.window.holds(now) && !next.sign_in_until.is_some_and(|until| until.reached(now));
        let shrinks = other_device || reconcile::shrinks(held, next, now);
        let old = other_key.then(|| tombstone(held, EndReason::NotListed, now));
        let addresses = held.addresses();
        let (mut ends, mut is_moved) = (Vec::new(), false);
        for place in self.flows.of_device(at) {
            let Some(flow) = self.flows.get_mut(place) else { continue };
            let kept = match flow.ground {
                // Quarantine leaves them; the page in a resource's place goes when the resource is there again.
                Ground::Resolver | Ground::Portal => {
                    let in_place = flow.road.target().is_some() && stands;
                    (next.window.holds(now) && !in_place).then_some((flow.ground, next.window))
                }
                Ground::Grant(_) => {
                    let on = (flow.asked(), &flow.road);
                    let rule = decision::rule_to_keep(&next.rules, flow.ground, &self.own, on, now);
                    rule.filter(|_| stands).map(|rule| (Ground::Grant(rule.grant), rule.window))
                }
            };
            match kept {
                Some((ground, window)) if !other_device => is_moved |= flow.move_to(ground, window),
                Some(_) | None => ends.push(place),
            }
        }
        let flows_ended = self.cut(now, at, &ends, &mut ending.flush);
        if is_moved {
            self.clear_queue(at);
        }
        if other_device {
            ending.flush.extend(addresses.map(ConntrackEntry::Device));
        }
        if shrinks || flows_ended > 0 {
            self.note_ended(now, at, flows_ended, ending);
        }
        if other_key || !next.window.holds(now) {
            self.close_tunnel(now, at);
        }
        if let Some(old) = old {
            self.tombstones.write(old);
        }
    }

    /// Puts a lease into the table.
    fn take(&mut self, now: Now, leased: Leased) {
        self.tombstones.forget(&leased.public_key);
        self.elsewhere.forget(leased.id);
        self.names.want(&leased.rules);
        let exempt = self.exempt.contains(&leased.id);
        let at = match self.devices.by_id(leased.id) {
            Some(at) => {
                if let Some(device) = self.devices.get_mut(at) {
                    let old_key = device.leased.preshared_key != leased.preshared_key;
                    if let Some(peer) = device.peer.as_deref_mut() {
                        peer.preshared_key_is_old |= old_key;
                    }
                    device.exempt = exempt;
                    self.names.release(&device.leased.rules);
                    device.leased = leased;
                }
                Some(at)
            }
            None => self.devices.insert(leased, exempt),
        };
        if let Some(at) = at {
            self.devices.route(at);
            self.schedule(at, now);
        }
    }

    /// Another core has this device: whoever held it lets it go, and remembers where to send its initiations.
    fn note_elsewhere(&mut self, now: Now, (device, claims): (DeviceId, Claims), ending: &mut Ending) {
        if let Some(at) = self.devices.by_id(device) {
            self.end_device(now, at, EndReason::NotListed, ending);
        }
        self.tombstones.forget(claims.key());
        if self.elsewhere.len() >= self.limits.devices_max.saturating_mul(usize::from(self.share.of())) {
            // More than all cores together take; a snapshot begins anew.
            self.elsewhere.clear();
            self.outbox.event(Event::ResyncNeeded { held: self.revision, wanted: self.revision.unwrap_or_default() });
        }
        self.elsewhere.note(device, claims);
    }

    fn remove(&mut self, now: Now, device: DeviceId, tombstone: Tombstone, ending: &mut Ending) {
        if let Some(at) = self.devices.by_id(device) {
            self.end_device(now, at, tombstone.reason, ending);
        }
        self.elsewhere.forget(device);
        if self.devices.by_key(&tombstone.public_key).is_none() {
            self.tombstones.write(tombstone);
        }
    }

    fn set_lockdown(&mut self, now: Now, state: Lockdown, exempt: Vec<DeviceId>, ending: &mut Ending) {
        self.lockdown = state;
        self.exempt.clear();
        self.exempt.extend(exempt);
        for at in self.devices.places() {
            let Some(device) = self.devices.get_mut(at) else { continue };
            device.exempt = self.exempt.contains(&device.leased.id);
            let (exempt, addresses) = (device.exempt, device.leased.addresses());
            match state {
                Lockdown::On if !exempt => {
                    let flows_ended = self.cut(now, at, &self.flows.of_device(at), &mut ending.flush);
                    if flows_ended > 0 {
                        ending.flush.extend(addresses.map(ConntrackEntry::Device));
                        self.note_ended(now, at, flows_ended, ending);
                    }
                }
                Lockdown::On | Lockdown::Off => {}
            }
        }
    }

    /// Ends a device: resets first, while there is a session to send them on; then everything goes.
    fn end_device(&mut self, now: Now, at: u32, reason: EndReason, ending: &mut Ending) {
        let flows_ended = self.cut(now, at, &self.flows.of_device(at), &mut ending.flush);
        self.note_ended(now, at, flows_ended, ending);
        self.close_tunnel(now, at);
        self.deadlines.set(at, Ends::default());
        if let Some(device) = self.devices.remove(at) {
            self.names.release(&device.leased.rules);
            ending.flush.extend(device.leased.addresses().map(ConntrackEntry::Device));
            if self.tombstones.get(&device.leased.public_key).is_none() {
                self.tombstones.write(tombstone(&device.leased, reason, now));
            }
        }
    }

    fn note_ended(&mut self, now: Now, at: u32, flows_ended: u32, ending: &mut Ending) {
        let Some(device) = self.devices.get(at) else { return };
        let since = device.last_forwarded.map(|last| now.boot.since(last).as_millis());
        ending.add(EndedDevice {
            device: device.leased.id,
            flows_ended,
            last_packet_before_ms: since.map(|millis| u64::try_from(millis).unwrap_or(u64::MAX)),
        });
    }

    /// Ends flows of one device, resets both their ends, and lists them for connection tracking.
    pub(super) fn cut(&mut self, now: Now, at: u32, places: &[u32], flush: &mut Vec<ConntrackEntry>) -> u32 {
        let mut count = 0_u32;
        for flow in places.iter().filter_map(|place| self.flows.remove(*place)).collect::<Vec<_>>() {
            count = count.saturating_add(1);
            flush.push(ConntrackEntry::Flow(flow.network_tuple()));
            self.reset_both(now, &flow);
        }
        if count > 0 {
            self.clear_queue(at);
        }
        count
    }

    /// Drops what waits for a session: each packet waits with the validity that its flow had when it came.
    fn clear_queue(&mut self, at: u32) {
        if let Some(peer) = self.devices.get_mut(at).and_then(|device| device.peer.as_deref_mut()) {
            peer.clear_queue();
        }
    }

    /// Drops a device's sessions, queue and endpoint; its index rests.
    pub(super) fn close_tunnel(&mut self, now: Now, at: u32) {
        self.live.remove(&at);
        if let Some(peer) = self.devices.get_mut(at).and_then(|device| device.peer.take()) {
            self.indices.release(peer.index, now.boot);
        }
    }
}

fn tombstone(leased: &Leased, reason: EndReason, now: Now) -> Tombstone {
    Tombstone {
        public_key: leased.public_key,
        device: leased.id,
        device_name: leased.name.clone(),
        email: leased.email.clone(),
        reason,
        ended_at: now.wall,
    }
}
