//! Time-based codes (RFC 6238): six digits, 30 seconds, one step of grace to either side, each code once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_domain::{StoredTotp, check_step};
use doorward_model::{Email, PrincipalId, Timestamp};
use rand::TryRng as _;
use totp_rs::{Builder, Secret, Totp};
use zeroize::Zeroizing;

use super::Accounts;
use crate::app::Refusal;

/// Bytes of a seed (RFC 4226 section 4, R6).
const SEED_BYTES: usize = 20;
/// Who issued it, as an authenticator app shows it.
const ISSUER: &str = "Doorward";

/// A seed that is shown and not kept yet: it goes to the browser sealed, and comes back with the first code.
#[derive(Debug, Clone)]
pub(crate) struct NewTotp {
    /// For typing.
    pub(crate) secret: String,
    /// For an authenticator app on the same device.
    pub(crate) uri: String,
    /// The seed, sealed for this purpose, as base64 for forms.
    pub(crate) sealed: String,
}

/// A seed with the code that proves that the app has it.
pub(super) struct ProvedTotp {
    seed: Zeroizing<Vec<u8>>,
    step: u64,
}

impl Accounts {
    /// Makes a seed for somebody, to be proved for the same `purpose`.
    pub(super) fn new_totp(&self, account: &str, purpose: &str) -> Result<NewTotp, Refusal> {
        let mut seed = Zeroizing::new([0_u8; SEED_BYTES]);
        rand::rngs::SysRng
            .try_fill_bytes(seed.as_mut_slice())
            .map_err(|error| Refusal::Internal(format!("the system gave no randomness: {error}")))?;
        let totp = totp(seed.as_slice(), account)?;
        let uri = totp.to_url().map_err(|_| unusable())?;
        let sealed = self.seal.seal(seed.as_slice(), purpose).map_err(|error| Refusal::Internal(error.to_string()))?;
        let secret = Secret::new(seed.to_vec().into_boxed_slice()).to_base32();
        Ok(NewTotp { secret, uri, sealed: URL_SAFE_NO_PAD.encode(sealed) })
    }

    /// Shows a seed again, after a form that had another mistake in it.
    pub(super) fn same_totp(&self, sealed: &str, account: &str, purpose: &str) -> Result<NewTotp, Refusal> {
        let seed = self.sent_back(sealed, purpose)?;
        let uri = totp(&seed, account)?.to_url().map_err(|_| unusable())?;
        let secret = Secret::new(seed.to_vec().into_boxed_slice()).to_base32();
        Ok(NewTotp { secret, uri, sealed: sealed.to_owned() })
    }

    /// Checks the first code of a seed that came back.
    pub(super) fn prove_totp(
        &self,
        sealed: &str,
        code: &str,
        purpose: &str,
        now: Timestamp,
    ) -> Result<ProvedTotp, Refusal> {
        let seed = self.sent_back(sealed, purpose)?;
        let step = step_of(&seed, code, now)?.ok_or_else(|| {
            Refusal::Invalid(
                "this code does not fit: type the six digits that the app shows now, and check that the phone's clock is right"
                    .to_owned(),
            )
        })?;
        Ok(ProvedTotp { seed, step })
    }

    /// Seals a proved seed for keeping.
    pub(super) fn keep_totp(
        &self,
        proved: &ProvedTotp,
        principal: PrincipalId,
        now: Timestamp,
    ) -> Result<StoredTotp, Refusal> {
        let sealed = self.seal.seal(&proved.seed, &purpose_of(principal));
        let sealed = sealed.map_err(|error| Refusal::Internal(error.to_string()))?;
        Ok(StoredTotp { principal, sealed, last_step: proved.step, created_at: now })
    }

    /// Returns the step of a code that fits a kept seed and was not used; `None` for a code that does not fit.
    ///
    /// The transaction that lets somebody in uses the step up: this look alone decides nothing.
    pub(super) fn check_totp(&self, kept: &StoredTotp, code: &str, now: Timestamp) -> Result<Option<u64>, Refusal> {
        let seed = self.seal.unseal(&kept.sealed, &purpose_of(kept.principal));
        let seed = seed.map_err(|error| Refusal::Internal(error.to_string()))?;
        let Some(step) = step_of(&seed, code, now)? else { return Ok(None) };
        check_step(step, kept.last_step)?;
        Ok(Some(step))
    }

    fn sent_back(&self, sealed: &str, purpose: &str) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let bytes = URL_SAFE_NO_PAD.decode(sealed).ok();
        let seed = bytes.and_then(|bytes| self.seal.unseal(&bytes, purpose).ok());
        seed.ok_or_else(|| Refusal::Invalid("this form is of another link or sign-in: load the page again".to_owned()))
    }
}

/// Says whether a text could be a time-based code; anything else is tried as a recovery code.
pub(super) fn looks_like_a_code(text: &str) -> bool {
    let digits = text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
    digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn purpose_of(principal: PrincipalId) -> String {
    format!("totp:{principal}")
}

fn step_of(seed: &[u8], code: &str, now: Timestamp) -> Result<Option<u64>, Refusal> {
    let code: String = code.chars().filter(|c| !c.is_whitespace()).collect();
    if !looks_like_a_code(&code) {
        return Ok(None);
    }
    let seconds = u64::try_from(now.as_second()).map_err(|_| unusable())?;
    Ok(totp(seed, "account")?.check(&code, seconds))
}

fn totp(seed: &[u8], account: &str) -> Result<Totp, Refusal> {
    // A colon would end the issuer in the URI.
    let account = account.replace(':', "");
    let builder = Builder::new()
        .with_secret(Secret::new(seed.to_vec().into_boxed_slice()))
        .with_skew(1)
        .with_account_name(account)
        .with_issuer(Some(ISSUER));
    builder.build().map_err(|_| unusable())
}

fn unusable() -> Refusal {
    Refusal::Internal("a time-based code could not be set up".to_owned())
}

/// Returns the name under which an app shows the account.
pub(super) fn account_name(email: Option<&Email>) -> &str {
    email.map_or("owner", Email::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_those_of_the_rfc() {
        // RFC 6238 appendix B, SHA-1, the last six of eight digits.
        for (seconds, code) in [(59, "287082"), (1_111_111_109, "081804"), (1_234_567_890, "005924")] {
            let at = Timestamp::from_second(seconds).unwrap();
            let step = step_of(b"12345678901234567890", code, at).unwrap();
            assert_eq!(step, Some(u64::try_from(seconds).unwrap() / 30), "{code}");
        }
    }

    #[test]
    fn a_code_counts_one_step_early_and_one_late_and_no_further() {
        let fits = |seconds| {
            step_of(b"12345678901234567890", "287 082", Timestamp::from_second(seconds).unwrap()).unwrap().is_some()
        };
        assert!(fits(0) && fits(30) && fits(59) && fits(60) && fits(89));
        assert!(!fits(90) && !fits(1_000));
    }

    #[test]
    fn a_recovery_code_is_no_time_based_one() {
        assert!(looks_like_a_code("123456") && looks_like_a_code("123 456"));
        for other in ["12345", "1234567", "abcdef", "12345６", ""] {
            assert!(!looks_like_a_code(other), "{other}");
        }
    }
}
