//! Hearing other replicas: their word at once, and a look at the database where a word was lost.

use std::time::Duration;

use doorward_store::Word;

use super::logged;
use crate::app::{App, Refusal};

/// How often others are told that this replica runs, and what its gateways say; after 5 s without it, it counts as gone.
const PRESENCE_EVERY: Duration = Duration::from_secs(1);
/// First and last pause before the ear is opened again.
const REOPEN: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Hears and tells others until it is dropped; on SQLite there are none.
pub(super) async fn run(app: &App) {
    tokio::join!(app.replicas.relay(app, REOPEN.0), presence_loop(app), listen_loop(app));
}

async fn presence_loop(app: &App) {
    if !app.store.is_shared() {
        return;
    }
    loop {
        logged("other control planes could not be told of gateways", app.replicas.exchange_streams(app).await);
        // A second at most, so that nothing has to be told twice; at once where a stream came or went.
        let _ = tokio::time::timeout(PRESENCE_EVERY, app.hub.streams_change()).await;
    }
}

async fn listen_loop(app: &App) {
    let mut pause = REOPEN.0;
    loop {
        match app.store.listen().await {
            Ok(None) => return,
            Ok(Some(mut listener)) => {
                pause = REOPEN.0;
                // Whatever was said before the ear was open.
                logged("what other control planes did could not be read", look(app).await);
                while let Ok(word) = listener.heard().await {
                    logged("what another control plane said could not be read", take(app, word).await);
                }
                tracing::info!("the connection on which other control planes are heard was lost");
            }
            Err(error) => {
                tracing::debug!(error = &error as &dyn std::error::Error, "other control planes are not heard");
            }
        }
        tokio::time::sleep(pause).await;
        pause = pause.saturating_mul(2).min(REOPEN.1);
    }
}

async fn take(app: &App, word: Word) -> Result<(), Refusal> {
    match word {
        Word::Revision(revision) => app.hub.committed(revision),
        Word::Confirmed => app.replicas.take_confirmations(app).await?,
        Word::Gateways => app.replicas.exchange_streams(app).await?,
        Word::Other => {}
    }
    Ok(())
}

/// Looks at all that a word may have been lost about.
pub(super) async fn look(app: &App) -> Result<(), Refusal> {
    let mut read = app.store.read().await?;
    app.hub.committed(read.revision().await?.0);
    match app.history.look(app, &mut read).await {
        // An older copy of the database is an alert already.
        Ok(()) | Err(Refusal::Conflict(_)) => {}
        Err(refusal) => return Err(refusal),
    }
    drop(read);
    if app.store.is_shared() {
        app.replicas.take_confirmations(app).await?;
    }
    Ok(())
}
