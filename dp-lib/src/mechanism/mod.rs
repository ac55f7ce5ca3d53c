//! Mechanisms: how a table gets its noise.
//!
//! Promise: noise is drawn once for a payment, from OpenDP's exact samplers
//! over integers, at scales whose loss by OpenDP's own privacy map is finite
//! and at most the declared loss. That is checked before any draw, and counts
//! are clamped before it too, since OpenDP does not check its input.
//!
//! A release is a few stages, each of which spends its share of the declared
//! loss (they compose sequentially): private keys are selected first, and what
//! is measured afterwards is measured in the selected keys alone.
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
//! # use privet_dp::{exact::Exact, mechanism::{Cells, Mechanism}};
//! fn unpaid(mechanism: &Mechanism, counts: Exact<Cells>) {
//!     let _ = mechanism.release(counts);
//! }
//! ```
//! ```compile_fail
//! # use privet_dp::{exact::Exact, ledger::Paid, mechanism::{Cells, Mechanism}};
//! fn twice(mechanism: &Mechanism, paid: Paid, counts: Exact<Cells>, again: Exact<Cells>) {
//!     let _ = mechanism.release(paid, counts);
//!     let _ = mechanism.release(paid, again);
//! }
//! ```

mod draw;
mod noise;
mod opendp_backend;
mod stage;

use std::num::NonZeroU64;

use thiserror::Error;

use crate::aggregate::{Aggregate, PerMille};
use crate::bound::ContributionBounds;
use crate::exact::Exact;
use crate::ledger::{Paid, ReleaseId};
use crate::loss::{Loss, NotALoss};
pub use crate::tally::Cells;
pub use noise::{Noise, NotAScale, Scale};
pub use stage::{Part, Stage, Threshold, loss_of};

/// The engine that draws the noise, for receipts.
pub const OPENDP_VERSION: &str = "0.16.0";

/// Where its random bits come from, for receipts.
pub const RNG: &str = concat!("OpenSSL ", env!("PRIVET_DP_OPENSSL"), " RAND_priv_bytes");

/// What a mechanism is to do, and at what cost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// What is measured in each key.
    pub aggregate: Aggregate,
    /// What one unit may contribute.
    pub bounds: ContributionBounds,
    /// The noise on counts and sums; choices take the one that is paid the same way.
    pub noise: Noise,
    /// The loss of one identifier, with the delta of a person.
    pub loss: Loss,
    /// The least number of units of a private key; `None` where keys are declared.
    pub min_units: Option<u32>,
    /// How many identifiers one person may hold.
    pub ids_per_person: NonZeroU64,
    /// How many cells of publicly known truth are published beside each table.
    pub canaries: u32,
}

impl Spec {
    /// An aggregate over declared keys, one identifier a person, no canaries.
    #[must_use]
    pub const fn of(aggregate: Aggregate, bounds: ContributionBounds, noise: Noise, loss: Loss) -> Self {
        Self { aggregate, bounds, noise, loss, min_units: None, ids_per_person: NonZeroU64::MIN, canaries: 0 }
    }

    /// The stages in order, each with its weight in the loss.
    pub(crate) fn parts(&self) -> Vec<(Part, u64)> {
        let measured = match &self.aggregate {
            Aggregate::Count => vec![(Part::Count, 2)],
            Aggregate::Units => vec![(Part::Units, 2)],
            Aggregate::Sum(_) => vec![(Part::Sum, 2)],
            Aggregate::Mean(_) => vec![(Part::Mean, 2)],
            Aggregate::Histogram(_) => vec![(Part::Histogram, 2)],
            Aggregate::Quantiles(_) => vec![(Part::Quantiles, 2)],
            // Where keys are private, the largest of those that are published are the top.
            Aggregate::Top { .. } if self.min_units.is_some() => vec![(Part::Count, 2)],
            Aggregate::Top { .. } => vec![(Part::Top, 1), (Part::Count, 1)],
        };
        match self.min_units {
            None => measured,
            Some(_) if self.selection_measures() => vec![(Part::Select, 1)],
            Some(_) => std::iter::once((Part::Select, 2)).chain(measured).collect(),
        }
    }

