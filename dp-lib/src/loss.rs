//! Privacy losses as integers.
//!
//! Promise: a thousand small losses add up exactly, and no step understates
//! one. Losses are counted in billionths (`nano`), probabilities of failure in
//! trillionths (`pico`); a loss without such a probability has a delta of zero. A declared loss is read from its decimal text without
//! passing through a float; a loss that OpenDP reports is a float and rounds up.
//!
//! Not here: what a budget allows ([`crate::accountant`]).

use std::fmt;
use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How many units make a loss of 1.
pub const NANO: u64 = 1_000_000_000;

/// The largest loss that is read: a million. Sums of 10^4 of them still fit.
const LOSS_NANO_MAX: u64 = 1_000_000 * NANO;

/// How a privacy loss is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Measure {
    /// The loss is an epsilon: pure differential privacy (OpenDP's
    /// `MaxDivergence`), approximate where there is a delta.
    Pure,
    /// The loss is a rho: zero-concentrated differential privacy, approximate
    /// (Bun and Steinke 2016, definition 8.1) where there is a delta.
    Zcdp,
}

impl Measure {
    /// The symbol of a loss in this measure.
    #[must_use]
    pub const fn symbol(self) -> &'static str {
        match self {
            Self::Pure => "epsilon",
            Self::Zcdp => "rho",
        }
    }
}

/// A privacy loss above zero, in billionths of its measure, and the
/// probability that it is more, in trillionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Loss {
    measure: Measure,
    nano: NonZeroU64,
    delta_pico: u64,
}

/// Why something is no privacy loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotALoss {
    /// Signs, exponents, spaces and words are not read.
    #[error("write a decimal number such as \"0.1\": digits, and at most one point between them")]
    NotADecimal,
    /// A loss of nothing would need noise without bound.
    #[error("a privacy loss must be above zero")]
    Zero,
    /// Rounding a declared loss would change what was declared.
    #[error("at most nine digits may follow the point: losses are counted in billionths")]
    TooFine,
    /// Beyond a million nothing is private any more.
    #[error("a privacy loss above 1000000 protects nobody")]
    TooLarge,
    /// OpenDP reported infinity, or something that is no number.
    #[error("the mechanism's privacy loss is not finite")]
    NotFinite,
}

/// Two losses that have no sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CannotAdd {
    /// An epsilon and a rho.
    #[error("losses of different measures cannot be added")]
    Measures,
    /// More than 64 bits.
    #[error("the sum of losses is too large to count")]
    Overflow,
}

impl Loss {
    /// A loss of that many billionths.
    ///
    /// # Errors
    /// Zero, and more than a million.
    pub fn from_nano(measure: Measure, nano: u64) -> Result<Self, NotALoss> {
        let nano = NonZeroU64::new(nano).ok_or(NotALoss::Zero)?;
        if nano.get() > LOSS_NANO_MAX {
            return Err(NotALoss::TooLarge);
        }
        Ok(Self { measure, nano, delta_pico: 0 })
    }

    /// The same loss, with that much probability of being more.
    #[must_use]
    pub const fn with_delta(self, delta_pico: u64) -> Self {
        Self { delta_pico, ..self }
    }

    /// Reads a declared loss, exactly.
    ///
    /// ```
    /// use privet_dp::loss::{Loss, Measure};
    /// assert_eq!(Loss::from_decimal(Measure::Pure, "0.1")?.nano(), 100_000_000);
    /// # Ok::<(), privet_dp::loss::NotALoss>(())
    /// ```
    ///
    /// # Errors
    /// Whatever is no plain decimal above zero, with at most nine digits after the point.
    pub fn from_decimal(measure: Measure, written: &str) -> Result<Self, NotALoss> {
        Self::from_nano(measure, nano_of(written)?)
    }

    /// Takes the loss that OpenDP reports, rounded up to the next billionth.
    ///
    /// # Errors
    /// Losses that are not finite, not above zero, or beyond a million.
    pub fn from_opendp(measure: Measure, loss: f64) -> Result<Self, NotALoss> {
        if !loss.is_finite() {
            return Err(NotALoss::NotFinite);
        }
        if loss <= 0.0 {
            return Err(NotALoss::Zero);
        }
        if loss > 1e6 {
            return Err(NotALoss::TooLarge);
        }
        Self::from_nano(measure, ceil_nano(loss))
    }

