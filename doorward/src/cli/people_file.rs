//! A file of people, as spreadsheets write it.

use std::collections::HashMap;

use doorward_control_plane::api::{PersonKind, SyncCompared, SyncLine};
use doorward_model::{Timestamp, repeatable};
use jiff::civil::Date;
use jiff::tz::TimeZone;

/// Problems that are shown; whoever has more begins with these.
pub(super) const PROBLEMS_SHOWN: usize = 10;
/// What is repeated of a cell, in characters.
const CELL_CHARS_MAX: usize = 60;

/// What a file says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PeopleFile {
    pub(super) lines: Vec<SyncLine>,
    pub(super) compared: SyncCompared,
    /// Columns that mean nothing here.
    pub(super) ignored: Vec<String>,
}

/// Reads a file; every line that makes no sense is named.
pub(super) fn parse(text: &str) -> Result<PeopleFile, Vec<String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let (delimiter, text) = delimiter(text);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(csv::Trim::All).from_reader(text.as_bytes());
    let heads = reader.headers().map_err(|error| vec![format!("the first line cannot be read ({error})")])?.clone();
    let columns = Columns::of(&heads)?;
    let (mut lines, mut problems) = (Vec::new(), Vec::new());
    for record in reader.records() {
        match record {
            Ok(record) if record.iter().all(str::is_empty) => {}
            Ok(record) => {
                let line = record.position().map_or(0, csv::Position::line);
                match columns.line(line, &record) {
                    Ok(read) => lines.push(read),
                    Err(problem) => problems.push(format!("line {line}: {problem}")),
                }
            }
            Err(error) => problems.push(format!("a line cannot be read ({error})")),
        }
    }
    if lines.is_empty() && problems.is_empty() {
        problems.push("nobody is in it: an empty file would put everybody out".to_owned());
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let compared = SyncCompared {
        kind: columns.kind.is_some(),
        sponsor: columns.sponsor.is_some(),
        until: columns.until.is_some(),
    };
    Ok(PeopleFile { lines, compared, ignored: columns.ignored })
}

/// Finds what stands between the cells: Excel writes `;` where a comma is part of numbers, and may say so in a line of its own.
fn delimiter(text: &str) -> (u8, &str) {
    let first = text.lines().next().unwrap_or_default();
    if let Some(said) = first.trim().strip_prefix("sep=") {
        let rest = text.split_once('\n').map_or("", |(_, rest)| rest);
        return (said.bytes().next().unwrap_or(b','), rest);
    }
    let count = |wanted: char| first.chars().filter(|c| *c == wanted).count();
    let found = if count('\t') > count(',').max(count(';')) {
        b'\t'
    } else if count(';') > count(',') {
        b';'
    } else {
        b','
    };
    (found, text)
}

/// Which column is where.
struct Columns {
    email: usize,
    name: usize,
    kind: Option<usize>,
    sponsor: Option<usize>,
    until: Option<usize>,
    ignored: Vec<String>,
}

impl Columns {
    fn of(heads: &csv::StringRecord) -> Result<Self, Vec<String>> {
        let mut found: HashMap<String, usize> = HashMap::new();
        let mut ignored = Vec::new();
        for (at, head) in heads.iter().enumerate() {
            let name = head.to_lowercase();
            if !matches!(name.as_str(), "email" | "name" | "kind" | "sponsor" | "until") {
                ignored.push(repeatable(head, CELL_CHARS_MAX));
            } else if found.insert(name, at).is_some() {
                return Err(vec![format!("column {head} stands twice in the first line")]);
            }
        }
        ignored.retain(|head| !head.is_empty());
        let needed = |name: &str| {
            let missing = || vec![format!("the first line names no column {name}: it needs email and name")];
            found.get(name).copied().ok_or_else(missing)
        };
        Ok(Self {
            email: needed("email")?,
            name: needed("name")?,
            kind: found.get("kind").copied(),
            sponsor: found.get("sponsor").copied(),
            until: found.get("until").copied(),
            ignored,
        })
    }

