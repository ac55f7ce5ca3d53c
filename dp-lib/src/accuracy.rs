//! How far noise carries a published value.
//!
//! Promise: the interval of a value, `value - half_width ..= value +
//! half_width`, holds the bounded count with a probability of at least 95 %, by
//! the exact tail of the discrete distribution, and is the narrowest such.
//!
//! Not covered: what contribution bounding left out. That bias is exact
//! knowledge about the data, and is not published.

use crate::mechanism::{Noise, Scale};

/// Above this deviation the sum over the discrete Gaussian gives way to the
/// continuous quantile plus one: they agree to less than one there.
const SUMMED_SIGMA_MAX: f64 = 100_000.0;

/// How likely an interval is to miss.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misses {
    /// One in twenty.
    OneInTwenty,
    /// One in forty: two such intervals together miss once in twenty.
    OneInForty,
}

impl Misses {
    const fn share(self) -> f64 {
        match self {
            Self::OneInTwenty => 0.05,
            Self::OneInForty => 0.025,
        }
    }

    /// The continuous Gaussian's quantile.
    const fn sigmas(self) -> f64 {
        match self {
            Self::OneInTwenty => 1.959_963_985,
            Self::OneInForty => 2.241_402_728,
        }
    }
}

/// The least `h` with `P(|noise| <= h)` at least 0.95, or 0.975; `None` for
/// noise on scores, which is on no value.
#[must_use]
pub fn half_width(noise: Noise, scale: Scale, misses: Misses) -> Option<u64> {
    match noise {
        Noise::DiscreteLaplace => Some(laplace(scale.as_f64(), misses)),
        Noise::DiscreteGaussian => Some(gaussian(scale.as_f64(), misses)),
        Noise::Exponential | Noise::Gumbel => None,
    }
}

/// How far a chosen score is from the best of `candidates` scores at most, but
/// for one time in twenty: `scale * ln(candidates / 0.05)`, rounded up
/// (McSherry and Talwar 2007, theorem 6; permute and flip is never worse).
#[must_use]
pub fn score_gap(scale: Scale, candidates: usize) -> u64 {
    (scale.as_f64() * (candidates.max(1) as f64 / 0.05).ln()).ceil() as u64
}

/// The probability that noise on a count is at least `least`, which is above
/// zero, rounded up; 1 for noise on scores.
#[must_use]
pub fn tail(noise: Noise, scale: Scale, least: u64) -> f64 {
    let exact = match noise {
        Noise::DiscreteLaplace => {
            let scale = scale.as_f64();
            (-(least as f64) / scale).exp() / (1.0 + (-1.0 / scale).exp())
        }
        Noise::DiscreteGaussian => gaussian_tail(scale.as_f64(), least),
        Noise::Exponential | Noise::Gumbel => 1.0,
    };
    (exact * (1.0 + 1e-9)).min(1.0)
}

fn gaussian_tail(sigma: f64, least: u64) -> f64 {
    let least = least as f64;
    if sigma > TAIL_SUMMED_SIGMA_MAX {
        // Below the continuous tail from `least - 1` on (Canonne, Kamath and
        // Steinke 2020, proposition 25), which is below Chernoff's bound.
        let sigmas = (least - 1.0) / sigma;
        return 0.5 * (-sigmas * sigmas / 2.0).exp();
    }
    let mass = |k: f64| (-k * k / (2.0 * sigma * sigma)).exp();
    let reach = (12.0 * sigma).ceil() + 2.0;
    let total = 1.0 + 2.0 * (1..=reach as u64).rev().map(|k| mass(k as f64)).sum::<f64>();
    let beyond: f64 = (0..=reach as u64).rev().map(|k| mass(least + k as f64)).sum();
    beyond / total
}

/// Above this deviation a threshold's tail is bounded instead of summed.
const TAIL_SUMMED_SIGMA_MAX: f64 = 20_000.0;

/// `P(|X| > h) = 2 r^(h + 1) / (1 + r)` with `r = exp(-1 / scale)`.
fn laplace(scale: f64, misses: Misses) -> u64 {
    let alpha = misses.share();
    let ratio = (-1.0 / scale).exp();
    let outside = |h: f64| 2.0 * (-(h + 1.0) / scale).exp() / (1.0 + ratio);
    let guess = (scale * (2.0 / (alpha * (1.0 + ratio))).ln() - 1.0).ceil().max(0.0);
    // The closed form may miss by one in the last digit of a float.
    let least = [guess - 1.0, guess, guess + 1.0].into_iter().find(|h| *h >= 0.0 && outside(*h) <= alpha);
    least.unwrap_or(guess + 1.0) as u64
}

/// `P(X = k)` is proportional to `exp(-k^2 / (2 sigma^2))`.
fn gaussian(sigma: f64, misses: Misses) -> u64 {
    if sigma > SUMMED_SIGMA_MAX {
        return (misses.sigmas() * sigma).ceil() as u64 + 1;
    }
    let mass = |k: f64| (-k * k / (2.0 * sigma * sigma)).exp();
    let last = (12.0 * sigma).ceil() as u64 + 2;
    let total = 1.0 + 2.0 * (1..=last).rev().map(|k| mass(k as f64)).sum::<f64>();
    let (mut inside, mut h) = (1.0, 0_u64);
    while inside < (1.0 - misses.share()) * total && h < last {
        h += 1;
        inside += 2.0 * mass(h as f64);
    }
    h
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_agree_with_opendps_own() {
        for misses in [Misses::OneInTwenty, Misses::OneInForty] {
            for scale in [0.5, 1.0, 3.0, 10.0, 60.0, 612.5] {
                let theirs = opendp::accuracy::discrete_laplacian_scale_to_accuracy(scale, misses.share()).unwrap();
                // Theirs is the a with P(|X| >= a) = 0.05, ours the least h with P(|X| >= h + 1) <= 0.05.
                assert_eq!(laplace(scale, misses), (theirs.ceil() as u64).saturating_sub(1), "laplace {scale}");
            }
            for sigma in [0.7, 1.0, 10.0, 63.2456, 500.0] {
                let theirs = opendp::accuracy::discrete_gaussian_scale_to_accuracy(sigma, misses.share()).unwrap();
                assert_eq!(gaussian(sigma, misses), theirs as u64 - 1, "gaussian {sigma}");
            }
        }
    }

    #[test]
    fn the_two_ways_to_the_gaussian_interval_meet() {
        for misses in [Misses::OneInTwenty, Misses::OneInForty] {
            let summed = gaussian(SUMMED_SIGMA_MAX, misses);
            let quantile = (misses.sigmas() * SUMMED_SIGMA_MAX).ceil() as u64 + 1;
            assert!(summed <= quantile && quantile - summed <= 2, "{summed} {quantile}");
        }
    }

    #[test]
    fn a_tail_is_what_is_left_of_the_interval() {
        for (noise, scale) in [(Noise::DiscreteLaplace, "3.5"), (Noise::DiscreteGaussian, "8")] {
            let scale: Scale = scale.parse().unwrap();
            let half_width = half_width(noise, scale, Misses::OneInTwenty).unwrap();
            assert!(2.0 * tail(noise, scale, half_width + 1) <= 0.05 * (1.0 + 1e-8));
            assert!(2.0 * tail(noise, scale, half_width) > 0.05);
        }
        // The bound for large deviations is above the sum for those below.
        let (sigma, least) = (1000.0, 4000);
        let bound = 0.5 * (-((least as f64 - 1.0) / sigma).powi(2) / 2.0).exp();
        assert!(gaussian_tail(sigma, least) < bound);
    }
}
