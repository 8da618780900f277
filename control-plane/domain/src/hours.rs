//! Weekly hours: a grant that holds from Monday to Friday, eight to six, where the work is done.
//!
//! A rule of a lease carries one occurrence of the hours, so that gateways compare deadlines and know no calendar. On
//! the days of a change of the clocks an occurrence is rather shorter than longer: at every moment of it, a clock on the
//! wall over there shows a time within the hours.

use std::fmt;
use std::str::FromStr;

use doorward_model::{Interval, Timestamp};
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::Denial;

/// The days' words, Monday first.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// Minutes of a day.
const DAY_MINUTES: u16 = 24 * 60;
/// Longest name of a time zone; the longest in use has 30 characters.
const ZONE_CHARS_MAX: usize = 64;
/// Days after today on which the next occurrence is looked for: a week, and one more for a week whose occurrence a
/// change of the clocks leaves out.
const DAYS_AHEAD_MAX: usize = 15;

/// Days, times of the day and the name of a time zone: `mon-fri 08:00-18:00 Europe/Berlin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeeklyHours {
    /// Which days they begin on, Monday first.
    days: [bool; 7],
    /// Minutes after midnight; before 24:00.
    from: u16,
    /// Minutes after midnight, up to 24:00; where it is not after `from`, it is on the day after.
    until: u16,
    zone: String,
}

/// Weekly hours with the time zone that their name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hours {
    weekly: WeeklyHours,
    /// `None` where this system does not know the name; there are no occurrences then.
    zone: Option<TimeZone>,
}

impl WeeklyHours {
    /// Returns the name of the time zone.
    #[must_use]
    pub fn zone_name(&self) -> &str {
        &self.zone
    }

    /// Puts the time zone beside its name.
    #[must_use]
    pub const fn in_zone(self, zone: Option<TimeZone>) -> Hours {
        Hours { weekly: self, zone }
    }

    fn is_always(&self) -> bool {
        self.days.iter().all(|day| *day) && self.from == self.until % DAY_MINUTES
    }
}

impl Hours {
    /// Refuses hours in a time zone that is not known.
    ///
    /// # Errors
    /// A denial that names it.
    pub fn require_zone(&self) -> Result<(), Denial> {
        match self.zone {
            Some(_) => Ok(()),
            None => Err(Denial::invalid(format!(
                "this system knows no time zone `{}`: write one such as Europe/Berlin or UTC, as `timedatectl list-timezones` lists them",
                self.weekly.zone
            ))),
        }
    }

    /// Returns the occurrence that holds at that moment, or else the next one. Occurrences that meet (24 hours on days
    /// in a row) are one.
    ///
    /// `None` where the time zone is not known, or the calendar ends.
    #[must_use]
    pub fn occurrence(&self, now: Timestamp) -> Option<Interval> {
        let zone = self.zone.as_ref()?;
        // What began yesterday may still hold.
        let mut date = now.to_zoned(zone.clone()).date().yesterday().ok()?;
        let mut found: Option<Interval> = None;
        for _ in 0..=DAYS_AHEAD_MAX {
            let here = self.on(date, zone);
            match (&mut found, here) {
                (None, Some(here)) if now < here.not_after => found = Some(here),
                (Some(found), Some(here)) if here.not_before <= found.not_after => found.not_after = here.not_after,
                (Some(found), _) => return Some(*found),
                (None, _) => {}
            }
            date = date.tomorrow().ok()?;
        }
        found
    }

    /// Returns the occurrence that begins on that day; a change of the clocks may leave nothing of it.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<Interval> {
        let WeeklyHours { days, from, until, .. } = &self.weekly;
        let day = usize::try_from(date.weekday().to_monday_zero_offset()).ok()?;
        if !*days.get(day)? {
            return None;
        }
        let end = if until <= from { date.tomorrow().ok()? } else { date };
        // Where the clock shows a time twice, the hours begin with the second and end with the first; where it skips one,
        // they begin after the gap and end before.
        let not_before = zone.to_ambiguous_timestamp(moment(date, *from)?).later().ok()?;
        let not_after = zone.to_ambiguous_timestamp(moment(end, *until)?).earlier().ok()?;
        (not_before < not_after).then_some(Interval { not_before, not_after })
    }
}

