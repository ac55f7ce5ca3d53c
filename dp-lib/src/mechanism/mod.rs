//! Mechanisms: how a count gets its noise.
//!
//! Promise: noise is drawn once for a payment, from OpenDP's exact samplers
//! over integers, at a scale whose loss by OpenDP's own privacy map is finite
//! and at most the declared loss. That is checked before any draw, and counts
//! are clamped before it too, since OpenDP does not check its input.
//!
//! The parameters here are plain numbers that may cross threads. OpenDP's own
//! objects may not; they live and die inside one function call.
//!
//! Not promised: that a draw takes the same time whatever it draws. OpenDP's
//! samplers do not (see docs/decisions/0001), so a draw must not stand between
//! a request and its answer.
//!
//! No noise without payment, and no payment twice:
//! ```compile_fail
//! # use privet_dp::{exact::Exact, mechanism::Mechanism};
//! fn unpaid(mechanism: &Mechanism, counts: Exact<Vec<i64>>) {
//!     let _ = mechanism.release(counts);
//! }
//! ```
//! ```compile_fail
//! # use privet_dp::{exact::Exact, ledger::Paid, mechanism::Mechanism};
//! fn twice(mechanism: &Mechanism, paid: Paid, counts: Exact<Vec<i64>>, again: Exact<Vec<i64>>) {
//!     let _ = mechanism.release(paid, counts);
//!     let _ = mechanism.release(paid, again);
//! }
//! ```

mod opendp_backend;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::accuracy::half_width_95;
use crate::bound::ContributionBounds;
use crate::exact::Exact;
use crate::ledger::{Paid, ReleaseId};
use crate::loss::{Loss, Measure, NANO, NotALoss};

/// The engine that draws the noise, for receipts.
pub const OPENDP_VERSION: &str = "0.16.0";

/// Where its random bits come from, for receipts.
pub const RNG: &str = concat!("OpenSSL ", env!("PRIVET_DP_OPENSSL"), " RAND_priv_bytes");

/// Counts are clamped to `0..=COUNT_MAX` before noise.
const COUNT_MAX: i64 = 1 << 53;

/// The distributions of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Laplace noise on integers (the two-sided geometric): pure differential privacy.
    DiscreteLaplace,
    /// Gaussian noise on integers: zero-concentrated differential privacy.
    DiscreteGaussian,
}

impl Noise {
    /// The name that a policy and a receipt use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiscreteLaplace => "discrete_laplace",
            Self::DiscreteGaussian => "discrete_gaussian",
        }
    }

    /// The noise of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::DiscreteLaplace, Self::DiscreteGaussian].into_iter().find(|noise| noise.name() == name)
    }

    /// The measure of its loss.
    #[must_use]
    pub const fn measure(self) -> Measure {
        match self {
            Self::DiscreteLaplace => Measure::Pure,
            Self::DiscreteGaussian => Measure::Zcdp,
        }
    }
}

/// A noise scale, in steps of 2^-20: every one is a float and a finite decimal,
/// both exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scale(u64);

const STEP_BITS: u32 = 20;
const STEPS_MAX: u64 = 1 << 51;

impl Scale {
    /// The scale as a float, exactly.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64 / (1_u64 << STEP_BITS) as f64
    }

    fn from_steps(steps: u128) -> Option<Self> {
        u64::try_from(steps).ok().filter(|steps| (1..=STEPS_MAX).contains(steps)).map(Self)
    }
}

impl fmt::Display for Scale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 >> STEP_BITS, self.0 & ((1 << STEP_BITS) - 1));
        if rest == 0 {
            return write!(f, "{whole}");
        }
        // rest / 2^20 = rest * 5^20 / 10^20
        let digits = format!("{:0>20}", u128::from(rest) * 5_u128.pow(STEP_BITS));
        write!(f, "{whole}.{}", digits.trim_end_matches('0'))
    }
}

/// A text that no [`Scale`] prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("not a noise scale: a decimal that is a whole number of 2^-20")]
pub struct NotAScale;

impl FromStr for Scale {
    type Err = NotAScale;

    fn from_str(written: &str) -> Result<Self, NotAScale> {
        let (whole, fraction) = written.split_once('.').unwrap_or((written, "0"));
        let padded = format!("{fraction:0<20}");
        if padded.len() != 20 {
            return Err(NotAScale);
        }
        let (whole, fraction): (u64, u128) =
            (whole.parse().map_err(|_| NotAScale)?, padded.parse().map_err(|_| NotAScale)?);
        let steps = (u128::from(whole) << STEP_BITS) + fraction / 5_u128.pow(STEP_BITS);
        let scale = Self::from_steps(steps).ok_or(NotAScale)?;
        // One text for one scale: leading zeros, signs and fractions between two steps do not print back.
        if scale.to_string() == written { Ok(scale) } else { Err(NotAScale) }
    }
}

