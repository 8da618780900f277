//! A directory that tells nothing by itself is asked every few minutes.

use std::time::Duration;

use super::logged;
use crate::app::App;
use crate::app::directory::poll;

/// How often it is looked whether a round is due, at most.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(5);
/// The same, at least.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(200);

/// Has rounds, for good.
pub(super) async fn ask(app: &App) {
    let Some(ldap) = &app.ldap else { return };
    let look_every = (ldap.every / 8).clamp(LOOK_EVERY_MIN, LOOK_EVERY_MAX);
    let mut after_a_start = true;
    loop {
        let asked = poll::poll_if_due(app, ldap, after_a_start).await;
        // Where the database takes nothing there is no hurry either: a round would be read for nothing.
        let pause = if asked.is_ok() { look_every } else { (ldap.every / 8).max(LOOK_EVERY_MAX) };
        after_a_start = after_a_start && asked.is_err();
        logged("a directory could not be asked", asked);
        tokio::time::sleep(pause).await;
    }
}