    /// How it is measured.
    #[must_use]
    pub const fn measure(self) -> Measure {
        self.measure
    }

    /// The loss in billionths.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.nano.get()
    }

    /// The probability that the loss is more, in trillionths.
    #[must_use]
    pub const fn delta_pico(self) -> u64 {
        self.delta_pico
    }

    /// Whether this is enough for `other`: the same measure, and neither
    /// number is smaller.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.measure == other.measure && self.nano >= other.nano && self.delta_pico >= other.delta_pico
    }

    /// The loss of both together (sequential composition).
    ///
    /// # Errors
    /// Losses of two measures, and sums beyond 64 bits.
    pub fn checked_add(self, other: Self) -> Result<Self, CannotAdd> {
        if self.measure != other.measure {
            return Err(CannotAdd::Measures);
        }
        let nano = self.nano.checked_add(other.nano.get()).ok_or(CannotAdd::Overflow)?;
        let delta_pico = self.delta_pico.checked_add(other.delta_pico).ok_or(CannotAdd::Overflow)?;
        Ok(Self { nano, delta_pico, ..self })
    }

    /// The loss of `count` releases like this one.
    #[must_use]
    pub fn times(self, count: NonZeroU64) -> Option<Self> {
        let delta_pico = self.delta_pico.checked_mul(count.get())?;
        Some(Self { nano: self.nano.checked_mul(count)?, delta_pico, ..self })
    }

    /// The loss of a person who holds `ids` identifiers, each of which loses
    /// this much: `ids` times as much epsilon, `ids` squared as much rho (group
    /// privacy: Dwork and Roth 2014, theorem 2.2; Bun and Steinke 2016, proposition 1.9).
    ///
    /// The delta stays: a threshold is set so that its delta holds for the
    /// person with all identifiers together (group privacy would blow it up).
    #[must_use]
    pub fn for_person(self, ids: NonZeroU64) -> Option<Self> {
        let nano = match self.measure {
            Measure::Pure => self.nano.checked_mul(ids)?,
            Measure::Zcdp => self.nano.checked_mul(ids)?.checked_mul(ids)?,
        };
        Some(Self { nano, ..self })
    }

    /// The same loss in another measure, rounded up, where one bounds the
    /// other: epsilon-DP is (epsilon squared over 2)-zCDP (Bun and Steinke
    /// 2016, proposition 1.4), and what fails with probability delta goes on
    /// doing so (lemma 8.8). Nothing bounds a rho by a pure epsilon.
    #[must_use]
    pub fn in_measure(self, measure: Measure) -> Option<Self> {
        match (self.measure, measure) {
            (from, to) if from == to => Some(self),
            (Measure::Pure, Measure::Zcdp) => {
                let square = u128::from(self.nano()) * u128::from(self.nano());
                let nano = u64::try_from(square.div_ceil(2 * u128::from(NANO))).ok()?;
                Some(Self { measure, nano: NonZeroU64::new(nano)?, ..self })
            }
            _ => None,
        }
    }

    /// The epsilon of approximate differential privacy at `delta` beside the
    /// loss's own delta, a decimal rounded up to four digits. A loss in epsilon
    /// holds at every delta.
    ///
    /// zCDP converts by the infimum over orders of Canonne, Kamath and Steinke
    /// 2020, proposition 12. Every order gives a bound that holds, so the
    /// search may miss the best one but never understate.
    #[must_use]
    pub fn epsilon_at(self, delta: Delta) -> String {
        match self.measure {
            Measure::Pure => decimal_of(self.nano(), 9),
            Measure::Zcdp => {
                let rho = self.nano() as f64 / NANO as f64;
                let epsilon = epsilon_of_rho(rho, delta.0 as f64 / 1e12);
                decimal_of((epsilon * 1e4 * (1.0 + 1e-12) + 1e-6).ceil() as u64, 4)
            }
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.measure.symbol(), decimal_of(self.nano(), 9))?;
        match self.delta_pico {
            0 => Ok(()),
            delta => write!(f, " delta {}", decimal_of(delta, 12)),
        }
    }
}

