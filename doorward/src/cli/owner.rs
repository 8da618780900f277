//! `doorward owner`: the way in for an owner, the first time or again.

use clap::Subcommand;
use doorward_control_plane::api::{OwnerLinkMade, OwnerLinkNew};

use super::time;
use crate::client::Client;
use crate::error::CliError;
use crate::output::Output;

pub(super) const EXAMPLES: &str = "\
Examples:
  sudo doorward owner link";

/// What to do with owners.
#[derive(Debug, Subcommand)]
pub(super) enum OwnerCommand {
    /// Prints a link that makes whoever opens it an owner; it works once, for an hour
    ///
    /// It is made on the machine itself alone. It takes the place of an earlier one, and an owner who uses it for their own
    /// address replaces what they signed in with before.
    #[command(after_help = EXAMPLES)]
    Link,
}

pub(super) async fn run(command: OwnerCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        OwnerCommand::Link => {
            let made: OwnerLinkMade = client.post("/api/v1/owner/link", &OwnerLinkNew::default()).await?;
            out.result(&made, |it| {
                format!(
                    "{}\nOpen it in a browser until {}: it works once, and makes whoever opens it an owner",
                    it.url,
                    time::short(it.expires_at)
                )
            })
        }
    }
}
