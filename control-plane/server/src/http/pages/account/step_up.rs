//! Proving a second factor again.

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect};
use doorward_domain::Actor;
use serde::Deserialize;

use super::super::{Page, Shown, show};
use super::sign_in::Proof;
use super::{Next, mistake, next_or, with_status};
use crate::app::accounts::passkeys::Started;
use crate::app::accounts::{Visitor, provider, step_up};
use crate::app::{App, Caller, Refusal};
use crate::http::ApiJson;
use crate::http::web::{PageForm, Session};

#[derive(Template)]
#[template(path = "account/step_up.html")]
struct StepUpPage {
    page: Page,
    next: String,
    error: Option<String>,
    /// It is for the window of their devices, rather than for something that they were about to do.
    again: bool,
}

/// Why somebody is here.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Why {
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    again: Option<String>,
}

pub(super) async fn page(State(app): State<App>, session: Session, Query(why): Query<Why>) -> Shown {
    if why.again.is_some() && provider::vouches(&app, &session.person).await? {
        return Ok(Redirect::to("/sign-in/provider").into_response());
    }
    show_form(&session, next_or(why.next.as_deref(), "/"), why.again.is_some(), None)
}

fn show_form(session: &Session, next: &str, again: bool, error: Option<String>) -> Shown {
    let caller = Caller(Actor::Person(session.person.clone()));
    show(&StepUpPage { page: Page::new(Some(&caller), "/step-up").narrow(), next: next.to_owned(), error, again })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: Option<String>,
    #[serde(default)]
    again: Option<String>,
}

pub(super) async fn code(
    State(app): State<App>,
    visitor: Visitor,
    session: Session,
    PageForm(filled): PageForm<Filled>,
) -> Shown {
    let next = next_or(filled.next.as_deref(), "/");
    match step_up::code(&app, &visitor, &session.person, &session.session, &filled.code).await {
        Ok(()) => Ok(Redirect::to(next).into_response()),
        Err(refusal) => match mistake(&refusal) {
            Some(sentence) => with_status(show_form(&session, next, filled.again.is_some(), Some(sentence)), &refusal),
            None => Err(refusal),
        },
    }
}

pub(super) async fn passkey_start(
    State(app): State<App>,
    visitor: Visitor,
    session: Session,
) -> Result<Json<Started>, Refusal> {
    step_up::passkey_begin(&app, &visitor, &session.session).await.map(Json)
}

pub(super) async fn passkey_finish(
    State(app): State<App>,
    visitor: Visitor,
    session: Session,
    ApiJson(proof): ApiJson<Proof>,
) -> Result<Json<Next>, Refusal> {
    step_up::passkey_finish(&app, &visitor, &session.person, &session.session, proof.finished).await?;
    Ok(Json(Next { next: next_or(proof.next.as_deref(), "/").to_owned() }))
}
