//! `doorward lockdown`.

use clap::Subcommand;
use doorward_control_plane::api::{LockdownOutcome, LockdownSet, LockdownStatus};

use super::{receipts, time};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward lockdown on --reason \"stolen admin laptop\"
  doorward lockdown status
  doorward lockdown off";

const PATH: &str = "/api/v1/lockdown";

/// What to do with the lockdown.
#[derive(Debug, Subcommand)]
pub(super) enum LockdownCommand {
    /// Lets nobody pass, at once; the gateways confirm it
    #[command(after_help = EXAMPLES)]
    On {
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
    /// Lets grants decide again
    #[command(after_help = "Examples:\n  doorward lockdown off")]
    Off {
        /// Why, for the record
        #[arg(long)]
        reason: Option<String>,
    },
    /// Says whether a lockdown holds
    #[command(after_help = "Examples:\n  doorward lockdown status --json")]
    Status,
}

pub(super) async fn run(command: LockdownCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        LockdownCommand::On { reason } => set(true, reason, "lockdown is on: nobody passes", client, out).await,
        LockdownCommand::Off { reason } => {
            set(false, reason, "lockdown is off: grants decide again", client, out).await
        }
        LockdownCommand::Status => {
            let status: LockdownStatus = client.get(PATH).await?;
            out.result(&status, words)
        }
    }
}

async fn set(on: bool, reason: Option<String>, headline: &str, client: &Client, out: Output) -> Result<(), CliError> {
    let answer: LockdownOutcome = client.put(PATH, &LockdownSet { on, reason }).await?;
    receipts::show(out, &answer, &answer.outcome, headline)
}

/// Says in words whether anybody passes.
pub(super) fn words(status: &LockdownStatus) -> String {
    if !status.on {
        return "lockdown is off".to_owned();
    }
    let reason = status.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!(
        "lockdown is ON since {}{reason}: nobody passes; lift it with `doorward lockdown off`",
        time::short_or(status.since, "an unknown time")
    )
}
