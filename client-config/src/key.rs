//! A device's private key, on the side of its owner.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use doorward_model::{KeyError, PublicKey};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize as _, ZeroizeOnDrop, Zeroizing};

/// A Curve25519 private key (32 bytes), wiped when dropped and never printed by `Debug`.
#[derive(ZeroizeOnDrop)]
pub struct PrivateKey([u8; 32]);

impl PrivateKey {
    /// Takes 32 random bytes and clamps them (RFC 7748 section 5), so that the text is the one `wg genkey` would print.
    #[must_use]
    pub fn from_bytes(mut bytes: [u8; 32]) -> Self {
        bytes[0] &= 0xf8;
        bytes[31] = (bytes[31] & 0x7f) | 0x40;
        let key = Self(bytes);
        bytes.zeroize();
        key
    }

    /// Computes the public key that belongs to it.
    ///
    /// # Errors
    /// [`KeyError::LowOrder`] cannot come from a clamped key, and is passed on all the same.
    pub fn public_key(&self) -> Result<PublicKey, KeyError> {
        let secret = StaticSecret::from(self.0);
        PublicKey::from_bytes(x25519_dalek::PublicKey::from(&secret).to_bytes())
    }

    /// Gives the secret away as base64; the name is long so that each use is seen.
    #[must_use]
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl FromStr for PrivateKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let decoded = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| KeyError::Format)?);
        // Kept as it is written, so that its owner recognises it: X25519 clamps at each use.
        decoded.as_slice().try_into().map(Self).map_err(|_| KeyError::Format)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(redacted)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Alice's pair of RFC 7748 section 6.1.
    #[test]
    fn the_public_key_is_the_one_of_the_rfc() {
        let private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=".parse::<PrivateKey>().unwrap();
        assert_eq!(private.public_key().unwrap().to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
    }

    #[test]
    fn a_private_key_is_not_printed_by_debug() {
        assert_eq!(format!("{:?}", PrivateKey::from_bytes([7; 32])), "PrivateKey(redacted)");
    }

    #[test]
    fn text_round_trips_and_wrong_text_is_refused() {
        let key = PrivateKey::from_bytes([0xff; 32]);
        let again = key.expose_base64().parse::<PrivateKey>().unwrap();
        assert_eq!(*again.expose_base64(), *key.expose_base64());
        for wrong in ["", "abc", "AAAA"] {
            assert_eq!(wrong.parse::<PrivateKey>().map(|_| ()), Err(KeyError::Format), "{wrong}");
        }
    }
}
