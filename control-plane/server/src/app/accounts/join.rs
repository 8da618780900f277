//! Joining through a link: the first owner, invited people, and whoever has to get in again.
//!
//! One transaction uses the link up, replaces what the person could sign in with before, notes that they accepted the
//! access policy, and begins their session.

use doorward_domain::{
    Action, Actor, InvitationKind, NewPrincipal, Principal, PrincipalKind, Role, SignInMethod, StoredPasskey, Subject,
    check_invitation, check_password, may_sign_in,
};
use doorward_model::{Email, PersonName, PrincipalId, Timestamp};
use doorward_store::{Outbox, WriteTx};
use serde_json::{Value, json};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::invite::{self, OpenLink};
use super::passkeys::{self, Finished, Registrant, Started};
use super::provider::Account;
use super::session::{self, Begun};
use super::{NewTotp, RecoveryCodes, Visitor, policy, proved, provider, recovery, totp};
use crate::app::{App, Record, Refusal, allow};

/// What somebody fills in who joins.
pub(crate) struct Joining {
    /// The link's secret.
    pub(crate) secret: String,
    /// For what the link is.
    pub(crate) kind: InvitationKind,
    /// Who they are, where the link does not say it.
    pub(crate) who: Option<(Email, PersonName)>,
    /// The version of the access policy that they accept.
    pub(crate) accepts: Option<String>,
}

/// A password with the first code of a seed.
pub(crate) struct NewPassword {
    pub(crate) password: Zeroizing<String>,
    /// The same again.
    pub(crate) repeated: Zeroizing<String>,
    /// The seed as the page sent it along.
    pub(crate) sealed: String,
    pub(crate) code: String,
}

/// What somebody gets who joined.
pub(crate) struct Joined {
    pub(crate) begun: Begun,
    /// To be shown once; none with a passkey.
    pub(crate) codes: RecoveryCodes,
}

/// Opens a link, for its page.
pub(crate) async fn open(app: &App, kind: InvitationKind, secret: &str) -> Result<OpenLink, Refusal> {
    invite::open(app, kind, secret).await
}

/// Makes a seed for the page of a link, or shows the one again that its form sent.
pub(crate) fn seed(app: &App, link: &OpenLink, sealed: Option<&str>) -> Result<NewTotp, Refusal> {
    let account = totp::account_name(link.person.as_ref().map(|person| &person.email));
    let again = sealed.and_then(|sealed| app.accounts.same_totp(sealed, account, &purpose(link)).ok());
    again.map_or_else(|| app.accounts.new_totp(account, &purpose(link)), Ok)
}

/// Joins with a password and time-based codes; returns recovery codes.
pub(crate) async fn with_password(
    app: &App,
    visitor: &Visitor,
    joining: Joining,
    new: NewPassword,
) -> Result<Joined, Refusal> {
    let link = invite::open(app, joining.kind, &joining.secret).await?;
    let who = registrant(app, &link, &joining).await?;
    policy::require_accepted(app, joining.accepts.as_deref())?;
    if new.password != new.repeated {
        return Err(Refusal::Invalid("the two passwords differ: type the same one twice".to_owned()));
    }
    check_password(&new.password, &who.email)?;
    let now = app.clock.now();
    let proved = app.accounts.prove_totp(&new.sealed, &new.code, &purpose(&link), now)?;
    let kept = app.accounts.keep_totp(&proved, who.id, now)?;
    let hash = app.accounts.hash(new.password).await?;
    let codes = recovery::fresh()?;
    let hashes: Vec<_> = codes.iter().map(|code| recovery::hash(who.id, code)).collect();
    let mut tx = app.store.write().await?;
    let person = settle(&mut tx, &link, &who, app, now).await?;
    tx.password_set(person.id, &hash, now).await?;
    tx.totp_set(&kept).await?;
    tx.recovery_codes_set(person.id, &hashes, now).await?;
    let begun = commit(app, tx, &link, &person, SignInMethod::PasswordTotp, visitor, now).await?;
    Ok(Joined { begun, codes })
}

/// Begins to join with a passkey.
pub(crate) async fn passkey_begin(app: &App, visitor: &Visitor, joining: &Joining) -> Result<Started, Refusal> {
    let link = invite::open(app, joining.kind, &joining.secret).await?;
    policy::require_accepted(app, joining.accepts.as_deref())?;
    let who = registrant(app, &link, joining).await?;
    passkeys::begin_registration(app, visitor, &ceremony(&link), who, &[]).await
}

/// Joins with a passkey.
pub(crate) async fn passkey_finish(
    app: &App,
    visitor: &Visitor,
    joining: &Joining,
    finished: Finished,
    provider: Option<&str>,
) -> Result<Joined, Refusal> {
    let link = invite::open(app, joining.kind, &joining.secret).await?;
    policy::require_accepted(app, joining.accepts.as_deref())?;
    let linked = provider::linked(app, provider, &link).await?;
    let (who, passkey) = passkeys::finish_registration(app, visitor, &ceremony(&link), finished).await?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = settle(&mut tx, &link, &who, app, now).await?;
    tx.passkey_add(&StoredPasskey { principal: person.id, ..passkey }).await?;
    if let Some(account) = &linked {
        account.link(&mut tx, person.id, now).await?;
    }
    let method = if linked.is_some() { SignInMethod::ProviderPasskey } else { SignInMethod::Passkey };
    let begun = commit(app, tx, &link, &person, method, visitor, now).await?;
    if let Some(account) = &linked {
        account.settle(app, &person).await;
    }
    Ok(Joined { begun, codes: Vec::new() })
}

