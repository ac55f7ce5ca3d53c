//! Observe, bound, aggregate: the windows that are being counted.
//!
//! Promise: a slot holds one open window and a bounded number of closed ones
//! that wait for the noise thread. Observing bounds and aggregates in one step
//! under one lock, and tells its caller nothing.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use privet_dp::NoRandomness;
use privet_dp::query::Query;
use privet_dp::window::{ClosedWindow, OpenWindow, PolicyDigest, Window};

use super::plan::Plan;
use super::{PolicyChange, Withheld};

/// How many closed windows of one export may wait.
const WAITING_MAX: usize = 4;

/// A window that is over, to be released when it is due.
pub(super) struct Waiting {
    pub(super) query: Arc<Query>,
    pub(super) window: Window,
    /// Never before the window's end, unless it was flushed by choice.
    pub(super) due: Timestamp,
    pub(super) closed: Result<ClosedWindow, Withheld>,
}

/// Windows of earlier policies.
pub(super) type Draining = VecDeque<Waiting>;

/// The exports of one policy.
pub(super) struct Generation {
    policy: PolicyDigest,
    slots: Vec<Slot>,
}

impl Generation {
    /// Opens a window for each plan at once.
    pub(super) fn open(plans: &[Plan], policy: PolicyDigest, now: Timestamp) -> Result<Self, NoRandomness> {
        let slots = plans.iter().map(|plan| Slot::new(plan, policy));
        let generation = Self { policy, slots: slots.collect() };
        generation.slots.iter().try_for_each(|slot| slot.lock().open(now))?;
        Ok(generation)
    }

    /// Leaves every export closed until a window of its begins.
    pub(super) fn from_next_boundary(
        plans: &[Plan],
        policy: PolicyDigest,
        now: Timestamp,
    ) -> Result<Self, NoRandomness> {
        let slots = plans.iter().map(|plan| {
            let slot = Slot::new(plan, policy);
            let current = plan.query.schedule.tiling().window_at(now.as_second());
            slot.lock().opens_at = (current.start() < now).then_some(current.end());
            slot
        });
        let generation = Self { policy, slots: slots.collect() };
        generation.slots.iter().try_for_each(|slot| slot.lock().tick(now))?;
        Ok(generation)
    }

    pub(super) const fn policy(&self) -> &PolicyDigest {
        &self.policy
    }

    pub(super) fn slot(&self, export: usize, policy: &PolicyDigest) -> Option<&Slot> {
        self.slots.get(export).filter(|_| policy == &self.policy)
    }

    pub(super) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.slots.iter()
    }

    /// Ends all windows of a policy that is replaced.
    pub(super) fn retire(&self, now: Timestamp, change: PolicyChange, draining: &mut Draining) {
        for slot in &self.slots {
            let mut state = slot.lock();
            state.retired = true;
            let open = state.open.take();
            match (open, change) {
                (Some(open), PolicyChange::Tightens) => open.abort(),
                (Some(open), PolicyChange::Loosens) => {
                    let due = open.window().end();
                    state.wait_for(open, now, due);
                }
                (None, _) => {}
            }
            draining.extend(state.waiting.drain(..));
        }
    }
}

/// One export's windows. Locked by requests for one observation, and by the
/// noise thread to take closed windows out.
pub(super) struct Slot(Mutex<SlotState>);

struct SlotState {
    query: Arc<Query>,
    policy: PolicyDigest,
    open: Option<OpenWindow>,
    waiting: VecDeque<Waiting>,
    /// Before this no window opens.
    opens_at: Option<Timestamp>,
    /// The window last closed, and how many parts of it.
    last: Option<(Window, u32)>,
    retired: bool,
}

impl Slot {
    fn new(plan: &Plan, policy: PolicyDigest) -> Self {
        let query = Arc::clone(&plan.query);
        Self(Mutex::new(SlotState {
            query,
            policy,
            open: None,
            waiting: VecDeque::new(),
            opens_at: None,
            last: None,
            retired: false,
        }))
    }

