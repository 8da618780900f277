//! Resources: what stands behind the gateway.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::{ResourceId, ResourceName, Span};
use serde::Deserialize;

use super::super::forms::{needed, optional, several};
use super::super::receipt::show_receipt;
use super::super::{Notice, Page, Shown, filters, show};
use super::list::Ask;
use crate::api::{Resource, ResourceNew};
use crate::app::{App, Caller, Was, browse, resources};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/resources.html")]
struct ResourcesPage {
    page: Page,
    resources: Vec<Resource>,
    counts: HashMap<ResourceId, u64>,
}

impl ResourcesPage {
    fn grants(&self, resource: &Resource) -> u64 {
        self.counts.get(&resource.id).copied().unwrap_or_default()
    }
}

/// Lists resources.
pub(crate) async fn list(State(app): State<App>, caller: Caller, ApiQuery(ask): ApiQuery<Ask>) -> Shown {
    let resources = resources::list(&app, &caller.0).await?;
    let counts = browse::grant_counts(&app, &caller.0).await?;
    let added = Notice { tone: "good", text: "Added. Nobody reaches it until you give access.".to_owned() };
    let page = Page::new(Some(&caller), "/admin/resources").telling((ask.done == "added").then_some(added));
    show(&ResourcesPage { page, resources, counts })
}

/// The form for a resource.
#[derive(Debug, Deserialize)]
pub(crate) struct ResourceForm {
    name: String,
    targets: String,
    allow: String,
}

/// Adds a resource.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(form): PageForm<ResourceForm>) -> Shown {
    let new = ResourceNew {
        name: needed("Name", &form.name)?,
        targets: several("Where it is", &form.targets)?,
        allow: several("What is allowed", &form.allow)?,
    };
    resources::add(&app, &caller.0, new).await?;
    Ok(Redirect::to("/admin/resources?done=added").into_response())
}

#[derive(Template)]
#[template(path = "console/resource.html")]
struct ResourcePage {
    page: Page,
    resource: Resource,
    path: String,
}

impl ResourcePage {
    /// A field's value, and what the form saw.
    fn span(&self, span: Option<&Span>) -> String {
        span.map(ToString::to_string).unwrap_or_default()
    }
}

/// Shows a resource, and on which terms it can be had.
pub(crate) async fn show_resource(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    ApiQuery(ask): ApiQuery<Ask>,
) -> Shown {
    let resource = resources::show(&app, &caller.0, &name).await?;
    let changed = Notice { tone: "good", text: "Changed.".to_owned() };
    let page = Page::new(Some(&caller), "/admin/resources").telling((ask.done == "changed").then_some(changed));
    show(&ResourcePage { page, resource, path: path(&name) })
}

fn path(name: &ResourceName) -> String {
    format!("/admin/resources/{}", filters::segment(name.as_str()))
}

fn changed(name: &ResourceName) -> Shown {
    Ok(Redirect::to(&format!("{}?done=changed", path(name))).into_response())
}

/// A change of one thing, with what stood there when the form was shown.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangeForm {
    #[serde(default)]
    to: String,
    #[serde(default)]
    was: String,
}

/// Says who answers for it.
pub(crate) async fn set_owner(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    PageForm(form): PageForm<ChangeForm>,
) -> Shown {
    let (to, was) = (optional("Who answers for it", &form.to)?, optional("Was", &form.was)?);
    resources::set_owner(&app, &caller.0, &name, to, Was::Seen(was)).await?;
    changed(&name)
}

/// Says how long a sign-in opens it.
pub(crate) async fn set_window(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    PageForm(form): PageForm<ChangeForm>,
) -> Shown {
    let (to, was) = (optional("Sign-in window", &form.to)?, optional("Was", &form.was)?);
    resources::set_window(&app, &caller.0, &name, to, Was::Seen(was)).await?;
    changed(&name)
}

/// Says how much time one request may ask for.
pub(crate) async fn set_span(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<ResourceName>,
    PageForm(form): PageForm<ChangeForm>,
) -> Shown {
    let (to, was) = (optional("Longest request", &form.to)?, optional("Was", &form.was)?);
    resources::set_span(&app, &caller.0, &name, to, Was::Seen(was)).await?;
    changed(&name)
}

/// Removes a resource with its grants and shows the receipt.
pub(crate) async fn remove(State(app): State<App>, caller: Caller, ApiPath(name): ApiPath<ResourceName>) -> Shown {
    let outcome = resources::remove(&app, &caller.0, &name).await?;
    show_receipt(&caller, "/admin/resources", format!("{name} is removed"), outcome)
}
