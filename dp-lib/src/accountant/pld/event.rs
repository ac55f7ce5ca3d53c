//! The privacy losses of single releases.
//!
//! A release adds noise to a whole table, of which a person moves at most some
//! keys (L0) by at most so much each (Linf). Noises of different keys are
//! independent, so the table's loss is the sum of its keys' losses. Three facts
//! say which move of a person is the worst.
//!
//! *A key that moves by more loses more.* The noises here are log-concave, so the
//! event that tells two shifts of them apart best is a half line (Neyman and
//! Pearson), and `P(X <= k) - exp(epsilon) P(X <= k - shift)` grows with the
//! shift for every `k`. Hence a table in which all L0 keys move by Linf dominates
//! (Zhu, Dong and Wang 2022, theorem 10): [`Event`] of the shift Linf, L0 times.
//!
//! *Laplace noise: one key that moves by all of L1 dominates every split of it.*
//! Write `a = shift / scale`, and `F(b)` for the sum over outputs of the smaller of
//! the probability with the person and `b` times the one without; delta is `1 - F`
//! at `b = exp(epsilon)`. For Laplace noise `F_a(b) = min(1, b, sqrt(b) exp(-a/2))`, for
//! discrete noise the same at `log b = a - 2 j / scale` for whole `j`, and straight
//! lines between these. Split `a` into `a1 >= a2` and let `r` be the likelihood
//! ratio of the second key, between `exp(-a2)` and `exp(a2)`. Then `F` of the split is
//! the mean of `F_a1(b r)`. By symmetry `F(b) = b F(1/b)`, so let `b >= 1`; let `b <=
//! exp(a)`, else both are 1. With `w = sqrt(r) exp(a2/2) >= 1` each of the three terms of
//! `F_a1(b r)` is at least `F_a(b)`: `1 >= sqrt(b) exp(-a/2)`; `b r >= sqrt(b) exp(-a/2)`
//! because `sqrt(b) >= 1 >= exp((a2 - a1)/2)`; and the third is `w sqrt(b) exp(-a/2)`.
//! More keys by induction, whichever part is larger taken first. Discrete shifts that sum up
//! to `shift` have their corners among the same `b`, so comparing there suffices. So
//! [`Event::DiscreteLaplace`] of the shift L1, once, bounds whatever L1 bounds.
//!
//! *Gaussian noise* has no such proof here for a bound on L2 alone: shifts on integers that
//! have the same sum of squares differ. Where keys do not move alike, account it as
//! [`Event::Concentrated`].

use std::num::NonZeroU64;

use thiserror::Error;

use super::{CELLS_MAX, Pld, ROUND_OFF};
use crate::loss::{NANO, PICO};
use crate::mechanism::Scale;

/// One release, or one key of a release, as far as its loss depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Event {
    /// A whole number with discrete Laplace noise.
    DiscreteLaplace {
        /// The noise's scale.
        scale: Scale,
        /// By how much a person moves the number at most.
        shift: NonZeroU64,
    },
    /// A whole number with discrete Gaussian noise.
    DiscreteGaussian {
        /// The noise's sigma.
        scale: Scale,
        /// By how much a person moves the number at most.
        shift: NonZeroU64,
    },
    /// Whatever is epsilon-differentially private, in billionths: randomized
    /// response is the worst of it (Kairouz, Oh and Viswanath 2015, theorem 3.1).
    Pure {
        /// Epsilon, in billionths.
        epsilon_nano: NonZeroU64,
    },
    /// Whatever is rho-zCDP and not better known, in billionths. No
    /// distribution of losses stands for it.
    Concentrated {
        /// Rho, in billionths.
        rho_nano: NonZeroU64,
    },
    /// What betrays everything with this probability, in trillionths, and else
    /// nothing: a threshold.
    Failing {
        /// Delta, in trillionths.
        delta_pico: NonZeroU64,
    },
}

