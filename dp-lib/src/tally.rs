//! What one window has counted so far: bound and aggregate, in one step.
//!
//! Promise: a tally changes by what contribution bounding lets through, tells
//! nobody what that was, and gives up whole when more units or more private
//! keys come than it may hold.
//!
//! Not here: when a window begins and ends ([`crate::window`]).

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroize;

use crate::aggregate::Aggregate;
use crate::bound::{Bounded, Contribution, ContributionBounder};
use crate::exact::Exact;
use crate::query::{Keys, Query, RowKey};
use crate::tag::{NoRandomness, Tag};

/// Exact cells: so many for each key, and how many units each key has.
///
/// There is no way to read them outside of this crate.
#[derive(Default)]
pub struct Cells {
    /// `width` cells for a key, key after key.
    pub(crate) values: Vec<i64>,
    /// Distinct units of each key.
    pub(crate) units: Vec<i64>,
    /// The keys' values, where they are private; else nothing.
    pub(crate) names: Vec<Vec<String>>,
    pub(crate) width: usize,
}

impl Cells {
    /// The exact cells of declared keys, in their order: `values` holds `width`
    /// for each. Whoever brings a table has bounded what one unit put into it.
    #[must_use]
    pub fn declared(width: usize, values: Vec<i64>) -> Self {
        let units = vec![0; values.len() / width.max(1)];
        Self { values, units, names: Vec::new(), width }
    }

    /// Adds a private key: its values, how many units have it, and its cells.
    pub fn push(&mut self, name: Vec<String>, units: i64, values: &[i64]) {
        self.grow(name);
        let key = self.keys() - 1;
        self.add_units(key, units);
        values.iter().take(self.width).enumerate().for_each(|(cell, value)| self.add(key, cell, *value));
    }

    pub(crate) fn of_keys(keys: usize, width: usize) -> Self {
        Self { values: vec![0; keys * width], units: vec![0; keys], names: Vec::new(), width }
    }

    pub(crate) fn keys(&self) -> usize {
        self.units.len()
    }

    pub(crate) fn of(&self, key: usize) -> &[i64] {
        self.values.get(key * self.width..(key + 1) * self.width).unwrap_or_default()
    }

    fn add(&mut self, key: usize, cell: usize, by: i64) {
        if let Some(value) = self.values.get_mut(key * self.width + cell) {
            *value = value.saturating_add(by);
        }
    }

    fn add_units(&mut self, key: usize, by: i64) {
        if let Some(units) = self.units.get_mut(key) {
            *units = units.saturating_add(by);
        }
    }

    pub(crate) fn grow(&mut self, name: Vec<String>) {
        extend(&mut self.values, self.width);
        extend(&mut self.units, 1);
        self.names.push(name);
    }
}

/// Adds zeros; where the numbers have to move, the old place is overwritten.
fn extend(numbers: &mut Vec<i64>, by: usize) {
    let length = numbers.len() + by;
    if length > numbers.capacity() {
        let mut larger = Vec::with_capacity(2 * length);
        larger.extend_from_slice(numbers);
        std::mem::swap(numbers, &mut larger);
        larger.zeroize();
    }
    numbers.resize(length, 0);
}

impl Zeroize for Cells {
    fn zeroize(&mut self) {
        self.values.zeroize();
        self.units.zeroize();
        self.names.zeroize();
    }
}

/// The exact cells of one window, and what each unit put into them.
pub(crate) struct Tally {
    query: Arc<Query>,
    bounder: ContributionBounder,
    cells: Exact<Cells>,
    /// The places of private keys.
    places: Places,
    overflowed: bool,
}

impl Tally {
    /// Nothing counted yet, under a fresh window key.
    pub(crate) fn new(query: &Arc<Query>) -> Result<Self, NoRandomness> {
        let bounder = ContributionBounder::new(query.bounds(), query.admission, query.aggregate())?;
        let keys = match &query.keys {
            Keys::Declared(table) => table.len(),
            Keys::Private(_) => 0,
        };
        let cells = Exact::new(Cells::of_keys(keys, query.aggregate().cells()));
        let query = Arc::clone(query);
        Ok(Self { query, bounder, cells, places: Places::default(), overflowed: false })
    }