/// Noise at a scale that keeps a declared loss under declared bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanism {
    noise: Noise,
    scale: Scale,
    bounds: ContributionBounds,
    loss: Loss,
}

/// Why there is no mechanism for a declared loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotCalibrate {
    /// An epsilon for Gaussian noise, or a rho for Laplace noise.
    #[error("the noise `{noise}` is paid in {measure}", noise = .0.name(), measure = .0.measure().symbol())]
    WrongMeasure(Noise),
    /// The loss is so small, or so large, that no usable scale keeps it.
    #[error("no noise scale up to 2^31 keeps this privacy loss under these bounds")]
    NoScale,
    /// OpenDP reported a loss that is none.
    #[error("OpenDP gives no privacy loss for this mechanism")]
    NoLoss(#[source] NotALoss),
    /// OpenDP would not build the mechanism.
    #[error("OpenDP refuses this mechanism")]
    Refused,
}

/// Why nothing was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotDraw {
    /// The payment is for a smaller loss than this mechanism's.
    #[error("the payment does not cover the mechanism's privacy loss")]
    Underpaid,
    /// The privacy map, asked again, gave no loss, or one above the declared.
    #[error("the mechanism's privacy loss is not what was declared")]
    LossChanged,
    /// OpenDP's sampler failed, as when the system has no entropy.
    #[error("OpenDP could not draw noise")]
    Failed,
}

/// Values with noise on them: safe to publish, once their bytes are committed.
#[derive(Debug)]
pub struct Noised {
    release: ReleaseId,
    values: Vec<i64>,
}

impl Noised {
    /// The release they were paid for.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }

    /// The values, signed and as they were drawn.
    #[must_use]
    pub fn values(&self) -> &[i64] {
        &self.values
    }
}

impl Mechanism {
    /// The least noise that keeps `loss` for one unit within `bounds`.
    ///
    /// Laplace: the loss is L1 sensitivity over scale. Gaussian: L2 sensitivity
    /// squared over twice the variance (Canonne, Kamath and Steinke 2020,
    /// theorem 4). The last word has OpenDP's privacy map.
    ///
    /// # Errors
    /// A loss of the wrong measure, or one that no scale keeps.
    pub fn calibrate(noise: Noise, bounds: ContributionBounds, loss: Loss) -> Result<Self, CannotCalibrate> {
        if loss.measure() != noise.measure() {
            return Err(CannotCalibrate::WrongMeasure(noise));
        }
        let steps = match noise {
            Noise::DiscreteLaplace => laplace_steps(bounds, loss),
            Noise::DiscreteGaussian => gaussian_steps(bounds, loss),
        };
        // The map answers in floats and rounds up, so the exact scale may miss
        // the declared loss by a hair: a few steps more and it does not.
        for steps in steps..steps.saturating_add(10_000) {
            let scale = Scale::from_steps(steps).ok_or(CannotCalibrate::NoScale)?;
            if opendp_backend::loss(noise, scale, bounds)?.nano() <= loss.nano() {
                return Ok(Self { noise, scale, bounds, loss });
            }
        }
        Err(CannotCalibrate::NoScale)
    }

    /// The distribution.
    #[must_use]
    pub const fn noise(&self) -> Noise {
        self.noise
    }

    /// Its scale: Laplace's b, Gauss's sigma.
    #[must_use]
    pub const fn scale(&self) -> Scale {
        self.scale
    }

    /// The bounds it is calibrated to.
    #[must_use]
    pub const fn bounds(&self) -> ContributionBounds {
        self.bounds
    }

    /// The declared loss of one release for one unit.
    #[must_use]
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// Half the width of a value's 95 % interval.
    #[must_use]
    pub fn half_width_95(&self) -> u64 {
        half_width_95(self.noise, self.scale)
    }

    /// Draws noise onto the counts of one paid release; takes both.
    ///
    /// # Errors
    /// A payment below the loss, a privacy map that no longer keeps it, or a
    /// sampler that failed. The payment is gone in every case.
    pub fn release(&self, paid: Paid, counts: Exact<Vec<i64>>) -> Result<Noised, CannotDraw> {
        if !paid.covers(self.loss) {
            return Err(CannotDraw::Underpaid);
        }
        let kept =
            opendp_backend::loss(self.noise, self.scale, self.bounds).is_ok_and(|loss| loss.nano() <= self.loss.nano());
        if !kept {
            return Err(CannotDraw::LossChanged);
        }
        let clamped =
            Zeroizing::new(counts.value().iter().map(|count| (*count).clamp(0, COUNT_MAX)).collect::<Vec<i64>>());
        let values = opendp_backend::draw(self.noise, self.scale, &clamped)?;
        Ok(Noised { release: paid.release(), values })
    }
}

/// The least number of steps with `l1 / scale <= epsilon`.
fn laplace_steps(bounds: ContributionBounds, loss: Loss) -> u128 {
    let numerator = (u128::from(bounds.sensitivity_l1()) * u128::from(NANO)) << STEP_BITS;
    numerator.div_ceil(u128::from(loss.nano()))
}

