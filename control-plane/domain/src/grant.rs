//! Grants: who may use what, from when to when, and why.

use std::sync::Arc;

use doorward_model::{GrantId, GroupId, Interval, PrincipalId, ResourceId, Timestamp};
use serde::{Deserialize, Serialize};

use crate::{Denial, Group, Hours, Principal, Reason, Resource};

/// Whom a grant is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Grantee {
    /// One person.
    Person(PrincipalId),
    /// Whoever is a member of the group at that moment.
    Group(GroupId),
}

/// A person, or each member of a group, may use a resource for a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The id.
    pub id: GrantId,
    /// Who.
    pub to: Grantee,
    /// What.
    pub resource: ResourceId,
    /// From when to when.
    pub validity: Interval,
    /// On which hours of the week alone; `None` for all of them.
    pub hours: Option<Hours>,
    /// Who asked, as the audit names them.
    pub requested_by: String,
    /// Who approved, as the audit names them.
    pub approved_by: String,
    /// Why.
    pub reason: Option<Reason>,
    /// When it was given.
    pub created_at: Timestamp,
    /// When it was taken back, where it was.
    pub revoked_at: Option<Timestamp>,
}

/// A grant with the resource that it names, as the store reads them together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedResource {
    /// The grant.
    pub grant: Grant,
    /// Its resource; shared, because many grants name the same.
    pub resource: Arc<Resource>,
}

/// Where a grant stands, for lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GrantState {
    /// It holds.
    Active,
    /// It begins later.
    Scheduled,
    /// Its time is over.
    Ended,
    /// It was taken back.
    Revoked,
}

/// Who is to get a grant.
#[derive(Debug, Clone, Copy)]
pub enum Receiver<'a> {
    /// One person.
    Person(&'a Principal),
    /// A group.
    Group(&'a Group),
}

/// What is needed to give a grant.
#[derive(Debug)]
pub struct NewGrant<'a> {
    /// A fresh id.
    pub id: GrantId,
    /// Who gets it.
    pub to: Receiver<'a>,
    /// For what.
    pub resource: &'a Resource,
    /// From when to when.
    pub validity: Interval,
    /// On which hours of the week alone.
    pub hours: Option<Hours>,
    /// Who asked, as the audit names them.
    pub requested_by: String,
    /// Who approved, as the audit names them.
    pub approved_by: String,
    /// Why.
    pub reason: Option<Reason>,
}

impl Grant {
    /// Decides whether a grant may be given, and makes the record.
    ///
    /// A grant past the person's own end date is no denial: the lease ends with whichever ends first
    /// ([`Grant::outlasts`] says so beforehand).
    ///
    /// # Errors
    /// A denial where the person is not active, the group or the resource was removed, or the time is empty or over.
    pub fn add(new: NewGrant<'_>, now: Timestamp) -> Result<Self, Denial> {
        let NewGrant { id, to, resource, validity, hours, requested_by, approved_by, reason } = new;
        let to = match to {
            Receiver::Person(person) => {
                person.require_active("a grant", now)?;
                Grantee::Person(person.id)
            }
            Receiver::Group(group) => {
                group.require_live()?;
                Grantee::Group(group.id)
            }
        };
        if resource.removed_at.is_some() {
            return Err(Denial::not_found(format!(
                "resource {} was removed: see `doorward resource list`",
                resource.name
            )));
        }
        if validity.not_before >= validity.not_after {
            return Err(Denial::invalid(format!(
                "the grant would begin at {} and end at {}: the end must be after the beginning",
                validity.not_before, validity.not_after
            )));
        }
        if validity.not_after <= now {
            return Err(Denial::invalid(format!(
                "the grant would end at {}, which is over: give a time after {now}",
                validity.not_after
            )));
        }
        if let Some(hours) = &hours {
            hours.require_zone()?;
            if hours.occurrence(now.max(validity.not_before)).and_then(|hours| hours.intersect(&validity)).is_none() {
                return Err(Denial::invalid(format!(
                    "the hours {hours} do not come before the grant ends at {}: give it more time, or other hours",
                    validity.not_after
                )));
            }
        }
        Ok(Self {
            id,
            to,
            resource: resource.id,
            validity,
            hours,
            requested_by,
            approved_by,
            reason,
            created_at: now,
            revoked_at: None,
        })
    }

