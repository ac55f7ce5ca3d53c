//! What releases lose together, by sums.
//!
//! Promise: an upper bound that anybody can check by adding numbers up: of
//! epsilons (basic composition), of rhos (zero-concentrated differential
//! privacy), of Renyi divergences at one order (Mironov 2017, proposition 1), or of the
//! epsilons of some and the divergences of the others. Tighter, and harder to
//! check, is [`super::pld`].

use super::release::Release;

/// How many of the largest losses are tried in epsilon beside the others' divergences.
const IN_EPSILON_MAX: usize = 16;

/// The least epsilon at `delta` that any of these sums gives; `None` where
/// more than `delta` fails anyway.
#[must_use]
pub fn epsilon(list: &[Release], delta: f64) -> Option<f64> {
    // A mixed sum spends its delta on the divergences alone, so each choice of what
    // is counted in epsilon holds. A release of a large loss is cheaper in epsilon:
    // half a square grows faster.
    let each = |release: &Release| release.event.epsilon().unwrap_or(f64::INFINITY);
    let mut by_size = list.to_vec();
    by_size.sort_by(|one, other| each(other).total_cmp(&each(one)).then(one.cmp(other)));
    let pure = by_size.partition_point(|release| each(release).is_infinite());
    by_size.rotate_left(pure);
    let left = delta - failing(list);
    let mixed = |cut: usize| {
        let (in_epsilon, others) = by_size.split_at_checked(cut)?;
        Some(raised(in_epsilon.iter().map(epsilon_of).sum::<f64>() + renyi_epsilon(others, left)?))
    };
    let most = (by_size.len() - pure).min(IN_EPSILON_MAX);
    (0..=most).filter_map(mixed).chain(basic(list, delta)).chain(zcdp(list, delta)).reduce(f64::min)
}

/// The epsilon of the sum of Renyi divergences; `None` where more than `delta` fails anyway.
#[must_use]
pub fn renyi(list: &[Release], delta: f64) -> Option<f64> {
    renyi_epsilon(list, delta - failing(list)).map(raised)
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
    list.iter().map(|release| release.event.failing() * release.times.get() as f64).sum::<f64>() * (1.0 + 1e-12)
}

/// No round-off of the sums above has lowered this.
fn raised(epsilon: f64) -> f64 {
    epsilon * (1.0 + 1e-9) + 1e-12
}

/// The epsilon that a rho bounds at `delta`. Its divergence of each order is the order times rho.
pub(super) fn concentrated_epsilon(rho: f64, delta: f64) -> Option<f64> {
    converted(|excess| (1.0 + excess) * rho, rho == 0.0, delta)
}

fn renyi_epsilon(list: &[Release], delta: f64) -> Option<f64> {
    let divergence =
        |excess: f64| list.iter().map(|release| release.event.renyi(excess) * release.times.get() as f64).sum();
    converted(divergence, list.is_empty(), delta)
}

/// The epsilon at `delta` of what has these Renyi divergences, each of the order 1 + its
/// argument: the infimum over orders of Canonne, Kamath and Steinke 2020,
/// proposition 12. Every order gives a bound that holds, so the search may miss
/// the best one but never understate.
fn converted(divergence: impl Fn(f64) -> f64, is_nothing: bool, delta: f64) -> Option<f64> {
    if is_nothing {
        return (delta >= 0.0).then_some(0.0);
    }
    if delta <= 0.0 {
        return None;
    }
    let at = |log_excess: f64| {
        let excess = libm::exp(log_excess);
        let log_share = -libm::log1p(1.0 / excess);
        let conversion = ((1.0 + excess) * log_share - libm::log(delta) - log_excess) / excess;
        (divergence(excess) + conversion).max(0.0)
    };
    let golden = (libm::sqrt(5.0) - 1.0) / 2.0;
    let (mut low, mut high) = (-20.0_f64, 25.0_f64);
    for _ in 0..60 {
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
        Release { event, times: NonZeroU64::new(times).unwrap() }
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
        let split = 3.0 + renyi(list.get(1..).unwrap(), 1e-9).unwrap();
        assert!(mixed <= split, "{mixed} {split}");
        assert!(split < zcdp(&list, 1e-9).unwrap());
        assert_eq!(basic(&list, 1e-9), None);
        assert!((basic(&[pure(500_000_000, 3)], 1e-9).unwrap() - 1.5).abs() < 1e-6);
    }

    /// The sum over values of noise of the probability with the person to the power of
    /// `order`, times the one without to the power of `1 - order`.
    fn laplace_divergence(scale: f64, shift: i64, order: f64) -> f64 {
        let log_weight = |x: i64| -(x.abs() as f64) / scale;
        let reach = (60.0 * scale * order) as i64;
        let total: f64 = (-reach..=reach).map(|x| log_weight(x).exp()).sum();
        let power = |x: i64| (order * log_weight(x) + (1.0 - order) * log_weight(x - shift)).exp();
        ((-reach..=reach).map(power).sum::<f64>() / total).ln() / (order - 1.0)
    }

    #[test]
    fn the_divergence_of_laplace_noise_is_the_sum_that_defines_it() {
        for (scale, shift) in [("1", 1), ("2", 3), ("0.5", 2), ("10", 7)] {
            for order in [1.25, 2.0, 5.0] {
                let event =
                    Event::DiscreteLaplace { scale: scale.parse().unwrap(), shift: NonZeroU64::new(shift).unwrap() };
                let (ours, sum) =
                    (event.renyi(order - 1.0), laplace_divergence(scale.parse().unwrap(), shift as i64, order));
                assert!(
                    ours >= sum * (1.0 - 1e-12) && ours <= sum * (1.0 + 1e-9),
                    "{scale} {shift} {order}: {ours} {sum}"
                );
            }
        }
    }

    #[test]
    fn divergences_are_tighter_than_rhos() {
        let laplace = Event::DiscreteLaplace { scale: "10".parse().unwrap(), shift: NonZeroU64::new(3).unwrap() };
        let list = [release(laplace, 30)];
        assert!(renyi(&list, 1e-6) < zcdp(&list, 1e-6));
        assert_eq!(epsilon(&list, 1e-6), renyi(&list, 1e-6));
        let gaussian = [rho(1_000_000, 30)];
        assert!((renyi(&gaussian, 1e-6).unwrap() - zcdp(&gaussian, 1e-6).unwrap()).abs() < 1e-9);
    }

    #[test]
    fn what_fails_leaves_less_delta() {
        let failing = |delta_pico| {
            let failing = NonZeroU64::new(delta_pico).map(|delta_pico| release(Event::Failing { delta_pico }, 10));
            [Some(pure(100_000_000, 10)), failing].into_iter().flatten().collect::<Vec<_>>()
        };
        assert_eq!(epsilon(&failing(101), 1e-9), None);
        assert_eq!(basic(&failing(101), 1e-9), None);
        assert!(zcdp(&failing(50), 1e-9) > zcdp(&failing(0), 1e-9));
    }
}
