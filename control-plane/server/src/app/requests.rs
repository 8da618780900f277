//! Requests for access: ask, answer, take back.
//!
//! Whoever answers is looked at again inside the write transaction, so that of two who answer at once the second is told
//! who was first, and so that nobody answers with a role that was taken from them a moment ago.

use std::collections::HashMap;

use doorward_domain::{
    self as domain, Action, Actor, Asked, Decided, Decision, Principal, Receiver, RequestState, Resource, Shorter,
    SignedIn, Subject, authorise, micros,
};
use doorward_model::{Email, GrantId, PrincipalId, RequestId, ResourceId, Span, TimeLimit, Timestamp};
use doorward_store::{Outbox, ReadTx, WriteTx};
use serde_json::json;
use uuid::Uuid;

use super::find::live_devices;
use super::standing::{at_this_moment, refuse_own_hand};
use super::views::{Emails, Holder, promised};
use super::{App, Record, Refusal, allow, concerned, find, reason, views};
use crate::api::{self, Request, RequestApproval, RequestApproved, RequestNew};

/// Lists requests that whoever calls may see: their own, those they may answer, and all for roles that read. Open ones
/// first, then the newest first.
pub(crate) async fn list(app: &App, actor: &Actor, of: Option<&Email>, all: bool) -> Result<Vec<Request>, Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let mut requests = read.requests_open(now).await?;
    if all {
        let newest = match (of, actor) {
            (Some(email), _) => {
                let person = find::person(&mut read, email).await?;
                read.requests_of(person.id).await?
            }
            (None, Actor::Person(person)) if !person.role.reads() => {
                let mut newest = read.requests().await?;
                newest.extend(read.requests_of(person.id).await?);
                newest
            }
            (None, _) => read.requests().await?,
        };
        requests.extend(newest);
    }
    let mut shown = readable(&mut read, requests, actor, now).await?;
    shown.retain(|request| of.is_none_or(|email| request.email == *email));
    Ok(shown)
}

/// Lists a person's own requests, and counts those of others that wait for their answer.
pub(crate) async fn desk(app: &App, person: &SignedIn) -> Result<(Vec<Request>, usize), Refusal> {
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let mut requests = read.requests_open(now).await?;
    requests.extend(read.requests_of(person.id).await?);
    let mut shown = readable(&mut read, requests, &Actor::Person(person.clone()), now).await?;
    let waiting = shown.iter().filter(|request| request.may_answer).count();
    shown.retain(|request| request.email == person.email);
    Ok((shown, waiting))
}

/// Renders those that the actor may read, each once.
async fn readable(
    read: &mut ReadTx,
    mut requests: Vec<domain::Request>,
    actor: &Actor,
    now: Timestamp,
) -> Result<Vec<Request>, Refusal> {
    let mut seen = std::collections::HashSet::new();
    requests.retain(|request| seen.insert(request.id));
    if requests.is_empty() {
        return Ok(Vec::new());
    }
    let context = Context::read(read).await?;
    let mut shown = Vec::new();
    for request in requests {
        if authorise(actor, Action::RequestRead, &context.subject(&request)) == Decision::Allowed {
            shown.push(context.render(&request, actor, now)?);
        }
    }
    Ok(shown)
}

/// Shows a request.
pub(crate) async fn show(app: &App, actor: &Actor, id: RequestId) -> Result<Request, Refusal> {
    let mut read = app.store.read().await?;
    let request = find(&mut read, id).await?;
    let context = Context::read(&mut read).await?;
    allow(actor, Action::RequestRead, &context.subject(&request))?;
    context.render(&request, actor, app.clock.now())
}

/// Asks for access.
pub(crate) async fn add(app: &App, actor: &Actor, new: RequestNew) -> Result<Request, Refusal> {
    let RequestNew { resource, valid_for, until, from, reason: why, email, renews } = new;
    let email = concerned(email, actor, "say for whom the access is asked: give `--as EMAIL`")?;
    allow(actor, Action::RequestAdd, &Subject::Person(email.clone()))?;
    let why = reason(Some(why))?
        .ok_or_else(|| Refusal::Invalid("say why the access is needed: whoever answers decides by that".to_owned()))?;
    let now = app.clock.now();
    let asked = asked(valid_for, until, from, now)?;
    let mut tx = app.store.write().await?;
    let person = find::person(&mut tx, &email).await?;
    let resource = find::resource(&mut tx, &resource).await?;
    if let Some(grant) = renews {
        check_renewed(&mut tx, grant, &person, &resource).await?;
    }
    let request = domain::Request::ask(
        domain::NewRequest {
            id: RequestId::new(Uuid::now_v7()),
            principal: &person,
            resource: &resource,
            asked,
            reason: why,
            renews,
            requested_by: actor.to_string(),
        },
        now,
    )?;
    tx.request_add(&request).await?;
    let context = Context::read(&mut tx).await?;
    let rendered = context.render(&request, actor, now)?;
    let detail = json!({
        "email": rendered.email, "resource": rendered.resource, "for": rendered.valid_for, "from": rendered.from,
        "until": rendered.until, "reason": rendered.reason, "renews": rendered.renews, "expires_at": rendered.expires_at,
    });
    let record = Record { at: now, actor, action: Action::RequestAdd, subject: context.subject(&request), detail };
    app.commit(tx, record, Outbox::None).await?;
    Ok(rendered)
}

