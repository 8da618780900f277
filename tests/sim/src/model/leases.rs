//! Leases in force.

use std::net::IpAddr;

use doorward_gateway_core::FlowTuple;
use doorward_model::{DeviceId, GrantId, Lease, Protocol, Rule, Timestamp, TunnelNetwork};

use super::flows::Fate;
use super::time::{Arrival, End, Moment, Span};

/// A lease, placed on two clocks.
#[derive(Debug, Clone)]
pub struct Held {
    /// What the feed said.
    pub lease: Lease,
    span: Span,
    sign_in: Option<End>,
    rules: Vec<Span>,
}

impl Held {
    pub(super) fn device(&self) -> DeviceId {
        self.lease.device
    }

    /// The device's own addresses.
    #[must_use]
    pub fn addresses(&self) -> [IpAddr; 2] {
        [IpAddr::V4(self.lease.address_v4), IpAddr::V6(self.lease.address_v6)]
    }

    pub(super) fn holds(&self, now: Moment) -> bool {
        self.span.holds(now)
    }

    pub(super) fn is_over(&self, now: Moment) -> bool {
        self.span.is_over(now)
    }

    pub(super) fn is_signed_in(&self, now: Moment) -> bool {
        self.sign_in.is_none_or(|end| !end.has_come(now))
    }

    pub(super) fn stands(&self, now: Moment) -> bool {
        self.holds(now) && self.is_signed_in(now)
    }

    /// Says whether a rule leads there at this moment.
    pub(super) fn leads(&self, to: &FlowTuple, own: &[IpAddr], network: &TunnelNetwork, now: Moment) -> bool {
        self.leading(to, own, network).any(|span| span.holds(now))
    }

    /// Says what becomes of a flow: it stays while a rule leads there. Where rules lead there that do not all hold, it
    /// may be tied to one that does not.
    pub(super) fn fate(&self, to: &FlowTuple, own: &[IpAddr], network: &TunnelNetwork, now: Moment) -> Fate {
        let (mut some, mut all) = (false, true);
        for span in self.leading(to, own, network) {
            some |= span.holds(now);
            all &= span.holds(now);
        }
        match (some, all) {
            (false, _) => Fate::Ends,
            (true, true) => Fate::Stays,
            (true, false) => Fate::Unsure,
        }
    }

    /// Says whether a rule leads there, whenever.
    pub(super) fn may_ever_lead(&self, to: &FlowTuple, own: &[IpAddr], network: &TunnelNetwork) -> bool {
        self.leading(to, own, network).next().is_some()
    }

    fn leading(&self, to: &FlowTuple, own: &[IpAddr], network: &TunnelNetwork) -> impl Iterator<Item = &Span> {
        let (address, port, protocol) = (to.remote.ip(), to.remote.port(), to.protocol);
        let among_devices = match address {
            IpAddr::V4(v4) => network.v4().contains(&v4),
            IpAddr::V6(v6) => network.v6().contains(&v6),
        };
        let is_own = own.contains(&address);
        let leads = move |rule: &Rule| {
            let allowed = rule
                .allow
                .iter()
                .any(|allow| allow.protocol == protocol && (protocol == Protocol::Icmp || allow.ports.contains(port)));
            allowed && rule.targets.iter().any(|target| target.net().is_some_and(|net| names(net, address, is_own)))
        };
        let rules = self.lease.rules.iter().zip(&self.rules);
        rules.filter(move |(rule, _)| !among_devices && leads(rule)).map(|(_, span)| span)
    }
}

/// Says whether a target names an address. The machine's own addresses are named one by one, and special ranges (the
/// machine itself, link-local with the metadata service, multicast, reserved) by targets that lie within.
fn names(target: ipnet::IpNet, address: IpAddr, is_own: bool) -> bool {
    let single = target.prefix_len() == target.max_prefix_len();
    let special = |address: IpAddr| match address {
        IpAddr::V4(v4) => match v4.octets() {
            [0, ..] => Some(8),
            [127, ..] => Some(8),
            [169, 254, ..] => Some(16),
            [224..=239, ..] => Some(4),
            [240..=255, ..] => Some(4),
            _ => None,
        },
        IpAddr::V6(v6) => match v6.segments() {
            [0, 0, 0, 0, 0, 0, 0, 0 | 1] => Some(128),
            [0, 0, 0, 0, 0, 0xffff, ..] => Some(96),
            [0xfe80..=0xfebf, ..] => Some(10),
            [0xff00..=0xffff, ..] => Some(8),
            [0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x254] | [0xfd20, 0x00ce, 0, 0, 0, 0, 0, 0x254] => Some(128),
            _ => None,
        },
    };
    target.contains(&address)
        && (!is_own || single)
        && special(address).is_none_or(|length| target.prefix_len() >= length)
}

