//! Proving a second factor again: for what needs a fresh one, and to open the window of one's devices again without
//! signing out first. A proof of presence is what a window counts from, whatever it was given for.

use doorward_domain::{Action, Actor, SignedIn, Subject, WebSession, account_subject, may_sign_in, signed_in};
use doorward_model::Timestamp;
use doorward_store::{Outbox, WriteTx};
use serde_json::json;

use super::passkeys::{self, Finished, Started};
use super::sign_in::{fail, shut_out};
use super::{Visitor, policy, provider, recovery, totp};
use crate::app::find::live_devices;
use crate::app::{App, Record, Refusal, allow};

/// Begins to ask for a passkey.
pub(crate) async fn passkey_begin(app: &App, visitor: &Visitor, session: &WebSession) -> Result<Started, Refusal> {
    passkeys::begin_assertion(app, visitor, &kind(session)).await
}

/// Takes a passkey of the person whose session it is.
pub(crate) async fn passkey_finish(
    app: &App,
    visitor: &Visitor,
    person: &SignedIn,
    session: &WebSession,
    finished: Finished,
) -> Result<(), Refusal> {
    let proved = passkeys::finish_assertion(app, visitor, &kind(session), finished).await?;
    if proved.person.id != person.id {
        let sentence = format!("this passkey is another person's: use one of {}", person.email);
        return Err(Refusal::Refused(sentence));
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    tx.passkey_used(proved.passkey.id, &proved.credential, now).await?;
    commit(app, tx, person, session, "passkey", now).await
}

/// Takes a time-based code, or a recovery code.
pub(crate) async fn code(
    app: &App,
    visitor: &Visitor,
    person: &SignedIn,
    session: &WebSession,
    typed: &str,
) -> Result<(), Refusal> {
    let (account, source) = (account_subject(&person.email), visitor.subject());
    let now = app.clock.now();
    let locks = app.store.attempt_begin(&[&account, &source], now).await??;
    let seed = app.store.read().await?.totp_of(person.id).await?;
    let wrong = || Refusal::Invalid("this code does not fit: type the one that the app shows now".to_owned());
    let step = if totp::looks_like_a_code(typed) {
        match seed.map(|seed| app.accounts.check_totp(&seed, typed, now)).transpose() {
            Ok(step) => step.flatten(),
            Err(replayed) => {
                fail(app, visitor, Some(&person.email), "code used again", &locks).await?;
                return Err(replayed);
            }
        }
    } else {
        None
    };
    let mut tx = app.store.write().await?;
    let counted = match step {
        Some(step) => tx.totp_use(person.id, step).await?,
        None if totp::looks_like_a_code(typed) => false,
        None => tx.recovery_code_use(person.id, &recovery::hash(person.id, typed), now).await?,
    };
    if !counted {
        drop(tx);
        fail(app, visitor, Some(&person.email), "code", &locks).await?;
        return Err(wrong());
    }
    tx.attempt_succeeded(&account, &source).await?;
    commit(app, tx, person, session, "code", now).await
}

fn kind(session: &WebSession) -> String {
    format!("step_up:{}", session.id)
}

async fn commit(
    app: &App,
    mut tx: WriteTx,
    person: &SignedIn,
    session: &WebSession,
    method: &str,
    now: Timestamp,
) -> Result<(), Refusal> {
    let actor = Actor::Person(person.clone());
    let subject = Subject::Person(person.email.clone());
    allow(&actor, Action::StepUp, &subject)?;
    tx.web_session_factor(session.id, now).await?;
    let held = tx.person(person.id).await?.filter(|held| may_sign_in(held, now)).ok_or_else(shut_out)?;
    let policy_pending = policy::is_pending(app, &mut tx, &held).await?;
    let mut devices = Vec::new();
    if policy_pending {
        tx.web_session_policy(session.id, true).await?;
    } else if let Some(at) = provider::opens_at(app, &mut tx, &held, session, now).await? {
        tx.person_update(&signed_in(&held, app.terms.sign_in_window, at)).await?;
        devices = live_devices(&mut tx, held.id).await?;
    }
    let detail =
        json!({ "method": method, "session": session.id, "devices": devices, "policy_pending": policy_pending });
    let record = Record { at: now, actor: &actor, action: Action::StepUp, subject, detail };
    app.commit(tx, record, Outbox::Devices(devices)).await.map(drop)
}
