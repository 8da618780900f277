//! Letting a command line act for oneself, and what it asks for without a person.

use askama::Template;
use axum::Json;
use axum::extract::{Query, State};
use doorward_domain::Actor;
use serde::Deserialize;

use super::super::{Notice, Page, Shown, show};
use super::provider::OnwardPage;
use super::{mistake, with_status};
use crate::api::{LoginDevice, LoginDeviceNew, LoginMade, LoginPoll, LoginPolled, LoginRedeem};
use crate::app::accounts::login;
use crate::app::{App, Caller, Refusal};
use crate::http::ApiJson;
use crate::http::web::{PageForm, Session};

#[derive(Template)]
#[template(path = "account/login.html")]
struct LoginPage {
    page: Page,
    asked: Asked,
}

#[derive(Template)]
#[template(path = "account/login_device.html")]
struct DevicePage {
    page: Page,
    error: Option<String>,
}

/// What the command line puts into the address that it opens.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Asked {
    port: u16,
    state: String,
    challenge: String,
    #[serde(default)]
    name: String,
}

fn frame(session: &Session, here: &str) -> Page {
    Page::new(Some(&Caller(Actor::Person(session.person.clone()))), here).narrow()
}

pub(super) async fn page(session: Session, Query(asked): Query<Asked>) -> Shown {
    show(&LoginPage { page: frame(&session, "/login"), asked })
}

pub(super) async fn approve(State(app): State<App>, session: Session, PageForm(asked): PageForm<Asked>) -> Shown {
    let Asked { port, state, challenge, name } = asked;
    if state.is_empty() || !state.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)) {
        return Err(Refusal::Invalid("This address is not complete. Run `doorward login` again.".to_owned()));
    }
    let code = login::approve(&app, &session.person, &session.session, &challenge, &name).await?;
    // The port is one of this very machine, so that the code goes to nobody else.
    let url = format!("http://127.0.0.1:{port}/?code={code}&state={state}");
    show(&OnwardPage { page: frame(&session, "/login"), url, to: "the command line" })
}

pub(super) async fn device_page(session: Session) -> Shown {
    show(&DevicePage { page: frame(&session, "/login"), error: None })
}

/// What somebody types.
#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    code: String,
}

pub(super) async fn device_approve(
    State(app): State<App>,
    session: Session,
    PageForm(typed): PageForm<Typed>,
) -> Shown {
    match login::approve_typed(&app, &session.person, &session.session, &typed.code).await {
        Ok(name) => {
            let text = format!("{name} acts for you now. You can close this page.");
            let page = frame(&session, "/login").telling(Some(Notice { tone: "good", text }));
            show(&DevicePage { page, error: None })
        }
        Err(refusal) => match mistake(&refusal) {
            Some(sentence) => {
                with_status(show(&DevicePage { page: frame(&session, "/login"), error: Some(sentence) }), &refusal)
            }
            None => Err(refusal),
        },
    }
}

pub(super) async fn redeem(
    State(app): State<App>,
    ApiJson(sent): ApiJson<LoginRedeem>,
) -> Result<Json<LoginMade>, Refusal> {
    login::redeem(&app, &sent.code, &sent.verifier).await.map(Json)
}

pub(super) async fn device(
    State(app): State<App>,
    ApiJson(sent): ApiJson<LoginDeviceNew>,
) -> Result<Json<LoginDevice>, Refusal> {
    login::wait(&app, &sent.name).await.map(Json)
}

pub(super) async fn poll(
    State(app): State<App>,
    ApiJson(sent): ApiJson<LoginPoll>,
) -> Result<Json<LoginPolled>, Refusal> {
    let login = login::poll(&app, &sent.device_code).await?;
    Ok(Json(LoginPolled { login }))
}
