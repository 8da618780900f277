//! Leases in force.

use std::net::IpAddr;

use doorward_gateway_core::FlowTuple;
use doorward_model::{
    Allow, DeviceId, DnsName, GrantId, Lease, Protocol, Rule, ServiceAddress, Target, Timestamp, TunnelNetwork,
};

use super::flows::{Fate, Way};
use super::names::Names;
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

    /// Says whether one of its rules leads to a name.
    pub(super) fn mentions(&self, name: &DnsName) -> bool {
        self.lease.rules.iter().any(|rule| rule.targets.iter().any(|target| target.name() == Some(name)))
    }

    /// The ways that a packet may take which belongs to no flow yet, and whether there surely is one.
    pub(super) fn ways(&self, to: &FlowTuple, place: Place<'_>, names: &Names, now: Moment) -> (Vec<Way>, bool) {
        if !place.is_in_tunnel(to.remote.ip()) {
            let leads = self.leading(to, &Way::Direct, place).any(|span| span.holds(now));
            return (leads.then_some(Way::Direct).into_iter().collect(), leads);
        }
        let (mut ways, mut is_sure) = (Vec::new(), false);
        let rules = self.lease.rules.iter().zip(&self.rules);
        for (rule, _) in rules.filter(|(rule, span)| span.holds(now) && serves(rule, to)) {
            is_sure |= self.ways_of(rule, to.remote.is_ipv4(), (place, names), now, &mut ways);
        }
        (ways, is_sure)
    }

    /// The ways by which a rule leads from its service address: to the first target of the family that is one address or
    /// a name that leads outside. More than one where it is not sure what a name's addresses are; says whether one is.
    fn ways_of(
        &self,
        rule: &Rule,
        is_ipv4: bool,
        (place, names): (Place<'_>, &Names),
        now: Moment,
        ways: &mut Vec<Way>,
    ) -> bool {
        for target in &rule.targets {
            let (way, is_sure) = match target {
                Target::Net(net) => {
                    let single = net.prefix_len() == net.max_prefix_len();
                    let fits = single && net.addr().is_ipv4() == is_ipv4 && !place.is_in_tunnel(net.addr());
                    (fits.then(|| Way::Host(net.addr())), true)
                }
                Target::Name(name) => {
                    let (addresses, is_sure) = names.of(name, self.device(), now);
                    let leads_outside = |address: &&IpAddr| {
                        let inside = place.is_in_tunnel(**address)
                            || place.own.contains(address)
                            || special(**address).is_some();
                        address.is_ipv4() == is_ipv4 && !inside
                    };
                    let found = addresses.iter().find(leads_outside);
                    (found.map(|address| Way::Name(*address, name.clone())), is_sure)
                }
            };
            if let Some(way) = way {
                ways.extend((!ways.contains(&way)).then_some(way));
                if is_sure {
                    return true;
                }
            }
        }
        false
    }

    /// Says what becomes of a flow: it stays while a rule leads there. Where rules lead there that do not all hold, it
    /// may be tied to one that does not.
    pub(super) fn fate(&self, to: &FlowTuple, ways: &[Way], place: Place<'_>, now: Moment) -> Fate {
        let (mut some, mut all) = (false, true);
        for span in ways.iter().flat_map(|way| self.leading(to, way, place)) {
            some |= span.holds(now);
            all &= span.holds(now);
        }
        match (some, all && ways.len() == 1) {
            (false, _) => Fate::Ends,
            (true, true) => Fate::Stays,
            (true, false) => Fate::Unsure,
        }
    }

    /// Says whether a rule leads there, whenever.
    pub(super) fn may_ever_lead(&self, to: &FlowTuple, ways: &[Way], place: Place<'_>) -> bool {
        ways.iter().any(|way| self.leading(to, way, place).next().is_some())
    }

    /// The rules that lead there by that way, whenever.
    fn leading(&self, to: &FlowTuple, way: &Way, place: Place<'_>) -> impl Iterator<Item = &Span> {
        let leads = move |rule: &Rule| match way {
            Way::Direct => {
                let address = to.remote.ip();
                let named = |net| names(net, address, place.own.contains(&address));
                !place.is_in_tunnel(address)
                    && allows(rule, to)
                    && rule.targets.iter().any(|target| target.net().is_some_and(named))
            }
            Way::Host(host) => {
                serves(rule, to) && rule.targets.iter().any(|target| target.net() == Some((*host).into()))
            }
            Way::Name(address, name) => {
                serves(rule, to)
                    && !place.own.contains(address)
                    && rule.targets.iter().any(|target| target.name() == Some(name))
            }
        };
        let rules = self.lease.rules.iter().zip(&self.rules);
        let leading: Vec<&Span> = rules.filter(|(rule, _)| leads(rule)).map(|(_, span)| span).collect();
        leading.into_iter()
    }
}

/// Where the machine is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) own: &'a [IpAddr],
    pub(super) network: &'a TunnelNetwork,
}

impl Place<'_> {
    fn is_in_tunnel(self, address: IpAddr) -> bool {
        match address {
            IpAddr::V4(v4) => self.network.v4().contains(&v4),
            IpAddr::V6(v6) => self.network.v6().contains(&v6),
        }
    }
}

fn allows(rule: &Rule, to: &FlowTuple) -> bool {
    let fits = |allow: &Allow| {
        allow.protocol == to.protocol && (to.protocol == Protocol::Icmp || allow.ports.contains(to.remote.port()))
    };
    rule.allow.iter().any(fits)
}

/// Says whether a rule's resource has that service address, and allows it.
fn serves(rule: &Rule, to: &FlowTuple) -> bool {
    let has = |service: ServiceAddress| [service.v4.into(), service.v6.into()].contains(&to.remote.ip());
    rule.service.is_some_and(has) && allows(rule, to)
}

/// Says whether a target names an address. The machine's own addresses are named one by one, and special ranges by targets
/// that lie within.
fn names(target: ipnet::IpNet, address: IpAddr, is_own: bool) -> bool {
    let single = target.prefix_len() == target.max_prefix_len();
    target.contains(&address)
        && (!is_own || single)
        && special(address).is_none_or(|length| target.prefix_len() >= length)
}

/// The prefix of the special range that an address lies in: the machine itself, link-local with the metadata service,
/// multicast, reserved.
fn special(address: IpAddr) -> Option<u8> {
    match address {
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
    }
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
