//! What forms send: text, which is parsed here, an empty field being none.

use std::fmt::Display;
use std::str::FromStr;

use doorward_model::{Span, TimeLimit};
use serde::Deserialize;

use crate::app::Refusal;

/// A reason, which may be left out.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct ReasonForm {
    #[serde(default)]
    pub(crate) reason: String,
}

/// Parses a field that has to be there.
pub(crate) fn needed<T: FromStr<Err: Display>>(label: &str, text: &str) -> Result<T, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::Invalid(format!("\u{201c}{label}\u{201d} is empty: fill it in and send the form again")));
    }
    text.parse().map_err(|error| Refusal::Invalid(format!("{label}: {error}")))
}

/// Parses a field that may be left out.
pub(crate) fn optional<T: FromStr<Err: Display>>(label: &str, text: &str) -> Result<Option<T>, Refusal> {
    if text.trim().is_empty() { Ok(None) } else { needed(label, text).map(Some) }
}

/// Parses the words of a field, divided by spaces, commas or lines.
pub(crate) fn several<T: FromStr<Err: Display>>(label: &str, text: &str) -> Result<Vec<T>, Refusal> {
    let words = text.split(|letter: char| letter.is_whitespace() || letter == ',').filter(|word| !word.is_empty());
    let parsed = words.map(|word| needed(label, word)).collect::<Result<Vec<T>, _>>()?;
    if parsed.is_empty() {
        Err(Refusal::Invalid(format!("\u{201c}{label}\u{201d} is empty: give at least one")))
    } else {
        Ok(parsed)
    }
}

/// The unit in which a form counts time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Unit {
    Minutes,
    #[default]
    Hours,
    Days,
}

impl Unit {
    const fn letter(self) -> char {
        match self {
            Self::Minutes => 'm',
            Self::Hours => 'h',
            Self::Days => 'd',
        }
    }
}

/// Parses so many units of time; none where the field is empty.
pub(crate) fn span(label: &str, amount: &str, unit: Unit) -> Result<Option<Span>, Refusal> {
    let amount = amount.trim();
    if amount.is_empty() {
        return Ok(None);
    }
    if !amount.bytes().all(|letter| letter.is_ascii_digit()) {
        return Err(Refusal::Invalid(format!("{label}: give a whole number, such as 8")));
    }
    needed(label, &format!("{amount}{}", unit.letter())).map(Some)
}

/// Parses a point in time as a browser's own field writes it. The module `moment.js` sends it as UTC; where no script
/// runs, what was typed is UTC.
pub(crate) fn moment(label: &str, text: &str) -> Result<Option<TimeLimit>, Refusal> {
    let text = text.trim();
    let bare = text.len() == "2026-12-24T18:00".len() && text.contains('T');
    let whole = if bare { format!("{text}:00Z") } else { text.to_owned() };
    match optional::<TimeLimit>(label, &whole)? {
        Some(TimeLimit::After(_)) => {
            Err(Refusal::Invalid(format!("{label}: give a date and a time, such as 2026-12-24T18:00")))
        }
        other => Ok(other),
    }
}

/// Sorts a time limit into a span and a point in time, as the API wants them apart.
pub(crate) fn span_or_end(limit: TimeLimit) -> (Option<TimeLimit>, Option<TimeLimit>) {
    match limit {
        TimeLimit::After(_) => (Some(limit), None),
        TimeLimit::At(_) => (None, Some(limit)),
    }
}

/// Returns a reason, or none.
pub(crate) fn reason(text: String) -> Option<String> {
    Some(text).filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use doorward_model::{Allow, Email};

    use super::*;

    #[test]
    fn an_empty_field_is_named_and_a_wrong_one_says_why() {
        let empty = needed::<Email>("Email", "  ").unwrap_err();
        assert!(
            matches!(&empty, Refusal::Invalid(text) if text.contains("\u{201c}Email\u{201d} is empty")),
            "{empty:?}"
        );
        let wrong = needed::<Email>("Email", "nobody").unwrap_err();
        assert!(matches!(&wrong, Refusal::Invalid(text) if text.contains("no email address")), "{wrong:?}");
        assert!(optional::<Email>("Sponsor", " ").unwrap().is_none());
    }

    #[test]
    fn times_are_read_as_browsers_write_them() {
        let at = |text: &str| moment("Until", text).unwrap().map(|limit| limit.to_string());
        assert_eq!(at("2026-12-24T18:00").as_deref(), Some("2026-12-24T18:00:00Z"));
        assert_eq!(at("2026-12-24T18:00:00.000Z").as_deref(), Some("2026-12-24T18:00:00Z"));
        assert_eq!(at(" "), None);
        assert!(moment("Until", "8h").is_err() && moment("Until", "tomorrow").is_err());
        assert_eq!(span("For", "8", Unit::Hours).unwrap().unwrap().to_string(), "8h");
        assert_eq!(span("For", "", Unit::Days).unwrap(), None);
        for wrong in ["0", "-1", "1.5", "8h", "many"] {
            assert!(span("For", wrong, Unit::Days).is_err(), "{wrong}");
        }
    }

    #[test]
    fn words_may_be_divided_as_people_divide_them() {
        let allow: Vec<Allow> = several("Allowed", "tcp/443, tcp/80\n udp/53").unwrap();
        assert_eq!(allow.len(), 3);
        assert!(several::<Allow>("Allowed", " , ").is_err());
    }
}
