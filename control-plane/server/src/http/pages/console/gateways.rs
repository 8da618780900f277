//! Gateways: how they are, enrolling one, removing one.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::GatewayName;
use serde::Deserialize;

use super::super::forms::needed;
use super::super::{Notice, Page, Shown, filters, show};
use super::list::Ask;
use crate::api::{Gateway, GatewayToken};
use crate::app::{App, Caller, gateways};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/gateways.html")]
struct GatewaysPage {
    page: Page,
    gateways: Vec<Gateway>,
    revision: u64,
    /// A token that was just made; it is shown this once.
    token: Option<GatewayToken>,
}

async fn shown(app: &App, caller: &Caller, notice: Option<Notice>, token: Option<GatewayToken>) -> Shown {
    let gateways = gateways::list(app, &caller.0).await?;
    let page = Page::new(Some(caller), "/admin/gateways").telling(notice);
    show(&GatewaysPage { page, gateways, revision: app.hub.revision(), token })
}

/// Lists gateways.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let removed = Notice {
        tone: "good",
        text: "Removed. Its feed is closed, and what it still holds ends with its authority.".to_owned(),
    };
    shown(&app, &caller, (ask.done == "removed").then_some(removed), None).await
}

/// The form for an enrolment token.
#[derive(Debug, Deserialize)]
pub(crate) struct TokenForm {
    name: String,
}

/// Makes an enrolment token and shows it, this once.
pub(crate) async fn add_token(State(app): State<App>, caller: Caller, PageForm(form): PageForm<TokenForm>) -> Shown {
    let token = gateways::add_token(&app, &caller.0, needed("Name", &form.name)?).await?;
    shown(&app, &caller, None, Some(token)).await
}

/// Removes a gateway.
pub(crate) async fn remove(State(app): State<App>, caller: Caller, ApiPath(name): ApiPath<GatewayName>) -> Shown {
    gateways::remove(&app, &caller.0, &name).await?;
    Ok(Redirect::to("/admin/gateways?done=removed").into_response())
}
