//! `doorward person sync`: the people here become those of a spreadsheet.
//!
//! ```text
//!   people.csv ──read, every line checked──▶ the server compares ──▶ shown ──yes──▶ done, if it is still the same
//! ```

use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::{Path, PathBuf};

use clap::Args;
use doorward_control_plane::api::{PeopleSync, PeopleSynced};

use super::people_file::{self, PeopleFile};
use crate::client::Client;
use crate::error::CliError;
use crate::output::{self, Output, Rows};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward person sync people.csv --dry-run
  doorward person sync people.csv
  doorward person sync people.csv --yes --json

The first line names the columns: email and name, and if you like kind (staff, contractor), sponsor and until (2027-01-31).";

const SYNC: &str = "/api/v1/people/sync";
/// Largest file that is read.
const FILE_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// A file of people.
#[derive(Debug, Args)]
pub(super) struct SyncArgs {
    /// The file, as CSV in UTF-8 with `,` or `;` between the columns
    file: PathBuf,
    /// Shows what differs and does nothing
    #[arg(long)]
    dry_run: bool,
    /// Does it without asking
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
}

pub(super) async fn run(args: &SyncArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let PeopleFile { lines, compared, ignored } = people_file::parse(&read(&args.file)?).map_err(|problems| {
        let more = problems.len().saturating_sub(people_file::PROBLEMS_SHOWN);
        let mut shown: Vec<String> = problems.into_iter().take(people_file::PROBLEMS_SHOWN).collect();
        if more > 0 {
            shown.push(format!("and {more} more"));
        }
        CliError::Usage(format!("{}: {}; nothing was done", args.file.display(), shown.join("; ")))
    })?;
    if !ignored.is_empty() {
        output::note(&format!("columns that are passed over: {}", ignored.join(", ")));
    }
    let mut file = PeopleSync { lines, compared, apply: None };
    let plan: PeopleSynced = client.post(SYNC, &file).await?;
    if !plan.problems.is_empty() {
        let told = plan.problems.iter().take(people_file::PROBLEMS_SHOWN);
        let told: Vec<String> = told.map(|it| format!("line {}: {}", it.line, it.message)).collect();
        return Err(CliError::Usage(format!("{}: {}; nothing was done", args.file.display(), told.join("; "))));
    }
    if args.dry_run || is_nothing(&plan) {
        return out.result(&plan, difference);
    }
    if !args.yes {
        ask(&plan)?;
    }
    file.apply = Some(plan.digest);
    let done: PeopleSynced = client.post(SYNC, &file).await?;
    for warning in &done.warnings {
        output::warn(warning);
    }
    out.result(&done, |it| format!("{}\nDone.", difference(it)))
}

fn read(path: &Path) -> Result<String, CliError> {
    let wrong = |hint, source| CliError::File { operation: "read", path: path.to_owned(), hint, source };
    let length = std::fs::metadata(path).map_err(|source| wrong("give the file with the people", source))?.len();
    if length > FILE_BYTES_MAX {
        let source = io::Error::from(io::ErrorKind::FileTooLarge);
        return Err(wrong("4 MiB are taken at most", source));
    }
    let bytes = std::fs::read(path).map_err(|source| wrong("give a file that you may read", source))?;
    String::from_utf8(bytes).map_err(|error| {
        let source = io::Error::new(io::ErrorKind::InvalidData, error);
        wrong("it is not UTF-8: in Excel, save it as `CSV UTF-8`", source)
    })
}

/// Asks on a terminal; elsewhere nobody can answer.
fn ask(plan: &PeopleSynced) -> Result<(), CliError> {
    if !io::stdin().is_terminal() {
        let sentence = "look with --dry-run, then say --yes: there is no terminal to ask on; nothing was done";
        return Err(CliError::Usage(sentence.to_owned()));
    }
    output::aside(&difference(plan));
    output::note("Do this? Type yes:");
    let mut answer = String::new();
    let read = io::stdin().lock().read_line(&mut answer);
    match read {
        Ok(_) if answer.trim().eq_ignore_ascii_case("yes") => Ok(()),
        Ok(_) | Err(_) => Err(CliError::Failed("nothing was done".to_owned())),
    }
}

fn is_nothing(plan: &PeopleSynced) -> bool {
    plan.added.is_empty() && plan.changed.is_empty() && plan.back.is_empty() && plan.gone.is_empty()
}

fn difference(plan: &PeopleSynced) -> String {
    let mut rows = Rows::new(&["", "WHO", "WHAT"]);
    let mut row = |mark: &str, who: &str, what: String| rows.add(vec![mark.to_owned(), who.to_owned(), what]);
    for email in &plan.added {
        row("added", email.as_str(), "without any access".to_owned());
    }
    for it in &plan.changed {
        row("changed", it.email.as_str(), it.what.join("; "));
    }
    for email in &plan.back {
        row("back", email.as_str(), "as they were".to_owned());
    }
    let mark = if plan.braked { "suspended" } else { "departs" };
    for it in &plan.gone {
        row(mark, it.email.as_str(), format!("devices: {}, grants: {}", it.devices, it.grants));
    }
    for it in &plan.left {
        row("left alone", it.email.as_str(), it.why.clone());
    }
    let table = rows.or_else("no difference");
    let mut text = format!(
        "{table}\n{} added, {} changed, {} back, {} gone, {} left alone, {} the same",
        plan.added.len(),
        plan.changed.len(),
        plan.back.len(),
        plan.gone.len(),
        plan.left.len(),
        plan.unchanged
    );
    if plan.braked {
        text.push_str(
            "\nSo many are missing that they are suspended and not put out: afterwards `doorward source confirm csv` lets them depart, \
             and `doorward source undo csv` takes them back.",
        );
    }
    text
}
