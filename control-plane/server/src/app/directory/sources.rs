//! Sources of every kind, listed together.

use doorward_domain::{Actor, SourceKind};
use doorward_model::Timestamp;

use super::poll;
use crate::api::{self, SourceSort};
use crate::app::{App, Refusal, allow_read};

/// Lists sources with what they hold suspended.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<api::Source>, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let mut found = Vec::new();
    for source in read.sources().await? {
        let burst = read.burst(source.id, Timestamp::MAX).await?;
        let asked = app.ldap.as_ref().filter(|ldap| ldap.name == source.name);
        let good = read.source_rounds(source.id).await?.and_then(|rounds| rounds.good);
        found.push(api::Source {
            kind: match source.kind {
                SourceKind::Scim => SourceSort::Scim,
                SourceKind::Hook => SourceSort::Hook,
                SourceKind::File => SourceSort::File,
                SourceKind::Ldap => SourceSort::Ldap,
            },
            name: source.name,
            created_at: source.created_at,
            people: burst.people,
            suspended: burst.people.saturating_sub(burst.active),
            brake_since: source.brake_since,
            asked_at: good.map(|good| good.at),
            delay_seconds: good.zip(asked).map(|(good, ldap)| poll::delay(ldap, &good)),
        });
    }
    Ok(found)
}
