//! Webhooks: their secrets, whose signature one is, and what is done with a message.

use aws_lc_rs::hmac;
use doorward_domain::{
    Action, Actor, DeliveryId, HookMessage, SOURCE_TOKENS_MAX, Source, SourceKind, Subject, TokenHash, Word,
    hook_signatures, hook_signed, hook_time, micros,
};
use doorward_model::{SourceName, Timestamp, repeatable};
use doorward_store::{Delivery, HookSecret, Outbox, ReadTx};
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::oneshot;
use uuid::Uuid;

pub(crate) use super::said::Became;
use super::said::{Answered, say};
use super::tokens;
use crate::api::{Hook, HookMade, HookSecretShown};
use crate::app::decide::is_outage;
use crate::app::health::in_time_if_up;
use crate::app::secret::fresh_secret;
use crate::app::{App, Record, Refusal, allow, allow_read};

/// What every secret of a webhook begins with, so that a leaked one is recognised by scanners.
const PREFIX: &str = "dwh1_";
/// Where messages go.
pub(crate) const PATH: &str = "/hooks/v1/people";
/// How exactly the last use is kept.
const LAST_USED_EVERY: SignedDuration = SignedDuration::from_mins(1);
/// Longest address that is repeated, in characters.
const ADDRESS_CHARS_MAX: usize = 320;

/// Lists webhooks with their secrets' dates.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<Hook>, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let mut found = Vec::new();
    let sources = read.sources().await?;
    for source in sources.into_iter().filter(|source| source.kind == SourceKind::Hook) {
        let secrets = read.hook_secrets(source.id).await?.into_iter().map(|secret| HookSecretShown {
            created_at: secret.created_at,
            created_by: secret.created_by,
            last_used_at: secret.last_used_at,
        });
        found.push(Hook { secrets: secrets.collect(), name: source.name, created_at: source.created_at });
    }
    Ok(found)
}

/// Makes a secret, and the webhook with its first; it is in the answer and, sealed, in the database.
pub(crate) async fn add(app: &App, actor: &Actor, name: SourceName) -> Result<HookMade, Refusal> {
    let subject = Subject::Source(name.clone());
    allow(actor, Action::SourceTokenAdd, &subject)?;
    let now = micros(app.clock.now());
    let secret = format!("{PREFIX}{}", fresh_secret()?.as_str());
    let id = Uuid::now_v7();
    let sealed = app.accounts.seal.seal(secret.as_bytes(), &purpose(id));
    let sealed = sealed.map_err(|error| Refusal::Internal(error.to_string()))?;
    let mut tx = app.store.write().await?;
    let source = tokens::found_or_made(&mut tx, &name, SourceKind::Hook, now).await?;
    if tx.hook_secrets(source.id).await?.len() >= SOURCE_TOKENS_MAX {
        return Err(Refusal::Conflict(format!(
            "{name} has {SOURCE_TOKENS_MAX} secrets already: end the older with `doorward hook revoke {name} --older`"
        )));
    }
    let kept = HookSecret { id, sealed, created_at: now, created_by: actor.to_string(), last_used_at: None };
    tx.hook_secret_add(source.id, &kept).await?;
    let record = Record { at: now, actor, action: Action::SourceTokenAdd, subject, detail: json!({ "kind": "hook" }) };
    app.commit(tx, record, Outbox::None).await?;
    Ok(HookMade { name, created_at: now, secret, url: app.accounts.site.link(PATH) })
}

/// Ends a webhook's secrets; `older` ends all but the latest.
pub(crate) async fn revoke(app: &App, actor: &Actor, name: &SourceName, older: bool) -> Result<(), Refusal> {
    let subject = Subject::Source(name.clone());
    allow(actor, Action::SourceTokenRevoke, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let source = tokens::find(&mut tx, name, SourceKind::Hook).await?;
    let latest = tx.hook_secrets(source.id).await?.last().map(|secret| secret.created_at);
    let before = latest.filter(|_| older).unwrap_or(Timestamp::MAX);
    let ended = tx.hook_secrets_revoke(source.id, before, now).await?;
    app.sources.forget();
    if ended == 0 {
        let which = if older { "older secret" } else { "secret" };
        return Err(Refusal::NotFound(format!("{name} has no {which}: `doorward hook list` shows what there is")));
    }
    let detail = json!({ "kind": "hook", "secrets": ended });
    app.commit(tx, Record { at: now, actor, action: Action::SourceTokenRevoke, subject, detail }, Outbox::None).await?;
    Ok(())
}

fn purpose(id: Uuid) -> String {
    format!("hook secret {id}")
}

/// What came with a message.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// `Doorward-Hook`.
    pub(crate) name: &'a str,
    /// `Doorward-Timestamp`.
    pub(crate) timestamp: &'a str,
    /// `Doorward-Signature`.
    pub(crate) signature: &'a str,
    /// What was sent, byte for byte.
    pub(crate) body: &'a [u8],
}

/// A message whose sender is known.
#[derive(Debug, Clone)]
pub(crate) struct Heard {
    source: Source,
    signed: Vec<u8>,
    /// What its sender's measure is kept by.
    pub(crate) measure: TokenHash,
}

