//! The only printer: tables and sentences for people, JSON for programs, errors to stderr.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

use crate::error::CliError;

/// How results are shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    /// Chooses JSON for programs, or words for people.
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Says whether programs read the output.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result once: as JSON, or as the text that `for_people` makes.
    pub(crate) fn result<T: Serialize>(self, value: &T, for_people: impl FnOnce(&T) -> String) -> Result<(), CliError> {
        if self.json { self.json(value) } else { self.text(&for_people(value)) }
    }

    /// Prints a value as JSON.
    pub(crate) fn json<T: Serialize>(self, value: &T) -> Result<(), CliError> {
        let text = serde_json::to_string_pretty(value)
            .map_err(|source| CliError::Stdout { source: io::Error::new(io::ErrorKind::InvalidData, source) })?;
        self.text(&text)
    }

    /// Prints text, with one line break at its end.
    pub(crate) fn text(self, text: &str) -> Result<(), CliError> {
        let mut stdout = anstream::stdout().lock();
        let written = stdout.write_all(text.trim_end_matches('\n').as_bytes()).and_then(|()| stdout.write_all(b"\n"));
        match written.and_then(|()| stdout.flush()) {
            // A reader such as `head` that has enough is no failure.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(|source| CliError::Stdout { source }),
        }
    }

    /// Prints a secret or a config to standard output, where even a closed pipe is a failure.
    pub(crate) fn precious_text(self, text: &str) -> Result<(), CliError> {
        let mut stdout = anstream::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|source| CliError::Stdout { source })
    }
}

/// Prints a warning to stderr.
pub(crate) fn warn(sentence: &str) {
    to_stderr(&format!("doorward: warning: {}", one_line(sentence)));
}

/// Prints a note about progress to stderr.
pub(crate) fn note(sentence: &str) {
    to_stderr(&format!("doorward: {}", one_line(sentence)));
}

/// Prints a table of ours to stderr, beside what goes to stdout.
pub(crate) fn aside(table: &str) {
    to_stderr(&format!("\n{table}\n"));
}

/// Prints an error to stderr, as one line.
pub(crate) fn error(error: &CliError) {
    to_stderr(&format!("doorward: {}", one_line(&error.sentence())));
}

/// Prints what clap has to say: help and version to stdout, a wrong usage as one sentence. Returns the exit code.
pub(crate) fn usage(error: &clap::Error) -> u8 {
    let kind = error.kind();
    if matches!(
        kind,
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
    ) {
        // Help that nobody reads is no failure.
        let _ = error.print();
        return if kind == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand { 2 } else { 0 };
    }
    if kind == ErrorKind::ValueValidation {
        let cause = std::error::Error::source(error).map(ToString::to_string);
        let argument = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(name)) => name.split(' ').next().unwrap_or_default().to_owned(),
            Some(_) | None => String::new(),
        };
        to_stderr(&format!("doorward: {argument}: {}", one_line(&cause.unwrap_or_else(|| error.to_string()))));
    } else {
        let text = error.render().to_string();
        to_stderr(&format!("doorward: {}", text.strip_prefix("error: ").unwrap_or(&text).trim_end()));
    }
    2
}

fn to_stderr(text: &str) {
    // Where stderr is gone there is nobody left to tell.
    let _ = writeln!(anstream::stderr(), "{text}");
}

/// Keeps a text on one line, in the order in which it was written, and free of control characters, whoever wrote it.
pub(crate) fn one_line(text: &str) -> String {
    let words = text.trim_end().chars().map(|c| if c == '\n' { ' ' } else { c });
    words.filter(|c| !doorward_model::is_steering(*c)).collect()
}

/// A table for people.
pub(crate) struct Rows {
    table: Table,
    empty: bool,
}

impl Rows {
    /// Starts a table with its headings.
    pub(crate) fn new(headings: &[&str]) -> Self {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if !io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        table.set_header(headings.iter().map(Cell::new));
        Self { table, empty: true }
    }

    /// Adds a row; control characters are left out, so that no name can write on the terminal.
    pub(crate) fn add(&mut self, cells: Vec<String>) {
        self.empty = false;
        self.table.add_row(cells.iter().map(|cell| Cell::new(one_line(cell))));
    }

    /// Draws the table, or says the sentence when it has no row.
    pub(crate) fn or_else(self, when_empty: &str) -> String {
        if self.empty { when_empty.to_owned() } else { self.table.trim_fmt() }
    }
}

/// Writes a value, or a dash where there is none.
pub(crate) fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printed_can_move_the_cursor_or_begin_a_line() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc\r"), "a[2Jb c");
        assert_eq!(one_line("of \u{202e}moc.elpmaxe\u{2069}\u{9b}1m"), "of moc.elpmaxe1m");
        let mut rows = Rows::new(&["NAME"]);
        rows.add(vec!["x\u{1b}]0;y\u{7}".to_owned()]);
        assert!(!rows.or_else("none").contains('\u{1b}'));
    }

    #[test]
    fn an_empty_table_says_so() {
        assert_eq!(Rows::new(&["NAME"]).or_else("no people yet"), "no people yet");
    }
}
