//! The way to the identity provider and back.

use askama::Template;
use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Redirect, Response};
use serde::Deserialize;

use super::super::{Page, Shown, show};
use super::sign_in::{Onward, Proof};
use super::{Next, after_sign_in, next_or};
use crate::app::accounts::Visitor;
use crate::app::accounts::passkeys::Started;
use crate::app::accounts::provider::{self, Arrived, Back};
use crate::app::{App, Refusal};
use crate::http::ApiJson;
use crate::http::web::{PageForm, away_secret, keep, keep_away};

/// A page that leads on: our policy lets no form lead to another site, and a link may.
#[derive(Template)]
#[template(path = "account/onward.html")]
pub(super) struct OnwardPage {
    pub(super) page: Page,
    pub(super) url: String,
    pub(super) to: &'static str,
}

#[derive(Template)]
#[template(path = "account/provider_passkey.html")]
struct PasskeyPage {
    page: Page,
}

pub(super) async fn begin(State(app): State<App>, Query(onward): Query<Onward>) -> Shown {
    let away = provider::begin(&app, next_or(onward.asked(), "/")).await?;
    let mut response = Redirect::to(&away.url).into_response();
    keep_away(&away.secret, &mut response)?;
    Ok(response)
}

/// What the form of a link sends.
#[derive(Deserialize)]
pub(super) struct Accepting {
    #[serde(default)]
    accepts: Option<String>,
}

pub(super) async fn begin_join(
    State(app): State<App>,
    Path(secret): Path<String>,
    PageForm(form): PageForm<Accepting>,
) -> Shown {
    let away = provider::begin_join(&app, &secret, form.accepts).await?;
    let mut response = show(&OnwardPage {
        page: Page::new(None, "/join").narrow(),
        url: away.url.clone(),
        to: "your identity provider",
    })?;
    keep_away(&away.secret, &mut response)?;
    Ok(response)
}

pub(super) async fn arrive(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    Query(back): Query<Back>,
) -> Shown {
    match provider::arrive(&app, &visitor, away_secret(&headers), back).await? {
        Arrived::In { begun, next } => {
            let way = after_sign_in(&begun, next_or(Some(&next), "/"));
            let mut response = Redirect::to(&way).into_response();
            keep(&begun, &mut response)?;
            Ok(response)
        }
        Arrived::PasskeyNeeded { secret } => {
            let mut response = Redirect::to("/sign-in/provider/passkey").into_response();
            keep_away(&secret, &mut response)?;
            Ok(response)
        }
        Arrived::JoinOn { secret, way } => {
            let mut response = Redirect::to(&way).into_response();
            keep_away(&secret, &mut response)?;
            Ok(response)
        }
    }
}

pub(super) async fn passkey_page() -> Shown {
    show(&PasskeyPage { page: Page::new(None, "/sign-in").narrow() })
}

pub(super) async fn passkey_start(State(app): State<App>, visitor: Visitor) -> Result<Json<Started>, Refusal> {
    provider::passkey_begin(&app, &visitor).await.map(Json)
}

pub(super) async fn passkey_finish(
    State(app): State<App>,
    visitor: Visitor,
    headers: HeaderMap,
    ApiJson(proof): ApiJson<Proof>,
) -> Result<Response, Refusal> {
    let (begun, next) = provider::passkey_finish(&app, &visitor, away_secret(&headers), proof.finished).await?;
    let mut response = Json(Next { next: after_sign_in(&begun, next_or(Some(&next), "/")) }).into_response();
    keep(&begun, &mut response)?;
    Ok(response)
}
