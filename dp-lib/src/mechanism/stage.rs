//! One draw of a release: what it answers, with which noise, at what loss.
//!
//! Promise: a stage's loss follows from its scale and its sensitivity in exact
//! integers, rounded up, and its threshold's delta from the exact tail of its
//! noise, rounded up. This is what a reader of receipts computes, too.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

use super::noise::STEP_BITS;
use super::{CannotCalibrate, Noise, Scale, Spec, opendp_backend};
use crate::accuracy;
use crate::aggregate::{Aggregate, PerMille};
use crate::bound::ContributionBounds;
use crate::loss::{Loss, NANO, PICO};

/// What a stage answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Which private keys are published: those whose noisy number of units passes a threshold.
    Select,
    /// How many rows each key has.
    Count,
    /// How many units each key has.
    Units,
    /// What the rows' values sum up to.
    Sum,
    /// How far the rows' values are above the lower end of their clamp, and how far
    /// below the upper one, each summed up: their mean follows from both.
    Mean,
    /// How many rows each interval of each key has.
    Histogram,
    /// Which candidates the quantiles are.
    Quantiles,
    /// Which keys have the most rows.
    Top,
}

impl Part {
    /// Its name, as receipts write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Select => "select",
            Self::Count => "count",
            Self::Units => "units",
            Self::Sum => "sum",
            Self::Mean => "mean",
            Self::Histogram => "histogram",
            Self::Quantiles => "quantiles",
            Self::Top => "top",
        }
    }

    /// Whether it chooses among scores rather than adding noise to counts.
    #[must_use]
    pub const fn chooses(self) -> bool {
        matches!(self, Self::Quantiles | Self::Top)
    }

    /// How far one privacy unit may move what this part answers, in the norm
    /// that its noise is paid by: L1 for Laplace, L2 squared for Gauss; for
    /// choices the sum over all of them of the range by which scores move
    /// (exponential), or of its square (Gumbel). `None` beyond 2^53.
    #[must_use]
    pub fn sensitivity(self, noise: Noise, spec: &Spec) -> Option<NonZeroU64> {
        let rows = self.rows(spec);
        let (l1, l2_squared) = (u128::from(rows.rows_l1()), u128::from(rows.rows_l2_squared()));
        let (sum, squares) = self.moves(&spec.aggregate);
        let moved = match noise {
            Noise::DiscreteLaplace | Noise::Exponential => l1.checked_mul(sum)?,
            Noise::DiscreteGaussian | Noise::Gumbel => l2_squared.checked_mul(squares)?,
        };
        NonZeroU64::new(u64::try_from(moved).ok()?).filter(|moved| moved.get() <= 1 << 53)
    }

    /// The rows of one unit that bear on this part.
    fn rows(self, spec: &Spec) -> ContributionBounds {
        let bounds = spec.bounds;
        match (self, &spec.aggregate) {
            (Self::Select | Self::Units, _) => bounds.of_units(),
            // Of the keys that a draw chose before, a unit has no more than there are. Private
            // keys are all counted, and the largest counts are the top.
            (Self::Count, Aggregate::Top { keys }) if spec.min_units.is_none() => bounds.within_keys(*keys),
            // A choice of keys moves by what one key's score moves.
            (Self::Top, _) => bounds.within_keys(1),
            _ => bounds,
        }
    }

    /// How far one row moves an answer, and the square of that, each summed over the answers.
    fn moves(self, aggregate: &Aggregate) -> (u128, u128) {
        match (self, aggregate) {
            (Self::Sum, Aggregate::Sum(clamp)) => {
                let reach = u128::from(clamp.reach());
                (reach, reach * reach)
            }
            // What a row adds to both sums is the width together, whatever its value; so
            // the squares of both are most where one has all of it.
            (Self::Mean, Aggregate::Mean(clamp)) => {
                let width = u128::from(clamp.width());
                (width, width * width)
            }
            (Self::Quantiles, Aggregate::Quantiles(quantiles)) => {
                let ranges = || quantiles.at().iter().map(|share| u128::from(range_of(*share)));
                (ranges().sum(), ranges().map(|range| range * range).sum())
            }
            (Self::Top, Aggregate::Top { keys }) => (u128::from(*keys), u128::from(*keys)),
            _ => (1, 1),
        }
    }
}

