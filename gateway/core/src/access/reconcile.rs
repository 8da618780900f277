//! What the feed says against what is held: which leases can be taken, and whether one shrank.

use std::borrow::Cow;
use std::net::IpAddr;

use doorward_model::{DeviceId, Lease, PublicKey, Target, TunnelNetwork};

use super::deadlines::{EndMemory, Subject};
use super::device::{DeviceTable, Leased};
use super::elsewhere::{Claims, Elsewhere};
use super::rules::Rule;
use crate::clock::{Arrival, Instants, Window};
use crate::hash::Seed;
use crate::{Now, Share};

/// Why a lease is denied although the feed lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Another lease has its device, its key or one of its addresses: neither wins.
    Contradiction,
    /// An address outside the tunnel network, or the gateway's.
    Address,
    /// The gateway's own key.
    GatewayKey,
    /// The table is full.
    TooMany,
}

impl Refusal {
    /// Says it, after a name.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Contradiction => "shares its key, its address or its id with another lease; both are denied",
            Self::Address => "has an address that no device may have; it is denied",
            Self::GatewayKey => "has the gateway's own key; it is denied",
            Self::TooMany => "does not fit into the table of devices; it is denied",
        }
    }
}

/// What to do with the leases of one message.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) take: Vec<Lease>,
    /// Leases that other cores own: device, what it claims.
    pub(crate) elsewhere: Vec<(DeviceId, Claims)>,
    pub(crate) refused: Vec<(Lease, Refusal)>,
    /// Held devices that contradict a lease of the message and are not in it: they are denied as well.
    pub(crate) contradicted: Vec<u32>,
    /// The same at other cores, which see to it themselves.
    pub(crate) contradicted_elsewhere: Vec<DeviceId>,
}

#[derive(PartialEq, Eq, Hash)]
enum Claim {
    Device(DeviceId),
    Key(PublicKey),
    Address(IpAddr),
}

fn claims(lease: &Lease) -> [Claim; 4] {
    [
        Claim::Device(lease.device),
        Claim::Key(lease.public_key),
        Claim::Address(IpAddr::V4(lease.address_v4)),
        Claim::Address(IpAddr::V6(lease.address_v6)),
    ]
}

/// What a plan is made against.
pub(crate) struct Grounds<'a, T> {
    pub(crate) seed: &'a Seed,
    pub(crate) network: &'a TunnelNetwork,
    /// Which devices this core owns; contradictions are looked for among all.
    pub(crate) share: Share,
    /// Devices that other cores own.
    pub(crate) elsewhere: &'a Elsewhere,
    pub(crate) devices: &'a DeviceTable<T>,
    pub(crate) devices_max: usize,
    pub(crate) is_own_key: &'a dyn Fn(&PublicKey) -> bool,
}

