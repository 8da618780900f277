//! What happens by itself: ends that time brings are recorded, clocks are watched, old rows are pruned, commits of other
//! replicas are noticed, and the portal's certificate is renewed.
//!
//! Access ends without this: leases carry their deadlines, and gateways compare them on each packet. Only the end of a
//! sponsor's own time takes something away here, from those they answered for.

mod certificates;
mod disuse;
mod ends;
mod hours;
mod mails;
mod notices;

use std::path::PathBuf;
use std::time::Duration;

use doorward_domain::{Alert, AlertKind};
use jiff::SignedDuration;
use tokio::time::{MissedTickBehavior, interval};

use crate::Shutdown;
use crate::app::directory::due;
use crate::app::{App, Refusal, alerts};

/// How often ends are looked for: the record is late by this much at most, access never.
const ENDS_EVERY: Duration = Duration::from_secs(2);
/// How often notices before an end are looked for.
const NOTICES_EVERY: Duration = Duration::from_secs(30);
/// How often what nobody uses is looked for.
const DISUSE_EVERY: Duration = Duration::from_secs(60);
/// How often mails that wait are looked for.
const MAILS_EVERY: Duration = Duration::from_secs(5);
/// How often another replica's commits are looked for.
const REVISION_EVERY: Duration = Duration::from_millis(500);
/// How often old rows are deleted.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);

/// Runs the jobs until `shutdown`.
pub(crate) async fn run(app: App, certificate_files: Option<(PathBuf, PathBuf)>, shutdown: Shutdown) {
    let jobs = async {
        let certificates = certificates::look_after(&app, certificate_files);
        tokio::join!(
            ends_loop(&app),
            notices_loop(&app),
            mails_loop(&app),
            disuse_loop(&app),
            revision_loop(&app),
            prune_loop(&app),
            certificates
        )
    };
    tokio::select! {
        () = shutdown.cancelled() => {}
        _ = jobs => {}
    }
}

async fn ends_loop(app: &App) {
    let mut ticks = interval(ENDS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Some(jump) = app.clock.jump() {
            alerts::raise(app, jumped(app, jump)).await;
        }
        logged("ends could not be recorded", ends::record(app).await);
        logged("the next hours could not be told", hours::tell(app).await);
        logged("departures could not be finished", due::depart(app).await);
    }
}

async fn notices_loop(app: &App) {
    let mut ticks = interval(NOTICES_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        logged("notices could not be kept", notices::note(app).await);
    }
}

async fn disuse_loop(app: &App) {
    let mut ticks = interval(DISUSE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        logged("what nobody uses could not be ended", disuse::end(app).await);
    }
}

/// A loop of its own: a mail server that does not answer holds up nothing else.
async fn mails_loop(app: &App) {
    let Some(mail) = &app.accounts.mail else { return };
    let mut ticks = interval(MAILS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        logged("mails could not be sent", mails::send(app, mail).await);
    }
}

async fn revision_loop(app: &App) {
    let mut ticks = interval(REVISION_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        logged("the revision could not be read", notice(app).await);
    }
}

async fn notice(app: &App) -> Result<(), Refusal> {
    let mut read = app.store.read().await?;
    let revision = read.revision().await?;
    app.hub.committed(revision.0);
    match app.history.look(app, &mut read).await {
        // It is an alert already.
        Err(Refusal::Conflict(_)) => Ok(()),
        looked => looked,
    }
}

async fn prune_loop(app: &App) {
    let mut ticks = interval(PRUNE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        logged("old rows could not be deleted", app.store.prune(app.clock.now()).await.map_err(Refusal::from));
    }
}

fn logged(what: &str, done: Result<(), Refusal>) {
    if let Err(refusal) = done {
        tracing::warn!(?refusal, "{what}");
    }
}

fn jumped(app: &App, jump: SignedDuration) -> Alert {
    let way = if jump.is_negative() { "back" } else { "forward" };
    let seconds = jump.unsigned_abs().as_secs();
    let effect = if jump.is_negative() { "nothing lasts longer for it" } else { "what ends by then has ended" };
    Alert {
        at: app.clock.now(),
        kind: AlertKind::ServerClockJumped,
        gateway: None,
        device: None,
        email: None,
        source: None,
        message: format!(
            "the control plane's wall clock was set {way} by {seconds} s: {effect}; check its time synchronisation"
        ),
        count: 1,
    }
}