/// By how much one row may move the scores of a quantile's candidates against
/// each other. A score is the distance in rows, in thousandths, between what is
/// below a candidate and what should be; a row moves it by the share or by the
/// rest, up for some candidates and down for others.
const fn range_of(share: PerMille) -> u64 {
    let (below, above) = (share.get() as u64, 1000 - share.get() as u64);
    2 * if below > above { below } else { above }
}

/// What a noisy count of units must reach for its key to be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Threshold {
    /// The least noisy number of units.
    pub at: u64,
    /// The least exact number of units.
    pub min_units: u32,
}

impl Threshold {
    /// The least threshold at which the keys that one person alone may bring
    /// into the table, or take out of it, stay unseen but for a probability of
    /// `delta_pico` trillionths.
    ///
    /// Keys below `min_units` units are left out exactly, and units above that
    /// are counted from `min_units - 1` on: so the least count that is seen is
    /// one again, and the argument for one unit holds (pre-thresholding, as in
    /// Google's differential privacy library).
    pub(super) fn least(
        noise: Noise,
        scale: Scale,
        keys_per_unit: u32,
        ids: NonZeroU64,
        min_units: u32,
        delta_pico: u64,
    ) -> Option<Self> {
        let of = |excess: u64| Self { at: excess.saturating_add(u64::from(min_units) - 1), min_units };
        let keeps = |excess: u64| {
            of(excess).delta_pico(noise, scale, keys_per_unit, ids).is_some_and(|delta| delta <= delta_pico)
        };
        let above = (0..40).map(|power| ids.get() + (1_u64 << power)).find(|excess| keeps(*excess))?;
        let (mut below, mut least) = (ids.get(), above);
        while least - below > 1 {
            let middle = below + (least - below) / 2;
            if keeps(middle) { least = middle } else { below = middle }
        }
        Some(of(least))
    }

    /// The probability, in trillionths and rounded up, that a key is published
    /// which only one person has: at most `keys_per_unit` keys for each of its
    /// `ids` identifiers, with at most `ids` units in each (a union bound).
    /// `None` where the threshold is not above what a person reaches alone.
    #[must_use]
    pub fn delta_pico(self, noise: Noise, scale: Scale, keys_per_unit: u32, ids: NonZeroU64) -> Option<u64> {
        let excess = self.at.checked_sub(u64::from(self.min_units.checked_sub(1)?))?;
        let noise_needed = excess.checked_sub(ids.get()).filter(|needed| *needed > 0)?;
        let single = accuracy::tail(noise, scale, noise_needed);
        let keys = u64::from(keys_per_unit).checked_mul(ids.get())? as f64;
        let pico = (single * keys * PICO as f64 * (1.0 + 1e-9)).ceil();
        (pico < PICO as f64).then_some((pico as u64).max(1))
    }
}

/// One draw of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage {
    pub(super) part: Part,
    pub(super) noise: Noise,
    pub(super) scale: Scale,
    pub(super) sensitivity: NonZeroU64,
    pub(super) threshold: Option<Threshold>,
    pub(super) loss: Loss,
}

impl Stage {
    /// The least noise that keeps `nano` billionths of a loss.
    pub(super) fn calibrate(
        part: Part,
        noise: Noise,
        sensitivity: NonZeroU64,
        loss: Loss,
    ) -> Result<Self, CannotCalibrate> {
        let steps = least_steps(noise, sensitivity, loss).ok_or(CannotCalibrate::NoScale)?;
        // OpenDP's map answers in floats and rounds up, so the exact scale may
        // miss the declared loss by a hair: a few steps more and it does not.
        for steps in steps..steps.saturating_add(10_000) {
            let scale = Scale::from_steps(steps).ok_or(CannotCalibrate::NoScale)?;
            if opendp_backend::loss(noise, scale, sensitivity)?.nano() <= loss.nano() {
                return Ok(Self { part, noise, scale, sensitivity, threshold: None, loss });
            }
        }
        Err(CannotCalibrate::NoScale)
    }

    /// What it answers.
    #[must_use]
    pub const fn part(&self) -> Part {
        self.part
    }

    /// The distribution.
    #[must_use]
    pub const fn noise(&self) -> Noise {
        self.noise
    }

    /// Its scale: Laplace's b, Gauss's sigma, the scale of noise on scores.
    #[must_use]
    pub const fn scale(&self) -> Scale {
        self.scale
    }

    /// How far one privacy unit may move the answer; see [`Part::sensitivity`].
    #[must_use]
    pub const fn sensitivity(&self) -> NonZeroU64 {
        self.sensitivity
    }

