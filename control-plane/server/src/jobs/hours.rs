//! Weekly hours: when an occurrence ends, gateways are told the next one.
//!
//! Access ends without this, since the rule of a lease carries the end; what depends on it is that access comes back.

use doorward_domain::{Action, Actor, Subject};
use doorward_store::Outbox;
use serde_json::json;

use crate::app::{App, Record, Refusal};

/// Tells gateways the next occurrence of every grant of which the last one told is over.
pub(crate) async fn tell(app: &App) -> Result<(), Refusal> {
    let now = app.clock.now();
    if app.store.read().await?.grants_hours_due(now).await?.is_empty() {
        return Ok(());
    }
    let mut tx = app.store.write().await?;
    let due = tx.grants_hours_due(now).await?;
    let subject = match due.as_slice() {
        [] => return Ok(()),
        [only] => Subject::Grant(only.grant.id),
        _ => Subject::Everything,
    };
    let mut devices = Vec::new();
    let mut detail = Vec::with_capacity(due.len());
    for granted in &due {
        tx.grant_hours_told(&granted.grant, now).await?;
        devices.extend(tx.grantee_devices(granted.grant.to).await?);
        let next = granted.grant.span_told(now);
        detail.push(json!({
            "grant": granted.grant.id, "resource": granted.resource.name,
            "from": next.map(|next| next.not_before), "until": next.map(|next| next.not_after),
        }));
    }
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::GrantHours,
        subject,
        detail: json!({ "grants": detail }),
    };
    app.commit(tx, record, Outbox::Devices(devices)).await.map(drop)
}
