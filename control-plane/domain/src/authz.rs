//! Who may do what to what. Every use case asks here first.

use std::fmt;

use doorward_model::{
    DeviceId, Email, GatewayName, GrantId, GroupName, PrincipalId, RequestId, ResourceName, SourceName,
};
use serde::{Deserialize, Serialize};

use crate::{Denial, Role, SignedIn};

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "actor", rename_all = "snake_case")]
pub enum Actor {
    /// Somebody on this machine, through the admin socket.
    LocalAdmin {
        /// The user id that the kernel vouches for.
        uid: u32,
        /// That user's name, where one was found.
        name: Option<String>,
    },
    /// A person with a web session, or with a token of `doorward login`.
    Person(SignedIn),
    /// A program with an API token.
    ApiToken {
        /// The token's name.
        name: String,
    },
    /// A directory, through SCIM; and time, where it finishes what a directory began.
    Source {
        /// Its name.
        name: SourceName,
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
            Self::Person(person) => write!(f, "person:{}", person.email),
            Self::ApiToken { name } => write!(f, "token:{}", name.escape_default()),
            Self::Source { name } => write!(f, "source:{name}"),
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
    /// The control plane's wall clock had been set forward, and is right again: what was recorded meanwhile says no time.
    ClockSetRight = "clock.set_right",
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
    /// The next occurrence of a grant's weekly hours was told to gateways.
    GrantHours = "grant.hours",
    /// Add a group.
    GroupAdd = "group.add",
    /// Remove a group, with what was granted to it.
    GroupRemove = "group.remove",
    /// Make somebody a member of a group.
    GroupJoin = "group.join",
    /// End a membership.
    GroupLeave = "group.leave",
    /// An identity provider said that somebody is signed in there no more.
    ProviderSignOut = "sign_out.provider",
    /// An identity provider said which groups somebody is in.
    GroupSync = "group.sync",
    /// See a request for access.
    RequestRead = "request.read",
    /// Ask for access for oneself.
    RequestAdd = "request.add",
    /// Take one's request back.
    RequestWithdraw = "request.withdraw",
    /// Approve a request.
    RequestApprove = "request.approve",
    /// Deny a request.
    RequestDeny = "request.deny",
    /// Change a person's name, sponsor or end date as a file of people says.
    PersonUpdate = "person.update",
    /// Say what a person may do for others.
    PersonRole = "person.role",
    /// Say who answers for a contractor.
    PersonSponsor = "person.sponsor",
    /// Say who answers for a resource.
    ResourceOwner = "resource.owner",
    /// Say how long a sign-in opens a resource.
    ResourceWindow = "resource.window",
    /// Say how much time one request for a resource may ask for.
    ResourceSpan = "resource.span",
    /// Enrol a device.
    DeviceAdd = "device.add",
    /// Give a device another pre-shared key, or take it away.
    DevicePresharedKey = "device.preshared_key",
    /// End a device.
    DeviceRevoke = "device.revoke",
    /// End a device because its owner lost it.
    DeviceReportLost = "device.report_lost",
    /// A person was suspended because nobody saw them for long.
    PersonInactive = "person.inactive",
    /// A device's time ran out.
    DeviceEnd = "device.end",
    /// A device's key was seen in two places; its sign-in counts no more.
    DeviceWindowClose = "device.window_close",
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
    /// Accept a database that was put back from an older copy.
    DatabaseAccept = "database.accept",
    /// A revocation was confirmed, or was not in time.
    ReceiptRecord = "receipt.record",
    /// Make an API token.
    TokenAdd = "token.add",
    /// End an API token.
    TokenRevoke = "token.revoke",
    /// Make the link with which an owner gets in, the first time or again.
    OwnerLink = "owner.link",
    /// Become an owner through that link.
    OwnerSetup = "owner.setup",
    /// Make somebody's link to join, or to get in again.
    PersonInvite = "person.invite",
    /// Join through that link.
    PersonJoin = "person.join",
    /// Sign in.
    SignIn = "sign_in",
    /// An attempt to sign in failed.
    SignInFail = "sign_in.fail",
    /// An account or a source was locked after too many of them.
    SignInLock = "sign_in.lock",
    /// Prove a second factor again.
    StepUp = "sign_in.step_up",
    /// Sign out.
    SignOut = "sign_out",
    /// End somebody's sessions and login tokens.
    SessionEnd = "session.end",
    /// Add or replace a passkey, a password, a time-based code or recovery codes.
    CredentialAdd = "credential.add",
    /// Remove one of them.
    CredentialRemove = "credential.remove",
    /// A passkey's counter went back: it is refused from there on.
    CredentialRefuse = "credential.refuse",
    /// Accept the access policy.
    PolicyAccept = "policy.accept",
    /// Let a command line act for oneself.
    LoginAdd = "login.add",
    /// Link an identity provider's account to oneself.
    IdentityLink = "identity.link",
    /// Make a directory's token, and the directory with its first.
    SourceTokenAdd = "source.token.add",
    /// End a directory's tokens.
    SourceTokenRevoke = "source.token.revoke",
    /// Hand a person over to a directory.
    SourceAdopt = "source.adopt",
    /// Keep a directory's person by hand from here on.
    SourceRelease = "source.release",
    /// Take back what a directory did to many at once.
    SourceUndo = "source.undo",
    /// Let what a directory did to many at once take its course.
    SourceConfirm = "source.confirm",
    /// Ask a directory for its people now.
    SourcePoll = "source.poll",
    /// Change what a directory manages: a name, an address, a group's name.
    SourceUpdate = "source.update",
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
    /// A group.
    Group(GroupName),
    /// A request for access, with what it takes to say who may answer it.
    Request {
        /// The request.
        id: RequestId,
        /// Who asks.
        requester: PrincipalId,
        /// Who answers for the resource, and who for the requester.
        answerable: Vec<PrincipalId>,
    },
    /// A device.
    Device(DeviceId),
    /// A gateway.
    Gateway(GatewayName),
    /// An API token, by its name.
    Token(String),
    /// A directory.
    Source(SourceName),
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everything => f.write_str("everything"),
            Self::Person(email) => write!(f, "person:{email}"),
            Self::Resource(name) => write!(f, "resource:{name}"),
            Self::Grant(id) => write!(f, "grant:{id}"),
            Self::Group(name) => write!(f, "group:{name}"),
            Self::Request { id, .. } => write!(f, "request:{id}"),
            Self::Device(id) => write!(f, "device:{id}"),
            Self::Gateway(name) => write!(f, "gateway:{name}"),
            Self::Token(name) => write!(f, "token:{}", name.escape_default()),
            Self::Source(name) => write!(f, "source:{name}"),
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

/// What an action asks of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    /// Nobody: time or a gateway brings it about.
    Nobody,
    /// A role that reads; of oneself anybody may.
    Reader,
    /// A role that reads the audit.
    AuditReader,
    /// A role that administers. What takes access away is never held up by asking for a factor again.
    Admin,
    /// A role that administers, with a fresh factor.
    FreshAdmin,
    /// The same, and not for oneself.
    FreshAdminForOthers,
    /// The person concerned, or a role that administers with a fresh factor.
    SelfOrFreshAdmin,
    /// An owner with a fresh factor, or somebody on this machine; no program.
    FreshOwner,
    /// Whoever may answer a request: a role that does, or who answers for the resource or the requester; never the
    /// requester.
    Answerer,
    /// The same, with a fresh factor.
    FreshAnswerer,
    /// Whoever may answer a request, the requester, or a role that reads.
    AnswererOrReader,
    /// The person concerned; a program or somebody on this machine for them.
    OneselfOrProxy,
    /// The person concerned, or a role that administers.
    SelfOrAdmin,
    /// The person concerned and nobody else.
    Oneself,
    /// The same, with a fresh factor.
    FreshOneself,
    /// Somebody on this machine.
    Local,
}

const fn need(action: Action) -> Need {
    match action {
        Action::PersonEnd
        | Action::ClockSetRight
        | Action::PersonInactive
        | Action::GrantEnd
        | Action::GrantHours
        | Action::GroupSync
        | Action::ProviderSignOut
        | Action::DeviceEnd
        | Action::DeviceWindowClose
        | Action::ReceiptRecord
        | Action::GatewayEnrol
        | Action::GatewayHello
        | Action::SignInFail
        | Action::SignInLock
        | Action::CredentialRefuse
        | Action::SourceUpdate => Need::Nobody,
        Action::Read => Need::Reader,
        Action::AuditRead => Need::AuditReader,
        Action::PersonSuspend
        | Action::PersonOffboard
        | Action::ResourceRemove
        | Action::GrantRevoke
        | Action::GroupRemove
        | Action::DeviceRevoke
        | Action::LockdownOn
        | Action::GatewayRemove
        | Action::TokenRevoke
        | Action::SourceTokenRevoke
        | Action::SourceConfirm
        | Action::SourcePoll => Need::Admin,
        Action::PersonAdd
        | Action::PersonRestore
        | Action::PersonUpdate
        | Action::PersonSponsor
        | Action::ResourceAdd
        | Action::ResourceOwner
        | Action::ResourceWindow
        | Action::ResourceSpan
        | Action::GroupAdd
        | Action::LockdownOff
        | Action::GatewayTokenAdd
        | Action::DatabaseAccept
        | Action::TokenAdd
        | Action::PersonInvite
        | Action::SourceTokenAdd
        | Action::SourceUndo => Need::FreshAdmin,
        // Who takes themselves out of a directory could not be put out by it any more.
        Action::GrantAdd | Action::GroupJoin | Action::SourceAdopt | Action::SourceRelease => Need::FreshAdminForOthers,
        Action::PersonRole => Need::FreshOwner,
        Action::RequestRead => Need::AnswererOrReader,
        Action::RequestAdd | Action::RequestWithdraw => Need::OneselfOrProxy,
        Action::RequestApprove => Need::FreshAnswerer,
        Action::RequestDeny => Need::Answerer,
        Action::DeviceAdd | Action::DevicePresharedKey => Need::SelfOrFreshAdmin,
        Action::SessionEnd | Action::DeviceReportLost | Action::GroupLeave => Need::SelfOrAdmin,
        Action::OwnerSetup
        | Action::PersonJoin
        | Action::SignIn
        | Action::StepUp
        | Action::SignOut
        | Action::PolicyAccept
        | Action::LoginAdd => Need::Oneself,
        Action::CredentialAdd | Action::CredentialRemove | Action::IdentityLink => Need::FreshOneself,
        Action::OwnerLink => Need::Local,
    }
}

/// Decides whether `actor` may do `action` to `subject`.
///
/// Local admins and API tokens may do what people ask for; what time and gateways bring about is for Doorward itself
/// and for gateways alone, so that nobody can forge it. People may what their role says.
#[must_use]
pub fn authorise(actor: &Actor, action: Action, subject: &Subject) -> Decision {
    let need = need(action);
    let denied = |what_to_do: &str| {
        Decision::Denied(Denial::refused(format!("{actor} may not do {} to {subject}: {what_to_do}", action.as_str())))
    };
    let allowed = match (actor, need) {
        (Actor::System, Need::Nobody) => {
            !matches!(action, Action::GatewayEnrol | Action::GatewayHello | Action::SourceUpdate)
        }
        (Actor::Source { .. }, _) => source_may(action),
        (Actor::Gateway { name }, Need::Nobody) => {
            matches!(action, Action::GatewayEnrol | Action::GatewayHello) && *subject == Subject::Gateway(name.clone())
        }
        (Actor::LocalAdmin { .. }, need) => !matches!(need, Need::Nobody | Need::Oneself | Need::FreshOneself),
        (Actor::ApiToken { .. }, need) => {
            !matches!(need, Need::Nobody | Need::Oneself | Need::FreshOneself | Need::Local | Need::FreshOwner)
        }
        (Actor::Person(person), need) => return person_may(person, need, subject, denied),
        (Actor::System | Actor::Gateway { .. }, _) => false,
    };
    if allowed { Decision::Allowed } else { denied("ask a local administrator") }
}

/// What a directory may do at all; that it is done to its own people and groups is looked after where it is done.
const fn source_may(action: Action) -> bool {
    matches!(
        action,
        Action::PersonAdd
            | Action::PersonSuspend
            | Action::PersonRestore
            | Action::PersonOffboard
            | Action::GroupAdd
            | Action::GroupRemove
            | Action::GroupJoin
            | Action::GroupLeave
            | Action::SourceUpdate
    )
}

fn person_may(person: &SignedIn, need: Need, subject: &Subject, denied: impl Fn(&str) -> Decision) -> Decision {
    let (own, answers) = match subject {
        Subject::Person(email) => (*email == person.email, false),
        Subject::Request { requester, answerable, .. } => (*requester == person.id, answerable.contains(&person.id)),
        Subject::Everything
        | Subject::Resource(_)
        | Subject::Grant(_)
        | Subject::Group(_)
        | Subject::Device(_)
        | Subject::Gateway(_)
        | Subject::Token(_)
        | Subject::Source(_) => (false, false),
    };
    let role = person.role;
    // An auditor changes nothing, whatever is theirs.
    let answers = role.answers() || (answers && role != Role::Auditor);
    let (allowed, needs_fresh) = match need {
        Need::Nobody | Need::Local => (false, false),
        Need::Reader => (own || role.reads(), false),
        Need::AuditReader => (role.administers() || role == Role::Auditor, false),
        Need::Admin => (role.administers(), false),
        Need::FreshAdmin => (role.administers(), true),
        Need::FreshAdminForOthers if own => return denied("nobody gives access to themselves; ask another admin"),
        Need::FreshAdminForOthers => (role.administers(), true),
        Need::SelfOrFreshAdmin => (own || role.administers(), !own),
        Need::SelfOrAdmin => (own || role.administers(), false),
        Need::Oneself => (own, false),
        Need::FreshOneself => (own, true),
        Need::FreshOwner => (role == Role::Owner, true),
        Need::Answerer | Need::FreshAnswerer if own => {
            return denied("nobody answers their own request; ask somebody else who may");
        }
        Need::Answerer => (answers, false),
        Need::FreshAnswerer => (answers, true),
        Need::AnswererOrReader => (own || answers || role.reads(), false),
        Need::OneselfOrProxy => (own, false),
    };
    match (allowed, needs_fresh && !person.fresh) {
        (false, _) => denied("ask an admin"),
        (true, true) => Decision::Denied(Denial::needs_fresh_factor()),
        (true, false) => Decision::Allowed,
    }
}

#[cfg(test)]
#[path = "authz_tests.rs"]
mod tests;
