//! The published table: noised numbers as rows with keys and intervals.
//!
//! Promise: every row follows from drawn numbers and public facts alone, so a
//! reader can work it out again.

use super::Value;
use crate::accuracy::{Misses, half_width};
use crate::aggregate::Aggregate;
use crate::mechanism::{Mechanism, Noised, NoisedRow, Of, Part};
use crate::query::{Keys, Query};

/// What a mean's rows are of.
pub(super) const MEAN: &str = "mean";

/// A mean has this many decimals more than its values.
const MEAN_SCALE: i128 = 1000;

/// The grouping columns; a histogram's intervals are one more.
pub(super) fn columns(query: &Query) -> Vec<String> {
    let grouped = query.keys.columns().map(str::to_owned);
    let intervals = matches!(query.aggregate(), Aggregate::Histogram(_)).then(|| "interval".to_owned());
    grouped.chain(intervals).collect()
}

/// The rows, key after key; a mean comes after its sum and count.
pub(super) fn values(query: &Query, noised: &Noised) -> Vec<Value> {
    let table = Table { query, noised, reach: Reach::of(&query.mechanism), intervals: interval_names(query) };
    let mut rows = Vec::with_capacity(noised.rows().len());
    let mut sum = 0;
    for row in noised.rows() {
        rows.push(table.row(*row));
        match (query.aggregate(), row.of) {
            (Aggregate::Mean(_), Of::Sum) => sum = row.value,
            (Aggregate::Mean(_), Of::Count) => rows.extend(table.mean(row.key, sum, row.value)),
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

    /// A mean, where the noisy count is above zero.
    fn mean(&self, key: usize, sum: i64, count: i64) -> Option<Value> {
        let value = mean_of(sum, count)?;
        let value_nonneg = self.query.nonnegative.then_some(value.max(0));
        let ci95 = self.reach.of_mean.and_then(|reach| mean_interval(sum, count, reach));
        Some(Value { key: self.key(key), of: MEAN.to_owned(), value, ci95, value_nonneg })
    }
}

/// Half the widths of intervals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    counts: Option<u64>,
    sums: Option<u64>,
    /// Of sum and count, each of which may miss once in forty.
    pub(super) of_mean: Option<(u64, u64)>,
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
            sums: wide(Part::Sum, Misses::OneInTwenty),
            of_mean: wide(Part::Sum, Misses::OneInForty).zip(wide(Part::Count, Misses::OneInForty)),
        }
    }

    const fn of_row(self, of: Of) -> Option<u64> {
        match of {
            Of::Count | Of::Units | Of::Interval(_) => self.counts,
            Of::Sum => self.sums,
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
        Of::Quantile(share) => share.to_string(),
    }
}

pub(super) const fn interval(value: i64, half_width: u64) -> [i64; 2] {
    [value.saturating_sub_unsigned(half_width), value.saturating_add_unsigned(half_width)]
}

/// Sum over count, in thousandths of a step, rounded towards zero; `None`
/// where the count is not above zero.
pub(super) fn mean_of(sum: i64, count: i64) -> Option<i64> {
    (count > 0).then(|| ratio(sum, count))
}

/// Every mean of a sum and a count within their half widths; `None` where the
/// count may be zero.
pub(super) fn mean_interval(sum: i64, count: i64, (sums, counts): (u64, u64)) -> Option<[i64; 2]> {
    let ([low, high], [least, most]) = (interval(sum, sums), interval(count, counts));
    if least <= 0 {
        return None;
    }
    let ends = [ratio(low, least), ratio(low, most), ratio(high, least), ratio(high, most)];
    let (from, to) = (ends.iter().min()?, ends.iter().max()?);
    // Rounded towards zero, the ends may each be a thousandth too near.
    Some([from.saturating_sub(1), to.saturating_add(1)])
}

fn ratio(sum: i64, count: i64) -> i64 {
    let exact = i128::from(sum) * MEAN_SCALE / i128::from(count.max(1));
    i64::try_from(exact).unwrap_or(if sum < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_is_the_sum_over_the_count_and_its_interval_holds_all_of_theirs() {
        assert_eq!(mean_of(10, 4), Some(2500));
        assert_eq!(mean_of(-10, 3), Some(-3333));
        assert_eq!(mean_of(10, 0), None);
        assert_eq!(mean_interval(100, 10, (20, 2)), Some([80_000 / 12 - 1, 120_000 / 8 + 1]));
        assert_eq!(mean_interval(-10, 10, (20, 2)), Some([-30_000 / 8 - 1, 10_000 / 8 + 1]));
        assert_eq!(mean_interval(100, 10, (20, 10)), None);
        assert_eq!(mean_of(i64::MAX, 1), Some(i64::MAX));
    }
}
