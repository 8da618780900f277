//! Single-use links: the one of the first run, and those that let a person join.

use doorward_model::{PrincipalId, Timestamp};
use jiff::SignedDuration;

/// How long the link of the first run counts.
pub const SETUP_LINK_MAX: SignedDuration = SignedDuration::from_hours(1);
/// How long an invitation counts.
pub const INVITATION_MAX: SignedDuration = SignedDuration::from_hours(72);

/// For what a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum InvitationKind {
    /// Whoever opens it becomes an owner.
    Setup,
    /// One person joins, or gets back in.
    Join,
}

impl InvitationKind {
    /// Returns the word for it, as the store writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Join => "join",
        }
    }
}

impl std::str::FromStr for InvitationKind {
    type Err = crate::Denial;

    fn from_str(text: &str) -> Result<Self, crate::Denial> {
        match text {
            "setup" => Ok(Self::Setup),
            "join" => Ok(Self::Join),
            _ => Err(crate::Denial::invalid("a link is for `setup` or to `join`")),
        }
    }
}

/// A link, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invitation {
    /// For what.
    pub kind: InvitationKind,
    /// For whom; nobody in particular in a setup link.
    pub principal: Option<PrincipalId>,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom, as the audit names them.
    pub created_by: String,
    /// When it stops counting.
    pub expires_at: Timestamp,
    /// When it was used.
    pub used_at: Option<Timestamp>,
    /// When another one took its place, or what it was for was over.
    pub replaced_at: Option<Timestamp>,
}

/// Why a link does not count. Only who holds the secret learns more than [`InvitationRefusal::Unknown`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvitationRefusal {
    /// Nobody made such a link, or it is for something else.
    #[error("this link is not known here: check that you copied all of it, or ask for another one")]
    Unknown,
    /// It was used.
    #[error("this link was used already, and works once: sign in, or ask for another one if that was not you")]
    Used,
    /// A later one took its place.
    #[error("a later link took this one's place: look for the latest, or ask for another one")]
    Replaced,
    /// Its time is over.
    #[error("this link has expired: ask for another one")]
    Expired,
}

impl InvitationRefusal {
    /// Says what the owner of a first run does instead of asking somebody.
    #[must_use]
    pub const fn hint(kind: InvitationKind) -> &'static str {
        match kind {
            InvitationKind::Setup => "Root on the machine makes another with `doorward owner link`.",
            InvitationKind::Join => "An admin makes another with “Invite”, or `doorward person invite EMAIL`.",
        }
    }
}

/// Decides whether a link counts for this.
///
/// # Errors
/// Why it does not.
pub fn check_invitation(
    found: Option<Invitation>,
    kind: InvitationKind,
    now: Timestamp,
) -> Result<Invitation, InvitationRefusal> {
    match found {
        None => Err(InvitationRefusal::Unknown),
        Some(link) if link.kind != kind => Err(InvitationRefusal::Unknown),
        Some(link) if link.used_at.is_some() => Err(InvitationRefusal::Used),
        Some(link) if link.replaced_at.is_some() => Err(InvitationRefusal::Replaced),
        Some(link) if link.expires_at <= now => Err(InvitationRefusal::Expired),
        Some(link) => Ok(link),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::{person, t};

    #[test]
    fn a_link_counts_once_in_time_and_for_one_thing() {
        let link = Invitation {
            kind: InvitationKind::Join,
            principal: Some(person(1).id),
            created_at: t(0),
            created_by: "local:0".to_owned(),
            expires_at: t(10),
            used_at: None,
            replaced_at: None,
        };
        let check = |link: Invitation, at| check_invitation(Some(link), InvitationKind::Join, t(at)).map(|_| ());
        assert_eq!(check(link.clone(), 9), Ok(()));
        assert_eq!(check(link.clone(), 10), Err(InvitationRefusal::Expired));
        assert_eq!(check(Invitation { used_at: Some(t(1)), ..link.clone() }, 9), Err(InvitationRefusal::Used));
        assert_eq!(check(Invitation { replaced_at: Some(t(1)), ..link.clone() }, 9), Err(InvitationRefusal::Replaced));
        let foreign = Invitation { kind: InvitationKind::Setup, principal: None, ..link };
        assert_eq!(check(foreign, 9), Err(InvitationRefusal::Unknown));
        assert_eq!(check_invitation(None, InvitationKind::Join, t(9)), Err(InvitationRefusal::Unknown));
    }
}
