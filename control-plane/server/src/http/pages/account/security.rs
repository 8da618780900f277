//! What one signs in with, and where one is signed in.

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_domain::Actor;
use serde::Deserialize;
use uuid::Uuid;

use super::super::{Page, Shown, filters, show};
use super::{Next, Seed, mistake, show_codes, with_status};
use crate::app::accounts::passkeys::{Finished, Started};
use crate::app::accounts::security::{self, Own};
use crate::app::accounts::session::Shown as ShownSession;
use crate::app::accounts::{Visitor, session};
use crate::app::{App, Caller, Refusal};
use crate::http::ApiJson;
use crate::http::web::{PageForm, Session, forget};

#[derive(Template)]
#[template(path = "account/security.html")]
struct SecurityPage {
    page: Page,
    own: Own,
    sessions: Vec<ShownSession>,
    seed: Seed,
    error: Option<String>,
}

pub(super) async fn page(State(app): State<App>, session: Session) -> Shown {
    show_page(&app, &session, None, None).await
}

async fn show_page(app: &App, session: &Session, sealed: Option<&str>, error: Option<String>) -> Shown {
    let Session { person, session } = session;
    let caller = Caller(Actor::Person(person.clone()));
    show(&SecurityPage {
        page: Page::new(Some(&caller), "/security"),
        own: security::own(app, person).await?,
        sessions: session::list(app, person, session).await?,
        seed: Seed::of(security::seed(app, person, session, sealed)?)?,
        error,
    })
}

/// Goes back to the page, or says there what is wrong; a factor that is not fresh leads to the step-up.
async fn answer(app: &App, session: &Session, sealed: Option<&str>, done: Result<(), Refusal>) -> Shown {
    match done {
        Ok(()) => Ok(Redirect::to("/security").into_response()),
        Err(refusal) => match mistake(&refusal) {
            Some(sentence) => with_status(show_page(app, session, sealed, Some(sentence)).await, &refusal),
            None => Err(refusal),
        },
    }
}

/// Which passkey or session.
#[derive(Deserialize)]
pub(super) struct Which {
    id: Uuid,
}

pub(super) async fn passkey_remove(
    State(app): State<App>,
    session: Session,
    PageForm(which): PageForm<Which>,
) -> Shown {
    let done = security::passkey_remove(&app, &session.person, which.id).await;
    answer(&app, &session, None, done).await
}

/// A password, twice.
#[derive(Deserialize)]
pub(super) struct PasswordForm {
    #[serde(default)]
    password: String,
    #[serde(default)]
    repeated: String,
}

pub(super) async fn password(
    State(app): State<App>,
    session: Session,
    PageForm(form): PageForm<PasswordForm>,
) -> Shown {
    let done =
        security::password(&app, &session.person, &session.session, form.password.into(), &form.repeated.into()).await;
    answer(&app, &session, None, done).await
}

/// A seed with its first code.
#[derive(Deserialize)]
pub(super) struct TotpForm {
    #[serde(default)]
    sealed: String,
    #[serde(default)]
    code: String,
}

pub(super) async fn totp(State(app): State<App>, session: Session, PageForm(form): PageForm<TotpForm>) -> Shown {
    match security::totp(&app, &session.person, &session.session, &form.sealed, &form.code).await {
        Ok(codes) => codes_page(&session, codes),
        Err(refusal) => answer(&app, &session, Some(&form.sealed), Err(refusal)).await,
    }
}

pub(super) async fn recovery_codes(State(app): State<App>, session: Session) -> Shown {
    let codes = security::recovery_codes(&app, &session.person).await?;
    codes_page(&session, codes)
}

fn codes_page(session: &Session, codes: Vec<String>) -> Shown {
    let caller = Caller(Actor::Person(session.person.clone()));
    show_codes(Some(&caller), "/security", codes, "/security")
}

pub(super) async fn session_end(State(app): State<App>, session: Session, PageForm(which): PageForm<Which>) -> Shown {
    let actor = Actor::Person(session.person.clone());
    let done = session::end(&app, &actor, &session.person.email, which.id).await;
    answer(&app, &session, None, done).await
}

pub(super) async fn session_end_all(State(app): State<App>, session: Session) -> Shown {
    let actor = Actor::Person(session.person.clone());
    session::end_all(&app, &actor, &session.person.email).await?;
    let mut response = Redirect::to("/sign-in").into_response();
    forget(&mut response);
    Ok(response)
}

pub(super) async fn passkey_start(
    State(app): State<App>,
    visitor: Visitor,
    session: Session,
) -> Result<Json<Started>, Refusal> {
    security::passkey_begin(&app, &visitor, &session.person, &session.session).await.map(Json)
}

pub(super) async fn passkey_finish(
    State(app): State<App>,
    visitor: Visitor,
    session: Session,
    ApiJson(finished): ApiJson<Finished>,
) -> Result<Json<Next>, Refusal> {
    security::passkey_finish(&app, &visitor, &session.person, &session.session, finished).await?;
    Ok(Json(Next { next: "/security".to_owned() }))
}