    /// Says, as a sentence to show, that the grant lasts longer than the person.
    #[must_use]
    pub fn outlasts(&self, principal: &Principal) -> Option<String> {
        principal
            .not_after
            .filter(|end| *end < self.validity.not_after)
            .map(|end| format!("{} ends at {end}, and so does what this grant allows", principal.email))
    }

    /// Returns the time for which gateways are told that it holds: all of it, or the occurrence of its hours that holds or
    /// comes next. `None` where nothing is left.
    #[must_use]
    pub fn span_told(&self, now: Timestamp) -> Option<Interval> {
        match &self.hours {
            None => Some(self.validity),
            Some(hours) => hours.occurrence(now.max(self.validity.not_before))?.intersect(&self.validity),
        }
    }

    /// Returns the person it is for, where it is for one.
    #[must_use]
    pub const fn person(&self) -> Option<PrincipalId> {
        match self.to {
            Grantee::Person(id) => Some(id),
            Grantee::Group(_) => None,
        }
    }

    /// Says where the grant stands.
    #[must_use]
    pub fn state(&self, now: Timestamp) -> GrantState {
        if self.revoked_at.is_some() {
            GrantState::Revoked
        } else if self.validity.not_after <= now {
            GrantState::Ended
        } else if now < self.validity.not_before {
            GrantState::Scheduled
        } else {
            GrantState::Active
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DenialCode;
    use crate::lease::fixtures::{person, resource, t};

    fn add(person: &Principal, resource: &Resource, from: i64, until: i64, now: i64) -> Result<Grant, Denial> {
        let validity = Interval { not_before: t(from), not_after: t(until) };
        let id = GrantId::new(uuid::Uuid::from_u128(1));
        let by = || "local:0".to_owned();
        Grant::add(
            NewGrant {
                id,
                to: Receiver::Person(person),
                resource,
                validity,
                hours: None,
                requested_by: by(),
                approved_by: by(),
                reason: None,
            },
            t(now),
        )
    }

    #[test]
    fn a_grant_needs_time_that_is_not_over() {
        assert!(add(&person(1), &resource(1), 5, 10, 5).is_ok());
        for (from, until, now) in [(5, 5, 1), (6, 5, 1), (1, 5, 5), (1, 5, 6)] {
            assert_eq!(add(&person(1), &resource(1), from, until, now).unwrap_err().code, DenialCode::Invalid);
        }
    }

    #[test]
    fn a_removed_resource_and_a_departed_person_get_no_grant() {
        let removed = Resource { removed_at: Some(t(1)), ..resource(1) };
        assert_eq!(add(&person(1), &removed, 5, 10, 5).unwrap_err().code, DenialCode::NotFound);
        let departed = Principal { state: crate::PrincipalState::Departed, ..person(1) };
        assert_eq!(add(&departed, &resource(1), 5, 10, 5).unwrap_err().code, DenialCode::Refused);
    }

    #[test]
    fn a_grant_that_outlasts_the_person_says_so() {
        let contractor = Principal { not_after: Some(t(8)), ..person(1) };
        let grant = add(&contractor, &resource(1), 5, 10, 5).unwrap();
        assert!(grant.outlasts(&contractor).is_some());
        assert_eq!(grant.outlasts(&person(1)), None);
    }

    #[test]
    fn a_grant_walks_through_its_states() {
        let grant = add(&person(1), &resource(1), 5, 10, 1).unwrap();
        assert_eq!(
            [1, 5, 9, 10].map(|s| grant.state(t(s))),
            [GrantState::Scheduled, GrantState::Active, GrantState::Active, GrantState::Ended]
        );
        assert_eq!(Grant { revoked_at: Some(t(6)), ..grant }.state(t(7)), GrantState::Revoked);
    }
}
