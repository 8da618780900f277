//! The routes of people.

use axum::extract::State;
use axum::http::StatusCode;
use doorward_model::Email;

use super::Refusals;
use crate::api::{
    EndOutcome, EndRequest, Person, PersonEnding, PersonNew, PersonOffboard, PersonRoleSet, PersonSponsorSet, shapes,
};
use crate::app::{Answer, App, Caller, Was, endings, people, sponsors};
use crate::http::{ApiJson, ApiPath};

/// Lists people.
#[utoipa::path(get, path = "/api/v1/people", tag = "people", responses((status = 200, body = Vec<Person>), Refusals))]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Answer<Vec<Person>> {
    people::list(&app, &caller.0).await.map(axum::Json)
}

/// Adds a person.
#[utoipa::path(post, path = "/api/v1/people", tag = "people", request_body = PersonNew,
    responses((status = 201, body = Person), Refusals))]
pub(crate) async fn add(
    State(app): State<App>,
    caller: Caller,
    ApiJson(new): ApiJson<PersonNew>,
) -> Answer<Person, StatusCode> {
    people::add(&app, &caller.0, new).await.map(|person| (StatusCode::CREATED, axum::Json(person)))
}

/// Shows a person.
#[utoipa::path(get, path = "/api/v1/people/{email}", tag = "people", params(("email" = shapes::Email, Path)),
    responses((status = 200, body = Person), Refusals))]
pub(crate) async fn show(State(app): State<App>, caller: Caller, ApiPath(email): ApiPath<Email>) -> Answer<Person> {
    people::show(&app, &caller.0, &email).await.map(axum::Json)
}

/// Puts a person out for good, and waits for the gateways.
#[utoipa::path(post, path = "/api/v1/people/{email}/offboard", tag = "people", params(("email" = shapes::Email, Path)),
    request_body = PersonOffboard, responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn offboard(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(request): ApiJson<PersonOffboard>,
) -> Answer<EndOutcome> {
    people::offboard(&app, &caller.0, &email, request).await.map(axum::Json)
}

/// Suspends a person, and waits for the gateways.
#[utoipa::path(post, path = "/api/v1/people/{email}/suspend", tag = "people", params(("email" = shapes::Email, Path)),
    request_body = EndRequest, responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn suspend(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<EndOutcome> {
    people::suspend(&app, &caller.0, &email, request.reason).await.map(axum::Json)
}

/// Lists what ended with somebody's access, and what gateways confirmed; the latest first.
#[utoipa::path(get, path = "/api/v1/people/{email}/endings", tag = "people", params(("email" = shapes::Email, Path)),
    responses((status = 200, body = Vec<PersonEnding>), Refusals))]
pub(crate) async fn endings(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
) -> Answer<Vec<PersonEnding>> {
    endings::list(&app, &caller.0, &email).await.map(axum::Json)
}

/// Takes a suspended or departed person back.
#[utoipa::path(post, path = "/api/v1/people/{email}/restore", tag = "people", params(("email" = shapes::Email, Path)),
    request_body = EndRequest, responses((status = 200, body = Person), Refusals))]
pub(crate) async fn restore(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<Person> {
    people::restore(&app, &caller.0, &email, request.reason).await.map(axum::Json)
}

/// Says what a person may do for others.
#[utoipa::path(put, path = "/api/v1/people/{email}/role", tag = "people", params(("email" = shapes::Email, Path)),
    request_body = PersonRoleSet, responses((status = 200, body = Person), Refusals))]
pub(crate) async fn set_role(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(set): ApiJson<PersonRoleSet>,
) -> Answer<Person> {
    people::set_role(&app, &caller.0, &email, set.role.into(), Was::Anything).await.map(axum::Json)
}

/// Says who answers for a contractor.
#[utoipa::path(put, path = "/api/v1/people/{email}/sponsor", tag = "people", params(("email" = shapes::Email, Path)),
    request_body = PersonSponsorSet, responses((status = 200, body = Person), Refusals))]
pub(crate) async fn set_sponsor(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(set): ApiJson<PersonSponsorSet>,
) -> Answer<Person> {
    sponsors::set(&app, &caller.0, &email, &set.sponsor, Was::Anything).await.map(axum::Json)
}
