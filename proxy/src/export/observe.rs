//! Observe, bound, aggregate: the windows that are being counted.
//!
//! Promise: a slot holds at most two open windows, the second one only where
//! events have times of their own, and a bounded number of closed ones that wait
//! for the noise thread. A closed window is never opened again. Observing bounds
//! and aggregates in one step under one lock, and tells its caller nothing.
//! When a window closes and when it is due follow from its schedule alone.
//!
//! Not here: where windows begin, and which may be published
//! ([`privet_dp::schedule`]).

use std::collections::VecDeque;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use privet_dp::NoRandomness;
use privet_dp::fleet::{Fleet, Ring};
use privet_dp::ledger::{Claim, Ledger};
use privet_dp::schedule::{Late, Mark, Schedule};
use privet_dp::window::{PolicyDigest, Window};
use privet_ldp::NotAReport;

use super::counted::{Closed, Counted, Open};
use super::plan::{Plan, Plans, SurveyPlan};
use super::ring::RingAge;
use super::{PolicyChange, Report, Row, Withheld};

/// How many closed windows of one export may wait.
const WAITING_MAX: usize = 4;

/// What all windows of a line have around them.
#[derive(Clone)]
pub(super) struct Surroundings {
    /// The shards of this fleet, where it has any.
    pub(super) ring: Option<Arc<Ring>>,
    /// How old it is.
    pub(super) ring_age: RingAge,
    /// When load was shed last, in seconds since the epoch. Requests set it; windows compare.
    pub(super) last_shed: Arc<LastShed>,
}

/// When load was shed last, if ever.
pub(super) struct LastShed(AtomicI64);

impl Default for LastShed {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl LastShed {
    pub(super) fn note(&self, now: Timestamp) {
        self.0.fetch_max(now.as_second(), Ordering::Relaxed);
    }

    /// Whether load was shed in that second or after it. A clock that goes back marks too many windows, and none too few.
    fn is_since(&self, from: Timestamp) -> bool {
        self.0.load(Ordering::Relaxed) >= from.as_second()
    }
}

/// A window that is over, to be released when it is due.
pub(super) struct Waiting {
    pub(super) counted: Counted,
    pub(super) window: Window,
    /// Fixed by the schedule, unless the window was ended by choice.
    pub(super) due: Timestamp,
    ended: Ended,
}

/// What waits of a window.
enum Ended {
    /// All of it, so that a withdrawal still takes its unit out; counting ended then.
    Whole(Box<Open>, Timestamp),
    /// Its counts, or why there are none.
    Counts(Box<Result<Closed, Withheld>>),
}

impl Ended {
    fn withheld(why: Withheld) -> Self {
        Self::Counts(Box::new(Err(why)))
    }

    fn into_counts(self) -> Result<Closed, Withheld> {
        match self {
            Self::Whole(open, until) => open.close(until).ok_or(Withheld::TooManyUnits),
            Self::Counts(counts) => *counts,
        }
    }
}

impl Waiting {
    /// Its counts, or why it is withheld. From here on no unit can be told from another.
    pub(super) fn into_counts(self) -> Result<Closed, Withheld> {
        self.ended.into_counts()
    }

    /// Takes a unit out, if the window can still tell its units apart.
    pub(super) fn withdraw(&mut self, unit: &[u8]) {
        if let Ended::Whole(open, _) = &mut self.ended {
            open.withdraw(unit);
        }
    }
}

/// Windows of earlier policies.
pub(super) type Draining = VecDeque<Waiting>;

/// How open windows are ended before their time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Early {
    /// Those that may be published so; the others go on.
    Flush,
    /// All: the process stops. Those that may not be published are given up.
    Drain,
}

/// The exports of one policy.
pub(super) struct Generation {
    policy: PolicyDigest,
    slots: Vec<Slot>,
    /// Those of surveys.
    surveys: Vec<Slot>,
}

impl Generation {
    /// Opens a window for each plan at once.
    pub(super) fn open(
        plans: &Plans,
        policy: PolicyDigest,
        around: &Surroundings,
        now: Timestamp,
    ) -> Result<Self, NoRandomness> {
        let generation = Self::closed(plans, policy, around);
        generation.slots().try_for_each(|slot| slot.lock().tick(now))?;
        Ok(generation)
    }

