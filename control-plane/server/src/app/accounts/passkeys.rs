//! Passkeys (WebAuthn Level 3): registered with user verification and as discoverable credentials, so that a sign-in
//! needs no address; an assertion whose counter went back is a copy, and ends the passkey.

use doorward_domain::{Action, Actor, Alert, AlertKind, PASSKEYS_MAX, Principal, StoredPasskey, Subject, TokenHash};
use doorward_model::{Email, PersonName, PrincipalId, Timestamp};
use doorward_store::{NewCeremony, Outbox};
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;
use webauthn_rs::prelude::{
    CredentialID, DiscoverableAuthentication, Passkey, PasskeyRegistration, PublicKeyCredential,
    RegisterPublicKeyCredential, WebauthnError,
};

use super::Visitor;
use super::site::RelyingParty;
use crate::app::secret::fresh_secret;
use crate::app::{App, Record, Refusal, alerts};

/// How long a ceremony may take: a phone has to be found and unlocked.
const CEREMONY_MAX: SignedDuration = SignedDuration::from_mins(5);
/// Longest secret of a ceremony that is looked up.
const SECRET_BYTES_MAX: usize = 64;
/// Longest name of a passkey, in characters.
const NAME_CHARS_MAX: usize = 60;

/// The begin of a ceremony, for the browser.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Started {
    /// Names the ceremony at its end.
    ceremony: String,
    /// What `navigator.credentials` takes.
    options: Value,
}

/// The end of a ceremony, from the browser.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Finished {
    /// As it began.
    pub(crate) ceremony: String,
    /// What `navigator.credentials` gave.
    pub(crate) credential: Value,
}

/// Who gets a passkey.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Registrant {
    pub(super) id: PrincipalId,
    pub(super) email: Email,
    pub(super) name: PersonName,
}

/// What is kept between begin and end.
#[derive(Serialize, Deserialize)]
struct Kept<T> {
    rp_id: String,
    state: T,
    who: Option<Registrant>,
}

/// A passkey that just proved itself.
pub(super) struct Proved {
    pub(super) person: Principal,
    pub(super) passkey: StoredPasskey,
    /// Its public half with the counter as it is afterwards.
    pub(super) credential: String,
}

/// Begins to register a passkey.
pub(super) async fn begin_registration(
    app: &App,
    visitor: &Visitor,
    kind: &str,
    who: Registrant,
    has: &[StoredPasskey],
) -> Result<Started, Refusal> {
    let party = relying(app, visitor)?;
    if has.len() >= PASSKEYS_MAX {
        return Err(Refusal::Invalid(format!("{PASSKEYS_MAX} passkeys are enough: remove one first")));
    }
    let exclude: Vec<CredentialID> = has.iter().map(|passkey| passkey.credential_id.clone()).collect();
    let begun =
        party.webauthn.start_passkey_registration(who.id.uuid(), who.email.as_str(), who.name.as_str(), Some(exclude));
    let (options, state) = begun.map_err(|error| unusable(&error))?;
    let mut options = json_of(&options)?;
    // A discoverable credential lets people sign in without typing who they are (Level 3, section 6.2.2).
    if let Some(selection) = options.pointer_mut("/publicKey/authenticatorSelection").and_then(Value::as_object_mut) {
        selection.insert("residentKey".to_owned(), json!("required"));
        selection.insert("requireResidentKey".to_owned(), json!(true));
    }
    begin(app, kind, Kept { rp_id: party.id.clone(), state, who: Some(who) }, options).await
}