    /// Counts one row of `unit` in a key, within the bounds. `value` is in the
    /// aggregate's steps, and looked at where it has values.
    pub(crate) fn observe(&mut self, unit: &[u8], key: RowKey<'_>, value: i64) {
        let Some(unit) = self.bounder.admit(unit).filter(|_| !self.overflowed) else { return };
        let Some(place) = self.place(unit, key) else { return };
        // There are at most KEYS_MAX keys, so a place fits.
        match self.bounder.bound(unit, place as u32, self.query.aggregate().detail(value)) {
            Bounded::Counts { first } => self.count(place, first, value),
            Bounded::Ignored => {}
            Bounded::Overflow => self.overflowed = true,
        }
    }

    /// Removes all that a unit contributed. From here on it may contribute
    /// again, if it is observed again.
    pub(crate) fn withdraw(&mut self, unit: &[u8]) {
        for taken in self.bounder.withdraw(unit) {
            self.take_back(&taken);
        }
    }

    /// The cells; `None` when more came than it may hold.
    pub(crate) fn finish(self) -> Option<Exact<Cells>> {
        (!self.overflowed).then_some(self.cells)
    }

    /// Where a key's cells are. A key that nobody had is made room for only if
    /// its unit may still count in one more, so that one unit cannot fill the table.
    fn place(&mut self, unit: Tag, key: RowKey<'_>) -> Option<usize> {
        match (key, &self.query.keys) {
            (RowKey::At(place), Keys::Declared(table)) => (place < table.len()).then_some(place),
            (RowKey::Named(name), Keys::Private(keys)) => {
                let known = self.places.get(name);
                if known.is_some() || !self.bounder.has_room(unit) {
                    return known;
                }
                let place = self.places.make(name, keys.keys_max() as usize);
                match place {
                    Some(_) => self.cells.value_mut().grow(owned(name)),
                    None => self.overflowed = true,
                }
                place
            }
            _ => None,
        }
    }

    fn count(&mut self, key: usize, first: bool, value: i64) {
        let cells = self.cells.value_mut();
        cells.add_units(key, i64::from(first));
        match self.query.aggregate() {
            Aggregate::Count | Aggregate::Top { .. } => cells.add(key, 0, 1),
            Aggregate::Units => cells.add(key, 0, i64::from(first)),
            Aggregate::Sum(clamp) => cells.add(key, 0, clamp.of(value)),
            Aggregate::Mean(clamp) => {
                cells.add(key, 0, clamp.of(value));
                cells.add(key, 1, 1);
            }
            Aggregate::Histogram(edges) => cells.add(key, usize::from(edges.interval(value)), 1),
            Aggregate::Quantiles(quantiles) => {
                cells.add(key, usize::from(quantiles.candidates().interval(value)), 1);
            }
        }
    }

    fn take_back(&mut self, taken: &Contribution) {
        let (key, rows) = (taken.key as usize, i64::from(taken.rows));
        let cells = self.cells.value_mut();
        cells.add_units(key, -1);
        match self.query.aggregate() {
            Aggregate::Count | Aggregate::Top { .. } => cells.add(key, 0, -rows),
            Aggregate::Units => cells.add(key, 0, -1),
            Aggregate::Sum(_) => cells.add(key, 0, -taken.sum),
            Aggregate::Mean(_) => {
                cells.add(key, 0, -taken.sum);
                cells.add(key, 1, -rows);
            }
            Aggregate::Histogram(_) | Aggregate::Quantiles(_) => {
                taken.intervals.iter().for_each(|interval| cells.add(key, usize::from(*interval), -1));
            }
        }
    }
}

/// Where each private key's cells are.
#[derive(Default)]
struct Places(HashMap<Vec<String>, usize>);

