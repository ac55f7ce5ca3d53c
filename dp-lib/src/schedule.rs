//! The schedule of an export: how time is cut into windows, how long one is
//! held open for late events, when it is published, and in which cases not.
//!
//! Promise: everything here is fixed before the first event and depends on no
//! event, so neither does when a window is closed or published. A window in
//! which counting was not whole is marked with the reason, and published only
//! where the schedule lists that reason. One reason cannot be listed: load
//! that was shed.
//!
//! Why not: a request that is refused because of what others sent takes its
//! events out of the count, so that one person's events move the counts of
//! others without bound, and no contribution bound holds.
//!
//! Not here: reading a clock, counting ([`crate::window`]), and what a window
//! costs ([`crate::fleet`], [`crate::accountant`]).

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::calendar::{CalendarUnit, Zone};
use crate::window::{Span, Window};

/// Why counting was not whole in a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mark {
    /// The process, or its exports, started within it.
    Restart,
    /// It was closed early by choice, or an earlier part of it was.
    Drained,
    /// Load was shed while it was open: requests were refused or delayed because of others.
    Shed,
    /// The ring of shards changed while it was open.
    RingChanged,
}

impl Mark {
    /// Every mark.
    pub const ALL: [Self; 4] = [Self::Restart, Self::Drained, Self::Shed, Self::RingChanged];

    /// As policies, receipts and metrics write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Drained => "drained",
            Self::Shed => "shed",
            Self::RingChanged => "ring_changed",
        }
    }

    /// The mark of this name.
    #[must_use]
    pub fn named(written: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mark| mark.name() == written)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of marks; written as a list in the order of [`Mark::ALL`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<Mark>", into = "Vec<Mark>")]
pub struct Marks(u8);

impl Marks {
    /// No mark: counting was whole.
    pub const NONE: Self = Self(0);

    /// These and one more.
    #[must_use]
    pub const fn with(self, mark: Mark) -> Self {
        Self(self.0 | mark.bit())
    }

    /// These, and one more if `holds`.
    #[must_use]
    pub const fn with_if(self, mark: Mark, holds: bool) -> Self {
        if holds { self.with(mark) } else { self }
    }

    /// Whether it is one of these.
    #[must_use]
    pub const fn contains(self, mark: Mark) -> bool {
        self.0 & mark.bit() != 0
    }

    /// Whether counting was whole.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The marks, in the order of [`Mark::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Mark> {
        Mark::ALL.into_iter().filter(move |mark| self.contains(*mark))
    }
}

impl FromIterator<Mark> for Marks {
    fn from_iter<I: IntoIterator<Item = Mark>>(marks: I) -> Self {
        marks.into_iter().fold(Self::NONE, Self::with)
    }
}

impl From<Vec<Mark>> for Marks {
    fn from(marks: Vec<Mark>) -> Self {
        marks.into_iter().collect()
    }
}

impl From<Marks> for Vec<Mark> {
    fn from(marks: Marks) -> Self {
        marks.iter().collect()
    }
}

/// How time is cut into windows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tiling {
    /// All of one length, aligned to the Unix epoch.
    Tumbling(Span),
    /// Hours or days of a time zone.
    Calendar(CalendarUnit, Zone),
}

impl fmt::Display for Tiling {
    /// `every 1h`, or `every day in Europe/Berlin`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tumbling(length) => write!(f, "every {length}"),
            Self::Calendar(unit, zone) => write!(f, "every {} in {}", unit.name(), zone.name()),
        }
    }
}

impl Tiling {
    /// The window that `at_secs` falls into. Times beyond the calendar fall into UTC's.
    #[must_use]
    pub fn window_at(&self, at_secs: i64) -> Window {
        match self {
            Self::Tumbling(length) => Window::at(at_secs, *length),
            Self::Calendar(unit, zone) => {
                zone.window_at(at_secs, *unit).unwrap_or_else(|| Window::at(at_secs, self.usual_length()))
            }
        }
    }

    /// How many windows begin at most in any span of this length: what
    /// [`Zone::windows_max`] says of a calendar's.
    #[must_use]
    pub fn windows_max(&self, horizon: Span) -> u64 {
        match self {
            Self::Tumbling(length) => horizon.secs().div_ceil(length.secs()),
            Self::Calendar(unit, zone) => zone.windows_max(*unit, horizon),
        }
    }

    /// The length of a window, of a calendar's where the clock is not set.
    #[must_use]
    pub fn usual_length(&self) -> Span {
        match self {
            Self::Tumbling(length) => *length,
            Self::Calendar(unit, _) => Span::from_secs(unit.usual_secs()).expect("an hour and a day are spans"),
        }
    }

    /// Windows begin at multiples of so many seconds; 1 where that is all there is to say.
    #[must_use]
    pub const fn grid_secs(&self) -> u64 {
        match self {
            Self::Tumbling(length) => length.secs(),
            Self::Calendar(..) => 1,
        }
    }
}