    fn closed(plans: &Plans, policy: PolicyDigest, around: &Surroundings) -> Self {
        let slots = plans.exports.iter().map(|plan| Slot::new(plan, policy, around));
        let surveys = plans.surveys.iter().map(|plan| Slot::of_survey(plan, policy, around));
        Self { policy, slots: slots.collect(), surveys: surveys.collect() }
    }

    /// Leaves every export closed until a window of its begins.
    pub(super) fn from_next_boundary(
        plans: &Plans,
        policy: PolicyDigest,
        around: &Surroundings,
        now: Timestamp,
    ) -> Result<Self, NoRandomness> {
        let generation = Self::closed(plans, policy, around);
        for slot in generation.slots() {
            let mut state = slot.lock();
            let current = state.schedule().tiling().window_at(now.as_second());
            state.opens_at = (current.start() < now).then_some(current.end());
            state.tick(now)?;
        }
        Ok(generation)
    }

    pub(super) const fn policy(&self) -> &PolicyDigest {
        &self.policy
    }

    pub(super) fn slot(&self, export: usize) -> Option<&Slot> {
        self.slots.get(export)
    }

    pub(super) fn survey(&self, survey: usize) -> Option<&Slot> {
        self.surveys.get(survey)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter().chain(&self.surveys)
    }

    /// Ends all windows of a policy that is replaced.
    pub(super) fn retire(&self, now: Timestamp, change: PolicyChange, draining: &mut Draining) {
        for slot in self.slots() {
            let mut state = slot.lock();
            state.retired = true;
            let open = [state.held.take(), state.open.take()];
            for counting in open.into_iter().flatten() {
                match change {
                    PolicyChange::Tightens => counting.window.abort(),
                    PolicyChange::Loosens => state.end(counting, now),
                }
            }
            draining.extend(state.waiting.drain(..));
        }
    }
}

/// One export's windows. Locked by requests for one observation, and by the
/// noise thread to take closed windows out.
pub(super) struct Slot {
    /// Whose units count here, in a fleet that shares them.
    ring: Option<Arc<Ring>>,
    state: Mutex<SlotState>,
}

struct SlotState {
    counted: Counted,
    policy: PolicyDigest,
    around: Surroundings,
    /// The window that events arrive in.
    open: Option<Counting>,
    /// The window before, held open for late events.
    held: Option<Counting>,
    waiting: VecDeque<Waiting>,
    /// Before this no window opens.
    opens_at: Option<Timestamp>,
    /// The window that was open last, and how many parts of it.
    last: Option<(Window, u32)>,
    retired: bool,
}

/// An open window, and since when events may have counted in it.
struct Counting {
    window: Open,
    since: Timestamp,
}

impl Slot {
    /// A sharded export without a ring owns no unit, and opens no window.
    fn new(plan: &Plan, policy: PolicyDigest, around: &Surroundings) -> Self {
        let shares = plan.query.fleet == Fleet::UserSharded;
        let ring = around.ring.clone().filter(|_| shares);
        // Tables that are posted are no windows to count in.
        let retired = plan.contract.is_none() || (shares && ring.is_none());
        Self::of(Counted::Query(Arc::clone(&plan.query)), policy, Surroundings { ring, ..around.clone() }, retired)
    }

    /// Every pod publishes the reports that it has.
    fn of_survey(plan: &SurveyPlan, policy: PolicyDigest, around: &Surroundings) -> Self {
        let around = Surroundings { ring: None, ..around.clone() };
        Self::of(Counted::Survey(Arc::clone(&plan.survey)), policy, around, false)
    }

    fn of(counted: Counted, policy: PolicyDigest, around: Surroundings, retired: bool) -> Self {
        let ring = around.ring.clone();
        let state = SlotState {
            counted,
            policy,
            around,
            open: None,
            held: None,
            waiting: VecDeque::new(),
            opens_at: None,
            last: None,
            retired,
        };
        Self { ring, state: Mutex::new(state) }
    }

    // A panic elsewhere under this lock leaves counts that are bounded all the same.
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one row of a unit that this pod owns. `event_secs` is the event's
    /// own time, in seconds since the epoch, where it has one.
    pub(super) fn observe(&self, row: Row<'_>, now: Timestamp) {
        if self.ring.as_ref().is_some_and(|ring| !ring.owns(row.unit)) {
            return;
        }
        let mut state = self.lock();
        // Without randomness for a new window's key nothing is counted; the noise thread says so.
        if state.tick(now).is_ok() {
            let policy = state.policy;
            if let Some(counting) = state.window_of(row.event_secs, now) {
                counting.window.observe(row, &policy);
            }
        }
    }

