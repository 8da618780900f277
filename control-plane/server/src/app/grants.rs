//! Grants: list, give to a person or a group, take away.

use doorward_domain::{self as domain, Action, Actor, Grantee, Principal, Receiver, Subject, WeeklyHours, micros};
use doorward_model::{Email, GrantId, GroupName, Interval, TimeLimit, TimeLimitError, Timestamp};
use doorward_store::{Outbox, WriteTx};
use jiff::tz::TimeZone;
use serde_json::json;
use uuid::Uuid;

use super::decide::{Effects, decide};
use super::journal::{Decision, Order};
use super::revocation::Concerned;
use super::standing::refuse_own_hand;
use super::views::names;
use super::{App, Record, Refusal, allow, allow_read, find, reason, views};
use crate::api::{EndOutcome, Ended, Grant, GrantAdded, GrantNew};

/// Lists grants, of one person with those of their groups, or all.
pub(crate) async fn list(app: &App, actor: &Actor, of: Option<&Email>) -> Result<Vec<Grant>, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let names = names(&mut read).await?;
    let Some(email) = of else {
        let granted = read.grants().await?;
        let render =
            |granted: &domain::GrantedResource| Ok(views::grant(app, granted, &names.holder(granted.grant.to)?, now));
        return granted.iter().map(render).collect();
    };
    let person = find::person(&mut read, email).await?;
    let granted = read.grants_for(person.id).await?;
    let render = |granted: &domain::GrantedResource| {
        Ok(views::grant(app, granted, &names.held_by(granted.grant.to, &person.email)?, now))
    };
    granted.iter().map(render).collect()
}

/// Who is to get a grant, found.
enum Found {
    Person(Principal),
    Group(domain::Group),
}

/// Gives a grant.
pub(crate) async fn add(app: &App, actor: &Actor, new: GrantNew) -> Result<GrantAdded, Refusal> {
    let GrantNew { email, group, resource, valid_for, until, from, hours, reason: why } = new;
    let to = match (email, group) {
        (Some(email), None) => Ok(email),
        (None, Some(group)) => Err(group),
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::Invalid("a grant is for one of `email` and `group`: give one of them".to_owned()));
        }
    };
    let subject =
        to.as_ref().map_or_else(|group| Subject::Group(group.clone()), |email| Subject::Person(email.clone()));
    allow(actor, Action::GrantAdd, &subject)?;
    let why = reason(why)?;
    let hours = hours.map(|text| text.parse::<WeeklyHours>()).transpose()?.map(|weekly| {
        let zone = TimeZone::get(weekly.zone_name()).ok();
        weekly.in_zone(zone)
    });
    let now = app.clock.now();
    let validity = validity(valid_for, until, from, now)?;
    let mut tx = app.store.write().await?;
    let found = find_receiver(&mut tx, actor, &to).await?;
    let resource = find::resource(&mut tx, &resource).await?;
    let new = domain::NewGrant {
        id: GrantId::new(Uuid::now_v7()),
        to: match &found {
            Found::Person(person) => Receiver::Person(person),
            Found::Group(group) => Receiver::Group(group),
        },
        resource: &resource,
        validity,
        hours,
        requested_by: actor.to_string(),
        approved_by: actor.to_string(),
        reason: why,
    };
    let grant = domain::Grant::add(new, now)?;
    tx.grant_add(&grant).await?;
    let devices = tx.grantee_devices(grant.to).await?;
    let holder = names(&mut tx).await?.holder(grant.to)?;
    let granted = domain::GrantedResource { grant, resource: resource.into() };
    let rendered = views::grant(app, &granted, &holder, now);
    let detail = json!({
        "email": rendered.email, "group": rendered.group, "resource": rendered.resource, "from": rendered.from,
        "until": rendered.until, "hours": rendered.hours, "reason": rendered.reason,
    });
    let record = Record { at: now, actor, action: Action::GrantAdd, subject: Subject::Grant(rendered.id), detail };
    app.commit(tx, record, Outbox::Devices(devices)).await?;
    let warnings = match &found {
        Found::Person(person) => granted.grant.outlasts(person).into_iter().collect(),
        Found::Group(_) => Vec::new(),
    };
    Ok(GrantAdded { grant: rendered, warnings })
}

