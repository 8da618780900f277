//! What was decided and is not written, laid over whatever is read: it counts as done everywhere.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use doorward_domain::{Derived, LeaseSubject, LeaseTerms, LockdownState, Principal, derive_lease};
use doorward_model::{Change, DeviceId, Email, EndReason, GrantId, GroupName, Lockdown, PrincipalId, Timestamp};

use super::roster::Known;
use super::{Decision, Order};

/// A decision that waits to be written.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) decision: Decision,
    /// The how-manieth since the start: streams remember up to which one they told.
    pub(crate) number: u64,
    /// When it was on the disk, for spans.
    pub(crate) accepted: Instant,
    /// Devices that gateways may hold and that lose something, with what is known of them.
    pub(crate) concerned: Vec<(DeviceId, Known)>,
}

impl Waiting {
    /// What gateways are told without asking the database: all of it where whole devices end or nobody passes, and too
    /// much where a device loses one grant or a group is exempt.
    pub(crate) fn changes(&self) -> Vec<Change> {
        let reason = match &self.decision.order {
            Order::LockdownOn { .. } => return vec![Change::Lockdown { state: Lockdown::On, exempt: Vec::new() }],
            Order::Offboard { .. } => EndReason::Offboarded,
            Order::Suspend { .. } => EndReason::Suspended,
            Order::RevokeDevice { .. } => EndReason::DeviceRevoked,
            Order::RevokeGrant { .. } => EndReason::NotListed,
        };
        let ended = |(device, known): &(DeviceId, Known)| {
            let own = self.decision.order.person().is_none_or(|email| *email == known.email);
            // Those they answered for are suspended with them.
            let reason = if own { reason } else { EndReason::Suspended };
            Change::Remove(known.removal(*device, reason, self.decision.at))
        };
        self.concerned.iter().map(ended).collect()
    }

    /// Says whether a look at the database would take less away.
    pub(crate) const fn is_too_much(&self) -> bool {
        match &self.decision.order {
            Order::RevokeGrant { .. } => true,
            Order::LockdownOn { except } => except.is_some(),
            Order::Offboard { .. } | Order::Suspend { .. } | Order::RevokeDevice { .. } => false,
        }
    }
}

/// See the module. It never changes; the journal holds another one after each decision.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    waiting: Vec<Arc<Waiting>>,
    /// How many decisions were taken since the start.
    pub(crate) grown: u64,
    emails: HashMap<Email, EndReason>,
    people: HashMap<PrincipalId, EndReason>,
    /// People whose contractors nobody took over.
    sponsors: HashSet<PrincipalId>,
    devices: HashSet<DeviceId>,
    grants: HashSet<GrantId>,
    lockdown: Option<Locked>,
}

#[derive(Debug, Clone)]
struct Locked {
    at: Timestamp,
    by: String,
    except: Option<GroupName>,
}

impl Overlay {
    pub(super) fn new(waiting: Vec<Arc<Waiting>>, grown: u64) -> Self {
        let mut overlay = Self { grown, ..Self::default() };
        for one in &waiting {
            overlay.add(&one.decision);
        }
        Self { waiting, ..overlay }
    }

    fn add(&mut self, decision: &Decision) {
        let reason = match &decision.order {
            Order::Offboard { .. } => EndReason::Offboarded,
            Order::Suspend { .. } => EndReason::Suspended,
            Order::RevokeDevice { device, .. } => {
                self.devices.insert(*device);
                return;
            }
            Order::RevokeGrant { grant } => {
                self.grants.insert(*grant);
                return;
            }
            Order::LockdownOn { except } => {
                let (at, by) = (decision.at, decision.actor.to_string());
                self.lockdown = Some(Locked { at, by, except: except.clone() });
                return;
            }
        };
        if let Some(email) = decision.order.person() {
            self.emails.insert(email.clone(), reason);
        }
        if let Some(person) = decision.person {
            self.people.insert(person, reason);
            if !matches!(&decision.order, Order::Offboard { hand_over_to: Some(_), .. }) {
                self.sponsors.insert(person);
            }
        }
    }

