//! What happens by itself: ends that time brings are recorded, clocks are watched, old rows are pruned, other replicas are
//! heard, a directory is asked, and the portal's certificate is renewed.
//!
//! Where several control planes share a database, each kind of work on it is one replica's at a time ([`turn`]). What
//! concerns this process alone, its clock, its certificate and its streams, goes on in each.
//!
//! Access ends without this: leases carry their deadlines, and gateways compare them on each packet. Only the end of a
//! sponsor's own time takes something away here, from those they answered for. What ends for good (people, keys)
//! goes by the settled clock: a wall clock that is set right again gives back what it took.

mod certificates;
mod directory;
mod disuse;
mod ends;
mod hours;
mod mails;
mod notices;
mod replicas;

use std::path::PathBuf;
use std::time::Duration;

use doorward_domain::{Alert, AlertKind};
use doorward_store::{Turn, Work};
use jiff::SignedDuration;
use tokio::time::{MissedTickBehavior, interval};

use crate::Shutdown;
use crate::app::directory::{due, known};
use crate::app::health::in_time;
use crate::app::{App, Refusal, alerts};

/// How often ends are looked for: the record is late by this much at most, access never.
const ENDS_EVERY: Duration = Duration::from_secs(2);
/// How often notices before an end are looked for.
const NOTICES_EVERY: Duration = Duration::from_secs(30);
/// How often what nobody uses is looked for.
const DISUSE_EVERY: Duration = Duration::from_mins(10);
/// How often what is known of sources is read, where nothing changed here.
const SOURCES_EVERY: Duration = Duration::from_mins(5);
/// The same after it could not be read.
const SOURCES_AGAIN: Duration = Duration::from_secs(10);
/// How often mails that wait are looked for.
const MAILS_EVERY: Duration = Duration::from_secs(5);
/// How often another replica's commits are looked for, where its word was lost.
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
            sources_loop(&app),
            directory::ask(&app),
            revision_loop(&app),
            replicas::run(&app),
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
            if jump.sets_right {
                logged("that the clock is right again could not be recorded", ends::record_set_right(app, jump).await);
            }
            alerts::raise(app, jumped(app, jump.by)).await;
        }
        let Some(_turn) = turn(app, Work::Ends).await else { continue };
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
        let Some(_turn) = turn(app, Work::Notices).await else { continue };
        logged("notices could not be kept", notices::note(app).await);
    }
}

async fn disuse_loop(app: &App) {
    let mut ticks = interval(DISUSE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(_turn) = turn(app, Work::People).await else { continue };
        logged("what nobody uses could not be ended", disuse::end(app).await);
    }
}

/// Reads what sources' messages need in bad times; in each replica, and sooner where the database did not answer.
async fn sources_loop(app: &App) {
    loop {
        let read = in_time(known::refresh(app)).await;
        let pause = if read.is_ok() { SOURCES_EVERY } else { SOURCES_AGAIN };
        logged("what is known of sources could not be read", read);
        tokio::select! {
            () = app.sources.stale() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// A loop of its own: a mail server that does not answer holds up nothing else.
async fn mails_loop(app: &App) {
    let Some(mail) = &app.accounts.mail else { return };
    let mut ticks = interval(MAILS_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(_turn) = turn(app, Work::Mails).await else { continue };
        logged("mails could not be sent", mails::send(app, mail).await);
    }
}

async fn revision_loop(app: &App) {
    let mut ticks = interval(REVISION_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        logged("the revision could not be read", replicas::look(app).await);
    }
}

async fn prune_loop(app: &App) {
    let mut ticks = interval(PRUNE_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(_turn) = turn(app, Work::Pruning).await else { continue };
        logged("old rows could not be deleted", app.store.prune(app.clock.settled()).await.map_err(Refusal::from));
    }
}

/// Takes the turn for some work, which lasts until what this returns is dropped; `None` while another replica does it.
async fn turn(app: &App, work: Work) -> Option<Turn> {
    match app.store.turn(work).await {
        Ok(turn) => turn,
        Err(error) => {
            tracing::warn!(error = &error as &dyn std::error::Error, ?work, "whose turn it is cannot be asked");
            None
        }
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
    let effect = if jump.is_negative() {
        "nothing lasts longer for it"
    } else {
        "what ends by then has ended, though nobody departs and no key ends for good by it for a day"
    };
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
