//! WireGuard keys: public keys that cannot be low-order, and pre-shared keys that do not leak.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq as _;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// Why a text is no usable key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// Wrong length or alphabet.
    #[error("this is no WireGuard key: expected 44 characters of base64 ending in `=`, as `wg pubkey` prints them")]
    Format,
    /// One of the seven points of low order, for which X25519 gives the same secret to everybody.
    #[error("this public key is a low-order point, which protects nothing: make a new pair with `wg genkey`")]
    LowOrder,
}

/// A Curve25519 public key (32 bytes) that is not a low-order point.
///
/// Compare with `==`: public keys are no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey([u8; 32]);

/// The encodings of low-order points, with the top bit clear: 0, 1, the two points of order 8, p - 1, p and p + 1
/// (RFC 7748 section 6.1; the list is the one in "May the Fourth Be With You", ACM CCS 2017, section 3).
const LOW_ORDER: [[u8; 32]; 7] = [
    [0; 32],
    [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4, 0x6a, 0xda, 0x09,
        0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49, 0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef, 0x5b, 0x04, 0x44,
        0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f, 0x11, 0x57,
    ],
    [
        0xec, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xed, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
    [
        0xee, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f,
    ],
];

impl PublicKey {
    /// Takes the 32 bytes of a public key.
    ///
    /// # Errors
    /// [`KeyError::LowOrder`] for the seven points that give everybody the same shared secret.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let mut canonical = bytes;
        // X25519 ignores the top bit (RFC 7748 section 5), so two texts could otherwise be one key.
        if let Some(last) = canonical.last_mut() {
            *last &= 0x7f;
        }
        if LOW_ORDER.contains(&canonical) { Err(KeyError::LowOrder) } else { Ok(Self(canonical)) }
    }

    /// Returns the 32 bytes, little endian, top bit clear.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(decode(text)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A pre-shared key (32 bytes), wiped when dropped and never printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct PresharedKey([u8; 32]);

impl PresharedKey {
    /// Takes the 32 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Gives the secret away; the name is long so that each use is seen.
    #[must_use]
    pub const fn expose_secret(&self) -> &[u8; 32] {
        &self.0
    }

    /// Gives the secret away as text, as `wg genpsk` writes it.
    #[must_use]
    pub fn expose_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }
}

impl PartialEq for PresharedKey {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for PresharedKey {}

impl FromStr for PresharedKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        decode(text).map(Self)
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(redacted)")
    }
}

impl Serialize for PresharedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.expose_base64())
    }
}

impl<'de> Deserialize<'de> for PresharedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn decode(text: &str) -> Result<[u8; 32], KeyError> {
    let mut bytes = [0; 32];
    let decoded = STANDARD.decode(text.trim()).map_err(|_| KeyError::Format)?;
    if decoded.len() != bytes.len() {
        return Err(KeyError::Format);
    }
    bytes.copy_from_slice(&decoded);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_seven_low_order_points_are_refused_with_and_without_the_top_bit() {
        for point in LOW_ORDER {
            let mut high = point;
            high[31] |= 0x80;
            assert_eq!(PublicKey::from_bytes(point), Err(KeyError::LowOrder));
            assert_eq!(PublicKey::from_bytes(high), Err(KeyError::LowOrder));
        }
    }

    #[test]
    fn two_spellings_of_one_key_are_one_key() {
        let mut high = [9; 32];
        high[31] |= 0x80;
        assert_eq!(PublicKey::from_bytes(high), PublicKey::from_bytes([9; 32]));
    }

    #[test]
    fn text_round_trips_and_wrong_text_says_what_was_expected() {
        let key = PublicKey::from_bytes([7; 32]).unwrap();
        assert_eq!(key.to_string().parse(), Ok(key));
        for wrong in ["", "abc", "AAAA", &"A".repeat(44), &format!("{key}="), &key.to_string()[..43]] {
            assert_eq!(wrong.parse::<PublicKey>(), Err(KeyError::Format), "{wrong}");
        }
    }

    #[test]
    fn preshared_key_is_not_printed() {
        let key = PresharedKey::from_bytes([7; 32]);
        assert_eq!(format!("{key:?}"), "PresharedKey(redacted)");
    }
}
