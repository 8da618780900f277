//! Signing in and out.

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use doorward_domain::Actor;
use serde::Deserialize;

use super::super::{Page, Shown, show};
use super::{Next, after_sign_in, mistake, next_or, policy_first, provider_is_alone, provider_name, with_status};
use crate::app::accounts::passkeys::{Finished, Started};
use crate::app::accounts::sign_in::{self as signing_in, Typed};
use crate::app::accounts::{Visitor, session};
use crate::app::{App, Refusal, home};
use crate::http::ApiJson;
use crate::http::web::{AnySession, PageForm, forget, keep};

#[derive(Template)]
#[template(path = "account/sign_in.html")]
struct SignInPage {
    page: Page,
    email: String,
    next: String,
    error: Option<String>,
    provider: Option<String>,
    /// The other ways are for owners.
    alone: bool,
    /// They come from the page that a gateway shows to devices whose window is closed.
    lapsed: bool,
}

/// Where to go afterwards.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Onward {
    #[serde(default)]
    next: Option<String>,
    /// Set by the gateway's page for devices whose window is closed.
    #[serde(default)]
    lapsed: Option<String>,
}

impl Onward {
    pub(super) fn asked(&self) -> Option<&str> {
        self.next.as_deref()
    }
}

pub(super) async fn page(
    State(app): State<App>,
    session: Result<AnySession, Refusal>,
    Query(onward): Query<Onward>,
) -> Shown {
    let next = next_or(onward.asked(), "/");
    let lapsed = onward.lapsed.is_some();
    if let Ok(AnySession(session)) = session {
        if session.session.policy_pending {
            return Ok(Redirect::to(&policy_first(next)).into_response());
        }
        // Their browser is signed in while their devices are not: a touch opens the window, without signing out first.
        let actor = Actor::Person(session.person);
        let again = lapsed && home::waits_for_sign_in(&app, &actor).await?;
        return Ok(Redirect::to(if again { "/step-up?again=1" } else { next }).into_response());
    }
    show_form(&app, Asked { email: String::new(), next, lapsed, error: None })
}

/// What the form begins with.
struct Asked<'a> {
    email: String,
    next: &'a str,
    lapsed: bool,
    error: Option<String>,
}

fn show_form(app: &App, asked: Asked<'_>) -> Shown {
    let Asked { email, next, lapsed, error } = asked;
    let page = Page::new(None, "/sign-in").narrow();
    let (provider, alone) = (provider_name(app), provider_is_alone(app));
    show(&SignInPage { page, email, next: next.to_owned(), error, provider, alone, lapsed })
}

/// What the form sends.
#[derive(Deserialize)]
pub(super) struct Filled {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: String,
    #[serde(default)]
    code: String,
    #[serde(default)]
    next: Option<String>,
}

pub(super) async fn password(State(app): State<App>, visitor: Visitor, PageForm(filled): PageForm<Filled>) -> Shown {
    let Filled { email, password, code, next } = filled;
    let next = next_or(next.as_deref(), "/");
    match signing_in::password(
        &app,
        &visitor,
        Typed { email: email.clone(), password: password.into(), code: code.into() },
    )
    .await
    {
        Ok(begun) => {
            let mut response = Redirect::to(&after_sign_in(&begun, next)).into_response();
            keep(&begun, &mut response)?;
            Ok(response)
        }
        Err(refusal) => match mistake(&refusal) {
            Some(sentence) => {
                with_status(show_form(&app, Asked { email, next, lapsed: false, error: Some(sentence) }), &refusal)
            }
            None => Err(refusal),
        },
    }
}

pub(super) async fn passkey_start(State(app): State<App>, visitor: Visitor) -> Result<Json<Started>, Refusal> {
    signing_in::passkey_begin(&app, &visitor).await.map(Json)
}

/// The end of a ceremony, and where to go then.
#[derive(Deserialize)]
pub(super) struct Proof {
    #[serde(flatten)]
    pub(super) finished: Finished,
    #[serde(default)]
    pub(super) next: Option<String>,
}

pub(super) async fn passkey_finish(
    State(app): State<App>,
    visitor: Visitor,
    ApiJson(proof): ApiJson<Proof>,
) -> Result<Response, Refusal> {
    let begun = signing_in::passkey_finish(&app, &visitor, proof.finished).await?;
    let next = after_sign_in(&begun, next_or(proof.next.as_deref(), "/"));
    let mut response = Json(Next { next }).into_response();
    keep(&begun, &mut response)?;
    Ok(response)
}

pub(super) async fn sign_out(State(app): State<App>, session: Result<AnySession, Refusal>) -> Shown {
    match session {
        Ok(AnySession(session)) => session::sign_out(&app, &session.person, &session.session).await?,
        // It has ended already: the cookie goes all the same.
        Err(Refusal::Unauthenticated(_)) => {}
        Err(refusal) => return Err(refusal),
    }
    let mut response = Redirect::to("/sign-in").into_response();
    forget(&mut response);
    Ok(response)
}