/// Finds out whose message it is, or why nobody's. An unknown name and a wrong signature are answered alike.
pub(crate) async fn sender(app: &App, message: Signed<'_>) -> Result<Heard, Refusal> {
    let nobody = || {
        let sentence = "the signature is nobody's: sign NAME.TIMESTAMP.BODY with a secret of `doorward hook add NAME`, and \
                        send Doorward-Hook, Doorward-Timestamp and Doorward-Signature";
        Refusal::Unauthenticated(sentence.to_owned())
    };
    let name: SourceName = message.name.parse().map_err(|_| nobody())?;
    let hook = match in_time_if_up(app, hook(app, &name)).await {
        Ok(hook) => hook,
        Err(refusal) => Some(app.sources.hook(&name).ok_or(refusal)?),
    };
    let (source, keys) = hook.ok_or_else(nobody)?;
    let signed = hook_signed(&name, message.timestamp, message.body);
    let signatures = hook_signatures(message.signature);
    for HookKey { id, key, last_used_at } in keys {
        // It compares in constant time.
        if !signatures.iter().any(|signature| hmac::verify(&key, &signed, signature).is_ok()) {
            continue;
        }
        let now = app.clock.now();
        hook_time(message.timestamp, now).map_err(|denial| Refusal::Unauthenticated(denial.sentence))?;
        if last_used_at.is_none_or(|at| now.duration_since(at) >= LAST_USED_EVERY) {
            app.workers.spawn(used(app.clone(), id, now));
        }
        return Ok(Heard { source, signed, measure: TokenHash::of(id.as_bytes()) });
    }
    Err(nobody())
}

/// A secret that counts, ready to check with.
#[derive(Clone)]
pub(super) struct HookKey {
    id: Uuid,
    key: hmac::Key,
    last_used_at: Option<Timestamp>,
}

async fn hook(app: &App, name: &SourceName) -> Result<Option<(Source, Vec<HookKey>)>, Refusal> {
    let mut read = app.store.read().await?;
    let source = read.source_by_name(name).await?.filter(|source| source.kind == SourceKind::Hook);
    let Some(source) = source else { return Ok(None) };
    let keys = keys(app, &mut read, &source).await?;
    Ok(Some((source, keys)))
}

/// Reads the secrets of a webhook that count.
pub(super) async fn keys(app: &App, read: &mut ReadTx, source: &Source) -> Result<Vec<HookKey>, Refusal> {
    let secrets = read.hook_secrets(source.id).await?.into_iter().map(|secret| {
        let text = app.accounts.seal.unseal(&secret.sealed, &purpose(secret.id));
        let text = text.map_err(|error| Refusal::Internal(format!("the secret of {}: {error}", source.name)))?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &text);
        Ok(HookKey { id: secret.id, key, last_used_at: secret.last_used_at })
    });
    secrets.collect()
}

async fn used(app: App, id: Uuid, at: Timestamp) {
    if let Err(error) = app.store.hook_secret_used(id, at).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a secret's use was not noted");
    }
}

/// Does what a message says, once. It goes on where the sender hangs up: what was heard is done.
pub(crate) async fn hear(app: &App, heard: Heard, message: HookMessage) -> Result<Vec<Answered>, Refusal> {
    let delivery = DeliveryId::of(&message, &heard.signed);
    let again = |how: &str| Refusal::Conflict(format!("this message was heard before and {how}"));
    let beginning = app.store.hook_delivery_begin(heard.source.id, &delivery, app.clock.now());
    let takes_away = message.event != Word::Active;
    match in_time_if_up(app, async { Ok(beginning.await?) }).await {
        Ok(Delivery::New) => {}
        Ok(Delivery::Done) => return Err(again("was done: nothing is left to do")),
        // To take away once more harms nobody; what is given back is given back once.
        Ok(Delivery::Unfinished) if takes_away => {}
        Ok(Delivery::Unfinished) => return Err(again("not finished: send it with another `id`, or a later time")),
        // The database takes nothing, and the journal takes what it can.
        Err(refusal) if takes_away && is_outage(&refusal) => {
            if !app.sources.hear(heard.source.id, &delivery) {
                return Err(again("was done: nothing is left to do"));
            }
        }
        Err(refusal) => return Err(refusal),
    }
    let (answer, answered) = oneshot::channel();
    let app = app.clone();
    app.clone().workers.spawn(async move {
        let results = each(&app, &heard.source, &message).await;
        if results.is_err() {
            app.sources.unhear(heard.source.id, &delivery);
        }
        if results.is_ok() {
            let done = app.store.hook_delivery_done(heard.source.id, &delivery, app.clock.now());
            // What is not noted as done can be said again, and takes away what is away.
            if let Err(refusal) = in_time_if_up(&app, async { Ok(done.await?) }).await {
                tracing::warn!(?refusal, "a message was done, and that could not be noted");
            }
        }
        // The sender may have gone; what was said is done all the same.
        let _ = answer.send(results);
    });
    // An error means that the work ended in a panic, which is logged where it happened.
    answered
        .await
        .unwrap_or_else(|_| Err(Refusal::Internal("the message was not worked through: send it again".to_owned())))
}

/// One transaction a person: one who cannot be found, or is refused, holds up nobody else.
async fn each(app: &App, source: &Source, message: &HookMessage) -> Result<Vec<Answered>, Refusal> {
    let why = message.why();
    let mut results = Vec::new();
    for sent in message.people() {
        let (result, detail) = match sent.parse() {
            Ok(email) => say(app, source, &email, message.event, why.as_ref()).await?,
            Err(_) => (Became::Unknown, Some("this is no email address".to_owned())),
        };
        results.push(Answered { email: repeatable(sent, ADDRESS_CHARS_MAX), result, detail });
    }
    Ok(results)
}
