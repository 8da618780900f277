//! Times as people read them.

use doorward_model::Timestamp;

/// Writes a time in UTC to the second.
pub(super) fn short(at: Timestamp) -> String {
    let whole = Timestamp::from_second(at.as_second()).unwrap_or(at);
    whole.to_string()
}

/// Writes a time, or what stands for none.
pub(super) fn short_or(at: Option<Timestamp>, none: &str) -> String {
    at.map_or_else(|| none.to_owned(), short)
}
