//! Names that reach a config file, a file name, a log line or a terminal.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::steering::{is_steering, repeated};

/// Why a text is no usable name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A character that a config file or a shell could misread.
    #[error(
        "the {what} name `{text}` has a character that is not allowed: use 1 to {max} letters, digits, `-`, `_` or `.`, and start with a letter or digit"
    )]
    Character {
        /// What is named.
        what: &'static str,
        /// The text, shortened and without control characters.
        text: String,
        /// Longest name taken, in characters.
        max: usize,
    },
    /// Empty or too long.
    #[error("the {what} name must have 1 to {max} characters")]
    Length {
        /// What is named.
        what: &'static str,
        /// Longest name taken, in characters.
        max: usize,
    },
    /// A person's name with a line break or another control character.
    #[error("a person's name must not contain line breaks or other control characters")]
    Control,
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $parse:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Returns the name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                let parse: fn(&str) -> Result<String, NameError> = $parse;
                parse(text).map(Self)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

name!(
    /// A resource's name, lower case, as a DNS label takes it: `admin-panel`.
    ResourceName,
    |text| token("resource", text, 63).map(|name| name.to_lowercase())
);
name!(
    /// A device's name, unique for its principal: `laptop`.
    DeviceName,
    |text| token("device", text, 63)
);
name!(
    /// A gateway's name: `main`.
    GatewayName,
    |text| token("gateway", text, 63)
);
name!(
    /// A group's name, lower case: `support`.
    GroupName,
    |text| token("group", text, 63).map(|name| name.to_lowercase())
);
name!(
    /// A directory source's name, lower case: `okta`.
    SourceName,
    |text| token("source", text, 63).map(|name| name.to_lowercase())
);
name!(
    /// A person's name in any script, one line: `Support desk`.
    PersonName,
    person_name
);

/// Longest person's name, in characters.
const PERSON_NAME_CHARS_MAX: usize = 100;

fn person_name(text: &str) -> Result<String, NameError> {
    let name = text.trim();
    if name.chars().any(is_steering) {
        return Err(NameError::Control);
    }
    if name.is_empty() || name.chars().count() > PERSON_NAME_CHARS_MAX {
        return Err(NameError::Length { what: "person's", max: PERSON_NAME_CHARS_MAX });
    }
    Ok(name.to_owned())
}

fn token(what: &'static str, text: &str, max: usize) -> Result<String, NameError> {
    if text.is_empty() || text.len() > max {
        return Err(NameError::Length { what, max });
    }
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
    if !starts_well || !text.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        let text = repeated(text);
        return Err(NameError::Character { what, text, max });
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_inject_a_line_or_a_path() {
        for wrong in ["", "a b", "laptop\nPostUp = rm", "../etc", "-flag", ".hidden", "a/b", "ä", &"x".repeat(64)] {
            assert!(wrong.parse::<DeviceName>().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn people_are_named_in_their_own_script_on_one_line() {
        assert_eq!("  Zoë Ångström ".parse::<PersonName>().unwrap().as_str(), "Zoë Ångström");
        assert_eq!("a\u{202e}b".parse::<PersonName>(), Err(NameError::Control));
        assert_eq!("a\nb".parse::<PersonName>(), Err(NameError::Control));
    }
}
