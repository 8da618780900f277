//! Web sessions: how long a sign-in in a browser counts, and how long its factor is fresh.

use std::fmt;
use std::str::FromStr;

use doorward_model::{Email, PrincipalId, Timestamp};
use jiff::SignedDuration;
use uuid::Uuid;

use crate::{Actor, Denial, Principal, PrincipalState, Role, SignedIn};

/// How long a session lasts without a request (PCI DSS 8.2.8).
pub const SESSION_IDLE: SignedDuration = SignedDuration::from_mins(15);
/// How long a session lasts at most.
pub const SESSION_MAX: SignedDuration = SignedDuration::from_hours(12);
/// How long a second factor counts as fresh.
pub const FACTOR_FRESH: SignedDuration = SignedDuration::from_mins(5);
/// How exactly the last request of a session is kept; it shortens [`SESSION_IDLE`] by as much.
pub const SESSION_SEEN_EVERY: SignedDuration = SignedDuration::from_secs(30);
/// How long a token of `doorward login` lasts.
pub const LOGIN_TOKEN_MAX: SignedDuration = SignedDuration::from_hours(12);

/// How somebody signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SignInMethod {
    /// A passkey, with user verification: two factors in one.
    Passkey,
    /// A password and a time-based code.
    PasswordTotp,
    /// A password and a recovery code.
    PasswordRecovery,
    /// An identity provider that vouched for a second factor.
    Provider,
    /// An identity provider, and a passkey on top.
    ProviderPasskey,
}

impl SignInMethod {
    const ALL: [Self; 5] =
        [Self::Passkey, Self::PasswordTotp, Self::PasswordRecovery, Self::Provider, Self::ProviderPasskey];

    /// Returns the word for it, as the store and the audit write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passkey => "passkey",
            Self::PasswordTotp => "password_totp",
            Self::PasswordRecovery => "password_recovery",
            Self::Provider => "provider",
            Self::ProviderPasskey => "provider_passkey",
        }
    }
}

/// Says whether the identity provider has to vouch for somebody each time their window opens: for those who have an account
/// there (`linked`), or for everybody where the owner says so. Owners are left a way of their own, for the day on which the
/// provider is out of order.
#[must_use]
pub fn is_vouched_for(person: &Principal, linked: bool, everybody: bool) -> bool {
    (linked || everybody) && person.role != Role::Owner
}

/// Refuses a sign-in that did not come through the identity provider, of somebody for whom it has to vouch.
///
/// # Errors
/// A denial that names the provider.
pub fn require_provider(method: SignInMethod, provider: &str) -> Result<(), Denial> {
    match method {
        SignInMethod::Provider | SignInMethod::ProviderPasskey => Ok(()),
        SignInMethod::Passkey | SignInMethod::PasswordTotp | SignInMethod::PasswordRecovery => {
            Err(Denial::refused(format!("sign in with {provider}: each time it has to say that you are still there")))
        }
    }
}

impl fmt::Display for SignInMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for SignInMethod {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        let found = Self::ALL.into_iter().find(|method| method.as_str() == text);
        found.ok_or_else(|| Denial::invalid("this is no way to sign in"))
    }
}

/// A browser that somebody signed in with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSession {
    /// Names the session where it is listed; not the secret.
    pub id: Uuid,
    /// Whose.
    pub principal: PrincipalId,
    /// How they signed in.
    pub method: SignInMethod,
    /// When.
    pub created_at: Timestamp,
    /// The last request, to [`SESSION_SEEN_EVERY`].
    pub seen_at: Timestamp,
    /// When it ends at the latest.
    pub ends_at: Timestamp,
    /// When a second factor was proved last.
    pub factor_at: Timestamp,
    /// From where, on the outside, at the sign-in.
    pub source: String,
    /// What the browser calls itself, cut short.
    pub agent: String,
    /// Whether the person has yet to accept the access policy as it is: until then nobody acts through the session.
    pub policy_pending: bool,
}

/// Longest name of a browser that is kept, in characters.
const AGENT_CHARS_MAX: usize = 120;

impl WebSession {
    /// Begins a session.
    #[must_use]
    pub fn begin(id: Uuid, principal: PrincipalId, method: SignInMethod, from: (&str, &str), now: Timestamp) -> Self {
        let (source, agent) = from;
        Self {
            id,
            principal,
            method,
            created_at: now,
            seen_at: now,
            ends_at: later(now, SESSION_MAX),
            factor_at: now,
            source: source.to_owned(),
            agent: doorward_model::repeatable(agent, AGENT_CHARS_MAX),
            policy_pending: false,
        }
    }

    /// The same session of somebody who has yet to accept the access policy as it is.
    #[must_use]
    pub fn pending(self) -> Self {
        Self { policy_pending: true, ..self }
    }

    /// Says whether the session still counts.
    #[must_use]
    pub fn is_live(&self, now: Timestamp) -> bool {
        now < self.ends_at && now < later(self.seen_at, SESSION_IDLE)
    }

    /// Says whether this request has to be noted.
    #[must_use]
    pub fn is_seen_late(&self, now: Timestamp) -> bool {
        now.duration_since(self.seen_at) >= SESSION_SEEN_EVERY
    }

