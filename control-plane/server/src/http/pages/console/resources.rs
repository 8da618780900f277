//! Resources: what stands behind the gateway.

use std::collections::HashMap;

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::{ResourceId, ResourceName};
use serde::Deserialize;

use super::super::forms::{needed, several};
use super::super::receipt::show_receipt;
use super::super::{Notice, Page, Shown, filters, show};
use super::list::Ask;
use crate::api::{Resource, ResourceNew};
use crate::app::{App, Caller, browse, resources};
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

/// Removes a resource with its grants and shows the receipt.
pub(crate) async fn remove(State(app): State<App>, caller: Caller, ApiPath(name): ApiPath<ResourceName>) -> Shown {
    let outcome = resources::remove(&app, &caller.0, &name).await?;
    show_receipt(&caller, "/admin/resources", format!("{name} is removed"), outcome)
}
