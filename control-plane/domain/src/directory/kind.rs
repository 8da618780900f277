//! What kinds of sources there are.

use std::fmt;
use std::str::FromStr;

use crate::Denial;

/// How a source speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// A directory that manages people over SCIM: one alone manages somebody.
    Scim,
    /// A program that says over a signed webhook who pauses, who left and who is back.
    Hook,
    /// A file of people that admins hand in.
    File,
    /// A directory that is asked over LDAP every few minutes.
    Ldap,
}

impl SourceKind {
    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Hook => "hook",
            Self::File => "file",
            Self::Ldap => "ldap",
        }
    }

    /// Returns the noun of the command line under which somebody decides about a burst of such a source.
    #[must_use]
    pub const fn noun(self) -> &'static str {
        match self {
            Self::Scim => "scim",
            Self::Hook | Self::File | Self::Ldap => "source",
        }
    }

    /// Says whether such a source manages people: they are its own, it goes on saying whether they are active, and an admin's
    /// word does not overrule it. Others take access away, from anybody.
    #[must_use]
    pub const fn manages_people(self) -> bool {
        match self {
            Self::Scim => true,
            Self::Hook | Self::File | Self::Ldap => false,
        }
    }

    /// Says whether such a source says again and again who is there: its people are those it has accounts for, and whoever
    /// comes back against its word is not its business until it says that they are active.
    #[must_use]
    pub const fn is_asked(self) -> bool {
        match self {
            Self::Ldap => true,
            Self::Scim | Self::Hook | Self::File => false,
        }
    }
}

impl fmt::Display for SourceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SourceKind {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        [Self::Scim, Self::Hook, Self::File, Self::Ldap]
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| Denial::invalid("a source's kind is `scim`, `hook`, `file` or `ldap`"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for kind in [SourceKind::Scim, SourceKind::Hook, SourceKind::File, SourceKind::Ldap] {
            assert_eq!(kind.to_string().parse(), Ok(kind));
        }
        assert!("SCIM".parse::<SourceKind>().is_err());
    }
}
