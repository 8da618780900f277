//! Grants: list, give, take away.

use doorward_domain::{self as domain, Action, Actor, Subject, micros};
use doorward_model::{DeviceId, Email, GrantId, Interval, PrincipalId, TimeLimit, TimeLimitError, Timestamp};
use doorward_store::{Outbox, ReadTx};
use serde_json::json;
use uuid::Uuid;

use super::revocation::{Commitment, Concerned, outcome};
use super::views::{emails, promised};
use super::{App, Record, Refusal, allow, allow_read, people, reason, views};
use crate::api::{EndOutcome, Ended, Grant, GrantAdded, GrantNew};

/// Lists grants, of one person or of all.
pub(crate) async fn list(app: &App, actor: &Actor, of: Option<&Email>) -> Result<Vec<Grant>, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let granted = match of {
        Some(email) => {
            let person = people::find(&mut read, email).await?;
            read.grants_of(person.id).await?
        }
        None => read.grants().await?,
    };
    let emails = emails(&mut read).await?;
    granted
        .iter()
        .map(|granted| Ok(views::grant(app, granted, &promised(&emails, &granted.grant.principal)?, now)))
        .collect()
}

/// Gives a grant.
pub(crate) async fn add(app: &App, actor: &Actor, new: GrantNew) -> Result<GrantAdded, Refusal> {
    let GrantNew { email, resource, valid_for, until, from, reason: why } = new;
    allow(actor, Action::GrantAdd, &Subject::Person(email.clone()))?;
    let why = reason(why)?;
    let now = app.clock.now();
    let validity = validity(valid_for, until, from, now)?;
    let mut tx = app.store.write().await?;
    let person = people::find(&mut tx, &email).await?;
    let missing =
        || Refusal::NotFound(format!("no resource has the name {resource}: `doorward resource list` shows all"));
    let resource = tx.resource_by_name(&resource).await?.ok_or_else(missing)?;
    let new = domain::NewGrant {
        id: GrantId::new(Uuid::now_v7()),
        principal: &person,
        resource: &resource,
        validity,
        requested_by: actor.to_string(),
        approved_by: actor.to_string(),
        reason: why,
    };
    let grant = domain::Grant::add(new, now)?;
    tx.grant_add(&grant).await?;
    let devices = live_devices(&mut tx, person.id).await?;
    let record = Record {
        at: now,
        actor,
        action: Action::GrantAdd,
        subject: Subject::Grant(grant.id),
        detail: json!({
            "email": person.email, "resource": resource.name, "from": grant.validity.not_before,
            "until": grant.validity.not_after, "reason": grant.reason,
        }),
    };
    app.commit(tx, record, Outbox::Devices(devices)).await?;
    let warnings = grant.outlasts(&person).into_iter().collect();
    let granted = domain::GrantedResource { grant, resource: resource.into() };
    Ok(GrantAdded { grant: views::grant(app, &granted, &person.email, now), warnings })
}

/// Takes a grant away.
pub(crate) async fn revoke(app: &App, actor: &Actor, id: GrantId, why: Option<String>) -> Result<EndOutcome, Refusal> {
    let subject = Subject::Grant(id);
    allow(actor, Action::GrantRevoke, &subject)?;
    let why = reason(why)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let missing = || Refusal::NotFound(format!("no grant has the id {id}: `doorward grant list` shows all"));
    let principal = tx.grant(id).await?.ok_or_else(missing)?.principal;
    tx.grant_revoke(id, now).await?;
    let devices = live_devices(&mut tx, principal).await?;
    let person = tx.person(principal).await?.ok_or_else(missing)?;
    let granted = tx.grants_of(principal).await?;
    let grants = granted.iter().filter(|granted| granted.grant.id == id);
    let ended = Ended {
        grants: grants.map(|granted| views::grant(app, granted, &person.email, now)).collect(),
        ..Ended::default()
    };
    let detail = json!({ "email": person.email, "reason": why });
    let record = Record { at: now, actor, action: Action::GrantRevoke, subject, detail };
    let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
    let commitment = Commitment::new(app, &committed, Concerned::Devices(devices.into_iter().collect()));
    Ok(outcome(app, commitment, ended).await)
}

/// A person's devices that were not revoked.
pub(crate) async fn live_devices(read: &mut ReadTx, person: PrincipalId) -> Result<Vec<DeviceId>, Refusal> {
    let devices = read.devices_of(person).await?;
    Ok(devices.into_iter().filter(|device| device.revoked.is_none()).map(|device| device.id).collect())
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
