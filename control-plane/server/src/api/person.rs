//! People.

use doorward_model::{Email, PersonName, TimeLimit, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Device, Grant};
use super::{EndOutcome, EndRequest, Refusals};
use crate::app::{Answer, App, Caller, people};
use crate::http::{ApiJson, ApiPath};
use axum::extract::State;
use axum::http::StatusCode;

/// Who somebody is to the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonKind {
    /// Works for the shop.
    Staff,
    /// Works for somebody else; a member of staff answers for them.
    Contractor,
}

/// Whether somebody may have access at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonState {
    /// Grants count.
    Active,
    /// Nothing counts until restored; devices and grants are kept.
    Suspended,
    /// Gone; devices are revoked, grants have ended.
    Departed,
}

/// `POST /api/v1/people`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PersonNew {
    /// The email address that names the person.
    #[schema(value_type = String, example = "dba@agency.example")]
    pub email: Email,
    /// What people call them.
    #[schema(value_type = String, example = "Agency DBA")]
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// The member of staff who answers for a contractor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub sponsor: Option<Email>,
    /// When the person's access ends at the latest: a span such as `4d`, or RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, example = "4d")]
    pub until: Option<TimeLimit>,
}

/// A person with what they have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Person {
    /// The email address.
    #[schema(value_type = String)]
    pub email: Email,
    /// The name.
    #[schema(value_type = String)]
    pub name: PersonName,
    /// Staff or contractor.
    pub kind: PersonKind,
    /// Active, suspended or departed.
    pub state: PersonState,
    /// Who answers for a contractor.
    #[schema(value_type = Option<String>)]
    pub sponsor: Option<Email>,
    /// When access ends at the latest.
    pub until: Option<Timestamp>,
    /// When the person was added.
    pub created_at: Timestamp,
    /// Their devices, revoked ones included.
    pub devices: Vec<Device>,
    /// Their grants, ended ones included.
    pub grants: Vec<Grant>,
}

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
#[utoipa::path(get, path = "/api/v1/people/{email}", tag = "people", params(("email" = String, Path)),
    responses((status = 200, body = Person), Refusals))]
pub(crate) async fn show(State(app): State<App>, caller: Caller, ApiPath(email): ApiPath<Email>) -> Answer<Person> {
    people::show(&app, &caller.0, &email).await.map(axum::Json)
}

/// Puts a person out for good, and waits for the gateways.
#[utoipa::path(post, path = "/api/v1/people/{email}/offboard", tag = "people", params(("email" = String, Path)),
    request_body = EndRequest, responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn offboard(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<EndOutcome> {
    people::offboard(&app, &caller.0, &email, request.reason).await.map(axum::Json)
}

/// Suspends a person, and waits for the gateways.
#[utoipa::path(post, path = "/api/v1/people/{email}/suspend", tag = "people", params(("email" = String, Path)),
    request_body = EndRequest, responses((status = 200, body = EndOutcome), Refusals))]
pub(crate) async fn suspend(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<EndOutcome> {
    people::suspend(&app, &caller.0, &email, request.reason).await.map(axum::Json)
}

/// Takes a suspended or departed person back.
#[utoipa::path(post, path = "/api/v1/people/{email}/restore", tag = "people", params(("email" = String, Path)),
    request_body = EndRequest, responses((status = 200, body = Person), Refusals))]
pub(crate) async fn restore(
    State(app): State<App>,
    caller: Caller,
    ApiPath(email): ApiPath<Email>,
    ApiJson(request): ApiJson<EndRequest>,
) -> Answer<Person> {
    people::restore(&app, &caller.0, &email, request.reason).await.map(axum::Json)
}
