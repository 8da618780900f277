//! Lockdown: nobody passes, until lifted.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use serde::Deserialize;

use super::super::forms::reason;
use super::super::receipt::show_receipt;
use super::super::{Page, Shown, filters, show};
use crate::api::{LockdownSet, LockdownStatus};
use crate::app::{App, Caller, lockdown};
use crate::http::PageForm;

#[derive(Template)]
#[template(path = "console/lockdown.html")]
struct LockdownPage {
    page: Page,
    lockdown: LockdownStatus,
}

/// Shows whether a lockdown is on.
pub(crate) async fn show_lockdown(State(app): State<App>, caller: Caller) -> Shown {
    let lockdown = lockdown::status(&app, &caller.0).await?;
    show(&LockdownPage { page: Page::new(Some(&caller), "/admin/lockdown"), lockdown })
}

/// The form.
#[derive(Debug, Deserialize)]
pub(crate) struct LockdownForm {
    /// `on` or `off`.
    turn: Turn,
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
    let done = lockdown::set(&app, &caller.0, LockdownSet { on, except: None, reason: reason(form.reason) }).await?;
    if on {
        return show_receipt(&caller, "/admin/lockdown", "Lockdown is on".to_owned(), done.outcome);
    }
    Ok(Redirect::to("/admin/lockdown").into_response())
}