/// What becomes of an event whose window is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Late {
    /// It counts in the first window that is still open.
    NextWindow,
    /// It does not count.
    Drop,
}

impl Late {
    /// What a policy writes as `next_window` or `drop`.
    #[must_use]
    pub fn named(written: &str) -> Option<Self> {
        match written {
            "next_window" => Some(Self::NextWindow),
            "drop" => Some(Self::Drop),
            _ => None,
        }
    }
}

/// That events count by a time of their own, and how late they may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventTime {
    /// How long after its end a window is held open, in seconds; it may be 0.
    pub lateness_secs: u64,
    /// What becomes of an event that comes later.
    pub late: Late,
}

/// Why parts make no schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotASchedule {
    /// Three windows would be open at a time.
    #[error("a window may be held open for one window's length ({0}) at most")]
    Lateness(Span),
    /// Windows would wait for each other.
    #[error("a window may be published one window's length ({0}) after it closed at the latest")]
    PublishAfter(Span),
    /// Shedding couples units.
    #[error("a window in which load was shed cannot be published")]
    ShedPublished,
    /// Every split is a release.
    #[error("a window may be split {SPLITS_MAX} times at most")]
    Splits,
}

/// The most early closes that a schedule may pay for in one window.
pub const SPLITS_MAX: u64 = 24;

/// When windows are, and which of them are published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    tiling: Tiling,
    event_time: Option<EventTime>,
    publish_after_secs: u64,
    publish_marked: Marks,
    splits_max: u32,
}

impl Schedule {
    /// Events count in the window that they arrive in; it is published when it
    /// ends, whole or not at all.
    #[must_use]
    pub const fn new(tiling: Tiling) -> Self {
        Self { tiling, event_time: None, publish_after_secs: 0, publish_marked: Marks::NONE, splits_max: 0 }
    }

    /// Counts events by a time of their own.
    ///
    /// # Errors
    /// A lateness above one window's length.
    pub fn by_event_time(mut self, event_time: EventTime) -> Result<Self, NotASchedule> {
        let length = self.tiling.usual_length();
        if event_time.lateness_secs > length.secs() {
            return Err(NotASchedule::Lateness(length));
        }
        self.event_time = Some(event_time);
        Ok(self)
    }

    /// Publishes a window so many seconds after it closed.
    ///
    /// # Errors
    /// More than one window's length.
    pub fn published_after(mut self, secs: u64) -> Result<Self, NotASchedule> {
        let length = self.tiling.usual_length();
        if secs > length.secs() {
            return Err(NotASchedule::PublishAfter(length));
        }
        self.publish_after_secs = secs;
        Ok(self)
    }

    /// Publishes windows with these marks too.
    ///
    /// # Errors
    /// [`Mark::Shed`] among them.
    pub fn publishing_marked(mut self, marks: Marks) -> Result<Self, NotASchedule> {
        if marks.contains(Mark::Shed) {
            return Err(NotASchedule::ShedPublished);
        }
        self.publish_marked = marks;
        Ok(self)
    }

    /// Lets a window be closed early so often, each part a release of its own.
    /// From 1 on, parts are published: a part is a window marked
    /// [`Mark::Drained`], and the one after a restart [`Mark::Restart`].
    ///
    /// # Errors
    /// More than [`SPLITS_MAX`].
    pub fn split_at_most(mut self, times: u64) -> Result<Self, NotASchedule> {
        let in_range = u32::try_from(times).ok().filter(|_| times <= SPLITS_MAX);
        self.splits_max = in_range.ok_or(NotASchedule::Splits)?;
        Ok(self)
    }

    /// How time is cut.
    #[must_use]
    pub const fn tiling(&self) -> &Tiling {
        &self.tiling
    }

    /// Whether events have a time of their own, and how late they may come.
    #[must_use]
    pub const fn event_time(&self) -> Option<EventTime> {
        self.event_time
    }

    /// How long a window that has ended is held open, in seconds.
    #[must_use]
    pub fn lateness_secs(&self) -> u64 {
        self.event_time.map_or(0, |time| time.lateness_secs)
    }

    /// When counting in a window ends.
    #[must_use]
    pub fn closes(&self, window: Window) -> Timestamp {
        let held = i64::try_from(self.lateness_secs()).unwrap_or(i64::MAX);
        window.end().saturating_add(SignedDuration::from_secs(held)).unwrap_or(Timestamp::MAX)
    }

    /// How long after its close a window is published, in seconds.
    #[must_use]
    pub const fn publish_after_secs(&self) -> u64 {
        self.publish_after_secs
    }

    /// How many releases one window may have: one, and one for each split.
    #[must_use]
    pub const fn releases_max(&self) -> u32 {
        1 + self.splits_max
    }

    /// How many releases a horizon may have at most: those of every window that may begin in it.
    #[must_use]
    pub fn releases_in(&self, horizon: Span) -> u64 {
        self.tiling.windows_max(horizon).saturating_mul(u64::from(self.releases_max()))
    }