    /// Whether the noisy number of units that selects a key is the answer, too.
    fn selection_measures(&self) -> bool {
        let counts_units = self.bounds.rows_per_key() == 1;
        match self.aggregate {
            Aggregate::Units => true,
            Aggregate::Count | Aggregate::Top { .. } => counts_units,
            _ => false,
        }
    }
}

/// Noise at scales that keep a declared loss under declared bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mechanism {
    spec: Spec,
    stages: Vec<Stage>,
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
    /// The bounds and values are so large that their product cannot be counted exactly.
    #[error("one unit may move the table by more than 2^53: lower the bounds or the clamp")]
    TooSensitive,
    /// Private keys without a delta, or declared keys with one.
    #[error("private keys are paid for with a delta, declared keys are not")]
    Delta,
    /// No threshold keeps the delta.
    #[error("no threshold keeps this delta at this loss")]
    NoThreshold,
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
    /// The cells are not those of the mechanism's aggregate.
    #[error("the exact table has another shape than its mechanism")]
    Shape,
    /// OpenDP's sampler failed, as when the system has no entropy.
    #[error("OpenDP could not draw noise")]
    Failed,
}

/// What a published number is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Rows.
    Count,
    /// Distinct privacy units.
    Units,
    /// The sum of values.
    Sum,
    /// How far all values of a mean are above the lower end of the clamp, summed up.
    AboveLow,
    /// How far they are below its upper end.
    BelowHigh,
    /// The rows of this interval.
    Interval(u16),
    /// The value that this share of the rows is below.
    Quantile(PerMille),
}

/// One noisy number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoisedRow {
    /// The key's place: among the declared keys, or in [`Noised::names`].
    pub key: usize,
    /// What it is about.
    pub of: Of,
    /// As it was drawn: it may be negative.
    pub value: i64,
}

/// A cell whose truth everybody knows, with noise from the same stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Canary {
    /// The stage.
    pub part: Part,
    /// What it was before noise.
    pub truth: i64,
    /// What it is with noise.
    pub value: i64,
}

/// A table with noise on it: safe to publish, once its bytes are committed.
#[derive(Debug)]
pub struct Noised {
    release: ReleaseId,
    names: Vec<Vec<String>>,
    rows: Vec<NoisedRow>,
    canaries: Vec<Canary>,
}

impl Noised {
    /// The release it was paid for.
    #[must_use]
    pub const fn release(&self) -> ReleaseId {
        self.release
    }

    /// The private keys that passed their threshold, in the order of their
    /// names; nothing where keys are declared.
    #[must_use]
    pub fn names(&self) -> &[Vec<String>] {
        &self.names
    }

    /// The numbers: key after key, chosen keys in the order of choice.
    #[must_use]
    pub fn rows(&self) -> &[NoisedRow] {
        &self.rows
    }

    /// The cells of known truth.
    #[must_use]
    pub fn canaries(&self) -> &[Canary] {
        &self.canaries
    }
}

impl Mechanism {
    /// The least noise that keeps the declared loss for one unit within its bounds.
    ///
    /// The loss is split between the stages by fixed weights: half of it selects
    /// private keys, and a choice of keys and their counts take equal parts. The
    /// last word has OpenDP's privacy map.
    ///
    /// # Errors
    /// A loss of the wrong measure, or one that no scale or threshold keeps.
    pub fn calibrate(spec: Spec) -> Result<Self, CannotCalibrate> {
        if spec.loss.measure() != spec.noise.measure() {
            return Err(CannotCalibrate::WrongMeasure(spec.noise));
        }
        if spec.min_units.is_some() != (spec.loss.delta_pico() > 0) {
            return Err(CannotCalibrate::Delta);
        }
        let parts = spec.parts();
        let whole: u64 = parts.iter().map(|(_, weight)| weight).sum();
        let mut stages = Vec::with_capacity(parts.len());
        for (part, weight) in parts {
            stages.push(stage(&spec, part, weight, whole)?);
        }
        Ok(Self { spec, stages })
    }

