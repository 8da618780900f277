//! The identity provider says that somebody is signed in there no more: so they are here.

use doorward_domain::{Action, Actor, Principal, Subject};
use doorward_store::Outbox;
use serde_json::json;

use crate::app::find::live_devices;
use crate::app::{App, Record, Refusal, follow_up};
use crate::net::{LoggedOut, ProviderError};

/// Why a logout was not done.
pub(crate) enum Undone {
    /// The token does not count; what is wrong with it, for the provider's log.
    Untrusted(String),
    /// It could not be checked or written down: the provider may send it again.
    Unavailable(Refusal),
}

impl<E: Into<Refusal>> From<E> for Undone {
    fn from(error: E) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Ends the sessions of whom a logout token names, and their window with them. Whoever is nobody here has nothing to end.
pub(crate) async fn log_out(app: &App, token: &str) -> Result<(), Undone> {
    let missing = || Refusal::NotFound("no identity provider is set up here".to_owned());
    let provider = app.accounts.provider.as_ref().ok_or_else(missing)?;
    let now = app.clock.now();
    let said = match provider.logged_out(token, now).await {
        Ok(said) => said,
        Err(error @ ProviderError::Down(_)) => return Err(Refusal::Unavailable(error.to_string()).into()),
        Err(ProviderError::Untrusted(source) | ProviderError::Refused(source)) => {
            return Err(Undone::Untrusted(source.to_string()));
        }
    };
    let LoggedOut { issuer, subject, sid } = said;
    let mut tx = app.store.write().await?;
    let mut id = match &subject {
        Some(subject) => tx.identity(&issuer, subject).await?,
        None => None,
    };
    if let (None, None, Some(sid)) = (id, &subject, &sid) {
        id = tx.identity_of_session(&issuer, sid).await?;
    }
    let Some(id) = id else { return Ok(()) };
    let Some(person) = tx.person(id).await? else { return Ok(()) };
    let ended = tx.sessions_end(person.id).await?;
    tx.person_update(&Principal { signed_in_until: None, signed_in_at: None, ..person.clone() }).await?;
    let devices = live_devices(&mut tx, person.id).await?;
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::ProviderSignOut,
        subject: Subject::Person(person.email),
        detail: json!({ "provider": issuer, "ended": ended, "devices": devices }),
    };
    let committed = app.commit(tx, record, Outbox::Devices(devices.clone())).await?;
    follow_up(app, &committed, devices);
    Ok(())
}
