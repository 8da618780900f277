//! What ended with somebody's access, and when it was enforced, out of the record.

use doorward_domain::{Actor, AuditRow, Principal, Subject};
use doorward_model::{DeviceId, Email, GrantId, ResourceName};
use doorward_store::ReadTx;
use serde::Deserialize;

use super::{App, Refusal, allow_read, find};
use crate::api::{EndingReceipt, PersonEnding};

/// Endings of one person at most: the latest are what is asked about.
const ENDINGS_MAX: u32 = 20;

/// What the audit says of an ending. Rows of earlier releases, and of what time brings about, say less.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    reason: Option<String>,
    because: Option<String>,
    devices: Vec<DeviceId>,
    grants: Vec<GrantId>,
    sessions: u64,
    links: u64,
    requests: u64,
    tokens: Vec<String>,
    suspended: Vec<Email>,
    handed_over: Vec<Email>,
    resources: Vec<ResourceName>,
    to: Option<Email>,
}

/// Lists somebody's suspensions and departures, the latest first.
pub(crate) async fn list(app: &App, actor: &Actor, email: &Email) -> Result<Vec<PersonEnding>, Refusal> {
    allow_read(actor)?;
    let mut read = app.store.read().await?;
    let person = find::person(&mut read, email).await?;
    let subject = Subject::Person(person.email.clone()).to_string();
    let rows = read.audit_endings(&subject, ENDINGS_MAX).await?;
    let mut endings = Vec::with_capacity(rows.len());
    for row in rows {
        endings.push(ending(&mut read, &person, row).await?);
    }
    Ok(endings)
}

async fn ending(read: &mut ReadTx, person: &Principal, row: AuditRow) -> Result<PersonEnding, Refusal> {
    let detail: Detail = serde_json::from_str(&row.detail).unwrap_or_default();
    let mut devices = Vec::new();
    for id in &detail.devices {
        let Some(device) = read.device(*id).await? else { continue };
        // Devices of contractors who were suspended with them are named with their people.
        let other = if device.principal == person.id { None } else { read.person(device.principal).await? };
        devices.push(other.map_or_else(|| device.name.to_string(), |of| format!("{} of {}", device.name, of.email)));
    }
    let mut grants = Vec::new();
    for id in &detail.grants {
        let Some(grant) = read.grant(*id).await? else { continue };
        grants.extend(read.resource(grant.resource).await?.map(|resource| resource.name.to_string()));
    }
    let receipts = read.receipts_of(row.at).await?;
    let receipts = receipts.into_iter().map(|receipt| EndingReceipt {
        gateway: receipt.gateway_name,
        enforced_at: receipt.enforced_at,
        enforced_after_ms: receipt.enforced_after_ms,
        last_packet_before_ms: receipt.last_packets.iter().filter_map(|(_, before)| *before).min(),
    });
    Ok(PersonEnding {
        decided_at: row.at,
        by: row.actor,
        action: row.action,
        reason: detail.reason.or(detail.because),
        devices,
        grants,
        sessions: detail.sessions,
        links: detail.links,
        requests: detail.requests,
        tokens: detail.tokens,
        suspended: detail.suspended,
        handed_over: detail.handed_over,
        resources: detail.resources.iter().map(ToString::to_string).collect(),
        to: detail.to,
        receipts: receipts.collect(),
    })
}
