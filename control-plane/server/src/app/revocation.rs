//! After a revocation's commit: wait for the gateways, write down what they confirmed, alert where one did not.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use doorward_domain::{Action, Actor, Alert, AlertKind, Gateway, Receipt, Subject};
use doorward_model::{DecisionId, DeviceId, GatewayName, Revision, Timestamp};
use doorward_store::{Committed, Outbox};
use serde_json::json;
use tokio::sync::oneshot;

use super::health::in_time;
use super::journal::Waiting;
use super::{App, Record};
use crate::api::{EndOutcome, Ended, GatewayReceipt};
use crate::feed::Confirmation;

/// How long a caller waits for receipts; a gateway confirms within milliseconds, or something is wrong.
pub(crate) const RECEIPT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long after `authority_ttl` a late receipt is still written down.
const LATE_RECEIPT_MAX: Duration = Duration::from_secs(60);

/// A committed change that gateways have to confirm.
#[derive(Debug, Clone)]
pub(crate) struct Commitment {
    /// The revision with it; `None` where the database has none yet.
    revision: Option<Revision>,
    /// The name under which gateways were told of it ahead of the database.
    ahead: Option<DecisionId>,
    decided_at: Timestamp,
    gateways_concerned: bool,
    committed: Instant,
    /// When the journal had it, where gateways were told ahead.
    journalled: Option<Instant>,
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
            revision: Some(committed.revision),
            ahead: None,
            decided_at: committed.at,
            gateways_concerned: committed.gateways_concerned,
            committed: Instant::now(),
            journalled: None,
            concerned,
            connected: app.hub.connected(),
        }
    }

    /// Takes down what is journalled.
    pub(crate) fn ahead(app: &App, waiting: &Waiting, concerned: Concerned) -> Self {
        Self {
            revision: None,
            ahead: Some(waiting.decision.id),
            decided_at: waiting.decision.at,
            gateways_concerned: true,
            committed: waiting.accepted,
            journalled: Some(waiting.accepted),
            concerned,
            connected: app.hub.connected(),
        }
    }

    /// Says that gateways may have confirmed it before it was committed.
    pub(crate) fn told_ahead(self, waiting: &Waiting) -> Self {
        Self { ahead: Some(waiting.decision.id), journalled: Some(waiting.accepted), ..self }
    }

    /// What a gateway confirmed of it: under its name, or with a revision that has it.
    fn confirmation(&self, app: &App, gateway: &GatewayName) -> Option<Confirmation> {
        let ahead = self.ahead.and_then(|id| app.hub.confirmation_ahead(gateway, id));
        ahead.or_else(|| app.hub.confirmation(gateway, self.revision?.0))
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
        let is_of_journal = confirmation.ahead.is_some() && confirmation.ahead == self.ahead;
        let since = self.journalled.filter(|_| is_of_journal).unwrap_or(self.committed);
        let micros = confirmation.heard.saturating_duration_since(since).as_micros();
        u64::try_from(micros.div_ceil(1_000)).unwrap_or(u64::MAX)
    }
}

/// Waits until every gateway that was connected at the commit confirmed it, 5 s at most, and renders the outcome.
///
/// The waiting goes on without the caller, so that receipts are written down even where nobody waits any more.
pub(crate) async fn outcome(app: &App, commitment: Commitment, ended: Ended) -> EndOutcome {
    let revision = commitment.revision.map_or_else(|| app.hub.revision(), |revision| revision.0);
    let decided_at = commitment.decided_at;
    if !commitment.gateways_concerned {
        let (receipts, warnings) = earlier(app, commitment).await;
        return EndOutcome { revision, decided_at, ended, receipts, warnings, journalled: false };
    }
    let (answer, answered) = oneshot::channel();
    app.workers.spawn(follow(app.clone(), commitment, answer));
    // An error means that the follower ended in a panic, which is logged where it happened.
    let (receipts, warnings) = answered.await.unwrap_or_else(|_| {
        (Vec::new(), vec!["the gateways' receipts could not be collected: see `doorward status`".to_owned()])
    });
    EndOutcome { revision, decided_at, ended, receipts, warnings, journalled: false }
}

/// Nothing was left to lose. What took it may be on its way to gateways still: nobody is told that it is over before that.
/// Who took it follows the receipts.
async fn earlier(app: &App, commitment: Commitment) -> Collected {
    let behind = |name: &GatewayName| {
        let enforces = app.hub.state(name).revision.map(Revision);
        enforces < commitment.revision && commitment.confirmation(app, name).is_none()
    };
    let connected: Vec<GatewayName> = commitment.connected.iter().filter(|name| behind(name)).cloned().collect();
    let commitment = Commitment { connected, ..commitment };
    wait(app, &commitment, commitment.connected.clone(), RECEIPT_TIMEOUT).await;
    render(app, &commitment, &[])
}

/// Follows the gateways' receipts for what was taken from these devices, without making anybody wait for them.
pub(crate) fn follow_up(app: &App, committed: &Committed, devices: impl IntoIterator<Item = DeviceId>) {
    follow_up_of(app, Commitment::new(app, committed, Concerned::Devices(devices.into_iter().collect())));
}

/// The same for anything that was taken.
pub(super) fn follow_up_of(app: &App, commitment: Commitment) {
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
    in_time(async { Ok(app.store.read().await?.gateways().await?) }).await
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
        missing.retain(|name| commitment.confirmation(app, name).is_none());
        if missing.is_empty() {
            return missing;
        }
        match tokio::time::timeout_at(deadline, confirmations.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) | Err(_) => return missing,
        }
    }
}

/// Writes receipts down, and into the audit. What is not committed has them in its own record, once it is.
async fn record(app: &App, commitment: &Commitment, gateways: &[Gateway], names: &[GatewayName]) {
    let Some(revision) = commitment.revision else { return };
    // Decisions that wait come first.
    let mut waiting = app.journal.watch();
    let _ = tokio::time::timeout(LATE_RECEIPT_MAX, waiting.wait_for(|overlay| overlay.is_empty())).await;
    let receipts: Vec<Receipt> = names
        .iter()
        .filter_map(|name| {
            let confirmation = commitment.confirmation(app, name)?;
            let gateway = gateways.iter().find(|gateway| gateway.name == *name)?;
            Some(Receipt {
                gateway: gateway.id,
                gateway_name: name.clone(),
                revision,
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
        tracing::warn!(?refusal, revision = revision.0, "receipts could not be written down");
    }
}

async fn write(app: &App, commitment: &Commitment, receipts: &[Receipt]) -> Result<(), super::Refusal> {
    let now = app.clock.now();
    // One transaction for all of it: each costs a turn among the writers and a wait for the disk.
    let mut tx = app.store.write().await?;
    tx.receipts_record(receipts).await?;
    let took = |name| Some(commitment.confirmation(app, name)?.enforced_after.as_micros());
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
    let what = match (commitment.revision, commitment.ahead) {
        (Some(revision), _) => format!("revision {revision}"),
        (None, Some(id)) => format!("decision {id}"),
        (None, None) => "a revocation".to_owned(),
    };
    let message = format!(
        "gateway {name} did not confirm {what} within {} s: its authority ends by itself within {} s of its last heartbeat",
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
            let confirmation = commitment.confirmation(app, &gateway);
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