/// The least number of steps with `l2^2 / (2 scale^2) <= rho`.
fn gaussian_steps(bounds: ContributionBounds, loss: Loss) -> u128 {
    let numerator = (u128::from(bounds.sensitivity_l2_squared()) * u128::from(NANO)) << (2 * STEP_BITS - 1);
    let square = numerator.div_ceil(u128::from(loss.nano()));
    let root = square.isqrt();
    if root * root == square { root } else { root + 1 }
}

/// The loss of a mechanism from its scale alone, in exact integers, rounded up.
/// This is what a reader of receipts computes, without OpenDP.
#[must_use]
pub fn loss_of(noise: Noise, scale: Scale, bounds: ContributionBounds) -> Option<Loss> {
    let steps = u128::from(scale.0);
    let nano = match noise {
        Noise::DiscreteLaplace => {
            ((u128::from(bounds.sensitivity_l1()) * u128::from(NANO)) << STEP_BITS).div_ceil(steps)
        }
        Noise::DiscreteGaussian => ((u128::from(bounds.sensitivity_l2_squared()) * u128::from(NANO))
            << (2 * STEP_BITS - 1))
            .div_ceil(steps * steps),
    };
    Loss::from_nano(noise.measure(), u64::try_from(nano).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bounds(l0: u64, linf: u64) -> ContributionBounds {
        ContributionBounds::new(l0, linf).unwrap()
    }

    fn loss(measure: Measure, written: &str) -> Loss {
        Loss::from_decimal(measure, written).unwrap()
    }

    #[test]
    fn the_scale_is_the_least_that_keeps_the_loss() {
        let laplace = Mechanism::calibrate(Noise::DiscreteLaplace, bounds(2, 3), loss(Measure::Pure, "0.1")).unwrap();
        assert_eq!(laplace.scale().to_string(), "60.00000095367431640625");
        assert_eq!(laplace.half_width_95(), 180);
        let gaussian =
            Mechanism::calibrate(Noise::DiscreteGaussian, bounds(4, 1), loss(Measure::Zcdp, "0.0005")).unwrap();
        assert!(gaussian.scale().to_string().starts_with("63.2455"), "{}", gaussian.scale());
        assert_eq!(gaussian.half_width_95(), 124);
    }

    #[test]
    fn what_no_noise_keeps_is_refused() {
        let (pure, zcdp) = (loss(Measure::Pure, "1"), loss(Measure::Zcdp, "1"));
        assert_eq!(
            Mechanism::calibrate(Noise::DiscreteLaplace, bounds(1, 1), zcdp),
            Err(CannotCalibrate::WrongMeasure(Noise::DiscreteLaplace))
        );
        assert_eq!(
            Mechanism::calibrate(Noise::DiscreteGaussian, bounds(1, 1), pure),
            Err(CannotCalibrate::WrongMeasure(Noise::DiscreteGaussian))
        );
        let hopeless = Loss::from_nano(Measure::Pure, 1).unwrap();
        assert_eq!(
            Mechanism::calibrate(Noise::DiscreteLaplace, bounds(65_536, 65_536), hopeless),
            Err(CannotCalibrate::NoScale)
        );
    }

    #[test]
    fn the_version_on_receipts_is_the_version_we_build_with() {
        let manifest = include_str!("../../Cargo.toml");
        let workspace = include_str!("../../../Cargo.toml");
        assert!([manifest, workspace].iter().any(|text| text.contains(&format!("\"={OPENDP_VERSION}\""))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_scale_reads_back_as_it_was_written(steps in 1_u64..STEPS_MAX) {
            let scale = Scale(steps);
            prop_assert_eq!(scale.to_string().parse(), Ok(scale));
        }

        /// Calibrated noise keeps its loss by OpenDP's map and by exact integer
        /// arithmetic, and wastes less than a ten-thousandth of it unless the
        /// scale is so small that its steps are coarse.
        #[test]
        fn a_calibrated_mechanism_keeps_its_loss(l0 in 1_u64..200, linf in 1_u64..200, nano in 10_000_u64..20_000_000_000, laplace: bool) {
            let noise = if laplace { Noise::DiscreteLaplace } else { Noise::DiscreteGaussian };
            let declared = Loss::from_nano(noise.measure(), nano).unwrap();
            let mechanism = Mechanism::calibrate(noise, bounds(l0, linf), declared).unwrap();
            let reported = opendp_backend::loss(noise, mechanism.scale(), mechanism.bounds()).unwrap();
            let exact = loss_of(noise, mechanism.scale(), mechanism.bounds()).unwrap();
            prop_assert!(reported.nano() <= nano && exact.nano() <= reported.nano());
            if mechanism.scale().as_f64() > 0.5 {
                prop_assert!(reported.nano() as f64 >= nano as f64 * 0.9999 - 1.0, "{} of {nano}", reported.nano());
            }
        }
    }
}
