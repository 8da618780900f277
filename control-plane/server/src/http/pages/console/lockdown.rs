//! Lockdown: nobody passes, until lifted.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_model::GroupName;
use serde::Deserialize;

use super::super::forms::{optional, reason};
use super::super::receipt::show_receipt;
use super::super::{Page, Shown, filters, show};
use crate::api::{LockdownSet, LockdownStatus};
use crate::app::{App, Caller, Was, groups, lockdown};
use crate::http::PageForm;

#[derive(Template)]
#[template(path = "console/lockdown.html")]
struct LockdownPage {
    page: Page,
    lockdown: LockdownStatus,
    groups: Vec<GroupName>,
}

/// Shows whether a lockdown is on.
pub(crate) async fn show_lockdown(State(app): State<App>, caller: Caller) -> Shown {
    let lockdown = lockdown::status(&app, &caller.0).await?;
    let groups = groups::names(&app, &caller.0).await?;
    show(&LockdownPage { page: Page::new(Some(&caller), "/admin/lockdown"), lockdown, groups })
}

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct LockdownForm {
    /// `on` or `off`.
    turn: Turn,
    /// Whose members pass all the same.
    #[serde(default)]
    except: String,
    /// When it changed last, as the page showed it; absent: never.
    #[serde(default)]
    since: String,
    #[serde(default)]
    reason: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Turn {
    On,
    Off,
}

/// Turns it on, with the receipt, or off.
pub(crate) async fn set(State(app): State<App>, caller: Caller, PageForm(form): PageForm<LockdownForm>) -> Shown {
    let on = form.turn == Turn::On;
    let except = optional("Except", &form.except)?;
    let was = Was::Seen(optional("Since", &form.since)?);
    let set = LockdownSet { on, except, reason: reason(form.reason) };
    let done = lockdown::set(&app, &caller.0, set, was).await?;
    if on {
        return show_receipt(&caller, "/admin/lockdown", "Lockdown is on".to_owned(), done.outcome);
    }
    Ok(Redirect::to("/admin/lockdown").into_response())
}
