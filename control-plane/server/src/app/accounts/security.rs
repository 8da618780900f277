//! One's own credentials: what there is, and adding, replacing and removing it with a fresh factor.

use doorward_domain::{Action, Actor, Credentials, SignedIn, StoredPasskey, Subject, WebSession, check_password};
use doorward_model::Timestamp;
use doorward_store::{Outbox, WriteTx};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::passkeys::{self, Finished, Registrant, Started};
use super::{NewTotp, RecoveryCodes, Visitor, recovery};
use crate::app::{App, Record, Refusal, allow};

/// What somebody can sign in with.
pub(crate) struct Own {
    pub(crate) credentials: Credentials,
    pub(crate) passkeys: Vec<StoredPasskey>,
}

/// Lists it.
pub(crate) async fn own(app: &App, person: &SignedIn) -> Result<Own, Refusal> {
    let mut read = app.store.read().await?;
    Ok(Own { credentials: read.credentials(person.id).await?, passkeys: read.passkeys_of(person.id).await? })
}

/// Begins to add a passkey.
pub(crate) async fn passkey_begin(
    app: &App,
    visitor: &Visitor,
    person: &SignedIn,
    session: &WebSession,
) -> Result<Started, Refusal> {
    allowed(person, Action::CredentialAdd)?;
    let mut read = app.store.read().await?;
    let found = read.person(person.id).await?;
    let name = found.ok_or_else(|| Refusal::NotFound("you are not known here any more".to_owned()))?.name;
    let has = read.passkeys_of(person.id).await?;
    drop(read);
    let who = Registrant { id: person.id, email: person.email.clone(), name };
    passkeys::begin_registration(app, visitor, &kind(session), who, &has).await
}

/// Adds a passkey.
pub(crate) async fn passkey_finish(
    app: &App,
    visitor: &Visitor,
    person: &SignedIn,
    session: &WebSession,
    finished: Finished,
) -> Result<(), Refusal> {
    allowed(person, Action::CredentialAdd)?;
    let (who, passkey) = passkeys::finish_registration(app, visitor, &kind(session), finished).await?;
    if who.id != person.id {
        return Err(Refusal::Refused("this registration is another person's".to_owned()));
    }
    let detail = json!({ "passkey": passkey.name, "id": passkey.id });
    let mut tx = app.store.write().await?;
    tx.passkey_add(&passkey).await?;
    commit(app, tx, person, Action::CredentialAdd, detail, app.clock.now()).await
}

/// Removes a passkey, unless nothing would be left to sign in with.
pub(crate) async fn passkey_remove(app: &App, person: &SignedIn, id: Uuid) -> Result<(), Refusal> {
    allowed(person, Action::CredentialRemove)?;
    let mut tx = app.store.write().await?;
    tx.passkey_remove(person.id, id).await?;
    if !tx.credentials(person.id).await?.suffice() {
        return Err(Refusal::Conflict(
            "this is the last thing that you can sign in with: add another passkey, or a password and a code, first"
                .to_owned(),
        ));
    }
    commit(app, tx, person, Action::CredentialRemove, json!({ "id": id }), app.clock.now()).await
}

/// Makes a seed for the page.
pub(crate) fn seed(
    app: &App,
    person: &SignedIn,
    session: &WebSession,
    sealed: Option<&str>,
) -> Result<NewTotp, Refusal> {
    let (account, purpose) = (person.email.as_str(), purpose(session));
    let again = sealed.and_then(|sealed| app.accounts.same_totp(sealed, account, &purpose).ok());
    again.map_or_else(|| app.accounts.new_totp(account, &purpose), Ok)
}

/// Sets a password, in place of an earlier one; whoever is signed in elsewhere is put out.
pub(crate) async fn password(
    app: &App,
    person: &SignedIn,
    session: &WebSession,
    password: Zeroizing<String>,
    repeated: &Zeroizing<String>,
) -> Result<(), Refusal> {
    allowed(person, Action::CredentialAdd)?;
    if password != *repeated {
        return Err(Refusal::Invalid("the two passwords differ: type the same one twice".to_owned()));
    }
    check_password(&password, &person.email)?;
    let hash = app.accounts.hash(password).await?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    tx.password_set(person.id, &hash, now).await?;
    tx.sessions_end_but(person.id, session.id).await?;
    commit(app, tx, person, Action::CredentialAdd, json!({ "what": "password" }), now).await
}

/// Sets up time-based codes, in place of earlier ones; returns fresh recovery codes.
pub(crate) async fn totp(
    app: &App,
    person: &SignedIn,
    session: &WebSession,
    sealed: &str,
    code: &str,
) -> Result<RecoveryCodes, Refusal> {
    allowed(person, Action::CredentialAdd)?;
    let now = app.clock.now();
    let proved = app.accounts.prove_totp(sealed, code, &purpose(session), now)?;
    let kept = app.accounts.keep_totp(&proved, person.id, now)?;
    let mut tx = app.store.write().await?;
    tx.totp_set(&kept).await?;
    tx.sessions_end_but(person.id, session.id).await?;
    let codes = fresh_codes(&mut tx, person, now).await?;
    commit(app, tx, person, Action::CredentialAdd, json!({ "what": "codes and recovery codes" }), now).await?;
    Ok(codes)
}

/// Makes fresh recovery codes; earlier ones count for nothing.
pub(crate) async fn recovery_codes(app: &App, person: &SignedIn) -> Result<RecoveryCodes, Refusal> {
    allowed(person, Action::CredentialAdd)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let codes = fresh_codes(&mut tx, person, now).await?;
    commit(app, tx, person, Action::CredentialAdd, json!({ "what": "recovery codes" }), now).await?;
    Ok(codes)
}

async fn fresh_codes(tx: &mut WriteTx, person: &SignedIn, now: Timestamp) -> Result<RecoveryCodes, Refusal> {
    let codes = recovery::fresh()?;
    let hashes: Vec<_> = codes.iter().map(|code| recovery::hash(person.id, code)).collect();
    tx.recovery_codes_set(person.id, &hashes, now).await?;
    Ok(codes)
}

fn kind(session: &WebSession) -> String {
    format!("add:{}", session.id)
}

fn purpose(session: &WebSession) -> String {
    format!("totp of session {}", session.id)
}

fn allowed(person: &SignedIn, action: Action) -> Result<(), Refusal> {
    allow(&Actor::Person(person.clone()), action, &Subject::Person(person.email.clone()))
}

async fn commit(
    app: &App,
    tx: WriteTx,
    person: &SignedIn,
    action: Action,
    detail: Value,
    now: Timestamp,
) -> Result<(), Refusal> {
    let (actor, subject) = (Actor::Person(person.clone()), Subject::Person(person.email.clone()));
    app.commit(tx, Record { at: now, actor: &actor, action, subject, detail }, Outbox::None).await.map(drop)
}
