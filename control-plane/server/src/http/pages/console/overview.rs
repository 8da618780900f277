//! The state of the whole at a glance, and who is connected.

use askama::Template;
use axum::extract::State;

use super::super::{Notice, Page, Shown, filters, show};
use crate::api::{DatabaseStatus, LockdownStatus, Status};
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
    let page =
        Page::new(Some(&caller), "/admin").telling(trouble(&status.database).or_else(|| locked(&status.lockdown)));
    show(&Overview { page, status, connected })
}

fn trouble(database: &DatabaseStatus) -> Option<Notice> {
    let since = database.trouble_since?;
    let waiting = match database.journalled {
        0 => String::new(),
        count => format!(" Revocations in the journal: {count}; they are enforced, and written once it takes them."),
    };
    Some(Notice { tone: "bad", text: format!("The database takes no changes since {since}.{waiting}") })
}

fn locked(lockdown: &LockdownStatus) -> Option<Notice> {
    let text = "Lockdown is on: nobody passes until it is lifted.".to_owned();
    lockdown.on.then_some(Notice { tone: "bad", text })
}
