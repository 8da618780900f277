//! `doorward gateway`: gateways on other machines.

use clap::Subcommand;
use doorward_control_plane::api::{Gateway, GatewayRemoved, GatewayToken, GatewayTokenNew, RestoredAccepted};
use doorward_model::GatewayName;

use super::time;
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{self, Output, Rows, or_dash};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward gateway token add berlin
  doorward gateway list
  doorward gateway remove berlin";

/// What to do with gateways.
#[derive(Debug, Subcommand)]
pub(super) enum GatewayCommand {
    /// One-time enrolment tokens
    #[command(subcommand, after_help = EXAMPLES)]
    Token(TokenCommand),
    /// Lists the gateways
    #[command(after_help = "Examples:\n  doorward gateway list")]
    List,
    /// Lets gateways follow a database that was put back from an older copy, after somebody has looked
    #[command(after_help = "Examples:\n  doorward gateway accept-restored")]
    AcceptRestored,
    /// Removes a gateway; it takes no feed any more
    #[command(after_help = "Examples:\n  doorward gateway remove berlin")]
    Remove {
        /// Its name
        name: GatewayName,
    },
}

/// What to do with enrolment tokens.
#[derive(Debug, Subcommand)]
pub(super) enum TokenCommand {
    /// Makes a token that enrols one gateway once, and prints it once
    #[command(
        after_help = "Examples:\n  doorward gateway token add berlin\nThen on berlin, with `[gateway] control_plane` set:\n  DOORWARD_GATEWAY_TOKEN=dwg1... doorward run gateway"
    )]
    Add {
        /// The gateway's name
        name: GatewayName,
    },
}

pub(super) async fn run(command: GatewayCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        GatewayCommand::Token(TokenCommand::Add { name }) => {
            let made: GatewayToken = client.post("/api/v1/gateways/tokens", &GatewayTokenNew { name }).await?;
            out.result(&made, |it| {
                format!(
                    "{}\nThis is shown once, works once, and until {}. Start the gateway with it:\n  DOORWARD_GATEWAY_TOKEN=… doorward run gateway",
                    it.token,
                    time::short(it.expires_at)
                )
            })?;
            made.warnings.iter().for_each(|warning| output::warn(warning));
            Ok(())
        }
        GatewayCommand::List => {
            let gateways: Vec<Gateway> = client.get("/api/v1/gateways").await?;
            out.result(&gateways, |it| table(it))
        }
        GatewayCommand::AcceptRestored => {
            let nothing = serde_json::Value::Null;
            let accepted: RestoredAccepted = client.post("/api/v1/gateways/accept-restored", &nothing).await?;
            out.result(&accepted, |it| {
                format!(
                    "the database is accepted as it was at revision {}: what was changed up to revision {} is undone, \
                     revocations among it; gateways follow it from revision {}",
                    it.was, it.seen, it.revision
                )
            })
        }
        GatewayCommand::Remove { name } => {
            let removed: GatewayRemoved = client.delete(&format!("/api/v1/gateways/{}", segment(&name))).await?;
            out.result(&removed, |it| {
                let seconds = it.authority_ttl_ms.div_ceil(1000);
                format!("gateway {} is removed: whatever it let through ends within {seconds} s", it.name)
            })
        }
    }
}

/// Draws gateways.
pub(super) fn table(gateways: &[Gateway]) -> String {
    let mut rows =
        Rows::new(&["GATEWAY", "CONNECTED", "REVISION", "BEHIND", "ACTIVE", "DEVICES", "ENDPOINT", "LAST SEEN"]);
    for it in gateways {
        rows.add(vec![
            it.name.to_string(),
            match (&it.replica, it.connected) {
                (Some(replica), true) => format!("at {}", output::one_line(replica)),
                (None, true) => "yes".to_owned(),
                (_, false) => "no".to_owned(),
            },
            or_dash(it.revision),
            or_dash(it.revisions_behind),
            it.devices_active.to_string(),
            it.devices_known.to_string(),
            or_dash(it.endpoint.as_ref()),
            time::short_or(it.last_seen, "never"),
        ]);
    }
    rows.or_else("no gateway yet: `doorward up` starts one on this machine")
}
