//! The state of the whole, and alerts.

use doorward_domain::{Actor, Alert, Receipt};

use super::{App, Refusal, allow_read, gateways, lockdown, notices};
use crate::api::{self, CertificateSource, MailStatus, RecentReceipt, Status};
use crate::net::Source;

/// Receipts and alerts in a status.
const RECENT_MAX: u32 = 10;

/// Ends in a status.
const ENDS_SOON_MAX: usize = 20;

/// Alerts among which the urgent ones are looked for: the record of an ordinary day must not push them out.
const ALERTS_READ: u32 = 500;

/// Shows the state of the whole.
pub(crate) async fn show(app: &App, actor: &Actor) -> Result<Status, Refusal> {
    allow_read(actor)?;
    let now = app.clock.now();
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
    Ok(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        now,
        revision: read.revision().await?.0,
        certificate: certificate(app),
        gateways: read.gateways().await?.into_iter().map(|gateway| gateways::render(app, gateway)).collect(),
        people: counts.people,
        devices: counts.devices,
        grants: counts.grants,
        lockdown: lockdown::read(&mut read).await?,
        last_receipts: receipts.into_iter().filter_map(render_receipt).collect(),
        alerts: urgent(read.alerts_recent(ALERTS_READ).await?),
        ends_soon,
        mail,
    })
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
