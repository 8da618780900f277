//! Making links: the owner's, and invitations. A link holds 256 random bits, counts once, and is kept as its hash.

use doorward_domain::{
    Action, Actor, Alert, AlertKind, INVITATION_MAX, Invitation, InvitationKind, InvitationRefusal, Principal, Role,
    SETUP_LINK_MAX, Subject, TokenHash, may_sign_in,
};
use doorward_model::{Email, PrincipalId, Timestamp};
use doorward_store::Outbox;
use jiff::SignedDuration;
use serde_json::json;

use crate::api::{InvitationMade, OwnerLinkMade};
use crate::app::secret::fresh_secret;
use crate::app::{App, Record, Refusal, alerts, allow, find};

/// Longest secret of a link that is looked up: 43 characters of base64, and room for a mistake.
const SECRET_BYTES_MAX: usize = 64;

/// Makes the link with which an owner gets in. With `first_run`, only while no owner can sign in.
pub(crate) async fn owner_link(app: &App, actor: &Actor, first_run: bool) -> Result<OwnerLinkMade, Refusal> {
    let subject = Subject::Everything;
    allow(actor, Action::OwnerLink, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    if first_run && tx.has_owner_with_credentials().await? {
        return Err(Refusal::Conflict("an owner can sign in already: nothing is left to set up".to_owned()));
    }
    let secret = fresh_secret()?;
    let link = new_link(InvitationKind::Setup, None, actor, now, SETUP_LINK_MAX);
    let expires_at = link.expires_at;
    tx.invitation_add(&TokenHash::of(secret.as_bytes()), &link).await?;
    let detail = json!({ "expires_at": expires_at });
    app.commit(tx, Record { at: now, actor, action: Action::OwnerLink, subject, detail }, Outbox::None).await?;
    Ok(OwnerLinkMade { url: app.accounts.site.link(&format!("/setup/{}", secret.as_str())), expires_at })
}

/// Makes a person's link to join, or to get in again; it takes the place of earlier ones.
///
/// Where they can sign in already, whoever opens the link takes over what they are here. So that does not go unseen: their
/// sessions end and an alert names who made it. What they sign in with counts until the link is used.
pub(crate) async fn person(app: &App, actor: &Actor, email: &Email) -> Result<InvitationMade, Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::PersonInvite, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, email).await?;
    person.require_active("an invitation", now)?;
    if person.role == Role::Owner && !is_owner(actor) {
        return Err(Refusal::Refused(format!(
            "{email} is an owner, whose link only another owner makes, or root on the machine with `doorward owner link`"
        )));
    }
    let secret = fresh_secret()?;
    let link = new_link(InvitationKind::Join, Some(person.id), actor, now, INVITATION_MAX);
    let expires_at = link.expires_at;
    tx.invitation_add(&TokenHash::of(secret.as_bytes()), &link).await?;
    let again = tx.credentials(person.id).await?.suffice() || tx.has_identity(person.id).await?;
    let ended = if again { tx.sessions_end(person.id).await? } else { 0 };
    let detail = json!({ "expires_at": expires_at, "again": again, "sessions_ended": ended });
    app.commit(tx, Record { at: now, actor, action: Action::PersonInvite, subject, detail }, Outbox::None).await?;
    if again {
        alerts::raise(app, invited_again(&person, actor, now)).await;
    }
    let url = app.accounts.site.link(&format!("/join/{}", secret.as_str()));
    let (mailed, mut warnings) = match &app.accounts.mail {
        None => (false, Vec::new()),
        Some(mail) => match mail.invite(&person, &url, expires_at).await {
            Ok(()) => (true, Vec::new()),
            Err(error) => {
                tracing::warn!(error = &error as &dyn std::error::Error, "an invitation was not mailed");
                (false, vec![format!("the invitation was not mailed ({error}): hand the link over yourself")])
            }
        },
    };
    if again {
        warnings.push(format!(
            "{email} can sign in already: this link replaces what they sign in with, and they were signed out; make sure that it reaches them and nobody else"
        ));
    }
    Ok(InvitationMade { email: person.email, url, expires_at, mailed, warnings })
}

fn invited_again(person: &Principal, actor: &Actor, now: Timestamp) -> Alert {
    let message = format!(
        "{actor} made a link that replaces what {} ({}) signs in with: ask them whether they wanted it; suspend them if not",
        person.email, person.role
    );
    Alert {
        at: now,
        kind: AlertKind::InvitedAgain,
        gateway: None,
        device: None,
        email: Some(person.email.clone()),
        source: None,
        message,
        count: 1,
    }
}

fn is_owner(actor: &Actor) -> bool {
    match actor {
        Actor::LocalAdmin { .. } => true,
        Actor::Person(person) => person.role == Role::Owner,
        Actor::ApiToken { .. } | Actor::Source { .. } | Actor::Gateway { .. } | Actor::System => false,
    }
}

fn new_link(
    kind: InvitationKind,
    principal: Option<PrincipalId>,
    actor: &Actor,
    now: Timestamp,
    lasts: SignedDuration,
) -> Invitation {
    let expires_at = now.checked_add(lasts).unwrap_or(Timestamp::MAX);
    let created_by = actor.to_string();
    Invitation { kind, principal, created_at: now, created_by, expires_at, used_at: None, replaced_at: None }
}

/// A link that counts at this moment, and for whom.
pub(crate) struct OpenLink {
    pub(super) hash: TokenHash,
    pub(super) kind: InvitationKind,
    /// Nobody in particular in a setup link.
    pub(crate) person: Option<Principal>,
}

/// Opens a link without using it up.
pub(crate) async fn open(app: &App, kind: InvitationKind, secret: &str) -> Result<OpenLink, Refusal> {
    if secret.len() > SECRET_BYTES_MAX {
        return Err(refused(kind, InvitationRefusal::Unknown));
    }
    let hash = TokenHash::of(secret.as_bytes());
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let found = read.invitation(&hash).await?;
    let link = doorward_domain::check_invitation(found, kind, now).map_err(|refusal| refused(kind, refusal))?;
    let person = match link.principal {
        Some(id) => read.person(id).await?,
        None => None,
    };
    if person.as_ref().is_some_and(|person| !may_sign_in(person, now)) {
        return Err(refused(kind, InvitationRefusal::Replaced));
    }
    Ok(OpenLink { hash, kind, person })
}

pub(super) fn refused(kind: InvitationKind, refusal: InvitationRefusal) -> Refusal {
    let sentence = format!("{refusal}. {}", InvitationRefusal::hint(kind));
    match refusal {
        InvitationRefusal::Unknown => Refusal::NotFound(sentence),
        InvitationRefusal::Used | InvitationRefusal::Replaced | InvitationRefusal::Expired => {
            Refusal::Refused(sentence)
        }
    }
}
