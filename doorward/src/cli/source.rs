//! `doorward source`: sources of people of every kind.

use clap::Subcommand;
use doorward_control_plane::api::{PollWanted, Polled, ScimDecided, Source, SourceSort};
use doorward_model::SourceName;

use super::{scim, time};
use crate::client::{Client, segment};
use crate::error::CliError;
use crate::output::{Output, Rows, or_dash};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward source list
  doorward source undo hr
  doorward source confirm hr
  doorward source poll ldap --dry-run";

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
    /// Asks the directory of `[ldap]` who is there, now
    #[command(after_help = "Examples:\n  doorward source poll ldap --dry-run\n  doorward source poll ldap")]
    Poll {
        /// The source
        name: SourceName,
        /// Shows what a round would do, and does nothing
        #[arg(long)]
        dry_run: bool,
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
        SourceCommand::Poll { name, dry_run } => {
            let polled: Polled = client.post(&of(&name, "poll"), &PollWanted { dry_run }).await?;
            out.result(&polled, words)
        }
        SourceCommand::Confirm { name } => {
            let decided: ScimDecided = client.post(&of(&name, "confirm"), &serde_json::json!({})).await?;
            out.result(&decided, scim::confirmed)
        }
    }
}

/// The word for a kind of source.
pub(super) const fn kind(kind: SourceSort) -> &'static str {
    match kind {
        SourceSort::Scim => "scim",
        SourceSort::Hook => "hook",
        SourceSort::File => "file",
        SourceSort::Ldap => "ldap",
    }
}

fn words(it: &Polled) -> String {
    let mut text = format!("{} addresses: {} of people here, {} of strangers\n", it.addresses, it.known, it.strangers);
    let verb = |done: &str, would: &str| if it.done { done.to_owned() } else { format!("would be {would}") };
    let mut rows = Rows::new(&["WHO", "WHAT", "WHY"]);
    for gone in &it.suspended {
        rows.add(vec![gone.email.to_string(), verb("suspended", "suspended"), gone.why.clone()]);
    }
    for email in &it.back {
        rows.add(vec![email.to_string(), verb("taken back", "taken back"), "in the directory again".to_owned()]);
    }
    for gone in &it.owners {
        rows.add(vec![gone.email.to_string(), "left alone".to_owned(), format!("{}, but an owner", gone.why)]);
    }
    for email in &it.kept {
        let why = "disabled in the directory, but taken back by hand";
        rows.add(vec![email.to_string(), "left alone".to_owned(), why.to_owned()]);
    }
    for email in &it.first_seen {
        rows.add(vec![email.to_string(), verb("noted", "noted"), "in the directory for the first time".to_owned()]);
    }
    text.push_str(&rows.or_else("nothing changes"));
    text
}

fn table(sources: &[Source]) -> String {
    let mut rows = Rows::new(&["SOURCE", "KIND", "PEOPLE", "SUSPENDED", "BRAKE", "ASKED"]);
    for it in sources {
        let brake = it.brake_since.map_or_else(|| "off".to_owned(), |since| format!("on, {}", time::short(since)));
        let within = it.delay_seconds.map(|seconds| format!(", counts within {seconds} s")).unwrap_or_default();
        let asked = it.asked_at.map(|at| format!("{}{within}", time::short(at)));
        let (people, suspended) = (it.people.to_string(), it.suspended.to_string());
        rows.add(vec![it.name.to_string(), kind(it.kind).to_owned(), people, suspended, brake, or_dash(asked)]);
    }
    rows.or_else("no sources: people are kept by hand")
}
