//! The state of the whole at a glance, and who is connected.

use askama::Template;
use axum::extract::State;

use super::super::{Notice, Page, Shown, filters, show};
use crate::api::{LockdownStatus, Status};
use crate::app::{App, Caller, browse, status};

#[derive(Template)]
#[template(path = "console/overview.html")]
struct Overview {
    page: Page,
    status: Status,
    connected: browse::Connected,
}

/// Shows the overview.
pub(crate) async fn show_overview(State(app): State<App>, caller: Caller) -> Shown {
    let status = status::show(&app, &caller.0).await?;
    let connected = browse::connected(&app, &caller.0).await?;
    let page = Page::new(Some(&caller), "/admin").telling(locked(&status.lockdown));
    show(&Overview { page, status, connected })
}

fn locked(lockdown: &LockdownStatus) -> Option<Notice> {
    let text = "Lockdown is on: nobody passes until it is lifted.".to_owned();
    lockdown.on.then_some(Notice { tone: "bad", text })
}
