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

/// The least `h` with `P(|noise| <= h) >= 0.95`.
#[must_use]
pub fn half_width_95(noise: Noise, scale: Scale) -> u64 {
    match noise {
        Noise::DiscreteLaplace => laplace(scale.as_f64()),
        Noise::DiscreteGaussian => gaussian(scale.as_f64()),
    }
}

/// `P(|X| > h) = 2 r^(h + 1) / (1 + r)` with `r = exp(-1 / scale)`.
fn laplace(scale: f64) -> u64 {
    let ratio = (-1.0 / scale).exp();
    let outside = |h: f64| 2.0 * (-(h + 1.0) / scale).exp() / (1.0 + ratio);
    let guess = (scale * (2.0 / (0.05 * (1.0 + ratio))).ln() - 1.0).ceil().max(0.0);
    // The closed form may miss by one in the last digit of a float.
    let least = [guess - 1.0, guess, guess + 1.0].into_iter().find(|h| *h >= 0.0 && outside(*h) <= 0.05);
    least.unwrap_or(guess + 1.0) as u64
}

/// `P(X = k)` is proportional to `exp(-k^2 / (2 sigma^2))`.
fn gaussian(sigma: f64) -> u64 {
    if sigma > SUMMED_SIGMA_MAX {
        return (1.959_963_985 * sigma).ceil() as u64 + 1;
    }
    let mass = |k: f64| (-k * k / (2.0 * sigma * sigma)).exp();
    let last = (12.0 * sigma).ceil() as u64 + 2;
    let total = 1.0 + 2.0 * (1..=last).rev().map(|k| mass(k as f64)).sum::<f64>();
    let (mut inside, mut h) = (1.0, 0_u64);
    while inside < 0.95 * total && h < last {
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
        for scale in [0.5, 1.0, 3.0, 10.0, 60.0, 612.5] {
            let theirs = opendp::accuracy::discrete_laplacian_scale_to_accuracy(scale, 0.05).unwrap();
            // Theirs is the a with P(|X| >= a) = 0.05, ours the least h with P(|X| >= h + 1) <= 0.05.
            assert_eq!(laplace(scale), (theirs.ceil() as u64).saturating_sub(1), "laplace {scale}");
        }
        for sigma in [0.7, 1.0, 10.0, 63.2456, 500.0] {
            let theirs = opendp::accuracy::discrete_gaussian_scale_to_accuracy(sigma, 0.05).unwrap();
            assert_eq!(gaussian(sigma), theirs as u64 - 1, "gaussian {sigma}");
        }
    }

    #[test]
    fn the_two_ways_to_the_gaussian_interval_meet() {
        let summed = gaussian(SUMMED_SIGMA_MAX);
        let quantile = (1.959_963_985 * SUMMED_SIGMA_MAX).ceil() as u64 + 1;
        assert!(summed <= quantile && quantile - summed <= 2, "{summed} {quantile}");
    }
}
