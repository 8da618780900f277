//! What nobody uses any more ends by itself: keys, and people's access.

use std::time::Duration;

use crate::directory::is_too_many;

/// After how long; zero: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DisuseTerms {
    /// A device whose tunnel was not alive for so long ends.
    pub unused_keys: Duration,
    /// A person who neither signed in nor used a device for so long is suspended (PCI DSS 8.2.6 gives 90 days).
    pub inactive: Duration,
}

impl Default for DisuseTerms {
    fn default() -> Self {
        let days = |days: u64| Duration::from_hours(days.saturating_mul(24));
        Self { unused_keys: days(30), inactive: days(90) }
    }
}

/// Says whether so much at once is rather a clock that jumped, or a gateway that told nothing, than people who went away:
/// then nothing ends before somebody looked.
#[must_use]
pub fn is_doubtful(found: u64, of: u64, share: u8) -> bool {
    is_too_many(found, of, share)
}
