//! The words and colours in which pages show states.

use doorward_domain::PrincipalState;

use crate::api::{DeviceState, GrantState, PersonKind, PersonRole, PersonState, RequestState};

/// Something that is shown as a word.
pub(crate) trait Worded {
    /// The word.
    fn word(&self) -> &'static str;

    /// The colour that goes with it, as the style sheet calls it; empty: none.
    fn tone(&self) -> &'static str {
        ""
    }

    /// Says whether it still gives anything.
    fn is_live(&self) -> bool {
        self.tone() == "good"
    }
}

impl Worded for PersonState {
    fn word(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Departed => "departed",
        }
    }

    fn tone(&self) -> &'static str {
        match self {
            Self::Active => "good",
            Self::Suspended => "warn",
            Self::Departed => "bad",
        }
    }
}

impl Worded for PrincipalState {
    fn word(&self) -> &'static str {
        self.as_str()
    }

    fn tone(&self) -> &'static str {
        match self {
            Self::Active => "good",
            Self::Suspended => "warn",
            Self::Departed => "bad",
        }
    }
}

impl Worded for DeviceState {
    fn word(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }

    fn tone(&self) -> &'static str {
        match self {
            Self::Active => "good",
            Self::Expired => "warn",
            Self::Revoked => "",
        }
    }
}

impl Worded for GrantState {
    fn word(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Scheduled => "scheduled",
            Self::Ended => "ended",
            Self::Revoked => "taken away",
        }
    }

    fn tone(&self) -> &'static str {
        match self {
            Self::Active => "good",
            Self::Scheduled => "warn",
            Self::Ended | Self::Revoked => "",
        }
    }

    fn is_live(&self) -> bool {
        matches!(self, Self::Active | Self::Scheduled)
    }
}

impl Worded for PersonKind {
    fn word(&self) -> &'static str {
        match self {
            Self::Staff => "staff",
            Self::Contractor => "contractor",
        }
    }
}

impl Worded for RequestState {
    fn word(&self) -> &'static str {
        match self {
            Self::Open => "waiting",
            Self::Approved => "approved",
            Self::Denied => "denied",
            Self::Withdrawn => "withdrawn",
            Self::Expired => "expired",
        }
    }

    fn tone(&self) -> &'static str {
        match self {
            Self::Open => "warn",
            Self::Approved => "good",
            Self::Denied => "bad",
            Self::Withdrawn | Self::Expired => "",
        }
    }

    fn is_live(&self) -> bool {
        *self == Self::Open
    }
}

impl Worded for PersonRole {
    fn word(&self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::Admin => "admin",
            Self::Approver => "approver",
            Self::Auditor => "auditor",
            Self::Member => "member",
        }
    }
}
