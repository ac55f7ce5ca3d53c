//! Windows: when events are counted together.
//!
//! Promise: an event counts in a window that is open, so no published window is
//! ever opened again. What is being counted is fixed when a window opens: its
//! keys, its bounds and the digest of the policy. A window that was not counted
//! from its start to its end carries a mark that says so.
//!
//! Not here: where windows begin and which are published ([`crate::schedule`]);
//! reading a clock. Times arrive as whole seconds since the epoch.

use std::fmt;
use std::num::NonZeroU64;
use std::sync::Arc;

use jiff::Timestamp;
use thiserror::Error;

use crate::exact::Exact;
use crate::fleet::RingPlace;
use crate::query::{Query, RowKey};
use crate::schedule::{Mark, Marks};
use crate::tag::NoRandomness;
use crate::tally::{Cells, Tally};

/// A length of time that a policy writes as `90s`, `15m`, `1h` or `30d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Span(NonZeroU64);

/// Why a text is no length of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotASpan {
    /// No number and unit.
    #[error("write a length of time as a whole number and `s`, `m`, `h` or `d`, such as `1h` or `30d`")]
    Form,
    /// Nothing, or more than ten years.
    #[error("a length of time must be above zero and at most ten years")]
    Range,
}

const SPAN_SECS_MAX: u64 = 3660 * 86_400;

impl Span {
    /// Reads `1h`, `30d` and the like.
    ///
    /// ```
    /// assert_eq!(privet_dp::window::Span::parse("1h")?.secs(), 3600);
    /// # Ok::<(), privet_dp::window::NotASpan>(())
    /// ```
    ///
    /// # Errors
    /// Whatever is no whole number with a unit, or out of range.
    pub fn parse(written: &str) -> Result<Self, NotASpan> {
        let (number, unit_secs) = [("s", 1), ("m", 60), ("h", 3600), ("d", 86_400)]
            .into_iter()
            .find_map(|(unit, secs)| Some((written.strip_suffix(unit)?, secs)))
            .ok_or(NotASpan::Form)?;
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotASpan::Form);
        }
        let secs =
            number.parse::<u64>().ok().and_then(|number| number.checked_mul(unit_secs)).ok_or(NotASpan::Range)?;
        Self::from_secs(secs).ok_or(NotASpan::Range)
    }

    /// That many seconds, if above zero and at most ten years.
    #[must_use]
    pub fn from_secs(secs: u64) -> Option<Self> {
        NonZeroU64::new(secs).filter(|secs| secs.get() <= SPAN_SECS_MAX).map(Self)
    }

    /// The length in seconds.
    #[must_use]
    pub const fn secs(self) -> u64 {
        self.0.get()
    }

    pub(crate) const fn secs_i64(self) -> i64 {
        // At most ten years: fits.
        self.0.get() as i64
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secs = self.secs();
        match secs {
            secs if secs % 86_400 == 0 => write!(f, "{}d", secs / 86_400),
            secs if secs % 3600 == 0 => write!(f, "{}h", secs / 3600),
            secs if secs % 60 == 0 => write!(f, "{}m", secs / 60),
            secs => write!(f, "{secs}s"),
        }
    }
}

/// A window: from its first second to the second after its last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Window {
    start: Timestamp,
    end: Timestamp,
}

impl Window {
    /// The window of this length that `now_secs` falls into. Times beyond the
    /// calendar fall into its last window.
    #[must_use]
    pub fn at(now_secs: i64, length: Span) -> Self {
        let start = now_secs - now_secs.rem_euclid(length.secs_i64());
        let instant = |secs| Timestamp::from_second(secs).unwrap_or(Timestamp::MAX);
        Self { start: instant(start), end: instant(start + length.secs_i64()) }
    }

    /// The window between two times, if the second is later.
    #[must_use]
    pub fn between(start: Timestamp, end: Timestamp) -> Option<Self> {
        (start < end).then_some(Self { start, end })
    }

    /// Its first second.
    #[must_use]
    pub const fn start(&self) -> Timestamp {
        self.start
    }

    /// The second after its last.
    #[must_use]
    pub const fn end(&self) -> Timestamp {
        self.end
    }

    /// Its first second since the epoch.
    #[must_use]
    pub fn start_secs(&self) -> i64 {
        self.start.as_second()
    }