/// Approves a request: a grant comes of it.
pub(crate) async fn approve(
    app: &App,
    actor: &Actor,
    id: RequestId,
    approval: RequestApproval,
) -> Result<RequestApproved, Refusal> {
    let RequestApproval { valid_for, until, reason: why } = approval;
    let why = reason(why)?;
    let now = app.clock.now();
    let shorter = shorter(valid_for, until, now)?;
    let mut tx = app.store.write().await?;
    let request = find(&mut tx, id).await?;
    let actor = &at_this_moment(&mut tx, actor, now).await?;
    let subject = Context::read(&mut tx).await?.subject(&request);
    allow(actor, Action::RequestApprove, &subject)?;
    let gone = || Refusal::NotFound("who asked, or what they asked for, is not there any more".to_owned());
    let person = tx.person(request.principal).await?.ok_or_else(gone)?;
    refuse_own_hand(&mut tx, actor, &person).await?;
    let resource = tx.resource(request.resource).await?.ok_or_else(gone)?;
    let renewed = match request.renews {
        Some(grant) => tx.grant(grant).await?,
        None => None,
    };
    let validity = request.approve(&person, renewed.as_ref(), shorter, now)?;
    let grant = domain::Grant::add(
        domain::NewGrant {
            id: GrantId::new(Uuid::now_v7()),
            to: Receiver::Person(&person),
            resource: &resource,
            validity,
            hours: None,
            requested_by: request.requested_by.clone(),
            approved_by: actor.to_string(),
            reason: Some(request.reason.clone()),
        },
        now,
    )?;
    tx.grant_add(&grant).await?;
    let decided = Decided { by: actor.to_string(), at: now, reason: why };
    tx.request_decide(id, RequestState::Approved, &decided, Some(grant.id)).await?;
    let devices = live_devices(&mut tx, person.id).await?;
    let request = find(&mut tx, id).await?;
    let rendered = Context::read(&mut tx).await?.render(&request, actor, now)?;
    let detail = json!({
        "email": person.email, "resource": resource.name, "grant": grant.id, "from": validity.not_before,
        "until": validity.not_after, "reason": decided.reason,
    });
    let record = Record { at: now, actor, action: Action::RequestApprove, subject, detail };
    app.commit(tx, record, Outbox::Devices(devices)).await?;
    let granted = domain::GrantedResource { grant, resource: resource.into() };
    Ok(RequestApproved { request: rendered, grant: views::grant(app, &granted, &Holder::person(person.email), now) })
}

/// Denies a request.
pub(crate) async fn deny(app: &App, actor: &Actor, id: RequestId, why: Option<String>) -> Result<Request, Refusal> {
    end(app, actor, id, why, Action::RequestDeny).await
}

/// Takes a request back.
pub(crate) async fn withdraw(app: &App, actor: &Actor, id: RequestId, why: Option<String>) -> Result<Request, Refusal> {
    end(app, actor, id, why, Action::RequestWithdraw).await
}

async fn end(app: &App, actor: &Actor, id: RequestId, why: Option<String>, action: Action) -> Result<Request, Refusal> {
    let why = reason(why)?;
    let now = app.clock.now();
    let mut tx = app.store.write().await?;
    let request = find(&mut tx, id).await?;
    let actor = &at_this_moment(&mut tx, actor, now).await?;
    let subject = Context::read(&mut tx).await?.subject(&request);
    allow(actor, action, &subject)?;
    request.require_open(now)?;
    let state = if action == Action::RequestDeny { RequestState::Denied } else { RequestState::Withdrawn };
    let decided = Decided { by: actor.to_string(), at: now, reason: why };
    tx.request_decide(id, state, &decided, None).await?;
    let request = find(&mut tx, id).await?;
    let rendered = Context::read(&mut tx).await?.render(&request, actor, now)?;
    let detail = json!({ "email": rendered.email, "resource": rendered.resource, "reason": decided.reason });
    app.commit(tx, Record { at: now, actor, action, subject, detail }, Outbox::None).await?;
    Ok(rendered)
}

async fn find(read: &mut ReadTx, id: RequestId) -> Result<domain::Request, Refusal> {
    let missing = || Refusal::NotFound(format!("no request has the id {id}: `doorward request list --all` shows all"));
    read.request(id).await?.ok_or_else(missing)
}

/// Refuses to ask for more time after a grant that is somebody else's, or for something else.
async fn check_renewed(tx: &mut WriteTx, id: GrantId, person: &Principal, resource: &Resource) -> Result<(), Refusal> {
    let held = tx.grants_for(person.id).await?;
    match held.iter().find(|granted| granted.grant.id == id) {
        Some(granted) if granted.grant.resource == resource.id => Ok(()),
        Some(granted) => Err(Refusal::Invalid(format!(
            "grant {id} is for {} and not for {}: leave it out, or ask for {}",
            granted.resource.name, resource.name, granted.resource.name
        ))),
        None => Err(Refusal::NotFound(format!(
            "{} has no grant with the id {id}: `doorward grant list --email {}` shows theirs",
            person.email, person.email
        ))),
    }
}

