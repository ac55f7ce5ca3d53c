//! A window of a survey: reports by their units, and the counters of them all.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::sync::Arc;

use jiff::Timestamp;
use privet_ldp::{Decoder, NotAReport};
use zeroize::Zeroize;

use super::Survey;
use crate::bound::Chunks;
use crate::schedule::{Mark, Marks};
use crate::tag::{AsItIs, NoRandomness, Tag, WindowKey};
use crate::window::{Circumstances, Opened, PolicyDigest, Window};

/// A window in which reports are counted.
///
/// Has no `Debug`: it holds who reported what.
pub struct OpenReports {
    survey: Arc<Survey>,
    opened: Opened,
    reporters: Reporters,
    decoder: Decoder,
    overflowed: bool,
}

/// A window that is over. Which unit reported what is forgotten.
///
/// Has no `Debug`: how many reported is not said before it is published.
pub struct ClosedReports {
    /// What was asked.
    pub survey: Arc<Survey>,
    /// The window.
    pub window: Window,
    /// The digest of the policy that its events were decided under.
    pub policy: PolicyDigest,
    /// When counting began and ended.
    pub circumstances: Circumstances,
    pub(crate) decoder: Decoder,
}

impl OpenReports {
    /// Opens a window, under a fresh key. One that is opened late is marked.
    ///
    /// # Errors
    /// When the operating system gives no random bytes.
    pub fn open(
        survey: Arc<Survey>,
        window: Window,
        policy: PolicyDigest,
        opened_at: Timestamp,
        part: u32,
    ) -> Result<Self, NoRandomness> {
        let reporters = Reporters::new(survey.question.report_characters())?;
        let decoder = Decoder::of(*survey.question.randomizer());
        let opened = Opened::begin(window, policy, opened_at, part);
        Ok(Self { survey, opened, reporters, decoder, overflowed: false })
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

    /// Counts a unit's report, given as text, if it is the unit's first one in
    /// this window. One that was decided under another policy does not count,
    /// nor does one without a unit.
    ///
    /// # Errors
    /// What is no report of this question: then nothing is counted, and the
    /// unit's next one may be its first.
    pub fn observe(&mut self, unit: &[u8], report: &str, policy: &PolicyDigest) -> Result<(), NotAReport> {
        if unit.is_empty() || policy != &self.opened.policy || self.overflowed {
            return Ok(());
        }
        let tag = self.reporters.tag(unit);
        if self.reporters.knows(tag) {
            return Ok(());
        }
        self.decoder.take_text(report)?;
        self.overflowed = self.reporters.count() >= self.survey.units_max.get();
        if !self.overflowed {
            self.reporters.remember(tag, report);
        }
        Ok(())
    }

    /// Takes a unit's report out. From here on it may report again.
    pub fn withdraw(&mut self, unit: &[u8]) {
        let Some(mut report) = self.reporters.forget(unit) else { return };
        // What was taken and remembered can be taken back.
        std::str::from_utf8(&report).ok().map(|report| self.decoder.remove_text(report));
        report.zeroize();
    }

    /// Ends the window; before its time, it is marked as drained. `None` when it
    /// had to be given up, for more units came than it may hold.
    #[must_use]
    pub fn close(self, now: Timestamp) -> Option<ClosedReports> {
        let Self { survey, opened, decoder, overflowed, .. } = self;
        let (window, policy) = (opened.window, opened.policy);
        (!overflowed).then(|| ClosedReports { survey, window, policy, circumstances: opened.end(now), decoder })
    }

    /// Gives the window up: nothing of it is published.
    pub fn abort(self) {
        drop(self);
    }
}

/// Who reported, by tags that nobody else can make, and what.
struct Reporters {
    window_key: WindowKey,
    slots: HashMap<Tag, u32, BuildHasherDefault<AsItIs>>,
    allotted: u32,
    free: Vec<u32>,
    /// A report's characters for each slot. All reports of a question have as many.
    reports: Chunks<u8>,
}

impl Reporters {
    fn new(characters: usize) -> Result<Self, NoRandomness> {
        Ok(Self {
            window_key: WindowKey::random()?,
            slots: HashMap::default(),
            allotted: 0,
            free: Vec::new(),
            reports: Chunks::new(characters),
        })
    }

    fn tag(&self, unit: &[u8]) -> Tag {
        self.window_key.tag(unit).tag
    }

    fn knows(&self, tag: Tag) -> bool {
        self.slots.contains_key(&tag)
    }

    fn count(&self) -> u64 {
        self.slots.len() as u64
    }

