//! Signing in through the identity provider. People are matched by issuer and subject, never by email address; the first
//! link comes with an invitation. Where the provider vouches for no second factor, a passkey is asked on top.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{
    InvitationKind, Principal, SignInMethod, SignedIn, TokenHash, WebSession, is_vouched_for, may_sign_in,
    require_provider,
};
use doorward_model::{PrincipalId, Timestamp};
use doorward_store::{NewCeremony, ReadTx, WriteTx};
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::join::{self, Joined, Joining};
use super::passkeys::{self, Finished, Started};
use super::session::Begun;
use super::{Visitor, invite, policy, provider_groups, sign_in};
use crate::app::secret::fresh_secret;
use crate::app::{App, Refusal};
use crate::net::{Provider, ProviderError, Vouched};

/// How long somebody may stay at the provider.
const AWAY_MAX: SignedDuration = SignedDuration::from_mins(10);
/// Longest secret that is looked up.
const SECRET_BYTES_MAX: usize = 64;
/// What each ceremony is for; a sealed state opens as nothing else.
const AWAY: &str = "provider";
const PASSKEY: &str = "provider passkey";
const ASSERTION: &str = "provider assertion";
const LINK: &str = "provider link";

/// The way to the provider, and the secret that the browser keeps meanwhile: without it nobody comes back, so that a
/// stranger cannot have somebody come back with the stranger's own code (RFC 6749 section 10.12).
pub(crate) struct Away {
    pub(crate) url: String,
    pub(crate) secret: Zeroizing<String>,
}

/// What the provider sends with the browser.
#[derive(Debug, Clone, Default, Deserialize)]
pub(crate) struct Back {
    #[serde(default)]
    pub(crate) state: String,
    #[serde(default)]
    pub(crate) code: Option<String>,
    #[serde(default)]
    pub(crate) error: Option<String>,
}

/// Where somebody stands who came back.
pub(crate) enum Arrived {
    /// Signed in.
    In { begun: Begun, next: String },
    /// Known, and a passkey is asked on top; the browser keeps the secret.
    PasskeyNeeded { secret: Zeroizing<String> },
    /// About to join, and a passkey is asked on top; the browser keeps the secret.
    JoinOn { secret: Zeroizing<String>, way: String },
}

#[derive(Serialize, Deserialize)]
struct KeptAway {
    nonce: String,
    verifier: String,
    next: String,
    /// The link's secret and the accepted policy, of somebody who joins. This is why the state is sealed.
    joining: Option<(String, String)>,
}

#[derive(Serialize, Deserialize)]
struct KeptPasskey {
    person: PrincipalId,
    issuer: String,
    subject: String,
    #[serde(default)]
    sid: Option<String>,
    next: String,
}

#[derive(Serialize, Deserialize)]
struct KeptLink {
    link: String,
    #[serde(flatten)]
    account: Account,
}

/// An account that the provider vouched for, of somebody who joins.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Account {
    pub(super) issuer: String,
    pub(super) subject: String,
    #[serde(default)]
    pub(super) sid: Option<String>,
    pub(super) groups: Option<Vec<String>>,
}

impl Account {
    /// Links it to the person who joins with it.
    pub(super) async fn link(&self, tx: &mut WriteTx, person: PrincipalId, now: Timestamp) -> Result<(), Refusal> {
        tx.identity_link(&self.issuer, &self.subject, person, now).await?;
        Ok(tx.identity_used(&self.issuer, &self.subject, self.sid.as_deref(), now).await?)
    }

    /// Sets what the provider says of their groups, once they have joined. That they have joined stands whatever becomes of
    /// it, and their next sign-in sets it again.
    pub(super) async fn settle(&self, app: &App, person: &Principal) {
        if let Err(refusal) = provider_groups::set(app, person, &self.issuer, self.groups.as_deref()).await {
            tracing::warn!(?refusal, "groups of the identity provider could not be set");
        }
    }
}

/// Begins to sign in.
pub(crate) async fn begin(app: &App, next: &str) -> Result<Away, Refusal> {
    away(app, next, None).await
}

/// Begins to join through an invitation.
pub(crate) async fn begin_join(app: &App, secret: &str, accepts: Option<String>) -> Result<Away, Refusal> {
    let joining = joining(secret, accepts);
    invite::open(app, InvitationKind::Join, secret).await?;
    policy::require_accepted(app, joining.accepts.as_deref())?;
    away(app, "", Some((joining.secret, joining.accepts.unwrap_or_default()))).await
}

async fn away(app: &App, next: &str, joining: Option<(String, String)>) -> Result<Away, Refusal> {
    let provider = provider(app)?;
    let secret = fresh_secret()?;
    let outward = provider.begin(state_of(&secret)).await.map_err(told)?;
    let kept = KeptAway { nonce: outward.nonce, verifier: outward.verifier, next: next.to_owned(), joining };
    keep(app, AWAY, &secret, &kept).await?;
    Ok(Away { url: outward.url, secret })
}

