//! Notices before an end, as mail: to whose end it is, and to who answers for them.
//!
//! A mail that fails is tried again until what it is about has ended; the status says how many wait and why.

use doorward_domain::{EndNotice, EndingKind, Principal};
use doorward_store::NoticeMail;

use crate::app::{App, Refusal};
use crate::net::{Mail, MailError};

/// Sends what is due. The first mail that finds no server ends the round: the others would find none either.
pub(super) async fn send(app: &App, mail: &Mail) -> Result<(), Refusal> {
    let due = app.store.read().await?.notice_mails_due(app.clock.now()).await?;
    for waiting in due {
        if !app.store.notice_mail_take(&waiting, app.clock.now()).await? {
            continue;
        }
        let letter = letter(app, &waiting).await?;
        let sent = mail.send(&waiting.to, &letter.subject, letter.body).await;
        let done = sent.as_ref().copied().map_err(MailError::reason);
        if let Err(error) = &sent {
            tracing::warn!(error = error as &dyn std::error::Error, tries = waiting.tries, "a notice was not mailed");
        }
        app.store.notice_mail_done(&waiting, done, app.clock.now()).await?;
        if sent.is_err_and(|error| error.is_of_the_server()) {
            break;
        }
    }
    Ok(())
}

struct Letter {
    subject: String,
    body: String,
}

async fn letter(app: &App, waiting: &NoticeMail) -> Result<Letter, Refusal> {
    let NoticeMail { notice, to, .. } = waiting;
    let mut read = app.store.read().await?;
    let whose = match notice.principal.filter(|id| *id != to.id) {
        Some(id) => read.person(id).await?,
        None => None,
    };
    let in_group = match notice.group {
        Some(group) => read.group_members(group).await?.iter().any(|member| member.id == to.id),
        None => false,
    };
    let group = match notice.group {
        Some(group) => read.group_names().await?.remove(&group).map(|name| name.to_string()),
        None => None,
    };
    Ok(write(notice, to, whose.as_ref(), group.as_deref(), in_group, |path| app.accounts.site.link(path)))
}

/// Writes it: to the person (`whose` is nobody), to who answers for them, or about what a group has.
fn write(
    notice: &EndNotice,
    to: &Principal,
    whose: Option<&Principal>,
    group: Option<&str>,
    in_group: bool,
    link: impl Fn(&str) -> String,
) -> Letter {
    let at = notice.ends_at.strftime("%Y-%m-%d %H:%M UTC");
    let what = &notice.what;
    let (subject, sentence, advice) = match (whose, group) {
        (Some(person), _) => {
            let (name, email) = (&person.name, &person.email);
            let about = match notice.kind {
                EndingKind::Grant => format!("the access of {name} to {what}"),
                EndingKind::Person => format!("the time of {name}"),
                EndingKind::Device => format!("the device {what} of {name}"),
            };
            let sentence = format!("{about} ends on {at}. You answer for {name} ({email}).");
            let advice = match notice.kind {
                EndingKind::Grant => {
                    format!("If they need it longer, let them ask again; you answer at {}", link("/approvals"))
                }
                EndingKind::Person => {
                    "If they stay longer, tell an admin before then. Otherwise there is nothing to do.".to_owned()
                }
                EndingKind::Device => format!("If they still use it, they add it again at {}", link("/devices/new")),
            };
            (format!("Ends soon: {about}"), sentence, advice)
        }
        (None, Some(group)) => {
            let whose = if in_group { "of which you are a member" } else { "in which are people you answer for" };
            let sentence = format!("the access to {what} of the group {group}, {whose}, ends on {at}.");
            (
                format!("Ends soon: access to {what}"),
                sentence,
                "If it is needed longer, tell an admin before then.".to_owned(),
            )
        }
        (None, None) => match notice.kind {
            EndingKind::Grant => (
                format!("Ends soon: your access to {what}"),
                format!("your access to {what} ends on {at}."),
                format!("If you need it longer, ask for it at {}", link("/requests")),
            ),
            EndingKind::Person => (
                "Ends soon: your access".to_owned(),
                format!("all of your access ends on {at}."),
                "If you stay longer, tell whoever you work for before then.".to_owned(),
            ),
            EndingKind::Device => (
                format!("Ends soon: your device {what}"),
                format!("your device {what} connects until {at}."),
                format!("If you still use it, add it again at {}", link("/devices/new")),
            ),
        },
    };
    Letter { subject, body: format!("Hello {},\n\n{sentence}\n\n{advice}\n", to.name) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use doorward_domain::{NewPrincipal, PrincipalKind};
    use doorward_model::{PrincipalId, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn person(n: u128, name: &str) -> Principal {
        let new = NewPrincipal {
            id: PrincipalId::new(Uuid::from_u128(n)),
            email: format!("p{n}@shop.example").parse().unwrap(),
            name: name.parse().unwrap(),
            kind: PrincipalKind::Staff,
            sponsor: None,
            not_after: None,
        };
        Principal::add(new, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn each_reader_is_told_what_ends_and_what_to_do() {
        let (dba, sponsor) = (person(1, "Dana"), person(2, "Sam"));
        let notice = |kind| EndNotice {
            kind,
            subject: Uuid::nil(),
            ends_at: "2026-11-25T08:00:00Z".parse().unwrap(),
            lead: Duration::from_secs(86_400),
            principal: Some(dba.id),
            group: None,
            what: "customer-db".to_owned(),
            noticed_at: Timestamp::UNIX_EPOCH,
        };
        let link = |path: &str| format!("https://door.shop.example{path}");
        for kind in [EndingKind::Grant, EndingKind::Person, EndingKind::Device] {
            let own = write(&notice(kind), &dba, None, None, false, link);
            assert!(own.body.starts_with("Hello Dana,") && own.body.contains("2026-11-25 08:00 UTC"), "{}", own.body);
            assert!(own.subject.starts_with("Ends soon: your"), "{}", own.subject);
            let theirs = write(&notice(kind), &sponsor, Some(&dba), None, false, link);
            assert!(
                theirs.body.contains("Dana (p1@shop.example)") && theirs.subject.contains("Dana"),
                "{}",
                theirs.body
            );
        }
        let grant = write(&notice(EndingKind::Grant), &dba, None, None, false, link);
        assert!(grant.body.contains("https://door.shop.example/requests"), "{}", grant.body);
        let group = EndNotice { principal: None, ..notice(EndingKind::Grant) };
        let letter = write(&group, &dba, None, Some("support"), true, link);
        assert!(letter.body.contains("the group support, of which you are a member"), "{}", letter.body);
    }
}
