//! Reading the access policy, and accepting it again where its text has changed.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect};
use doorward_domain::Actor;
use doorward_model::Timestamp;
use serde::Deserialize;

use super::super::{Page, Shown, filters, show};
use super::sign_in::Onward;
use super::{mistake, next_or, with_status};
use crate::app::accounts::{Policy, policy};
use crate::app::{App, Caller, Refusal};
use crate::http::web::{AnySession, PageForm, Session};

#[derive(Template)]
#[template(path = "account/policy.html")]
struct PolicyPage<'a> {
    page: Page,
    policy: &'a Policy,
    accepted_at: Option<Timestamp>,
    next: String,
    error: Option<String>,
}

pub(super) async fn page(
    State(app): State<App>,
    AnySession(session): AnySession,
    Query(onward): Query<Onward>,
) -> Shown {
    show_page(&app, &session, next_or(onward.asked(), "/"), None).await
}

async fn show_page(app: &App, session: &Session, next: &str, error: Option<String>) -> Shown {
    // Who has yet to accept it has no menu to go elsewhere with.
    let caller = Caller(Actor::Person(session.person.clone()));
    let page = Page::new(Some(&caller).filter(|_| !session.session.policy_pending), "/policy").narrow();
    let accepted_at = policy::accepted_at(app, &session.person).await?;
    show(&PolicyPage { page, policy: &app.accounts.policy, accepted_at, next: next.to_owned(), error })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    accepts: Option<String>,
    #[serde(default)]
    next: Option<String>,
}

pub(super) async fn accept(
    State(app): State<App>,
    AnySession(session): AnySession,
    PageForm(filled): PageForm<Filled>,
) -> Shown {
    let next = next_or(filled.next.as_deref(), "/");
    match policy::accept(&app, &session.person, &session.session, filled.accepts.as_deref()).await {
        Ok(()) => Ok(Redirect::to(next).into_response()),
        Err(refusal) => match mistake(&refusal) {
            Some(sentence) => with_status(show_page(&app, &session, next, Some(sentence)).await, &refusal),
            None => Err::<_, Refusal>(refusal),
        },
    }
}
