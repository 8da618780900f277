//! What ends soon.

use doorward_domain::{Actor, EndNotice, EndingKind};
use doorward_store::ReadTx;

use super::views::names;
use super::{App, Refusal, allow_read};
use crate::api;

/// Lists what ends soon, the earliest first: everything for roles that read, and one's own for everybody.
pub(crate) async fn list(app: &App, actor: &Actor) -> Result<Vec<api::EndNotice>, Refusal> {
    let mut read = app.store.read().await?;
    let own = match actor {
        Actor::Person(person) if !person.role.reads() => Some(person.id),
        Actor::Person(_)
        | Actor::LocalAdmin { .. }
        | Actor::ApiToken { .. }
        | Actor::Source { .. }
        | Actor::Gateway { .. }
        | Actor::System => {
            allow_read(actor)?;
            None
        }
    };
    let now = app.clock.now();
    let mut notices = read.end_notices(now).await?;
    if let Some(person) = own {
        let groups: Vec<_> = read.groups_of(person).await?.into_iter().map(|group| group.id).collect();
        notices.retain(|it| it.principal == Some(person) || it.group.is_some_and(|group| groups.contains(&group)));
    }
    render(&mut read, notices).await
}

/// Puts names to notices; of several for one end the last counts.
pub(crate) async fn render(read: &mut ReadTx, notices: Vec<EndNotice>) -> Result<Vec<api::EndNotice>, Refusal> {
    if notices.is_empty() {
        return Ok(Vec::new());
    }
    let names = names(read).await?;
    let mut rendered: Vec<api::EndNotice> = Vec::new();
    for notice in notices {
        let EndNotice { kind, subject, ends_at, principal, group, what, noticed_at, lead: _ } = notice;
        if let Some(same) = rendered.iter_mut().find(|it| it.id == subject && it.ends_at == ends_at) {
            same.noticed_at = same.noticed_at.max(noticed_at);
            continue;
        }
        rendered.push(api::EndNotice {
            kind: match kind {
                EndingKind::Grant => api::EndingKind::Grant,
                EndingKind::Person => api::EndingKind::Person,
                EndingKind::Device => api::EndingKind::Device,
            },
            id: subject,
            what,
            email: principal.and_then(|id| names.emails.get(&id).cloned()),
            group: group.and_then(|id| names.groups.get(&id).cloned()),
            ends_at,
            noticed_at,
        });
    }
    Ok(rendered)
}
