//! Who may do what to what. Every use case asks here first.

use std::fmt;

use doorward_model::{DeviceId, Email, GatewayName, GrantId, ResourceName};

use crate::Denial;

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// Somebody on this machine, through the admin socket.
    LocalAdmin {
        /// The user id that the kernel vouches for.
        uid: u32,
        /// That user's name, where one was found.
        name: Option<String>,
    },
    /// A program with an API token.
    ApiToken {
        /// The token's name.
        name: String,
    },
    /// A gateway, over the feed.
    Gateway {
        /// Its name.
        name: GatewayName,
    },
    /// Doorward itself: time ran out, a job did its work.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LocalAdmin { uid, name: Some(name) } => write!(f, "local:{uid}({})", name.escape_default()),
            Self::LocalAdmin { uid, name: None } => write!(f, "local:{uid}"),
            Self::ApiToken { name } => write!(f, "token:{}", name.escape_default()),
            Self::Gateway { name } => write!(f, "gateway:{name}"),
            Self::System => f.write_str("system"),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $word:literal,)*) => {
        /// What can be done, and what the audit calls it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action, for reviews and tests.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Returns the word for it in the audit.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }
        }
    };
}

actions! {
    /// Read people, resources, grants, devices, gateways or the status.
    Read = "read",
    /// Read, export or verify the audit.
    AuditRead = "audit.read",
    /// Add a person.
    PersonAdd = "person.add",
    /// Suspend a person.
    PersonSuspend = "person.suspend",
    /// Take a person back.
    PersonRestore = "person.restore",
    /// Put a person out for good.
    PersonOffboard = "person.offboard",
    /// A person's end date came.
    PersonEnd = "person.end",
    /// Add a resource.
    ResourceAdd = "resource.add",
    /// Remove a resource.
    ResourceRemove = "resource.remove",
    /// Give a grant.
    GrantAdd = "grant.add",
    /// Take a grant back.
    GrantRevoke = "grant.revoke",
    /// A grant's time ran out.
    GrantEnd = "grant.end",
    /// Enrol a device.
    DeviceAdd = "device.add",
    /// Give a device another pre-shared key, or take it away.
    DevicePresharedKey = "device.preshared_key",
    /// End a device.
    DeviceRevoke = "device.revoke",
    /// A device's time ran out.
    DeviceEnd = "device.end",
    /// Turn the lockdown on.
    LockdownOn = "lockdown.on",
    /// Turn the lockdown off.
    LockdownOff = "lockdown.off",
    /// Make an enrolment token for a gateway.
    GatewayTokenAdd = "gateway.token.add",
    /// Enrol a gateway.
    GatewayEnrol = "gateway.enrol",
    /// A gateway introduced itself with another key or endpoint than before.
    GatewayHello = "gateway.hello",
    /// Remove a gateway.
    GatewayRemove = "gateway.remove",
    /// A revocation was confirmed, or was not in time.
    ReceiptRecord = "receipt.record",
    /// Make an API token.
    TokenAdd = "token.add",
    /// End an API token.
    TokenRevoke = "token.revoke",
}

/// To what it is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// Doorward as a whole.
    Everything,
    /// A person.
    Person(Email),
    /// A resource.
    Resource(ResourceName),
    /// A grant.
    Grant(GrantId),
    /// A device.
    Device(DeviceId),
    /// A gateway.
    Gateway(GatewayName),
    /// An API token, by its name.
    Token(String),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Person(email) => write!(f, "person:{email}"),
            Self::Resource(name) => write!(f, "resource:{name}"),
            Self::Grant(id) => write!(f, "grant:{id}"),
            Self::Device(id) => write!(f, "device:{id}"),
            Self::Gateway(name) => write!(f, "gateway:{name}"),
            Self::Token(name) => write!(f, "token:{}", name.escape_default()),
        }
    }
}

/// Whether it may be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not, and why.
    Denied(Denial),
}

impl Decision {
    /// Turns the decision into something that `?` carries on.
    ///
    /// # Errors
    /// The denial.
    pub fn require(self) -> Result<(), Denial> {
        match self {
            Self::Allowed => Ok(()),
            Self::Denied(denial) => Err(denial),
        }
    }
}

/// Decides whether `actor` may do `action` to `subject`.
///
/// Local admins and API tokens may do what people ask for; what time and gateways bring about is for Doorward itself
/// and for gateways alone, so that nobody can forge it.
#[must_use]
pub fn authorise(actor: &Actor, action: Action, subject: &Subject) -> Decision {
    let allowed = match action {
        Action::PersonEnd | Action::GrantEnd | Action::DeviceEnd | Action::ReceiptRecord => *actor == Actor::System,
        Action::GatewayEnrol | Action::GatewayHello => match (actor, subject) {
            (Actor::Gateway { name }, Subject::Gateway(own)) => name == own,
            (Actor::Gateway { .. } | Actor::LocalAdmin { .. } | Actor::ApiToken { .. } | Actor::System, _) => false,
        },
        Action::Read
        | Action::AuditRead
        | Action::PersonAdd
        | Action::PersonSuspend
        | Action::PersonRestore
        | Action::PersonOffboard
        | Action::ResourceAdd
        | Action::ResourceRemove
        | Action::GrantAdd
        | Action::GrantRevoke
        | Action::DeviceAdd
        | Action::DevicePresharedKey
        | Action::DeviceRevoke
        | Action::LockdownOn
        | Action::LockdownOff
        | Action::GatewayTokenAdd
        | Action::GatewayRemove
        | Action::TokenAdd
        | Action::TokenRevoke => matches!(actor, Actor::LocalAdmin { .. } | Actor::ApiToken { .. }),
    };
    if allowed {
        Decision::Allowed
    } else {
        Decision::Denied(Denial::refused(format!(
            "{actor} may not do {} to {subject}: ask a local administrator",
            action.as_str()
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_can_do_nothing_but_speak_for_itself() {
        let gateway = |name: &str| Actor::Gateway { name: name.parse().unwrap() };
        let subject = Subject::Gateway("main".parse().unwrap());
        for action in Action::ALL {
            let own = matches!(action, Action::GatewayEnrol | Action::GatewayHello);
            assert_eq!(authorise(&gateway("main"), *action, &subject) == Decision::Allowed, own, "{action:?}");
            assert!(authorise(&gateway("other"), *action, &subject).require().is_err(), "{action:?}");
        }
    }

    #[test]
    fn what_time_brings_about_cannot_be_forged() {
        let admin = Actor::LocalAdmin { uid: 0, name: Some("root".to_owned()) };
        for action in [Action::PersonEnd, Action::GrantEnd, Action::DeviceEnd, Action::ReceiptRecord] {
            assert!(authorise(&admin, action, &Subject::Everything).require().is_err());
            assert!(authorise(&Actor::System, action, &Subject::Everything).require().is_ok());
        }
        assert!(authorise(&admin, Action::PersonOffboard, &Subject::Everything).require().is_ok());
    }

    #[test]
    fn words_in_the_audit_are_unique() {
        let mut words: Vec<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
        words.sort_unstable();
        words.dedup();
        assert_eq!(words.len(), Action::ALL.len());
    }

    #[test]
    fn a_name_cannot_break_a_line_of_the_audit() {
        assert_eq!(Actor::ApiToken { name: "a\nb".to_owned() }.to_string(), "token:a\\nb");
    }
}