    // A panic elsewhere under this lock leaves counts that are bounded all the same.
    fn lock(&self) -> MutexGuard<'_, SlotState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn observe(&self, unit: &[u8], key: usize, now: Timestamp) {
        let mut state = self.lock();
        // Without randomness for a new window's key nothing is counted; the noise thread says so.
        if state.tick(now).is_ok() {
            let policy = state.policy;
            if let Some(open) = &mut state.open {
                open.observe(unit, key, &policy);
            }
        }
    }

    pub(super) fn withdraw(&self, unit: &[u8]) {
        if let Some(open) = &mut self.lock().open {
            open.withdraw(unit);
        }
    }

    /// Rolls the window over if its time has come; takes what is due.
    pub(super) fn due(&self, now: Timestamp) -> (Result<(), NoRandomness>, Vec<Waiting>) {
        let mut state = self.lock();
        let rolled = state.tick(now);
        let (due, later) = state.waiting.drain(..).partition(|waiting: &Waiting| waiting.due <= now);
        state.waiting = VecDeque::from_iter::<Vec<Waiting>>(later);
        (rolled, due)
    }

    /// Ends the open window before its time, and opens its next part.
    pub(super) fn flush(&self, now: Timestamp) -> (Result<(), NoRandomness>, Vec<Waiting>) {
        let mut state = self.lock();
        if let Some(open) = state.open.take() {
            state.wait_for(open, now, now);
        }
        let opened = state.tick(now);
        (opened, state.waiting.drain(..).collect())
    }
}

impl SlotState {
    /// Closes the window that is over and opens the one that has begun.
    fn tick(&mut self, now: Timestamp) -> Result<(), NoRandomness> {
        if let Some(open) = self.open.take_if(|open| open.window().is_over(now)) {
            let end = open.window().end();
            self.wait_for(open, end, end);
        }
        let may_open = self.open.is_none() && !self.retired && self.opens_at.is_none_or(|at| at <= now);
        if may_open { self.open(now) } else { Ok(()) }
    }

    fn open(&mut self, now: Timestamp) -> Result<(), NoRandomness> {
        let window = self.query.schedule.tiling().window_at(now.as_second());
        let part = self.last.filter(|(last, _)| *last == window).map_or(0, |(_, parts)| parts);
        let follows =
            self.last.is_some_and(|(last, _)| last.end() == window.start()) || self.opens_at == Some(window.start());
        let from = if follows { window.start() } else { whole_second_from(now) };
        self.opens_at = None;
        let opened = OpenWindow::open(Arc::clone(&self.query), window, self.policy, from, part);
        if opened.is_err() {
            // The next window to open does not follow on the one before.
            self.last = self.last.filter(|(last, _)| *last == window);
        }
        self.open = Some(opened?);
        Ok(())
    }

    /// Closes a window and keeps it until it is due.
    fn wait_for(&mut self, open: OpenWindow, now: Timestamp, due: Timestamp) {
        let (window, part) = (open.window(), open.part());
        self.last = Some((window, part + 1));
        let closed = match open.close(now) {
            _ if self.waiting.len() >= WAITING_MAX => Err(Withheld::Backlog),
            closed => closed.ok_or(Withheld::TooManyUnits),
        };
        // Beyond twice the bound not even the word "withheld" is kept.
        if self.waiting.len() < 2 * WAITING_MAX {
            self.waiting.push_back(Waiting { query: Arc::clone(&self.query), window, due, closed });
        }
    }
}

/// The first whole second that is not before `now`: a receipt never claims a
/// second that was not counted to its end.
fn whole_second_from(now: Timestamp) -> Timestamp {
    let second = now.as_second() + i64::from(now.subsec_nanosecond() > 0);
    Timestamp::from_second(second).unwrap_or(now)
}
