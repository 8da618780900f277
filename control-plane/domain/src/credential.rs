//! What people prove themselves with: rules for passwords, and codes that count once.

use doorward_model::{Email, PrincipalId, Timestamp};
use uuid::Uuid;

use crate::Denial;

/// Fewest characters of a password (PCI DSS 8.3.6).
pub const PASSWORD_CHARS_MIN: usize = 12;
/// Most bytes of a password: enough for any sentence, and hashing stays bounded.
const PASSWORD_BYTES_MAX: usize = 256;
/// Most passkeys of one person.
pub const PASSKEYS_MAX: usize = 20;
/// How many recovery codes somebody gets.
pub const RECOVERY_CODES: usize = 10;
/// Seconds a time-based code stands for (RFC 6238 section 5.2).
pub const TOTP_STEP_SECONDS: u64 = 30;

/// A passkey as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredPasskey {
    /// Names it where it is listed.
    pub id: Uuid,
    /// Whose.
    pub principal: PrincipalId,
    /// The authenticator's own name for it.
    pub credential_id: Vec<u8>,
    /// The site that it is bound to.
    pub rp_id: String,
    /// What the person calls it.
    pub name: String,
    /// The public half and its counter, as the library writes them.
    pub credential: String,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When it was used last.
    pub last_used_at: Option<Timestamp>,
    /// From when on it is refused: its counter went back, which means a copy.
    pub refused_at: Option<Timestamp>,
}

/// A time-based code's seed, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTotp {
    /// Whose.
    pub principal: PrincipalId,
    /// The seed, under a key outside the database.
    pub sealed: Vec<u8>,
    /// The step of the last code that counted.
    pub last_step: u64,
    /// When it was set up.
    pub created_at: Timestamp,
}

/// What somebody can sign in with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Credentials {
    /// Passkeys that are not refused.
    pub passkeys: u64,
    /// A password is set.
    pub password: bool,
    /// A time-based code is set up.
    pub totp: bool,
    /// Recovery codes that were not used.
    pub recovery_codes: u64,
}

impl Credentials {
    /// Says whether somebody can sign in with two factors.
    #[must_use]
    pub const fn suffice(&self) -> bool {
        self.passkeys > 0 || (self.password && self.totp)
    }
}

/// Refuses a password that would be guessed.
///
/// Length does the work (NIST SP 800-63B section 5.1.1.2): no classes of characters, no change for its own sake.
///
/// # Errors
/// A denial that says what to do.
pub fn check_password(password: &str, email: &Email) -> Result<(), Denial> {
    if password.chars().count() < PASSWORD_CHARS_MIN {
        return Err(Denial::invalid(format!(
            "the password is too short: take {PASSWORD_CHARS_MIN} characters or more, four random words for example"
        )));
    }
    if password.len() > PASSWORD_BYTES_MAX {
        return Err(Denial::invalid(format!("the password is too long: take {PASSWORD_BYTES_MAX} bytes at most")));
    }
    let folded = password.to_lowercase();
    let (local, _) = email.as_str().split_once('@').unwrap_or((email.as_str(), ""));
    let mut distinct: Vec<char> = folded.chars().collect();
    distinct.sort_unstable();
    distinct.dedup();
    let guessed = folded == email.as_str()
        || (local.len() >= 4 && folded.contains(local))
        || distinct.len() < 5
        || COMMON.iter().any(|common| folded.contains(common));
    if guessed {
        return Err(Denial::invalid(
            "the password would be guessed: leave your address and common words out, four random words for example",
        ));
    }
    Ok(())
}

/// What long passwords are made of that are guessed first.
const COMMON: [&str; 10] = [
    "password",
    "passwort",
    "123456789",
    "qwertyuiop",
    "qwertzuiop",
    "letmein",
    "iloveyou",
    "administrator",
    "doorward",
    "changeme",
];

/// Decides whether the code of `step` counts after the one of `last_step`: each counts once, and none before it.
///
/// # Errors
/// A denial that says to wait for the next code.
pub fn check_step(step: u64, last_step: u64) -> Result<(), Denial> {
    if step > last_step {
        Ok(())
    } else {
        Err(Denial::refused("this code was used already: wait for the next one, up to 30 seconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_the_obvious_one() {
        let email: Email = "anna.berg@shop.example".parse().unwrap();
        assert_eq!(check_password("correct horse battery", &email), Ok(()));
        assert_eq!(check_password("drei Äpfel im Korb", &email), Ok(()));
        for weak in
            ["short", "elevenchars", "aaaaaaaaaaaaaaa", "anna.berg@shop.example", "Anna.Berg2026!", "myPassword2026"]
        {
            assert!(check_password(weak, &email).is_err(), "{weak}");
        }
        assert!(check_password(&"abcdef".repeat(50), &email).is_err());
    }

    #[test]
    fn a_code_counts_once_and_none_before_it() {
        assert_eq!(check_step(11, 10), Ok(()));
        assert!(check_step(10, 10).is_err() && check_step(9, 10).is_err());
    }

    #[test]
    fn one_factor_alone_does_not_suffice() {
        let none = Credentials::default();
        assert!(!none.suffice() && !Credentials { password: true, ..none }.suffice());
        assert!(!Credentials { totp: true, recovery_codes: 10, ..none }.suffice());
        assert!(Credentials { password: true, totp: true, ..none }.suffice());
        assert!(Credentials { passkeys: 1, ..none }.suffice());
    }
}