impl Places {
    fn get(&self, name: &[&str]) -> Option<usize> {
        self.0.get(&owned(name)).copied()
    }

    /// A place for a new key; `None` when there are `keys_max`.
    fn make(&mut self, name: &[&str], keys_max: usize) -> Option<usize> {
        let place = self.0.len();
        if place >= keys_max {
            return None;
        }
        self.0.insert(owned(name), place);
        Some(place)
    }
}

fn owned(name: &[&str]) -> Vec<String> {
    name.iter().map(|value| (*value).to_owned()).collect()
}

impl Drop for Places {
    fn drop(&mut self) {
        self.0.drain().for_each(|(mut name, _)| name.zeroize());
    }
}

#[cfg(test)]
pub(crate) mod model;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Clamp, Edges, PerMille, Quantiles};
    use crate::mechanism::tests::mechanism;
    use crate::query::tests::query;
    use crate::query::{PrivateColumn, PrivateKeys};

    fn tally(aggregate: Aggregate) -> Tally {
        let query = Query { mechanism: mechanism(aggregate), ..query("q", 2, 3) };
        Tally::new(&Arc::new(query)).unwrap()
    }

    /// Four rows of u-1, one of which is beyond its bounds, and one of u-2 that is withdrawn.
    fn counted(aggregate: Aggregate) -> Vec<i64> {
        let mut tally = tally(aggregate);
        for (unit, key, value) in [(b"u-1", 0, 7), (b"u-1", 0, 90), (b"u-2", 0, 20), (b"u-1", 2, -4), (b"u-1", 1, 1)] {
            tally.observe(unit, RowKey::At(key), value);
        }
        tally.withdraw(b"u-2");
        tally.finish().unwrap().value().values.clone()
    }

    #[test]
    fn each_aggregate_counts_and_takes_back() {
        let (clamp, edges) = (Clamp::new(-2, 50, 0).unwrap(), Edges::new(vec![0, 10], 0).unwrap());
        let quantiles = Quantiles::new(vec![PerMille::parse("0.5").unwrap()], edges.clone()).unwrap();
        for (aggregate, cells) in [
            (Aggregate::Count, vec![2, 0, 1]),
            (Aggregate::Units, vec![1, 0, 1]),
            (Aggregate::top(1).unwrap(), vec![2, 0, 1]),
            (Aggregate::Sum(clamp), vec![57, 0, -2]),
            (Aggregate::Mean(clamp), vec![57, 2, 0, 0, -2, 1]),
            (Aggregate::Histogram(edges), vec![0, 1, 1, 0, 0, 0, 1, 0, 0]),
            (Aggregate::Quantiles(quantiles), vec![0, 1, 1, 0, 0, 0, 1, 0, 0]),
        ] {
            assert_eq!(counted(aggregate.clone()), cells, "{aggregate:?}");
        }
    }

    #[test]
    fn private_keys_appear_as_they_come_and_too_many_are_an_overflow() {
        let column = PrivateColumn { name: "properties.query".to_owned(), values: None };
        let keys = Keys::Private(PrivateKeys::new(vec![column], 2, 2).unwrap());
        let query = Query { keys, ..query("q", 2, 3) };
        let mut tally = Tally::new(&Arc::new(query)).unwrap();
        for (unit, name) in [(b"u-1", "maps"), (b"u-2", "chess"), (b"u-2", "maps"), (b"u-2", "maps")] {
            tally.observe(unit, RowKey::Named(&[name]), 0);
        }
        let cells = tally.cells.value();
        assert_eq!((cells.values.as_slice(), cells.units.as_slice()), ([3, 1].as_slice(), [2, 1].as_slice()));
        tally.observe(b"", RowKey::Named(&["nobody's"]), 0);
        tally.observe(b"u-3", RowKey::At(0), 0);
        tally.observe(b"u-2", RowKey::Named(&["beyond its bounds"]), 0);
        assert!(!tally.overflowed);
        tally.observe(b"u-3", RowKey::Named(&["a third"]), 0);
        assert!(tally.finish().is_none());
    }
}
