//! Grants: who may use what until when; giving and taking.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::{GrantId, GroupName, TimeLimit};
use doorward_store::GrantRow;
use serde::Deserialize;

use super::super::forms::{ReasonForm, needed, optional, reason, span_or_end};
use super::super::receipt::show_receipt;
use super::super::{Notice, Page, Shown, filters, show};
use super::groups::to_group;
use super::list::{Ask, List};
use super::people::to_person;
use crate::api::{GrantNew, Resource};
use crate::app::{App, Caller, Refusal, browse, grants, groups, resources};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/grants.html")]
struct GrantsPage {
    page: Page,
    list: List<GrantRow>,
    resources: Vec<Resource>,
    groups: Vec<GroupName>,
}

/// Lists grants that hold or begin later.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let found = browse::grants(&app, &caller.0, &ask.search()).await?;
    let resources = resources::list(&app, &caller.0).await?;
    let groups = groups::names(&app, &caller.0).await?;
    let given = Notice { tone: "good", text: "Access given. Their devices have it at once.".to_owned() };
    let page = Page::new(Some(&caller), "/admin/grants").telling((ask.done == "granted").then_some(given));
    show(&GrantsPage { page, list: List::new(found, &ask), resources, groups })
}

/// The form for a grant.
#[derive(Debug, Deserialize)]
pub(crate) struct GrantForm {
    #[serde(default)]
    email: String,
    #[serde(default)]
    group: String,
    resource: String,
    how_long: String,
    #[serde(default)]
    from: String,
    #[serde(default)]
    hours: String,
    #[serde(default)]
    reason: String,
    /// Where the form stands, which is where it leads back to.
    #[serde(default)]
    on: Place,
}

/// A page with the form for a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Place {
    #[default]
    Grants,
    Person,
    Group,
}

/// Gives a grant.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(form): PageForm<GrantForm>) -> Shown {
    let (valid_for, until) = span_or_end(needed::<TimeLimit>("How long", &form.how_long)?);
    if form.email.trim().is_empty() == form.group.trim().is_empty() {
        return Err(Refusal::Invalid(
            "say who gets it: a person's email address or a group, one of the two".to_owned(),
        ));
    }
    let new = GrantNew {
        email: optional("Email", &form.email)?,
        group: optional("Group", &form.group)?,
        resource: needed("Resource", &form.resource)?,
        valid_for,
        until,
        from: optional("From", &form.from)?,
        hours: Some(form.hours).filter(|hours| !hours.trim().is_empty()),
        reason: reason(form.reason),
    };
    let added = grants::add(&app, &caller.0, new).await?;
    Ok(match (form.on, added.grant.email, added.grant.group) {
        (Place::Person, Some(email), _) => to_person(&email, "granted"),
        (Place::Group, _, Some(group)) => to_group(&group, "granted"),
        (Place::Grants | Place::Person | Place::Group, _, _) => Redirect::to("/admin/grants?done=granted"),
    }
    .into_response())
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