/// Midnight and so many minutes, on the clock on the wall.
fn moment(date: Date, minutes: u16) -> Option<jiff::civil::DateTime> {
    let (date, minutes) = if minutes >= DAY_MINUTES { (date.tomorrow().ok()?, 0) } else { (date, minutes) };
    let (hour, minute) = (i8::try_from(minutes / 60).ok()?, i8::try_from(minutes % 60).ok()?);
    Some(date.at(hour, minute, 0, 0))
}

impl FromStr for WeeklyHours {
    type Err = Denial;

    fn from_str(text: &str) -> Result<Self, Denial> {
        let shown = doorward_model::repeatable(text, 80);
        let wrong = || {
            Denial::invalid(format!(
                "`{shown}` are no weekly hours: write days, times and a time zone, such as `mon-fri 08:00-18:00 Europe/Berlin`"
            ))
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let [days, times, zone] = words.as_slice() else { return Err(wrong()) };
        let (from, until) = times.split_once('-').ok_or_else(wrong)?;
        let (from, until) = (minutes(from).ok_or_else(wrong)?, minutes(until).ok_or_else(wrong)?);
        let zone_char = |c: char| c.is_ascii_alphanumeric() || "/_+-".contains(c);
        if zone.len() > ZONE_CHARS_MAX
            || !zone.starts_with(|c: char| c.is_ascii_alphabetic())
            || !zone.chars().all(zone_char)
        {
            return Err(wrong());
        }
        let hours = Self { days: parse_days(days).ok_or_else(wrong)?, from, until, zone: (*zone).to_owned() };
        if from == DAY_MINUTES {
            return Err(wrong());
        }
        if hours.is_always() {
            return Err(Denial::invalid("these hours are all hours: leave them out"));
        }
        Ok(hours)
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits =
        |text: &str| (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse::<u16>().ok())?;
    let (hour, minute) = (digits(hour)?, digits(minute)?);
    let whole = (hour < 24 && minute < 60) || (hour == 24 && minute == 0);
    whole.then(|| hour * 60 + minute)
}

fn parse_days(text: &str) -> Option<[bool; 7]> {
    let mut days = [false; 7];
    let number = |word: &str| DAYS.iter().position(|day| day.eq_ignore_ascii_case(word));
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (mut day, last) = (number(first)?, number(last)?);
        // `fri-mon` goes over the weekend.
        loop {
            *days.get_mut(day)? = true;
            if day == last {
                break;
            }
            day = (day + 1) % DAYS.len();
        }
    }
    Some(days)
}

impl fmt::Display for WeeklyHours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        let mut day = 0;
        while day < DAYS.len() {
            let length = self.days.iter().skip(day).take_while(|listed| **listed).count();
            let word = |at: usize| DAYS.get(at).copied().unwrap_or_default();
            match length {
                0 => {}
                1 => parts.push(word(day).to_owned()),
                _ => parts.push(format!("{}-{}", word(day), word(day + length - 1))),
            }
            day += length.max(1);
        }
        let Self { from, until, zone, .. } = self;
        let (from_hour, from_minute, hour, minute) = (from / 60, from % 60, until / 60, until % 60);
        write!(f, "{} {from_hour:02}:{from_minute:02}-{hour:02}:{minute:02} {zone}", parts.join(","))
    }
}

impl fmt::Display for Hours {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.weekly.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use jiff::civil::Weekday;
    use proptest::prelude::*;

    use super::*;

