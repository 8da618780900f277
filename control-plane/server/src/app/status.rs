//! The state of the whole, and alerts.

use doorward_domain::{Actor, Alert, Receipt};

use super::directory::poll;
use super::health::in_time;
use super::{App, Refusal, allow_read, gateways, lockdown, notices};
use crate::api::{self, CertificateSource, DatabaseStatus, MailStatus, RecentReceipt, Status};
use crate::net::Source;

/// Receipts and alerts in a status.
const RECENT_MAX: u32 = 10;

/// Ends in a status.
const ENDS_SOON_MAX: usize = 20;

/// Alerts among which the urgent ones are looked for: the record of an ordinary day must not push them out.
const ALERTS_READ: u32 = 500;

/// Shows the state of the whole; what this server knows by itself, where the database does not answer.
pub(crate) async fn show(app: &App, actor: &Actor) -> Result<Status, Refusal> {
    allow_read(actor)?;
    match in_time(read(app)).await {
        Err(refusal @ (Refusal::Unavailable(_) | Refusal::Internal(_))) => {
            app.health.read(Err(&refusal), app.clock.now());
            Ok(known(app))
        }
        read => read,
    }
}

async fn read(app: &App) -> Result<Status, Refusal> {
    let now = app.clock.now();
    let overlay = app.journal.overlay();
    let mut read = app.store.read().await?;
    let counts = read.counts(now).await?;
    let receipts = read.receipts_recent(RECENT_MAX).await?;
    let noticed = read.end_notices(now).await?;
    let mut ends_soon = notices::render(&mut read, noticed).await?;
    ends_soon.truncate(ENDS_SOON_MAX);
    let mail = match &app.accounts.mail {
        None => None,
        Some(_) => {
            let doorward_store::MailCounts { waiting, failing, error } = read.mail_counts(now).await?;
            Some(MailStatus { waiting, failing, error })
        }
    };
    let directory = poll::status(app).await?;
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        revision: read.revision().await?.0,
        database: database(app, true),
        certificate: certificate(app),
        gateways: read.gateways().await?.into_iter().map(|gateway| gateways::render(app, gateway)).collect(),
        people: counts.people,
        devices: counts.devices,
        grants: counts.grants,
        lockdown: lockdown::read_over(&mut read, &overlay).await?,
        last_receipts: receipts.into_iter().filter_map(render_receipt).collect(),
        alerts: urgent(read.alerts_recent(ALERTS_READ).await?),
        ends_soon,
        mail,
        directory,
    })
}

/// The status without the database.
fn known(app: &App) -> Status {
    let counts = app.journal.roster.counts();
    let waiting = app.journal.alerts().into_iter().rev().collect();
    Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now: app.clock.now(),
        revision: app.hub.revision(),
        database: database(app, false),
        certificate: certificate(app),
        gateways: app.hub.connected().into_iter().map(|name| gateways::render_connected(app, name)).collect(),
        people: counts.people,
        devices: counts.devices,
        grants: counts.grants,
        lockdown: lockdown::known(&app.journal.overlay()),
        last_receipts: Vec::new(),
        alerts: urgent(waiting),
        ends_soon: Vec::new(),
        mail: None,
        directory: None,
    }
}

fn database(app: &App, answers: bool) -> DatabaseStatus {
    let trouble = app.health.trouble();
    DatabaseStatus {
        answers,
        trouble_since: trouble.as_ref().map(|trouble| trouble.since),
        trouble: trouble.map(|trouble| trouble.what),
        journalled: u64::try_from(app.journal.overlay().waiting().len()).unwrap_or(u64::MAX),
    }
}

fn certificate(app: &App) -> api::Certificate {
    let (facts, outlook) = (app.certificates.facts(), app.certificates.outlook());
    api::Certificate {
        source: match facts.source {
            Source::Own => CertificateSource::Own,
            Source::Files => CertificateSource::Files,
            Source::Acme => CertificateSource::Acme,
        },
        sha256: facts.sha256,
        names: facts.names,
        ends_at: facts.not_after,
        next_at: outlook.next_at,
        trouble: outlook.trouble,
    }
}

fn urgent(alerts: Vec<Alert>) -> Vec<api::Alert> {
    let urgent = alerts
        .into_iter()
        .filter(|alert| alert.kind.is_urgent())
        .take(usize::try_from(RECENT_MAX).unwrap_or(usize::MAX));
    urgent.map(render_alert).collect()
}

fn render_receipt(receipt: Receipt) -> Option<RecentReceipt> {
    Some(RecentReceipt {
        gateway: receipt.gateway_name,
        revision: receipt.revision.0,
        decided_at: receipt.decided_at,
        enforced_at: receipt.enforced_at,
        enforced_after_ms: receipt.enforced_after_ms?,
    })
}

/// Renders an alert.
pub(crate) fn render_alert(alert: Alert) -> api::Alert {
    api::Alert {
        at: alert.at,
        kind: alert.kind.to_string(),
        gateway: alert.gateway,
        device: alert.device,
        email: alert.email,
        source: alert.source.map(|source| source.to_string()),
        message: alert.message,
        count: alert.count,
    }
}