/// Ends it: somebody came back with what the provider gave them.
pub(crate) async fn arrive(app: &App, visitor: &Visitor, secret: Option<&str>, back: Back) -> Result<Arrived, Refusal> {
    let provider = provider(app)?;
    let secret = secret.ok_or_else(lapsed)?;
    if !bool::from(state_of(secret).as_bytes().ct_eq(back.state.as_bytes())) {
        return Err(lapsed());
    }
    let kept: KeptAway = take(app, AWAY, secret).await?;
    let Some(code) = back.code.filter(|_| back.error.is_none()) else {
        tracing::info!(error = back.error, source = %visitor.source, "the identity provider sent somebody back");
        let sentence = format!("{} did not sign you in: begin again, or sign in in another way", provider.name());
        return Err(Refusal::Refused(sentence));
    };
    let vouched = match provider.end(code, kept.nonce, kept.verifier).await {
        Ok(vouched) => vouched,
        Err(error) => {
            if !matches!(error, ProviderError::Down(_)) {
                sign_in::fail(app, visitor, None, "identity provider", &[]).await?;
            }
            return Err(told(error));
        }
    };
    match kept.joining {
        None => known(app, visitor, vouched, kept.next).await,
        Some((link, accepts)) => join(app, visitor, vouched, joining(&link, Some(accepts))).await,
    }
}

async fn known(app: &App, visitor: &Visitor, vouched: Vouched, next: String) -> Result<Arrived, Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let linked = read.identity(&vouched.issuer, &vouched.subject).await?;
    let person = match linked {
        Some(id) => read.person(id).await?.filter(|person| may_sign_in(person, now)),
        None => None,
    };
    drop(read);
    let Some(id) = linked else {
        sign_in::fail(app, visitor, None, "identity provider: nobody's account", &[]).await?;
        return Err(Refusal::Refused(
            "this account is linked to nobody here: open your invitation and go on from there, or ask for one"
                .to_owned(),
        ));
    };
    let person = person.ok_or_else(sign_in::shut_out)?;
    // Before the passkey on top, where one is asked for: what the provider ceased to say ends at once.
    provider_groups::set(app, &person, &vouched.issuer, vouched.groups.as_deref()).await?;
    if vouched.second_factor {
        let mut tx = app.store.write().await?;
        let person = active(&mut tx, id, now).await?;
        tx.identity_used(&vouched.issuer, &vouched.subject, vouched.sid.as_deref(), now).await?;
        let begun = sign_in::commit(app, tx, &person, SignInMethod::Provider, visitor, now).await?;
        return Ok(Arrived::In { begun, next });
    }
    let secret = fresh_secret()?;
    let Vouched { issuer, subject, sid, .. } = vouched;
    keep(app, PASSKEY, &secret, &KeptPasskey { person: person.id, issuer, subject, sid, next }).await?;
    Ok(Arrived::PasskeyNeeded { secret })
}

async fn join(app: &App, visitor: &Visitor, vouched: Vouched, joining: Joining) -> Result<Arrived, Refusal> {
    let link = invite::open(app, InvitationKind::Join, &joining.secret).await?;
    let Vouched { issuer, subject, sid, second_factor, groups } = vouched;
    let account = Account { issuer, subject, sid, groups };
    if second_factor {
        let Joined { begun, .. } = join::with_identity(app, visitor, &joining, &link, &account).await?;
        return Ok(Arrived::In { begun, next: "/devices/new".to_owned() });
    }
    let secret = fresh_secret()?;
    keep(app, LINK, &secret, &KeptLink { link: hex::encode(link.hash.0), account }).await?;
    Ok(Arrived::JoinOn { secret, way: format!("/join/{}", joining.secret) })
}

