//! What gateways confirmed, in words.

use doorward_control_plane::api::{EndOutcome, GatewayReceipt};
use serde::Serialize;

use crate::error::CliError;
use crate::output::{self, Output};

/// Prints the outcome of a revocation: what ended and the receipts; missing receipts as warnings on stderr.
pub(super) fn show<T: Serialize>(
    out: Output,
    answer: &T,
    outcome: &EndOutcome,
    headline: &str,
) -> Result<(), CliError> {
    out.result(answer, |_| words(headline, outcome))?;
    warn(outcome);
    Ok(())
}

/// Prints what did not go as it should on stderr.
pub(super) fn warn(outcome: &EndOutcome) {
    for receipt in outcome.receipts.iter().filter(|receipt| receipt.enforced_after_ms.is_none()) {
        output::warn(&missing(receipt));
    }
    for warning in &outcome.warnings {
        output::warn(warning);
    }
}

/// Says what ended, and what gateways confirmed.
pub(super) fn words(headline: &str, outcome: &EndOutcome) -> String {
    let mut text = format!("{headline}, decided at {}\n", outcome.decided_at);
    let ended = &outcome.ended;
    for email in ended.people.iter().skip(1) {
        text.push_str(&format!("  {email} is suspended\n"));
    }
    for device in &ended.devices {
        text.push_str(&format!("  device {} of {} ended\n", device.name, device.email));
    }
    for grant in &ended.grants {
        text.push_str(&format!("  grant of {} to {} ended\n", grant.resource, grant.who()));
    }
    text.push_str(&also(ended.sessions, ended.links, ended.requests, &ended.tokens));
    for receipt in &outcome.receipts {
        if let Some(after) = receipt.enforced_after_ms {
            let last = receipt
                .last_packet_before_ms
                .map_or_else(String::new, |before| format!(", the last packet passed {before} ms before that"));
            text.push_str(&format!("gateway {} enforced it after {after} ms{last}\n", receipt.gateway));
        }
    }
    text
}

/// Says what ended beside devices and grants.
pub(super) fn also(sessions: u64, links: u64, requests: u64, tokens: &[String]) -> String {
    let mut text = String::new();
    for (count, one, many) in [
        (sessions, "session", "sessions"),
        (links, "invitation", "invitations"),
        (requests, "open request", "open requests"),
    ] {
        if count > 0 {
            text.push_str(&format!("  {count} {} ended\n", if count == 1 { one } else { many }));
        }
    }
    for token in tokens {
        text.push_str(&format!("  API token {token} ended: they had made it, and may know it\n"));
    }
    text
}

fn missing(receipt: &GatewayReceipt) -> String {
    let why = if receipt.connected { "has not confirmed it yet" } else { "is not connected" };
    format!(
        "gateway {} {why}: access through it ends by itself when its authority runs out ([authority] ttl, 30 s unless set)",
        receipt.gateway
    )
}
