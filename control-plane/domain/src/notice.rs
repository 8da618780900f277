//! Notices before an end: three days, one day, and for what is short one hour.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use doorward_model::{GroupId, PrincipalId, Timestamp};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Denial;

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);
const THREE_DAYS: Duration = Duration::from_secs(3 * 24 * 3600);

/// What ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EndingKind {
    /// A grant.
    Grant,
    /// A person's own time.
    Person,
    /// A device.
    Device,
}

impl EndingKind {
    /// Returns the word for it, as the API and the store write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Person => "person",
            Self::Device => "device",
        }
    }
}

impl fmt::Display for EndingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for EndingKind {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        let found = [Self::Grant, Self::Person, Self::Device].into_iter().find(|kind| kind.as_str() == text);
        found.ok_or_else(|| Denial::invalid("what ends is a `grant`, a `person` or a `device`"))
    }
}

/// Somebody was told that something ends soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndNotice {
    /// What kind of thing ends.
    pub kind: EndingKind,
    /// Its id.
    pub subject: Uuid,
    /// When it ends.
    pub ends_at: Timestamp,
    /// How long before the notice was due.
    pub lead: Duration,
    /// Whose it is; `None` for a group's grant.
    pub principal: Option<PrincipalId>,
    /// The group whose grant ends.
    pub group: Option<GroupId>,
    /// Its name: a resource's, a person's, a device's.
    pub what: String,
    /// When it was noticed.
    pub noticed_at: Timestamp,
}

/// Returns the notice that is due for what began and ends then: three days and one day before the end, and one hour
/// before for what lasts a day at most. Where several are due, because nobody looked for a while, the last one counts.
///
/// `None` where none is due, or the end came.
#[must_use]
pub fn lead_due(began: Timestamp, ends_at: Timestamp, now: Timestamp) -> Option<Duration> {
    let left = Duration::try_from(ends_at.duration_since(now)).ok().filter(|left| !left.is_zero())?;
    let span = Duration::try_from(ends_at.duration_since(began)).unwrap_or(Duration::ZERO);
    let leads: &[Duration] = if span > DAY { &[DAY, THREE_DAYS] } else { &[HOUR] };
    leads.iter().copied().find(|lead| left <= *lead && *lead < span)
}

/// Returns how long a mail waits after so many tries that failed: 5 s, twice as long each time, an hour at most. A mail
/// server that was restarted is found soon, and one that is gone is not pestered.
#[must_use]
pub fn mail_pause(tries: u64) -> SignedDuration {
    let seconds = 5_i64.checked_shl(u32::try_from(tries.saturating_sub(1)).unwrap_or(u32::MAX));
    // 2^10 times five seconds is more than an hour; what is shifted further is none of the numbers meant.
    let seconds = seconds.filter(|_| tries <= 10).unwrap_or(i64::MAX);
    SignedDuration::from_secs(seconds).min(SignedDuration::from_hours(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::fixtures::t;

    #[test]
    fn a_mail_is_tried_soon_and_then_less_and_less_often() {
        let pauses: Vec<i64> = (1..=5).map(|tries| mail_pause(tries).as_secs()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80]);
        for tries in [10, 11, 63, 64, u64::MAX] {
            assert!((2_560..=3_600).contains(&mail_pause(tries).as_secs()), "{tries}");
        }
    }

    #[test]
    fn a_notice_comes_three_days_and_one_day_before_and_an_hour_before_what_is_short() {
        let hour = 3600;
        let due = |span: i64, left: i64| lead_due(t(0), t(span * hour), t((span - left) * hour));
        let month = 30 * 24;
        assert_eq!([due(month, 73), due(month, 72), due(month, 25)], [None, Some(THREE_DAYS), Some(THREE_DAYS)]);
        assert_eq!([due(month, 24), due(month, 1), due(month, 0), due(month, -5)], [Some(DAY), Some(DAY), None, None]);
        assert_eq!([due(8, 2), due(8, 1), due(8, 0)], [None, Some(HOUR), None]);
        assert_eq!([due(48, 47), due(48, 24)], [None, Some(DAY)], "no notice at the beginning");
        assert_eq!(lead_due(t(0), t(1800), t(0)), None, "half an hour needs no notice");
    }
}