    /// Counts one report.
    ///
    /// # Errors
    /// What is no report of this survey's question.
    pub(super) fn observe_report(&self, report: Report<'_>, now: Timestamp) -> Result<(), NotAReport> {
        let mut state = self.lock();
        if state.tick(now).is_err() {
            return Ok(());
        }
        let policy = state.policy;
        let counting = state.window_of(report.event_secs, now);
        counting.map_or(Ok(()), |counting| counting.window.observe_report(report, &policy))
    }

    pub(super) fn withdraw(&self, unit: &[u8]) {
        let mut state = self.lock();
        let SlotState { open, held, waiting, .. } = &mut *state;
        open.iter_mut().chain(held).for_each(|counting| counting.window.withdraw(unit));
        waiting.iter_mut().for_each(|waiting| waiting.withdraw(unit));
    }

    /// What the release of the open window will ask the ledger for, if it will cost
    /// something and nothing is known yet for which it would be withheld.
    pub(super) fn claim_ahead(&self, ledger: &Ledger) -> Option<Claim> {
        let mut state = self.lock();
        let SlotState { open, around, counted, .. } = &mut *state;
        let open = open.as_mut()?;
        open.mark_if_shed(&around.last_shed);
        if counted.schedule().withheld_for(open.window.marks()).is_some() {
            return None;
        }
        let (window, parts) = state.last?;
        let Counted::Query(query) = &state.counted else { return None };
        Claim::of(query, &state.policy, window, ledger.shard(parts.checked_sub(1)?)).ok()
    }

    /// Rolls the windows over if their time has come; takes what is due.
    pub(super) fn due(&self, now: Timestamp) -> (Result<(), NoRandomness>, Vec<Waiting>) {
        let mut state = self.lock();
        let rolled = state.tick(now);
        let (due, later) = state.waiting.drain(..).partition(|waiting: &Waiting| waiting.due <= now);
        state.waiting = VecDeque::from_iter::<Vec<Waiting>>(later);
        (rolled, due)
    }

    /// Ends open windows before their time and takes all that waits; after a
    /// flush, opens the next part where the schedule has one.
    pub(super) fn end_early(&self, early: Early, now: Timestamp) -> (Result<(), NoRandomness>, Vec<Waiting>) {
        let mut state = self.lock();
        let rolled = state.tick(now);
        state.held = state.held.take().and_then(|held| state.end_now(held, early, now));
        state.open = state.open.take().and_then(|open| state.end_now(open, early, now));
        state.retired |= early == Early::Drain;
        let opened = rolled.and_then(|()| state.tick(now));
        (opened, state.waiting.drain(..).collect())
    }
}

impl Counting {
    fn mark_if_shed(&mut self, last_shed: &LastShed) {
        if last_shed.is_since(self.since) {
            self.window.mark(Mark::Shed);
        }
    }
}

impl SlotState {
    fn schedule(&self) -> &Schedule {
        self.counted.schedule()
    }

    /// Closes what is over and opens the window that has begun.
    fn tick(&mut self, now: Timestamp) -> Result<(), NoRandomness> {
        self.roll(now);
        let may_open = self.open.is_none() && !self.retired && self.opens_at.is_none_or(|at| at <= now);
        if may_open { self.open(now) } else { Ok(()) }
    }

    /// A window that has ended is held as long as its schedule says, or until the one after it ends.
    fn roll(&mut self, now: Timestamp) {
        let ended = self.open.take_if(|open| open.window.window().is_over(now));
        let over = |held: &mut Counting| ended.is_some() || self.counted.schedule().closes(held.window.window()) <= now;
        if let Some(held) = self.held.take_if(over) {
            self.end_whole(held);
        }
        if let Some(ended) = ended {
            if self.closes(&ended) <= now { self.end_whole(ended) } else { self.held = Some(ended) }
        }
    }

