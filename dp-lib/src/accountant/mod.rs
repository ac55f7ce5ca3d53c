//! What a budget allows.
//!
//! Promise: releases compose sequentially, for the person who is in every
//! window; in no horizon does the sum of losses pass the limit. A horizon
//! slides: every span of its length is one. A release belongs to the horizons
//! that its window's first second falls into. So a span of 30 days holds 720
//! hourly windows exactly, and the guarantee is for 720 windows in a row; a span
//! that begins inside a window touches one window more.
//!
//! Not here: remembering what was spent ([`crate::ledger`]).

pub mod pld;

use crate::loss::Loss;
use crate::schedule::Schedule;
use crate::window::Span;

/// How much a person may lose, in every span of the horizon's length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The limit, in the measure that the ledger counts it in.
    pub limit: Loss,
    /// The length of time it is for.
    pub horizon: Span,
}

impl Budget {
    /// How many windows begin within one horizon, at most: of a calendar's, more
    /// than fit where the clock may be set ([`crate::calendar::Zone::windows_max`]).
    #[must_use]
    pub fn windows(&self, schedule: &Schedule) -> u64 {
        schedule.tiling().windows_max(self.horizon)
    }

    /// What the releases of one horizon cost together, at `loss` each: one for
    /// each of its windows, and one for each time that a window may be split.
    #[must_use]
    pub fn cost_of_horizon(&self, loss: Loss, schedule: &Schedule) -> Option<Loss> {
        loss.times(std::num::NonZeroU64::new(schedule.releases_in(self.horizon))?)
    }
}

/// A sum of losses in one measure; it may be nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// In billionths of the measure.
    pub nano: u64,
    /// The probability of failure, in trillionths.
    pub delta_pico: u64,
}

impl Sum {
    /// The sum of both. What does not fit is above every limit, and reads as the largest number.
    #[must_use]
    pub const fn and(self, loss: Loss) -> Self {
        Self {
            nano: self.nano.saturating_add(loss.nano()),
            delta_pico: self.delta_pico.saturating_add(loss.delta_pico()),
        }
    }

    /// Whether neither number passes the limit's.
    #[must_use]
    pub const fn is_within(self, limit: Loss) -> bool {
        self.nano <= limit.nano() && self.delta_pico <= limit.delta_pico()
    }
}

/// A loss that was spent on a window, in the budget's measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spend {
    pub(crate) start_secs: i64,
    pub(crate) loss: Loss,
}

/// The largest sum of `spends` over any horizon that `start_secs` falls into;
/// loss and delta each of the horizon that has most of it.
///
/// Looks both ways: after a clock went back, later windows may already be paid.
/// Takes `n log n` for `n` spends: a month of minutes is 43,200 of them.
pub(crate) fn spent_around(spends: &[Spend], start_secs: i64, horizon: Span) -> Sum {
    let mut near: Vec<Spend> =
        spends.iter().copied().filter(|spend| spend.start_secs.abs_diff(start_secs) < horizon.secs()).collect();
    near.sort_unstable_by_key(|spend| spend.start_secs);
    // A horizon of the largest sum may be slid until it begins with one of its spends, or with this window.
    let firsts: Vec<i64> =
        near.iter().map(|spend| spend.start_secs).filter(|first| *first <= start_secs).chain([start_secs]).collect();
    let largest = |of: fn(Loss) -> u64| {
        let sums = running_sums(near.iter().map(|spend| of(spend.loss)));
        let sum_before = |end: i64| {
            let place = near.partition_point(|spend| spend.start_secs < end);
            sums.get(place).copied().unwrap_or(0)
        };
        let of_horizon = |first: &i64| sum_before(first.saturating_add(horizon.secs_i64())) - sum_before(*first);
        // Sums above 64 bits are above every limit; they read as the largest number.
        u64::try_from(firsts.iter().map(of_horizon).max().unwrap_or(0)).unwrap_or(u64::MAX)
    };
    Sum { nano: largest(Loss::nano), delta_pico: largest(Loss::delta_pico) }
}

