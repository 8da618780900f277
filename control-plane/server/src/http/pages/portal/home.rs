//! The start page: what may I reach, until when, from which devices.

use askama::Template;
use axum::extract::State;
use axum::response::{IntoResponse as _, Redirect};
use doorward_domain::Actor;
use doorward_model::DeviceId;

use super::super::words::Worded as _;
use super::super::{Page, Shown, filters, show};
use crate::api::{Device, Grant};
use crate::app::accounts::{Visitor, passkeys};
use crate::app::home::{Home, WindowState};
use crate::app::{App, Caller, home};

#[derive(Template)]
#[template(path = "portal/home.html")]
struct HomePage {
    page: Page,
    home: Home,
    grants: Vec<Grant>,
    devices: Vec<Device>,
    /// They have no passkey, and could have one.
    wants_passkey: bool,
}

impl HomePage {
    fn is_shut(&self, device: &DeviceId) -> bool {
        self.home.shut.contains(device)
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
    let wants_passkey = passkeys::is_wanted(&app, &visitor, &caller.0).await?;
    show(&HomePage { page: Page::new(Some(&caller), "/"), home, grants, devices, wants_passkey })
}
