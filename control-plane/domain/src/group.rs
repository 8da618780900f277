//! Groups: access is given to "support", not to forty people.

use std::collections::BTreeSet;

use doorward_model::{GroupId, GroupName, Timestamp};

use crate::{Denial, Principal};

/// A group of people; what is granted to it, each of its members has for as long as they are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// The id.
    pub id: GroupId,
    /// The name, unique among groups that were not removed.
    pub name: GroupName,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was removed, where it was.
    pub removed_at: Option<Timestamp>,
}

impl Group {
    /// Makes the record of a group.
    #[must_use]
    pub const fn add(id: GroupId, name: GroupName, now: Timestamp) -> Self {
        Self { id, name, created_at: now, removed_at: None }
    }

    /// Refuses what a removed group cannot get.
    ///
    /// # Errors
    /// A denial that says where the groups are listed.
    pub fn require_live(&self) -> Result<(), Denial> {
        match self.removed_at {
            None => Ok(()),
            Some(_) => {
                Err(Denial::not_found(format!("group {} was removed: `doorward group list` shows all", self.name)))
            }
        }
    }

    /// Decides whether somebody may become a member.
    ///
    /// # Errors
    /// A denial for somebody who is not active, and for a group that was removed.
    pub fn join(&self, person: &Principal, now: Timestamp) -> Result<(), Denial> {
        self.require_live()?;
        person.require_active("a membership", now)
    }
}

/// A membership, and who set it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// In which group.
    pub group: GroupId,
    /// The identity provider that set it; without one an admin did.
    pub provider: Option<String>,
}

/// What an identity provider's word changes about somebody's memberships.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GroupChanges {
    /// Groups to join.
    pub join: Vec<GroupId>,
    /// Groups to leave.
    pub leave: Vec<GroupId>,
}

/// Decides what changes where an identity provider says that somebody is in these groups: what is missing is added, what
/// a provider set and does not say any more ends, and what an admin set stays.
#[must_use]
pub fn provided_groups(said: &BTreeSet<GroupId>, memberships: &[Membership]) -> GroupChanges {
    let known: BTreeSet<GroupId> = memberships.iter().map(|membership| membership.group).collect();
    let ended = memberships.iter().filter(|it| it.provider.is_some() && !said.contains(&it.group));
    GroupChanges {
        join: said.difference(&known).copied().collect(),
        leave: ended.map(|membership| membership.group).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::{group, person, t};
    use crate::{DenialCode, PrincipalState};

    #[test]
    fn a_provider_ends_what_a_provider_set_and_nothing_else() {
        let (desk, stores, admins) = (group(1).id, group(2).id, group(3).id);
        let by = |group, provider: Option<&str>| Membership { group, provider: provider.map(ToOwned::to_owned) };
        let has = [by(desk, Some("https://id.shop.example")), by(admins, None)];
        let says = |groups: &[GroupId]| provided_groups(&groups.iter().copied().collect(), &has);
        assert_eq!(says(&[desk]), GroupChanges::default());
        assert_eq!(says(&[stores]), GroupChanges { join: vec![stores], leave: vec![desk] });
        assert_eq!(says(&[]), GroupChanges { join: Vec::new(), leave: vec![desk] });
        assert_eq!(says(&[desk, admins]), GroupChanges::default(), "an admin's membership stays an admin's");
    }

    #[test]
    fn who_is_not_active_joins_nothing_and_nobody_joins_a_removed_group() {
        assert_eq!(group(1).join(&person(1), t(1)), Ok(()));
        let suspended = Principal { state: PrincipalState::Suspended, ..person(1) };
        assert_eq!(group(1).join(&suspended, t(1)).unwrap_err().code, DenialCode::Refused);
        let removed = Group { removed_at: Some(t(1)), ..group(1) };
        assert_eq!(removed.join(&person(1), t(2)).unwrap_err().code, DenialCode::NotFound);
    }
}
