//! The only code that touches OpenDP.
//!
//! Its measurements are neither `Send` nor safe to keep: each function here
//! builds one, asks it one thing and drops it (0.7 microseconds).

use opendp::core::Measurement;
use opendp::domains::{AtomDomain, VectorDomain};
use opendp::measurements::{make_gaussian, make_laplace};
use opendp::measures::{MaxDivergence, ZeroConcentratedDivergence};
use opendp::metrics::{L1Distance, L2Distance};

use super::{CannotCalibrate, CannotDraw, Noise, Scale};
use crate::bound::ContributionBounds;
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

/// The loss of one unit by OpenDP's privacy map, rounded up.
pub(super) fn loss(noise: Noise, scale: Scale, bounds: ContributionBounds) -> Result<Loss, CannotCalibrate> {
    let reported = match noise {
        Noise::DiscreteLaplace => {
            let sensitivity = i64::try_from(bounds.sensitivity_l1()).ok();
            laplace(scale).zip(sensitivity).and_then(|(noise, sensitivity)| noise.map(&sensitivity).ok())
        }
        Noise::DiscreteGaussian => {
            gaussian(scale).and_then(|noise| noise.map(&root_up(bounds.sensitivity_l2_squared())).ok())
        }
    };
    Loss::from_opendp(noise.measure(), reported.ok_or(CannotCalibrate::Refused)?).map_err(CannotCalibrate::NoLoss)
}

/// Noise on every count.
pub(super) fn draw(noise: Noise, scale: Scale, counts: &Vec<i64>) -> Result<Vec<i64>, CannotDraw> {
    let drawn = match noise {
        Noise::DiscreteLaplace => laplace(scale).and_then(|noise| noise.invoke(counts).ok()),
        Noise::DiscreteGaussian => gaussian(scale).and_then(|noise| noise.invoke(counts).ok()),
    };
    drawn.filter(|values| values.len() == counts.len()).ok_or(CannotDraw::Failed)
}

/// A float that is not below the square root of `square`, which is below 2^53.
fn root_up(square: u64) -> f64 {
    let root = (square as f64).sqrt();
    if square.isqrt().pow(2) == square { root } else { root.next_up() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::Measure;

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

    #[test]
    fn noise_of_scale_zero_is_never_built() {
        // OpenDP accepts a scale of zero and would return the exact counts; a Scale cannot be zero.
        assert_eq!(Scale::from_steps(0), None);
        assert_eq!("0".parse::<Scale>().ok(), None);
        assert_eq!(Loss::from_opendp(Measure::Pure, f64::INFINITY).ok(), None);
    }
}
