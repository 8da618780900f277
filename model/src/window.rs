//! Time limits as people write them (`90s`, `15m`, `8h`, `4d`, RFC 3339) and intervals of validity.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize};

/// Longest span taken: ten years. More is a slip of the keyboard, and arithmetic past it may overflow.
const SPAN_MAX: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// Why a text is no usable time limit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TimeLimitError {
    /// Neither a span nor RFC 3339.
    #[error(
        "`{text}` is no time limit: write a span such as 90s, 15m, 8h or 4d, or a time such as 2026-12-24T18:00:00Z"
    )]
    Format {
        /// The text, shortened.
        text: String,
    },
    /// A span of nothing.
    #[error("`{text}` is no time at all: give at least 1s")]
    Zero {
        /// The text, shortened.
        text: String,
    },
    /// A point in time that is over.
    #[error("{at} is in the past: give a time after {now}")]
    Past {
        /// The time that was asked for.
        at: Timestamp,
        /// The time it is.
        now: Timestamp,
    },
    /// More than ten years.
    #[error("`{text}` is more than ten years: give a shorter limit")]
    TooLong {
        /// The text, shortened.
        text: String,
    },
}

/// Reads a span such as `90s`, `15m`, `8h` or `4d`; `0` is a span of nothing.
///
/// # Errors
/// [`TimeLimitError::Format`] for anything else, [`TimeLimitError::TooLong`] past ten years.
pub fn parse_duration(text: &str) -> Result<Duration, TimeLimitError> {
    let wrong = || TimeLimitError::Format { text: shorten(text) };
    let text_trimmed = text.trim();
    if text_trimmed == "0" {
        return Ok(Duration::ZERO);
    }
    let digits_end = text_trimmed.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
    let (digits, unit) = text_trimmed.split_at(digits_end);
    let seconds_per_unit: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err(wrong()),
    };
    if digits.is_empty() {
        return Err(wrong());
    }
    let too_long = || TimeLimitError::TooLong { text: shorten(text) };
    let count: u64 = digits.parse().map_err(|_| too_long())?;
    let seconds = count.checked_mul(seconds_per_unit).ok_or_else(too_long)?;
    if seconds > SPAN_MAX.as_secs() { Err(too_long()) } else { Ok(Duration::from_secs(seconds)) }
}

/// Reads a span of a configuration file: `"15m"`, or a bare 0.
///
/// # Errors
/// An error of the format's for anything else.
pub fn deserialize_duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a span such as \"30s\", \"15m\" or \"12h\"")]
    enum Span {
        Text(String),
        Number(u64),
    }
    match Span::deserialize(deserializer)? {
        Span::Text(text) => parse_duration(&text).map_err(serde::de::Error::custom),
        // A bare 0 needs no unit.
        Span::Number(0) => Ok(Duration::ZERO),
        Span::Number(number) => Err(serde::de::Error::custom(format!("{number} has no unit: write \"{number}s\""))),
    }
}

/// When something ends: after a span, or at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum TimeLimit {
    /// So long from the moment it is decided; never zero.
    After(Duration),
    /// At this time on the wall clock.
    At(Timestamp),
}

impl TimeLimit {
    /// Turns the limit into a point in time, given the time it is.
    ///
    /// # Errors
    /// [`TimeLimitError::Past`] when that point is not after `now`; [`TimeLimitError::TooLong`] past ten years.
    pub fn resolve(self, now: Timestamp) -> Result<Timestamp, TimeLimitError> {
        let at = match self {
            Self::After(span) => SignedDuration::try_from(span).ok().and_then(|span| now.checked_add(span).ok()),
            Self::At(at) => Some(at),
        };
        let too_long = || TimeLimitError::TooLong { text: self.to_string() };
        let at = at.ok_or_else(too_long)?;
        if at <= now {
            return Err(TimeLimitError::Past { at, now });
        }
        let span = Duration::try_from(at.duration_since(now)).map_err(|_| too_long())?;
        if span > SPAN_MAX { Err(too_long()) } else { Ok(at) }
    }
}

impl FromStr for TimeLimit {
    type Err = TimeLimitError;

    fn from_str(text: &str) -> Result<Self, TimeLimitError> {
        if text.contains(['T', 't', ':']) {
            return text.trim().parse().map(Self::At).map_err(|_| TimeLimitError::Format { text: shorten(text) });
        }
        match parse_duration(text)? {
            Duration::ZERO => Err(TimeLimitError::Zero { text: shorten(text) }),
            span => Ok(Self::After(span)),
        }
    }
}

impl fmt::Display for TimeLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::After(span) => write!(f, "{}s", span.as_secs()),
            Self::At(at) => at.fmt(f),
        }
    }
}

impl TryFrom<String> for TimeLimit {
    type Error = TimeLimitError;

    fn try_from(text: String) -> Result<Self, TimeLimitError> {
        text.parse()
    }
}

impl From<TimeLimit> for String {
    fn from(limit: TimeLimit) -> Self {
        limit.to_string()
    }
}

