//! `doorward lockdown`.

use clap::Subcommand;
use doorward_control_plane::api::{LockdownOutcome, LockdownSet, LockdownStatus};
use doorward_model::GroupName;

use super::{receipts, time};
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward lockdown on --reason \"stolen admin laptop\" --except incident
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
        /// The group whose members pass all the same
        #[arg(long, value_name = "GROUP")]
        except: Option<GroupName>,
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
        LockdownCommand::On { reason, except } => {
            let headline = match &except {
                Some(group) => format!("lockdown is on: nobody passes but group {group}"),
                None => "lockdown is on: nobody passes".to_owned(),
            };
            set(LockdownSet { on: true, except, reason }, &headline, client, out).await
        }
        LockdownCommand::Off { reason } => {
            let off = LockdownSet { on: false, except: None, reason };
            set(off, "lockdown is off: grants decide again", client, out).await
        }
        LockdownCommand::Status => {
            let status: LockdownStatus = client.get(PATH).await?;
            out.result(&status, words)
        }
    }
}

async fn set(set: LockdownSet, headline: &str, client: &Client, out: Output) -> Result<(), CliError> {
    let answer: LockdownOutcome = client.put(PATH, &set).await?;
    receipts::show(out, &answer, &answer.outcome, headline)
}

/// Says in words whether anybody passes.
pub(super) fn words(status: &LockdownStatus) -> String {
    if !status.on {
        return "lockdown is off".to_owned();
    }
    let reason = status.reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"));
    let except = status.except.as_ref().map_or_else(String::new, |group| format!(" but group {group}"));
    format!(
        "lockdown is ON since {}{reason}: nobody passes{except}; lift it with `doorward lockdown off`",
        time::short_or(status.since, "an unknown time")
    )
}
