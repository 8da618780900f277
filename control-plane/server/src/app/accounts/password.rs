//! Password hashes: argon2id (RFC 9106), on threads of their own, a few at a time.

use argon2::{Algorithm, Argon2, Params, Version};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use rand::TryRng as _;
use subtle::ConstantTimeEq as _;
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

use super::Accounts;
use crate::app::Refusal;

/// Memory in KiB, passes and lanes: OWASP's first choice, and what a small machine bears several times at once.
const COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// Bytes of a salt (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;
/// Bytes of a hash.
const HASH_BYTES: usize = 32;

/// A password that somebody typed.
pub(crate) type Password = Zeroizing<String>;

impl Accounts {
    /// Hashes a password for keeping.
    pub(super) async fn hash(&self, password: Password) -> Result<String, Refusal> {
        let mut salt = [0_u8; SALT_BYTES];
        rand::rngs::SysRng
            .try_fill_bytes(&mut salt)
            .map_err(|error| Refusal::Internal(format!("the system gave no randomness: {error}")))?;
        let hash = self.hashed(password, salt.to_vec(), COST).await?;
        let (m, t, p) = COST;
        let (salt, hash) = (STANDARD_NO_PAD.encode(salt), STANDARD_NO_PAD.encode(hash.as_slice()));
        Ok(format!("$argon2id$v=19$m={m},t={t},p={p}${salt}${hash}"))
    }

    /// Says whether a password is the one that was kept. Where none was, it takes as long and says no.
    pub(super) async fn verify(&self, password: Password, kept: Option<&str>) -> Result<bool, Refusal> {
        let found = kept.map(|text| Kept::read(text).ok_or_else(broken)).transpose()?;
        let known = found.is_some();
        let Kept { cost, salt, hash } =
            found.unwrap_or_else(|| Kept { cost: COST, salt: vec![0; SALT_BYTES], hash: vec![0; HASH_BYTES] });
        let given = self.hashed(password, salt, cost).await?;
        let same: bool = given.as_slice().ct_eq(&hash).into();
        Ok(known && same)
    }

    async fn hashed(
        &self,
        password: Password,
        salt: Vec<u8>,
        (m, t, p): (u32, u32, u32),
    ) -> Result<Zeroizing<Vec<u8>>, Refusal> {
        let params = Params::new(m, t, p, Some(HASH_BYTES)).map_err(|_| broken())?;
        let ended = || Refusal::Unavailable("the server is leaving: try again in a moment".to_owned());
        let place = std::sync::Arc::clone(&self.hashing).acquire_owned().await.map_err(|_| ended())?;
        let hashing = spawn_blocking(move || {
            let _place = place;
            let mut out = Zeroizing::new(vec![0_u8; HASH_BYTES]);
            let argon = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
            argon.hash_password_into(password.as_bytes(), &salt, out.as_mut_slice()).map(|()| out)
        });
        hashing.await.map_err(|_| ended())?.map_err(|_| broken())
    }
}

fn broken() -> Refusal {
    Refusal::Internal("a password's hash cannot be read: set the password again with a fresh invitation".to_owned())
}

/// A hash as it is kept, in the PHC string format.
struct Kept {
    cost: (u32, u32, u32),
    salt: Vec<u8>,
    hash: Vec<u8>,
}

impl Kept {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("$argon2id$v=19$")?.split('$');
        let mut cost = parts.next()?.split(',');
        let mut number = |key: &str| cost.next()?.strip_prefix(key)?.parse::<u32>().ok();
        let cost = (number("m=")?, number("t=")?, number("p=")?);
        let salt = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        let hash = STANDARD_NO_PAD.decode(parts.next()?).ok()?;
        (hash.len() == HASH_BYTES && parts.next().is_none()).then_some(Self { cost, salt, hash })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_of_the_reference_implementation_reads() {
        let text = "$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc";
        let kept = Kept::read(text).unwrap();
        assert_eq!((kept.cost, kept.salt.as_slice()), ((65536, 2, 1), b"somesalt".as_slice()));
        let params = Params::new(65536, 2, 1, Some(32)).unwrap();
        let mut out = [0; 32];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into(b"password", &kept.salt, &mut out)
            .unwrap();
        assert_eq!(out.as_slice(), kept.hash, "phc-winner-argon2's own test vector");
        for wrong in ["", "$argon2i$v=19$m=1,t=1,p=1$YQ$YQ", "$argon2id$v=19$m=1,t=1$YQ$YQ"] {
            assert!(Kept::read(wrong).is_none(), "{wrong}");
        }
    }
}