/// Ends a registration; the caller keeps the passkey in its own transaction.
pub(super) async fn finish_registration(
    app: &App,
    visitor: &Visitor,
    kind: &str,
    finished: Finished,
) -> Result<(Registrant, StoredPasskey), Refusal> {
    let party = relying(app, visitor)?;
    let now = app.clock.now();
    let kept: Kept<PasskeyRegistration> = take(app, kind, &finished.ceremony, party, now).await?;
    let who = kept.who.ok_or_else(lapsed)?;
    let credential: RegisterPublicKeyCredential = parsed(finished.credential)?;
    let registered = party.webauthn.finish_passkey_registration(&credential, &kept.state);
    let passkey = registered.map_err(|error| {
        tracing::info!(%error, source = %visitor.source, "a passkey was not registered");
        Refusal::Invalid(
            "this passkey cannot be used: it has to ask for your finger, face or PIN, and to be made on this page"
                .to_owned(),
        )
    })?;
    let stored = StoredPasskey {
        id: Uuid::now_v7(),
        principal: who.id,
        credential_id: passkey.cred_id().to_vec(),
        rp_id: party.id.clone(),
        name: named_after(&visitor.agent),
        credential: text_of(&passkey)?,
        created_at: now,
        last_used_at: None,
        refused_at: None,
    };
    Ok((who, stored))
}

/// Begins to ask for a passkey, whosever it is.
pub(super) async fn begin_assertion(app: &App, visitor: &Visitor, kind: &str) -> Result<Started, Refusal> {
    let party = relying(app, visitor)?;
    let (options, state) = party.webauthn.start_discoverable_authentication().map_err(|error| unusable(&error))?;
    begin(app, kind, Kept { rp_id: party.id.clone(), state, who: None }, json_of(&options)?).await
}

/// Ends it: says whose passkey it was, unless it does not count.
pub(super) async fn finish_assertion(
    app: &App,
    visitor: &Visitor,
    kind: &str,
    finished: Finished,
) -> Result<Proved, Refusal> {
    let party = relying(app, visitor)?;
    let now = app.clock.now();
    let kept: Kept<DiscoverableAuthentication> = take(app, kind, &finished.ceremony, party, now).await?;
    let credential: PublicKeyCredential = parsed(finished.credential)?;
    let identified = party.webauthn.identify_discoverable_authentication(&credential);
    let (user, credential_id) = identified.map_err(|_| unknown())?;
    let mut read = app.store.read().await?;
    let found = read.passkey_named(credential_id).await?;
    let passkey = found.filter(|it| it.principal.uuid() == user && it.rp_id == party.id).ok_or_else(unknown)?;
    let person = read.person(passkey.principal).await?.ok_or_else(unknown)?;
    drop(read);
    if passkey.refused_at.is_some() {
        return Err(Refusal::Refused(
            "this passkey is refused, because a copy of it was used: use another one, or ask an admin for an invitation"
                .to_owned(),
        ));
    }
    let mut public: Passkey = serde_json::from_str(&passkey.credential)
        .map_err(|error| Refusal::Internal(format!("a passkey cannot be read: {error}")))?;
    match party.webauthn.finish_discoverable_authentication_v2(&credential, kept.state, &public) {
        Ok(result) => {
            public.update_credential(&result);
            Ok(Proved { person, passkey, credential: text_of(&public)? })
        }
        Err(WebauthnError::CredentialPossibleCompromise) => {
            refuse_copied(app, &person, &passkey, visitor, now).await?;
            Err(Refusal::Refused(
                "this passkey was copied: it is refused from now on, and your admins are told; use another one"
                    .to_owned(),
            ))
        }
        Err(error) => {
            tracing::info!(%error, source = %visitor.source, "a passkey did not prove itself");
            Err(unknown())
        }
    }
}

async fn refuse_copied(
    app: &App,
    person: &Principal,
    passkey: &StoredPasskey,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<(), Refusal> {
    let mut tx = app.store.write().await?;
    tx.passkey_refuse(passkey.id, now).await?;
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::CredentialRefuse,
        subject: Subject::Person(person.email.clone()),
        detail: json!({ "passkey": passkey.name, "source": visitor.source, "why": "its counter went back" }),
    };
    app.commit(tx, record, Outbox::None).await?;
    let message = format!(
        "a passkey of {} was used whose counter had gone back, which means a copy: it is refused; ask them whether it was them",
        person.email
    );
    let alert = Alert {
        at: now,
        kind: AlertKind::PasskeyCopied,
        gateway: None,
        device: None,
        email: Some(person.email.clone()),
        source: None,
        message,
        count: 1,
    };
    alerts::raise(app, alert).await;
    Ok(())
}

