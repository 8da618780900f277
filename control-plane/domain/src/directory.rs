//! Directories: sources outside of Doorward that say who is there, who pauses and who left.
//!
//! A directory that manages people has power over its own alone: those it made, and those an admin handed over. Other sources
//! only take access away, from anybody but owners, and take back what they took themselves. No source says anything about
//! roles, and about whoever has one it can only take access away. What is taken away is taken at once; what is given back is
//! given back in small numbers, never to somebody who departed, and only where no other source says otherwise.

mod account;
mod brake;
mod hook;
mod kind;
mod round;
mod sync;

use doorward_model::{GroupId, GroupName, SourceId, SourceName, Timestamp};
use sha2::{Digest as _, Sha256};

pub use self::account::{Account, EndedBy, Mail, Profile, Return, Turn};
pub(crate) use self::brake::is_too_many;
pub use self::brake::{Burst, DirectoryTerms, PEOPLE_MIN};
pub use self::hook::{DeliveryId, HOOK_PEOPLE_MAX, HookMessage, Word, hook_signatures, hook_signed, hook_time};
pub use self::kind::SourceKind;
pub use self::round::{Absence, RoundAnswer, RoundDoubt, RoundPerson, RoundPlan};
pub use self::sync::{SyncChange, SyncColumns, SyncPerson, SyncPlan, SyncRow};
use crate::{Denial, Principal, PrincipalState, Role};

/// A directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The id.
    pub id: SourceId,
    /// The name; the audit has it where the source did something.
    pub name: SourceName,
    /// How it speaks.
    pub kind: SourceKind,
    /// When the first token was made for it.
    pub created_at: Timestamp,
    /// Where the brake is on: from when on what the source took away counts to the burst.
    pub brake_since: Option<Timestamp>,
    /// When somebody looked at a burst last and released the brake; nothing before counts again.
    pub brake_cleared_at: Option<Timestamp>,
}

impl Source {
    /// Says from when on the source's changes are counted together.
    #[must_use]
    pub fn counted_since(&self, terms: &DirectoryTerms, now: Timestamp) -> Timestamp {
        let window = now.checked_sub(terms.brake_within).unwrap_or(Timestamp::MIN);
        self.brake_cleared_at.map_or(window, |cleared| window.max(cleared))
    }
}

/// A token of a source, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceToken {
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom, as the audit names them.
    pub created_by: String,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// Tokens of one source that count at a time: the one in use, and the one that follows it.
pub const SOURCE_TOKENS_MAX: usize = 2;

/// A group as its source knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceGroup {
    /// The group; the source knows it by the same id.
    pub group: GroupId,
    /// Whose it is.
    pub source: SourceId,
    /// The source's own id for it.
    pub external_id: Option<String>,
    /// The name as the source sent it.
    pub display_name: String,
    /// When the source made it.
    pub created_at: Timestamp,
    /// When the source changed it last.
    pub changed_at: Timestamp,
}

/// Makes a group's name of what a source calls it: `Customer Support` is `customer-support`. A name of which nothing is
/// left, because it is in another script, becomes a short digest.
#[must_use]
pub fn group_name(display_name: &str) -> Option<GroupName> {
    let mut name = String::new();
    for c in display_name.chars() {
        if c.is_ascii_alphanumeric() || (matches!(c, '_' | '.') && !name.is_empty()) {
            name.push(c.to_ascii_lowercase());
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == 63 {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    if !name.is_empty() {
        return name.parse().ok();
    }
    let digest = Sha256::digest(display_name.as_bytes());
    let short: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("group-{short}").parse().ok()
}

/// Decides whether an admin may hand somebody over to a source.
///
/// # Errors
/// A denial for somebody who has a role, who is not active, or who belongs to a source already.
pub fn may_be_adopted(person: &Principal, owner: Option<&SourceName>) -> Result<(), Denial> {
    let email = &person.email;
    if let Some(owner) = owner {
        return Err(Denial::conflict(format!("{email} belongs to {owner} already")));
    }
    if person.role != Role::Member {
        return Err(Denial::refused(format!(
            "{email} is {}: who has a role is kept by hand, so that a directory cannot shut the owners out",
            person.role
        )));
    }
    match person.state {
        PrincipalState::Active => Ok(()),
        PrincipalState::Suspended | PrincipalState::Departed => {
            Err(Denial::refused(format!("{email} is {}: run `doorward person restore {email}` first", person.state)))
        }
    }
}

/// Decides whether a source may change a person's name and address.
///
/// # Errors
/// A denial for whoever has a role: with another address somebody else could get their invitation.
pub fn may_be_edited(person: &Principal) -> Result<(), Denial> {
    if person.role == Role::Member {
        return Ok(());
    }
    Err(Denial::refused(format!(
        "{} is {}: a directory can put out who has a role, and change nothing else of them",
        person.email, person.role
    )))
}

/// Says that an address is taken, and how an admin hands the person over.
#[must_use]
pub fn taken(person: &Principal, source: &SourceName, owner: Option<&SourceName>) -> Denial {
    let email = &person.email;
    Denial::conflict(match (owner, person.state) {
        (Some(owner), _) if owner == source => format!("{email} belongs to another account of {owner}"),
        (Some(owner), _) => format!("{email} belongs to {owner}"),
        (None, PrincipalState::Departed) => format!(
            "{email} departed by hand: an admin takes them back with `doorward person restore {email}` and \
             `doorward scim adopt {source} {email}`"
        ),
        (None, PrincipalState::Active | PrincipalState::Suspended) => format!(
            "{email} is here already and kept by hand: an admin hands them over with `doorward scim adopt {source} {email}`"
        ),
    })
}

/// Says that something is managed by a source, and what an admin can do.
#[must_use]
pub fn managed(what: &str, source: &SourceName, way: &str) -> Denial {
    Denial::refused(format!("{what} is managed by {source}: change it there, or {way}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lease::fixtures::person;

    #[test]
    fn a_groups_name_is_what_a_command_line_takes() {
        let named = |text: &str| group_name(text).map(|name| name.to_string());
        assert_eq!(named("Customer Support").as_deref(), Some("customer-support"));
        assert_eq!(named("  DBA (read/only) ").as_deref(), Some("dba-read-only"));
        assert_eq!(named("--all--").as_deref(), Some("all"));
        assert_eq!(named("客服").as_deref(), named("客服").as_deref());
        assert_ne!(named("客服"), named("销售"));
    }

    proptest! {
        #[test]
        fn every_text_names_a_group(text in "\\PC{0,200}") {
            prop_assert!(group_name(&text).is_some());
        }
    }

    #[test]
    fn who_has_a_role_is_kept_by_hand() {
        assert_eq!(may_be_adopted(&person(1), None), Ok(()));
        for role in [Role::Owner, Role::Admin, Role::Approver, Role::Auditor] {
            let person = Principal { role, ..person(1) };
            assert!(may_be_adopted(&person, None).is_err() && may_be_edited(&person).is_err());
        }
        let okta = "okta".parse().unwrap();
        assert!(may_be_adopted(&person(1), Some(&okta)).is_err());
        assert!(may_be_adopted(&Principal { state: PrincipalState::Suspended, ..person(1) }, None).is_err());
        assert!(taken(&person(1), &okta, None).sentence.contains("doorward scim adopt okta "));
    }
}
