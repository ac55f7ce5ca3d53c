//! What one window has counted so far: bound and aggregate, in one step.
//!
//! Promise: a tally changes by what contribution bounding lets through, tells
//! nobody what that was, and gives up whole when more units come than it may
//! hold.
//!
//! Not here: when a window begins and ends ([`crate::window`]).

use crate::bound::{Bounded, ContributionBounder};
use crate::exact::Exact;
use crate::query::Query;
use crate::tag::NoRandomness;

/// The exact counts of one window, and what each unit put into them.
pub(crate) struct Tally {
    keys: usize,
    bounder: ContributionBounder,
    counts: Exact<Vec<i64>>,
    overflowed: bool,
}

impl Tally {
    /// Nothing counted yet, under a fresh window key.
    pub(crate) fn new(query: &Query) -> Result<Self, NoRandomness> {
        let keys = query.keys.len();
        let bounder = ContributionBounder::new(query.bounds(), query.admission)?;
        Ok(Self { keys, bounder, counts: Exact::new(vec![0; keys]), overflowed: false })
    }

    /// Counts one row of `unit` in the key at index `key`, within the bounds.
    pub(crate) fn observe(&mut self, unit: &[u8], key: usize) {
        if self.overflowed || key >= self.keys {
            return;
        }
        // There are at most KEYS_MAX keys, so an index fits.
        match self.bounder.bound(unit, key as u32) {
            Bounded::Counts => self.change(key, 1),
            Bounded::Ignored => {}
            Bounded::Overflow => self.overflowed = true,
        }
    }

    /// Removes all that a unit contributed. From here on it may contribute
    /// again, if it is observed again.
    pub(crate) fn withdraw(&mut self, unit: &[u8]) {
        for (key, rows) in self.bounder.withdraw(unit) {
            self.change(key as usize, -i64::from(rows));
        }
    }

    /// The counts; `None` when more units came than it may hold.
    pub(crate) fn finish(self) -> Option<Exact<Vec<i64>>> {
        (!self.overflowed).then_some(self.counts)
    }

    fn change(&mut self, key: usize, by: i64) {
        if let Some(count) = self.counts.value_mut().get_mut(key) {
            *count = count.saturating_add(by);
        }
    }
}
