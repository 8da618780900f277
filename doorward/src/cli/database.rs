//! `doorward database`: what is done to the database while no control plane runs on it.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use doorward_control_plane::database::{Copied, copy};
use serde::Serialize;

use crate::config::Config;
use crate::error::CliError;
use crate::output::{self, Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward database copy --to postgres://doorward:PASSWORD@db.shop.example/doorward --dry-run
  doorward database copy --to postgres://doorward:PASSWORD@db.shop.example/doorward";

/// What to do with the database.
#[derive(Debug, Subcommand)]
pub(super) enum DatabaseCommand {
    /// Copies the SQLite database of the data folder into an empty PostgreSQL, compares both, and puts the old file aside
    #[command(after_help = EXAMPLES)]
    Copy(CopyArgs),
}

/// A copy.
#[derive(Debug, Args)]
pub(super) struct CopyArgs {
    /// The PostgreSQL, which must be empty; the variable keeps its password off the command line
    #[arg(long, value_name = "URL", env = "DOORWARD_COPY_TO", hide_env_values = true)]
    to: String,
    /// Counts and checks, and changes nothing
    #[arg(long)]
    dry_run: bool,
}

/// What came of it.
#[derive(Debug, Serialize)]
struct Outcome {
    copied: bool,
    revision: u64,
    audit_rows: u64,
    rows: u64,
    tables: std::collections::BTreeMap<String, u64>,
    /// Where the old file is.
    old: Option<PathBuf>,
}

pub(super) fn run(command: DatabaseCommand, config: &Config, out: Output) -> Result<(), CliError> {
    let DatabaseCommand::Copy(CopyArgs { to, dry_run }) = command;
    refuse_running(config.data_dir())?;
    let from = config.database();
    if !from.starts_with("sqlite:") {
        return Err(CliError::Usage(
            "`[server] database` is PostgreSQL already: this command copies from SQLite".to_owned(),
        ));
    }
    let mut progress = |table: &str, rows: u64| output::note(&format!("{table}: {rows} rows"));
    let copied = super::runtime()?.block_on(copy(from, config.data_dir(), &to, dry_run, &mut progress));
    let Copied { tables, revision, audit_rows } = copied.map_err(|error| CliError::Failed(super::chain(&error)))?;
    let old = if dry_run { None } else { Some(put_aside(from, config.data_dir())?) };
    let rows = tables.values().sum();
    let outcome = Outcome { copied: !dry_run, revision, audit_rows, rows, tables, old };
    out.result(&outcome, words)
}

/// Refuses while a control plane runs here: what it would write from now on would be in the old database alone.
pub(super) fn refuse_running(data: &Path) -> Result<(), CliError> {
    if UnixStream::connect(data.join("admin.sock")).is_ok() {
        return Err(CliError::Failed(format!(
            "a control plane runs on {}: stop it first, as with `systemctl stop doorward`",
            data.display()
        )));
    }
    Ok(())
}

/// Moves the old file, so that nobody starts from it and gives back what was taken away since.
fn put_aside(from: &str, data: &Path) -> Result<PathBuf, CliError> {
    let file = data.join(from.trim_start_matches("sqlite:").trim_start_matches("//"));
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(".copied");
    let old = file.with_file_name(name);
    std::fs::rename(&file, &old).map_err(|source| CliError::File {
        operation: "put aside",
        path: file.clone(),
        hint: "the copy is whole; move this file away yourself, so that nobody starts from it",
        source,
    })?;
    Ok(old)
}

fn words(outcome: &Outcome) -> String {
    let mut table = Rows::new(&["TABLE", "ROWS"]);
    for (name, rows) in outcome.tables.iter().filter(|(_, rows)| **rows > 0) {
        table.add(vec![name.clone(), rows.to_string()]);
    }
    let table = table.or_else("no rows");
    let (rows, revision, audit) = (outcome.rows, outcome.revision, outcome.audit_rows);
    match &outcome.old {
        None => format!(
            "{table}\n\n{rows} rows, revision {revision}, {audit} audit rows would be copied; the target is empty. Nothing was changed."
        ),
        Some(old) => format!(
            "{table}\n\n{rows} rows were copied and compared, revision {revision}, {audit} audit rows with their chain intact.\n\
             The old file is {}. Write the new database into `[server] database` and start Doorward.",
            old.display()
        ),
    }
}
