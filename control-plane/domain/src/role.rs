//! What a signed-in person may do for others.

use std::fmt;
use std::str::FromStr;

use doorward_model::{Email, PrincipalId};
use serde::{Deserialize, Serialize};

use crate::Denial;

/// What a person may do beyond using what was granted to them. A role gives no access to resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything an admin may, and saying who has which role.
    Owner,
    /// People, devices, resources, grants, gateways, lockdown.
    Admin,
    /// Decides on requests for access, and reads what that takes.
    Approver,
    /// Reads everything, the audit too, and changes nothing.
    Auditor,
    /// Their own devices and requests.
    Member,
}

impl Role {
    /// Every role, the mightiest first.
    pub const ALL: [Self; 5] = [Self::Owner, Self::Admin, Self::Approver, Self::Auditor, Self::Member];

    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }

    /// Says whether the role administers people and access.
    #[must_use]
    pub const fn administers(self) -> bool {
        matches!(self, Self::Owner | Self::Admin)
    }

    /// Says whether the role answers requests for access, whoever asks for what.
    #[must_use]
    pub const fn answers(self) -> bool {
        matches!(self, Self::Owner | Self::Admin | Self::Approver)
    }

    /// Says whether the role reads what is not the person's own.
    #[must_use]
    pub const fn reads(self) -> bool {
        !matches!(self, Self::Member)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        let found = Self::ALL.into_iter().find(|role| role.as_str() == text);
        found.ok_or_else(|| Denial::invalid("a role is `owner`, `admin`, `approver`, `auditor` or `member`"))
    }
}

/// A person who signed in and acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedIn {
    /// Who.
    pub id: PrincipalId,
    /// Their email address, for the record.
    pub email: Email,
    /// Their role at this moment.
    pub role: Role,
    /// They proved their second factor within the last five minutes (PCI DSS 8.2.8 asks for less).
    pub fresh: bool,
}
