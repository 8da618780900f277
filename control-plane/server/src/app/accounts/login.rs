//! `doorward login`: a command line that acts for a person, with a token that ends by itself and with the person's sessions.
//!
//! Two ways, both confirmed in a browser where the person is signed in: the browser hands a code to the command line's own
//! loopback port (RFC 8252 with PKCE), or the person types a short code that the command line shows (RFC 8628).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{
    Action, Actor, LOGIN_TOKEN_MAX, LoginToken, SignedIn, Subject, TokenHash, WebSession, may_sign_in,
};
use doorward_model::{PrincipalId, Timestamp};
use doorward_store::{NewCeremony, Outbox};
use jiff::SignedDuration;
use rand::TryRng as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::proved;
use super::session::LOGIN_PREFIX;
use crate::api::{LoginDevice, LoginMade};
use crate::app::secret::fresh_secret;
use crate::app::{App, Record, Refusal, allow};

/// How long a code may travel from the browser to the loopback port.
const CODE_MAX: SignedDuration = SignedDuration::from_mins(2);
/// How long a short code may take to be typed.
const DEVICE_MAX: SignedDuration = SignedDuration::from_mins(10);
/// Longest secret that is looked up.
const SECRET_BYTES_MAX: usize = 64;
/// Longest name of a machine, in characters.
const NAME_CHARS_MAX: usize = 60;
/// Seconds between two questions of a command line that waits.
const INTERVAL_SECONDS: u64 = 3;
/// Letters of a short code: no vowels, so that it spells nothing, and none that are mistaken for one another.
const LETTERS: &[u8; 20] = b"BCDFGHJKLMNPQRSTVWXZ";
/// Characters of a short code: 34 bits, of use for ten minutes to somebody who is signed in.
const LETTERS_COUNT: usize = 8;

const CODE: &str = "login code";
const WAITING: &str = "login waiting";
const TYPED: &str = "login typed";
const APPROVED: &str = "login approved";

/// Who lets which command line act for them.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Approval {
    person: PrincipalId,
    name: String,
    /// The PKCE challenge; none where the command line waits with its own secret.
    challenge: Option<String>,
    factor_at: Timestamp,
}

/// A command line that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Waiting {
    name: String,
    /// The hash of the secret that it waits with.
    hash: String,
}

/// Lets a command line act: returns the code that its loopback port takes.
pub(crate) async fn approve(
    app: &App,
    person: &SignedIn,
    session: &WebSession,
    challenge: &str,
    name: &str,
) -> Result<String, Refusal> {
    allowed(person)?;
    if URL_SAFE_NO_PAD.decode(challenge).map(|bytes| bytes.len()) != Ok(32) {
        return Err(Refusal::Invalid("this address is not complete: run `doorward login` again".to_owned()));
    }
    let secret = fresh_secret()?;
    let approval = Approval {
        person: person.id,
        name: shortened(name),
        challenge: Some(challenge.to_owned()),
        factor_at: session.factor_at,
    };
    keep(app, CODE, &TokenHash::of(secret.as_bytes()), Some(person.id), &approval, CODE_MAX).await?;
    Ok(secret.to_string())
}

/// Trades that code for a token.
pub(crate) async fn redeem(app: &App, code: &str, verifier: &str) -> Result<LoginMade, Refusal> {
    if code.len() > SECRET_BYTES_MAX {
        return Err(lapsed());
    }
    let approval: Approval = take(app, CODE, &TokenHash::of(code.as_bytes())).await?;
    let given = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    let expected = approval.challenge.clone().unwrap_or_default();
    if !bool::from(given.as_bytes().ct_eq(expected.as_bytes())) {
        return Err(lapsed());
    }
    issue(app, approval).await
}

/// Begins to wait for somebody who types a short code.
pub(crate) async fn wait(app: &App, name: &str) -> Result<LoginDevice, Refusal> {
    let (secret, user_code) = (fresh_secret()?, short_code()?);
    let hash = TokenHash::of(secret.as_bytes());
    let waiting = Waiting { name: shortened(name), hash: hex::encode(hash.0) };
    keep(app, WAITING, &hash, None, &waiting, DEVICE_MAX).await?;
    keep(app, TYPED, &typed_hash(&user_code), None, &waiting, DEVICE_MAX).await?;
    let (first, second) = user_code.split_at(LETTERS_COUNT / 2);
    Ok(LoginDevice {
        device_code: secret.to_string(),
        user_code: format!("{first}-{second}"),
        url: app.accounts.site.link("/login/device"),
        interval_seconds: INTERVAL_SECONDS,
        expires_at: app.clock.now().checked_add(DEVICE_MAX).unwrap_or(Timestamp::MAX),
    })
}

/// Lets the command line that shows this short code act; returns what it calls itself.
pub(crate) async fn approve_typed(
    app: &App,
    person: &SignedIn,
    session: &WebSession,
    typed: &str,
) -> Result<String, Refusal> {
    allowed(person)?;
    let waiting: Waiting = take(app, TYPED, &typed_hash(typed)).await.map_err(|refusal| match refusal {
        Refusal::Invalid(_) => Refusal::Invalid(
            "no command line shows this code: check it, or run `doorward login --device` again".to_owned(),
        ),
        Refusal::NotFound(_)
        | Refusal::Conflict(_)
        | Refusal::Refused(_)
        | Refusal::FreshFactorNeeded(_)
        | Refusal::Unauthenticated(_)
        | Refusal::Unavailable(_)
        | Refusal::Internal(_) => refusal,
    })?;
    let approval = Approval { person: person.id, name: waiting.name, challenge: None, factor_at: session.factor_at };
    keep(app, APPROVED, &approved_hash(&waiting.hash), Some(person.id), &approval, CODE_MAX).await?;
    Ok(approval.name)
}

