//! Recovery codes: for the day the phone is gone. Shown once, kept as hashes, each counts once.

use doorward_domain::{RECOVERY_CODES, TokenHash};
use doorward_model::PrincipalId;
use rand::TryRng as _;

use crate::app::Refusal;

/// Letters and digits that nobody mistakes for one another (Crockford's base 32).
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Characters of a code: 80 bits, so that a plain hash needs no salt.
const CODE_CHARS: usize = 16;

/// Fresh recovery codes, to be shown once.
pub(crate) type RecoveryCodes = Vec<String>;

/// Makes codes in groups of four characters.
pub(super) fn fresh() -> Result<RecoveryCodes, Refusal> {
    (0..RECOVERY_CODES).map(|_| code()).collect()
}

fn code() -> Result<String, Refusal> {
    let mut bytes = [0_u8; CODE_CHARS];
    rand::rngs::SysRng
        .try_fill_bytes(&mut bytes)
        .map_err(|error| Refusal::Internal(format!("the system gave no randomness: {error}")))?;
    let mut text = String::with_capacity(CODE_CHARS + 3);
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        let letter = ALPHABET.get(usize::from(byte % 32)).copied().unwrap_or(b'0');
        text.push(char::from(letter));
    }
    Ok(text)
}

/// Hashes a code as it is typed: case, spaces and dashes do not matter, and `o`, `i`, `l` are read as meant.
pub(super) fn hash(person: PrincipalId, typed: &str) -> TokenHash {
    let folded = typed.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).map(|c| match c {
        'o' => '0',
        'i' | 'l' => '1',
        other => other,
    });
    let text: String = folded.take(CODE_CHARS * 2).collect();
    TokenHash::of(format!("recovery:{person}:{text}").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_differ_and_are_read_as_they_are_typed() {
        let codes = fresh().unwrap();
        let mut distinct = codes.clone();
        distinct.sort();
        distinct.dedup();
        assert_eq!((codes.len(), distinct.len(), codes[0].len()), (RECOVERY_CODES, RECOVERY_CODES, 19));
        let (anna, ben) = (PrincipalId::new(uuid::Uuid::from_u128(1)), PrincipalId::new(uuid::Uuid::from_u128(2)));
        assert_eq!(hash(anna, "ab01-cd10"), hash(anna, " ABoI CDlo "));
        assert_ne!(hash(anna, "ab01-cd10"), hash(ben, "ab01-cd10"));
        assert_ne!(hash(anna, &codes[0]), hash(anna, &codes[1]));
    }
}
