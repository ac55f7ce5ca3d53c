//! Contribution bounding: what one privacy unit may add in one window.
//!
//! Promise: adding or removing one unit's events changes at most
//! `keys_per_unit` counts, each by at most `rows_per_key`, and changes nothing
//! about any other unit (the transformation is 1-stable). So the choice of what
//! counts depends on the unit's own events alone: its first keys, its first
//! rows, in the order they came.
//!
//! Hence there is no first-come table, where one more unit could push another
//! out. A unit is admitted by its own lot, against a threshold that is public
//! and fixed before the window opens. Memory is bounded by giving the whole
//! window up when there are more units than it may hold.
//!
//! Not promised: that a window is published. Whether one was given up depends
//! on the data, and every receipt says that epsilon does not cover it.

use std::collections::HashMap;
use std::hash::BuildHasherDefault;
use std::num::NonZeroU64;

use thiserror::Error;
use zeroize::Zeroize;

use crate::tag::{AsItIs, NoRandomness, Tag, WindowKey};

/// The largest value of either bound. Keeps every sensitivity below 2^32 and
/// its square within 128-bit arithmetic.
pub const BOUND_MAX: u64 = 1 << 16;

/// How much one unit may contribute to one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContributionBounds {
    keys_per_unit: u32,
    rows_per_key: u32,
}

/// Why two numbers are no contribution bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotBounds {
    /// `keys_per_unit` is zero or too large.
    #[error("`keys_per_unit` must be from 1 to {BOUND_MAX}")]
    KeysPerUnit,
    /// `rows_per_key` is zero or too large.
    #[error("`rows_per_key` must be from 1 to {BOUND_MAX}")]
    RowsPerKey,
}

impl ContributionBounds {
    /// At most `keys_per_unit` keys (L0) and `rows_per_key` rows in each (Linf).
    ///
    /// # Errors
    /// Bounds of zero or above [`BOUND_MAX`].
    pub fn new(keys_per_unit: u64, rows_per_key: u64) -> Result<Self, NotBounds> {
        let within = |bound: u64| u32::try_from(bound).ok().filter(|_| (1..=BOUND_MAX).contains(&bound));
        Ok(Self {
            keys_per_unit: within(keys_per_unit).ok_or(NotBounds::KeysPerUnit)?,
            rows_per_key: within(rows_per_key).ok_or(NotBounds::RowsPerKey)?,
        })
    }

    /// L0: how many keys.
    #[must_use]
    pub const fn keys_per_unit(self) -> u32 {
        self.keys_per_unit
    }

    /// Linf: how many rows in a key.
    #[must_use]
    pub const fn rows_per_key(self) -> u32 {
        self.rows_per_key
    }

    /// The L1 sensitivity of a table of counts: `l0 * linf`.
    #[must_use]
    pub fn sensitivity_l1(self) -> u64 {
        u64::from(self.keys_per_unit) * u64::from(self.rows_per_key)
    }

    /// The square of the L2 sensitivity of a table of counts: `l0 * linf^2`.
    #[must_use]
    pub fn sensitivity_l2_squared(self) -> u64 {
        self.sensitivity_l1() * u64::from(self.rows_per_key)
    }
}

/// Which units count, and how many may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Admission {
    /// A unit whose lot is above this does not count: `u64::MAX` admits all.
    pub lot_max: u64,
    /// More units than this, and the window is given up.
    pub units_max: NonZeroU64,
}

/// What a tag and its slot take in the hash table, at the moment it has just
/// doubled and the half as large one is still there.
const UNIT_BYTES: u64 = 72;
const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;

impl Admission {
    /// Admits every unit, and gives the window up where their table would
    /// outgrow `memory_bytes` or a million units.
    #[must_use]
    pub fn within_memory(memory_bytes: u64, bounds: ContributionBounds) -> Self {
        let unit_bytes = UNIT_BYTES + ENTRY_BYTES * u64::from(bounds.keys_per_unit);
        let units_max = NonZeroU64::new((memory_bytes / unit_bytes).min(1_000_000)).unwrap_or(NonZeroU64::MIN);
        Self { lot_max: u64::MAX, units_max }
    }
}

/// What became of one row.
///
/// For this crate alone: were it counted anywhere, that count would leave the
/// pod without noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounded {
    /// The key's count grows by one.
    Counts,
    /// The row is beyond the unit's bounds, has no unit, or its unit is not admitted.
    Ignored,
    /// There are too many units: the window is to be given up.
    Overflow,
}

#[derive(Clone, Copy, Default, Zeroize)]
struct Entry {
    key: u32,
    rows: u32,
}