    fn open(&mut self, now: Timestamp) -> Result<(), NoRandomness> {
        let window = self.schedule().tiling().window_at(now.as_second());
        let part = self.last.filter(|(last, _)| *last == window).map_or(0, |(_, parts)| parts);
        let in_turmoil = self.around.ring.is_some() && self.around.ring_age.changed_twice_in(window);
        if part >= self.schedule().releases_max() || in_turmoil {
            self.opens_at = Some(window.end());
            return Ok(());
        }
        let follows =
            self.last.is_some_and(|(last, _)| last.end() == window.start()) || self.opens_at == Some(window.start());
        let from = if follows { window.start() } else { whole_second_from(now) };
        self.opens_at = None;
        let opened = self.counted.open(window, self.policy, from, part);
        if opened.is_err() {
            // The next window to open does not follow on the one before.
            self.last = self.last.filter(|(last, _)| *last == window);
        }
        let mut opened = opened?.shared_by(self.around.ring.as_ref().map(|ring| ring.place()));
        if self.around.ring.is_some() && self.around.ring_age.changed_in(window) {
            opened.mark(Mark::RingChanged);
        }
        self.last = Some((window, part + 1));
        self.open = Some(Counting { window: opened, since: from.min(now) });
        Ok(())
    }

    /// The open window that an event counts in, if any.
    ///
    /// Without a time of its own it is the one that it arrives in. A time in the
    /// future is now.
    fn window_of(&mut self, event_secs: Option<i64>, now: Timestamp) -> Option<&mut Counting> {
        let (Some(time), Some(at)) = (self.schedule().event_time(), event_secs) else { return self.open.as_mut() };
        let at = at.min(now.as_second());
        let begun = |counting: &Counting| counting.window.window().start_secs() <= at;
        if self.open.as_ref().is_some_and(begun) {
            return self.open.as_mut();
        }
        let ended = |counting: &Counting| counting.window.window().end().as_second() <= at;
        let in_held = self.held.as_ref().is_some_and(|held| begun(held) && !ended(held));
        match time.late {
            _ if in_held => self.held.as_mut(),
            Late::Drop => None,
            // The first window that is still open.
            Late::NextWindow => self.held.as_mut().or(self.open.as_mut()),
        }
    }

    /// When counting in a window ends.
    fn closes(&self, counting: &Counting) -> Timestamp {
        self.schedule().closes(counting.window.window())
    }

    /// Ends a window whose time has come; it is due at its slot.
    fn end_whole(&mut self, counting: Counting) {
        let end = counting.window.window().end();
        let due = later(self.closes(&counting), self.schedule().publish_after_secs());
        self.wait_for(counting, end, due, self.schedule().publish_after_secs() > 0);
    }

    /// Ends a window where it is; it is due when it would have been.
    fn end(&mut self, mut counting: Counting, now: Timestamp) {
        if now < self.closes(&counting) {
            counting.window.mark(Mark::Drained);
        }
        let due = later(self.closes(&counting), self.schedule().publish_after_secs());
        self.wait_for(counting, now, due, false);
    }

    /// Ends a window by choice, now, unless it could not be published; gives it back then, if it goes on.
    fn end_now(&mut self, mut counting: Counting, early: Early, now: Timestamp) -> Option<Counting> {
        counting.mark_if_shed(&self.around.last_shed);
        let marks = counting.window.marks().with(Mark::Drained);
        if early == Early::Flush && self.schedule().withheld_for(marks).is_some() {
            return Some(counting);
        }
        counting.window.mark(Mark::Drained);
        self.wait_for(counting, now, now, false);
        None
    }

    /// Keeps a window until it is due: whole, as long as it is the only one of this
    /// export to be kept so; what may not be published is not kept.
    fn wait_for(&mut self, mut counting: Counting, until: Timestamp, due: Timestamp, whole: bool) {
        counting.mark_if_shed(&self.around.last_shed);
        let Counting { window: open, .. } = counting;
        let (window, marks) = (open.window(), open.marks());
        let ended = match self.schedule().withheld_for(marks) {
            Some(mark) => Ended::withheld(Withheld::Marked(mark)),
            None if self.waiting.len() >= WAITING_MAX => Ended::withheld(Withheld::Backlog),
            None if whole => Ended::Whole(Box::new(open), until),
            None => Ended::Counts(Box::new(open.close(until).ok_or(Withheld::TooManyUnits))),
        };
        if matches!(ended, Ended::Whole(..)) {
            self.finish_waiting();
        }
        // Beyond twice the bound not even the word "withheld" is kept.
        if self.waiting.len() < 2 * WAITING_MAX {
            self.waiting.push_back(Waiting { counted: self.counted.clone(), window, due, ended });
        }
    }