/// Asks whether somebody typed the code; nothing while they did not.
pub(crate) async fn poll(app: &App, device_code: &str) -> Result<Option<LoginMade>, Refusal> {
    if device_code.len() > SECRET_BYTES_MAX {
        return Err(lapsed());
    }
    let hash = TokenHash::of(device_code.as_bytes());
    match take::<Approval>(app, APPROVED, &approved_hash(&hex::encode(hash.0))).await {
        Ok(approval) => {
            take::<Waiting>(app, WAITING, &hash).await?;
            issue(app, approval).await.map(Some)
        }
        Err(Refusal::Invalid(_)) => {
            let waits = app.store.read().await?.ceremony_waits(&hash, WAITING, app.clock.now()).await?;
            if waits { Ok(None) } else { Err(lapsed()) }
        }
        Err(refusal) => Err(refusal),
    }
}

async fn issue(app: &App, approval: Approval) -> Result<LoginMade, Refusal> {
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let found = tx.person(approval.person).await?.filter(|person| may_sign_in(person, now));
    let person = found.ok_or_else(lapsed)?;
    let (actor, subject) = (proved(person.id, &person.email, person.role), Subject::Person(person.email.clone()));
    allow(&actor, Action::LoginAdd, &subject)?;
    let token = format!("{LOGIN_PREFIX}{}", fresh_secret()?.as_str());
    let kept = LoginToken {
        id: Uuid::now_v7(),
        principal: person.id,
        name: approval.name,
        created_at: now,
        expires_at: now.checked_add(LOGIN_TOKEN_MAX).unwrap_or(Timestamp::MAX),
        factor_at: approval.factor_at,
        last_used_at: None,
    };
    tx.login_token_add(&TokenHash::of(token.as_bytes()), &kept).await?;
    let detail = json!({ "id": kept.id, "name": kept.name, "expires_at": kept.expires_at });
    app.commit(tx, Record { at: now, actor: &actor, action: Action::LoginAdd, subject, detail }, Outbox::None).await?;
    Ok(LoginMade { email: person.email, token, expires_at: kept.expires_at })
}

fn allowed(person: &SignedIn) -> Result<(), Refusal> {
    allow(&Actor::Person(person.clone()), Action::LoginAdd, &Subject::Person(person.email.clone()))
}

fn shortened(name: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_ascii_graphic()).take(NAME_CHARS_MAX).collect();
    if name.is_empty() { "a command line".to_owned() } else { name }
}

fn short_code() -> Result<String, Refusal> {
    let mut code = String::with_capacity(LETTERS_COUNT);
    while code.len() < LETTERS_COUNT {
        let mut byte = [0_u8; 1];
        rand::rngs::SysRng
            .try_fill_bytes(&mut byte)
            .map_err(|error| Refusal::Internal(format!("the system gave no randomness: {error}")))?;
        // 240 is the largest multiple of 20 that fits: what is above would make some letters likelier.
        if let [value @ 0..240] = byte
            && let Some(letter) = LETTERS.get(usize::from(value % 20))
        {
            code.push(char::from(*letter));
        }
    }
    Ok(code)
}

fn typed_hash(typed: &str) -> TokenHash {
    let letters = typed.chars().filter(char::is_ascii_alphabetic).map(|c| c.to_ascii_uppercase());
    let text: String = letters.take(LETTERS_COUNT * 2).collect();
    TokenHash::of(format!("login code {text}").as_bytes())
}

fn approved_hash(waiting: &str) -> TokenHash {
    TokenHash::of(format!("approved {waiting}").as_bytes())
}

async fn keep(
    app: &App,
    kind: &str,
    hash: &TokenHash,
    principal: Option<PrincipalId>,
    state: &impl Serialize,
    lasts: SignedDuration,
) -> Result<(), Refusal> {
    let state = serde_json::to_string(state)
        .map_err(|error| Refusal::Internal(format!("a login could not be begun: {error}")))?;
    let now = app.clock.now();
    let expires_at = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
    let new = NewCeremony { hash: *hash, kind, principal, state: &state, expires_at };
    Ok(app.store.ceremony_begin(new, now).await?)
}

async fn take<T: DeserializeOwned>(app: &App, kind: &str, hash: &TokenHash) -> Result<T, Refusal> {
    let taken = app.store.ceremony_take(hash, kind, app.clock.now()).await?.ok_or_else(lapsed)?;
    serde_json::from_str(&taken.state).map_err(|_| lapsed())
}

fn lapsed() -> Refusal {
    Refusal::Invalid("this login took too long, or was used already: run `doorward login` again".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_code_is_read_as_it_is_typed() {
        let code = short_code().unwrap();
        assert_eq!(code.len(), LETTERS_COUNT);
        let (first, second) = code.split_at(4);
        assert_eq!(typed_hash(&code), typed_hash(&format!(" {}-{} ", first.to_lowercase(), second)));
        assert_ne!(typed_hash(&code), typed_hash(first));
    }

    #[test]
    fn a_machine_cannot_name_itself_with_line_breaks() {
        assert_eq!(shortened("lap\ntop\u{202e}"), "laptop");
        assert_eq!(shortened("\n"), "a command line");
    }
}
