//! Email addresses, as names of people: compared without case, safe to print on one line.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest address taken, in bytes (RFC 5321 section 4.5.3.1.3 leaves 254 for the address itself).
const EMAIL_BYTES_MAX: usize = 254;

/// The text is no email address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no email address: expected something like anna@shop.example")]
pub struct EmailError {
    text: String,
}

/// An email address in lower case.
///
/// Narrower than RFC 5322 on purpose: no quotes, no comments, no spaces, so that it can stand in a log line or a
/// config comment as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Email(String);

impl Email {
    /// Returns the address, lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Email {
    type Err = EmailError;

    fn from_str(text: &str) -> Result<Self, EmailError> {
        let wrong = || EmailError { text: crate::steering::repeated(text) };
        // What is kept is looked at: a capital may become longer, or a letter with a mark that is none itself.
        let lower = text.to_lowercase();
        let (local, domain) = lower.split_once('@').ok_or_else(wrong)?;
        let local_fits = !local.is_empty()
            && local.len() <= 64
            && local.chars().all(|c| c.is_alphanumeric() || "!#$%&'*+-/=?^_{|}~.".contains(c));
        let domain_fits = !domain.is_empty()
            && domain.split('.').all(|label| {
                !label.is_empty() && !label.starts_with('-') && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            });
        let fits = lower.len() <= EMAIL_BYTES_MAX && local_fits && domain_fits;
        if fits { Ok(Self(lower)) } else { Err(wrong()) }
    }
}

impl TryFrom<String> for Email {
    type Error = EmailError;

    fn try_from(text: String) -> Result<Self, EmailError> {
        text.parse()
    }
}

impl From<Email> for String {
    fn from(email: Email) -> Self {
        email.0
    }
}

impl fmt::Display for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Email({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn case_does_not_make_a_second_person() {
        assert_eq!("Anna@Shop.Example".parse::<Email>(), "anna@shop.example".parse::<Email>());
    }

    #[test]
    fn what_could_inject_a_line_is_refused() {
        for wrong in [
            "",
            "anna",
            "@shop.example",
            "anna@",
            "a@b@c",
            "anna@shop..example",
            "a b@c",
            "a@b\nPostUp = x",
            "a@-b",
            "a`b@c",
        ] {
            assert!(wrong.parse::<Email>().is_err(), "{wrong:?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_taken_is_taken_again(text in "[a-zA-Zİ]{1,6}[ȺΣßǅ]{0,33}@[a-zİẞ]{1,3}[.]example") {
            if let Ok(email) = text.parse::<Email>() {
                prop_assert_eq!(email.as_str().parse::<Email>(), Ok(email.clone()));
            }
        }
    }
}
