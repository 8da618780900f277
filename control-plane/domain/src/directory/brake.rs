//! The brake: an identity provider's accident puts nobody out for good.

use std::time::Duration;

/// People below which nothing is a mass change: a small shop may lose half of its staff in one afternoon.
pub const PEOPLE_MIN: u64 = 5;

/// What the owner chose for directories.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DirectoryTerms {
    /// How long somebody whom a source suspended stays suspended before they count as departed.
    pub cooling: Duration,
    /// The share of a source's people, in percent, that it may disable at once.
    pub brake_share: u8,
    /// How close together changes are that count as one.
    pub brake_within: Duration,
}

impl Default for DirectoryTerms {
    fn default() -> Self {
        Self { cooling: Duration::from_secs(72 * 3600), brake_share: 20, brake_within: Duration::from_secs(600) }
    }
}

/// What a source did lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Burst {
    /// People it disabled.
    pub disabled: u64,
    /// People it took back.
    pub reactivated: u64,
    /// People of it whom it says are active.
    pub active: u64,
    /// All its people.
    pub people: u64,
}

impl Burst {
    /// Says whether the source would have disabled too many with one more, out of those who were active before.
    #[must_use]
    pub fn trips_with_one_more_off(&self, terms: &DirectoryTerms) -> bool {
        is_too_many(self.disabled.saturating_add(1), self.active.saturating_add(self.disabled), terms.brake_share)
    }

    /// Says whether the source would have taken too many back with one more.
    #[must_use]
    pub fn trips_with_one_more_on(&self, terms: &DirectoryTerms) -> bool {
        is_too_many(self.reactivated.saturating_add(1), self.people, terms.brake_share)
    }
}

/// Says whether more changed at once than a share, in percent, and more than a handful.
pub(crate) fn is_too_many(changed: u64, of: u64, share: u8) -> bool {
    changed >= PEOPLE_MIN && changed.saturating_mul(100) > of.saturating_mul(u64::from(share))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_brake_takes_hold_past_the_share_and_not_in_a_handful() {
        let terms = DirectoryTerms::default();
        let trips = |disabled, active| Burst { disabled, active, ..Burst::default() }.trips_with_one_more_off(&terms);
        assert_eq!([trips(3, 2), trips(4, 1)], [false, true], "five of five, and not four");
        assert_eq!([trips(19, 81), trips(20, 80)], [false, true], "the twenty-first of a hundred");
        let on = |reactivated, people| Burst { reactivated, people, ..Burst::default() }.trips_with_one_more_on(&terms);
        assert_eq!([on(4, 25), on(4, 24), on(5, 25)], [false, true, true]);
    }
}