    fn hours(text: &str) -> Hours {
        let weekly: WeeklyHours = text.parse().unwrap();
        let zone = TimeZone::get(weekly.zone_name()).ok();
        weekly.in_zone(zone)
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn occurrence(text: &str, now: &str) -> (String, String) {
        let found = hours(text).occurrence(at(now)).unwrap();
        (found.not_before.to_string(), found.not_after.to_string())
    }

    fn pair(from: &str, until: &str) -> (String, String) {
        (from.to_owned(), until.to_owned())
    }

    #[test]
    fn hours_are_read_as_people_write_them_and_written_back() {
        for (text, written) in [
            ("mon-fri 08:00-18:00 Europe/Berlin", "mon-fri 08:00-18:00 Europe/Berlin"),
            ("Mon,wed,FRI 00:00-24:00 UTC", "mon,wed,fri 00:00-24:00 UTC"),
            ("sat-mon 22:00-06:00 America/New_York", "mon,sat-sun 22:00-06:00 America/New_York"),
        ] {
            assert_eq!(text.parse::<WeeklyHours>().unwrap().to_string(), written);
        }
        for wrong in [
            "",
            "mon-fri",
            "mon-fri 08:00-18:00",
            "mon-fri 8-18 UTC",
            "mon-fri 08:00-24:01 UTC",
            "mon-fri 24:00-06:00 UTC",
            "day 08:00-18:00 UTC",
            "mon-fri 08:60-18:00 UTC",
            "mon-fri 08:00-18:00 ../etc/passwd",
            "mon- 08:00-18:00 UTC",
            "mon-fri 08:00-18:00 Europe/Berlin please",
            "mon-fri +8:00-18:00 UTC",
        ] {
            assert!(wrong.parse::<WeeklyHours>().is_err(), "{wrong}");
        }
        assert!("mon-sun 00:00-24:00 UTC".parse::<WeeklyHours>().unwrap_err().sentence.contains("all hours"));
        assert!("mon-sun 06:00-06:00 UTC".parse::<WeeklyHours>().is_err());
    }

    #[test]
    fn an_unknown_zone_is_named_and_has_no_occurrence() {
        let nowhere = hours("mon 08:00-18:00 Europe/Nowhere");
        assert!(nowhere.require_zone().unwrap_err().sentence.contains("Europe/Nowhere"));
        assert_eq!(nowhere.occurrence(at("2026-11-21T12:00:00Z")), None);
        assert_eq!(hours("mon 08:00-18:00 Europe/Berlin").require_zone(), Ok(()));
    }

    #[test]
    fn the_occurrence_is_the_current_one_or_the_next() {
        let office = "mon-fri 08:00-18:00 Europe/Berlin";
        // 2026-11-20 is a Friday.
        let friday = pair("2026-11-20T07:00:00Z", "2026-11-20T17:00:00Z");
        let monday = pair("2026-11-23T07:00:00Z", "2026-11-23T17:00:00Z");
        assert_eq!(occurrence(office, "2026-11-20T06:00:00Z"), friday);
        assert_eq!(occurrence(office, "2026-11-20T16:59:59Z"), friday);
        assert_eq!(occurrence(office, "2026-11-20T17:00:00Z"), monday);
        assert_eq!(occurrence(office, "2026-11-22T12:00:00Z"), monday);
    }

    #[test]
    fn a_night_belongs_to_the_day_it_began_and_whole_days_in_a_row_are_one() {
        let night = "fri 22:00-06:00 UTC";
        let expected = pair("2026-11-20T22:00:00Z", "2026-11-21T06:00:00Z");
        assert_eq!(occurrence(night, "2026-11-21T05:00:00Z"), expected);
        assert_eq!(occurrence(night, "2026-11-18T05:00:00Z"), expected);
        let weekend = "sat-sun 00:00-24:00 UTC";
        assert_eq!(occurrence(weekend, "2026-11-21T05:00:00Z"), pair("2026-11-21T00:00:00Z", "2026-11-23T00:00:00Z"));
    }

    #[test]
    fn a_change_of_the_clocks_shortens_and_never_lengthens() {
        // 2026-03-29: 02:00 becomes 03:00 in Berlin. 2026-10-25: 03:00 becomes 02:00.
        assert_eq!(
            occurrence("sun 00:00-02:30 Europe/Berlin", "2026-03-28T12:00:00Z"),
            pair("2026-03-28T23:00:00Z", "2026-03-29T00:30:00Z")
        );
        assert_eq!(
            occurrence("sun 02:30-05:00 Europe/Berlin", "2026-10-24T12:00:00Z"),
            pair("2026-10-25T01:30:00Z", "2026-10-25T04:00:00Z")
        );
        assert_eq!(
            occurrence("sun 00:00-02:30 Europe/Berlin", "2026-10-24T12:00:00Z"),
            pair("2026-10-24T22:00:00Z", "2026-10-25T00:30:00Z")
        );
        // Nothing is left of it on that Sunday; the next one has it.
        assert_eq!(
            occurrence("sun 02:10-02:50 Europe/Berlin", "2026-03-28T12:00:00Z"),
            pair("2026-04-05T00:10:00Z", "2026-04-05T00:50:00Z")
        );
    }

    /// Says whether a clock on the wall over there shows a time within the hours.
    fn shows_hours(hours: &Hours, at: Timestamp) -> bool {
        let Some(zone) = &hours.zone else { return false };
        let zoned = at.to_zoned(zone.clone());
        let WeeklyHours { days, from, until, .. } = &hours.weekly;
        let listed = |weekday: Weekday| {
            usize::try_from(weekday.to_monday_zero_offset()).ok().and_then(|day| days.get(day)).is_some_and(|day| *day)
        };
        let clock = u16::try_from(i32::from(zoned.hour()) * 60 + i32::from(zoned.minute())).unwrap_or(u16::MAX);
        let (today, yesterday) = (listed(zoned.weekday()), listed(zoned.weekday().previous()));
        if until <= from {
            (today && clock >= *from) || (yesterday && clock < *until)
        } else {
            today && (*from..*until).contains(&clock)
        }
    }

    prop_compose! {
        fn any_hours()(
            days in proptest::collection::vec(any::<bool>(), 7),
            from in 0u16..96, length in 1u16..96,
            zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"), Just("Asia/Kolkata"), Just("America/Santiago"), Just("UTC")],
        ) -> Hours {
            let mut listed = [false; 7];
            for (to, day) in listed.iter_mut().zip(&days) { *to = *day; }
            if !listed.contains(&true) { listed[2] = true; }
            let (from, until) = (from * 15, (from + length) * 15);
            let until = if until > DAY_MINUTES { until - DAY_MINUTES } else { until };
            let weekly = WeeklyHours { days: listed, from, until, zone: zone.to_owned() };
            weekly.in_zone(TimeZone::get(zone).ok())
        }
    }

    /// A moment within two days of a change of the clocks somewhere, or any moment of two years.
    fn any_moment() -> impl Strategy<Value = Timestamp> {
        let changes = [
            "2026-03-29T01:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-03-08T07:00:00Z",
            "2026-11-01T06:00:00Z",
            "2026-04-04T15:00:00Z",
            "2026-10-03T15:30:00Z",
            "2026-04-05T03:00:00Z",
            "2026-09-06T04:00:00Z",
        ];
        let near = (0..changes.len(), -172_800i64..172_800)
            .prop_map(move |(n, offset)| at(changes[n]).checked_add(SignedDuration::from_secs(offset)).unwrap());
        let any = (1_767_225_600i64..1_830_297_600).prop_map(|second| Timestamp::from_second(second).unwrap());
        prop_oneof![3 => near, 1 => any]
    }

    proptest! {
        #[test]
        fn access_never_outlasts_what_the_clock_on_the_wall_shows(hours in any_hours(), now in any_moment(), part in 0u64..1000) {
            let Some(found) = hours.occurrence(now) else { return Err(TestCaseError::fail("no occurrence")) };
            prop_assert!(now < found.not_after && found.not_before < found.not_after);
            // Any moment of it, its first and its last second.
            let span = u64::try_from(found.not_after.duration_since(found.not_before).as_secs()).unwrap();
            for offset in [0, span * part / 1000, span - 1] {
                let moment = found.not_before.checked_add(SignedDuration::from_secs(i64::try_from(offset).unwrap())).unwrap();
                prop_assert!(shows_hours(&hours, moment), "{hours} at {moment}");
            }
        }

        #[test]
        fn hours_are_missed_near_a_change_of_the_clocks_alone(hours in any_hours(), second in 1_767_225_600i64..1_830_297_600) {
            let now = Timestamp::from_second(second).unwrap();
            let zone = hours.zone.clone().unwrap();
            let day = SignedDuration::from_hours(26);
            let calm = zone.following(now - day).next().is_none_or(|change| change.timestamp() > now + day);
            if calm && shows_hours(&hours, now) {
                prop_assert!(hours.occurrence(now).unwrap().contains(now), "{hours} at {now}");
            }
        }

        #[test]
        fn an_occurrence_is_the_same_from_each_of_its_moments(hours in any_hours(), now in any_moment()) {
            let found = hours.occurrence(now).unwrap();
            let last = found.not_after.checked_sub(SignedDuration::from_secs(1)).unwrap();
            prop_assert_eq!(hours.occurrence(last).unwrap().not_after, found.not_after);
            prop_assert!(hours.occurrence(found.not_after).unwrap().not_before > found.not_after);
        }
    }
}
