//! Groups: people who are given access together.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::{Email, GroupName};
use serde::Deserialize;

use super::super::forms::needed;
use super::super::receipt::show_receipt;
use super::super::words::Worded as _;
use super::super::{Notice, Page, Shown, filters, show};
use super::list::Ask;
use crate::api::{Grant, Group, Resource};
use crate::app::{App, Caller, groups, resources};
use crate::http::{ApiPath, ApiQuery, PageForm};

#[derive(Template)]
#[template(path = "console/groups.html")]
struct GroupsPage {
    page: Page,
    groups: Vec<Group>,
}

impl GroupsPage {
    fn live<'a>(&self, group: &'a Group) -> Vec<&'a Grant> {
        group.grants.iter().filter(|grant| grant.state.is_live()).collect()
    }
}

/// Lists groups.
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Shown {
    let groups = groups::list(&app, &caller.0).await?;
    show(&GroupsPage { page: Page::new(Some(&caller), "/admin/groups"), groups })
}

/// The form for a group.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GroupForm {
    name: String,
}

/// Adds a group and shows it.
pub(crate) async fn add(State(app): State<App>, caller: Caller, PageForm(form): PageForm<GroupForm>) -> Shown {
    let group = groups::add(&app, &caller.0, needed("Name", &form.name)?).await?;
    Ok(to_group(&group.name, "added").into_response())
}

/// Leads to a group's page with a word about what was done.
pub(crate) fn to_group(name: &GroupName, done: &str) -> Redirect {
    Redirect::to(&format!("{}?done={done}", path(name)))
}

fn path(name: &GroupName) -> String {
    format!("/admin/groups/{}", filters::segment(name.as_str()))
}

#[derive(Template)]
#[template(path = "console/group.html")]
struct GroupPage {
    page: Page,
    group: Group,
    resources: Vec<Resource>,
    path: String,
}

/// Shows a group with its members and what it was granted.
pub(crate) async fn show_group(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GroupName>,
    ApiQuery(ask): ApiQuery<Ask>,
) -> Shown {
    let mut group = groups::show(&app, &caller.0, &name).await?;
    group.grants.sort_by_key(|grant| (!grant.state.is_live(), std::cmp::Reverse(grant.until)));
    let resources = resources::list(&app, &caller.0).await?;
    let done = match ask.done.as_str() {
        "added" => Some("Added. Put people into it, and give it access."),
        "joined" => Some("They are a member, and have at once what the group has."),
        "granted" => Some("Access given. The devices of every member have it at once."),
        _ => None,
    };
    let notice = done.map(|text| Notice { tone: "good", text: text.to_owned() });
    let page = Page::new(Some(&caller), "/admin/groups").telling(notice);
    show(&GroupPage { page, group, resources, path: path(&name) })
}

/// Names a member.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MemberForm {
    email: String,
}

/// Makes somebody a member.
pub(crate) async fn join(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GroupName>,
    PageForm(form): PageForm<MemberForm>,
) -> Shown {
    groups::join(&app, &caller.0, &name, &needed::<Email>("Email", &form.email)?).await?;
    Ok(to_group(&name, "joined").into_response())
}

/// Ends a membership and shows the receipt.
pub(crate) async fn leave(
    State(app): State<App>,
    caller: Caller,
    ApiPath(name): ApiPath<GroupName>,
    PageForm(form): PageForm<MemberForm>,
) -> Shown {
    let email = needed::<Email>("Email", &form.email)?;
    let outcome = groups::leave(&app, &caller.0, &name, &email).await?;
    show_receipt(&caller, "/admin/groups", format!("{email} is no member of {name} any more"), outcome)
}

/// Removes a group with what it was granted, and shows the receipt.
pub(crate) async fn remove(State(app): State<App>, caller: Caller, ApiPath(name): ApiPath<GroupName>) -> Shown {
    let outcome = groups::remove(&app, &caller.0, &name).await?;
    show_receipt(&caller, "/admin/groups", format!("Group {name} is removed"), outcome)
}
