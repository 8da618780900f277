//! Web sessions: who acts through one, and how they end.

use std::net::IpAddr;

use doorward_domain::{
    Action, Actor, LoginToken, Principal, SignInMethod, SignedIn, Subject, TokenHash, WebSession, require_provider,
    signed_in,
};
use doorward_model::{DeviceId, Email, Timestamp};
use doorward_store::{Outbox, WriteTx};
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{Visitor, policy, provider};
use crate::app::find::live_devices;
use crate::app::secret::fresh_secret;
use crate::app::{App, Record, Refusal, allow, find, follow_up};

/// Longest secret of a session or token that is looked up.
const SECRET_BYTES_MAX: usize = 64;
/// What every token of `doorward login` begins with.
pub(crate) const LOGIN_PREFIX: &str = "dwl1_";
/// How exactly the last use of a token is kept.
const LAST_USED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// A session that just began: the secret goes into the cookie and nowhere else.
pub(crate) struct Begun {
    /// The cookie's value.
    pub(crate) secret: Zeroizing<String>,
    /// Whether the access policy has to be accepted before anything else.
    pub(crate) policy_pending: bool,
}

/// What a sign-in wrote and still has to commit.
pub(super) struct Opened {
    pub(super) begun: Begun,
    pub(super) devices: Vec<DeviceId>,
}

/// Writes a sign-in: the session, and the person's window, which opens for all their devices; only once they have accepted
/// the access policy as it is.
pub(super) async fn open(
    app: &App,
    tx: &mut WriteTx,
    person: &Principal,
    method: SignInMethod,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<Opened, Refusal> {
    if let Some(provider) = provider::vouching(app, tx, person).await? {
        require_provider(method, provider.name())?;
    }
    let secret = fresh_secret()?;
    let source = visitor.source.to_string();
    let session = WebSession::begin(Uuid::now_v7(), person.id, method, (&source, &visitor.agent), now);
    let policy_pending = policy::is_pending(app, tx, person).await?;
    let session = if policy_pending { session.pending() } else { session };
    tx.web_session_add(&TokenHash::of(secret.as_bytes()), &session).await?;
    let mut devices = Vec::new();
    if !policy_pending {
        tx.person_update(&signed_in(person, app.terms.sign_in_window, now)).await?;
        devices = live_devices(tx, person.id).await?;
    }
    Ok(Opened { begun: Begun { secret, policy_pending }, devices })
}

/// What a request is to the session that it comes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Use {
    /// Somebody does something: the session goes on.
    Person,
    /// A page that is open asks by itself: that keeps no session alive.
    Page,
}

/// Says who acts through a session, and which one it is; nobody where it does not count, or where the access policy has to
/// be accepted first.
pub(crate) async fn holder(app: &App, secret: &str, by: Use) -> Result<Option<(SignedIn, WebSession)>, Refusal> {
    Ok(holder_of_any(app, secret, by).await?.filter(|(_, session)| !session.policy_pending))
}

/// Says whose session it is, also where the access policy has to be accepted first.
pub(crate) async fn holder_of_any(app: &App, secret: &str, by: Use) -> Result<Option<(SignedIn, WebSession)>, Refusal> {
    if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
        return Ok(None);
    }
    let found = app.store.read().await?.web_session(&TokenHash::of(secret.as_bytes())).await?;
    let Some((session, person)) = found else { return Ok(None) };
    if app.journal.ends(&person) {
        return Ok(None);
    }
    let now = app.clock.now();
    let Some(Actor::Person(actor)) = session.whose(&person, now) else { return Ok(None) };
    if by == Use::Person && session.is_seen_late(now) {
        // Awaited: a session that is used and could not be noted would end in the middle of somebody's work.
        match app.store.web_session_seen(session.id, now).await.map_err(Refusal::from) {
            // A database that only reads is no reason to keep an admin from revoking; nothing else can be done then.
            Err(Refusal::Unavailable(_)) => tracing::debug!("a session's use was not noted"),
            noted => noted?,
        }
    }
    Ok(Some((actor, session)))
}

/// Says who acts with a token of `doorward login`; nobody where it does not count.
pub(crate) async fn login_holder(app: &App, token: &str) -> Result<Option<Actor>, Refusal> {
    if token.len() > SECRET_BYTES_MAX {
        return Ok(None);
    }
    let found = app.store.read().await?.login_token(&TokenHash::of(token.as_bytes())).await?;
    let Some((token, person)) = found else { return Ok(None) };
    if app.journal.ends(&person) {
        return Ok(None);
    }
    let now = app.clock.now();
    let Some(actor) = token.actor(&person, now) else { return Ok(None) };
    if token.last_used_at.is_none_or(|at| now.duration_since(at) >= LAST_USED_EVERY) {
        app.workers.spawn(used(app.clone(), token, now));
    }
    Ok(Some(actor))
}

