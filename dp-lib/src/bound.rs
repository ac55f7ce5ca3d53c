//! Contribution bounding: what one privacy unit may add in one window.
//!
//! Promise: of one unit at most `keys_per_unit` keys count, at most
//! `rows_per_key` rows in each, and at most `rows_per_unit` rows in all where
//! that is declared; adding or removing its events changes nothing about any
//! other unit (the transformation is 1-stable). So the choice of what
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

use crate::aggregate::{Aggregate, Detail};
use crate::tag::{AsItIs, NoRandomness, Tag, WindowKey};

/// The largest value of either bound. Keeps every sensitivity below 2^32 and
/// its square within 128-bit arithmetic.
pub const BOUND_MAX: u64 = 1 << 16;

/// How much one unit may contribute to one window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContributionBounds {
    keys_per_unit: u32,
    rows_per_key: u32,
    rows_per_unit: Option<u32>,
}

/// Why numbers are no contribution bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotBounds {
    /// `keys_per_unit` is zero or too large.
    #[error("`keys_per_unit` must be from 1 to {BOUND_MAX}")]
    KeysPerUnit,
    /// `rows_per_key` is zero or too large.
    #[error("`rows_per_key` must be from 1 to {BOUND_MAX}")]
    RowsPerKey,
    /// `rows_per_unit` is no bound of its own.
    #[error("`rows_per_unit` must be at least each of the other bounds, and below their product")]
    RowsPerUnit,
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
            rows_per_unit: None,
        })
    }

    /// The same, with at most `rows_per_unit` rows in all keys together (L1).
    ///
    /// # Errors
    /// A bound that is below another, or that the others hold anyway.
    pub fn with_rows_per_unit(self, rows_per_unit: u64) -> Result<Self, NotBounds> {
        let product = u64::from(self.keys_per_unit) * u64::from(self.rows_per_key);
        let least = u64::from(self.keys_per_unit.max(self.rows_per_key));
        let bound = u32::try_from(rows_per_unit).ok().filter(|_| (least..product).contains(&rows_per_unit));
        Ok(Self { rows_per_unit: Some(bound.ok_or(NotBounds::RowsPerUnit)?), ..self })
    }

    /// The bounds of distinct units: each key once.
    #[must_use]
    pub const fn of_units(self) -> Self {
        Self { keys_per_unit: self.keys_per_unit, rows_per_key: 1, rows_per_unit: None }
    }

    /// The same bounds where no more than `keys` keys are looked at.
    #[must_use]
    pub fn within_keys(self, keys: u32) -> Self {
        Self { keys_per_unit: self.keys_per_unit.min(keys.max(1)), ..self }
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

    /// L1: how many rows in all keys, where that is bounded by itself.
    #[must_use]
    pub const fn rows_per_unit(self) -> Option<u32> {
        self.rows_per_unit
    }

    /// The L1 norm of a unit's rows: `l0 * linf`, or `rows_per_unit`.
    #[must_use]
    pub fn rows_l1(self) -> u64 {
        let product = u64::from(self.keys_per_unit) * u64::from(self.rows_per_key);
        self.rows_per_unit.map_or(product, |rows| product.min(u64::from(rows)))
    }

    /// The square of the L2 norm of a unit's rows: largest where keys are
    /// filled one after the other, `l0 * linf^2` if all are full.
    #[must_use]
    pub fn rows_l2_squared(self) -> u64 {
        let (linf, rows) = (u64::from(self.rows_per_key), self.rows_l1());
        let (full, rest) = (rows / linf, rows % linf);
        full * linf * linf + rest * rest
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
pub(crate) const UNIT_BYTES: u64 = 72;
const ENTRY_BYTES: u64 = size_of::<Entry>() as u64;

impl Admission {
    /// Admits every unit, and gives the window up where their table would
    /// outgrow `memory_bytes` or a million units.
    #[must_use]
    pub fn within_memory(memory_bytes: u64, bounds: ContributionBounds, aggregate: &Aggregate) -> Self {
        let key_bytes = ENTRY_BYTES + Remembered::of(aggregate, bounds).bytes_per_key();
        let unit_bytes = UNIT_BYTES + key_bytes * u64::from(bounds.keys_per_unit);
        let units_max = NonZeroU64::new((memory_bytes / unit_bytes).min(1_000_000)).unwrap_or(NonZeroU64::MIN);
        Self { lot_max: u64::MAX, units_max }
    }

    /// Admits this share of all units, in thousandths, by each unit's own lot.
    #[must_use]
    pub fn share(self, per_mille: u16) -> Self {
        let lot_max = (u128::from(u64::MAX) * u128::from(per_mille.min(1000)) / 1000) as u64;
        Self { lot_max, ..self }
    }
}

/// What became of one row.
///
/// For this crate alone: were it counted anywhere, that count would leave the
/// pod without noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bounded {
    /// It counts; whether it is its unit's first row in the key.
    Counts {
        /// The first row.
        first: bool,
    },
    /// The row is beyond the unit's bounds, has no unit, or its unit is not admitted.
    Ignored,
    /// There are too many units: the window is to be given up.
    Overflow,
}

/// What a withdrawn unit had contributed to one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Contribution {
    pub(crate) key: u32,
    pub(crate) rows: u32,
    /// Of its rows' clamped values.
    pub(crate) sum: i64,
    /// Of its rows' values.
    pub(crate) intervals: Vec<u16>,
}

