//! A directory's people: read, add, change, remove.

use doorward_domain::{
    self as domain, Account, Action, Effect, EndedBy, NewPrincipal, Principal, PrincipalKind, PrincipalState, Profile,
    Return, Source, Subject,
};
use doorward_model::{AccountId, DecisionId, DeviceId, Email, PersonName, PrincipalId};
use doorward_store::{Held, ReadTx, SourceMember};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::outage::{self, Untaken};
use super::{Work, way_back};
use crate::app::decide::{is_outage, while_it_commits};
use crate::app::find::live_devices;
use crate::app::health::in_time_if_up;
use crate::app::{App, Refusal, apply, people};

/// An account as it is shown to its source.
#[derive(Debug, Clone)]
pub(crate) struct View {
    pub(crate) account: Account,
    pub(crate) person: Principal,
    pub(crate) groups: Vec<SourceMember>,
}

impl View {
    /// Says whether the person is active, whoever decided it.
    pub(crate) fn is_active(&self) -> bool {
        self.person.state == PrincipalState::Active
    }
}

/// How an account should be.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) user_name: String,
    pub(crate) external_id: Option<String>,
    pub(crate) profile: Profile,
    /// `None` where the source says nothing about it.
    pub(crate) active: Option<bool>,
    /// The address that follows from it, where one does.
    pub(crate) address: Option<Email>,
    pub(crate) name: PersonName,
}

/// Whom a source asks for.
#[derive(Debug, Clone)]
pub(crate) enum Lookup {
    All,
    Id(AccountId),
    UserName(String),
    ExternalId(String),
}

/// Finds accounts, by id.
pub(crate) async fn find(app: &App, source: &Source, lookup: Lookup) -> Result<Vec<View>, Refusal> {
    match in_time_if_up(app, read(app, source, &lookup)).await {
        Err(refusal) if is_outage(&refusal) => {
            // Directories look whom they are about to put out.
            app.sources.account(source.id, &lookup).map(|view| vec![view]).ok_or(refusal)
        }
        found => found,
    }
}

async fn read(app: &App, source: &Source, lookup: &Lookup) -> Result<Vec<View>, Refusal> {
    let mut read = app.store.read().await?;
    let held = match lookup {
        Lookup::All => return all(&mut read, source).await,
        Lookup::Id(id) => read.account(source.id, *id).await?.into_iter().collect(),
        Lookup::UserName(name) => read.accounts_by_user_name(source.id, name).await?,
        Lookup::ExternalId(id) => read.accounts_by_external_id(source.id, id).await?,
    };
    let mut views = Vec::with_capacity(held.len());
    for held in held {
        views.push(view(&mut read, held).await?);
    }
    Ok(views)
}

/// Reads every account of a source.
pub(super) async fn all(read: &mut ReadTx, source: &Source) -> Result<Vec<View>, Refusal> {
    let held = read.accounts(source.id).await?;
    let members = read.source_members(source.id).await?;
    Ok(with_groups(held, members))
}

fn with_groups(held: Vec<Held>, members: Vec<SourceMember>) -> Vec<View> {
    let mut groups: std::collections::HashMap<AccountId, Vec<SourceMember>> = std::collections::HashMap::new();
    for member in members {
        groups.entry(member.account).or_default().push(member);
    }
    let view = |(account, person): Held| {
        let groups = groups.remove(&account.id).unwrap_or_default();
        View { account, person, groups }
    };
    held.into_iter().map(view).collect()
}

async fn view(read: &mut ReadTx, (account, person): Held) -> Result<View, Refusal> {
    let groups = read.source_groups_of(person.id).await?;
    Ok(View { account, person, groups })
}

fn missing(id: AccountId) -> Refusal {
    Refusal::NotFound(format!("there is no user {id}"))
}

/// Shows an account.
pub(crate) async fn show(app: &App, source: &Source, id: AccountId) -> Result<View, Refusal> {
    find(app, source, Lookup::Id(id)).await?.into_iter().next().ok_or_else(|| missing(id))
}

