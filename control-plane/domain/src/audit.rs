//! The record of who did what, as a chain that shows edits.
//!
//! **The chain.** Row 1 has the previous hash of 32 zero bytes. For each row,
//!
//! ```text
//! hash = SHA-256( previous_hash            32 bytes
//!               ‖ seq                      8 bytes, big endian
//!               ‖ at                       8 bytes, big endian, two's complement: microseconds since 1970-01-01T00:00:00Z
//!               ‖ field(actor) ‖ field(action) ‖ field(subject) ‖ field(detail) )
//! field(text) = length in bytes as 4 bytes, big endian ‖ the UTF-8 bytes
//! ```
//!
//! where `detail` is the JSON text as it is stored and exported, byte for byte. Lengths stand before the texts, so that
//! no two different rows have the same bytes. Row numbers have no gaps.

use std::fmt;
use std::str::FromStr;

use doorward_model::Timestamp;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{Action, Actor, Subject};

/// What is to be recorded about one change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it was decided.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What was done.
    pub action: Action,
    /// To what.
    pub subject: Subject,
    /// What else is worth knowing; no secrets.
    pub detail: Value,
}

impl AuditEntry {
    /// Returns the row that records this entry after `previous`.
    #[must_use]
    pub fn chained(&self, previous: ChainHead) -> AuditRow {
        let mut row = AuditRow {
            seq: previous.seq.saturating_add(1),
            at: crate::micros(self.at),
            actor: self.actor.to_string(),
            action: self.action.as_str().to_owned(),
            subject: self.subject.to_string(),
            detail: self.detail.to_string(),
            previous_hash: previous.hash,
            hash: AuditHash::ZERO,
        };
        row.hash = audit_hash(&row);
        row
    }
}

/// A SHA-256 value of the chain; 64 hexadecimal digits in text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct AuditHash(pub [u8; 32]);

impl AuditHash {
    /// What stands before the first row.
    pub const ZERO: Self = Self([0; 32]);
}

impl fmt::Display for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for AuditHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuditHash({self})")
    }
}

impl FromStr for AuditHash {
    type Err = hex::FromHexError;

    fn from_str(text: &str) -> Result<Self, hex::FromHexError> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes)?;
        Ok(Self(bytes))
    }
}

/// One recorded row, as stored and exported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number, from 1, without gaps.
    pub seq: u64,
    /// When it was decided, to the microsecond.
    pub at: Timestamp,
    /// Who did it.
    pub actor: String,
    /// What was done.
    pub action: String,
    /// To what.
    pub subject: String,
    /// JSON text.
    pub detail: String,
    /// The hash of the row before.
    pub previous_hash: AuditHash,
    /// This row's hash.
    pub hash: AuditHash,
}

impl AuditRow {
    /// Returns this row as the head that the next one builds on.
    #[must_use]
    pub const fn head(&self) -> ChainHead {
        ChainHead { seq: self.seq, hash: self.hash }
    }
}

/// The end of a chain: what a checkpoint holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChainHead {
    /// The number of the last row; 0 before the first.
    pub seq: u64,
    /// Its hash.
    pub hash: AuditHash,
}

impl ChainHead {
    /// What stands before the first row.
    pub const START: Self = Self { seq: 0, hash: AuditHash::ZERO };
}

/// Where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// A row is missing, doubled or out of order.
    #[error("audit row {found} stands where row {expected} should: rows were dropped or reordered")]
    Sequence {
        /// The number that should come.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// A row does not build on the one before.
    #[error("audit row {seq} does not build on the row before it: that row was changed or replaced")]
    Link {
        /// The row.
        seq: u64,
    },
    /// A row's content does not give its hash.
    #[error("audit row {seq} was edited: its content does not give its hash")]
    Content {
        /// The row.
        seq: u64,
    },
}

/// Computes the hash of a row from its content and its `previous_hash`; see the module's documentation.
#[must_use]
pub fn audit_hash(row: &AuditRow) -> AuditHash {
    let mut hasher = Sha256::new();
    hasher.update(row.previous_hash.0);
    hasher.update(row.seq.to_be_bytes());
    hasher.update(row.at.as_microsecond().to_be_bytes());
    for text in [&row.actor, &row.action, &row.subject, &row.detail] {
        // A text past 4 GiB cannot come from a request of 1 MiB; it would hash as one of that length.
        hasher.update(u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes());
        hasher.update(text.as_bytes());
    }
    AuditHash(hasher.finalize().into())
}

/// Checks that rows follow `from` without a gap and without an edit, and returns the new head.
///
/// Call it page by page, each time with the head that the last call gave.
///
/// # Errors
/// The first place where the chain is broken.
pub fn verify_chain<'a>(
    from: ChainHead,
    rows: impl IntoIterator<Item = &'a AuditRow>,
) -> Result<ChainHead, ChainBreak> {
    let mut head = from;
    for row in rows {
        let expected = head.seq.saturating_add(1);
        if row.seq != expected {
            return Err(ChainBreak::Sequence { expected, found: row.seq });
        }
        if row.previous_hash != head.hash {
            return Err(ChainBreak::Link { seq: row.seq });
        }
        if audit_hash(row) != row.hash {
            return Err(ChainBreak::Content { seq: row.seq });
        }
        head = row.head();
    }
    Ok(head)
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A permutation that a seed picks (Fisher-Yates on a small congruential generator).
    pub(crate) fn permuted<T>(mut items: Vec<T>, mut seed: u64) -> Vec<T> {
        for i in (1..items.len()).rev() {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            items.swap(i, usize::try_from(seed >> 33).unwrap() % (i + 1));
        }
        items
    }

    fn chain(length: i64) -> Vec<AuditRow> {
        let mut head = ChainHead::START;
        (0..length)
            .map(|n| {
                let entry = AuditEntry {
                    at: Timestamp::from_second(n).unwrap(),
                    actor: Actor::System,
                    action: Action::PersonAdd,
                    subject: Subject::Everything,
                    detail: serde_json::json!({ "n": n }),
                };
                let row = entry.chained(head);
                head = row.head();
                row
            })
            .collect()
    }

    #[test]
    fn the_hash_is_the_documented_one() {
        // Computed apart from this code, with Python's hashlib and struct.
        let row = chain(1).remove(0);
        assert_eq!(
            (row.actor.as_str(), row.action.as_str(), row.subject.as_str(), row.detail.as_str()),
            ("system", "person.add", "everything", r#"{"n":0}"#)
        );
        assert_eq!(row.hash.to_string(), "9b8c10849e8c31ce60b61740c6d2a21b85874b0356f7d3d024d60ca50b785525");
    }

    proptest! {
        #[test]
        fn an_edited_dropped_or_swapped_row_is_found(length in 2i64..12, at in 0usize..12, what in 0usize..6) {
            let mut rows = chain(length);
            let whole = verify_chain(ChainHead::START, &rows).unwrap();
            let at = at % (rows.len() - 1);
            match what {
                0 => rows[at].detail.push(' '),
                1 => rows[at].actor = "local:0".to_owned(),
                2 => { rows.remove(at); }
                3 => rows.swap(at, at + 1),
                4 => {
                    // Whoever edits a row and recomputes its hash breaks the link of the next one.
                    rows[at].subject = "nobody".to_owned();
                    rows[at].hash = audit_hash(&rows[at]);
                }
                _ => { rows.pop(); }
            }
            // A truncated chain is sound in itself: only a checkpoint shows it.
            match verify_chain(ChainHead::START, &rows) {
                Ok(head) => prop_assert!(what == 5 && head != whole),
                Err(_) => prop_assert!(what != 5),
            }
        }
    }
}