/// Why there is no distribution of a loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NoPld {
    /// Only its rho is known.
    #[error("a loss of which only rho is known has no distribution: add up rho instead")]
    Concentrated,
    /// Too many values of noise to sum up.
    #[error("gaussian noise of a sigma above {SIGMA_MAX} is not summed up: account for it by its rho")]
    TooWide,
    /// Nothing private about it.
    #[error("a loss above {LOSS_MAX} in one release protects nobody and is not counted")]
    TooLarge,
    /// More than the error budget is for.
    #[error("more than {max} releases are not composed: account for fewer, or by rho", max = super::RELEASES_MAX)]
    TooMany,
    /// An empty list.
    #[error("no release, no loss")]
    Nothing,
}

/// The largest sigma whose values are summed up one by one.
const SIGMA_MAX: f64 = 100_000.0;

/// The largest loss of one release: its exponential is still a float.
const LOSS_MAX: f64 = 500.0;

/// How many sigmas of Gaussian noise are looked at on each side. Beyond is less
/// than exp(-60.5), below 2^-80: discrete Gaussian noise is subgaussian (Canonne, Kamath and Steinke 2020, corollary 17).
const SIGMAS: f64 = 11.0;
const BEYOND: f64 = 1.0 / (1_u128 << 80) as f64;

/// In how many steps a loss of Laplace noise is looked at, at most.
const STEPS_MAX: u64 = CELLS_MAX as u64;

impl Event {
    pub(super) fn pld(&self) -> Result<Pld, NoPld> {
        match *self {
            Self::DiscreteLaplace { scale, shift } => laplace(scale.as_f64(), shift.get()),
            Self::DiscreteGaussian { scale, shift } => gaussian(scale.as_f64(), shift.get() as f64),
            // With one step, a discrete Laplace is randomized response.
            Self::Pure { epsilon_nano } => laplace(NANO as f64 / epsilon_nano.get() as f64, 1),
            Self::Concentrated { .. } => Err(NoPld::Concentrated),
            Self::Failing { .. } => Ok(Pld::nothing().failing_also(self.failing())),
        }
    }

    /// The probability that it betrays everything.
    #[must_use]
    pub fn failing(&self) -> f64 {
        match *self {
            Self::Failing { delta_pico } => delta_pico.get() as f64 / PICO as f64,
            _ => 0.0,
        }
    }

    /// The epsilon that holds but for what fails; `None` where none does.
    #[must_use]
    pub fn epsilon(&self) -> Option<f64> {
        match *self {
            Self::DiscreteLaplace { scale, shift } => Some(shift.get() as f64 / scale.as_f64()),
            Self::Pure { epsilon_nano } => Some(epsilon_nano.get() as f64 / NANO as f64),
            Self::DiscreteGaussian { .. } | Self::Concentrated { .. } => None,
            Self::Failing { .. } => Some(0.0),
        }
    }

    /// Its rho: of pure losses half of epsilon squared (Bun and Steinke 2016, proposition 1.4).
    #[must_use]
    pub fn rho(&self) -> f64 {
        let half_square = |loss: f64| loss * loss / 2.0;
        match *self {
            Self::DiscreteGaussian { scale, shift } => half_square(shift.get() as f64 / scale.as_f64()),
            Self::Concentrated { rho_nano } => rho_nano.get() as f64 / NANO as f64,
            Self::Failing { .. } => 0.0,
            Self::DiscreteLaplace { .. } | Self::Pure { .. } => half_square(self.epsilon().unwrap_or(f64::INFINITY)),
        }
    }
}

impl Event {
    /// Its Renyi divergence of the order `1 + excess`, rounded up; `excess` is above zero.
    #[must_use]
    pub fn renyi(&self, excess: f64) -> f64 {
        let by_rho = (1.0 + excess) * self.rho();
        match (*self, self.epsilon()) {
            (Self::DiscreteLaplace { shift, .. }, Some(most)) => {
                laplace_renyi(most, shift.get() as f64, excess).min(by_rho).min(most)
            }
            (Self::Pure { .. }, Some(most)) => laplace_renyi(most, 1.0, excess).min(by_rho).min(most),
            _ => by_rho,
        }
    }
}