#[derive(Clone, Copy, Default, Zeroize)]
struct Entry {
    key: u32,
    rows: u32,
}

/// What a unit's rows are remembered as beside their number, so that they can
/// be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remembered {
    /// Nothing.
    Rows,
    /// The sum of their values.
    Sum,
    /// The interval of each of so many values.
    Intervals(u32),
}

impl Remembered {
    const fn of(aggregate: &Aggregate, bounds: ContributionBounds) -> Self {
        match aggregate {
            Aggregate::Count | Aggregate::Units | Aggregate::Top { .. } => Self::Rows,
            Aggregate::Sum(_) | Aggregate::Mean(_) => Self::Sum,
            Aggregate::Histogram(_) | Aggregate::Quantiles(_) => Self::Intervals(bounds.rows_per_key),
        }
    }

    const fn bytes_per_key(self) -> u64 {
        match self {
            Self::Rows => 0,
            Self::Sum => size_of::<i64>() as u64,
            Self::Intervals(rows) => rows as u64 * size_of::<u16>() as u64,
        }
    }
}

/// What each unit has contributed to one window so far.
pub(crate) struct ContributionBounder {
    window_key: WindowKey,
    bounds: ContributionBounds,
    admission: Admission,
    slots: HashMap<Tag, u32, BuildHasherDefault<AsItIs>>,
    allotted: u32,
    free: Vec<u32>,
    /// `keys_per_unit` of them for a slot.
    entries: Chunks<Entry>,
    /// One for an entry, where values are summed; else none.
    sums: Chunks<i64>,
    /// `rows_per_key` for an entry, where values fall into intervals; else none.
    intervals: Chunks<u16>,
}

impl ContributionBounder {
    pub(crate) fn new(
        bounds: ContributionBounds,
        admission: Admission,
        aggregate: &Aggregate,
    ) -> Result<Self, NoRandomness> {
        let keys = bounds.keys_per_unit as usize;
        let (sums, intervals) = match Remembered::of(aggregate, bounds) {
            Remembered::Rows => (0, 0),
            Remembered::Sum => (keys, 0),
            Remembered::Intervals(rows) => (0, keys * rows as usize),
        };
        Ok(Self {
            window_key: WindowKey::random()?,
            bounds,
            admission,
            slots: HashMap::default(),
            allotted: 0,
            free: Vec::new(),
            entries: Chunks::new(keys),
            sums: Chunks::new(sums),
            intervals: Chunks::new(intervals),
        })
    }

    /// The unit as this window knows it; `None` for rows without a unit, and
    /// for units whose lot does not admit them.
    pub(crate) fn admit(&self, unit: &[u8]) -> Option<Tag> {
        let tagged = (!unit.is_empty()).then(|| self.window_key.tag(unit))?;
        (tagged.lot <= self.admission.lot_max).then_some(tagged.tag)
    }

    /// Bounds one row of an admitted unit in the key at index `key`.
    pub(crate) fn bound(&mut self, unit: Tag, key: u32, detail: Detail) -> Bounded {
        match self.slot(unit) {
            Some(slot) => self.add(slot, key, detail),
            None => Bounded::Overflow,
        }
    }