    /// Decisions that wait, in order.
    pub(crate) fn waiting(&self) -> &[Arc<Waiting>] {
        &self.waiting
    }

    /// Says whether nothing waits.
    pub(crate) const fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Says whether somebody was put out, or whoever answers for them.
    pub(crate) fn ends(&self, person: &Principal) -> bool {
        self.end_of(person).is_some()
    }

    fn end_of(&self, person: &Principal) -> Option<EndReason> {
        let own = self.people.get(&person.id).or_else(|| self.emails.get(&person.email));
        let unanswered = person.sponsor.is_some_and(|sponsor| self.sponsors.contains(&sponsor));
        own.copied().or_else(|| unanswered.then_some(EndReason::Suspended))
    }

    /// Derives a lease as if all of it were written.
    pub(crate) fn derive(
        &self,
        mut subject: LeaseSubject,
        terms: &LeaseTerms,
        now: Timestamp,
    ) -> (LeaseSubject, Derived) {
        if self.is_empty() {
            let derived = derive_lease(&subject, terms, now);
            return (subject, derived);
        }
        let ended = self.end_of(&subject.principal);
        let ended = ended.or_else(|| self.devices.contains(&subject.device.id).then_some(EndReason::DeviceRevoked));
        subject.grants.retain(|granted| !self.grants.contains(&granted.grant.id));
        let derived = match (derive_lease(&subject, terms, now), ended) {
            // What the database has ended already keeps its own reason.
            (Derived::Lease(_), Some(reason)) => Derived::Ended(reason),
            (derived, _) => derived,
        };
        (subject, derived)
    }

    /// The group that passes in a lockdown that waits; the inner one is `None` for nobody.
    pub(crate) fn locked(&self) -> Option<Option<&GroupName>> {
        self.lockdown.as_ref().map(|locked| locked.except.as_ref())
    }

    /// Since when it holds.
    pub(crate) fn locked_since(&self) -> Option<Timestamp> {
        self.lockdown.as_ref().map(|locked| locked.at)
    }

    /// The lockdown as if it were written; `except` is the group of [`Overlay::locked`], where there is one.
    pub(crate) fn lockdown(&self, held: LockdownState, except: Option<doorward_model::GroupId>) -> LockdownState {
        match &self.lockdown {
            Some(locked) => LockdownState::set(Lockdown::On, except, None, locked.by.clone(), locked.at),
            None => held,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::file::tests::decision;
    use super::*;

    fn waiting(decision: Decision, number: u64) -> Arc<Waiting> {
        Arc::new(Waiting { decision, number, accepted: Instant::now(), concerned: Vec::new() })
    }

    fn person(number: u128, email: &str, sponsor: Option<u128>) -> Principal {
        let id = |number| PrincipalId::new(uuid::Uuid::from_u128(number));
        Principal {
            id: id(number),
            email: email.parse().unwrap(),
            name: "Some Body".parse().unwrap(),
            kind: doorward_domain::PrincipalKind::Staff,
            sponsor: sponsor.map(id),
            role: doorward_domain::Role::Member,
            state: doorward_domain::PrincipalState::Active,
            not_after: None,
            created_at: Timestamp::UNIX_EPOCH,
            changed_at: Timestamp::UNIX_EPOCH,
            signed_in_until: None,
            signed_in_at: None,
        }
    }

    #[test]
    fn whoever_was_put_out_is_known_by_address_and_by_id_and_so_are_those_they_answered_for() {
        let two = Decision { person: Some(PrincipalId::new(uuid::Uuid::from_u128(7))), ..decision(2) };
        let overlay = Overlay::new(vec![waiting(decision(1), 1), waiting(two, 2)], 2);
        assert!(overlay.ends(&person(1, "p1@shop.example", None)));
        assert!(overlay.ends(&person(7, "renamed@shop.example", None)));
        assert!(overlay.ends(&person(8, "dba@agency.example", Some(7))));
        assert!(!overlay.ends(&person(9, "p3@shop.example", Some(8))));
        assert!(!overlay.is_empty() && Overlay::default().is_empty());
    }
}