    /// What is measured in each key.
    #[must_use]
    pub const fn aggregate(&self) -> &Aggregate {
        &self.spec.aggregate
    }

    /// The bounds it is calibrated to.
    #[must_use]
    pub const fn bounds(&self) -> ContributionBounds {
        self.spec.bounds
    }

    /// The declared loss of one release for one identifier.
    #[must_use]
    pub const fn loss(&self) -> Loss {
        self.spec.loss
    }

    /// What it was calibrated for.
    #[must_use]
    pub const fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Its draws, in order.
    #[must_use]
    pub fn stages(&self) -> &[Stage] {
        &self.stages
    }

    /// The stage that answers a part.
    #[must_use]
    pub fn stage(&self, part: Part) -> Option<&Stage> {
        self.stages.iter().find(|stage| stage.part() == part)
    }

    /// Draws noise onto the cells of one paid release; takes both.
    ///
    /// # Errors
    /// A payment below the loss, a privacy map that no longer keeps it, cells of
    /// another shape, or a sampler that failed. The payment is gone in every case.
    pub fn release(&self, paid: Paid, cells: Exact<Cells>) -> Result<Noised, CannotDraw> {
        if !paid.covers(self.loss()) {
            return Err(CannotDraw::Underpaid);
        }
        if !self.stages.iter().all(Stage::keeps_its_loss) {
            return Err(CannotDraw::LossChanged);
        }
        draw::draw(self, paid.release(), cells.value())
    }
}