/// The sum of the first 0, 1, 2, … numbers.
fn running_sums(sorted: impl Iterator<Item = u64>) -> Vec<u128> {
    let grown = sorted.scan(0, |sum, number| {
        *sum += u128::from(number);
        Some(*sum)
    });
    std::iter::once(0).chain(grown).collect()
}

/// A time after `start_secs`, on the grid of `step_secs`, at which a window that
/// costs `asked` fits under `limit` if nothing else is spent: the first such
/// time, unless a clock went back. `None` if it never fits.
pub(crate) fn fits_from(
    spends: &[Spend],
    start_secs: i64,
    asked: Loss,
    limit: Loss,
    horizon: Span,
    step_secs: u64,
) -> Option<i64> {
    if !Sum::default().and(asked).is_within(limit) {
        return None;
    }
    let step = i64::try_from(step_secs.max(1)).unwrap_or(i64::MAX);
    // A sum falls only where a spend leaves the horizon.
    let leaving = spends.iter().map(|spend| spend.start_secs.saturating_add(horizon.secs_i64()));
    let mut times: Vec<i64> =
        leaving.filter(|at| *at > start_secs).map(|at| at + (step - at.rem_euclid(step)) % step).collect();
    times.sort_unstable();
    times.dedup();
    let fits = |at: i64| spent_around(spends, at, horizon).and(asked).is_within(limit);
    times.get(times.partition_point(|at| !fits(*at))).copied()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn span(secs: u64) -> Span {
        Span::from_secs(secs).unwrap()
    }

    fn loss(nano: u64) -> Loss {
        Loss::from_nano(crate::loss::Measure::Pure, nano).unwrap().with_delta(nano / 3)
    }

    fn spends(list: &[(i64, u64)]) -> Vec<Spend> {
        list.iter().map(|(start_secs, nano)| Spend { start_secs: *start_secs, loss: loss(*nano) }).collect()
    }

    /// By definition: try every horizon that holds the window.
    fn brute(spends: &[Spend], at: i64, horizon: i64) -> Sum {
        let largest = |of: fn(Loss) -> u64| {
            let of_horizon = |first: i64| {
                let within = spends.iter().filter(|spend| (first..first + horizon).contains(&spend.start_secs));
                within.map(|spend| of(spend.loss)).sum()
            };
            (at - horizon + 1..=at).map(of_horizon).max().unwrap()
        };
        Sum { nano: largest(Loss::nano), delta_pico: largest(Loss::delta_pico) }
    }

    fn windows_of(secs: u64) -> Schedule {
        Schedule::new(crate::schedule::Tiling::Tumbling(span(secs)))
    }

    #[test]
    fn thirty_days_of_hours_fit_exactly() {
        let budget = crate::query::tests::query("q", 1, 1).budget;
        assert_eq!(budget.windows(&windows_of(3600)), 720);
        let loss = Loss::from_nano(crate::loss::Measure::Pure, 100_000_000).unwrap();
        assert_eq!(budget.cost_of_horizon(loss, &windows_of(3600)), Some(budget.limit));
        assert_eq!(budget.windows(&windows_of(7000)), 371);
    }

    #[test]
    fn a_window_fits_again_when_the_oldest_leaves() {
        let spent = spends(&[(0, 5), (10, 5), (20, 5)]);
        assert_eq!(fits_from(&spent, 30, loss(5), loss(15), span(40), 10), Some(40));
        assert_eq!(fits_from(&spent, 30, loss(11), loss(15), span(40), 10), Some(60));
        assert_eq!(fits_from(&spent, 30, loss(16), loss(15), span(40), 10), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1000))]

        #[test]
        fn the_sum_is_the_worst_of_all_horizons(list in prop::collection::vec((0_i64..60, 1_u64..100), 0..20), at in 0_i64..60, horizon in 1_u64..40) {
            let list = spends(&list);
            prop_assert_eq!(spent_around(&list, at, span(horizon)), brute(&list, at, horizon as i64));
        }
    }
}
