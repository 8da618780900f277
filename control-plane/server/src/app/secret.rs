//! Secrets that are shown once and kept as hashes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rand::TryRng as _;
use zeroize::Zeroizing;

use super::Refusal;

/// Bytes of a secret: 256 bits, which nobody guesses.
const SECRET_BYTES: usize = 32;

/// Makes a secret from the system's randomness, as base64 for URLs.
pub(crate) fn fresh_secret() -> Result<Zeroizing<String>, Refusal> {
    let mut bytes = Zeroizing::new([0_u8; SECRET_BYTES]);
    rand::rngs::SysRng
        .try_fill_bytes(bytes.as_mut_slice())
        .map_err(|error| Refusal::Internal(format!("the system gave no randomness: {error}")))?;
    Ok(Zeroizing::new(URL_SAFE_NO_PAD.encode(bytes.as_slice())))
}