/// A probability of failure, in trillionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delta(u64);

impl Delta {
    /// The delta at which reports state an epsilon: one in a thousand million.
    pub const REPORTED: Self = Self(1_000);

    /// A probability above zero and below one.
    #[must_use]
    pub const fn from_pico(pico: u64) -> Option<Self> {
        match pico {
            1..=999_999_999_999 => Some(Self(pico)),
            _ => None,
        }
    }

    /// The probability in trillionths.
    #[must_use]
    pub const fn pico(self) -> u64 {
        self.0
    }

    /// Reads a declared probability, exactly: a plain decimal, or a power of ten
    /// such as `1e-9`, which is how such small numbers are written.
    ///
    /// # Errors
    /// Whatever is no decimal above zero and below one, with at most twelve
    /// digits after the point.
    pub fn from_decimal(written: &str) -> Result<Self, NotADelta> {
        let pico = match written.split_once("e-") {
            Some((digits, power)) => pico_of_power(digits, power),
            None => pico_of(written),
        };
        Self::from_pico(pico?).ok_or(NotADelta::Range)
    }
}

/// Why a text is no probability of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotADelta {
    /// Neither a decimal nor a power of ten.
    #[error("write a probability such as \"1e-9\" or \"0.000000001\"")]
    Form,
    /// Zero, or one and more.
    #[error("a probability of failure must be above zero and below one")]
    Range,
    /// Deltas are counted in trillionths.
    #[error("the smallest probability is 1e-12: they are counted in trillionths")]
    TooFine,
}

/// How many units make a probability of one.
pub const PICO: u64 = 1_000_000_000_000;

fn pico_of(written: &str) -> Result<u64, NotADelta> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(NotADelta::Form);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 12 {
        return Err(NotADelta::TooFine);
    }
    if whole.bytes().any(|digit| digit != b'0') {
        return Err(NotADelta::Range);
    }
    format!("{fraction:0<12}").parse().map_err(|_| NotADelta::Form)
}

/// `digits` times ten to the minus `power`, in trillionths.
fn pico_of_power(digits: &str, power: &str) -> Result<u64, NotADelta> {
    if !is_digits(digits) || !is_digits(power) || digits.len() > 12 || power.len() > 2 {
        return Err(NotADelta::Form);
    }
    let (digits, power): (u64, u32) =
        (digits.parse().map_err(|_| NotADelta::Form)?, power.parse().map_err(|_| NotADelta::Form)?);
    let places = 12_u32.checked_sub(power).ok_or(NotADelta::TooFine)?;
    digits.checked_mul(10_u64.pow(places)).ok_or(NotADelta::Range)
}

impl fmt::Display for Delta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&decimal_of(self.0, 12))
    }
}