/// What each unit has contributed to one window so far.
pub(crate) struct ContributionBounder {
    window_key: WindowKey,
    bounds: ContributionBounds,
    admission: Admission,
    slots: HashMap<Tag, u32, BuildHasherDefault<AsItIs>>,
    entries: Entries,
}

impl ContributionBounder {
    pub(crate) fn new(bounds: ContributionBounds, admission: Admission) -> Result<Self, NoRandomness> {
        Ok(Self {
            window_key: WindowKey::random()?,
            bounds,
            admission,
            slots: HashMap::default(),
            entries: Entries::new(bounds.keys_per_unit),
        })
    }

    /// Bounds one row of `unit` in the key at index `key`.
    pub(crate) fn bound(&mut self, unit: &[u8], key: u32) -> Bounded {
        if unit.is_empty() {
            return Bounded::Ignored;
        }
        let tagged = self.window_key.tag(unit);
        if tagged.lot > self.admission.lot_max {
            return Bounded::Ignored;
        }
        match self.slot(tagged.tag) {
            Some(slot) if self.entries.add(slot, key, self.bounds.rows_per_key) => Bounded::Counts,
            Some(_) => Bounded::Ignored,
            None => Bounded::Overflow,
        }
    }

    /// Forgets a unit; gives back what it had contributed, as keys and rows.
    pub(crate) fn withdraw(&mut self, unit: &[u8]) -> Vec<(u32, u32)> {
        let tagged = self.window_key.tag(unit);
        self.slots.remove(&tagged.tag).map(|slot| self.entries.take(slot)).unwrap_or_default()
    }

    fn slot(&mut self, tag: Tag) -> Option<u32> {
        if let Some(slot) = self.slots.get(&tag) {
            return Some(*slot);
        }
        if self.slots.len() as u64 >= self.admission.units_max.get() {
            return None;
        }
        let slot = self.entries.allot();
        self.slots.insert(tag, slot);
        Some(slot)
    }
}

/// The contributions of all units: `keys_per_unit` entries each, in chunks that
/// never move, so that no copy stays behind, and that are overwritten at the end.
struct Entries {
    per_unit: usize,
    units_per_chunk: usize,
    chunks: Vec<Box<[Entry]>>,
    allotted: u32,
    free: Vec<u32>,
}

impl Entries {
    fn new(keys_per_unit: u32) -> Self {
        let per_unit = keys_per_unit as usize;
        Self { per_unit, units_per_chunk: (8192 / per_unit).max(1), chunks: Vec::new(), allotted: 0, free: Vec::new() }
    }

    fn allot(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.allotted;
        self.allotted += 1;
        if slot as usize / self.units_per_chunk == self.chunks.len() {
            self.chunks.push(vec![Entry::default(); self.per_unit * self.units_per_chunk].into_boxed_slice());
        }
        slot
    }

    fn of(&mut self, slot: u32) -> &mut [Entry] {
        let (chunk, place) = (slot as usize / self.units_per_chunk, slot as usize % self.units_per_chunk);
        let start = place * self.per_unit;
        self.chunks
            .get_mut(chunk)
            .and_then(|chunk| chunk.get_mut(start..start + self.per_unit))
            .expect("a slot that was allotted has its chunk")
    }

    /// Adds a row where the unit's own bounds have room for it.
    fn add(&mut self, slot: u32, key: u32, rows_max: u32) -> bool {
        let room = self.of(slot).iter_mut().find(|entry| entry.rows == 0 || entry.key == key);
        match room {
            Some(entry) if entry.rows < rows_max => {
                *entry = Entry { key, rows: entry.rows + 1 };
                true
            }
            _ => false,
        }
    }

    fn take(&mut self, slot: u32) -> Vec<(u32, u32)> {
        let entries = self.of(slot);
        let taken = entries.iter().filter(|entry| entry.rows > 0).map(|entry| (entry.key, entry.rows)).collect();
        entries.fill(Entry::default());
        self.free.push(slot);
        taken
    }
}

