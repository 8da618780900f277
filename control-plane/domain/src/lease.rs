//! The one function from which access comes: grants ∩ device validity ∩ sign-in window ∩ person active.
//!
//! Lockdown is separate: a gateway holds leases during a lockdown and lets nobody pass.

use std::collections::BTreeSet;
use std::time::Duration;

use doorward_model::{EndReason, GroupId, Interval, Lease, Rule, Timestamp, Tombstone, TunnelNetwork};

use crate::{Device, GrantedResource, Grantee, Principal, PrincipalState};

/// What is known about one device, read in one transaction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseSubject {
    /// Whose device it is.
    pub principal: Principal,
    /// The device.
    pub device: Device,
    /// Groups that the person is a member of.
    pub groups: BTreeSet<GroupId>,
    /// The grants of the person and of these groups, in any order; revoked and over ones are ignored.
    pub grants: Vec<GrantedResource>,
}

/// What holds for every device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// Where device addresses come from.
    pub network: TunnelNetwork,
    /// How long a sign-in lasts; zero: no sign-in is asked for and leases follow grants alone.
    pub sign_in_window: Duration,
}

/// What a device has.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all of them are leases, which a box would only move to the heap one by one"
)]
pub enum Derived {
    /// A lease; with no rules, it may connect and reach nothing.
    Lease(Lease),
    /// Nothing, and why; its key is to be recognised and refused.
    Ended(EndReason),
}

/// Derives what a device may do, from everything that is known about it.
///
/// Grants that begin later are included with their beginning, so that a gateway needs no message when they do. Rules
/// are sorted by beginning, then id: the same state gives the same lease, in whatever order it was read.
#[must_use]
pub fn derive_lease(subject: &LeaseSubject, terms: &LeaseTerms, now: Timestamp) -> Derived {
    let LeaseSubject { principal, device, groups: _, grants } = subject;
    if let Some(reason) = end_of(principal, device, now) {
        return Derived::Ended(reason);
    }
    // A slot outside of the network (it was made smaller) has no address, and what has no address has no lease.
    let Some((address_v4, address_v6)) = terms.network.device_addresses(device.slot) else {
        return Derived::Ended(EndReason::NotListed);
    };
    let end = |at: Option<Timestamp>| at.unwrap_or(Timestamp::MAX);
    let validity =
        Interval { not_before: Timestamp::MIN, not_after: end(device.not_after).min(end(principal.not_after)) };
    let mut rules: Vec<Rule> =
        grants.iter().filter_map(|granted| rule(granted, subject, &validity, terms, now)).collect();
    rules.sort_by_key(|rule| (rule.validity.not_before, rule.grant));
    Derived::Lease(Lease {
        device: device.id,
        device_name: device.name.clone(),
        principal: principal.id,
        email: principal.email.clone(),
        public_key: device.public_key,
        preshared_key: device.preshared_key.clone(),
        address_v4,
        address_v6,
        validity,
        sign_in_until: (!terms.sign_in_window.is_zero()).then(|| sign_in_until(principal, device)),
        rules,
    })
}

/// Until when a person's sign-in opens a device: not at all where the device's key was seen in two places since.
fn sign_in_until(principal: &Principal, device: &Device) -> Timestamp {
    principal.signed_in_until.filter(|_| !is_closed(principal, device)).unwrap_or(Timestamp::MIN)
}

fn is_closed(principal: &Principal, device: &Device) -> bool {
    device.window_closed_at.is_some_and(|closed| principal.signed_in_at.is_none_or(|at| at <= closed))
}

fn end_of(principal: &Principal, device: &Device, now: Timestamp) -> Option<EndReason> {
    let over = |at: Option<Timestamp>| at.is_some_and(|end| end <= now);
    if let Some(revocation) = device.revoked {
        return Some(revocation.reason);
    }
    match principal.state {
        PrincipalState::Departed => Some(EndReason::Offboarded),
        PrincipalState::Suspended => Some(EndReason::Suspended),
        PrincipalState::Active if device.principal != principal.id => Some(EndReason::NotListed),
        PrincipalState::Active if over(principal.not_after) => Some(EndReason::ContractEnded),
        PrincipalState::Active if over(device.not_after) => Some(EndReason::DeviceExpired),
        PrincipalState::Active => None,
    }
}