/// What an end belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Device,
    SignIn,
    Grant(GrantId),
}

/// Every lease, and the earliest boot-clock end ever computed for each end: nothing lengthens by being sent again.
#[derive(Debug, Default)]
pub(super) struct Leases {
    pub(super) held: Vec<Held>,
    earliest: Vec<(DeviceId, Subject, Timestamp, u64)>,
}

impl Leases {
    pub(super) fn of(&self, device: DeviceId) -> Option<&Held> {
        self.held.iter().find(|held| held.device() == device)
    }

    pub(super) fn remove(&mut self, device: DeviceId) {
        self.held.retain(|held| held.device() != device);
    }

    pub(super) fn replace_all(&mut self, leases: &[Lease], came: (Moment, i64), network: &TunnelNetwork) {
        self.held.clear();
        self.change(leases, came, network);
    }

    /// Takes leases in, instead of what their devices had. Of two that claim one device, key or address none holds.
    pub(super) fn change(&mut self, leases: &[Lease], (now, sent_at): (Moment, i64), network: &TunnelNetwork) {
        for lease in leases {
            self.remove(lease.device);
        }
        let mut lost = Vec::new();
        for (at, lease) in leases.iter().enumerate() {
            let rest = leases.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, other)| other);
            let among = rest.clone().any(|other| clash(lease, other));
            let held: Vec<_> = self.held.iter().filter(|held| clash(lease, &held.lease)).map(Held::device).collect();
            if among || !held.is_empty() || !has_right_addresses(lease, network) {
                lost.push(lease.device);
            }
            lost.extend(held);
        }
        let arrival = Arrival { boot: now.boot, sent_at };
        for lease in leases.iter().filter(|lease| !lost.contains(&lease.device)) {
            let held = self.place(lease, arrival);
            self.held.push(held);
        }
        self.held.retain(|held| !lost.contains(&held.device()));
    }

    fn place(&mut self, lease: &Lease, arrival: Arrival) -> Held {
        let device = lease.device;
        let end = self.end(device, Subject::Device, lease.validity.not_after, arrival);
        let span = Span::place(lease.validity, arrival, end);
        let sign_in = lease.sign_in_until.map(|until| self.end(device, Subject::SignIn, until, arrival));
        let rules = lease.rules.iter().map(|rule| {
            let end = self.end(device, Subject::Grant(rule.grant), rule.validity.not_after, arrival);
            Span::place(rule.validity, arrival, end)
        });
        let rules = rules.collect();
        Held { lease: lease.clone(), span, sign_in, rules }
    }

    fn end(&mut self, device: DeviceId, subject: Subject, wall: Timestamp, arrival: Arrival) -> End {
        let mut boot = arrival.on_boot(wall);
        let same =
            |entry: &&mut (DeviceId, Subject, Timestamp, u64)| (entry.0, entry.1, entry.2) == (device, subject, wall);
        match self.earliest.iter_mut().find(same) {
            Some(entry) => {
                boot = boot.min(entry.3);
                entry.3 = boot;
            }
            None => self.earliest.push((device, subject, wall, boot)),
        }
        End { boot, wall }
    }
}

fn clash(a: &Lease, b: &Lease) -> bool {
    a.device == b.device || a.public_key == b.public_key || a.address_v4 == b.address_v4 || a.address_v6 == b.address_v6
}

fn has_right_addresses(lease: &Lease, network: &TunnelNetwork) -> bool {
    let (v4, v6) = (network.v4(), network.v6());
    let ends = [v4.network(), v4.broadcast(), network.gateway_v4()];
    v4.contains(&lease.address_v4)
        && !ends.contains(&lease.address_v4)
        && v6.contains(&lease.address_v6)
        && ![v6.network(), network.gateway_v6()].contains(&lease.address_v6)
}
