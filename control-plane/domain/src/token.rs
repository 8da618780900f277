//! Tokens: what is kept of them, and when they count.

use std::fmt;

use doorward_model::{GatewayName, Timestamp};
use sha2::{Digest as _, Sha256};

/// The SHA-256 of a token's secret: all that is kept. Tokens have 256 random bits, so a plain hash needs no salt.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash(pub [u8; 32]);

impl TokenHash {
    /// Hashes a secret.
    #[must_use]
    pub fn of(secret: &[u8]) -> Self {
        Self(Sha256::digest(secret).into())
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(redacted)")
    }
}

/// An API token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiToken {
    /// Its name, unique among tokens that were not revoked.
    pub name: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// By whom, as the audit names them.
    pub created_by: String,
    /// When it was used last, to the minute.
    pub last_used_at: Option<Timestamp>,
}

/// A gateway's enrolment token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnrolmentToken {
    /// The gateway it is for.
    pub gateway: GatewayName,
    /// When it stops counting.
    pub expires_at: Timestamp,
    /// When it was used, where it was.
    pub used_at: Option<Timestamp>,
}

/// Why an enrolment is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnrolmentRefusal {
    /// Nobody made such a token.
    #[error("this enrolment token is unknown: make one with `doorward gateway token add NAME`")]
    Unknown,
    /// It was used before.
    #[error("this enrolment token was used already: make another with `doorward gateway token add NAME`")]
    Used,
    /// Its time is over.
    #[error("this enrolment token has expired: make another with `doorward gateway token add NAME`")]
    Expired,
    /// It was made for a gateway of another name.
    #[error(
        "this enrolment token was made for a gateway of another name: set `[gateway] name` to that name or make another token"
    )]
    OtherName,
}

/// Decides whether a token lets a gateway of that name in.
///
/// # Errors
/// Why it does not.
pub fn check_enrolment(
    token: Option<&EnrolmentToken>,
    gateway: &GatewayName,
    now: Timestamp,
) -> Result<(), EnrolmentRefusal> {
    match token {
        None => Err(EnrolmentRefusal::Unknown),
        Some(token) if token.used_at.is_some() => Err(EnrolmentRefusal::Used),
        Some(token) if token.expires_at <= now => Err(EnrolmentRefusal::Expired),
        Some(token) if token.gateway != *gateway => Err(EnrolmentRefusal::OtherName),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::t;

    #[test]
    fn an_enrolment_token_counts_once_in_time_and_for_one_name() {
        let main: GatewayName = "main".parse().unwrap();
        let token = EnrolmentToken { gateway: main.clone(), expires_at: t(10), used_at: None };
        assert_eq!(check_enrolment(Some(&token), &main, t(9)), Ok(()));
        assert_eq!(check_enrolment(Some(&token), &main, t(10)), Err(EnrolmentRefusal::Expired));
        assert_eq!(check_enrolment(Some(&token), &"other".parse().unwrap(), t(9)), Err(EnrolmentRefusal::OtherName));
        assert_eq!(check_enrolment(None, &main, t(9)), Err(EnrolmentRefusal::Unknown));
        let used = EnrolmentToken { used_at: Some(t(1)), ..token };
        assert_eq!(check_enrolment(Some(&used), &main, t(9)), Err(EnrolmentRefusal::Used));
    }
}