fn rule(
    granted: &GrantedResource,
    subject: &LeaseSubject,
    lease: &Interval,
    terms: &LeaseTerms,
    now: Timestamp,
) -> Option<Rule> {
    let GrantedResource { grant, resource } = granted;
    let belongs = match grant.to {
        Grantee::Person(id) => id == subject.principal.id,
        Grantee::Group(id) => subject.groups.contains(&id),
    };
    if !belongs || grant.resource != resource.id || grant.revoked_at.is_some() || resource.removed_at.is_some() {
        return None;
    }
    let mut validity = grant.span_told(now)?.intersect(lease)?;
    if let Some(window) = resource.sign_in_window {
        validity.not_after = validity.not_after.min(window.after(signed_in_at(subject)?));
    }
    (now < validity.not_after && validity.not_before < validity.not_after).then(|| Rule {
        grant: grant.id,
        resource: resource.name.clone(),
        service: resource.service(&terms.network),
        targets: resource.targets.clone(),
        allow: resource.allow.clone(),
        validity,
    })
}

/// When the sign-in took place that still counts on this device.
fn signed_in_at(LeaseSubject { principal, device, .. }: &LeaseSubject) -> Option<Timestamp> {
    principal.signed_in_at.filter(|_| !is_closed(principal, device))
}

impl LeaseSubject {
    /// Returns what a gateway needs to recognise the key and refuse it by name, for the reason that was derived.
    #[must_use]
    pub fn tombstone(&self, reason: EndReason) -> Tombstone {
        let Self { principal, device, .. } = self;
        let ended_at = match (device.revoked, reason) {
            (Some(revocation), _) => Some(revocation.at),
            (None, EndReason::ContractEnded) => principal.not_after,
            (None, EndReason::DeviceExpired) => device.not_after,
            (None, EndReason::Offboarded | EndReason::Suspended | EndReason::DeviceRevoked | EndReason::NotListed) => {
                None
            }
        };
        Tombstone {
            public_key: device.public_key,
            device: device.id,
            device_name: device.name.clone(),
            email: principal.email.clone(),
            reason,
            ended_at: ended_at.unwrap_or(principal.changed_at),
        }
    }
}

