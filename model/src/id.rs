//! Ids: newtypes over UUID version 7, so that ids of different things cannot be confused and sort by creation.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no id: expected a UUID such as 0192f0c1-7a3e-7cc1-b2f4-0123456789ab, as the list command prints it"
)]
pub struct IdError {
    text: String,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID; the caller chooses it (version 7 everywhere outside tests).
            #[must_use]
            pub const fn new(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// Returns the UUID, for the store.
            #[must_use]
            pub const fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::parse_str(text).map(Self).map_err(|_| IdError { text: text.chars().take(64).collect() })
            }
        }
    };
}

id!(
    /// Names a person for as long as the record is kept, whatever happens to the email address.
    PrincipalId
);
id!(
    /// Names one decision to take something away, however often it is told: it is written to the database once.
    DecisionId
);
id!(
    /// Names one device: one WireGuard public key of one principal.
    DeviceId
);
id!(
    /// Names what stands behind the gateway.
    ResourceId
);
id!(
    /// Names one grant: principal may use resource, from when to when.
    GrantId
);
id!(
    /// Names a group of people.
    GroupId
);
id!(
    /// Names one request for access.
    RequestId
);
id!(
    /// Names one gateway, from its enrolment on.
    GatewayId
);
id!(
    /// Names a directory from which people come and go: an identity provider that speaks SCIM.
    SourceId
);
id!(
    /// Names a person towards one source, from when it made them until it let them go.
    AccountId
);