    /// Whether the window is over at this time.
    #[must_use]
    pub fn is_over(&self, now: Timestamp) -> bool {
        now >= self.end
    }
}

/// A digest of the policy in force.
pub type PolicyDigest = [u8; 32];

/// What a receipt must say about a window beside its bounds: all of it is
/// public. Of all of it, only whether load was shed may depend on events, and
/// such a window is never published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Circumstances {
    /// When counting began: later than the window's start in a process that
    /// started, or closed a part early, within it.
    pub observed_from: Timestamp,
    /// When counting ended: before the window's end where it was closed early.
    pub observed_until: Timestamp,
    /// Which part of the window, where it was closed early before: 0 the first.
    pub part: u32,
    /// Why counting was not whole.
    pub marks: Marks,
    /// The ring that its units were shared by, in a fleet that shares them.
    pub ring: Option<RingPlace>,
}

impl Circumstances {
    /// Counted by one pod from start to end.
    #[must_use]
    pub const fn whole(window: Window) -> Self {
        Self { observed_from: window.start(), observed_until: window.end(), part: 0, marks: Marks::NONE, ring: None }
    }
}

/// A window that is being counted.
///
/// Has no `Debug`: it holds exact counts and what each unit did.
pub struct OpenWindow {
    query: Arc<Query>,
    opened: Opened,
    tally: Tally,
}

/// A window that is open, whatever is counted in it.
pub(crate) struct Opened {
    pub(crate) window: Window,
    pub(crate) policy: PolicyDigest,
    pub(crate) marks: Marks,
    at: Timestamp,
    part: u32,
    ring: Option<RingPlace>,
}

impl Opened {
    /// Opens a window at a time, as its `part`. One that is opened late is
    /// marked: as drained where it is a later part, else as restarted within.
    pub(crate) fn begin(window: Window, policy: PolicyDigest, at: Timestamp, part: u32) -> Self {
        let late = if part > 0 { Mark::Drained } else { Mark::Restart };
        Self { window, policy, marks: Marks::NONE.with_if(late, at > window.start), at, part, ring: None }
    }

    /// Ends it; before its time, it is marked as drained.
    pub(crate) fn end(self, now: Timestamp) -> Circumstances {
        let observed_until = now.min(self.window.end).max(self.at);
        Circumstances {
            observed_from: self.at,
            observed_until,
            part: self.part,
            marks: self.marks.with_if(Mark::Drained, observed_until < self.window.end),
            ring: self.ring,
        }
    }
}

/// A window that is over, ready to be paid for.
pub struct ClosedWindow {
    /// What was counted.
    pub query: Arc<Query>,
    /// The window.
    pub window: Window,
    /// The digest of the policy that its events were decided under.
    pub policy: PolicyDigest,
    /// When counting began and ended.
    pub circumstances: Circumstances,
    /// The exact cells, for a mechanism.
    pub cells: Exact<Cells>,
}