    /// Says who acts through this session; nobody where the person is not active, the session is over, or the access policy
    /// has to be accepted first.
    #[must_use]
    pub fn actor(&self, person: &Principal, now: Timestamp) -> Option<Actor> {
        (!self.policy_pending).then(|| self.whose(person, now)).flatten()
    }

    /// Says who may accept the access policy through this session.
    #[must_use]
    pub fn whose(&self, person: &Principal, now: Timestamp) -> Option<Actor> {
        self.is_live(now).then(|| acting(person, self.principal, self.factor_at, now)).flatten()
    }
}

/// A token of `doorward login`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginToken {
    /// Names the token where it is listed; not the secret.
    pub id: Uuid,
    /// Whose.
    pub principal: PrincipalId,
    /// What the person called the machine.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends.
    pub expires_at: Timestamp,
    /// When a second factor was proved last.
    pub factor_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
}

impl LoginToken {
    /// Says who acts with this token; nobody where the person is not active or the token is over.
    #[must_use]
    pub fn actor(&self, person: &Principal, now: Timestamp) -> Option<Actor> {
        (now < self.expires_at).then(|| acting(person, self.principal, self.factor_at, now)).flatten()
    }
}

fn acting(person: &Principal, principal: PrincipalId, factor_at: Timestamp, now: Timestamp) -> Option<Actor> {
    let counts = person.id == principal && may_sign_in(person, now);
    let fresh = now < later(factor_at, FACTOR_FRESH);
    let signed_in = || SignedIn { id: person.id, email: person.email.clone(), role: person.role, fresh };
    counts.then(|| Actor::Person(signed_in()))
}

/// Says whether somebody may sign in at all.
#[must_use]
pub fn may_sign_in(person: &Principal, now: Timestamp) -> bool {
    person.state == PrincipalState::Active && !person.is_over(now)
}

/// What a sign-in changes about the person: the window opens, for as long as it is configured to.
#[must_use]
pub fn signed_in(person: &Principal, window: std::time::Duration, now: Timestamp) -> Principal {
    let window = SignedDuration::try_from(window).unwrap_or(SignedDuration::MAX);
    let until = (!window.is_zero()).then(|| later(now, window));
    Principal { signed_in_at: Some(now), signed_in_until: until.or(person.signed_in_until), ..person.clone() }
}

/// Whom a failed attempt names.
#[must_use]
pub fn account_subject(email: &Email) -> String {
    format!("account:{email}")
}

pub(crate) fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::Role;
    use crate::lease::fixtures::{person, t};

    fn session(at: i64) -> WebSession {
        WebSession::begin(Uuid::nil(), person(1).id, SignInMethod::Passkey, ("192.0.2.1", "Firefox"), t(at))
    }

    #[test]
    fn a_session_ends_after_fifteen_idle_minutes() {
        let session = session(0);
        assert!(session.is_live(t(15 * 60 - 1)) && !session.is_live(t(15 * 60)));
    }

    #[test]
    fn a_session_that_is_used_ends_after_twelve_hours() {
        let used = WebSession { seen_at: t(12 * 3600 - 1), ..session(0) };
        assert!(used.is_live(t(12 * 3600 - 1)) && !used.is_live(t(12 * 3600)));
    }

    #[test]
    fn a_factor_is_fresh_for_five_minutes() {
        let (owner, session) = (Principal { role: Role::Owner, ..person(1) }, session(0));
        let fresh = |at| match session.actor(&owner, t(at)) {
            Some(Actor::Person(person)) => person.fresh,
            _ => panic!("nobody acts"),
        };
        assert!(fresh(299) && !fresh(300));
    }

    #[test]
    fn who_is_not_active_acts_through_no_session() {
        for state in [PrincipalState::Suspended, PrincipalState::Departed] {
            assert_eq!(session(0).actor(&Principal { state, ..person(1) }, t(1)), None);
        }
        assert_eq!(session(0).actor(&Principal { not_after: Some(t(1)), ..person(1) }, t(1)), None);
        assert_eq!(session(0).actor(&person(2), t(1)), None);
        assert!(session(0).actor(&person(1), t(1)).is_some());
    }

    #[test]
    fn nobody_acts_through_a_session_before_the_policy_is_accepted() {
        let pending = session(0).pending();
        assert_eq!(pending.actor(&person(1), t(1)), None);
        assert!(pending.whose(&person(1), t(1)).is_some(), "but the policy can be accepted through it");
        assert_eq!(pending.whose(&person(2), t(1)), None);
        assert_eq!(pending.whose(&person(1), t(15 * 60)), None);
    }

    #[test]
    fn a_sign_in_opens_the_window_from_its_moment() {
        let hour = Duration::from_secs(3600);
        let after = signed_in(&person(1), hour, t(10));
        assert_eq!((after.signed_in_at, after.signed_in_until), (Some(t(10)), Some(t(3610))));
        assert_eq!(signed_in(&person(1), Duration::ZERO, t(10)).signed_in_until, None);
    }

    #[test]
    fn a_browser_cannot_name_itself_with_line_breaks() {
        let agent = format!("Fire\r\nfox{}", "x".repeat(500));
        let session = WebSession::begin(Uuid::nil(), person(1).id, SignInMethod::Passkey, ("192.0.2.1", &agent), t(0));
        assert!(session.agent.starts_with("Firefox") && session.agent.chars().count() == 120);
    }
}