async fn used(app: App, token: LoginToken, at: Timestamp) {
    if let Err(error) = app.store.login_token_used(token.id, at).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a token's use was not noted");
    }
}

/// Ends the session that asks for it.
pub(crate) async fn sign_out(app: &App, person: &SignedIn, session: &WebSession) -> Result<(), Refusal> {
    let actor = Actor::Person(person.clone());
    let subject = Subject::Person(person.email.clone());
    allow(&actor, Action::SignOut, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    tx.session_end(person.id, session.id).await?;
    let record = Record { at: now, actor: &actor, action: Action::SignOut, subject, detail: json!({}) };
    app.commit(tx, record, Outbox::None).await.map(drop)
}

/// Ends the token of `doorward login` that a request comes with.
pub(crate) async fn log_out(app: &App, actor: &Actor, token: Option<&str>) -> Result<(), Refusal> {
    let missing = || {
        Refusal::Refused(
            "only a token of `doorward login` logs out: sign out on the portal, or `doorward token revoke NAME`"
                .to_owned(),
        )
    };
    let token = token.filter(|token| token.starts_with(LOGIN_PREFIX) && token.len() <= SECRET_BYTES_MAX);
    let (Some(token), Actor::Person(person)) = (token, actor) else { return Err(missing()) };
    let subject = Subject::Person(person.email.clone());
    allow(actor, Action::SignOut, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let Some((kept, _)) = tx.login_token(&TokenHash::of(token.as_bytes())).await? else { return Ok(()) };
    tx.session_end(person.id, kept.id).await?;
    let detail = json!({ "token": kept.id, "name": kept.name });
    app.commit(tx, Record { at: now, actor, action: Action::SignOut, subject, detail }, Outbox::None).await.map(drop)
}

/// Ends one of somebody's sessions or tokens.
pub(crate) async fn end(app: &App, actor: &Actor, email: &Email, id: Uuid) -> Result<(), Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::SessionEnd, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, email).await?;
    if !tx.session_end(person.id, id).await? {
        return Err(Refusal::NotFound("this session has ended already: look at the list again".to_owned()));
    }
    let record = Record { at: now, actor, action: Action::SessionEnd, subject, detail: json!({ "session": id }) };
    app.commit(tx, record, Outbox::None).await.map(drop)
}

/// Ends all of somebody's sessions and tokens, and shuts the window of their devices until they sign in again.
pub(crate) async fn end_all(app: &App, actor: &Actor, email: &Email) -> Result<u64, Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::SessionEnd, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, email).await?;
    let ended = tx.sessions_end(person.id).await?;
    tx.person_update(&Principal { signed_in_until: None, signed_in_at: None, ..person.clone() }).await?;
    let devices = live_devices(&mut tx, person.id).await?;
    let detail = json!({ "ended": ended, "devices": devices });
    let record = Record { at: now, actor, action: Action::SessionEnd, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
    follow_up(app, &committed, devices);
    Ok(ended)
}

/// A session or a token as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shown {
    /// Names it for ending it.
    pub(crate) id: Uuid,
    /// A browser, or a command line.
    pub(crate) what: String,
    /// From where it began, where that is known.
    pub(crate) source: Option<IpAddr>,
    /// When it began.
    pub(crate) created_at: Timestamp,
    /// When it was used last.
    pub(crate) seen_at: Timestamp,
    /// Whether it is the one that asks.
    pub(crate) current: bool,
}

/// Lists a person's own sessions and tokens that count.
pub(crate) async fn list(app: &App, person: &SignedIn, current: &WebSession) -> Result<Vec<Shown>, Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let sessions = read.web_sessions_of(person.id).await?;
    let tokens = read.login_tokens_of(person.id).await?;
    let sessions = sessions.into_iter().filter(|session| session.is_live(now)).map(|session| Shown {
        id: session.id,
        what: session.agent,
        source: session.source.parse().ok(),
        created_at: session.created_at,
        seen_at: session.seen_at,
        current: session.id == current.id,
    });
    let tokens = tokens.into_iter().filter(|token| now < token.expires_at).map(|token| Shown {
        id: token.id,
        what: format!("doorward login, {}", token.name),
        source: None,
        created_at: token.created_at,
        seen_at: token.last_used_at.unwrap_or(token.created_at),
        current: false,
    });
    Ok(sessions.chain(tokens).collect())
}
