//! `doorward source`: sources of people of every kind.

use clap::Subcommand;
use doorward_control_plane::api::{ScimDecided, Source, SourceSort};
use doorward_model::SourceName;

use super::{scim, time};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward source list
  doorward source undo hr
  doorward source confirm hr";

/// What to do with sources.
#[derive(Debug, Subcommand)]
pub(super) enum SourceCommand {
    /// Lists directories, webhooks and files of people, with how many they hold suspended
    #[command(after_help = "Examples:\n  doorward source list\n  doorward source list --json")]
    List,
    /// Takes back what a source did to many people at once: they are as they were
    #[command(after_help = "Examples:\n  doorward source undo hr")]
    Undo {
        /// The source
        name: SourceName,
    },
    /// Lets what a source did to many people at once take its course
    #[command(after_help = "Examples:\n  doorward source confirm hr")]
    Confirm {
        /// The source
        name: SourceName,
    },
}

const SOURCES: &str = "/api/v1/sources";

pub(super) async fn run(command: SourceCommand, client: &Client, out: Output) -> Result<(), CliError> {
    let of = |name: &SourceName, what: &str| format!("{SOURCES}/{}/{what}", segment(name));
    match command {
        SourceCommand::List => {
            let sources: Vec<Source> = client.get(SOURCES).await?;
            out.result(&sources, |it| table(it))
        }
        SourceCommand::Undo { name } => {
            let decided: ScimDecided = client.post(&of(&name, "undo"), &serde_json::json!({})).await?;
            out.result(&decided, scim::undone)
        }
        SourceCommand::Confirm { name } => {
            let decided: ScimDecided = client.post(&of(&name, "confirm"), &serde_json::json!({})).await?;
            out.result(&decided, scim::confirmed)
        }
    }
}

fn table(sources: &[Source]) -> String {
    let mut rows = Rows::new(&["SOURCE", "KIND", "PEOPLE", "SUSPENDED", "BRAKE"]);
    for it in sources {
        let kind = match it.kind {
            SourceSort::Scim => "scim",
            SourceSort::Hook => "hook",
            SourceSort::File => "file",
            SourceSort::Ldap => "ldap",
        };
        let brake = it.brake_since.map_or_else(|| "off".to_owned(), |since| format!("on, {}", time::short(since)));
        rows.add(vec![it.name.to_string(), kind.to_owned(), it.people.to_string(), it.suspended.to_string(), brake]);
    }
    rows.or_else("no sources: people are kept by hand")
}
