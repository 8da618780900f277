//! `doorward audit`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use doorward_control_plane::api::{AuditPage, AuditRow, AuditVerdict};

use super::time;
use crate::client::Client;
use crate::error::CliError;
use crate::output::{Output, Rows, or_dash};

pub(super) const EXAMPLES: &str = "\
Examples:
  doorward audit tail --lines 50
  doorward audit export --format jsonl --out audit.jsonl
  doorward audit verify";

/// Rows in one page of an export.
const PAGE_ROWS: u32 = 1_000;

/// What to do with the audit log.
#[derive(Debug, Subcommand)]
pub(super) enum AuditCommand {
    /// Shows the newest rows, oldest first
    #[command(after_help = "Examples:\n  doorward audit tail\n  doorward audit tail --lines 100 --json")]
    Tail {
        /// How many rows, 1 to 1,000
        #[arg(long, short = 'n', default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=1000))]
        lines: u32,
    },
    /// Writes the whole log
    #[command(after_help = "Examples:\n  doorward audit export --format jsonl --out audit.jsonl")]
    Export(ExportArgs),
    /// Recomputes the chain of hashes over the whole log
    #[command(after_help = "Examples:\n  doorward audit verify")]
    Verify,
}

/// An export.
#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    /// The format: one JSON object a line
    #[arg(long, value_enum, default_value_t = Format::Jsonl)]
    format: Format,
    /// The file, which must not exist; standard output if left out
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Jsonl,
}

pub(super) async fn run(command: AuditCommand, client: &Client, out: Output) -> Result<(), CliError> {
    match command {
        AuditCommand::Tail { lines } => {
            let page: AuditPage = client.get(&format!("/api/v1/audit/tail?lines={lines}")).await?;
            out.result(&page.rows, |rows| table(rows))
        }
        AuditCommand::Export(args) => export(args, client, out).await,
        AuditCommand::Verify => verify(client, out).await,
    }
}

async fn verify(client: &Client, out: Output) -> Result<(), CliError> {
    let verdict: AuditVerdict = client.get("/api/v1/audit/verify").await?;
    out.result(&verdict, |it| {
        let last = or_dash(it.last_hash.as_ref());
        if it.intact {
            format!("the audit log is intact: {} rows, last hash {last}", it.rows)
        } else {
            format!("last good hash {last}")
        }
    })?;
    if verdict.intact {
        return Ok(());
    }
    let at = or_dash(verdict.broken_at);
    let problem = verdict.problem.unwrap_or_else(|| "a row was changed, dropped or moved".to_owned());
    Err(CliError::Failed(format!("the audit log is broken at row {at}: {problem}")))
}

async fn export(args: ExportArgs, client: &Client, out: Output) -> Result<(), CliError> {
    let Format::Jsonl = args.format;
    let Some(path) = args.out else {
        return pages(client, |rows| rows.iter().try_for_each(|row| out.text(&line(row)?))).await.map(|_| ());
    };
    let failed = |source: io::Error| CliError::File {
        operation: "write",
        path: path.clone(),
        hint: "choose a name that is free, in a folder of yours with room",
        source,
    };
    let mut writer = BufWriter::new(File::create_new(&path).map_err(failed)?);
    let written =
        pages(client, |rows| rows.iter().try_for_each(|row| writeln!(writer, "{}", line(row)?).map_err(failed))).await;
    let finished = written.and_then(|count| {
        writer.flush().and_then(|()| writer.get_ref().sync_all()).map_err(failed)?;
        Ok(count)
    });
    match finished {
        Ok(count) => out.result(&serde_json::json!({ "rows": count, "file": path }), |_| {
            format!("{count} rows are in {}", path.display())
        }),
        Err(error) => {
            // Half an export would pass for a whole one.
            let _ = std::fs::remove_file(&path);
            Err(error)
        }
    }
}

/// Walks all pages and returns how many rows there were.
async fn pages(client: &Client, mut each: impl FnMut(&[AuditRow]) -> Result<(), CliError>) -> Result<u64, CliError> {
    let (mut after, mut count) = (0_u64, 0_u64);
    loop {
        let page: AuditPage = client.get(&format!("/api/v1/audit?after={after}&limit={PAGE_ROWS}")).await?;
        each(&page.rows)?;
        count = count.saturating_add(u64::try_from(page.rows.len()).unwrap_or(u64::MAX));
        match page.next {
            // A page that leads nowhere would go on for ever.
            Some(next) if next > after => after = next,
            Some(_) | None => return Ok(count),
        }
    }
}

fn line(row: &AuditRow) -> Result<String, CliError> {
    serde_json::to_string(row).map_err(|source| CliError::Answer { server: "the audit log".to_owned(), source })
}

fn table(rows: &[AuditRow]) -> String {
    let mut table = Rows::new(&["ROW", "AT", "WHO", "WHAT", "TO WHOM", "DETAIL"]);
    for it in rows {
        let detail = if it.detail.is_null() { String::new() } else { it.detail.to_string() };
        table.add(vec![
            it.seq.to_string(),
            time::short(it.at),
            it.actor.clone(),
            it.action.clone(),
            it.subject.clone(),
            detail,
        ]);
    }
    table.or_else("the audit log is empty")
}
