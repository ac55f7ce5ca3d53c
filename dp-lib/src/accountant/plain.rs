//! What releases lose together, by sums.
//!
//! Promise: an upper bound that anybody can check by adding numbers up: of
//! epsilons (basic composition), of rhos (zero-concentrated differential
//! privacy), or of the epsilons of some and the rhos of the others, whichever
//! is least. Tighter, and harder to check, is [`super::pld`].

use super::report::Release;

/// The least epsilon at `delta` that sums of epsilons and rhos give; `None` where
/// more than `delta` fails anyway.
#[must_use]
pub fn epsilon(list: &[Release], delta: f64) -> Option<f64> {
    let left = delta - failing(list);
    // A mixed sum spends its delta on the rhos alone, so each choice of what is
    // counted in epsilon holds. A release of a large loss is cheaper in epsilon:
    // half a square grows faster.
    let each = |release: &Release| release.event.epsilon().unwrap_or(f64::INFINITY);
    let mut by_size: Vec<&Release> = list.iter().collect();
    by_size.sort_by(|one, other| each(other).total_cmp(&each(one)));
    let pure = by_size.partition_point(|release| each(release).is_infinite());
    let (concentrated, pure) = by_size.split_at_checked(pure)?;
    let always: f64 = concentrated.iter().map(|release| rho_of(release)).sum();
    (0..=pure.len())
        .filter_map(|cut| {
            let (in_epsilon, in_rho) = pure.split_at_checked(cut)?;
            let epsilon: f64 = in_epsilon.iter().map(|release| epsilon_of(release)).sum();
            let rho: f64 = always + in_rho.iter().map(|release| rho_of(release)).sum::<f64>();
            Some(epsilon + concentrated_epsilon(rho, left)?)
        })
        .map(raised)
        .reduce(f64::min)
}

/// The sum of epsilons; `None` where a release has none, or more than `delta` fails.
#[must_use]
pub fn basic(list: &[Release], delta: f64) -> Option<f64> {
    let sum: f64 = list.iter().map(epsilon_of).sum();
    (sum.is_finite() && failing(list) <= delta).then(|| raised(sum))
}

/// The epsilon of the sum of rhos; `None` where more than `delta` fails anyway.
#[must_use]
pub fn zcdp(list: &[Release], delta: f64) -> Option<f64> {
    concentrated_epsilon(list.iter().map(rho_of).sum(), delta - failing(list)).map(raised)
}

fn epsilon_of(release: &Release) -> f64 {
    release.event.epsilon().map_or(f64::INFINITY, |epsilon| epsilon * release.times.get() as f64)
}

fn rho_of(release: &Release) -> f64 {
    release.event.rho() * release.times.get() as f64
}

/// The probability that one of their thresholds fails.
pub(super) fn failing(list: &[Release]) -> f64 {
    list.iter().map(|release| release.delta_pico as f64 * 1e-12 * release.times.get() as f64).sum::<f64>()
        * (1.0 + 1e-12)
}

/// No round-off of the sums above has lowered this.
fn raised(epsilon: f64) -> f64 {
    epsilon * (1.0 + 1e-9) + 1e-12
}

/// The epsilon that a rho bounds at `delta`: the infimum over orders of
/// Canonne, Kamath and Steinke 2020, proposition 12. Every order gives a bound
/// that holds, so the search may miss the best one but never understate.
pub(super) fn concentrated_epsilon(rho: f64, delta: f64) -> Option<f64> {
    if rho == 0.0 {
        return (delta >= 0.0).then_some(0.0);
    }
    if delta <= 0.0 {
        return None;
    }
    let at = |log_excess: f64| {
        let excess = libm::exp(log_excess);
        let order = 1.0 + excess;
        let log_share = -libm::log1p(1.0 / excess);
        (order * rho + (order * log_share - libm::log(delta) - log_excess) / excess).max(0.0)
    };
    let golden = (libm::sqrt(5.0) - 1.0) / 2.0;
    let (mut low, mut high) = (-30.0_f64, 30.0_f64);
    for _ in 0..100 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(left) <= at(right) {
            high = right;
        } else {
            low = left;
        }
    }
    Some(at(low).min(at(high)))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::accountant::pld::Event;
    use crate::loss::{Delta, Loss, Measure};

    fn release(event: Event, times: u64) -> Release {
        Release { event, delta_pico: 0, times: NonZeroU64::new(times).unwrap() }
    }

    fn pure(nano: u64, times: u64) -> Release {
        release(Event::Pure { epsilon_nano: NonZeroU64::new(nano).unwrap() }, times)
    }

    fn rho(nano: u64, times: u64) -> Release {
        release(Event::Concentrated { rho_nano: NonZeroU64::new(nano).unwrap() }, times)
    }

    #[test]
    fn a_sum_of_rhos_converts_as_one_loss_does() {
        let year = Loss::from_decimal(Measure::Zcdp, "0.1825").unwrap();
        for delta in [1_000, 100_000, 1_000_000] {
            let ours = zcdp(&[rho(500_000, 365)], delta as f64 * 1e-12).unwrap();
            let loss: f64 = year.epsilon_at(Delta::from_pico(delta).unwrap()).parse().unwrap();
            assert!(ours <= loss && ours >= loss - 1e-4, "{ours} {loss}");
        }
    }

    #[test]
    fn a_large_loss_is_counted_in_epsilon_and_small_ones_in_rho() {
        let list = [pure(3_000_000_000, 1), pure(10_000_000, 365), rho(1_000_000, 1)];
        let mixed = epsilon(&list, 1e-9).unwrap();
        let split = 3.0 + zcdp(list.get(1..).unwrap(), 1e-9).unwrap();
        assert!((mixed - split).abs() < 1e-6, "{mixed} {split}");
        assert!(mixed < zcdp(&list, 1e-9).unwrap());
        assert_eq!(basic(&list, 1e-9), None);
        assert!((basic(&[pure(500_000_000, 3)], 1e-9).unwrap() - 1.5).abs() < 1e-6);
    }

    #[test]
    fn what_fails_leaves_less_delta() {
        let failing = |delta_pico| [Release { delta_pico, ..pure(100_000_000, 10) }];
        assert_eq!(epsilon(&failing(101), 1e-9), None);
        assert_eq!(basic(&failing(101), 1e-9), None);
        assert!(zcdp(&failing(50), 1e-9) > zcdp(&failing(0), 1e-9));
    }
}
