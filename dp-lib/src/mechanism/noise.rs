//! Distributions of noise and their scales.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::loss::Measure;

/// The distributions of noise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// Laplace noise on integers (the two-sided geometric): pure differential privacy.
    DiscreteLaplace,
    /// Gaussian noise on integers: zero-concentrated differential privacy.
    DiscreteGaussian,
    /// Exponential noise on scores, of which the largest wins (permute and
    /// flip: McKenna and Sheldon 2020): pure differential privacy.
    Exponential,
    /// Gumbel noise on scores, of which the largest wins (the exponential
    /// mechanism): zero-concentrated differential privacy.
    Gumbel,
}

impl Noise {
    /// The name that a policy and a receipt use.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiscreteLaplace => "discrete_laplace",
            Self::DiscreteGaussian => "discrete_gaussian",
            Self::Exponential => "exponential",
            Self::Gumbel => "gumbel",
        }
    }

    /// The noise on scores that is paid for as this one is.
    #[must_use]
    pub const fn choosing(self) -> Self {
        match self.measure() {
            Measure::Pure => Self::Exponential,
            Measure::Zcdp => Self::Gumbel,
        }
    }

    /// The noise on counts of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        [Self::DiscreteLaplace, Self::DiscreteGaussian].into_iter().find(|noise| noise.name() == name)
    }

    /// The measure of its loss.
    #[must_use]
    pub const fn measure(self) -> Measure {
        match self {
            Self::DiscreteLaplace | Self::Exponential => Measure::Pure,
            Self::DiscreteGaussian | Self::Gumbel => Measure::Zcdp,
        }
    }
}

/// A noise scale, in steps of 2^-20: every one is a float and a finite decimal,
/// both exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scale(u64);

pub(super) const STEP_BITS: u32 = 20;
const STEPS_MAX: u64 = 1 << 51;

impl Scale {
    /// The scale as a float, exactly.
    #[must_use]
    pub const fn as_f64(self) -> f64 {
        self.0 as f64 / (1_u64 << STEP_BITS) as f64
    }

    /// The steps of 2^-20 that it is.
    pub(super) const fn steps(self) -> u64 {
        self.0
    }

    pub(super) fn from_steps(steps: u128) -> Option<Self> {
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn noise_of_scale_zero_is_never_built() {
        // OpenDP accepts a scale of zero and would return the exact counts.
        assert_eq!(Scale::from_steps(0), None);
        assert_eq!("0".parse::<Scale>().ok(), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn a_scale_reads_back_as_it_was_written(steps in 1_u64..STEPS_MAX) {
            let scale = Scale(steps);
            prop_assert_eq!(scale.to_string().parse(), Ok(scale));
        }
    }
}