/// One stage with its share of the loss, rounded down.
fn stage(spec: &Spec, part: Part, weight: u64, whole: u64) -> Result<Stage, CannotCalibrate> {
    let noise = if part.chooses() { spec.noise.choosing() } else { spec.noise };
    let sensitivity = part.sensitivity(noise, spec).ok_or(CannotCalibrate::TooSensitive)?;
    let nano = u128::from(spec.loss.nano()) * u128::from(weight) / u128::from(whole);
    let share = Loss::from_nano(noise.measure(), u64::try_from(nano).unwrap_or(u64::MAX))
        .map_err(|_| CannotCalibrate::NoScale)?;
    let stage = Stage::calibrate(part, noise, sensitivity, share)?;
    let Some(min_units) = spec.min_units.filter(|_| part == Part::Select) else { return Ok(stage) };
    let threshold = Threshold::least(
        noise,
        stage.scale(),
        spec.bounds.keys_per_unit(),
        spec.ids_per_person,
        min_units,
        spec.loss.delta_pico(),
    );
    let threshold = Some(threshold.ok_or(CannotCalibrate::NoThreshold)?);
    Ok(Stage { threshold, loss: share.with_delta(spec.loss.delta_pico()), ..stage })
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::loss::Measure;

    fn bounds(l0: u64, linf: u64) -> ContributionBounds {
        ContributionBounds::new(l0, linf).unwrap()
    }

    fn loss(measure: Measure, written: &str) -> Loss {
        Loss::from_decimal(measure, written).unwrap()
    }

    fn count(noise: Noise, bounds: ContributionBounds, loss: Loss) -> Result<Mechanism, CannotCalibrate> {
        Mechanism::calibrate(Spec::of(Aggregate::Count, bounds, noise, loss))
    }

    /// A mechanism of this aggregate under bounds of 2 and 3, at epsilon 0.1.
    pub(crate) fn mechanism(aggregate: Aggregate) -> Mechanism {
        let spec = Spec::of(aggregate, bounds(2, 3), Noise::DiscreteLaplace, loss(Measure::Pure, "0.1"));
        Mechanism::calibrate(spec).unwrap()
    }

    #[test]
    fn the_scale_is_the_least_that_keeps_the_loss() {
        let laplace = count(Noise::DiscreteLaplace, bounds(2, 3), loss(Measure::Pure, "0.1")).unwrap();
        assert_eq!(laplace.stages()[0].scale().to_string(), "60.00000095367431640625");
        let gaussian = count(Noise::DiscreteGaussian, bounds(4, 1), loss(Measure::Zcdp, "0.0005")).unwrap();
        let scale = gaussian.stages()[0].scale();
        assert!(scale.to_string().starts_with("63.2455"), "{scale}");
    }

    #[test]
    fn what_no_noise_keeps_is_refused() {
        let (pure, zcdp) = (loss(Measure::Pure, "1"), loss(Measure::Zcdp, "1"));
        for (noise, loss) in [(Noise::DiscreteLaplace, zcdp), (Noise::DiscreteGaussian, pure)] {
            assert_eq!(count(noise, bounds(1, 1), loss), Err(CannotCalibrate::WrongMeasure(noise)));
        }
        let hopeless = Loss::from_nano(Measure::Pure, 1).unwrap();
        assert_eq!(count(Noise::DiscreteLaplace, bounds(65_536, 65_536), hopeless), Err(CannotCalibrate::NoScale));
        assert_eq!(count(Noise::DiscreteLaplace, bounds(1, 1), pure.with_delta(1)), Err(CannotCalibrate::Delta));
    }

    #[test]
    fn a_selection_that_counts_is_the_answer_and_spends_all() {
        let private = |aggregate, linf| {
            let spec =
                Spec::of(aggregate, bounds(2, linf), Noise::DiscreteLaplace, loss(Measure::Pure, "1").with_delta(1000));
            let mechanism = Mechanism::calibrate(Spec { min_units: Some(20), ..spec }).unwrap();
            mechanism.stages().iter().map(|stage| (stage.part(), stage.loss().nano())).collect::<Vec<_>>()
        };
        assert_eq!(private(Aggregate::Count, 1), [(Part::Select, 1_000_000_000)]);
        assert_eq!(private(Aggregate::Units, 3), [(Part::Select, 1_000_000_000)]);
        assert_eq!(private(Aggregate::Count, 3), [(Part::Select, 500_000_000), (Part::Count, 500_000_000)]);
        assert_eq!(private(Aggregate::top(5).unwrap(), 1), [(Part::Select, 1_000_000_000)]);
    }

    #[test]
    fn the_version_on_receipts_is_the_version_we_build_with() {
        let manifest = include_str!("../../Cargo.toml");
        let workspace = include_str!("../../../Cargo.toml");
        assert!([manifest, workspace].iter().any(|text| text.contains(&format!("\"={OPENDP_VERSION}\""))));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        /// Calibrated noise keeps its loss by OpenDP's map and by exact integer
        /// arithmetic, and wastes less than a ten-thousandth of it unless the
        /// scale is so small that its steps are coarse.
        #[test]
        fn a_calibrated_stage_keeps_its_loss(
            moved in 1_u64..100_000, nano in 10_000_u64..20_000_000_000, which in 0_usize..4,
        ) {
            let noise = [Noise::DiscreteLaplace, Noise::DiscreteGaussian, Noise::Exponential, Noise::Gumbel][which];
            let sensitivity = NonZeroU64::new(moved).unwrap();
            let declared = Loss::from_nano(noise.measure(), nano).unwrap();
            let stage = Stage::calibrate(Part::Count, noise, sensitivity, declared).unwrap();
            let reported = opendp_backend::loss(noise, stage.scale(), sensitivity).unwrap();
            let exact = loss_of(noise, stage.scale(), sensitivity).unwrap();
            prop_assert!(reported.nano() <= nano && exact.nano() <= nano);
            prop_assert!(stage.keeps_its_loss());
            if stage.scale().as_f64() > 0.5 {
                prop_assert!(exact.nano() as f64 >= nano as f64 * 0.9999 - 1.0, "{} of {nano}", exact.nano());
            }
        }
    }
}