impl OpenWindow {
    /// Opens a window, under a fresh key. One that is opened late is marked.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn open(
        query: Arc<Query>,
        window: Window,
        policy: PolicyDigest,
        opened_at: Timestamp,
        part: u32,
    ) -> Result<Self, NoRandomness> {
        let tally = Tally::new(&query)?;
        Ok(Self { query, opened: Opened::begin(window, policy, opened_at, part), tally })
    }

    /// Names the ring that its units are shared by.
    #[must_use]
    pub fn shared_by(mut self, ring: Option<RingPlace>) -> Self {
        self.opened.ring = ring;
        self
    }

    /// Notes why counting was not whole.
    pub const fn mark(&mut self, mark: Mark) {
        self.opened.marks = self.opened.marks.with(mark);
    }

    /// Why counting was not whole so far.
    #[must_use]
    pub const fn marks(&self) -> Marks {
        self.opened.marks
    }

    /// The window's place in time.
    #[must_use]
    pub const fn window(&self) -> Window {
        self.opened.window
    }

    /// Which part of the window this is.
    #[must_use]
    pub const fn part(&self) -> u32 {
        self.opened.part
    }

    /// Counts one row of `unit` in a key, within the bounds; `value` is in the
    /// aggregate's steps, and looked at where it has values.
    ///
    /// Says nothing about what became of it: that is exact knowledge. A row
    /// decided under another policy does not count, since its key may mean
    /// something else; nor does one without a unit or with an unknown key.
    pub fn observe(&mut self, unit: &[u8], key: RowKey<'_>, value: i64, policy: &PolicyDigest) {
        if policy == &self.opened.policy {
            self.tally.observe(unit, key, value);
        }
    }

    /// Removes all that a unit contributed. From here on it may contribute
    /// again, if it is observed again.
    pub fn withdraw(&mut self, unit: &[u8]) {
        self.tally.withdraw(unit);
    }

    /// Ends the window; before its time, it is marked as drained. `None` when it
    /// had to be given up, for more units came than it may hold.
    #[must_use]
    pub fn close(self, now: Timestamp) -> Option<ClosedWindow> {
        let Self { query, opened, tally } = self;
        let (window, policy) = (opened.window, opened.policy);
        Some(ClosedWindow { query, window, policy, circumstances: opened.end(now), cells: tally.finish()? })
    }

    /// Gives the window up: nothing of it is published, nothing was spent.
    pub fn abort(self) {
        drop(self);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::tests::query;

    const NOON: i64 = 1_795_262_400;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn open() -> OpenWindow {
        let window = Window::at(NOON + 10, Span::parse("1h").unwrap());
        OpenWindow::open(Arc::new(query("searches", 2, 3)), window, [7; 32], at(NOON + 10), 0).unwrap()
    }

    #[test]
    fn a_span_is_a_number_and_a_unit() {
        for (written, secs) in [
            ("90s", Ok(90)),
            ("15m", Ok(900)),
            ("1h", Ok(3600)),
            ("30d", Ok(2_592_000)),
            ("", Err(NotASpan::Form)),
            ("h", Err(NotASpan::Form)),
            ("1.5h", Err(NotASpan::Form)),
            ("-1h", Err(NotASpan::Form)),
            ("1 h", Err(NotASpan::Form)),
            ("0s", Err(NotASpan::Range)),
            ("9999999999999999999d", Err(NotASpan::Range)),
        ] {
            assert_eq!(Span::parse(written).map(Span::secs), secs, "{written}");
        }
    }

    #[test]
    fn windows_tumble_from_the_epoch() {
        let length = Span::parse("1h").unwrap();
        let window = Window::at(NOON + 3599, length);
        assert_eq!((window.start_secs(), window.end().as_second()), (NOON, NOON + 3600));
        assert!(!window.is_over(at(NOON + 3599)) && window.is_over(at(NOON + 3600)));
        assert_eq!(Window::at(-1, length).start_secs(), -3600);
    }

    #[test]
    fn a_row_of_another_policy_or_an_unknown_key_does_not_count() {
        let mut open = open();
        open.observe(b"u-1", RowKey::At(0), 0, &[7; 32]);
        open.observe(b"u-2", RowKey::At(0), 0, &[8; 32]);
        open.observe(b"u-3", RowKey::At(3), 0, &[7; 32]);
        open.observe(b"", RowKey::At(0), 0, &[7; 32]);
        assert_eq!(open.close(at(NOON + 3600)).unwrap().cells.value().values, [1, 0, 0]);
    }

    #[test]
    fn a_withdrawn_unit_is_gone_from_the_open_window() {
        let mut open = open();
        for (unit, key) in [(b"u-1", 0), (b"u-1", 1), (b"u-2", 1)] {
            open.observe(unit, RowKey::At(key), 0, &[7; 32]);
        }
        open.withdraw(b"u-1");
        let closed = open.close(at(NOON + 60)).unwrap();
        assert_eq!(closed.cells.value().values, [0, 1, 0]);
        assert_eq!(
            (closed.circumstances.observed_from, closed.circumstances.observed_until),
            (at(NOON + 10), at(NOON + 60))
        );
    }

    #[test]
    fn a_window_that_overflowed_is_given_up() {
        let mut query = query("searches", 1, 1);
        query.admission.units_max = NonZeroU64::MIN;
        let window = Window::at(NOON, Span::parse("1h").unwrap());
        let mut open = OpenWindow::open(Arc::new(query), window, [7; 32], at(NOON), 0).unwrap();
        open.observe(b"u-1", RowKey::At(0), 0, &[7; 32]);
        open.observe(b"u-2", RowKey::At(0), 0, &[7; 32]);
        open.withdraw(b"u-2");
        assert!(open.close(at(NOON + 3600)).is_none());
    }
}