/// Returns the account that somebody proved before they create the passkey on top; nothing where they did not.
pub(super) async fn linked(
    app: &App,
    secret: Option<&str>,
    link: &invite::OpenLink,
) -> Result<Option<Account>, Refusal> {
    let Some(secret) = secret.filter(|_| app.accounts.provider.is_some()) else { return Ok(None) };
    match take::<KeptLink>(app, LINK, secret).await {
        Ok(kept) if kept.link == hex::encode(link.hash.0) => Ok(Some(kept.account)),
        Ok(_) | Err(Refusal::Invalid(_)) => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// Begins to ask for the passkey on top.
pub(crate) async fn passkey_begin(app: &App, visitor: &Visitor) -> Result<Started, Refusal> {
    passkeys::begin_assertion(app, visitor, ASSERTION).await
}

/// Signs in with it.
pub(crate) async fn passkey_finish(
    app: &App,
    visitor: &Visitor,
    secret: Option<&str>,
    finished: Finished,
) -> Result<(Begun, String), Refusal> {
    let proved = passkeys::finish_assertion(app, visitor, ASSERTION, finished).await?;
    let kept: KeptPasskey = take(app, PASSKEY, secret.ok_or_else(lapsed)?).await?;
    if proved.person.id != kept.person {
        sign_in::fail(app, visitor, None, "another person's passkey", &[]).await?;
        return Err(Refusal::Refused("this passkey is another person's: begin again with your own".to_owned()));
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = active(&mut tx, kept.person, now).await?;
    tx.passkey_used(proved.passkey.id, &proved.credential, now).await?;
    tx.identity_used(&kept.issuer, &kept.subject, kept.sid.as_deref(), now).await?;
    let begun = sign_in::commit(app, tx, &person, SignInMethod::ProviderPasskey, visitor, now).await?;
    Ok((begun, kept.next))
}

async fn active(tx: &mut WriteTx, id: PrincipalId, now: Timestamp) -> Result<Principal, Refusal> {
    let found = tx.person(id).await?.filter(|person| may_sign_in(person, now));
    found.ok_or_else(sign_in::shut_out)
}

fn joining(secret: &str, accepts: Option<String>) -> Joining {
    Joining { secret: secret.to_owned(), kind: InvitationKind::Join, who: None, accepts }
}

fn provider(app: &App) -> Result<&Provider, Refusal> {
    let missing = || Refusal::NotFound("no identity provider is set up here: sign in in another way".to_owned());
    app.accounts.provider.as_ref().ok_or_else(missing)
}

/// The provider that has to vouch for somebody each time their window opens, where one has to.
pub(super) async fn vouching<'a>(
    app: &'a App,
    read: &mut ReadTx,
    person: &Principal,
) -> Result<Option<&'a Provider>, Refusal> {
    let Some(provider) = &app.accounts.provider else { return Ok(None) };
    let linked = read.has_identity(person.id).await?;
    Ok(Some(provider).filter(|provider| is_vouched_for(person, linked, provider.is_alone())))
}

/// From when on a window counts that somebody opens within a session: from this moment, or, where the provider has to vouch
/// for them, from when it did. `None` where that opens nothing: the provider has to be asked again.
pub(super) async fn opens_at(
    app: &App,
    read: &mut ReadTx,
    person: &Principal,
    session: &WebSession,
    now: Timestamp,
) -> Result<Option<Timestamp>, Refusal> {
    let Some(provider) = vouching(app, read, person).await? else { return Ok(Some(now)) };
    let vouched = require_provider(session.method, provider.name()).is_ok();
    let is_later = person.signed_in_at.is_none_or(|at| at < session.created_at);
    Ok(Some(session.created_at).filter(|_| vouched && is_later))
}

/// Says whether the provider has to be asked, for somebody who is signed in.
pub(crate) async fn vouches(app: &App, person: &SignedIn) -> Result<bool, Refusal> {
    let mut read = app.store.read().await?;
    let Some(person) = read.person(person.id).await? else { return Ok(false) };
    Ok(vouching(app, &mut read, &person).await?.is_some())
}

/// What the provider sends back unchanged; it tells nothing of the secret that it is made of.
fn state_of(secret: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(format!("state of {secret}")))
}

async fn keep(app: &App, kind: &str, secret: &str, kept: &impl Serialize) -> Result<(), Refusal> {
    let internal = |what: String| Refusal::Internal(format!("a sign-in could not be begun: {what}"));
    let text = serde_json::to_vec(kept).map(Zeroizing::new).map_err(|error| internal(error.to_string()))?;
    let sealed = app.accounts.seal.seal(&text, kind).map_err(|error| internal(error.to_string()))?;
    let now = app.clock.now();
    let new = NewCeremony {
        hash: TokenHash::of(secret.as_bytes()),
        kind,
        principal: None,
        state: &URL_SAFE_NO_PAD.encode(sealed),
        expires_at: now.checked_add(AWAY_MAX).unwrap_or(Timestamp::MAX),
    };
    Ok(app.store.ceremony_begin(new, now).await?)
}

async fn take<T: DeserializeOwned>(app: &App, kind: &str, secret: &str) -> Result<T, Refusal> {
    if secret.len() > SECRET_BYTES_MAX {
        return Err(lapsed());
    }
    let hash = TokenHash::of(secret.as_bytes());
    let taken = app.store.ceremony_take(&hash, kind, app.clock.now()).await?.ok_or_else(lapsed)?;
    let sealed = URL_SAFE_NO_PAD.decode(taken.state).map_err(|_| lapsed())?;
    let text = app.accounts.seal.unseal(&sealed, kind).map_err(|_| lapsed())?;
    serde_json::from_slice(&text).map_err(|_| lapsed())
}

fn lapsed() -> Refusal {
    Refusal::Invalid(
        "this sign-in took too long, was used already, or began in another browser: begin again".to_owned(),
    )
}

fn told(error: ProviderError) -> Refusal {
    tracing::warn!(error = &error as &dyn std::error::Error, "the identity provider");
    let sentence = error.to_string();
    match error {
        ProviderError::Down(_) => Refusal::Unavailable(sentence),
        ProviderError::Refused(_) | ProviderError::Untrusted(_) => Refusal::Refused(sentence),
    }
}
