//! Groups: access is given to "support", not to forty people.

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::{group, person, t};
    use crate::{DenialCode, PrincipalState};

    #[test]
    fn who_is_not_active_joins_nothing_and_nobody_joins_a_removed_group() {
        assert_eq!(group(1).join(&person(1), t(1)), Ok(()));
        let suspended = Principal { state: PrincipalState::Suspended, ..person(1) };
        assert_eq!(group(1).join(&suspended, t(1)).unwrap_err().code, DenialCode::Refused);
        let removed = Group { removed_at: Some(t(1)), ..group(1) };
        assert_eq!(removed.join(&person(1), t(2)).unwrap_err().code, DenialCode::NotFound);
    }
}
