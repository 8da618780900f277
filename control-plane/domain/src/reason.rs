//! Why somebody asked for something, in their words.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest reason, in characters: a sentence or three, and an audit row stays a row.
const REASON_CHARS_MAX: usize = 500;

/// The text is no usable reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReasonError {
    /// Empty or too long.
    #[error("a reason has 1 to {REASON_CHARS_MAX} characters")]
    Length,
    /// A line break or another control character.
    #[error("a reason must not contain line breaks or other control characters")]
    Control,
}

/// One line of text in any script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reason(String);

impl Reason {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Reason {
    type Err = ReasonError;

    fn from_str(text: &str) -> Result<Self, ReasonError> {
        let text = text.trim();
        if text.chars().any(doorward_model::is_steering) {
            return Err(ReasonError::Control);
        }
        if text.is_empty() || text.chars().count() > REASON_CHARS_MAX {
            return Err(ReasonError::Length);
        }
        Ok(Self(text.to_owned()))
    }
}

impl TryFrom<String> for Reason {
    type Error = ReasonError;

    fn try_from(text: String) -> Result<Self, ReasonError> {
        text.parse()
    }
}

impl From<Reason> for String {
    fn from(reason: Reason) -> Self {
        reason.0
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line() {
        assert_eq!(" contract ended ".parse::<Reason>().unwrap().as_str(), "contract ended");
        assert_eq!("a\nb".parse::<Reason>(), Err(ReasonError::Control));
        assert_eq!("  ".parse::<Reason>(), Err(ReasonError::Length));
        assert_eq!("x".repeat(501).parse::<Reason>(), Err(ReasonError::Length));
    }
}
