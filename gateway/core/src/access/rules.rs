//! A device's rules, found by destination: the first packet of a flow costs the same with one rule and with a thousand.

use std::net::IpAddr;
use std::ops::Deref;

use doorward_model::{Allow, GrantId, ResourceName, ServiceAddress, Target};
use ipnet::IpNet;

use crate::clock::Window;

/// One grant, resolved.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) grant: GrantId,
    pub(crate) resource: ResourceName,
    pub(crate) service: Option<ServiceAddress>,
    pub(crate) targets: Vec<Target>,
    pub(crate) allow: Vec<Allow>,
    pub(crate) window: Window,
}

impl Rule {
    /// Where a device may send to on this rule's account: its targets that are prefixes, and its service addresses.
    fn prefixes(&self) -> impl Iterator<Item = IpNet> {
        let service = self.service.iter().flat_map(|service| service.addresses()).map(IpNet::from);
        self.targets.iter().filter_map(Target::net).chain(service).map(|net| net.trunc())
    }
}

/// The rules of one lease, in the order of the feed, which is what this dereferences to.
#[derive(Debug, Default)]
pub(crate) struct Rules {
    rules: Box<[Rule]>,
    /// Each prefix with the place of its rule, sorted.
    prefixes: Box<[(IpNet, u32)]>,
    /// The lengths that occur among the prefixes, by family: what a lookup has to try.
    lengths_v4: Box<[u8]>,
    lengths_v6: Box<[u8]>,
}

impl Rules {
    /// Finds the rules that have a target or a service address which a destination lies in; a rule may come twice. What
    /// they allow, their times and what special ranges forbid is for the caller to look at.
    pub(crate) fn toward(&self, destination: IpAddr) -> impl Iterator<Item = &Rule> {
        let lengths = if destination.is_ipv4() { &self.lengths_v4 } else { &self.lengths_v6 };
        let nets = lengths.iter().filter_map(move |length| IpNet::new(destination, *length).ok());
        nets.flat_map(|net| self.at(net.trunc()))
    }

    fn at(&self, net: IpNet) -> impl Iterator<Item = &Rule> {
        let begin = self.prefixes.partition_point(|(held, _)| *held < net);
        let found = self.prefixes.iter().skip(begin).take_while(move |(held, _)| *held == net);
        found.filter_map(|(_, place)| self.rules.get(usize::try_from(*place).ok()?))
    }
}

impl FromIterator<Rule> for Rules {
    fn from_iter<I: IntoIterator<Item = Rule>>(rules: I) -> Self {
        let rules: Box<[Rule]> = rules.into_iter().collect();
        let placed = (0_u32..).zip(&rules);
        let mut prefixes: Vec<_> =
            placed.flat_map(|(place, rule)| rule.prefixes().map(move |net| (net, place))).collect();
        prefixes.sort_unstable();
        prefixes.dedup();
        let lengths = |is_ipv4: bool| {
            let family = prefixes.iter().filter(|(net, _)| net.addr().is_ipv4() == is_ipv4);
            let mut lengths: Vec<u8> = family.map(|(net, _)| net.prefix_len()).collect();
            lengths.sort_unstable_by(|one, other| other.cmp(one));
            lengths.dedup();
            lengths.into_boxed_slice()
        };
        let (lengths_v4, lengths_v6) = (lengths(true), lengths(false));
        Self { rules, prefixes: prefixes.into_boxed_slice(), lengths_v4, lengths_v6 }
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.rules
    }
}

#[cfg(test)]
mod tests {
    use doorward_model::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::BootTime;
    use crate::clock::Instants;

    fn rule(targets: Vec<Target>, service: Option<u8>) -> Rule {
        let always = Window {
            start: Instants { boot: BootTime::default(), wall: Timestamp::MIN },
            end: Instants { boot: BootTime::MAX, wall: Timestamp::MAX },
        };
        let service = service.map(|last| ServiceAddress {
            v4: [10, 80, 0, last].into(),
            v6: [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into(),
        });
        let grant = "0190b3a0-0000-7000-8000-000000000001".parse().unwrap();
        Rule { grant, resource: "panel".parse().unwrap(), service, targets, allow: Vec::new(), window: always }
    }

    /// Few enough bits that prefixes often hold each other and the destinations asked for.
    fn net() -> impl Strategy<Value = IpNet> {
        let v4 = (0_u32..8, 0_u8..=32)
            .prop_map(|(last, length)| IpNet::new((0x0a50_0000 | last).to_be_bytes().into(), length));
        let v6 = (0_u128..8, 0_u8..=128)
            .prop_map(|(last, length)| IpNet::new((0xfd00 << 112 | last).to_be_bytes().into(), length));
        prop_oneof![v4, v6].prop_map(|net| net.unwrap().trunc())
    }

    fn rules() -> impl Strategy<Value = Vec<Rule>> {
        let target = prop_oneof![9 => net().prop_map(Target::Net), 1 => Just("db.shop.example".parse().unwrap())];
        let rule = (prop::collection::vec(target, 0..4), prop::option::of(0_u8..8))
            .prop_map(|(targets, at)| rule(targets, at));
        prop::collection::vec(rule, 0..12)
    }

    proptest! {
        #[test]
        fn the_rules_toward_a_destination_are_those_that_a_walk_through_all_finds(rules in rules(), last in 0_u8..8, v6: bool) {
            let destination: IpAddr = if v6 { [0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)].into() } else { [10, 80, 0, last].into() };
            let leads = |rule: &Rule| {
                rule.service.is_some_and(|service| service.is(destination))
                    || rule.targets.iter().filter_map(Target::net).any(|net| net.contains(&destination))
            };
            let rules: Rules = rules.into_iter().collect();
            let place = |rule: &Rule| rules.iter().position(|held| std::ptr::eq(held, rule)).unwrap();
            let mut found: Vec<usize> = rules.toward(destination).map(place).collect();
            found.sort_unstable();
            found.dedup();
            let walked: Vec<usize> = rules.iter().filter(|rule| leads(rule)).map(place).collect();
            prop_assert_eq!(found, walked);
        }
    }
}
