//! What admins do about directories: hand people over, keep them, and decide about what was done to many at once.

use doorward_domain::{
    self as domain, Account, Action, Actor, EndedBy, Mail, Principal, PrincipalState, Profile, Source, SourceKind,
    Subject,
};
use doorward_model::{AccountId, DeviceId, Email, SourceName, Timestamp};
use doorward_store::{Outbox, WriteTx};
use serde_json::json;
use uuid::Uuid;

use super::tokens;
use super::{lost_source, people_of, way_back};
use crate::api::ScimDecided;
use crate::app::find::{self, live_devices};
use crate::app::revocation::follow_up;
use crate::app::standing::refuse_own_hand;
use crate::app::{App, Record, Refusal, allow, people};

/// Hands somebody over to a directory.
pub(crate) async fn adopt(app: &App, actor: &Actor, name: &SourceName, email: &Email) -> Result<(), Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::SourceAdopt, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let source = tokens::find(&mut tx, name, SourceKind::Scim).await?;
    let person = find::person(&mut tx, email).await?;
    let owner = match tx.account_of(person.id).await? {
        Some(account) => tx.source(account.source).await?.map(|source| source.name),
        None => None,
    };
    domain::may_be_adopted(&person, owner.as_ref())?;
    tx.account_add(&given(&source, &person, now)).await?;
    let record = Record { at: now, actor, action: Action::SourceAdopt, subject, detail: json!({ "source": name }) };
    app.commit(tx, record, Outbox::None).await.map(drop)
}

/// The account of somebody who was here before the source knew them.
pub(super) fn given(source: &Source, person: &Principal, now: Timestamp) -> Account {
    let mail = Mail { value: person.email.to_string(), kind: Some("work".to_owned()), primary: Some(true) };
    Account {
        id: AccountId::new(Uuid::now_v7()),
        source: source.id,
        principal: person.id,
        external_id: None,
        user_name: person.email.to_string(),
        profile: Profile { display_name: Some(person.name.to_string()), emails: vec![mail], ..Profile::default() },
        suspended_at: None,
        held_at: None,
        by_hand_at: None,
        reactivated_at: None,
        deleted_at: None,
        created_at: now,
        changed_at: now,
    }
}

/// Keeps somebody by hand from here on. What they had through the directory's groups ends; whom it suspended stays
/// suspended until somebody takes them back.
pub(crate) async fn release(app: &App, actor: &Actor, email: &Email) -> Result<(), Refusal> {
    let subject = Subject::Person(email.clone());
    allow(actor, Action::SourceRelease, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, email).await?;
    refuse_own_hand(&mut tx, actor, &person).await?;
    let kept = || Refusal::NotFound(format!("{email} belongs to no directory: they are kept by hand already"));
    let account = tx.account_of(person.id).await?.ok_or_else(kept)?;
    let source = tx.source(account.source).await?.ok_or_else(lost_source)?;
    let groups = tx.source_groups_of(person.id).await?;
    for membership in &groups {
        tx.group_leave(membership.group, person.id).await?;
    }
    tx.account_end(account.id, EndedBy::Hand, now).await?;
    let devices = if groups.is_empty() { Vec::new() } else { live_devices(&mut tx, person.id).await? };
    let left: Vec<&str> = groups.iter().map(|group| group.display_name.as_str()).collect();
    let detail = json!({ "source": source.name, "left": left, "devices": devices });
    let record = Record { at: now, actor, action: Action::SourceRelease, subject, detail };
    commit(app, tx, record, devices).await
}

/// Takes back what a directory did to many at once: whoever it suspended in the burst, and whoever waits, is active again.
pub(crate) async fn undo(app: &App, actor: &Actor, name: &SourceName) -> Result<ScimDecided, Refusal> {
    let subject = Subject::Source(name.clone());
    allow(actor, Action::SourceUndo, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let source = tokens::known(&mut tx, name).await?;
    // Without a brake there is no burst, and those who wait are all there is to take back.
    let since = source.brake_since.unwrap_or(Timestamp::MAX);
    let (mut people, mut devices, mut left) = (Vec::new(), Vec::new(), Vec::new());
    for (account, person) in tx.accounts_in_burst(source.id, since).await? {
        match take_back(&mut tx, &source, &account, &person, now).await {
            Ok(Some(concerned)) => devices.extend(concerned),
            Ok(None) => {
                left.push(format!("{} is suspended by hand, or by another source", person.email));
                continue;
            }
            // One person whom nobody answers for, or whose own time is over, holds up nobody else.
            Err(Refusal::Refused(sentence)) => {
                left.push(sentence);
                continue;
            }
            Err(other) => return Err(other),
        }
        people.push(person.email);
    }
    clear(&mut tx, source, now).await?;
    let detail = json!({ "people": people, "left": left });
    commit(app, tx, Record { at: now, actor, action: Action::SourceUndo, subject, detail }, devices).await?;
    Ok(ScimDecided { name: name.clone(), people, left })
}

async fn take_back(
    tx: &mut WriteTx,
    source: &Source,
    account: &Account,
    person: &Principal,
    now: Timestamp,
) -> Result<Option<Vec<DeviceId>>, Refusal> {
    people::require_sponsor(tx, person, now).await?;
    let devices = tx.devices_of(person.id).await?;
    let back = way_back(tx, account).await?;
    let turn = account.turn_on(person, &devices, back, now)?;
    if source.kind.is_asked() && account.held_at.is_none() {
        // It would say the same again in a few minutes.
        tx.account_end(account.id, EndedBy::Hand, now).await?;
    } else {
        // It does not count as one more that the source took back.
        tx.account_update(&Account { reactivated_at: account.reactivated_at, ..turn.account }).await?;
    }
    let Some(effect) = turn.effect else { return Ok(None) };
    tx.effect_apply(&effect, now).await?;
    Ok(Some(effect.devices_concerned))
}

/// Lets what a directory did to many at once take its course: the cooling period runs, and who was deleted departs.
pub(crate) async fn confirm(app: &App, actor: &Actor, name: &SourceName) -> Result<ScimDecided, Refusal> {
    let subject = Subject::Source(name.clone());
    allow(actor, Action::SourceConfirm, &subject)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let source = tokens::known(&mut tx, name).await?;
    let Some(since) = source.brake_since else {
        return Err(Refusal::Conflict(format!("the brake of {name} is not on: there is nothing to confirm")));
    };
    let people = people_of(tx.accounts_in_burst(source.id, since).await?, PrincipalState::Suspended);
    clear(&mut tx, source, now).await?;
    let detail = json!({ "people": people });
    commit(app, tx, Record { at: now, actor, action: Action::SourceConfirm, subject, detail }, Vec::new()).await?;
    Ok(ScimDecided { name: name.clone(), people, left: Vec::new() })
}

async fn clear(tx: &mut WriteTx, source: Source, now: Timestamp) -> Result<(), Refusal> {
    Ok(tx.source_update(&Source { brake_since: None, brake_cleared_at: Some(now), ..source }).await?)
}

async fn commit(app: &App, tx: WriteTx, record: Record<'_>, devices: Vec<DeviceId>) -> Result<(), Refusal> {
    let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
    follow_up(app, &committed, devices);
    Ok(())
}