#[cfg(test)]
#[path = "lease_fixtures.rs"]
pub(crate) mod fixtures;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fixtures::{device, grant, granted, group, person, resource, t};
    use super::*;
    use crate::{Revocation, audit::tests::permuted};

    fn terms(window_seconds: u64) -> LeaseTerms {
        LeaseTerms { network: TunnelNetwork::default(), sign_in_window: Duration::from_secs(window_seconds) }
    }

    /// What the device may do at a moment: the grants whose rules hold, with lease, window and rule taken together.
    fn access(derived: &Derived, at: Timestamp) -> Vec<doorward_model::GrantId> {
        match derived {
            Derived::Ended(_) => Vec::new(),
            Derived::Lease(lease)
                if !lease.validity.contains(at) || lease.sign_in_until.is_some_and(|end| end <= at) =>
            {
                Vec::new()
            }
            Derived::Lease(lease) => {
                let mut grants: Vec<_> =
                    lease.rules.iter().filter(|rule| rule.validity.contains(at)).map(|rule| rule.grant).collect();
                grants.sort_unstable();
                grants
            }
        }
    }

    prop_compose! {
        fn any_subject()(
            person_end in proptest::option::of(0i64..40),
            device_end in proptest::option::of(0i64..40),
            signed_in in proptest::option::of(0i64..40),
            state in prop_oneof![6 => Just(PrincipalState::Active), 1 => Just(PrincipalState::Suspended), 1 => Just(PrincipalState::Departed)],
            revoked in proptest::option::weighted(0.1, 0i64..40),
            grants in proptest::collection::vec((0i64..40, 1i64..20, proptest::bool::weighted(0.15), proptest::bool::weighted(0.1), 0u8..4), 0..6),
        ) -> LeaseSubject {
            let grants = grants.into_iter().zip(1u8..).map(|((from, span, revoked, removed, whose), n)| {
                let mut granted = granted(grant(n, 1, n, from, from + span));
                // Of the groups the person is in the second alone.
                if let 1 | 2 = whose {
                    granted.grant.to = Grantee::Group(group(whose).id);
                }
                granted.grant.revoked_at = revoked.then(|| t(1));
                if removed {
                    granted.resource = std::sync::Arc::new(crate::Resource { removed_at: Some(t(1)), ..resource(n) });
                }
                granted
            });
            LeaseSubject {
                principal: Principal { not_after: person_end.map(t), signed_in_until: signed_in.map(t), state, ..person(1) },
                device: Device {
                    not_after: device_end.map(t),
                    revoked: revoked.map(|at| Revocation { at: t(at), reason: EndReason::DeviceRevoked }),
                    ..device(1, 1)
                },
                groups: [group(2).id].into(),
                grants: grants.collect(),
            }
        }
    }

    proptest! {
        #[test]
        fn access_is_exactly_the_intersection(subject in any_subject(), window in 0u64..2, now in 0i64..60, later in 0i64..60) {
            let at = t(now.max(later));
            let derived = derive_lease(&subject, &terms(window), t(now));
            let (p, d) = (&subject.principal, &subject.device);
            let open = |end: Option<Timestamp>| end.is_none_or(|end| at < end);
            let person_device_window = p.state == PrincipalState::Active && open(p.not_after) && open(d.not_after) && d.revoked.is_none()
                && (window == 0 || p.signed_in_until.is_some_and(|end| at < end));
            let expected: Vec<_> = subject.grants.iter()
                .filter(|g| person_device_window && g.grant.to != Grantee::Group(group(1).id) && g.grant.revoked_at.is_none() && g.resource.removed_at.is_none() && g.grant.validity.contains(at))
                .map(|g| g.grant.id).collect();
            prop_assert_eq!(access(&derived, at), expected);
        }

        #[test]
        fn a_rule_never_outlives_its_grant_its_device_or_its_person(subject in any_subject(), now in 0i64..60) {
            if let Derived::Lease(lease) = derive_lease(&subject, &terms(0), t(now)) {
                for rule in &lease.rules {
                    let granted = subject.grants.iter().find(|g| g.grant.id == rule.grant).unwrap();
                    prop_assert!(rule.validity.not_after <= granted.grant.validity.not_after);
                    prop_assert!(rule.validity.not_before >= granted.grant.validity.not_before);
                    prop_assert!(subject.device.not_after.is_none_or(|end| rule.validity.not_after <= end && lease.validity.not_after <= end));
                    prop_assert!(subject.principal.not_after.is_none_or(|end| rule.validity.not_after <= end && lease.validity.not_after <= end));
                    prop_assert!(t(now) < rule.validity.not_after);
                }
            }
        }

        #[test]
        fn taking_anything_away_never_adds_access(subject in any_subject(), which in 0usize..7, cut in 0usize..6, window in 0u64..2, now in 0i64..60, later in 0i64..60) {
            let at = t(now.max(later));
            let before = access(&derive_lease(&subject, &terms(window), t(now)), at);
            let mut less = subject.clone();
            match which {
                0 => less.principal.state = PrincipalState::Suspended,
                1 => less.principal.not_after = Some(less.principal.not_after.unwrap_or(t(20)).min(t(20))),
                2 => less.device.not_after = Some(less.device.not_after.unwrap_or(t(20)).min(t(20))),
                3 => less.principal.signed_in_until = None,
                4 => less.device.revoked = Some(Revocation { at: t(1), reason: EndReason::DeviceRevoked }),
                5 => less.groups.clear(),
                _ => if let Some(granted) = less.grants.get_mut(cut) { granted.grant.revoked_at = Some(t(1)); },
            }
            let after = access(&derive_lease(&less, &terms(window), t(now)), at);
            prop_assert!(after.iter().all(|grant| before.contains(grant)), "{after:?} is more than {before:?}");
        }

        #[test]
        fn who_is_suspended_or_departed_has_no_lease(subject in any_subject(), now in 0i64..60, departed: bool) {
            let state = if departed { PrincipalState::Departed } else { PrincipalState::Suspended };
            let subject = LeaseSubject { principal: Principal { state, ..subject.principal }, ..subject };
            prop_assert!(matches!(derive_lease(&subject, &terms(0), t(now)), Derived::Ended(_)));
        }

        #[test]
        fn the_order_of_grants_changes_nothing(subject in any_subject(), seed: u64, now in 0i64..60) {
            let shuffled = LeaseSubject { grants: permuted(subject.grants.clone(), seed), ..subject.clone() };
            prop_assert_eq!(derive_lease(&shuffled, &terms(0), t(now)), derive_lease(&subject, &terms(0), t(now)));
        }
    }

    fn subject() -> LeaseSubject {
        LeaseSubject {
            principal: person(1),
            device: device(1, 1),
            groups: BTreeSet::new(),
            grants: vec![granted(grant(1, 1, 1, 10, 20))],
        }
    }

    #[test]
    fn a_grant_that_begins_later_is_in_the_lease_and_one_that_is_over_is_not() {
        let rules = |now| match derive_lease(&subject(), &terms(0), t(now)) {
            Derived::Lease(lease) => lease.rules.len(),
            Derived::Ended(reason) => panic!("{reason}"),
        };
        assert_eq!([rules(0), rules(19), rules(20)], [1, 1, 0]);
    }

    #[test]
    fn without_a_window_nobody_is_asked_to_sign_in_and_with_one_nobody_passes_before() {
        let sign_in = |window| match derive_lease(&subject(), &terms(window), t(0)) {
            Derived::Lease(lease) => lease.sign_in_until,
            Derived::Ended(reason) => panic!("{reason}"),
        };
        assert_eq!((sign_in(0), sign_in(3600)), (None, Some(Timestamp::MIN)));
    }

    #[test]
    fn a_key_seen_in_two_places_waits_for_a_sign_in_that_comes_after() {
        let until = |signed_in_at, closed_at| {
            let principal = Principal { signed_in_at, signed_in_until: Some(t(100)), ..person(1) };
            let device = Device { window_closed_at: closed_at, ..device(1, 1) };
            match derive_lease(&LeaseSubject { principal, device, ..subject() }, &terms(3600), t(15)) {
                Derived::Lease(lease) => lease.sign_in_until.unwrap(),
                Derived::Ended(reason) => panic!("{reason}"),
            }
        };
        assert_eq!(until(Some(t(10)), None), t(100));
        assert_eq!(until(Some(t(10)), Some(t(12))), Timestamp::MIN);
        assert_eq!(until(Some(t(12)), Some(t(12))), Timestamp::MIN, "which came first is not known");
        assert_eq!(until(Some(t(13)), Some(t(12))), t(100));
    }

    #[test]
    fn somebody_elses_grant_or_device_gives_nothing() {
        let other = LeaseSubject { grants: vec![granted(grant(1, 2, 1, 0, 20))], ..subject() };
        assert!(access(&derive_lease(&other, &terms(0), t(5)), t(15)).is_empty());
        let other = LeaseSubject { device: device(1, 2), ..subject() };
        assert_eq!(derive_lease(&other, &terms(0), t(5)), Derived::Ended(EndReason::NotListed));
    }

    #[test]
    fn a_member_has_what_the_group_was_granted_for_as_long_as_they_are_one() {
        let mut granted = granted(grant(1, 1, 1, 0, 20));
        granted.grant.to = Grantee::Group(group(3).id);
        let member = LeaseSubject { groups: [group(3).id].into(), grants: vec![granted], ..subject() };
        assert_eq!(access(&derive_lease(&member, &terms(0), t(5)), t(6)), [member.grants[0].grant.id]);
        let left = LeaseSubject { groups: [group(4).id].into(), ..member };
        assert!(access(&derive_lease(&left, &terms(0), t(5)), t(6)).is_empty());
    }

    #[test]
    fn a_rule_has_one_occurrence_of_the_hours_and_no_more_than_the_grant() {
        let weekly: crate::WeeklyHours = "thu 00:00-00:01 UTC".parse().unwrap();
        let mut subject = subject();
        // 1970-01-01 was a Thursday.
        subject.grants[0].grant.hours = Some(weekly.in_zone(Some(jiff::tz::TimeZone::UTC)));
        subject.grants[0].grant.validity = Interval { not_before: t(10), not_after: t(14 * 24 * 3600) };
        let rules = |subject: &LeaseSubject, now| match derive_lease(subject, &terms(0), t(now)) {
            Derived::Lease(lease) => lease.rules.iter().map(|rule| rule.validity).collect::<Vec<_>>(),
            Derived::Ended(reason) => panic!("{reason}"),
        };
        let week = 7 * 24 * 3600;
        assert_eq!(rules(&subject, 0), [Interval { not_before: t(10), not_after: t(60) }]);
        assert_eq!(rules(&subject, 60), [Interval { not_before: t(week), not_after: t(week + 60) }]);
        assert_eq!(rules(&subject, week + 60), []);
        let weekly: crate::WeeklyHours = "thu 00:00-00:01 Europe/Nowhere".parse().unwrap();
        subject.grants[0].grant.hours = Some(weekly.in_zone(None));
        assert_eq!(rules(&subject, 0), [], "an unknown time zone allows nothing");
    }

    #[test]
    fn a_resource_of_its_own_window_ends_so_long_after_the_sign_in() {
        let mut subject = subject();
        let window = doorward_model::Span::from_secs(4);
        subject.grants[0].resource = std::sync::Arc::new(crate::Resource { sign_in_window: window, ..resource(1) });
        let end = |subject: &LeaseSubject, now| match derive_lease(subject, &terms(0), t(now)) {
            Derived::Lease(lease) => lease.rules.first().map(|rule| rule.validity.not_after),
            Derived::Ended(reason) => panic!("{reason}"),
        };
        assert_eq!(end(&subject, 11), None, "nobody has signed in");
        subject.principal.signed_in_at = Some(t(10));
        assert_eq!((end(&subject, 11), end(&subject, 14)), (Some(t(14)), None));
        subject.device.window_closed_at = Some(t(12));
        assert_eq!(end(&subject, 13), None, "the key was seen in two places");
        subject.device.window_closed_at = None;
        subject.principal = crate::suspend(&subject.principal, &[], t(12)).unwrap().principal;
        subject.principal.state = PrincipalState::Active;
        assert_eq!(end(&subject, 13), None, "a suspension closed the window");
    }

    #[test]
    fn a_rule_carries_the_resource_s_own_address_and_its_targets_names_too() {
        let mut subject = subject();
        let named = "db.shop.example".parse().unwrap();
        subject.grants[0].resource = std::sync::Arc::new(crate::Resource { targets: vec![named], ..resource(1) });
        let rule = |network| match derive_lease(&subject, &LeaseTerms { network, ..terms(0) }, t(5)) {
            Derived::Lease(mut lease) => lease.rules.remove(0),
            Derived::Ended(reason) => panic!("{reason}"),
        };
        let network = TunnelNetwork::default();
        assert_eq!(rule(network).service, network.service_address(1));
        assert_eq!(rule(network).targets[0].to_string(), "db.shop.example");
        let other = TunnelNetwork::new("10.9.0.0/24".parse().unwrap(), "fd09::/64".parse().unwrap()).unwrap();
        assert_eq!(rule(other).service, other.service_address(1), "the number stays, the address follows the network");
    }

    #[test]
    fn a_slot_outside_of_the_network_has_no_lease() {
        let outside = LeaseSubject { device: Device { slot: u32::MAX, ..device(1, 1) }, ..subject() };
        assert_eq!(derive_lease(&outside, &terms(0), t(5)), Derived::Ended(EndReason::NotListed));
    }

    #[test]
    fn a_tombstone_says_when_and_why() {
        let ended =
            LeaseSubject { principal: Principal { not_after: Some(t(8)), changed_at: t(3), ..person(1) }, ..subject() };
        assert_eq!(ended.tombstone(EndReason::ContractEnded).ended_at, t(8));
        assert_eq!(ended.tombstone(EndReason::Suspended).ended_at, t(3));
    }
}
