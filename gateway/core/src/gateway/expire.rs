//! Timers. They clean up and tell; what passes was decided on the packet path already.

use doorward_model::GatewayEventKind;

use super::Gateway;
use crate::access::decision::{self, Ground};
use crate::flow::Flow;
use crate::wireguard::noise::Noise;
use crate::{ConntrackEntry, Now};

impl<N: Noise> Gateway<N> {
    /// Sets when a device is looked at next.
    pub(super) fn schedule(&mut self, at: u32, now: Now) {
        if let Some(device) = self.devices.get(at) {
            self.deadlines.set(at, device.leased.next_ends(now));
        }
    }

    /// Ends what has come to its end by time.
    pub(super) fn run_deadlines(&mut self, now: Now) {
        // Each turn moves the device's deadline past `now`, so this ends.
        while let Some(at) = self.deadlines.due(now) {
            self.expire(now, at);
            self.schedule(at, now);
        }
    }

    fn expire(&mut self, now: Now, at: u32) {
        let Some(device) = self.devices.get(at) else { return };
        let over = device.leased.window.over(now);
        let signed_out = device.leased.sign_in_until.is_some_and(|until| until.reached(now));
        let had_tunnel = device.peer.is_some();
        let source = device.peer.as_deref().and_then(|peer| peer.endpoint()).map(|(source, _)| source);
        let mut flush: Vec<ConntrackEntry> = Vec::new();
        if over {
            flush.extend(device.leased.addresses().map(ConntrackEntry::Device));
        }
        if !over && !signed_out {
            self.hand_over_flows(now, at);
        }
        let ends_now = |flow: &Flow| over || (signed_out && !flow.ground.outlasts_sign_in()) || !flow.window.holds(now);
        let ends: Vec<u32> =
            self.flows.of_device(at).into_iter().filter(|place| self.flows.get(*place).is_some_and(ends_now)).collect();
        let lost = self.resources_of(at, &ends);
        let count = self.cut(now, at, &ends, &mut flush);
        if over {
            self.close_tunnel(now, at);
        }
        if count > 0 || (over && had_tunnel) {
            let what = match (over, signed_out) {
                (true, _) => "lost access: the device's time is over".to_owned(),
                (false, true) => "lost access: the sign-in window closed".to_owned(),
                (false, false) => format!("lost access to {lost}: the time of the grant is over"),
            };
            self.say_of((at, source), (GatewayEventKind::Denied, u8::MAX), now, |_| {
                format!("{what}; connections cut: {count}")
            });
        }
        self.flush_conntrack(flush);
    }

    /// Lets flows whose grant has ended go on under another one that leads to the same place.
    fn hand_over_flows(&mut self, now: Now, at: u32) {
        let Some(device) = self.devices.get(at) else { return };
        for place in self.flows.of_device(at) {
            let Some(flow) = self.flows.get_mut(place).filter(|flow| !flow.window.holds(now)) else { continue };
            let on = (flow.asked(), &flow.road);
            if let Some(rule) = decision::rule_to_keep(&device.leased.rules, flow.ground, &self.own, on, now) {
                flow.ground = Ground::Grant(rule.grant);
                flow.window = rule.window;
            }
        }
    }

    /// Names the resources that a device's flows lead to.
    fn resources_of(&self, at: u32, places: &[u32]) -> String {
        let Some(device) = self.devices.get(at) else { return String::new() };
        let grounds: Vec<_> = places.iter().filter_map(|place| Some(self.flows.get(*place)?.ground)).collect();
        let rules = device.leased.rules.iter().filter(|rule| grounds.contains(&Ground::Grant(rule.grant)));
        rules.map(|rule| rule.resource.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// Runs the timers of live tunnels, and looks for idle flows and notices held back.
    pub(super) fn tick(&mut self, now: Now) {
        let live: Vec<u32> = self.live.iter().copied().collect();
        for at in live {
            if !self.tick_tunnel(now, at) {
                self.live.remove(&at);
            }
        }
        self.flows.sweep(now);
        self.send_away_waiting(now);
        for notice in self.notices.flush(now) {
            self.outbox.notice(notice, &mut self.tally);
        }
    }
}