/// Says whether to ask somebody for a passkey: they have none, and browsers take one at this address.
pub(crate) async fn is_wanted(app: &App, visitor: &Visitor, actor: &Actor) -> Result<bool, Refusal> {
    let Actor::Person(person) = actor else { return Ok(false) };
    let local = visitor.host.eq_ignore_ascii_case("localhost");
    if app.accounts.site.relying(&visitor.host).is_none() || !(local || app.certificates.is_trusted()) {
        return Ok(false);
    }
    Ok(app.store.read().await?.passkeys_of(person.id).await?.is_empty())
}

fn relying<'a>(app: &'a App, visitor: &Visitor) -> Result<&'a RelyingParty, Refusal> {
    app.accounts.site.relying(&visitor.host).ok_or_else(|| {
        Refusal::Invalid(
            "passkeys do not work at this address: browsers bind them to the name in `[server] url`, with a certificate they trust; use a password and a code"
                .to_owned(),
        )
    })
}

async fn begin<T: Serialize>(app: &App, kind: &str, kept: Kept<T>, options: Value) -> Result<Started, Refusal> {
    let secret = fresh_secret()?;
    let now = app.clock.now();
    let new = NewCeremony {
        hash: TokenHash::of(secret.as_bytes()),
        kind,
        principal: None,
        state: &text_of(&kept)?,
        expires_at: now.checked_add(CEREMONY_MAX).unwrap_or(Timestamp::MAX),
    };
    app.store.ceremony_begin(new, now).await?;
    Ok(Started { ceremony: secret.to_string(), options })
}

async fn take<T: DeserializeOwned>(
    app: &App,
    kind: &str,
    secret: &str,
    party: &RelyingParty,
    now: Timestamp,
) -> Result<Kept<T>, Refusal> {
    if secret.len() > SECRET_BYTES_MAX {
        return Err(lapsed());
    }
    let taken = app.store.ceremony_take(&TokenHash::of(secret.as_bytes()), kind, now).await?.ok_or_else(lapsed)?;
    let kept: Kept<T> = serde_json::from_str(&taken.state).map_err(|_| lapsed())?;
    if kept.rp_id == party.id { Ok(kept) } else { Err(lapsed()) }
}

fn lapsed() -> Refusal {
    Refusal::Invalid("this took too long or was done already: press the button again".to_owned())
}

fn unknown() -> Refusal {
    Refusal::Unauthenticated("this passkey is not known here: use another one, or your password and code".to_owned())
}

fn unusable(error: &WebauthnError) -> Refusal {
    Refusal::Internal(format!("a passkey could not be asked for: {error}"))
}

fn parsed<T: DeserializeOwned>(credential: Value) -> Result<T, Refusal> {
    serde_json::from_value(credential)
        .map_err(|_| Refusal::Invalid("the browser sent no passkey: load the page again and retry".to_owned()))
}

fn json_of(value: &impl Serialize) -> Result<Value, Refusal> {
    serde_json::to_value(value).map_err(|error| Refusal::Internal(format!("a passkey could not be written: {error}")))
}

fn text_of(value: &impl Serialize) -> Result<String, Refusal> {
    serde_json::to_string(value).map_err(|error| Refusal::Internal(format!("a passkey could not be written: {error}")))
}

/// A first name for a passkey: the system it was made on, as far as the browser says.
fn named_after(agent: &str) -> String {
    let systems = [
        ("iPhone", "iPhone"),
        ("iPad", "iPad"),
        ("Android", "Android"),
        ("Mac OS", "Mac"),
        ("Windows", "Windows"),
        ("CrOS", "Chromebook"),
        ("Linux", "Linux"),
    ];
    let found = systems.iter().find(|(mark, _)| agent.contains(mark)).map_or("Passkey", |(_, name)| name);
    found.chars().take(NAME_CHARS_MAX).collect()
}