/// What a change does beside the account itself.
#[derive(Default)]
struct Doing {
    action: Option<Action>,
    detail: Map<String, Value>,
    devices: Vec<DeviceId>,
}

impl Doing {
    fn note(&mut self, key: &str, value: Value) {
        self.detail.insert(key.to_owned(), value);
    }
}

/// Adds an account with its person. Whoever departed through this source comes back as the account alone; whoever is here
/// already is not the source's until an admin says so.
pub(crate) async fn add(app: &App, source: &Source, wanted: Wanted) -> Result<View, Refusal> {
    let mut work = Work::begin(app, source).await?;
    let nowhere = || {
        Refusal::Invalid("no email address came: send one in `emails`, or a `userName` that is an address".to_owned())
    };
    let address = wanted.address.clone().ok_or_else(nowhere)?;
    let mut doing = Doing { action: Some(Action::PersonAdd), ..Doing::default() };
    doing.note("name", json!(wanted.name));
    let mut account = Account {
        id: AccountId::new(Uuid::now_v7()),
        source: work.source.id,
        principal: PrincipalId::new(Uuid::nil()),
        external_id: wanted.external_id,
        user_name: wanted.user_name,
        profile: wanted.profile,
        suspended_at: None,
        held_at: None,
        by_hand_at: None,
        reactivated_at: None,
        deleted_at: None,
        created_at: work.now,
        changed_at: work.now,
    };
    let mut person = match work.tx.person_by_email(&address).await? {
        None => added(&mut work, address, wanted.name).await?,
        Some(person) => back(&mut work, &mut account, &mut doing, person, wanted.name).await?,
    };
    account.principal = person.id;
    work.tx.account_add(&account).await?;
    if wanted.active == Some(false) && account.suspended_at.is_none() {
        let turn = account.turn_off(&person, &[], work.now);
        account = turn.account;
        if let Some(effect) = turn.effect {
            person = effect.principal.clone();
            let applied = apply(&mut work.tx, &work.actor, &effect, None, work.now).await?;
            doing.detail.extend(applied.recorded());
            doing.devices.extend(applied.devices);
        }
    } else if wanted.active != Some(false) && account.suspended_at.is_some() {
        account.held_at = Some(work.now);
    }
    work.tx.account_update(&account).await?;
    doing.note("account", json!(account.id));
    doing.note("active", json!(person.state == PrincipalState::Active));
    let view = View { account, person, groups: Vec::new() };
    finish(work, doing, &view).await?;
    app.sources.put(&view);
    Ok(view)
}

async fn added(work: &mut Work<'_>, email: Email, name: PersonName) -> Result<Principal, Refusal> {
    let id = PrincipalId::new(Uuid::now_v7());
    let new = NewPrincipal { id, email, name, kind: PrincipalKind::Staff, sponsor: None, not_after: None };
    let person = Principal::add(new, work.now)?;
    work.tx.person_add(&person).await?;
    Ok(person)
}

/// Takes back somebody whom this source put out, or deleted in a burst that somebody has yet to look at.
async fn back(
    work: &mut Work<'_>,
    account: &mut Account,
    doing: &mut Doing,
    person: Principal,
    name: PersonName,
) -> Result<Principal, Refusal> {
    if let Some(before) = work.tx.account_of(person.id).await? {
        if before.source != work.source.id || before.deleted_at.is_none() {
            let owner = work.tx.source(before.source).await?.map(|source| source.name);
            return Err(domain::taken(&person, &work.source.name, owner.as_ref()).into());
        }
        // They are as suspended as they were, and whoever looks at the burst decides.
        account.suspended_at = before.suspended_at;
        account.by_hand_at = before.by_hand_at;
        work.tx.account_end(before.id, EndedBy::Source, work.now).await?;
        return Ok(person);
    }
    let ended = work.tx.account_ended(person.id).await?;
    if person.state != PrincipalState::Departed || ended != Some((work.source.id, EndedBy::Source)) {
        return Err(domain::taken(&person, &work.source.name, None).into());
    }
    people::require_sponsor(&mut work.tx, &person, work.now).await?;
    let Effect { principal, .. } = domain::restore(&person, &[], work.now)?;
    let person = Principal { name, ..principal };
    work.tx.person_update(&person).await?;
    doing.action = Some(Action::PersonRestore);
    Ok(person)
}

