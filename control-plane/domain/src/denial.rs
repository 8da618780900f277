//! A refusal, as a value: what kind it is, and one sentence that says what to do.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What kind of refusal it is; callers map it to a status or an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DenialCode {
    /// What was named does not exist.
    NotFound,
    /// What was asked for makes no sense.
    Invalid,
    /// It exists already, or is in a state that excludes this.
    Conflict,
    /// A rule forbids it.
    Refused,
    /// It may be done after proving a second factor again.
    FreshFactorNeeded,
}

/// A refusal with its reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// What kind.
    pub code: DenialCode,
    /// One sentence that names the subject and says what to do.
    pub sentence: String,
}

impl Denial {
    /// What was named does not exist.
    #[must_use]
    pub fn not_found(sentence: impl Into<String>) -> Self {
        Self { code: DenialCode::NotFound, sentence: sentence.into() }
    }

    /// What was asked for makes no sense.
    #[must_use]
    pub fn invalid(sentence: impl Into<String>) -> Self {
        Self { code: DenialCode::Invalid, sentence: sentence.into() }
    }

    /// It exists already, or is in a state that excludes this.
    #[must_use]
    pub fn conflict(sentence: impl Into<String>) -> Self {
        Self { code: DenialCode::Conflict, sentence: sentence.into() }
    }

    /// A rule forbids it.
    #[must_use]
    pub fn refused(sentence: impl Into<String>) -> Self {
        Self { code: DenialCode::Refused, sentence: sentence.into() }
    }

    /// The session is good, and the last proof of a second factor is too old for this.
    #[must_use]
    pub fn needs_fresh_factor() -> Self {
        let sentence = "this needs your second factor once more: confirm it, then try again".to_owned();
        Self { code: DenialCode::FreshFactorNeeded, sentence }
    }
}

impl fmt::Display for Denial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

// So that `?` carries a denial to where it is answered.
impl std::error::Error for Denial {}
