//! Signing in: with a passkey, or with a password and a code.

use doorward_domain::{
    Action, Actor, Alert, AlertKind, Principal, SignInMethod, SignedIn, Subject, account_subject, may_sign_in,
};
use doorward_model::{Email, Timestamp};
use doorward_store::{Outbox, WriteTx};
use serde_json::json;
use zeroize::Zeroizing;

use super::passkeys::{self, Finished, Started};
use super::session::{self, Begun};
use super::{Visitor, recovery, totp};
use crate::app::{App, Record, Refusal, alerts, allow};

/// What a ceremony is for.
const KIND: &str = "sign_in";

/// What somebody typed.
pub(crate) struct Typed {
    /// Who they say they are.
    pub(crate) email: String,
    /// The password.
    pub(crate) password: Zeroizing<String>,
    /// A time-based code, or a recovery code.
    pub(crate) code: Zeroizing<String>,
}

/// Begins to ask for a passkey.
pub(crate) async fn passkey_begin(app: &App, visitor: &Visitor) -> Result<Started, Refusal> {
    passkeys::begin_assertion(app, visitor, KIND).await
}

/// Signs in with a passkey. There is nothing to guess, so that a lock of the account or the source does not hold it up.
pub(crate) async fn passkey_finish(app: &App, visitor: &Visitor, finished: Finished) -> Result<Begun, Refusal> {
    let proved = match passkeys::finish_assertion(app, visitor, KIND, finished).await {
        Ok(proved) => proved,
        Err(refusal @ (Refusal::Unauthenticated(_) | Refusal::Refused(_))) => {
            passkey_failed(app, visitor).await?;
            return Err(refusal);
        }
        Err(refusal) => return Err(refusal),
    };
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = tx.person(proved.person.id).await?.filter(|person| may_sign_in(person, now)).ok_or_else(shut_out)?;
    tx.passkey_used(proved.passkey.id, &proved.credential, now).await?;
    commit(app, tx, &person, SignInMethod::Passkey, visitor, now).await
}

/// Signs in with a password and a code.
pub(crate) async fn password(app: &App, visitor: &Visitor, typed: Typed) -> Result<Begun, Refusal> {
    let email: Email = typed.email.trim().parse().map_err(|_| wrong())?;
    let (account, source) = (account_subject(&email), visitor.subject());
    let now = app.clock.now();
    let locks = app.store.attempt_begin(&[&account, &source], now).await??;
    let mut read = app.store.read().await?;
    let person = read.person_by_email(&email).await?;
    let (kept, seed) = match &person {
        Some(person) => (read.password_of(person.id).await?, read.totp_of(person.id).await?),
        None => (None, None),
    };
    drop(read);
    let right = app.accounts.verify(typed.password, kept.as_deref()).await?;
    let failed = async |why: &'static str| fail(app, visitor, Some(&email), why, &locks).await;
    let Some(person) = person.filter(|person| right && may_sign_in(person, now)) else {
        failed("password").await?;
        return Err(wrong());
    };
    let factor = if totp::looks_like_a_code(&typed.code) {
        let step = match seed.map(|seed| app.accounts.check_totp(&seed, &typed.code, now)).transpose() {
            Ok(step) => step.flatten(),
            Err(replayed @ Refusal::Refused(_)) => {
                failed("code used again").await?;
                return Err(replayed);
            }
            Err(broken) => return Err(broken),
        };
        step.map(Factor::Step)
    } else {
        Some(Factor::Recovery(recovery::hash(person.id, &typed.code)))
    };
    let mut tx = app.store.write().await?;
    let counted = match &factor {
        Some(Factor::Step(step)) => tx.totp_use(person.id, *step).await?,
        Some(Factor::Recovery(hash)) => tx.recovery_code_use(person.id, hash, now).await?,
        None => false,
    };
    if !counted {
        drop(tx);
        failed("code").await?;
        return Err(wrong());
    }
    // Read again inside the transaction: a suspension may have come in between.
    let person = tx.person(person.id).await?.filter(|person| may_sign_in(person, now)).ok_or_else(shut_out)?;
    tx.attempt_succeeded(&account, &source).await?;
    let method = match factor {
        Some(Factor::Recovery(_)) => SignInMethod::PasswordRecovery,
        Some(Factor::Step(_)) | None => SignInMethod::PasswordTotp,
    };
    commit(app, tx, &person, method, visitor, now).await
}

enum Factor {
    Step(u64),
    Recovery(doorward_domain::TokenHash),
}

/// Keeps a sign-in, and wakes the gateways for the person's devices.
pub(super) async fn commit(
    app: &App,
    mut tx: WriteTx,
    person: &Principal,
    method: SignInMethod,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<Begun, Refusal> {
    let (subject, signed) = (Subject::Person(person.email.clone()), person);
    let actor = Actor::Person(SignedIn { id: signed.id, email: signed.email.clone(), role: signed.role, fresh: true });
    allow(&actor, Action::SignIn, &subject)?;
    let opened = session::open(app, &mut tx, person, method, visitor, now).await?;
    let detail = json!({
        "method": method.as_str(), "source": visitor.source, "devices": opened.devices,
        "recovery_codes_left": tx.credentials(person.id).await?.recovery_codes,
        "policy_pending": opened.begun.policy_pending,
    });
    let record = Record { at: now, actor: &actor, action: Action::SignIn, subject, detail };
    app.commit(tx, record, Outbox::Devices(opened.devices)).await?;
    Ok(opened.begun)
}

/// Counts a passkey that failed against its source; past the limit it is logged, and the audit stays as it is.
async fn passkey_failed(app: &App, visitor: &Visitor) -> Result<(), Refusal> {
    let begun = app.store.attempt_begin(&[&visitor.subject()], app.clock.now()).await?;
    match begun {
        Ok(locks) => fail(app, visitor, None, "passkey", &locks).await,
        Err(_) => {
            tracing::info!(source = %visitor.source, "a passkey failed again");
            Ok(())
        }
    }
}

/// Writes a failure down, and a lock where it was one too many.
pub(super) async fn fail(
    app: &App,
    visitor: &Visitor,
    email: Option<&Email>,
    why: &str,
    locks: &[String],
) -> Result<(), Refusal> {
    let now = app.clock.now();
    let subject = || email.map_or(Subject::Everything, |email| Subject::Person(email.clone()));
    let write = async |action, detail| {
        let tx = app.store.write().await?;
        let record = Record { at: now, actor: &Actor::System, action, subject: subject(), detail };
        app.commit(tx, record, Outbox::None).await.map(drop)
    };
    write(Action::SignInFail, json!({ "source": visitor.source, "what": why })).await?;
    for lock in locks {
        write(Action::SignInLock, json!({ "source": visitor.source, "locked": lock })).await?;
        let message = format!(
            "{lock} is locked for 30 minutes after too many wrong attempts, the last from {}: ask whether it was them",
            visitor.source
        );
        let alert = Alert {
            at: now,
            kind: AlertKind::SignInLocked,
            gateway: None,
            device: None,
            email: email.cloned(),
            source: None,
            message,
            count: 1,
        };
        alerts::raise(app, alert).await;
    }
    Ok(())
}

/// One sentence for every mismatch, so that it tells nobody which part was right.
pub(super) fn wrong() -> Refusal {
    Refusal::Unauthenticated("that did not match: check the address, the password and the code".to_owned())
}

pub(super) fn shut_out() -> Refusal {
    Refusal::Refused("you cannot sign in at the moment: ask whoever gave you access".to_owned())
}
