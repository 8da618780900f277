//! `doorward status`.

use doorward_control_plane::api::{EndingKind, Status};

use super::{gateway, lockdown, time};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, Rows, or_dash};

pub(super) async fn run(client: &Client, out: Output) -> Result<(), CliError> {
    let status: Status = client.get("/api/v1/status").await?;
    out.result(&status, words)
}

fn words(status: &Status) -> String {
    let mut text = format!(
        "Doorward {}, revision {}: {} people, {} devices, {} grants\n{}\n\n{}\n",
        status.version,
        status.revision,
        status.people,
        status.devices,
        status.grants,
        lockdown::words(&status.lockdown),
        gateway::table(&status.gateways)
    );
    if let Some(mail) = &status.mail
        && mail.waiting > 0
    {
        let failing = match (&mail.error, mail.failing) {
            (Some(error), failing) => format!(", {failing} failed so far and are tried again ({error})"),
            (None, _) => String::new(),
        };
        text.push_str(&format!("\nmail: {} waiting{failing}\n", mail.waiting));
    }
    if !status.last_receipts.is_empty() {
        let mut rows = Rows::new(&["RECEIPT", "REVISION", "DECIDED", "ENFORCED AFTER"]);
        for it in &status.last_receipts {
            let after = format!("{} ms", it.enforced_after_ms);
            rows.add(vec![it.gateway.to_string(), it.revision.to_string(), time::short(it.decided_at), after]);
        }
        text.push_str(&format!("\n{}\n", rows.or_else("")));
    }
    if !status.ends_soon.is_empty() {
        let mut rows = Rows::new(&["ENDS SOON", "WHAT", "WHO", "ENDS"]);
        for it in &status.ends_soon {
            let kind = match it.kind {
                EndingKind::Grant => "grant",
                EndingKind::Person => "person",
                EndingKind::Device => "device",
            };
            let who = it.email.as_ref().map(ToString::to_string);
            let who = who.or_else(|| it.group.as_ref().map(|group| format!("group {group}")));
            rows.add(vec![kind.to_owned(), it.what.clone(), or_dash(who), time::short(it.ends_at)]);
        }
        text.push_str(&format!("\n{}\n", rows.or_else("")));
    }
    if !status.alerts.is_empty() {
        let mut rows = Rows::new(&["ALERT", "AT", "GATEWAY", "TIMES", "WHAT"]);
        for it in &status.alerts {
            rows.add(vec![
                it.kind.clone(),
                time::short(it.at),
                or_dash(it.gateway.as_ref()),
                it.count.to_string(),
                it.message.clone(),
            ]);
        }
        text.push_str(&format!("\n{}\n", rows.or_else("")));
    }
    text
}