fn shorter(valid_for: Option<Span>, until: Option<TimeLimit>, now: Timestamp) -> Result<Option<Shorter>, Refusal> {
    match (valid_for, until) {
        (Some(_), Some(_)) => {
            Err(Refusal::Invalid("`for` and `until` exclude each other: give one of them".to_owned()))
        }
        (Some(span), None) => Ok(Some(Shorter::For(span))),
        (None, Some(until)) => {
            let until = until.resolve(now).map_err(|error| Refusal::Invalid(error.to_string()))?;
            Ok(Some(Shorter::Until(until)))
        }
        (None, None) => Ok(None),
    }
}

fn asked(
    valid_for: Option<Span>,
    until: Option<TimeLimit>,
    from: Option<TimeLimit>,
    now: Timestamp,
) -> Result<Asked, Refusal> {
    let time = |limit: Option<TimeLimit>| {
        let at = limit.map(|limit| limit.resolve(now)).transpose();
        at.map(|at| at.map(micros)).map_err(|error| Refusal::Invalid(error.to_string()))
    };
    let (from, until) = (time(from)?, time(until)?);
    match (valid_for, until) {
        (Some(span), None) => Ok(Asked::For { span, from }),
        (None, Some(until)) => Ok(Asked::Until { from, until }),
        (Some(_), Some(_)) => {
            Err(Refusal::Invalid("`for` and `until` exclude each other: give one of them".to_owned()))
        }
        (None, None) => Err(Refusal::Invalid(
            "a request needs an end: give `for` such as 8h, or `until` such as 2026-12-24T18:00:00Z".to_owned(),
        )),
    }
}

/// What is needed to say who may answer a request, and to show it.
struct Context {
    emails: Emails,
    sponsors: HashMap<PrincipalId, PrincipalId>,
    resources: HashMap<ResourceId, Resource>,
}

impl Context {
    async fn read(read: &mut ReadTx) -> Result<Self, Refusal> {
        let people = read.people().await?;
        let sponsors = people.iter().filter_map(|person| Some((person.id, person.sponsor?))).collect();
        let resources = read.resources_with_removed().await?;
        Ok(Self {
            emails: people.into_iter().map(|person| (person.id, person.email)).collect(),
            sponsors,
            resources: resources.into_iter().map(|resource| (resource.id, resource)).collect(),
        })
    }

    /// Who answers for the resource and for the requester; never the requester.
    fn answerable(&self, request: &domain::Request) -> Vec<PrincipalId> {
        let owner = self.resources.get(&request.resource).and_then(|resource| resource.owner);
        let sponsor = self.sponsors.get(&request.principal).copied();
        let mut found: Vec<PrincipalId> =
            owner.into_iter().chain(sponsor).filter(|id| *id != request.principal).collect();
        found.dedup();
        found
    }

    fn subject(&self, request: &domain::Request) -> Subject {
        Subject::Request { id: request.id, requester: request.principal, answerable: self.answerable(request) }
    }

    fn render(&self, request: &domain::Request, actor: &Actor, now: Timestamp) -> Result<Request, Refusal> {
        let missing = || Refusal::Internal("a request names a resource that is not there".to_owned());
        let resource = self.resources.get(&request.resource).ok_or_else(missing)?;
        let (valid_for, from, until) = match request.asked {
            Asked::For { span, from } => (Some(span), from, None),
            Asked::Until { from, until } => (None, from, Some(until)),
        };
        let state = request.state(now);
        let answerable = self.answerable(request);
        let answerable = answerable.iter().map(|id| promised(&self.emails, id)).collect::<Result<_, _>>()?;
        let may = authorise(actor, Action::RequestDeny, &self.subject(request)) == Decision::Allowed;
        let decided = request.decided.as_ref();
        Ok(Request {
            id: request.id,
            email: promised(&self.emails, &request.principal)?,
            resource: resource.name.clone(),
            valid_for,
            from,
            until,
            reason: request.reason.as_str().to_owned(),
            renews: request.renews,
            state: state_of(state),
            created_at: request.created_at,
            expires_at: request.expires_at,
            answerable_by: answerable,
            may_answer: may && state == RequestState::Open,
            decided_by: decided.map(|decided| decided.by.clone()),
            decided_at: decided.map(|decided| decided.at),
            decision_reason: decided.and_then(|decided| decided.reason.clone()).map(String::from),
            grant: request.grant,
        })
    }
}

const fn state_of(state: RequestState) -> api::RequestState {
    match state {
        RequestState::Open => api::RequestState::Open,
        RequestState::Approved => api::RequestState::Approved,
        RequestState::Denied => api::RequestState::Denied,
        RequestState::Withdrawn => api::RequestState::Withdrawn,
        RequestState::Expired => api::RequestState::Expired,
    }
}
