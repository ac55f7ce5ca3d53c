//! The published table: noised numbers as rows with keys and intervals.
//!
//! Promise: every row follows from drawn numbers and public facts alone, so a
//! reader can work it out again.

use std::collections::{HashMap, HashSet};

use super::Value;
use crate::accuracy::{Misses, half_width};
use crate::aggregate::{Aggregate, Clamp};
use crate::mechanism::{Mechanism, Noised, NoisedRow, Of, Part};
use crate::query::{Keys, Query};

/// What a mean's rows are of.
pub(super) const MEAN: &str = "mean";

/// What the rows are of that a mean follows from.
pub(super) const ABOVE_LOW: &str = "above_low";
pub(super) const BELOW_HIGH: &str = "below_high";

/// A mean has this many decimals more than its values.
const MEAN_SCALE: i128 = 1000;

/// The grouping columns; a histogram's intervals are one more.
pub(super) fn columns(query: &Query) -> Vec<String> {
    let grouped = query.keys.columns().map(str::to_owned);
    let intervals = matches!(query.aggregate(), Aggregate::Histogram(_)).then(|| "interval".to_owned());
    grouped.chain(intervals).collect()
}

/// The rows, key after key; a mean comes after the two sums that it follows from.
pub(super) fn values(query: &Query, noised: &Noised) -> Vec<Value> {
    let table = Table { query, noised, reach: Reach::of(&query.mechanism), intervals: interval_names(query) };
    let mut rows = Vec::with_capacity(noised.rows().len());
    let mut above_low = 0;
    for row in noised.rows() {
        rows.push(table.row(*row));
        match (query.aggregate(), row.of) {
            (Aggregate::Mean(_), Of::AboveLow) => above_low = row.value,
            (Aggregate::Mean(clamp), Of::BelowHigh) => rows.extend(table.mean(row.key, *clamp, [above_low, row.value])),
            _ => {}
        }
    }
    rows
}

struct Table<'a> {
    query: &'a Query,
    noised: &'a Noised,
    reach: Reach,
    intervals: Vec<String>,
}

impl Table<'_> {
    fn row(&self, row: NoisedRow) -> Value {
        let mut key = self.key(row.key);
        if let Of::Interval(interval) = row.of {
            key.extend(self.intervals.get(usize::from(interval)).cloned());
        }
        Value {
            key,
            of: name_of(row.of),
            value: row.value,
            ci95: self.reach.of_row(row.of).map(|half_width| interval(row.value, half_width)),
            value_nonneg: self.query.nonnegative.then_some(row.value.max(0)),
        }
    }

    fn key(&self, key: usize) -> Vec<String> {
        match &self.query.keys {
            Keys::Declared(table) => table.values_of(key).into_iter().map(str::to_owned).collect(),
            Keys::Private(_) => self.noised.names().get(key).cloned().unwrap_or_default(),
        }
    }

    /// A mean, where the noisy sums tell of any rows.
    fn mean(&self, key: usize, clamp: Clamp, sums: [i64; 2]) -> Option<Value> {
        let value = mean_of(clamp, sums)?;
        let value_nonneg = self.query.nonnegative.then_some(value.max(0));
        let ci95 = self.reach.of_mean.map(|reach| mean_interval(clamp, sums, reach));
        Some(Value { key: self.key(key), of: MEAN.to_owned(), value, ci95, value_nonneg })
    }
}

/// Half the widths of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    counts: Option<u64>,
    sums: Option<u64>,
    /// Of the two sums of a mean, each of which may miss once in forty.
    of_mean: Option<u64>,
}

impl Reach {
    pub(super) fn of(mechanism: &Mechanism) -> Self {
        let wide = |part, misses| {
            let stage = mechanism.stage(part)?;
            half_width(stage.noise(), stage.scale(), misses)
        };
        let counted = [Part::Count, Part::Units, Part::Histogram, Part::Select];
        Self {
            counts: counted.into_iter().find_map(|part| wide(part, Misses::OneInTwenty)),
            sums: wide(Part::Sum, Misses::OneInTwenty).or_else(|| wide(Part::Mean, Misses::OneInTwenty)),
            of_mean: wide(Part::Mean, Misses::OneInForty),
        }
    }

    const fn of_row(self, of: Of) -> Option<u64> {
        match of {
            Of::Count | Of::Units | Of::Interval(_) => self.counts,
            Of::Sum | Of::AboveLow | Of::BelowHigh => self.sums,
            Of::Quantile(_) => None,
        }
    }
}

fn interval_names(query: &Query) -> Vec<String> {
    match query.aggregate() {
        Aggregate::Histogram(edges) => edges.names(),
        _ => Vec::new(),
    }
}

fn name_of(of: Of) -> String {
    match of {
        Of::Count | Of::Interval(_) => "count".to_owned(),
        Of::Units => "units".to_owned(),
        Of::Sum => "sum".to_owned(),
        Of::AboveLow => ABOVE_LOW.to_owned(),
        Of::BelowHigh => BELOW_HIGH.to_owned(),
        Of::Quantile(share) => share.to_string(),
    }
}

