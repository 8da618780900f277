//! Sources of every kind, listed together.

use doorward_domain::{Actor, SourceKind};
use doorward_model::Timestamp;
use doorward_store::SourceWord;

use super::poll;
use crate::api::{self, SourceSort};
use crate::app::{App, Refusal, allow_read};

const fn sort(kind: SourceKind) -> SourceSort {
    match kind {
        SourceKind::Scim => SourceSort::Scim,
        SourceKind::Hook => SourceSort::Hook,
        SourceKind::File => SourceSort::File,
        SourceKind::Ldap => SourceSort::Ldap,
    }
}

/// Renders what a source says of somebody.
pub(crate) fn word(word: SourceWord) -> api::PersonSource {
    let SourceWord { name, kind, suspended_at, .. } = word;
    api::PersonSource { name, kind: sort(kind), manages: kind.manages_people(), suspended_at }
}

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
            kind: sort(source.kind),
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
