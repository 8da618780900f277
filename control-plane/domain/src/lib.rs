//! The rules of Doorward: who may be added, granted, suspended and put out, and what follows from it for a device.
//!
//! Each function takes what is known and the time it is, and returns the next state or a [`Denial`]. [`derive_lease`] is
//! the one place where access comes from.
//!
//! Architecture invariant: no I/O, no async, no clock, no randomness. Time and ids are arguments; the store keeps what
//! comes out, and the gateway enforces it.

mod alert;
mod audit;
mod authz;
#[cfg(test)]
mod authz_matrix;
mod credential;
mod denial;
mod device;
mod directory;
mod disuse;
mod gateway;
mod grant;
mod group;
mod hours;
mod invitation;
mod lease;
mod lockdown;
mod lockout;
mod notice;
mod offboard;
mod principal;
mod reason;
mod request;
mod resource;
mod role;
mod session;
mod token;

pub use alert::{Alert, AlertKind};
pub use audit::{AuditEntry, AuditHash, AuditRow, ChainBreak, ChainHead, audit_hash, verify_chain};
pub use authz::{Action, Actor, Decision, Subject, authorise};
pub use credential::{
    Credentials, PASSKEYS_MAX, PASSWORD_CHARS_MIN, RECOVERY_CODES, StoredPasskey, StoredTotp, TOTP_STEP_SECONDS,
    check_password, check_step,
};
pub use denial::{Denial, DenialCode};
pub use device::{Device, DeviceState, NewDevice, Revocation};
pub use directory::{
    Absence, Account, Burst, DeliveryId, DirectoryTerms, EndedBy, HOOK_PEOPLE_MAX, HookMessage, Mail, PEOPLE_MIN,
    Profile, Return, RoundAnswer, RoundDoubt, RoundPerson, RoundPlan, SOURCE_TOKENS_MAX, Source, SourceGroup,
    SourceKind, SourceToken, SyncChange, SyncColumns, SyncPerson, SyncPlan, SyncRow, Turn, Word, group_name,
    hook_signatures, hook_signed, hook_time, managed, may_be_adopted, may_be_edited, taken,
};
pub use disuse::{DisuseTerms, is_doubtful};
pub use gateway::{Gateway, Introduction, Receipt};
pub use grant::{Grant, GrantState, GrantedResource, Grantee, NewGrant, Receiver};
pub use group::{Group, GroupChanges, Membership, provided_groups};
pub use hours::{Hours, WeeklyHours};
pub use invitation::{INVITATION_MAX, Invitation, InvitationKind, InvitationRefusal, SETUP_LINK_MAX, check_invitation};
pub use lease::{Derived, LeaseSubject, LeaseTerms, derive_lease};
pub use lockdown::LockdownState;
pub use lockout::{Attempts, FAILURES_MAX, LOCKOUT};
pub use notice::{EndNotice, EndingKind, lead_due, mail_pause};
pub use offboard::{Effect, end, offboard, restore, suspend};
pub use principal::{NewPrincipal, Principal, PrincipalKind, PrincipalState};
pub use reason::{Reason, ReasonError};
pub use request::{Asked, Decided, NewRequest, Request, RequestState, Shorter};
pub use resource::{NewResource, Resource};
pub use role::{Role, SignedIn};
pub use session::{
    FACTOR_FRESH, LOGIN_TOKEN_MAX, LoginToken, SESSION_IDLE, SESSION_MAX, SESSION_SEEN_EVERY, SignInMethod, WebSession,
    account_subject, is_vouched_for, may_sign_in, require_provider, signed_in,
};
pub use token::{ApiToken, EnrolmentRefusal, EnrolmentToken, TokenHash, check_enrolment};

use doorward_model::Timestamp;

/// Rounds a time down to the microsecond, which is what databases keep and the audit chain hashes.
///
/// Callers pass each `now` through here once, so that what they hold equals what they read back.
#[must_use]
pub fn micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_rounded_down_to_what_a_database_keeps() {
        let at: Timestamp = "2026-11-21T12:00:00.123456789Z".parse().unwrap();
        assert_eq!(micros(at).to_string(), "2026-11-21T12:00:00.123456Z");
        assert_eq!(micros(micros(at)), micros(at));
    }
}