/// Whether every key has each row that its aggregate publishes, and none beside: a mean's own
/// row is there exactly where its sums tell of any rows.
pub(super) fn keys_are_whole(aggregate: &Aggregate, values: &[Value]) -> bool {
    let mut keys: HashMap<&[String], Vec<&Value>> = HashMap::new();
    for row in values {
        let key = match (aggregate, row.key.as_slice()) {
            (Aggregate::Histogram(_), [key @ .., _interval]) => key,
            (_, key) => key,
        };
        keys.entry(key).or_default().push(row);
    }
    let intervals = match aggregate {
        Aggregate::Histogram(edges) => edges.names(),
        _ => Vec::new(),
    };
    keys.values().all(|rows| is_whole(aggregate, &intervals, rows))
}

fn is_whole(aggregate: &Aggregate, intervals: &[String], rows: &[&Value]) -> bool {
    let of = |name: &str| rows.iter().find(|row| row.of == name).map(|row| row.value);
    let are = |names: &[&str]| rows.len() == names.len() && names.iter().all(|name| of(name).is_some());
    match aggregate {
        Aggregate::Count | Aggregate::Top { .. } => are(&["count"]),
        Aggregate::Units => are(&["units"]),
        Aggregate::Sum(_) => are(&["sum"]),
        Aggregate::Mean(clamp) => {
            let sums = of(ABOVE_LOW).zip(of(BELOW_HIGH)).map(|(above, below)| [above, below]);
            sums.is_some_and(|sums| match mean_of(*clamp, sums) {
                Some(_) => are(&[ABOVE_LOW, BELOW_HIGH, MEAN]),
                None => are(&[ABOVE_LOW, BELOW_HIGH]),
            })
        }
        Aggregate::Histogram(_) => {
            let found: HashSet<&String> = rows.iter().filter_map(|row| row.key.last()).collect();
            rows.len() == intervals.len() && intervals.iter().all(|interval| found.contains(interval))
        }
        Aggregate::Quantiles(quantiles) => {
            let shares: Vec<String> = quantiles.at().iter().map(ToString::to_string).collect();
            are(&shares.iter().map(String::as_str).collect::<Vec<_>>())
        }
    }
}

pub(super) const fn interval(value: i64, half_width: u64) -> [i64; 2] {
    [value.saturating_sub_unsigned(half_width), value.saturating_add_unsigned(half_width)]
}

/// The mean in thousandths of a step, rounded down: the share of what values are
/// above the lower end in the width of all of them. It is within the clamp, since
/// neither sum is below zero without noise. `None` where both are not above zero.
pub(super) fn mean_of(clamp: Clamp, sums: [i64; 2]) -> Option<i64> {
    let [above_low, below_high] = sums.map(|sum| i128::from(sum.max(0)));
    let share = (above_low * i128::from(clamp.width()) * MEAN_SCALE).checked_div(above_low + below_high)?;
    // A clamp reaches no further than 2^31 steps.
    i64::try_from(i128::from(clamp.low()) * MEAN_SCALE + share).ok()
}

/// Every mean of two sums within a half width of these.
pub(super) fn mean_interval(clamp: Clamp, [above_low, below_high]: [i64; 2], half_width: u64) -> [i64; 2] {
    let ([least_above, most_above], [least_below, most_below]) =
        (interval(above_low, half_width), interval(below_high, half_width));
    let [low, high] = [clamp.low(), clamp.high()].map(|end| end.saturating_mul(1000));
    let from = mean_of(clamp, [least_above, most_below]).unwrap_or(low);
    // Rounded down, the upper end may be a thousandth too near.
    let to = mean_of(clamp, [most_above, least_below]).map_or(high, |to| to.saturating_add(1).min(high));
    [from, to]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_where_both_ends_are_balanced_and_its_interval_holds_all_of_theirs() {
        let clamp = Clamp::new(-10, 30, 0).unwrap();
        // Values of -10, 0 and 25.
        assert_eq!(mean_of(clamp, [45, 75]), Some(5000));
        assert_eq!(mean_of(clamp, [1, 2]), Some(-10_000 + 40_000 / 3));
        assert_eq!(mean_of(clamp, [-3, 7]), Some(-10_000));
        assert_eq!(mean_of(clamp, [7, -3]), Some(30_000));
        assert_eq!(mean_of(clamp, [0, -3]), None);
        assert_eq!(mean_interval(clamp, [45, 75], 15), [-10_000 + 40_000 * 30 / 120, -10_000 + 40_000 * 60 / 120 + 1]);
        assert_eq!(mean_interval(clamp, [45, 75], 75), [-10_000, 30_000]);
        assert_eq!(mean_interval(clamp, [-45, -75], 10), [-10_000, 30_000]);
        let far = Clamp::new(-(1 << 31), 1 << 31, 0).unwrap();
        assert_eq!(mean_of(far, [i64::MAX, i64::MAX]), Some(0));
    }
}