    /// What a key must reach to be published, where keys are selected.
    #[must_use]
    pub const fn threshold(&self) -> Option<Threshold> {
        self.threshold
    }

    /// Its declared loss.
    #[must_use]
    pub const fn loss(&self) -> Loss {
        self.loss
    }

    /// Whether OpenDP's map and exact integers, asked now, keep the declared loss.
    pub(super) fn keeps_its_loss(&self) -> bool {
        let reported = opendp_backend::loss(self.noise, self.scale, self.sensitivity);
        let exact = loss_of(self.noise, self.scale, self.sensitivity);
        reported.is_ok_and(|loss| loss.nano() <= self.loss.nano())
            && exact.is_some_and(|loss| loss.nano() <= self.loss.nano())
    }
}

/// Shifts and factors of the four losses: `sensitivity * NANO << shift` over
/// `steps^power * divisor` billionths.
const fn law_of(noise: Noise) -> (u32, u32, u128) {
    match noise {
        // sensitivity / scale
        Noise::DiscreteLaplace | Noise::Exponential => (STEP_BITS, 1, 1),
        // sensitivity^2 / (2 scale^2): Canonne, Kamath and Steinke 2020, theorem 4
        Noise::DiscreteGaussian => (2 * STEP_BITS, 2, 2),
        // range^2 / (8 scale^2): Cesar and Rogers 2021, lemma 3.4
        Noise::Gumbel => (2 * STEP_BITS, 2, 8),
    }
}

/// The loss of noise from its scale alone, in exact integers, rounded up.
/// This is what a reader of receipts computes, without OpenDP.
#[must_use]
pub fn loss_of(noise: Noise, scale: Scale, sensitivity: NonZeroU64) -> Option<Loss> {
    let (shift, power, divisor) = law_of(noise);
    let numerator = u128::from(sensitivity.get()).checked_mul(u128::from(NANO))?;
    if numerator.leading_zeros() < shift {
        return None;
    }
    let denominator = u128::from(scale.steps()).checked_pow(power)?.checked_mul(divisor)?;
    let nano = (numerator << shift).div_ceil(denominator).max(1);
    Loss::from_nano(noise.measure(), u64::try_from(nano).ok()?).ok()
}

