//! After a revocation's commit: wait for the gateways, write down what they confirmed, alert where one did not.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use doorward_domain::{Action, Actor, Alert, AlertKind, Gateway, Receipt, Subject};
use doorward_model::{DeviceId, GatewayName, Revision, Timestamp};
use doorward_store::{Committed, Outbox};
use serde_json::json;
use tokio::sync::oneshot;

use super::{App, Record};
use crate::api::{EndOutcome, Ended, GatewayReceipt};
use crate::feed::Confirmation;

/// How long a caller waits for receipts; a gateway confirms within milliseconds, or something is wrong.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after `authority_ttl` a late receipt is still written down.
const LATE_RECEIPT_MAX: Duration = Duration::from_secs(60);

/// A committed change that gateways have to confirm.
#[derive(Debug, Clone)]
pub(crate) struct Commitment {
    revision: Revision,
    decided_at: Timestamp,
    gateways_concerned: bool,
    committed: Instant,
    concerned: Concerned,
    connected: Vec<GatewayName>,
}

/// Whom a revocation concerns.
#[derive(Debug, Clone)]
pub(crate) enum Concerned {
    /// These devices.
    Devices(HashSet<DeviceId>),
    /// Everybody.
    Everybody,
}

impl Commitment {
    /// Takes down what was committed; call it right after the commit.
    pub(crate) fn new(app: &App, committed: &Committed, concerned: Concerned) -> Self {
        Self {
            revision: committed.revision,
            decided_at: committed.at,
            gateways_concerned: committed.gateways_concerned,
            committed: Instant::now(),
            concerned,
            connected: app.hub.connected(),
        }
    }

    fn last_packet_before_ms(&self, confirmation: &Confirmation) -> Option<u64> {
        let concerns = |device: &DeviceId| match &self.concerned {
            Concerned::Devices(devices) => devices.contains(device),
            Concerned::Everybody => true,
        };
        confirmation
            .ended
            .iter()
            .filter(|ended| concerns(&ended.device))
            .filter_map(|ended| ended.last_packet_before_ms)
            .min()
    }

