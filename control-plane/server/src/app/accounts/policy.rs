//! The access policy: accepted at the first sign-in, and again when its text is another one. Until then a sign-in opens
//! nothing: no page, no API, and no device's window. Proving a factor again opens the window too, and asks for the same.

use doorward_domain::{Action, Actor, Principal, SignedIn, Subject, WebSession, may_sign_in, signed_in};
use doorward_model::Timestamp;
use doorward_store::{Outbox, WriteTx};
use serde_json::json;

use super::provider;
use super::sign_in::shut_out;
use crate::app::find::live_devices;
use crate::app::{App, Record, Refusal, allow};

/// Says whether somebody has yet to accept the policy as it is.
pub(super) async fn is_pending(app: &App, tx: &mut WriteTx, person: &Principal) -> Result<bool, Refusal> {
    Ok(tx.policy_accepted(person.id, &app.accounts.policy.version).await?.is_none())
}

/// Refuses who did not accept the policy as it is; `accepts` is the version that they read.
pub(super) fn require_accepted(app: &App, accepts: Option<&str>) -> Result<(), Refusal> {
    match accepts {
        Some(version) if version == app.accounts.policy.version => Ok(()),
        Some(_) => {
            Err(Refusal::Conflict("the access policy has changed meanwhile: read it and accept it again".to_owned()))
        }
        None => Err(Refusal::Invalid("read the access policy and tick that you accept it".to_owned())),
    }
}

/// When somebody accepted the policy as it is.
pub(crate) async fn accepted_at(app: &App, person: &SignedIn) -> Result<Option<Timestamp>, Refusal> {
    Ok(app.store.read().await?.policy_accepted(person.id, &app.accounts.policy.version).await?)
}

/// Accepts it: the session counts from here on, and the person's window opens.
pub(crate) async fn accept(
    app: &App,
    person: &SignedIn,
    session: &WebSession,
    accepts: Option<&str>,
) -> Result<(), Refusal> {
    require_accepted(app, accepts)?;
    let version = &app.accounts.policy.version;
    let (actor, subject) = (Actor::Person(person.clone()), Subject::Person(person.email.clone()));
    allow(&actor, Action::PolicyAccept, &subject)?;
    if !session.policy_pending {
        return Ok(());
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = tx.person(person.id).await?.filter(|person| may_sign_in(person, now)).ok_or_else(shut_out)?;
    tx.policy_accept(person.id, version, now).await?;
    tx.web_session_policy(session.id, false).await?;
    let mut devices = Vec::new();
    if let Some(at) = provider::opens_at(app, &mut tx, &person, session, now).await? {
        tx.person_update(&signed_in(&person, app.terms.sign_in_window, at)).await?;
        devices = live_devices(&mut tx, person.id).await?;
    }
    let detail = json!({ "version": version, "devices": devices });
    let record = Record { at: now, actor: &actor, action: Action::PolicyAccept, subject, detail };
    app.commit(tx, record, Outbox::Devices(devices)).await.map(drop)
}