async fn find_receiver(tx: &mut WriteTx, actor: &Actor, to: &Result<Email, GroupName>) -> Result<Found, Refusal> {
    match to {
        Ok(email) => {
            let person = find::person(tx, email).await?;
            refuse_own_hand(tx, actor, &person).await?;
            Ok(Found::Person(person))
        }
        Err(name) => {
            let group = find::group(tx, name).await?;
            for member in tx.group_members(group.id).await? {
                refuse_own_hand(tx, actor, &member).await?;
            }
            Ok(Found::Group(group))
        }
    }
}

/// Takes a grant away.
pub(crate) async fn revoke(app: &App, actor: &Actor, id: GrantId, why: Option<String>) -> Result<EndOutcome, Refusal> {
    allow(actor, Action::GrantRevoke, &Subject::Grant(id))?;
    decide(app, actor, Order::RevokeGrant { grant: id }, reason(why)?).await
}

/// Writes the end of a grant.
pub(super) async fn write_revoke(
    app: &App,
    tx: &mut WriteTx,
    decision: &Decision,
    id: GrantId,
) -> Result<Effects, Refusal> {
    let now = decision.at;
    let missing = || Refusal::NotFound(format!("no grant has the id {id}: `doorward grant list` shows all"));
    tx.grant(id).await?.ok_or_else(missing)?;
    let grant = tx.grant_revoke(id, now).await?;
    let devices = tx.grantee_devices(grant.to).await?;
    let holder = names(tx).await?.holder(grant.to)?;
    let granted = match grant.to {
        Grantee::Person(person) => tx.grants_of(person).await?,
        Grantee::Group(group) => tx.grants_of_group(group).await?,
    };
    let grants = granted.iter().filter(|granted| granted.grant.id == id);
    let ended =
        Ended { grants: grants.map(|granted| views::grant(app, granted, &holder, now)).collect(), ..Ended::default() };
    let whose = ended.grants.first().map(|grant| (grant.email.clone(), grant.group.clone()));
    let (email, group) = whose.unwrap_or_default();
    Ok(Effects {
        detail: json!({ "email": email, "group": group, "reason": decision.reason }),
        outbox: Outbox::Devices(devices.clone()),
        concerned: Concerned::Devices(devices.into_iter().collect()),
        ended,
        warnings: Vec::new(),
    })
}

fn validity(
    valid_for: Option<TimeLimit>,
    until: Option<TimeLimit>,
    from: Option<TimeLimit>,
    now: Timestamp,
) -> Result<Interval, Refusal> {
    let wrong = |error: TimeLimitError| Refusal::Invalid(error.to_string());
    let not_before = from.map_or(Ok(now), |from| from.resolve(now)).map_err(wrong)?;
    let not_after = match (valid_for, until) {
        (Some(span @ TimeLimit::After(_)), None) => span.resolve(not_before).map_err(wrong)?,
        (Some(TimeLimit::At(_)), None) => {
            return Err(Refusal::Invalid("`for` takes a span such as 8h; for a point in time use `until`".to_owned()));
        }
        (None, Some(until)) => until.resolve(now).map_err(wrong)?,
        (Some(_), Some(_)) => {
            return Err(Refusal::Invalid("`for` and `until` exclude each other: give one of them".to_owned()));
        }
        (None, None) => {
            return Err(Refusal::Invalid(
                "a grant needs an end: give `for` such as 8h, or `until` such as 2026-12-24T18:00:00Z".to_owned(),
            ));
        }
    };
    Ok(Interval { not_before: micros(not_before), not_after: micros(not_after) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(text: &str) -> Option<TimeLimit> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn a_span_counts_from_the_beginning_of_the_grant() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let validity = validity(limit("8h"), None, limit("2026-11-22T08:00:00Z"), now).unwrap();
        assert_eq!(validity.not_after, "2026-11-22T16:00:00Z".parse().unwrap());
    }

    #[test]
    fn exactly_one_end_is_given() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        assert!(matches!(validity(None, None, None, now), Err(Refusal::Invalid(_))));
        assert!(matches!(validity(limit("8h"), limit("9h"), None, now), Err(Refusal::Invalid(_))));
        assert!(matches!(validity(limit("2026-11-22T08:00:00Z"), None, None, now), Err(Refusal::Invalid(_))));
        assert!(matches!(validity(None, limit("2026-11-20T08:00:00Z"), None, now), Err(Refusal::Invalid(_))));
        assert!(validity(None, limit("4d"), None, now).is_ok());
    }
}