/// Changes an account to what `decide` makes of it, inside one transaction.
pub(crate) async fn change<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: AccountId,
    decide: impl Fn(&View) -> Result<Wanted, E>,
) -> Result<View, E> {
    let decision = DecisionId::new(Uuid::now_v7());
    match while_it_commits(app, change_as(app, source, (decision, id), &decide)).await {
        Ok(changed) => changed.inspect(|view| app.sources.put(view)),
        Err(refusal) => outage::change(app, source, id, decide, Untaken { decision, refusal }).await,
    }
}

/// What the source asks for is the inner answer, what becomes of it the outer one.
async fn change_as<E>(
    app: &App,
    source: &Source,
    (decision, id): (DecisionId, AccountId),
    decide: impl Fn(&View) -> Result<Wanted, E>,
) -> Result<Result<View, E>, Refusal> {
    let mut work = Work::begin(app, source).await?;
    let held = work.tx.account(work.source.id, id).await?.ok_or_else(|| missing(id))?;
    let before = view(&mut work.tx, held).await?;
    let wanted = match decide(&before) {
        Ok(wanted) => wanted,
        Err(refused) => return Ok(Err(refused)),
    };
    let mut view = before.clone();
    let mut doing = Doing::default();
    let active = wanted.active;
    edit(&mut work, &mut doing, &mut view, wanted).await?;
    if let Some(active) = active {
        if !active {
            work.takes_away(decision).await?;
        }
        turn(&mut work, &mut doing, &mut view, active).await?;
    }
    if view.account == before.account && view.person == before.person {
        return Ok(Ok(view));
    }
    work.tx.account_update(&view.account).await?;
    finish(work, doing, &view).await?;
    Ok(Ok(view))
}

/// Takes over what the source says of somebody, and what follows for their name and address.
async fn edit(work: &mut Work<'_>, doing: &mut Doing, view: &mut View, wanted: Wanted) -> Result<(), Refusal> {
    let View { account, person, .. } = view;
    let Wanted { user_name, external_id, profile, address, name, .. } = wanted;
    if account.user_name != user_name || account.external_id != external_id || account.profile != profile {
        *account = Account { user_name, external_id, profile, changed_at: work.now, ..account.clone() };
        doing.action = Some(Action::SourceUpdate);
    }
    let address = address.unwrap_or_else(|| person.email.clone());
    if person.name == name && person.email == address {
        return Ok(());
    }
    domain::may_be_edited(person)?;
    doing.action = Some(Action::SourceUpdate);
    if person.email != address {
        if let Some(other) = work.tx.person_by_email(&address).await? {
            let owner = match work.tx.account_of(other.id).await? {
                Some(account) => work.tx.source(account.source).await?.map(|source| source.name),
                None => None,
            };
            return Err(domain::taken(&other, &work.source.name, owner.as_ref()).into());
        }
        doing.note("address_before", json!(person.email));
        doing.devices.extend(live_devices(&mut work.tx, person.id).await?);
        person.email = address;
        work.tx.person_readdress(person).await?;
    }
    doing.note("name", json!(name));
    person.name = name;
    Ok(work.tx.person_update(person).await?)
}