/// Joins with an account of the identity provider, which vouched for a second factor.
pub(super) async fn with_identity(
    app: &App,
    visitor: &Visitor,
    joining: &Joining,
    link: &OpenLink,
    account: &Account,
) -> Result<Joined, Refusal> {
    policy::require_accepted(app, joining.accepts.as_deref())?;
    let who = registrant(app, link, joining).await?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = settle(&mut tx, link, &who, app, now).await?;
    account.link(&mut tx, person.id, now).await?;
    let begun = commit(app, tx, link, &person, SignInMethod::Provider, visitor, now).await?;
    account.settle(app, &person).await;
    Ok(Joined { begun, codes: Vec::new() })
}

/// What a seed is sealed for: this link, so that it serves at no other.
fn purpose(link: &OpenLink) -> String {
    format!("totp of link {}", hex::encode(link.hash.0))
}

/// What a ceremony is for: this link, so that it ends at no other.
fn ceremony(link: &OpenLink) -> String {
    format!("join:{}", hex::encode(link.hash.0))
}

async fn registrant(app: &App, link: &OpenLink, joining: &Joining) -> Result<Registrant, Refusal> {
    if let Some(person) = &link.person {
        return Ok(Registrant { id: person.id, email: person.email.clone(), name: person.name.clone() });
    }
    let (email, name) = joining
        .who
        .clone()
        .ok_or_else(|| Refusal::Invalid("say who you are: an email address and a name".to_owned()))?;
    let known = app.store.read().await?.person_by_email(&email).await?;
    let (id, name) = known.map_or_else(|| (PrincipalId::new(Uuid::now_v7()), name), |person| (person.id, person.name));
    Ok(Registrant { id, email, name })
}

/// Uses the link up, and makes the person or clears what they could sign in with before.
async fn settle(
    tx: &mut WriteTx,
    link: &OpenLink,
    who: &Registrant,
    app: &App,
    now: Timestamp,
) -> Result<Principal, Refusal> {
    let found = tx.invitation(&link.hash).await?;
    check_invitation(found, link.kind, now).map_err(|refusal| invite::refused(link.kind, refusal))?;
    tx.invitation_use(&link.hash, now).await?;
    let known = tx.person_by_email(&who.email).await?;
    let person = match (link.kind, known) {
        (InvitationKind::Join, None) => {
            return Err(Refusal::NotFound("you are not known here any more: ask whoever invited you".to_owned()));
        }
        (InvitationKind::Join, Some(person)) => person,
        (InvitationKind::Setup, Some(person)) => Principal { role: Role::Owner, ..person },
        (InvitationKind::Setup, None) => {
            let new = NewPrincipal {
                id: who.id,
                email: who.email.clone(),
                name: who.name.clone(),
                kind: PrincipalKind::Staff,
                sponsor: None,
                not_after: None,
            };
            let owner = Principal { role: Role::Owner, ..Principal::add(new, now)? };
            tx.person_add(&owner).await?;
            owner
        }
    };
    if !may_sign_in(&person, now) || person.id != who.id {
        return Err(Refusal::Refused(format!(
            "{} cannot join at the moment: ask whoever made this link",
            person.email
        )));
    }
    if link.kind == InvitationKind::Setup && person.kind != PrincipalKind::Staff {
        return Err(Refusal::Refused(format!(
            "{} is a contractor, and an owner is staff: name somebody else",
            person.email
        )));
    }
    tx.credentials_clear(person.id).await?;
    tx.sessions_end(person.id).await?;
    tx.policy_accept(person.id, &app.accounts.policy.version, now).await?;
    Ok(person)
}

async fn commit(
    app: &App,
    mut tx: WriteTx,
    link: &OpenLink,
    person: &Principal,
    method: SignInMethod,
    visitor: &Visitor,
    now: Timestamp,
) -> Result<Begun, Refusal> {
    let action = match link.kind {
        InvitationKind::Setup => Action::OwnerSetup,
        InvitationKind::Join => Action::PersonJoin,
    };
    let actor: Actor = proved(person.id, &person.email, person.role);
    let subject = Subject::Person(person.email.clone());
    allow(&actor, action, &subject)?;
    let opened = session::open(app, &mut tx, person, method, visitor, now).await?;
    let detail: Value = json!({
        "method": method.as_str(), "source": visitor.source, "policy": app.accounts.policy.version,
        "role": person.role, "name": person.name, "devices": opened.devices,
    });
    let outbox = Outbox::Devices(opened.devices);
    app.commit(tx, Record { at: now, actor: &actor, action, subject, detail }, outbox).await?;
    Ok(opened.begun)
}
