//! Directories' tokens: make, list, revoke, and whose one is. They open `/scim/v2` and nothing else.

use doorward_domain::{Action, Actor, SOURCE_TOKENS_MAX, Source, SourceKind, SourceToken, Subject, TokenHash};
use doorward_model::{SourceId, SourceName, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use jiff::SignedDuration;
use serde_json::json;
use uuid::Uuid;

use crate::api::{ScimSource, ScimToken, ScimTokenMade};
use crate::app::health::in_time_if_up;
use crate::app::secret::fresh_secret;
use crate::app::{App, Record, Refusal, allow, allow_read};

/// What every token of a directory begins with, so that a leaked one is recognised by scanners.
const PREFIX: &str = "dws1_";
/// Longest token text that is looked up.
const TOKEN_BYTES_MAX: usize = 64;
/// How exactly the last use is kept.
const LAST_USED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Lists directories with their tokens, without secrets.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<ScimSource>, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let mut found = Vec::new();
    let sources = read.sources().await?;
    for source in sources.into_iter().filter(|source| source.kind == SourceKind::Scim) {
        let burst = read.burst(source.id, Timestamp::MAX).await?;
        let tokens = read.source_tokens(source.id).await?.into_iter().map(|token| ScimToken {
            created_at: token.created_at,
            created_by: token.created_by,
            last_used_at: token.last_used_at,
        });
        found.push(ScimSource {
            tokens: tokens.collect(),
            name: source.name,
            created_at: source.created_at,
            people: burst.people,
            active: burst.active,
            brake_since: source.brake_since,
        });
    }
    Ok(found)
}

/// Makes a token, and the directory with its first; the secret is in the answer and nowhere else.
pub(crate) async fn add(app: &App, actor: &Actor, name: SourceName) -> Result<ScimTokenMade, Refusal> {
    let subject = Subject::Source(name.clone());
    allow(actor, Action::SourceTokenAdd, &subject)?;
    let now = app.clock.now();
    let token = format!("{PREFIX}{}", fresh_secret()?.as_str());
    let mut tx = app.store.write().await?;
    let source = found_or_made(&mut tx, &name, SourceKind::Scim, now).await?;
    if tx.source_tokens(source.id).await?.len() >= SOURCE_TOKENS_MAX {
        return Err(Refusal::Conflict(format!(
            "{name} has {SOURCE_TOKENS_MAX} tokens already: end the older with `doorward scim token revoke {name} --older`"
        )));
    }
    let kept = SourceToken { created_at: now, created_by: actor.to_string(), last_used_at: None };
    tx.source_token_add(source.id, &TokenHash::of(token.as_bytes()), &kept).await?;
    let record = Record { at: now, actor, action: Action::SourceTokenAdd, subject, detail: json!({}) };
    app.commit(tx, record, Outbox::None).await?;
    Ok(ScimTokenMade { name, created_at: now, token, url: app.accounts.site.link("/scim/v2") })
}

/// Ends a directory's tokens; `older` ends all but the latest.
pub(crate) async fn revoke(app: &App, actor: &Actor, name: &SourceName, older: bool) -> Result<(), Refusal> {
    let subject = Subject::Source(name.clone());
    allow(actor, Action::SourceTokenRevoke, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let source = find(&mut tx, name, SourceKind::Scim).await?;
    let latest = tx.source_tokens(source.id).await?.last().map(|token| token.created_at);
    let before = latest.filter(|_| older).unwrap_or(Timestamp::MAX);
    let ended = tx.source_tokens_revoke(source.id, before, now).await?;
    app.sources.forget();
    if ended == 0 {
        let which = if older { "older token" } else { "token" };
        return Err(Refusal::NotFound(format!(
            "{name} has no {which}: `doorward scim token list` shows what there is"
        )));
    }
    let record =
        Record { at: now, actor, action: Action::SourceTokenRevoke, subject, detail: json!({ "tokens": ended }) };
    app.commit(tx, record, Outbox::None).await?;
    Ok(())
}

/// Finds a source by name, or makes it.
pub(super) async fn found_or_made(
    tx: &mut WriteTx,
    name: &SourceName,
    kind: SourceKind,
    now: Timestamp,
) -> Result<Source, Refusal> {
    if let Some(source) = tx.source_by_name(name).await? {
        return require_kind(source, kind);
    }
    let id = SourceId::new(Uuid::now_v7());
    let source = Source { id, name: name.clone(), kind, created_at: now, brake_since: None, brake_cleared_at: None };
    tx.source_add(&source).await?;
    Ok(source)
}

/// Finds a source of a kind by name.
pub(super) async fn find(read: &mut ReadTx, name: &SourceName, kind: SourceKind) -> Result<Source, Refusal> {
    require_kind(known(read, name).await?, kind)
}

/// Finds a source by name, whatever its kind.
pub(super) async fn known(read: &mut ReadTx, name: &SourceName) -> Result<Source, Refusal> {
    let missing = || Refusal::NotFound(format!("no source has the name {name}: `doorward source list` shows all"));
    read.source_by_name(name).await?.ok_or_else(missing)
}

fn require_kind(source: Source, kind: SourceKind) -> Result<Source, Refusal> {
    if source.kind == kind {
        return Ok(source);
    }
    let Source { name, kind: other, .. } = &source;
    Err(Refusal::Conflict(format!("{name} is the name of a source of another kind ({other}): choose another name")))
}

/// Returns whose token this is, or `None` for one that does not count. The lookup is by hash, so that its time says
/// nothing about how much of a guess was right.
pub(crate) async fn holder(app: &App, token: &str) -> Result<Option<(Source, TokenHash)>, Refusal> {
    if !token.starts_with(PREFIX) || token.len() > TOKEN_BYTES_MAX {
        return Ok(None);
    }
    let hash = TokenHash::of(token.as_bytes());
    let found = in_time_if_up(app, async { Ok(app.store.read().await?.source_of_token(&hash).await?) }).await;
    let (source, found) = match found {
        Ok(Some(found)) => found,
        Ok(None) => return Ok(None),
        Err(refusal) => return app.sources.holder(&hash).map(|source| Some((source, hash))).ok_or(refusal),
    };
    let now = app.clock.now();
    if found.last_used_at.is_none_or(|at| now.duration_since(at) >= LAST_USED_EVERY) {
        app.workers.spawn(used(app.clone(), hash, now));
    }
    Ok(Some((source, hash)))
}

async fn used(app: App, hash: TokenHash, at: Timestamp) {
    if let Err(error) = app.store.source_token_used(&hash, at).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a token's use was not noted");
    }
}