    /// Whether a unit may count in one more key than it does.
    pub(crate) fn has_room(&mut self, unit: Tag) -> bool {
        let Some(slot) = self.slots.get(&unit).copied() else { return true };
        let rows_max = self.bounds.rows_l1();
        let entries = self.entries.of(slot);
        entries.iter().any(|entry| entry.rows == 0)
            && entries.iter().map(|entry| u64::from(entry.rows)).sum::<u64>() < rows_max
    }

    /// Forgets a unit; gives back what it had contributed.
    pub(crate) fn withdraw(&mut self, unit: &[u8]) -> Vec<Contribution> {
        let tagged = self.window_key.tag(unit);
        self.slots.remove(&tagged.tag).map(|slot| self.take(slot)).unwrap_or_default()
    }

    fn slot(&mut self, tag: Tag) -> Option<u32> {
        if let Some(slot) = self.slots.get(&tag) {
            return Some(*slot);
        }
        if self.slots.len() as u64 >= self.admission.units_max.get() {
            return None;
        }
        let slot = self.allot();
        self.slots.insert(tag, slot);
        Some(slot)
    }

    fn allot(&mut self) -> u32 {
        if let Some(slot) = self.free.pop() {
            return slot;
        }
        let slot = self.allotted;
        self.allotted += 1;
        self.entries.reach(slot);
        self.sums.reach(slot);
        self.intervals.reach(slot);
        slot
    }

    /// Adds a row where the unit's own bounds have room for it.
    fn add(&mut self, slot: u32, key: u32, detail: Detail) -> Bounded {
        let entries = self.entries.of(slot);
        let rows: u64 = entries.iter().map(|entry| u64::from(entry.rows)).sum();
        let room = entries.iter_mut().enumerate().find(|(_, entry)| entry.rows == 0 || entry.key == key);
        let Some((place, entry)) = room.filter(|(_, entry)| entry.rows < self.bounds.rows_per_key) else {
            return Bounded::Ignored;
        };
        if rows >= self.bounds.rows_l1() {
            return Bounded::Ignored;
        }
        let before = entry.rows;
        *entry = Entry { key, rows: before + 1 };
        match detail {
            Detail::Nothing => {}
            Detail::Amount(amount) => {
                if let Some(sum) = self.sums.of(slot).get_mut(place) {
                    *sum += amount;
                }
            }
            Detail::Interval(interval) => {
                let at = place * self.bounds.rows_per_key as usize + before as usize;
                if let Some(remembered) = self.intervals.of(slot).get_mut(at) {
                    *remembered = interval;
                }
            }
        }
        Bounded::Counts { first: before == 0 }
    }

    fn take(&mut self, slot: u32) -> Vec<Contribution> {
        let rows_per_key = self.bounds.rows_per_key as usize;
        let sums = self.sums.take(slot);
        let intervals = self.intervals.take(slot);
        let taken = self.entries.take(slot);
        self.free.push(slot);
        let contribution = |(place, entry): (usize, Entry)| Contribution {
            key: entry.key,
            rows: entry.rows,
            sum: sums.get(place).copied().unwrap_or(0),
            intervals: intervals.iter().skip(place * rows_per_key).take(entry.rows as usize).copied().collect(),
        };
        taken.into_iter().enumerate().filter(|(_, entry)| entry.rows > 0).map(contribution).collect()
    }
}

/// So many items for every slot, in chunks that never move, so that no copy
/// stays behind, and that are overwritten at the end.
pub(crate) struct Chunks<T: Copy + Default + Zeroize> {
    per_slot: usize,
    slots_per_chunk: usize,
    chunks: Vec<Box<[T]>>,
}

impl<T: Copy + Default + Zeroize> Chunks<T> {
    pub(crate) fn new(per_slot: usize) -> Self {
        Self { per_slot, slots_per_chunk: (8192 / per_slot.max(1)).max(1), chunks: Vec::new() }
    }

    /// Makes room for a slot; slots come in order.
    pub(crate) fn reach(&mut self, slot: u32) {
        if self.per_slot > 0 && slot as usize / self.slots_per_chunk == self.chunks.len() {
            self.chunks.push(vec![T::default(); self.per_slot * self.slots_per_chunk].into_boxed_slice());
        }
    }

