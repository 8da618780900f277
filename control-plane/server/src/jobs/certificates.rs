//! The portal's certificate: the next one is asked for in time, files that changed are read again, and an end that comes
//! near is told.

use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use doorward_domain::{Alert, AlertKind};
use doorward_model::Timestamp;
use jiff::SignedDuration;

use crate::app::{App, alerts};
use crate::net::{Acme, AcmeError, Facts, Outlook, Source, read_files, renewal_of, warning_of};

/// How often clock and files are looked at, at least.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The shortest time between two looks.
const LOOK_EVERY_MIN: Duration = Duration::from_millis(200);
/// First and last pause after an attempt that the authority did not hear of, or does not count.
const UNCOUNTED_PAUSE: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3600));
/// First and last pause after a refusal: authorities count those, and five an hour are the most that Let's Encrypt takes.
const REFUSED_PAUSE: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(12 * 3600));
/// How often an end that comes near is told.
const TELL_EVERY: SignedDuration = SignedDuration::from_hours(24);

/// Looks after the certificate, for good.
pub(super) async fn look_after(app: &App, files: Option<(PathBuf, PathBuf)>) {
    let mut told_at = None;
    let mut watched = files.map(Watched::new);
    let mut asking = Asking::default();
    loop {
        let mut pause = LOOK_EVERY;
        if let Some(acme) = &app.acme {
            pause = asking.step(app, acme).await.min(LOOK_EVERY).max(LOOK_EVERY_MIN);
        } else if let Some(watched) = &mut watched {
            watched.look(app);
        }
        tell(app, &mut told_at).await;
        tokio::time::sleep(pause).await;
    }
}

/// How asking the authority went.
#[derive(Default)]
struct Asking {
    failures: u32,
    not_before: Option<Timestamp>,
}

impl Asking {
    /// Asks if it is time. Returns how long there is nothing to do.
    async fn step(&mut self, app: &App, acme: &Acme) -> Duration {
        let now = app.clock.now();
        let facts = app.certificates.facts();
        let wanted_at = if acme.is_complete(&facts) { renewal_of(&facts) } else { now };
        let due = self.not_before.map_or(wanted_at, |pause| pause.max(wanted_at));
        if due > now {
            let trouble = app.certificates.outlook().trouble;
            app.certificates.expect(Outlook { trouble, next_at: Some(due) });
            return Duration::try_from(due.duration_since(now)).unwrap_or(LOOK_EVERY);
        }
        match acme.issue(app.certificates.answers()).await {
            Ok(held) => {
                let facts = &held.facts;
                tracing::info!(names = ?facts.names, until = %facts.not_after, "the certificate authority gave a certificate");
                *self = Self::default();
                app.certificates.expect(Outlook { trouble: None, next_at: Some(renewal_of(facts)) });
                app.certificates.hold(held);
            }
            Err(error) => self.failed(app, &error),
        }
        LOOK_EVERY_MIN
    }

    fn failed(&mut self, app: &App, error: &AcmeError) {
        let (first, last) = if error.is_uncounted() { UNCOUNTED_PAUSE } else { REFUSED_PAUSE };
        let pause = first.saturating_mul(1 << self.failures.min(16)).min(last);
        self.failures = self.failures.saturating_add(1);
        // Not all who were refused at the same moment come back at the same moment.
        let pause = pause.saturating_add(pause / 10 * u32::from(rand::random::<u8>() % 4));
        let next_at = app.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
        self.not_before = Some(next_at);
        tracing::warn!(error = error as &dyn std::error::Error, next_at = %next_at, "there is no certificate of the authority yet");
        app.certificates.expect(Outlook { trouble: Some(error.to_string()), next_at: Some(next_at) });
    }
}

/// The owner's files: whoever renews them need not restart anything.
struct Watched {
    files: (PathBuf, PathBuf),
    seen: Option<(SystemTime, SystemTime)>,
}

impl Watched {
    fn new(files: (PathBuf, PathBuf)) -> Self {
        let seen = written_at(&files);
        Self { files, seen }
    }

    fn look(&mut self, app: &App) {
        let written = written_at(&self.files);
        if written == self.seen && app.certificates.outlook().trouble.is_none() {
            return;
        }
        match read_files(&self.files.0, &self.files.1) {
            Ok(held) => {
                if held.facts != app.certificates.facts() {
                    tracing::info!(until = %held.facts.not_after, "the certificate's files changed and are used");
                    app.certificates.hold(held);
                }
                app.certificates.expect(Outlook::default());
            }
            Err(error) => {
                // Mostly one of the two is written already and the other is not: it is looked at again.
                let trouble = Some(error.to_string());
                if app.certificates.outlook().trouble != trouble {
                    tracing::warn!(%error, "the certificate's files changed and cannot be used: the one before is used on");
                    app.certificates.expect(Outlook { trouble, next_at: None });
                }
            }
        }
        self.seen = written;
    }
}

fn written_at(files: &(PathBuf, PathBuf)) -> Option<(SystemTime, SystemTime)> {
    let of = |path: &PathBuf| std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
    Some((of(&files.0)?, of(&files.1)?))
}

/// Raises an alert once a day while the certificate's end is near.
async fn tell(app: &App, told_at: &mut Option<Timestamp>) {
    let now = app.clock.now();
    let facts = app.certificates.facts();
    let told_lately = told_at.is_some_and(|at| now.duration_since(at) < TELL_EVERY);
    if facts.source == Source::Own || now < warning_of(&facts) || told_lately {
        return;
    }
    *told_at = Some(now);
    alerts::raise(app, ending(now, &facts, app.certificates.outlook().trouble)).await;
}

fn ending(now: Timestamp, facts: &Facts, trouble: Option<String>) -> Alert {
    let until = facts.not_after.strftime("%Y-%m-%d %H:%M UTC");
    let verb = if now < facts.not_after { "ends" } else { "ended" };
    let what = match (facts.source, trouble) {
        (_, Some(trouble)) => trouble,
        (Source::Files, None) => {
            "put its successor into the files of `[server] tls_certificate` and `tls_key`".to_owned()
        }
        (Source::Acme | Source::Own, None) => "the next one has not come yet".to_owned(),
    };
    Alert {
        at: now,
        kind: AlertKind::CertificateEnds,
        gateway: None,
        device: None,
        email: None,
        source: None,
        message: format!("the portal's certificate {verb} at {until}: {what}"),
        count: 1,
    }
}
