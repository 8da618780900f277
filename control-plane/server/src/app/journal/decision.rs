//! A decision to take something away, as it is kept until the database has it.

use doorward_domain::{Action, Actor, Reason, Subject};
use doorward_model::{DecisionId, DeviceId, Email, GrantId, GroupName, PrincipalId, Timestamp};
use serde::{Deserialize, Serialize};

/// Who decided what, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Decision {
    /// Names it, so that it is written once.
    pub(crate) id: DecisionId,
    /// When it was decided.
    pub(crate) at: Timestamp,
    /// Who decided it.
    pub(crate) actor: Actor,
    /// Why.
    pub(crate) reason: Option<Reason>,
    /// What.
    pub(crate) order: Order,
    /// Who is put out, where that could be found out.
    #[serde(default)]
    pub(crate) person: Option<PrincipalId>,
}

/// What is taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub(crate) enum Order {
    /// A person departs.
    Offboard {
        /// Who.
        email: Email,
        /// Who takes over what they answered for.
        hand_over_to: Option<Email>,
    },
    /// A person is suspended.
    Suspend {
        /// Who.
        email: Email,
    },
    /// A device ends.
    RevokeDevice {
        /// Which.
        device: DeviceId,
        /// Whether its owner reports it lost.
        lost: bool,
    },
    /// A grant ends.
    RevokeGrant {
        /// Which.
        grant: GrantId,
    },
    /// Nobody passes.
    LockdownOn {
        /// But these.
        except: Option<GroupName>,
    },
}

impl Order {
    /// What it is called in the audit.
    pub(crate) const fn action(&self) -> Action {
        match self {
            Self::Offboard { .. } => Action::PersonOffboard,
            Self::Suspend { .. } => Action::PersonSuspend,
            Self::RevokeDevice { lost: false, .. } => Action::DeviceRevoke,
            Self::RevokeDevice { lost: true, .. } => Action::DeviceReportLost,
            Self::RevokeGrant { .. } => Action::GrantRevoke,
            Self::LockdownOn { .. } => Action::LockdownOn,
        }
    }

    /// To what it is done.
    pub(crate) fn subject(&self) -> Subject {
        match self {
            Self::Offboard { email, .. } | Self::Suspend { email } => Subject::Person(email.clone()),
            Self::RevokeDevice { device, .. } => Subject::Device(*device),
            Self::RevokeGrant { grant } => Subject::Grant(*grant),
            Self::LockdownOn { .. } => Subject::Everything,
        }
    }

    /// Who is put out, by address.
    pub(crate) const fn person(&self) -> Option<&Email> {
        match self {
            Self::Offboard { email, .. } | Self::Suspend { email } => Some(email),
            Self::RevokeDevice { .. } | Self::RevokeGrant { .. } | Self::LockdownOn { .. } => None,
        }
    }
}
