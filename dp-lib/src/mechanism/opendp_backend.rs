//! The only code that touches OpenDP.
//!
//! Its measurements are neither `Send` nor safe to keep: each function here
//! builds one, asks it one thing and drops it (0.7 microseconds).

use std::num::NonZeroU64;

use opendp::core::Measurement;
use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::{TopKMeasure, make_gaussian, make_laplace, make_noisy_top_k};
use opendp::measures::{MaxDivergence, ZeroConcentratedDivergence};
use opendp::metrics::{L1Distance, L2Distance, LInfDistance};

use super::{CannotCalibrate, CannotDraw, Noise, Scale};
use crate::loss::Loss;

type Counts = VectorDomain<AtomDomain<i64>>;

fn counts() -> Counts {
    VectorDomain::new(AtomDomain::<i64>::default())
}

fn laplace(scale: Scale) -> Option<Measurement<Counts, L1Distance<i64>, MaxDivergence, Vec<i64>>> {
    make_laplace(counts(), L1Distance::default(), scale.as_f64(), None).ok()
}

fn gaussian(scale: Scale) -> Option<Measurement<Counts, L2Distance<f64>, ZeroConcentratedDivergence, Vec<i64>>> {
    make_gaussian(counts(), L2Distance::default(), scale.as_f64(), None).ok()
}

/// The `keys` indices of the largest noisy scores, or of the smallest.
///
/// The metric is monotonic, so that distances are ranges: what one unit may
/// move one score against another.
fn choice<M: TopKMeasure>(
    measure: M,
    scale: Scale,
    keys: usize,
    smallest: bool,
) -> Option<Measurement<Counts, LInfDistance<i64>, M, Vec<usize>>> {
    make_noisy_top_k(counts(), LInfDistance::new(true), measure, keys, scale.as_f64(), smallest).ok()
}

/// The loss of one unit by OpenDP's privacy map, rounded up.
pub(super) fn loss(noise: Noise, scale: Scale, sensitivity: NonZeroU64) -> Result<Loss, CannotCalibrate> {
    let moved = sensitivity.get();
    let reported = match noise {
        Noise::DiscreteLaplace => i64::try_from(moved).ok().and_then(|moved| laplace(scale)?.map(&moved).ok()),
        Noise::DiscreteGaussian => gaussian(scale).and_then(|noise| noise.map(&root_up(moved)).ok()),
        Noise::Exponential => {
            let moved = i64::try_from(moved).ok();
            moved.and_then(|moved| choice(MaxDivergence, scale, 1, false)?.map(&moved).ok())
        }
        // The sum of squares: so many choices, each of which moves by one.
        Noise::Gumbel => choice(ZeroConcentratedDivergence, scale, 1, false)
            .and_then(|noise| noise.map(&1).ok())
            .map(|one| (one * moved as f64).next_up()),
    };
    Loss::from_opendp(noise.measure(), reported.ok_or(CannotCalibrate::Refused)?).map_err(CannotCalibrate::NoLoss)
}

/// Noise on every count.
pub(super) fn draw(noise: Noise, scale: Scale, counts: &Vec<i64>) -> Result<Vec<i64>, CannotDraw> {
    let drawn = match noise {
        Noise::DiscreteLaplace => laplace(scale).and_then(|noise| noise.invoke(counts).ok()),
        Noise::DiscreteGaussian => gaussian(scale).and_then(|noise| noise.invoke(counts).ok()),
        Noise::Exponential | Noise::Gumbel => None,
    };
    drawn.filter(|values| values.len() == counts.len()).ok_or(CannotDraw::Failed)
}

/// The indices of the `keys` largest noisy scores, or of the smallest.
pub(super) fn choose(
    noise: Noise,
    scale: Scale,
    scores: &Vec<i64>,
    keys: usize,
    smallest: bool,
) -> Result<Vec<usize>, CannotDraw> {
    let chosen = match noise {
        Noise::Exponential => choice(MaxDivergence, scale, keys, smallest).and_then(|noise| noise.invoke(scores).ok()),
        Noise::Gumbel => {
            choice(ZeroConcentratedDivergence, scale, keys, smallest).and_then(|noise| noise.invoke(scores).ok())
        }
        Noise::DiscreteLaplace | Noise::DiscreteGaussian => None,
    };
    chosen.filter(|chosen| chosen.len() == keys).ok_or(CannotDraw::Failed)
}

/// A float that is not below the square root of `square`, which is at most 2^53.
fn root_up(square: u64) -> f64 {
    let root = (square as f64).sqrt();
    if square.isqrt().pow(2) == square { root } else { root.next_up() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_is_never_below_the_root() {
        for square in (1..5000).chain([(1 << 48) - 1, 1 << 48, (1 << 48) + 1]) {
            let root = root_up(square);
            // A float is 53 bits times a power of two: shifted so that all of them
            // are whole, the comparison is in integers.
            let shift = 52 - root.log2().floor() as i32;
            let whole = (root * 2_f64.powi(shift)) as u128;
            assert!(whole * whole >= u128::from(square) << (2 * shift), "{square}");
        }
    }
}
