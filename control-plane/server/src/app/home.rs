//! What people see of themselves: what they may reach, from which devices, and whether their window is open.

use doorward_domain::{Action, Actor, SignedIn, Subject};
use doorward_model::{DeviceId, Timestamp};

use super::browse::{LastUses, last_uses};
use super::{App, Refusal, allow, find};
use crate::api::Person;

/// Whether the person's devices reach what was granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WindowState {
    /// No sign-in is asked for: grants count alone.
    NotAsked,
    /// Until then.
    Open(Timestamp),
    /// They reach nothing until the person signs in.
    Closed,
}

/// A person's own start page.
#[derive(Debug)]
pub(crate) struct Home {
    pub(crate) person: Person,
    pub(crate) uses: LastUses,
    pub(crate) window: WindowState,
    /// Devices that were shut out until the next sign-in: their key was used from two places.
    pub(crate) shut: Vec<DeviceId>,
}

/// Says who signed in.
pub(crate) fn signed_in(actor: &Actor) -> Result<&SignedIn, Refusal> {
    match actor {
        Actor::Person(person) => Ok(person),
        Actor::LocalAdmin { .. }
        | Actor::ApiToken { .. }
        | Actor::Source { .. }
        | Actor::Gateway { .. }
        | Actor::System => {
            let sentence = "this page is for a person who signed in: use the console, or sign in at the portal";
            Err(Refusal::Refused(sentence.to_owned()))
        }
    }
}

/// Says whether a sign-in would open something: the window is closed, or a device is shut out until the next sign-in.
pub(crate) async fn waits_for_sign_in(app: &App, actor: &Actor) -> Result<bool, Refusal> {
    let home = show(app, actor).await?;
    Ok(home.window == WindowState::Closed || !home.shut.is_empty())
}

/// Shows a person what is theirs.
pub(crate) async fn show(app: &App, actor: &Actor) -> Result<Home, Refusal> {
    let SignedIn { id, email, .. } = signed_in(actor)?;
    allow(actor, Action::Read, &Subject::Person(email.clone()))?;
    let now = app.clock.now();
    let mut read = app.store.read().await?;
    let principal = find::person(&mut read, email).await?;
    let devices = read.devices_of(*id).await?;
    let signed_in_at = principal.signed_in_at;
    let is_shut = |closed: Option<Timestamp>| closed.is_some_and(|closed| signed_in_at.is_none_or(|at| at <= closed));
    let shut = devices.iter().filter(|device| device.revoked.is_none() && is_shut(device.window_closed_at));
    let shut = shut.map(|device| device.id).collect();
    let window = match principal.signed_in_until.filter(|until| now < *until) {
        _ if app.terms.sign_in_window.is_zero() => WindowState::NotAsked,
        Some(until) => WindowState::Open(until),
        None => WindowState::Closed,
    };
    let person = app.render_person(&mut read, &principal, now).await?;
    let uses = last_uses(app, person.devices.iter().map(|device| device.id));
    Ok(Home { person, uses, window, shut })
}