    /// The items of a slot; none where there are none for any.
    pub(crate) fn of(&mut self, slot: u32) -> &mut [T] {
        let (chunk, place) = (slot as usize / self.slots_per_chunk, slot as usize % self.slots_per_chunk);
        let start = place * self.per_slot;
        self.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(start..start + self.per_slot)).unwrap_or_default()
    }

    pub(crate) fn take(&mut self, slot: u32) -> Vec<T> {
        let items = self.of(slot);
        let taken = items.to_vec();
        items.fill(T::default());
        taken
    }
}

impl<T: Copy + Default + Zeroize> Drop for Chunks<T> {
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
        let bounds = ContributionBounds::new(l0, linf).unwrap();
        ContributionBounder::new(bounds, admission, &Aggregate::Count).unwrap()
    }

    fn bound(bounder: &mut ContributionBounder, unit: &[u8], key: u32, detail: Detail) -> Bounded {
        bounder.admit(unit).map_or(Bounded::Ignored, |unit| bounder.bound(unit, key, detail))
    }

    fn counts_in(bounder: &mut ContributionBounder, unit: &[u8], key: u32) -> bool {
        matches!(bound(bounder, unit, key, Detail::Nothing), Bounded::Counts { .. })
    }

    /// The counts of a sequence of rows after bounding.
    fn counts(rows: &[(u8, u32)], bounds: ContributionBounds) -> Vec<i64> {
        let mut bounder = bounder(1, 1, 1000);
        bounder.bounds = bounds;
        bounder.entries = Chunks::new(bounds.keys_per_unit as usize);
        let mut counts = vec![0; 8];
        for (unit, key) in rows {
            if counts_in(&mut bounder, &[*unit], *key) {
                counts[*key as usize] += 1;
            }
        }
        counts
    }

    fn bounds(l0: u64, linf: u64) -> ContributionBounds {
        ContributionBounds::new(l0, linf).unwrap()
    }

    #[test]
    fn bounds_of_zero_are_refused() {
        assert_eq!(ContributionBounds::new(0, 1), Err(NotBounds::KeysPerUnit));
        assert_eq!(ContributionBounds::new(1, BOUND_MAX + 1), Err(NotBounds::RowsPerKey));
    }

    #[test]
    fn a_unit_fills_its_first_keys_and_no_more() {
        let rows = [(1, 0), (1, 0), (1, 0), (1, 0), (1, 5), (1, 6), (2, 6)];
        assert_eq!(counts(&rows, bounds(2, 3)), [3, 0, 0, 0, 0, 1, 1, 0]);
        assert_eq!(counts(&rows, bounds(2, 3).with_rows_per_unit(3).unwrap()), [3, 0, 0, 0, 0, 0, 1, 0]);
    }

    #[test]
    fn a_bound_of_all_rows_must_bound_something() {
        for (rows, holds) in [(2, false), (3, true), (5, true), (6, false), (7, false)] {
            assert_eq!(bounds(2, 3).with_rows_per_unit(rows).is_ok(), holds, "{rows}");
        }
        let four = bounds(2, 3).with_rows_per_unit(4).unwrap();
        assert_eq!((four.rows_l1(), four.rows_l2_squared()), (4, 10));
        assert_eq!((bounds(2, 3).rows_l1(), bounds(2, 3).rows_l2_squared()), (6, 18));
    }

    #[test]
    fn a_row_without_a_unit_is_ignored() {
        assert_eq!(bound(&mut bounder(1, 1, 10), b"", 0, Detail::Nothing), Bounded::Ignored);
    }

    #[test]
    fn one_unit_too_many_is_an_overflow_not_an_eviction() {
        let mut bounder = bounder(1, 2, 2);
        assert_eq!(
            [&b"a"[..], b"b", b"c", b"a"].map(|unit| bound(&mut bounder, unit, 0, Detail::Nothing)),
            [
                Bounded::Counts { first: true },
                Bounded::Counts { first: true },
                Bounded::Overflow,
                Bounded::Counts { first: false }
            ]
        );
    }

    #[test]
    fn admission_asks_each_unit_for_its_own_lot() {
        let mut bounder = bounder(1, 1, 100_000);
        bounder.admission = bounder.admission.share(250);
        let admitted = (0_u32..20_000).filter(|unit| counts_in(&mut bounder, &unit.to_le_bytes(), 0)).count();
        // Binomial(20000, 1/4): six standard deviations are 367; false alarm below 2e-9.
        assert!((4633..=5367).contains(&admitted), "{admitted}");
    }

    #[test]
    fn a_withdrawn_unit_takes_its_rows_with_it() {
        let mut bounder = bounder(2, 3, 10);
        for key in [4, 4, 1] {
            bound(&mut bounder, b"a", key, Detail::Nothing);
        }
        bound(&mut bounder, b"b", 4, Detail::Nothing);
        assert_eq!(rows(bounder.withdraw(b"a")), [(4, 2), (1, 1)]);
        assert_eq!(bounder.withdraw(b"a"), []);
        assert!(counts_in(&mut bounder, b"c", 2));
        assert_eq!(rows(bounder.withdraw(b"c")), [(2, 1)]);
    }

    #[test]
    fn values_are_taken_back_with_their_rows() {
        let clamp = crate::aggregate::Clamp::new(-5, 10, 0).unwrap();
        let mut sums = ContributionBounder { sums: Chunks::new(2), ..bounder(2, 2, 10) };
        for (key, value) in [(1, 100), (1, -100), (1, 3), (0, 4)] {
            bound(&mut sums, b"a", key, Aggregate::Sum(clamp).detail(value));
        }
        let taken: Vec<(u32, i64)> = sums.withdraw(b"a").into_iter().map(|one| (one.key, one.sum)).collect();
        assert_eq!(taken, [(1, 5), (0, 4)]);
        let mut intervals = ContributionBounder { intervals: Chunks::new(4), ..bounder(2, 2, 10) };
        for (key, interval) in [(1, 7), (0, 3), (1, 9), (1, 1)] {
            bound(&mut intervals, b"a", key, Detail::Interval(interval));
        }
        let taken: Vec<_> = intervals.withdraw(b"a").into_iter().map(|one| (one.key, one.intervals)).collect();
        assert_eq!(taken, [(1, vec![7, 9]), (0, vec![3])]);
    }

    fn rows(taken: Vec<Contribution>) -> Vec<(u32, u32)> {
        taken.into_iter().map(|one| (one.key, one.rows)).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        /// Adding or removing one unit moves at most l0 counts, each by at
        /// most linf, whatever the others do and wherever its rows stand.
        #[test]
        fn one_unit_never_moves_an_aggregate_past_its_bounds(
            rows in prop::collection::vec((0_u8..6, 0_u32..8), 0..80),
            removed in 0_u8..6, l0 in 1_u64..5, linf in 1_u64..5, all in 0_u64..16,
        ) {
            let bounds = bounds(l0, linf);
            let bounds = bounds.with_rows_per_unit(all).unwrap_or(bounds);
            let without: Vec<_> = rows.iter().copied().filter(|(unit, _)| *unit != removed).collect();
            let moved: Vec<i64> = counts(&rows, bounds).iter().zip(counts(&without, bounds)).map(|(with, without)| with - without).collect();
            prop_assert!(moved.iter().all(|moved| (0..=linf as i64).contains(moved)), "{moved:?}");
            prop_assert!(moved.iter().filter(|moved| **moved != 0).count() as u64 <= l0);
            let l1: i64 = moved.iter().sum();
            prop_assert!(l1 as u64 <= bounds.rows_l1());
            let l2: i64 = moved.iter().map(|moved| moved * moved).sum();
            prop_assert!(l2 as u64 <= bounds.rows_l2_squared());
        }

        /// Withdrawing a unit leaves the counts as if it had never come.
        #[test]
        fn a_withdrawal_undoes_all_of_a_unit(rows in prop::collection::vec((0_u8..6, 0_u32..8), 0..80), gone in 0_u8..6) {
            let mut bounder = bounder(3, 2, 1000);
            let mut left = vec![0_i64; 8];
            for (unit, key) in &rows {
                if counts_in(&mut bounder, &[*unit], *key) {
                    left[*key as usize] += 1;
                }
            }
            for taken in bounder.withdraw(&[gone]) {
                left[taken.key as usize] -= i64::from(taken.rows);
            }
            let without: Vec<_> = rows.iter().copied().filter(|(unit, _)| *unit != gone).collect();
            prop_assert_eq!(left, counts(&without, bounds(3, 2)));
        }
    }
}
