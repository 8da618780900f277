//! Grants: who may use what until when; giving and taking.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::{GrantId, TimeLimit};
use doorward_store::GrantRow;
use serde::Deserialize;

use super::super::forms::{ReasonForm, needed, optional, reason, span_or_end};
use super::super::receipt::show_receipt;
use super::super::{Notice, Page, Shown, filters, show};
use super::list::{Ask, List};
use super::people::to_person;
use crate::api::{GrantNew, Resource};
use crate::app::{App, Caller, browse, grants, resources};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/grants.html")]
struct GrantsPage {
    page: Page,
    list: List<GrantRow>,
    resources: Vec<Resource>,
}

/// Lists grants that hold or begin later.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let found = browse::grants(&app, &caller.0, &ask.search()).await?;
    let resources = resources::list(&app, &caller.0).await?;
    let given = Notice { tone: "good", text: "Access given. Their devices have it at once.".to_owned() };
    let page = Page::new(Some(&caller), "/admin/grants").telling((ask.done == "granted").then_some(given));
    show(&GrantsPage { page, list: List::new(found, &ask), resources })
}

/// The form for a grant.
#[derive(Debug, Deserialize)]
pub(crate) struct GrantForm {
    email: String,
    resource: String,
    how_long: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    reason: String,
    /// Set on a person's own page, which is where it leads back to.
    #[serde(default)]
    of_person: bool,
}

/// Gives a grant.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(form): PageForm<GrantForm>) -> Shown {
    let (valid_for, until) = span_or_end(needed::<TimeLimit>("How long", &form.how_long)?);
    let new = GrantNew {
        email: Some(needed("Email", &form.email)?),
        group: None,
        resource: needed("Resource", &form.resource)?,
        valid_for,
        until,
        from: optional("From", &form.from)?,
        hours: None,
        reason: reason(form.reason),
    };
    let added = grants::add(&app, &caller.0, new).await?;
    if let Some(email) = added.grant.email.filter(|_| form.of_person) {
        return Ok(to_person(&email, "granted").into_response());
    }
    Ok(Redirect::to("/admin/grants?done=granted").into_response())
}

/// Takes a grant away and shows the receipt.
pub(crate) async fn revoke(
    State(app): State<App>,
    caller: Caller,
    ApiPath(id): ApiPath<GrantId>,
    PageForm(form): PageForm<ReasonForm>,
) -> Shown {
    let outcome = grants::revoke(&app, &caller.0, id, reason(form.reason)).await?;
    let title = outcome.ended.grants.first().map(|grant| format!("{} lost {}", grant.who(), grant.resource));
    show_receipt(&caller, "/admin/grants", title.unwrap_or_else(|| "Access ended".to_owned()), outcome)
}