    /// Whether a window with this mark is published.
    #[must_use]
    pub const fn publishes(&self, mark: Mark) -> bool {
        let part_of_a_split = self.splits_max > 0 && matches!(mark, Mark::Restart | Mark::Drained);
        self.publish_marked.contains(mark) || part_of_a_split
    }

    /// The first mark for which a window is withheld; `None` if it is published.
    #[must_use]
    pub fn withheld_for(&self, marks: Marks) -> Option<Mark> {
        marks.iter().find(|mark| !self.publishes(*mark))
    }

    /// How many windows hold what each unit did at a time: the current one; the
    /// one before, where it is held open for late events; and one that waits
    /// to be published, from which a withdrawal still takes its unit.
    #[must_use]
    pub const fn windows_in_memory(&self) -> u64 {
        1 + self.event_time.is_some() as u64 + (self.publish_after_secs > 0) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hourly() -> Schedule {
        Schedule::new(Tiling::Tumbling(Span::parse("1h").unwrap()))
    }

    fn daily(zone: &str) -> Schedule {
        Schedule::new(Tiling::Calendar(CalendarUnit::Day, Zone::named(zone).unwrap()))
    }

    #[test]
    fn what_is_not_listed_is_withheld() {
        for mark in Mark::ALL {
            assert_eq!(hourly().withheld_for(Marks::NONE.with(mark)), Some(mark));
            assert_eq!(Mark::named(mark.name()), Some(mark));
        }
        assert_eq!(hourly().withheld_for(Marks::NONE), None);
        let listed = hourly().publishing_marked(Marks::NONE.with(Mark::Restart)).unwrap();
        assert_eq!(listed.withheld_for(Marks::NONE.with(Mark::Restart)), None);
        assert_eq!(listed.withheld_for(Marks::NONE.with(Mark::Restart).with(Mark::Shed)), Some(Mark::Shed));
    }

    #[test]
    fn shed_windows_cannot_be_published() {
        let all: Marks = Mark::ALL.into_iter().collect();
        assert_eq!(hourly().publishing_marked(all), Err(NotASchedule::ShedPublished));
        assert_eq!(hourly().split_at_most(24).unwrap().withheld_for(all), Some(Mark::Shed));
    }

    #[test]
    fn a_split_pays_for_its_parts_and_publishes_them() {
        let split = hourly().split_at_most(2).unwrap();
        assert_eq!((split.releases_max(), split.releases_in(Span::parse("30d").unwrap())), (3, 2160));
        assert_eq!(split.withheld_for(Marks::NONE.with(Mark::Restart).with(Mark::Drained)), None);
        assert_eq!(split.withheld_for(Marks::NONE.with(Mark::RingChanged)), Some(Mark::RingChanged));
        assert_eq!(hourly().split_at_most(25), Err(NotASchedule::Splits));
    }

    #[test]
    fn no_more_than_two_windows_are_open() {
        let time = |lateness_secs| EventTime { lateness_secs, late: Late::Drop };
        assert!(hourly().by_event_time(time(3600)).is_ok());
        assert!(matches!(hourly().by_event_time(time(3601)), Err(NotASchedule::Lateness(_))));
        assert!(matches!(daily("Europe/Berlin").by_event_time(time(86_401)), Err(NotASchedule::Lateness(_))));
        assert!(matches!(hourly().published_after(3601), Err(NotASchedule::PublishAfter(_))));
        let all = hourly().by_event_time(time(60)).unwrap().published_after(30).unwrap();
        assert_eq!((hourly().windows_in_memory(), all.windows_in_memory()), (1, 3));
    }

    #[test]
    fn marks_are_written_as_a_list_in_one_order() {
        let marks: Marks = [Mark::RingChanged, Mark::Restart].into_iter().collect();
        let written = serde_json::to_string(&marks).unwrap();
        assert_eq!(written, r#"["restart","ring_changed"]"#);
        assert_eq!(serde_json::from_str::<Marks>(&written).unwrap(), marks);
    }

    proptest! {
        #[test]
        fn every_instant_falls_into_exactly_one_window(at in -2_000_000_000_i64..4_000_000_000, day: bool, zone in 0_usize..4) {
            let zones = ["Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Pacific/Apia"];
            let unit = if day { CalendarUnit::Day } else { CalendarUnit::Hour };
            let tiling = Tiling::Calendar(unit, Zone::named(zones[zone]).unwrap());
            let window = tiling.window_at(at);
            prop_assert!(window.start_secs() <= at && at < window.end().as_second());
            prop_assert_eq!(tiling.window_at(window.start_secs()), window);
            prop_assert_eq!(tiling.window_at(window.end().as_second() - 1), window);
            prop_assert_eq!(tiling.window_at(window.end().as_second()).start(), window.end());
        }
    }
}