/// The least number of steps whose exact loss is at most `loss`.
fn least_steps(noise: Noise, sensitivity: NonZeroU64, loss: Loss) -> Option<u128> {
    let (shift, power, divisor) = law_of(noise);
    let numerator = u128::from(sensitivity.get()).checked_mul(u128::from(NANO))?;
    if numerator.leading_zeros() < shift {
        return None;
    }
    let needed = (numerator << shift).div_ceil(u128::from(loss.nano()) * divisor);
    match power {
        1 => Some(needed),
        _ => {
            let root = needed.isqrt();
            Some(if root * root == needed { root } else { root + 1 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::{Clamp, Edges, Quantiles};
    use crate::loss::Measure;

    fn bounds(l0: u64, linf: u64) -> ContributionBounds {
        ContributionBounds::new(l0, linf).unwrap()
    }

    fn moved(part: Part, noise: Noise, aggregate: &Aggregate, bounds: ContributionBounds) -> u64 {
        part.sensitivity(noise, &spec(aggregate, bounds, None)).unwrap().get()
    }

    fn spec(aggregate: &Aggregate, bounds: ContributionBounds, min_units: Option<u32>) -> Spec {
        let loss = Loss::from_nano(Measure::Pure, 1_000_000_000).unwrap();
        Spec { min_units, ..Spec::of(aggregate.clone(), bounds, Noise::DiscreteLaplace, loss) }
    }

    #[test]
    fn sensitivities_are_those_of_their_norms() {
        use Noise::{DiscreteGaussian, DiscreteLaplace, Exponential, Gumbel};
        let sum = Aggregate::Sum(Clamp::new(-5, 3, 0).unwrap());
        let mean = Aggregate::Mean(Clamp::new(-5, 3, 0).unwrap());
        let shares = ["0.5", "0.95"].map(|share| PerMille::parse(share).unwrap()).to_vec();
        let quantiles = Aggregate::Quantiles(Quantiles::new(shares, Edges::new(vec![1, 2], 0).unwrap()).unwrap());
        let top = Aggregate::top(4).unwrap();
        for (part, noise, aggregate, expected) in [
            (Part::Count, DiscreteLaplace, &Aggregate::Count, 6),
            (Part::Count, DiscreteGaussian, &Aggregate::Count, 18),
            (Part::Units, DiscreteGaussian, &Aggregate::Units, 2),
            (Part::Select, DiscreteLaplace, &sum, 2),
            (Part::Sum, DiscreteLaplace, &sum, 30),
            (Part::Sum, DiscreteGaussian, &sum, 450),
            (Part::Mean, DiscreteLaplace, &mean, 48),
            (Part::Mean, DiscreteGaussian, &mean, 1152),
            (Part::Quantiles, Exponential, &quantiles, 6 * (1000 + 1900)),
            (Part::Quantiles, Gumbel, &quantiles, 18 * (1000 * 1000 + 1900 * 1900)),
            (Part::Top, Exponential, &top, 12),
            (Part::Top, Gumbel, &top, 36),
            (Part::Count, DiscreteLaplace, &top, 6),
        ] {
            assert_eq!(moved(part, noise, aggregate, bounds(2, 3)), expected, "{part:?} {noise:?}");
        }
        // No more declared keys are counted than are chosen; of private ones all are.
        let top = Aggregate::top(1).unwrap();
        assert_eq!(moved(Part::Count, DiscreteLaplace, &top, bounds(9, 3)), 3);
        let private = Part::Count.sensitivity(DiscreteLaplace, &spec(&top, bounds(9, 3), Some(20)));
        assert_eq!(private.unwrap().get(), 27);
    }

    #[test]
    fn a_threshold_is_the_least_that_keeps_its_delta() {
        for noise in [Noise::DiscreteLaplace, Noise::DiscreteGaussian] {
            let one = NonZeroU64::new(1).unwrap();
            let loss = Loss::from_nano(noise.measure(), 250_000_000).unwrap();
            let scale = Stage::calibrate(Part::Select, noise, one, loss).unwrap().scale();
            for (l0, ids, min_units, delta) in [(1, 1, 1, 1000), (4, 1, 20, 1), (2, 3, 5, 1_000_000)] {
                let ids = NonZeroU64::new(ids).unwrap();
                let least = Threshold::least(noise, scale, l0, ids, min_units, delta).unwrap();
                let lower = Threshold { at: least.at - 1, ..least };
                assert!(least.delta_pico(noise, scale, l0, ids).unwrap() <= delta);
                assert!(lower.delta_pico(noise, scale, l0, ids).unwrap() > delta, "{noise:?} {l0} {ids}");
            }
        }
    }

    /// OpenDP 0.16 publishes a key whose noisy count equals the threshold, but
    /// counts the probability of passing it only: by its own map the same
    /// delta is claimed for a threshold that is lower by one than ours.
    #[test]
    fn our_delta_is_opendps_for_the_next_threshold() {
        use opendp::domains::{AtomDomain, MapDomain};
        use opendp::measurements::make_laplace_threshold;
        use opendp::measures::{Approximate, MaxDivergence};
        use opendp::metrics::{AbsoluteDistance, L01InfDistance};
        let domain = MapDomain::new(AtomDomain::<u32>::default(), AtomDomain::<i64>::default());
        let scale: Scale = "4".parse().unwrap();
        for at in [40_i64, 80] {
            let theirs = make_laplace_threshold::<_, _, Approximate<MaxDivergence>>(
                domain.clone(),
                L01InfDistance::<AbsoluteDistance<i64>>::default(),
                4.0,
                at - 1,
                None,
            );
            let (epsilon, delta) = theirs.unwrap().map(&(4, 4, 1)).unwrap();
            let ours = Threshold { at: at as u64, min_units: 1 };
            let pico = ours.delta_pico(Noise::DiscreteLaplace, scale, 4, NonZeroU64::MIN).unwrap();
            assert!((epsilon - 1.0).abs() < 1e-9);
            // Theirs is joint, ours a union bound: a hair more, and rounded up to a trillionth.
            let theirs = delta * 1e12;
            assert!((theirs..=theirs * 1.001 + 2.0).contains(&(pico as f64)), "{pico} {delta}");
        }
    }

    #[test]
    fn losses_beyond_counting_are_refused() {
        let huge = NonZeroU64::new(1 << 53).unwrap();
        assert_eq!(loss_of(Noise::DiscreteLaplace, Scale::from_steps(1).unwrap(), huge), None);
        let tiny = Loss::from_nano(Measure::Pure, 1).unwrap();
        assert_eq!(Stage::calibrate(Part::Count, Noise::DiscreteLaplace, huge, tiny), Err(CannotCalibrate::NoScale));
    }
}