/// Discrete Laplace noise: the mean of `exp(excess loss)`, over the losses `most (1 - 2 j / shift)`
/// that [`laplace`] lists, is `exp(excess most)` times a geometric sum.
fn laplace_renyi(most: f64, shift: f64, excess: f64) -> f64 {
    let step = most / shift;
    let decay = libm::exp(-step);
    // The sum of ratio^j for j from 1 to shift - 1.
    let rate = (1.0 + 2.0 * excess) * step;
    let between = libm::exp(-rate) * libm::expm1(-rate * (shift - 1.0)) / libm::expm1(-rate);
    let ends = 1.0 + libm::exp(-rate * shift);
    let mean_over_largest = (ends - libm::expm1(-step) * between) / (1.0 + decay);
    // The logarithm is of a number from exp(-2 excess most) to 1, off by some units of round-off.
    let round_off = 64.0 * ROUND_OFF * (1.0 + excess * most);
    most + (libm::log(mean_over_largest) + round_off) / excess
}

/// Discrete Laplace noise of which a person moves the centre by `shift`. Its loss
/// takes the values `(shift - 2 j) / scale`. Of shifts with more than [`STEPS_MAX`] such
/// values only some are looked at, and the others split between them; these are the losses of
/// a smaller scale with as many fewer steps. The shift is rounded up for that.
fn laplace(scale: f64, shift: u64) -> Result<Pld, NoPld> {
    let merged = shift.div_ceil(STEPS_MAX);
    let steps = shift.div_ceil(merged);
    let step_loss = merged as f64 / scale;
    let most = steps as f64 * step_loss;
    if most > LOSS_MAX {
        return Err(NoPld::TooLarge);
    }
    let power = |steps: u64| libm::exp(-(steps as f64) * step_loss);
    let decay = power(1);
    let inner = -libm::expm1(-step_loss) / (1.0 + decay);
    let mass = |step: u64| match step {
        0 => 1.0 / (1.0 + decay),
        last if last == steps => power(steps) / (1.0 + decay),
        _ => inner * power(step),
    };
    let losses = (0..=steps).map(|step| (most - 2.0 * step as f64 * step_loss, mass(step)));
    // The exponential of a number is off by as many units as the number, and some of its own.
    Ok(Pld::placed(losses, (-most, most), 0.0, (2.0 * most + 16.0) * ROUND_OFF))
}

/// Discrete Gaussian noise of which a person moves the centre by `shift`: its
/// loss at the value `x` is `(shift^2 - 2 shift x) / (2 sigma^2)`.
fn gaussian(sigma: f64, shift: f64) -> Result<Pld, NoPld> {
    if sigma > SIGMA_MAX {
        return Err(NoPld::TooWide);
    }
    let reach = libm::ceil(SIGMAS * sigma) as i64;
    let loss = |x: i64| shift * (shift - 2.0 * x as f64) / (2.0 * sigma * sigma);
    let weight = |x: i64| libm::exp(-(x as f64 / sigma) * (x as f64 / sigma) / 2.0);
    if loss(-reach) > LOSS_MAX {
        return Err(NoPld::TooLarge);
    }
    // Leaving out the rarest weights makes all masses larger.
    let total: f64 = 1.0 + 2.0 * (1..=reach).rev().map(weight).sum::<f64>();
    let losses = (-reach..=reach).map(|x| (loss(x), weight(x) / total));
    let beyond = std::iter::once((loss(reach), BEYOND));
    let round_off = (reach as f64 + 4.0 * SIGMAS * SIGMAS) * ROUND_OFF;
    Ok(Pld::placed(losses.chain(beyond), (loss(reach), loss(-reach)), BEYOND, round_off))
}
