//! What is kept sealed: small secrets that the server must read again, under a key that is not in the database.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, Nonce, RandomizedNonceKey};
use rand::TryRng as _;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::files::{create_private_dir, read_optional, write_private};
use crate::ControlPlaneError;

/// The format of what is sealed: version, nonce, ciphertext with its tag.
const VERSION: u8 = 1;
/// Bytes of a nonce (RFC 8452 section 4).
const NONCE_BYTES: usize = 12;
/// Bytes of the key.
const KEY_BYTES: usize = 32;

/// It was sealed with another key or for something else, or it was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what is sealed does not open: the key in the data folder is another one than it was sealed with")]
pub(crate) struct SealBroken;

/// Seals and opens (AES-256-GCM-SIV, RFC 8452: a nonce that repeats gives away equal secrets and nothing more).
pub(crate) struct Seal {
    key: RandomizedNonceKey,
    fingerprint: [u8; 32],
}

impl Seal {
    /// Opens the key in `folder`, or makes it there.
    pub(crate) fn open(folder: &Path) -> Result<Self, ControlPlaneError> {
        create_private_dir(folder)?;
        let path = folder.join("seal.key");
        let mut bytes = Zeroizing::new([0_u8; KEY_BYTES]);
        if let Some(text) = read_optional(&path)?.map(Zeroizing::new) {
            hex::decode_to_slice(text.trim(), bytes.as_mut_slice()).map_err(|error| {
                ControlPlaneError::Config(format!(
                    "{} is no key of 64 hexadecimal digits ({error}): restore it from a backup, or everybody sets up their codes again",
                    path.display()
                ))
            })?;
        } else {
            rand::rngs::SysRng.try_fill_bytes(bytes.as_mut_slice()).map_err(|error| {
                ControlPlaneError::Config(format!("the system gave no randomness for a key: {error}"))
            })?;
            write_private(&path, &Zeroizing::new(hex::encode(bytes.as_slice())))?;
        }
        let key = RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes.as_slice());
        let key = key.map_err(|_| ControlPlaneError::Config("this build has no AES-256-GCM-SIV".to_owned()))?;
        let mut digest = Sha256::new_with_prefix(b"doorward seal key\0");
        digest.update(bytes.as_slice());
        Ok(Self { key, fingerprint: digest.finalize().into() })
    }

    /// Returns what tells this key from another, and nothing about it.
    pub(crate) const fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }

    /// Seals `secret` for `purpose`, which opening asks for again: a sealed secret cannot be moved to another row.
    pub(crate) fn seal(&self, secret: &[u8], purpose: &str) -> Result<Vec<u8>, SealBroken> {
        let mut text = secret.to_vec();
        let nonce = self.key.seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut text);
        let nonce = nonce.map_err(|_| SealBroken)?;
        let mut sealed = vec![VERSION];
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut text);
        Ok(sealed)
    }

    /// Opens what was sealed for `purpose`.
    pub(crate) fn unseal(&self, sealed: &[u8], purpose: &str) -> Result<Zeroizing<Vec<u8>>, SealBroken> {
        let (version, rest) = sealed.split_first().ok_or(SealBroken)?;
        let (nonce, text) = rest.split_at_checked(NONCE_BYTES).ok_or(SealBroken)?;
        if *version != VERSION {
            return Err(SealBroken);
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| SealBroken)?;
        let mut text = Zeroizing::new(text.to_vec());
        let opened = self.key.open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut text);
        let length = opened.map_err(|_| SealBroken)?.len();
        text.truncate(length);
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn what_is_sealed_opens_again_for_the_same_purpose_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let seal = Seal::open(&keys).unwrap();
        let sealed = seal.seal(b"a seed", "totp of anna").unwrap();
        assert!(!sealed.windows(6).any(|window| window == b"a seed"));
        assert_eq!(std::fs::metadata(keys.join("seal.key")).unwrap().permissions().mode() & 0o777, 0o600);
        let again = Seal::open(&keys).unwrap();
        assert_eq!(again.unseal(&sealed, "totp of anna").unwrap().as_slice(), b"a seed");
        assert_eq!(again.unseal(&sealed, "totp of ben"), Err(SealBroken));
    }

    #[test]
    fn a_changed_or_short_text_does_not_open_and_neither_does_another_key() {
        let folder = tempfile::tempdir().unwrap();
        let seal = Seal::open(&folder.path().join("one")).unwrap();
        let sealed = seal.seal(b"a seed", "totp").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.unseal(&changed, "totp"), Err(SealBroken), "byte {at}");
            assert_eq!(seal.unseal(&sealed[..at], "totp"), Err(SealBroken), "{at} bytes");
        }
        let other = Seal::open(&folder.path().join("two")).unwrap();
        assert_eq!(other.unseal(&sealed, "totp"), Err(SealBroken));
    }
}
