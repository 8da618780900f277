//! API tokens: make, list, revoke, and who holds one.

use doorward_domain::{self as domain, Action, Actor, Subject, TokenHash};
use doorward_model::Timestamp;
use doorward_store::Outbox;
use jiff::SignedDuration;
use serde_json::json;

use super::health::in_time_if_up;
use super::secret::fresh_secret;
use super::{App, Record, Refusal, allow, allow_read};
use crate::api::{ApiToken, ApiTokenMade, ApiTokenNew};

/// What every API token begins with, so that a leaked one is recognised by scanners.
const PREFIX: &str = "dwt1_";
/// Longest token text that is looked up: the prefix and 43 characters of base64, and room for a mistake.
const TOKEN_BYTES_MAX: usize = 64;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 63;
/// How exactly the last use is kept.
const LAST_USED_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// Lists tokens.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<ApiToken>, Refusal> {
    allow_read(actor)?;
    let tokens = app.store.read().await?.api_tokens().await?;
    Ok(tokens.into_iter().map(|token| ApiToken { name: token.name, created_at: token.created_at }).collect())
}

/// Makes a token; its secret is in the answer and nowhere else.
pub(crate) async fn add(app: &App, actor: &Actor, new: ApiTokenNew) -> Result<ApiTokenMade, Refusal> {
    let ApiTokenNew { name } = new;
    check_name(&name)?;
    let subject = Subject::Token(name.clone());
    allow(actor, Action::TokenAdd, &subject)?;
    let now = app.clock.now();
    let token = format!("{PREFIX}{}", fresh_secret()?.as_str());
    let mut tx = app.store.write().await?;
    // Who made a token through one of their own is its maker all the same: it ends with them.
    let made_by = match actor {
        Actor::ApiToken { name } => tx.api_tokens().await?.into_iter().find(|token| token.name == *name),
        Actor::Person(_) | Actor::LocalAdmin { .. } | Actor::Source { .. } | Actor::Gateway { .. } | Actor::System => {
            None
        }
    };
    let created_by = made_by.map(|token| token.created_by).filter(|maker| maker.starts_with("person:"));
    let created_by = created_by.unwrap_or_else(|| actor.to_string());
    let kept = domain::ApiToken { name: name.clone(), created_at: now, created_by, last_used_at: None };
    tx.api_token_add(&TokenHash::of(token.as_bytes()), &kept).await?;
    app.commit(tx, Record { at: now, actor, action: Action::TokenAdd, subject, detail: json!({}) }, Outbox::None)
        .await?;
    Ok(ApiTokenMade { name, created_at: now, token })
}

/// Revokes a token.
pub(crate) async fn revoke(app: &App, actor: &Actor, name: &str) -> Result<(), Refusal> {
    let subject = Subject::Token(name.to_owned());
    allow(actor, Action::TokenRevoke, &subject)?;
    // PostgreSQL takes no text with a NUL in it, and would call it a defect.
    if check_name(name).is_err() {
        let shown = doorward_model::repeatable(name, NAME_CHARS_MAX);
        return Err(Refusal::NotFound(format!("there is no token named {shown}: see the list of tokens")));
    }
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    tx.api_token_revoke(name, now).await?;
    app.commit(tx, Record { at: now, actor, action: Action::TokenRevoke, subject, detail: json!({}) }, Outbox::None)
        .await?;
    Ok(())
}

/// Returns who holds this token, or `None` for one that does not count.
///
/// The lookup is by hash, so that its time says nothing about how much of a guess was right.
pub(crate) async fn holder(app: &App, token: &str) -> Result<Option<Actor>, Refusal> {
    if !token.starts_with(PREFIX) || token.len() > TOKEN_BYTES_MAX {
        return Ok(None);
    }
    let (hash, now) = (TokenHash::of(token.as_bytes()), app.clock.now());
    let found = match in_time_if_up(app, async { Ok(app.store.read().await?.api_token(&hash, now).await?) }).await {
        Ok(Some(found)) => found,
        Ok(None) => {
            app.journal.remembered.learn(&hash, None);
            return Ok(None);
        }
        Err(refusal) => return app.journal.remembered.holder(&hash).map(Some).ok_or(refusal),
    };
    if found.last_used_at.is_none_or(|at| now.duration_since(at) >= LAST_USED_EVERY) {
        app.workers.spawn(used(app.clone(), hash, now));
    }
    let actor = Actor::ApiToken { name: found.name };
    app.journal.remembered.learn(&hash, Some(&actor));
    Ok(Some(actor))
}

async fn used(app: App, hash: TokenHash, at: Timestamp) {
    if let Err(error) = app.store.api_token_used(&hash, at).await {
        tracing::debug!(error = &error as &dyn std::error::Error, "a token's use was not noted");
    }
}

/// Refuses what is no name of a token.
pub(crate) fn check_name(name: &str) -> Result<(), Refusal> {
    let fits = name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.len() <= NAME_CHARS_MAX
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if fits {
        Ok(())
    } else {
        Err(Refusal::Invalid(format!(
            "a token's name has 1 to {NAME_CHARS_MAX} letters, digits, `-`, `_` or `.`, and starts with a letter or digit"
        )))
    }
}