    fn finish_waiting(&mut self) {
        for waiting in &mut self.waiting {
            let ended = std::mem::replace(&mut waiting.ended, Ended::withheld(Withheld::Backlog));
            waiting.ended = Ended::Counts(Box::new(ended.into_counts()));
        }
    }
}

/// So many seconds later.
fn later(at: Timestamp, secs: u64) -> Timestamp {
    at.saturating_add(SignedDuration::from_secs(i64::try_from(secs).unwrap_or(i64::MAX))).unwrap_or(Timestamp::MAX)
}

/// The first whole second that is not before `now`: a receipt never claims a
/// second that was not counted to its end.
fn whole_second_from(now: Timestamp) -> Timestamp {
    let second = now.as_second() + i64::from(now.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::super::plan::tests::planned;
    use super::*;

    const NOON: i64 = 1_795_262_400;

    fn slot(late: &str) -> Slot {
        let window = "window: {length: 1h, time: originalTimestamp, allowed_lateness: 20m, late: LATE, publish_marked: [restart]}";
        let plan = planned("window: {length: 1h}", &window.replace("LATE", late));
        Slot::new(&plan, [7; 32], &around())
    }

    /// A window that will be withheld anyway takes nothing from a budget that pods share.
    #[test]
    fn only_a_window_that_may_be_published_is_paid_for_ahead() {
        let directory = tempfile::tempdir().unwrap();
        let ledger = Ledger::open(&directory.path().join("ledger.redb")).unwrap();
        let begun = Timestamp::from_second(NOON + 60).unwrap();
        for (publish_marked, ahead) in [("", false), ("restart", true)] {
            let written = format!("window: {{length: 1h, publish_marked: [{publish_marked}]}}");
            let plan = planned("window: {length: 1h}", &written);
            let around = around();
            let slot = Slot::new(&plan, [7; 32], &around);
            assert!(slot.claim_ahead(&ledger).is_none(), "nothing is open");
            slot.lock().tick(begun).unwrap();
            assert_eq!(slot.claim_ahead(&ledger).is_some(), ahead, "it opened late: {written}");
            around.last_shed.note(begun);
            assert!(slot.claim_ahead(&ledger).is_none(), "load was shed in it");
        }
    }

    fn around() -> Surroundings {
        Surroundings {
            ring: None,
            ring_age: RingAge { since: Timestamp::UNIX_EPOCH, before: Timestamp::UNIX_EPOCH },
            last_shed: Arc::default(),
        }
    }

    fn starts(state: &SlotState) -> Vec<i64> {
        state.held.iter().chain(&state.open).map(|counting| counting.window.window().start_secs()).collect()
    }

    proptest! {
        /// Whatever time an event claims, it counts in an open window: its own where that is open; and no window that
        /// was closed is open again.
        #[test]
        fn an_event_counts_in_an_open_window_and_none_is_opened_again(
            steps in prop::collection::vec((0_i64..2_500, -9_000_i64..4_000), 1..60),
            drops: bool,
        ) {
            let slot = slot(if drops { "drop" } else { "next_window" });
            let (mut state, mut now) = (slot.lock(), NOON);
            let (mut closed, mut open) = (HashSet::new(), Vec::new());
            for (later, offset) in steps {
                now += later;
                let at = Timestamp::from_second(now).unwrap();
                state.tick(at).unwrap();
                state.waiting.clear();
                let opened = starts(&state);
                prop_assert!((1..=2).contains(&opened.len()));
                closed.extend(open.into_iter().filter(|start| !opened.contains(start)));
                prop_assert!(opened.iter().all(|start| !closed.contains(start)));
                let time = now + offset;
                let own = time.min(now).div_euclid(3600) * 3600;
                let counted = state.window_of(Some(time), at).map(|counting| counting.window.window().start_secs());
                match opened.contains(&own) {
                    true => prop_assert_eq!(counted, Some(own)),
                    false if drops => prop_assert_eq!(counted, None),
                    false => prop_assert_eq!(counted, opened.first().copied()),
                }
                open = opened;
            }
        }
    }
}