    fn line(&self, line: u64, record: &csv::StringRecord) -> Result<SyncLine, String> {
        let cell = |at: usize| record.get(at).unwrap_or_default();
        let maybe = |at: Option<usize>| at.map(cell).filter(|text| !text.is_empty());
        let kind = match maybe(self.kind).map(str::to_lowercase).as_deref() {
            None | Some("staff") => PersonKind::Staff,
            Some("contractor") => PersonKind::Contractor,
            Some(other) => return Err(format!("`{}` is no kind: write staff or contractor", shown(other))),
        };
        let sponsor = maybe(self.sponsor).map(str::parse).transpose();
        Ok(SyncLine {
            line,
            email: cell(self.email).parse().map_err(|error: doorward_model::EmailError| error.to_string())?,
            name: cell(self.name).parse().map_err(|error: doorward_model::NameError| error.to_string())?,
            kind,
            sponsor: sponsor.map_err(|error: doorward_model::EmailError| error.to_string())?,
            until: maybe(self.until).map(end).transpose()?,
        })
    }
}

/// Reads an end: a time, or a day, whose last moment it is (UTC). A span would mean another time on each reading.
fn end(text: &str) -> Result<Timestamp, String> {
    let wrong = || {
        format!("`{}` is no end: write a day such as 2027-01-31, or a time such as 2027-01-31T18:00:00Z", shown(text))
    };
    if text.contains(['T', 't']) {
        return text.parse().map_err(|_| wrong());
    }
    let day: Date = text.parse().map_err(|_| wrong())?;
    let next = day.tomorrow().map_err(|_| wrong())?;
    next.to_zoned(TimeZone::UTC).map(|at| at.timestamp()).map_err(|_| wrong())
}

fn shown(text: &str) -> String {
    repeatable(text, CELL_CHARS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn emails(text: &str) -> Vec<String> {
        parse(text).unwrap().lines.into_iter().map(|line| line.email.to_string()).collect()
    }

    #[test]
    fn a_file_is_read_as_spreadsheets_write_it() {
        let wanted = ["anna@a.example", "ben@a.example"];
        for text in [
            "email,name\nanna@a.example,Anna\nben@a.example,Ben\n",
            "\u{feff}Name;Email;Kind\r\n\"Berg; Anna\";anna@a.example;Staff\r\nBen;ben@a.example;\r\n",
            "sep=;\nEMAIL;NAME\nanna@a.example;Anna\n;\nben@a.example;\"Ben \"\"B\"\" Li\"",
            "name\temail\tdesk\nAnna\tanna@a.example\t4\nBen\tben@a.example",
        ] {
            assert_eq!(emails(text), wanted, "{text:?}");
        }
        let file =
            parse("email,name,desk,until,sponsor,kind\na@a.example,A,4,2027-01-31,b@a.example,contractor").unwrap();
        assert_eq!((file.ignored, file.compared.kind), (vec!["desk".to_owned()], true));
        assert_eq!(file.lines[0].until, Some("2027-02-01T00:00:00Z".parse().unwrap()), "the whole day");
        assert_eq!(parse("email,name\na@a.example,A").unwrap().compared, SyncCompared::default());
    }

    #[test]
    fn each_bad_line_is_named_with_its_number() {
        let text = "email,name,kind,until\nx,A,,\na@a.example,,,\na@a.example,A,robot,\na@a.example,A,,4d\nb@a.example,B,staff,\n";
        let problems = parse(text).unwrap_err();
        let lines: Vec<&str> = problems.iter().map(|problem| problem.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 4", "line 5"], "{problems:?}");
    }

    #[test]
    fn what_would_put_everybody_out_is_refused() {
        for text in ["", "email,name\n", "mail,name\na@a.example,A", "email,email,name\n", "email;name\n;\n"] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