impl Drop for Entries {
    fn drop(&mut self) {
        self.chunks.iter_mut().for_each(|chunk| chunk.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounder(l0: u64, linf: u64, units_max: u64) -> ContributionBounder {
        let admission = Admission { lot_max: u64::MAX, units_max: NonZeroU64::new(units_max).unwrap() };
        ContributionBounder::new(ContributionBounds::new(l0, linf).unwrap(), admission).unwrap()
    }

    /// The counts of a sequence of rows after bounding.
    fn counts(rows: &[(u8, u32)], l0: u64, linf: u64) -> Vec<i64> {
        let mut bounder = bounder(l0, linf, 1000);
        let mut counts = vec![0; 8];
        for (unit, key) in rows {
            if bounder.bound(&[*unit], *key) == Bounded::Counts {
                counts[*key as usize] += 1;
            }
        }
        counts
    }

    #[test]
    fn bounds_of_zero_are_refused() {
        assert_eq!(ContributionBounds::new(0, 1), Err(NotBounds::KeysPerUnit));
        assert_eq!(ContributionBounds::new(1, BOUND_MAX + 1), Err(NotBounds::RowsPerKey));
    }

    #[test]
    fn a_unit_fills_its_first_keys_and_no_more() {
        let rows = [(1, 0), (1, 0), (1, 0), (1, 0), (1, 5), (1, 6), (2, 6)];
        assert_eq!(counts(&rows, 2, 3), [3, 0, 0, 0, 0, 1, 1, 0]);
    }

    #[test]
    fn a_row_without_a_unit_is_ignored() {
        assert_eq!(bounder(1, 1, 10).bound(b"", 0), Bounded::Ignored);
    }

    #[test]
    fn one_unit_too_many_is_an_overflow_not_an_eviction() {
        let mut bounder = bounder(1, 2, 2);
        assert_eq!(
            [&b"a"[..], b"b", b"c", b"a"].map(|unit| bounder.bound(unit, 0)),
            [Bounded::Counts, Bounded::Counts, Bounded::Overflow, Bounded::Counts]
        );
    }

    #[test]
    fn admission_asks_each_unit_for_its_own_lot() {
        let admission = Admission { lot_max: u64::MAX / 4, units_max: NonZeroU64::new(100_000).unwrap() };
        let mut bounder = ContributionBounder::new(ContributionBounds::new(1, 1).unwrap(), admission).unwrap();
        let admitted = (0_u32..20_000).filter(|unit| bounder.bound(&unit.to_le_bytes(), 0) == Bounded::Counts).count();
        // Binomial(20000, 1/4): six standard deviations are 367; false alarm below 2e-9.
        assert!((4633..=5367).contains(&admitted), "{admitted}");
    }

    #[test]
    fn a_withdrawn_unit_takes_its_rows_with_it() {
        let mut bounder = bounder(2, 3, 10);
        for key in [4, 4, 1] {
            bounder.bound(b"a", key);
        }
        bounder.bound(b"b", 4);
        assert_eq!(bounder.withdraw(b"a"), [(4, 2), (1, 1)]);
        assert_eq!(bounder.withdraw(b"a"), []);
        assert_eq!(bounder.bound(b"c", 2), Bounded::Counts);
        assert_eq!(bounder.withdraw(b"c"), [(2, 1)]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Adding or removing one unit moves at most l0 counts, each by at
        /// most linf, whatever the others do and wherever its rows stand.
        #[test]
        fn one_unit_never_moves_an_aggregate_past_its_bounds(
            rows in prop::collection::vec((0_u8..6, 0_u32..8), 0..80),
            removed in 0_u8..6, l0 in 1_u64..5, linf in 1_u64..5,
        ) {
            let without: Vec<_> = rows.iter().copied().filter(|(unit, _)| *unit != removed).collect();
            let moved: Vec<i64> = counts(&rows, l0, linf).iter().zip(counts(&without, l0, linf)).map(|(with, without)| with - without).collect();
            prop_assert!(moved.iter().all(|moved| (0..=linf as i64).contains(moved)), "{moved:?}");
            prop_assert!(moved.iter().filter(|moved| **moved != 0).count() as u64 <= l0);
            let l1: i64 = moved.iter().sum();
            let bounds = ContributionBounds::new(l0, linf).unwrap();
            prop_assert!(l1 as u64 <= bounds.sensitivity_l1());
            let l2: i64 = moved.iter().map(|moved| moved * moved).sum();
            prop_assert!(l2 as u64 <= bounds.sensitivity_l2_squared());
        }

        /// Withdrawing a unit leaves the counts as if it had never come.
        #[test]
        fn a_withdrawal_undoes_all_of_a_unit(rows in prop::collection::vec((0_u8..6, 0_u32..8), 0..80), gone in 0_u8..6) {
            let mut bounder = bounder(3, 2, 1000);
            let mut left = vec![0_i64; 8];
            for (unit, key) in &rows {
                if bounder.bound(&[*unit], *key) == Bounded::Counts {
                    left[*key as usize] += 1;
                }
            }
            for (key, rows) in bounder.withdraw(&[gone]) {
                left[key as usize] -= i64::from(rows);
            }
            let without: Vec<_> = rows.iter().copied().filter(|(unit, _)| *unit != gone).collect();
            prop_assert_eq!(left, counts(&without, 3, 2));
        }
    }
}