    fn after_ms(&self, confirmation: &Confirmation) -> u64 {
        let micros = confirmation.heard.saturating_duration_since(self.committed).as_micros();
        u64::try_from(micros.div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

/// Waits until every gateway that was connected at the commit confirmed it, 5 s at most, and renders the outcome.
///
/// The waiting goes on without the caller, so that receipts are written down even where nobody waits any more.
pub(crate) async fn outcome(app: &App, commitment: Commitment, ended: Ended) -> EndOutcome {
    let (revision, decided_at) = (commitment.revision.0, commitment.decided_at);
    if !commitment.gateways_concerned {
        // Nobody had anything to lose, so there is nothing to confirm.
        return EndOutcome { revision, decided_at, ended, receipts: Vec::new(), warnings: Vec::new() };
    }
    let (answer, answered) = oneshot::channel();
    app.workers.spawn(follow(app.clone(), commitment, answer));
    // An error means that the follower ended in a panic, which is logged where it happened.
    let (receipts, warnings) = answered.await.unwrap_or_else(|_| {
        (Vec::new(), vec!["the gateways' receipts could not be collected: see `doorward status`".to_owned()])
    });
    EndOutcome { revision, decided_at, ended, receipts, warnings }
}

/// Follows the gateways' receipts for what was taken from these devices, without making anybody wait for them.
pub(crate) fn follow_up(app: &App, committed: &Committed, devices: impl IntoIterator<Item = DeviceId>) {
    let commitment = Commitment::new(app, committed, Concerned::Devices(devices.into_iter().collect()));
    if commitment.gateways_concerned {
        let (nobody_waits, _) = oneshot::channel();
        app.workers.spawn(follow(app.clone(), commitment, nobody_waits));
    }
}

type Collected = (Vec<GatewayReceipt>, Vec<String>);

async fn follow(app: App, commitment: Commitment, answer: oneshot::Sender<Collected>) {
    let gateways = known(&app).await.unwrap_or_else(|refusal| {
        tracing::warn!(?refusal, "the gateways could not be read");
        Vec::new()
    });
    let missing = wait(&app, &commitment, commitment.connected.clone(), RECEIPT_TIMEOUT).await;
    record(&app, &commitment, &gateways, &commitment.connected).await;
    for name in &missing {
        alert_missing(&app, &commitment, name).await;
    }
    let collected = render(&app, &commitment, &gateways);
    app.receipts.came(&collected.0);
    // The caller may have gone; the rest does not depend on it.
    let _ = answer.send(collected);
    if missing.is_empty() {
        return;
    }
    let patience = app.authority_ttl.saturating_add(LATE_RECEIPT_MAX);
    let never = wait(&app, &commitment, missing.clone(), patience).await;
    let late: Vec<GatewayName> = missing.into_iter().filter(|name| !never.contains(name)).collect();
    record(&app, &commitment, &gateways, &late).await;
    let (mut receipts, _) = render(&app, &commitment, &gateways);
    receipts.retain(|receipt| late.contains(&receipt.gateway));
    app.receipts.came(&receipts);
}

async fn known(app: &App) -> Result<Vec<Gateway>, super::Refusal> {
    Ok(app.store.read().await?.gateways().await?)
}

/// Waits for gateways' confirmations; returns those that gave none in time.
async fn wait(
    app: &App,
    commitment: &Commitment,
    mut missing: Vec<GatewayName>,
    patience: Duration,
) -> Vec<GatewayName> {
    let deadline = tokio::time::Instant::from_std(commitment.committed) + patience;
    let mut confirmations = app.hub.watch_confirmations();
    loop {
        confirmations.mark_unchanged();
        missing.retain(|name| app.hub.confirmation(name, commitment.revision.0).is_none());
        if missing.is_empty() {
            return missing;
        }
        match tokio::time::timeout_at(deadline, confirmations.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return missing,
        }
    }
}

/// Writes receipts down, and into the audit.
async fn record(app: &App, commitment: &Commitment, gateways: &[Gateway], names: &[GatewayName]) {
    let receipts: Vec<Receipt> = names
        .iter()
        .filter_map(|name| {
            let confirmation = app.hub.confirmation(name, commitment.revision.0)?;
            let gateway = gateways.iter().find(|gateway| gateway.name == *name)?;
            Some(Receipt {
                gateway: gateway.id,
                gateway_name: name.clone(),
                revision: commitment.revision,
                decided_at: commitment.decided_at,
                enforced_at: confirmation.heard_at,
                enforced_after_ms: Some(commitment.after_ms(&confirmation)),
                last_packets: confirmation
                    .ended
                    .iter()
                    .map(|ended| (ended.device, ended.last_packet_before_ms))
                    .collect(),
            })
        })
        .collect();
    if receipts.is_empty() {
        return;
    }
    if let Err(refusal) = write(app, commitment, &receipts).await {
        tracing::warn!(?refusal, revision = commitment.revision.0, "receipts could not be written down");
    }
}

async fn write(app: &App, commitment: &Commitment, receipts: &[Receipt]) -> Result<(), super::Refusal> {
    let now = app.clock.now();
    for receipt in receipts {
        app.store.receipt_record(receipt).await?;
    }
    let tx = app.store.write().await?;
    let took = |name| Some(app.hub.confirmation(name, commitment.revision.0)?.enforced_after.as_micros());
    let confirmed: Vec<_> = receipts
        .iter()
        .map(|receipt| {
            json!({
                "gateway": receipt.gateway_name,
                "gateway_took_micros": took(&receipt.gateway_name),
                "enforced_at": receipt.enforced_at,
                "enforced_after_ms": receipt.enforced_after_ms,
                "last_packet_before_ms": receipt.last_packets.iter().filter_map(|(_, before)| *before).min(),
            })
        })
        .collect();
    let record = Record {
        at: now,
        actor: &Actor::System,
        action: Action::ReceiptRecord,
        subject: Subject::Everything,
        detail: json!({ "revision": commitment.revision, "decided_at": commitment.decided_at, "receipts": confirmed }),
    };
    app.commit(tx, record, Outbox::None).await.map(|_| ())
}

async fn alert_missing(app: &App, commitment: &Commitment, name: &GatewayName) {
    let message = format!(
        "gateway {name} did not confirm revision {} within {} s: its authority ends by itself within {} s of its last heartbeat",
        commitment.revision,
        RECEIPT_TIMEOUT.as_secs(),
        app.authority_ttl.as_secs()
    );
    let alert = Alert {
        at: app.clock.now(),
        kind: AlertKind::ReceiptMissing,
        gateway: Some(name.clone()),
        device: None,
        email: None,
        source: None,
        message,
        count: 1,
    };
    super::alerts::raise(app, alert).await;
}

fn render(app: &App, commitment: &Commitment, gateways: &[Gateway]) -> Collected {
    let mut warnings = Vec::new();
    let mut names: Vec<GatewayName> = gateways.iter().map(|gateway| gateway.name.clone()).collect();
    names.extend(
        commitment.connected.iter().filter(|name| !gateways.iter().any(|gateway| gateway.name == **name)).cloned(),
    );
    names.sort();
    let ttl = app.authority_ttl.as_secs();
    let receipts = names
        .into_iter()
        .map(|gateway| {
            let connected = commitment.connected.contains(&gateway);
            let confirmation = app.hub.confirmation(&gateway, commitment.revision.0);
            match (&confirmation, connected) {
                (Some(_), _) => {}
                (None, true) => warnings.push(format!(
                    "gateway {gateway} did not confirm in time: what it enforces ends by itself within {ttl} s of its last heartbeat"
                )),
                (None, false) => warnings.push(format!(
                    "gateway {gateway} is not connected: what it enforces ends by itself within {ttl} s of its last heartbeat"
                )),
            }
            GatewayReceipt {
                connected,
                enforced_after_ms: confirmation.as_ref().map(|confirmation| commitment.after_ms(confirmation)),
                enforced_at: confirmation.as_ref().map(|confirmation| confirmation.heard_at),
                last_packet_before_ms: confirmation.as_ref().and_then(|confirmation| commitment.last_packet_before_ms(confirmation)),
                gateway,
            }
        })
        .collect();
    (receipts, warnings)
}