    fn remember(&mut self, tag: Tag, report: &str) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.allotted += 1;
            self.allotted - 1
        });
        self.reports.reach(slot);
        self.reports.of(slot).iter_mut().zip(report.bytes()).for_each(|(to, from)| *to = from);
        self.slots.insert(tag, slot);
    }

    fn forget(&mut self, unit: &[u8]) -> Option<Vec<u8>> {
        let slot = self.slots.remove(&self.tag(unit))?;
        self.free.push(slot);
        Some(self.reports.take(slot))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use privet_ldp::Method;
    use proptest::prelude::*;

    use super::*;
    use crate::local::tests::{seeded, survey};
    use crate::window::Span;

    const NOON: i64 = 1_795_262_400;
    const POLICY: PolicyDigest = [7; 32];

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    fn open(survey: Survey) -> OpenReports {
        let window = Window::at(NOON, Span::parse("1h").unwrap());
        OpenReports::open(Arc::new(survey), window, POLICY, window.start(), 0).unwrap()
    }

    /// The report of an answer, the same at each call.
    fn report(survey: &Survey, answer: u32) -> String {
        let report = survey.question.randomizer().randomize(answer, &mut seeded(answer.into())).unwrap();
        report.text().as_str().to_owned()
    }

    fn counted(open: OpenReports) -> Vec<i64> {
        let closed = open.close(at(NOON + 3600)).unwrap();
        closed.decoder.estimates().iter().map(|estimate| estimate.whole).collect()
    }

    #[test]
    fn of_a_unit_the_first_report_counts() {
        let survey = survey(Method::Kary, "10");
        let (summer, winter) = (report(&survey, 1), report(&survey, 3));
        let mut open = open(survey);
        for (unit, report) in [("u-1", &summer), ("u-1", &winter), ("u-1", &summer), ("u-2", &winter), ("", &winter)] {
            assert_eq!(open.observe(unit.as_bytes(), report, &POLICY), Ok(()));
        }
        open.observe(b"u-3", &winter, &[8; 32]).unwrap();
        assert_eq!(counted(open), [0, 1, 0, 1]);
    }

    #[test]
    fn what_is_no_report_is_not_counted_and_a_unit_may_try_again() {
        let survey = survey(Method::Unary, "1");
        let good = report(&survey, 1);
        let mut open = open(survey);
        for (written, wrong) in [
            ("", NotAReport::Length),
            ("not base64!", NotAReport::Text),
            (&good[4..], NotAReport::Length),
            (&good.replacen("AQI", "AQM", 1), NotAReport::Method),
        ] {
            assert_eq!(open.observe(b"u-1", written, &POLICY), Err(wrong), "{written}");
        }
        assert_eq!(open.decoder.reports(), 0);
        open.observe(b"u-1", &good, &POLICY).unwrap();
        assert_eq!(open.decoder.reports(), 1);
    }

    #[test]
    fn whoever_withdraws_is_taken_out_and_leaves_nothing() {
        for method in [Method::Kary, Method::Unary, Method::Projective] {
            let survey = survey(method, "1");
            let reports: Vec<String> = (0..4).map(|answer| report(&survey, answer)).collect();
            let (mut one, mut other) = (open(survey.clone()), open(survey));
            for (unit, report) in reports.iter().enumerate() {
                one.observe(&[1, unit as u8], report, &POLICY).unwrap();
            }
            one.withdraw(&[1, 2]);
            one.withdraw(&[1, 2]);
            one.withdraw(b"never seen");
            for (unit, report) in reports.iter().enumerate().filter(|(unit, _)| *unit != 2) {
                other.observe(&[1, unit as u8], report, &POLICY).unwrap();
            }
            assert!(one.reporters.reports.of(2).iter().all(|byte| *byte == 0));
            assert_eq!(one.decoder.reports(), 3);
            assert_eq!(counted(one), counted(other), "{method:?}");
        }
    }

    proptest! {
        /// However units report and withdraw, what is counted is what a window would hold in which those who are
        /// left reported once and nobody else ever did.
        #[test]
        fn what_is_counted_is_the_first_report_of_whoever_is_left(
            steps in prop::collection::vec((0_u8..6, prop::option::weighted(0.7, 0_u32..4)), 0..40),
            method in prop::sample::select(vec![Method::Kary, Method::Unary, Method::Projective]),
        ) {
            let survey = survey(method, "1");
            let reports: Vec<String> = (0..4).map(|answer| report(&survey, answer)).collect();
            let (mut open, mut fresh, mut left) = (open(survey.clone()), open(survey), BTreeMap::new());
            for (unit, step) in steps {
                match step {
                    Some(answer) => {
                        open.observe(&[unit], &reports[answer as usize], &POLICY).unwrap();
                        left.entry(unit).or_insert(answer);
                    }
                    None => {
                        open.withdraw(&[unit]);
                        left.remove(&unit);
                    }
                }
            }
            for (unit, answer) in &left {
                fresh.observe(&[*unit], &reports[*answer as usize], &POLICY).unwrap();
            }
            prop_assert_eq!(open.decoder.reports() as usize, left.len());
            prop_assert_eq!(counted(open), counted(fresh));
        }
    }

    #[test]
    fn a_window_with_too_many_units_is_given_up() {
        let survey = Survey { units_max: 2.try_into().unwrap(), ..survey(Method::Kary, "1") };
        let report = report(&survey, 0);
        let mut open = open(survey);
        for unit in [b"a", b"b", b"a", b"c", b"b"] {
            open.observe(unit, &report, &POLICY).unwrap();
        }
        assert!(open.close(at(NOON + 3600)).is_none());
    }
}