/// Does what the source says about whether somebody is active.
async fn turn(work: &mut Work<'_>, doing: &mut Doing, view: &mut View, active: bool) -> Result<(), Refusal> {
    let View { account, person, .. } = view;
    let devices = work.tx.devices_of(person.id).await?;
    let turn = if !active {
        if account.suspended_at.is_none() {
            work.count_off().await?;
        }
        account.turn_off(person, &devices, work.now)
    } else if account.suspended_at.is_some() {
        let waits = work.count_on(account.held_at.is_some()).await?;
        if !waits {
            people::require_sponsor(&mut work.tx, person, work.now).await?;
        }
        doing.note("waits", json!(waits));
        let back = if waits { Return::Waits } else { way_back(&mut work.tx, account).await? };
        account.turn_on(person, &devices, back, work.now)?
    } else {
        return Ok(());
    };
    if *account == turn.account && turn.effect.is_none() {
        return Ok(());
    }
    doing.action = Some(if active { Action::PersonRestore } else { Action::PersonSuspend });
    *account = turn.account;
    if let Some(effect) = turn.effect {
        let applied = apply(&mut work.tx, &work.actor, &effect, None, work.now).await?;
        *person = effect.principal;
        doing.detail.extend(applied.recorded());
        doing.devices.extend(applied.devices);
    }
    doing.note("state", json!(person.state));
    doing.note("brake_since", json!(work.source.brake_since));
    Ok(())
}

async fn finish(work: Work<'_>, mut doing: Doing, view: &View) -> Result<(), Refusal> {
    let Some(action) = doing.action else { return Ok(()) };
    doing.note("devices", json!(doing.devices));
    let subject = Subject::Person(view.person.email.clone());
    work.commit(action, subject, Value::Object(doing.detail), doing.devices).await
}

/// Removes an account: the person departs at once, or is suspended where that is one of too many.
pub(crate) async fn remove<E: From<Refusal>>(
    app: &App,
    source: &Source,
    id: AccountId,
    check: impl Fn(&View) -> Result<(), E>,
) -> Result<(), E> {
    let decision = DecisionId::new(Uuid::now_v7());
    match while_it_commits(app, remove_as(app, source, (decision, id), &check)).await {
        Ok(removed) => removed.inspect(|()| app.sources.forget_account(id)),
        Err(refusal) => outage::remove(app, source, id, check, Untaken { decision, refusal }).await,
    }
}

async fn remove_as<E>(
    app: &App,
    source: &Source,
    (decision, id): (DecisionId, AccountId),
    check: impl Fn(&View) -> Result<(), E>,
) -> Result<Result<(), E>, Refusal> {
    let mut work = Work::begin(app, source).await?;
    let held = work.tx.account(work.source.id, id).await?.ok_or_else(|| missing(id))?;
    let view = view(&mut work.tx, held).await?;
    if let Err(refused) = check(&view) {
        return Ok(Err(refused));
    }
    work.takes_away(decision).await?;
    Ok(Ok(delete(work, view).await?))
}

async fn delete(mut work: Work<'_>, view: View) -> Result<(), Refusal> {
    let View { account, person, .. } = view;
    if account.suspended_at.is_none() {
        work.count_off().await?;
    }
    let devices = work.tx.devices_of(person.id).await?;
    let grants: Vec<_> = work.tx.grants_of(person.id).await?.into_iter().map(|granted| granted.grant).collect();
    let braked = work.source.brake_since.is_some();
    let turn = account.delete(&person, &devices, &grants, braked, work.now);
    let action = if braked {
        work.tx.account_update(&turn.account).await?;
        Action::PersonSuspend
    } else {
        work.tx.account_end(account.id, EndedBy::Source, work.now).await?;
        Action::PersonOffboard
    };
    let mut doing = Doing::default();
    if let Some(effect) = turn.effect {
        let applied = apply(&mut work.tx, &work.actor, &effect, None, work.now).await?;
        doing.detail.extend(applied.recorded());
        doing.devices = applied.devices;
    }
    doing.note("because", json!("deleted"));
    doing.note("brake_since", json!(work.source.brake_since));
    work.commit(action, Subject::Person(person.email), Value::Object(doing.detail), doing.devices).await
}