/// A span of time that is not nothing, written `90s`, `15m`, `8h` or `4d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Span(Duration);

impl Span {
    /// Takes whole seconds; `None` for none at all.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Option<Self> {
        if seconds == 0 { None } else { Some(Self(Duration::from_secs(seconds))) }
    }

    /// Returns how long it is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Returns the time that comes so long after `at`; the end of time where there is none.
    #[must_use]
    pub fn after(self, at: Timestamp) -> Timestamp {
        SignedDuration::try_from(self.0).ok().and_then(|span| at.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
    }
}

impl FromStr for Span {
    type Err = TimeLimitError;

    fn from_str(text: &str) -> Result<Self, TimeLimitError> {
        match parse_duration(text)? {
            Duration::ZERO => Err(TimeLimitError::Zero { text: shorten(text) }),
            span => Ok(Self(span)),
        }
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let units: [(u64, char); 4] = [(24 * 3600, 'd'), (3600, 'h'), (60, 'm'), (1, 's')];
        // The last unit divides everything.
        let (per, unit) = units.into_iter().find(|(per, _)| seconds.is_multiple_of(*per)).unwrap_or((1, 's'));
        write!(f, "{}{unit}", seconds / per)
    }
}

impl TryFrom<String> for Span {
    type Error = TimeLimitError;

    fn try_from(text: String) -> Result<Self, TimeLimitError> {
        text.parse()
    }
}

impl From<Span> for String {
    fn from(span: Span) -> Self {
        span.to_string()
    }
}

fn shorten(text: &str) -> String {
    crate::steering::repeated(text)
}

/// A span of validity on the wall clock: from `not_before`, up to but not at `not_after`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interval {
    /// First moment at which it holds.
    pub not_before: Timestamp,
    /// First moment at which it no longer holds; `Timestamp::MAX` means that nothing here ends it.
    pub not_after: Timestamp,
}

impl Interval {
    /// Holds always; the neutral element of [`Interval::intersect`].
    pub const ALWAYS: Self = Self { not_before: Timestamp::MIN, not_after: Timestamp::MAX };

    /// Says whether the interval holds at that moment.
    #[must_use]
    pub fn contains(&self, at: Timestamp) -> bool {
        self.not_before <= at && at < self.not_after
    }

    /// Returns the part both share, or `None` when they share none.
    #[must_use]
    pub fn intersect(&self, other: &Self) -> Option<Self> {
        let both =
            Self { not_before: self.not_before.max(other.not_before), not_after: self.not_after.min(other.not_after) };
        (both.not_before < both.not_after).then_some(both)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_and_times_are_read_as_people_write_them() {
        assert_eq!("90s".parse(), Ok(TimeLimit::After(Duration::from_secs(90))));
        assert_eq!("4d".parse(), Ok(TimeLimit::After(Duration::from_secs(345_600))));
        assert_eq!("2026-12-24T18:00:00Z".parse(), Ok(TimeLimit::At("2026-12-24T18:00:00Z".parse().unwrap())));
        assert!(matches!("0".parse::<TimeLimit>(), Err(TimeLimitError::Zero { .. })));
        assert!(matches!("0h".parse::<TimeLimit>(), Err(TimeLimitError::Zero { .. })));
        for wrong in ["", "8", "h", "8 h", "-8h", "8w", "1.5h", "tomorrow", "2026-12-24", "8hh"] {
            assert!(matches!(wrong.parse::<TimeLimit>(), Err(TimeLimitError::Format { .. })), "{wrong}");
        }
        assert!(matches!("99999999999999999999d".parse::<TimeLimit>(), Err(TimeLimitError::TooLong { .. })));
    }

    #[test]
    fn a_span_is_written_in_the_largest_unit_that_fits() {
        for (text, written) in [("7200s", "2h"), ("90s", "90s"), ("24h", "1d"), ("15m", "15m")] {
            assert_eq!(text.parse::<Span>().unwrap().to_string(), written);
        }
        assert!(matches!("0s".parse::<Span>(), Err(TimeLimitError::Zero { .. })));
    }

    #[test]
    fn a_limit_in_the_past_is_refused() {
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let past = TimeLimit::At("2026-11-21T11:59:59Z".parse().unwrap());
        assert!(matches!(past.resolve(now), Err(TimeLimitError::Past { .. })));
        assert!(matches!(TimeLimit::At(now).resolve(now), Err(TimeLimitError::Past { .. })));
    }

    proptest! {
        #[test]
        fn the_intersection_holds_exactly_when_both_hold(a in 0i64..50, b in 0i64..50, c in 0i64..50, d in 0i64..50, at in 0i64..50) {
            let t = |s| Timestamp::from_second(s).unwrap();
            let (x, y) = (Interval { not_before: t(a), not_after: t(b) }, Interval { not_before: t(c), not_after: t(d) });
            let both = x.intersect(&y).is_some_and(|i| i.contains(t(at)));
            prop_assert_eq!(both, x.contains(t(at)) && y.contains(t(at)));
        }
    }
}