impl<T> Grounds<'_, T> {
    /// Sorts leases into those that can be taken and those that are denied. `whole`: they are all there are.
    pub(crate) fn plan(&self, leases: Vec<Cow<'_, Lease>>, whole: bool) -> Plan {
        let mut claimed = self.seed.map();
        let mut changed = self.seed.set();
        changed.extend(leases.iter().map(|lease| lease.device));
        let mut refusals: Vec<Option<Refusal>> = leases.iter().map(|lease| self.refusal_alone(lease)).collect();
        let mut plan = Plan::default();
        let mut refuse = |at: usize| {
            if let Some(refusal) = refusals.get_mut(at) {
                refusal.get_or_insert(Refusal::Contradiction);
            }
        };
        for (at, lease) in leases.iter().enumerate() {
            for claim in claims(lease) {
                if let Some(other) = claimed.insert(claim, at) {
                    refuse(other);
                    refuse(at);
                }
            }
            if !whole {
                for other in self
                    .holders(lease)
                    .filter(|other| self.devices.get(*other).is_some_and(|device| !changed.contains(&device.leased.id)))
                {
                    refuse(at);
                    plan.contradicted.push(other);
                }
                for other in self.elsewhere.holders(lease).filter(|other| !changed.contains(other)) {
                    refuse(at);
                    plan.contradicted_elsewhere.push(other);
                }
            }
        }
        let mut room = if whole { self.devices_max } else { self.devices_max.saturating_sub(self.devices.len()) };
        for (lease, refusal) in leases.into_iter().zip(refusals) {
            let is_new = whole || self.devices.by_id(lease.device).is_none();
            let owner = self.share.owner(self.network, IpAddr::V4(lease.address_v4));
            match refusal {
                Some(refusal) => plan.refused.push((lease.into_owned(), refusal)),
                None if owner != self.share.index() => {
                    plan.elsewhere.push((lease.device, Claims::of(&lease, owner)));
                }
                None if is_new && room == 0 => plan.refused.push((lease.into_owned(), Refusal::TooMany)),
                None => {
                    room = room.saturating_sub(usize::from(is_new));
                    plan.take.push(lease.into_owned());
                }
            }
        }
        plan
    }

    /// Devices held that have the lease's key or an address of it.
    fn holders(&self, lease: &Lease) -> impl Iterator<Item = u32> {
        let by_key = self.devices.by_key(&lease.public_key);
        let by_v4 = self.devices.by_address(IpAddr::V4(lease.address_v4));
        let by_v6 = self.devices.by_address(IpAddr::V6(lease.address_v6));
        [by_key, by_v4, by_v6].into_iter().flatten()
    }

    fn refusal_alone(&self, lease: &Lease) -> Option<Refusal> {
        let (v4, v6) = (self.network.v4(), self.network.v6());
        let fits_v4 = v4.contains(&lease.address_v4)
            && ![v4.network(), v4.broadcast(), self.network.gateway_v4()].contains(&lease.address_v4);
        let fits_v6 =
            v6.contains(&lease.address_v6) && ![v6.network(), self.network.gateway_v6()].contains(&lease.address_v6);
        if (self.is_own_key)(&lease.public_key) {
            Some(Refusal::GatewayKey)
        } else if fits_v4 && fits_v6 {
            None
        } else {
            Some(Refusal::Address)
        }
    }
}

/// Places a lease on both clocks.
pub(crate) fn place(lease: Lease, arrival: Arrival, memory: &mut EndMemory) -> Leased {
    let device = lease.device;
    let end = memory.place(device, Subject::Device, lease.validity.not_after, arrival);
    let window = Window::place(lease.validity, arrival, end);
    let sign_in_until =
        lease.sign_in_until.map(|wall| Instants { boot: memory.place(device, Subject::SignIn, wall, arrival), wall });
    let rules = lease.rules.into_iter().map(|rule| {
        let end = memory.place(device, Subject::Grant(rule.grant), rule.validity.not_after, arrival);
        Rule {
            grant: rule.grant,
            resource: rule.resource,
            service: rule.service,
            targets: rule.targets,
            allow: rule.allow,
            window: Window::place(rule.validity, arrival, end),
        }
    });
    Leased {
        id: device,
        name: lease.device_name,
        email: lease.email,
        public_key: lease.public_key,
        preshared_key: lease.preshared_key,
        address_v4: lease.address_v4,
        address_v6: lease.address_v6,
        window,
        sign_in_until,
        rules: rules.collect(),
    }
}

/// Says whether a device loses anything that it had at this moment.
pub(crate) fn shrinks(old: &Leased, new: &Leased, now: Now) -> bool {
    let lost = |rule: &&Rule| rule.window.holds(now) && !new.rules.iter().any(|kept| keeps(rule, kept, now));
    let sign_in = |leased: &Leased| leased.sign_in_until.map_or(doorward_model::Timestamp::MAX, |until| until.wall);
    new.window.end.wall < old.window.end.wall
        || (old.window.holds(now) && !new.window.holds(now))
        || sign_in(new) < sign_in(old)
        || old.rules.iter().any(|rule| lost(&rule))
}

fn covers_target(kept: &Target, old: &Target) -> bool {
    match (kept.net(), old.net()) {
        (Some(kept), Some(old)) => kept.contains(&old),
        (Some(_), None) | (None, Some(_)) | (None, None) => kept == old,
    }
}

fn keeps(old: &Rule, new: &Rule, now: Now) -> bool {
    old.grant == new.grant
        && new.window.begun(now)
        && new.window.end.wall >= old.window.end.wall
        && (old.service.is_none() || new.service == old.service)
        && old.targets.iter().all(|target| new.targets.iter().any(|kept| covers_target(kept, target)))
        && old.allow.iter().all(|allow| {
            new.allow.iter().any(|kept| {
                kept.protocol == allow.protocol
                    && kept.ports.first() <= allow.ports.first()
                    && allow.ports.last() <= kept.ports.last()
            })
        })
}