/// Writes `units` of ten to the minus `digits` as a plain decimal.
pub(crate) fn decimal_of(units: u64, digits: u32) -> String {
    let one = 10_u128.pow(digits);
    let (whole, fraction) = (u128::from(units) / one, u128::from(units) % one);
    if fraction == 0 {
        return whole.to_string();
    }
    let fraction = format!("{fraction:0>width$}", width = digits as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// Reads a plain decimal into billionths.
fn nano_of(written: &str) -> Result<u64, NotALoss> {
    let (whole, fraction) = written.split_once('.').unwrap_or((written, "0"));
    if !is_digits(whole) || !is_digits(fraction) {
        return Err(NotALoss::NotADecimal);
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > 9 {
        return Err(NotALoss::TooFine);
    }
    let whole: u64 = whole.parse().map_err(|_| NotALoss::TooLarge)?;
    let fraction: u64 = format!("{fraction:0<9}").parse().map_err(|_| NotALoss::NotADecimal)?;
    whole.checked_mul(NANO).and_then(|nano| nano.checked_add(fraction)).ok_or(NotALoss::TooLarge)
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// The least whole number of billionths that is not below `loss`, a finite
/// number above zero and at most a million. Exact: a float is an integer times
/// a power of two, and both fit 128 bits here.
fn ceil_nano(loss: f64) -> u64 {
    let bits = loss.to_bits();
    let biased = (bits >> 52) & 0x7ff;
    let fraction = bits & ((1 << 52) - 1);
    let (mantissa, exponent) = match biased {
        0 => (fraction, -1074),
        biased => (fraction | (1 << 52), biased as i64 - 1075),
    };
    let product = u128::from(mantissa) * u128::from(NANO);
    let nano = match exponent {
        0.. => product << exponent,
        -127..0 => product.div_ceil(1 << -exponent),
        _ => 1,
    };
    u64::try_from(nano).unwrap_or(u64::MAX)
}

/// The least epsilon over Renyi orders; see [`Loss::epsilon_at`].
fn epsilon_of_rho(rho: f64, delta: f64) -> f64 {
    let at = |log_excess: f64| {
        let excess = log_excess.exp();
        let order = 1.0 + excess;
        let log_share = -(1.0 / excess).ln_1p();
        (order * rho + ((1.0 / delta).ln() + order * log_share - excess.ln()) / excess).max(0.0)
    };
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (-30.0_f64, 30.0_f64);
    for _ in 0..200 {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if at(left) <= at(right) {
            high = right;
        } else {
            low = left;
        }
    }
    at(low).min(at(high))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_declared_loss_is_read_without_a_float() {
        for (written, nano) in [
            ("0.1", 100_000_000),
            ("72", 72 * NANO),
            ("0.0005", 500_000),
            ("0.000000001", 1),
            ("1.50", 1_500_000_000),
            ("0.10000000000", 100_000_000),
        ] {
            assert_eq!(Loss::from_decimal(Measure::Pure, written).map(Loss::nano), Ok(nano), "{written}");
        }
    }

    #[test]
    fn what_is_no_loss_says_why() {
        use NotALoss::{NotADecimal, TooFine, TooLarge, Zero};
        for (written, why) in [
            ("", NotADecimal),
            ("-1", NotADecimal),
            ("+1", NotADecimal),
            ("1e-3", NotADecimal),
            (" 1", NotADecimal),
            (".5", NotADecimal),
            ("1.", NotADecimal),
            ("1.2.3", NotADecimal),
            ("inf", NotADecimal),
            ("٣", NotADecimal),
            ("0", Zero),
            ("0.000", Zero),
            ("0.0000000001", TooFine),
            ("1000000.1", TooLarge),
            ("99999999999999999999999", TooLarge),
        ] {
            assert_eq!(Loss::from_decimal(Measure::Zcdp, written), Err(why), "{written}");
        }
    }

    #[test]
    fn a_reported_loss_rounds_up_even_by_a_hair() {
        // The float nearest to a tenth lies above a tenth.
        assert_eq!(Loss::from_opendp(Measure::Pure, 0.1).map(Loss::nano), Ok(100_000_001));
        assert_eq!(Loss::from_opendp(Measure::Pure, 0.1_f64.next_down()).map(Loss::nano), Ok(100_000_000));
        assert_eq!(Loss::from_opendp(Measure::Pure, 0.5).map(Loss::nano), Ok(500_000_000));
        assert_eq!(Loss::from_opendp(Measure::Pure, f64::MIN_POSITIVE / 4.0).map(Loss::nano), Ok(1));
        assert_eq!(Loss::from_opendp(Measure::Pure, 1e6).map(Loss::nano), Ok(LOSS_NANO_MAX));
        for (loss, why) in [
            (f64::INFINITY, NotALoss::NotFinite),
            (f64::NAN, NotALoss::NotFinite),
            (0.0, NotALoss::Zero),
            (-0.1, NotALoss::Zero),
            (1e7, NotALoss::TooLarge),
        ] {
            assert_eq!(Loss::from_opendp(Measure::Pure, loss), Err(why));
        }
    }

    #[test]
    fn rho_converts_to_the_epsilon_that_opendp_reports() {
        // sigma 10, sensitivity 1: rho 0.005; OpenDP 0.16 says 0.5649 at 1e-9.
        let rho = Loss::from_decimal(Measure::Zcdp, "0.005").unwrap();
        assert_eq!(rho.epsilon_at(Delta::REPORTED), "0.5649");
        let year = Loss::from_decimal(Measure::Zcdp, "0.1825").unwrap();
        assert!(
            year.epsilon_at(Delta::from_pico(100_000).unwrap()).starts_with("3.2"),
            "{}",
            year.epsilon_at(Delta::from_pico(100_000).unwrap())
        );
    }

    #[test]
    fn a_pure_loss_bounds_a_concentrated_one_but_not_the_reverse() {
        let epsilon = Loss::from_decimal(Measure::Pure, "0.1").unwrap();
        assert_eq!(epsilon.in_measure(Measure::Zcdp).map(Loss::nano), Some(5_000_000));
        assert_eq!(Loss::from_nano(Measure::Pure, 1).unwrap().in_measure(Measure::Zcdp).map(Loss::nano), Some(1));
        assert_eq!(Loss::from_nano(Measure::Zcdp, 1).unwrap().in_measure(Measure::Pure), None);
        assert_eq!(epsilon.checked_add(Loss::from_nano(Measure::Zcdp, 1).unwrap()), Err(CannotAdd::Measures));
    }

    #[test]
    fn a_declared_probability_is_read_without_a_float() {
        for (written, pico) in [
            ("1e-9", Ok(1_000)),
            ("25e-12", Ok(25)),
            ("0.000000001", Ok(1_000)),
            ("0.5", Ok(PICO / 2)),
            ("1e-13", Err(NotADelta::TooFine)),
            ("0.0000000000001", Err(NotADelta::TooFine)),
            ("0", Err(NotADelta::Range)),
            ("1", Err(NotADelta::Range)),
            ("1e-0", Err(NotADelta::Range)),
            ("-1e-9", Err(NotADelta::Form)),
            ("1e-", Err(NotADelta::Form)),
            ("e-9", Err(NotADelta::Form)),
            ("1.5e-9", Err(NotADelta::Form)),
        ] {
            assert_eq!(Delta::from_decimal(written).map(Delta::pico), pico, "{written}");
        }
    }

    #[test]
    fn a_delta_adds_up_beside_its_loss() {
        let loss = Loss::from_nano(Measure::Pure, 10).unwrap().with_delta(3);
        let both = loss.checked_add(loss).unwrap();
        assert_eq!((both.nano(), both.delta_pico()), (20, 6));
        assert_eq!(loss.times(NonZeroU64::new(4).unwrap()).map(Loss::delta_pico), Some(12));
        assert_eq!(loss.in_measure(Measure::Zcdp).map(Loss::delta_pico), Some(3));
        assert!(both.covers(loss) && !loss.covers(both) && !loss.covers(loss.with_delta(4)));
        assert_eq!(loss.to_string(), "epsilon 0.00000001 delta 0.000000000003");
    }

    #[test]
    fn a_person_with_several_identifiers_loses_more() {
        let three = NonZeroU64::new(3).unwrap();
        assert_eq!(Loss::from_nano(Measure::Pure, 10).unwrap().for_person(three).map(Loss::nano), Some(30));
        assert_eq!(Loss::from_nano(Measure::Zcdp, 10).unwrap().for_person(three).map(Loss::nano), Some(90));
    }

    proptest! {
        #[test]
        fn rounding_up_never_understates_and_never_adds_more_than_a_billionth(loss in 1e-12_f64..1e6) {
            let nano = Loss::from_opendp(Measure::Pure, loss).unwrap().nano();
            // Compared in integers: the float times 2^80 is exact here where it is above 2^-27.
            if loss > 1e-7 {
                let scaled = (loss * 2_f64.powi(80)) as u128;
                let billion = u128::from(NANO);
                let loss_nano_floor = ((scaled >> 40) * billion) >> 40;
                prop_assert!(u128::from(nano) >= loss_nano_floor);
                prop_assert!(u128::from(nano) <= loss_nano_floor + 2);
            }
            prop_assert!(nano as f64 >= loss * 1e9 * (1.0 - 1e-15));
        }

        #[test]
        fn a_decimal_reads_back_as_it_was_written(nano in 1_u64..LOSS_NANO_MAX) {
            let written = decimal_of(nano, 9);
            prop_assert_eq!(Loss::from_decimal(Measure::Pure, &written).map(Loss::nano), Ok(nano));
        }
    }
}
