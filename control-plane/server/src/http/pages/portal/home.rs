//! The start page: what may I reach, until when, from which devices.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_domain::Actor;
use doorward_model::{DeviceId, GrantId, Timestamp};
use jiff::SignedDuration;

use super::super::words::Worded as _;
use super::super::{Page, Shown, filters, show};
use crate::api::{Device, Grant, Request};
use crate::app::accounts::{Visitor, passkeys};
use crate::app::home::{Home, WindowState};
use crate::app::{App, Caller, home, requests};

/// What ends within this time is offered to be asked for again: as long as a request stays open at most.
const ENDS_SOON: SignedDuration = SignedDuration::from_hours(7 * 24);

#[derive(Template)]
#[template(path = "portal/home.html")]
struct HomePage {
    page: Page,
    home: Home,
    grants: Vec<Grant>,
    devices: Vec<Device>,
    /// Their own requests that wait.
    asked: Vec<Request>,
    /// Requests of others that wait for their answer.
    waiting: usize,
    soon: Timestamp,
    /// They have no passkey, and could have one.
    wants_passkey: bool,
}

impl HomePage {
    fn is_shut(&self, device: &DeviceId) -> bool {
        self.home.shut.contains(device)
    }

    fn ends_soon(&self, grant: &Grant) -> bool {
        grant.until <= self.soon
    }

    fn is_asked_for(&self, grant: &GrantId) -> bool {
        self.asked.iter().any(|request| request.renews == Some(*grant))
    }
}

/// Shows the start page; who is no person has none, and goes to the console.
pub(crate) async fn show_home(State(app): State<App>, visitor: Visitor, caller: Caller) -> Shown {
    if matches!(caller.0, Actor::LocalAdmin { .. } | Actor::ApiToken { .. }) {
        return Ok(Redirect::to("/admin").into_response());
    }
    let home = home::show(&app, &caller.0).await?;
    let mut grants: Vec<Grant> = home.person.grants.iter().filter(|grant| grant.state.is_live()).cloned().collect();
    grants.sort_by(|one, other| one.resource.cmp(&other.resource).then(one.from.cmp(&other.from)));
    let devices = home.person.devices.iter().filter(|device| device.state.is_live()).cloned().collect();
    let open = requests::list(&app, &caller.0, None, false).await?;
    let waiting = open.iter().filter(|request| request.may_answer).count();
    let asked = open.into_iter().filter(|request| request.email == home.person.email).collect();
    let soon = app.clock.now().checked_add(ENDS_SOON).unwrap_or(Timestamp::MAX);
    let wants_passkey = passkeys::is_wanted(&app, &visitor, &caller.0).await?;
    show(&HomePage { page: Page::new(Some(&caller), "/"), home, grants, devices, asked, waiting, soon, wants_passkey })
}
