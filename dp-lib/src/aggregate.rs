//! What is measured in each key of a query.
//!
//! Promise: every aggregate is a fixed number of integer cells for a key, and
//! says how far one row of one privacy unit can move them. Values are whole
//! numbers of a declared step, and are clamped before anything else is done
//! with them, so that no sum depends on how floats round.
//!
//! Not here: noise ([`crate::mechanism`]), and how many rows of a unit count
//! ([`crate::bound`]).

use std::fmt;

use thiserror::Error;

/// The largest distance from zero that a clamped value may have.
pub const VALUE_MAX: i64 = 1 << 31;

/// The most values that a histogram or a quantile may be cut at.
pub const EDGES_MAX: usize = 1000;

/// Counts are clamped to `0..=COUNT_MAX` before noise, sums to as far on either side.
pub(crate) const COUNT_MAX: i64 = 1 << 53;

/// The rows of one interval are clamped to as many before quantiles are chosen: their scores are weighted in thousandths.
const INTERVAL_ROWS_MAX: i64 = COUNT_MAX >> 12;

/// The most decimals of a value that are counted.
pub const DECIMALS_MAX: u32 = 6;

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Aggregate {
    /// How many rows.
    Count,
    /// How many distinct privacy units.
    Units,
    /// The sum of a value.
    Sum(Clamp),
    /// The mean of a value over its rows.
    Mean(Clamp),
    /// How many rows have a value between each two edges.
    Histogram(Edges),
    /// Values that given shares of the rows are below, out of candidates.
    Quantiles(Quantiles),
    /// The keys with the most rows, and how many.
    Top {
        /// How many keys.
        keys: u32,
    },
}

/// The range that values are forced into, in steps of ten to the minus
/// `decimals`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clamp {
    low: i64,
    high: i64,
    decimals: u32,
}

/// Values at which a range is cut, rising, in steps of ten to the minus
/// `decimals`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edges {
    at: Vec<i64>,
    decimals: u32,
}

/// Quantiles of a value, each one of the candidates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quantiles {
    at: Vec<PerMille>,
    candidates: Edges,
}

/// A share of the rows, in thousandths: above 0 and below 1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMille(u16);

/// Why numbers make no aggregate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotAnAggregate {
    /// The range is empty, or both ends are zero.
    #[error("a clamp needs two different ends, the lower one first")]
    Clamp,
    /// Beyond [`VALUE_MAX`].
    #[error("with its decimals, a value may be at most {VALUE_MAX} from zero")]
    TooFar,
    /// More than [`DECIMALS_MAX`] decimals.
    #[error("at most {DECIMALS_MAX} decimals are counted")]
    Decimals,
    /// Not rising, none, or too many.
    #[error("list from 1 to {EDGES_MAX} values, each above the one before")]
    Edges,
    /// No quantile, or one twice or not a share.
    #[error("list from 1 to 16 quantiles between \"0.001\" and \"0.999\", each above the one before")]
    Quantiles,
    /// No number that can be counted.
    #[error("write a number such as \"12.5\", with no more decimals than are counted")]
    NotANumber,
    /// No keys, or more than there are rows in a table.
    #[error("`top` publishes from 1 to 1000 keys")]
    Top,
}

impl Aggregate {
    /// The `keys` largest keys.
    ///
    /// # Errors
    /// None, or more than a thousand.
    pub fn top(keys: u64) -> Result<Self, NotAnAggregate> {
        let keys = u32::try_from(keys).ok().filter(|keys| (1..=1000).contains(keys)).ok_or(NotAnAggregate::Top)?;
        Ok(Self::Top { keys })
    }

    /// Its name, as policies and receipts write it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Units => "units",
            Self::Sum(_) => "sum",
            Self::Mean(_) => "mean",
            Self::Histogram(_) => "histogram",
            Self::Quantiles(_) => "quantiles",
            Self::Top { .. } => "top",
        }
    }

    /// How many exact cells a key has.
    #[must_use]
    pub fn cells(&self) -> usize {
        match self {
            Self::Count | Self::Units | Self::Sum(_) | Self::Top { .. } => 1,
            Self::Mean(_) => 2,
            Self::Histogram(edges) => edges.intervals(),
            Self::Quantiles(quantiles) => quantiles.candidates.intervals(),
        }
    }

    /// The number of decimals that its rows' values are read with; `None`
    /// where rows have no value.
    #[must_use]
    pub const fn decimals(&self) -> Option<u32> {
        match self {
            Self::Count | Self::Units | Self::Top { .. } => None,
            Self::Sum(clamp) | Self::Mean(clamp) => Some(clamp.decimals),
            Self::Histogram(edges) => Some(edges.decimals),
            Self::Quantiles(quantiles) => Some(quantiles.candidates.decimals),
        }
    }

    /// Whether rows can have come to these numbers of one key, and noise is added to
    /// these very numbers: a table that somebody brings may hold anything. The numbers
    /// are those of one cell, or a mean's sum, in steps, and its rows.
    #[must_use]
    pub fn may_come_to(&self, numbers: &[i64]) -> bool {
        let count = |number: &i64| (0..=COUNT_MAX).contains(number);
        match (self, numbers) {
            (Self::Sum(clamp), [sum]) => {
                let low = if clamp.low < 0 { -COUNT_MAX } else { 0 };
                let high = if clamp.high > 0 { COUNT_MAX } else { 0 };
                (low..=high).contains(sum)
            }
            (Self::Mean(clamp), [sum, rows]) => count(rows) && clamp.distances(*sum, *rows).iter().all(count),
            (Self::Quantiles(_), [rows]) => (0..=INTERVAL_ROWS_MAX).contains(rows),
            (Self::Count | Self::Units | Self::Histogram(_) | Self::Top { .. }, [rows]) => count(rows),
            _ => false,
        }
    }

    /// What a row's value is remembered as for its unit.
    pub(crate) fn detail(&self, value: i64) -> Detail {
        match self {
            Self::Count | Self::Units | Self::Top { .. } => Detail::Nothing,
            Self::Sum(clamp) | Self::Mean(clamp) => Detail::Amount(clamp.of(value)),
            Self::Histogram(edges) => Detail::Interval(edges.interval(value)),
            Self::Quantiles(quantiles) => Detail::Interval(quantiles.candidates.interval(value)),
        }
    }
}

/// What a unit's row added beside itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// No value.
    Nothing,
    /// So much to a sum.
    Amount(i64),
    /// One to this interval.
    Interval(u16),
}

impl Clamp {
    /// A range of values, in steps of ten to the minus `decimals`.
    ///
    /// # Errors
    /// An empty range, or one too far from zero.
    pub fn new(low: i64, high: i64, decimals: u32) -> Result<Self, NotAnAggregate> {
        if decimals > DECIMALS_MAX {
            return Err(NotAnAggregate::Decimals);
        }
        if low >= high {
            return Err(NotAnAggregate::Clamp);
        }
        if low < -VALUE_MAX || high > VALUE_MAX {
            return Err(NotAnAggregate::TooFar);
        }
        Ok(Self { low, high, decimals })
    }

    /// The least value.
    #[must_use]
    pub const fn low(self) -> i64 {
        self.low
    }

    /// The greatest value.
    #[must_use]
    pub const fn high(self) -> i64 {
        self.high
    }

    /// How far from zero a clamped value may be: what one row can add to a sum.
    #[must_use]
    pub fn reach(self) -> u64 {
        self.low.unsigned_abs().max(self.high.unsigned_abs())
    }

    /// How far the ends are from each other.
    #[must_use]
    pub const fn width(self) -> u64 {
        self.high.abs_diff(self.low)
    }

    pub(crate) fn of(self, value: i64) -> i64 {
        value.clamp(self.low, self.high)
    }

    /// How far so many clamped values with this sum are above the lower end, and
    /// how far below the upper one, all together.
    pub(crate) const fn distances(self, sum: i64, values: i64) -> [i64; 2] {
        [sum.saturating_sub(self.low.saturating_mul(values)), self.high.saturating_mul(values).saturating_sub(sum)]
    }
}

impl Edges {
    /// Rising values, in steps of ten to the minus `decimals`.
    ///
    /// # Errors
    /// None, too many, too far from zero, or not rising.
    pub fn new(at: Vec<i64>, decimals: u32) -> Result<Self, NotAnAggregate> {
        if decimals > DECIMALS_MAX {
            return Err(NotAnAggregate::Decimals);
        }
        let rising = at.iter().zip(at.iter().skip(1)).all(|(one, next)| one < next);
        if !rising || at.is_empty() || at.len() > EDGES_MAX {
            return Err(NotAnAggregate::Edges);
        }
        if at.iter().any(|edge| edge.unsigned_abs() > VALUE_MAX.unsigned_abs()) {
            return Err(NotAnAggregate::TooFar);
        }
        Ok(Self { at, decimals })
    }

    /// The values.
    #[must_use]
    pub fn at(&self) -> &[i64] {
        &self.at
    }

    /// How many decimals they have.
    #[must_use]
    pub const fn decimals(&self) -> u32 {
        self.decimals
    }

    /// One more than there are edges.
    #[must_use]
    pub fn intervals(&self) -> usize {
        self.at.len() + 1
    }

    /// The intervals' names: `<0`, `0..10`, `>=10`; the first edge is in, the
    /// second is not.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        let shown: Vec<String> = self.at.iter().map(|edge| decimal(*edge, self.decimals)).collect();
        let between = shown.iter().zip(shown.iter().skip(1)).map(|(from, to)| format!("{from}..{to}"));
        let (below, above) =
            (shown.first().map(|edge| format!("<{edge}")), shown.last().map(|edge| format!(">={edge}")));
        below.into_iter().chain(between).chain(above).collect()
    }

    /// How many edges are not above the value.
    pub(crate) fn interval(&self, value: i64) -> u16 {
        // There are at most EDGES_MAX of them.
        self.at.partition_point(|edge| *edge <= value) as u16
    }
}

impl Quantiles {
    /// The quantiles of a value, each answered by one of the candidates.
    ///
    /// # Errors
    /// No quantile, or shares that do not rise; see also [`Edges::new`].
    pub fn new(at: Vec<PerMille>, candidates: Edges) -> Result<Self, NotAnAggregate> {
        let rising = at.iter().zip(at.iter().skip(1)).all(|(one, next)| one < next);
        if !rising || at.is_empty() || at.len() > 16 {
            return Err(NotAnAggregate::Quantiles);
        }
        Ok(Self { at, candidates })
    }

    /// The shares.
    #[must_use]
    pub fn at(&self) -> &[PerMille] {
        &self.at
    }

    /// What may be answered.
    #[must_use]
    pub const fn candidates(&self) -> &Edges {
        &self.candidates
    }
}

impl PerMille {
    /// Reads `0.5`, `0.95` or `0.999`.
    ///
    /// # Errors
    /// Whatever is no share of at most three digits, above zero and below one.
    pub fn parse(written: &str) -> Result<Self, NotAnAggregate> {
        let digits = written.strip_prefix("0.").filter(|digits| (1..=3).contains(&digits.len()));
        let share = digits.filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
        let share = share.and_then(|digits| format!("{digits:0<3}").parse().ok());
        share.filter(|share| (1..1000).contains(share)).map(Self).ok_or(NotAnAggregate::Quantiles)
    }

    /// The share in thousandths.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl PerMille {
    /// `0.95`, as it is read.
    #[must_use]
    pub fn as_decimal(self) -> String {
        crate::loss::decimal_of(u64::from(self.0), 3)
    }
}

impl fmt::Display for PerMille {
    /// `p50`, `p95`, `p99.9`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.0 / 10, self.0 % 10) {
            (whole, 0) => write!(f, "p{whole}"),
            (whole, tenth) => write!(f, "p{whole}.{tenth}"),
        }
    }
}

/// A whole number of steps as a decimal.
#[must_use]
pub fn decimal(steps: i64, decimals: u32) -> String {
    let sign = if steps < 0 { "-" } else { "" };
    format!("{sign}{}", crate::loss::decimal_of(steps.unsigned_abs(), decimals))
}

/// Reads a JSON number into steps of ten to the minus `decimals`: exactly where
/// it has no more decimals, else to the nearest step, halves away from zero.
/// Numbers beyond [`VALUE_MAX`] steps become that: a clamp is never wider.
///
/// `None` for what is no JSON number.
#[must_use]
pub fn steps_of(written: &str, decimals: u32) -> Option<i64> {
    let (sign, unsigned) = written.strip_prefix('-').map_or((1, written), |rest| (-1, rest));
    let (mantissa, power) = match unsigned.find(['e', 'E']) {
        Some(at) => (unsigned.get(..at)?, unsigned.get(at + 1..)?.parse::<i32>().ok()?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    // The digits as one number, times ten to the `shift`.
    let all = format!("{whole}{}", mantissa.split_once('.').map_or("", |(_, fraction)| fraction));
    let fraction_digits = i64::try_from(all.len() - whole.len()).ok()?;
    let shift = i64::from(power) - fraction_digits + i64::from(decimals);
    Some(sign * rounded(all.trim_start_matches('0'), shift))
}

/// `digits` times ten to the `shift`, to the nearest whole number, at most [`VALUE_MAX`].
fn rounded(digits: &str, shift: i64) -> i64 {
    let places = i64::try_from(digits.len()).unwrap_or(i64::MAX).saturating_add(shift);
    if digits.is_empty() || places < 0 {
        return 0;
    }
    if places > 10 {
        return VALUE_MAX;
    }
    // At most ten digits of a whole number, then the one that decides the rounding.
    let mut whole = 0_i64;
    let mut digit = digits.bytes().map(|byte| i64::from(byte - b'0')).chain(std::iter::repeat(0));
    for _ in 0..places {
        whole = whole * 10 + digit.next().unwrap_or(0);
    }
    let up = i64::from(digit.next().unwrap_or(0) >= 5);
    (whole + up).min(VALUE_MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_that_no_rows_come_to_are_told_from_those_that_some_do() {
        let (clamp, positive) = (Clamp::new(-2, 50, 0).unwrap(), Clamp::new(0, 50, 0).unwrap());
        let quantiles = Quantiles::new(vec![PerMille(500)], Edges::new(vec![0, 10], 0).unwrap()).unwrap();
        for (aggregate, possible, impossible) in [
            (Aggregate::Count, vec![vec![0], vec![1 << 53]], vec![vec![-1], vec![(1 << 53) + 1], vec![0, 0], vec![]]),
            (Aggregate::Sum(clamp), vec![vec![-(1 << 53)]], vec![vec![i64::MIN], vec![i64::MAX]]),
            (Aggregate::Sum(positive), vec![vec![0], vec![51]], vec![vec![-1]]),
            (
                Aggregate::Mean(clamp),
                vec![vec![0, 0], vec![-2, 1], vec![100, 2]],
                vec![vec![1, 0], vec![-3, 1], vec![101, 2], vec![0, -1], vec![0, 1 << 53], vec![0, i64::MAX]],
            ),
            (Aggregate::Quantiles(quantiles), vec![vec![1 << 41]], vec![vec![(1 << 41) + 1], vec![-1]]),
        ] {
            assert!(possible.iter().all(|numbers| aggregate.may_come_to(numbers)), "{}", aggregate.name());
            assert!(!impossible.iter().any(|numbers| aggregate.may_come_to(numbers)), "{}", aggregate.name());
        }
    }

    #[test]
    fn numbers_are_read_without_a_float() {
        for (written, decimals, steps) in [
            ("12", 0, Some(12)),
            ("-12.5", 1, Some(-125)),
            ("12.5", 0, Some(13)),
            ("-12.5", 0, Some(-13)),
            ("12.49", 0, Some(12)),
            ("0.1", 6, Some(100_000)),
            ("1e3", 0, Some(1000)),
            ("1.25e1", 1, Some(125)),
            ("125e-1", 0, Some(13)),
            ("4e-1", 0, Some(0)),
            ("5e-1", 0, Some(1)),
            ("1e-400", 6, Some(0)),
            ("1e400", 0, Some(VALUE_MAX)),
            ("-1e400", 0, Some(-VALUE_MAX)),
            ("0e400", 0, Some(0)),
            ("99999999999999999999999", 0, Some(VALUE_MAX)),
            ("0.0000000000000000000000001", 6, Some(0)),
            ("1e99999999999", 0, None),
            ("", 0, None),
            ("-", 0, None),
            ("1.", 0, None),
            (".5", 0, None),
            ("NaN", 0, None),
            ("1e", 0, None),
            ("+1", 0, None),
            ("0x10", 0, None),
        ] {
            assert_eq!(steps_of(written, decimals), steps, "{written} at {decimals}");
        }
    }

    #[test]
    fn intervals_take_their_lower_edge_in() {
        let edges = Edges::new(vec![0, 10, 25], 1).unwrap();
        assert_eq!(edges.names(), ["<0", "0..1", "1..2.5", ">=2.5"]);
        assert_eq!([-1, 0, 9, 10, 25, 26].map(|value| edges.interval(value)), [0, 1, 1, 2, 3, 3]);
    }

    #[test]
    fn shares_are_named_as_percentiles() {
        for (written, name) in [("0.5", "p50"), ("0.95", "p95"), ("0.999", "p99.9"), ("0.001", "p0.1")] {
            assert_eq!(PerMille::parse(written).unwrap().to_string(), name);
        }
        for written in ["0", "1", "0.0", "0.9999", ".5", "0.", "0.5x", "50"] {
            assert_eq!(PerMille::parse(written), Err(NotAnAggregate::Quantiles), "{written}");
        }
    }

    #[test]
    fn ranges_that_bound_nothing_are_refused() {
        assert_eq!(Clamp::new(5, 5, 0), Err(NotAnAggregate::Clamp));
        assert_eq!(Clamp::new(0, VALUE_MAX + 1, 0), Err(NotAnAggregate::TooFar));
        assert_eq!(Clamp::new(0, 1, 7), Err(NotAnAggregate::Decimals));
        assert_eq!(Edges::new(vec![1, 1], 0), Err(NotAnAggregate::Edges));
        assert_eq!(Edges::new(vec![], 0), Err(NotAnAggregate::Edges));
        assert_eq!(Clamp::new(-7, 3, 0).unwrap().reach(), 7);
    }

    proptest! {
        #[test]
        fn a_written_decimal_reads_back(steps in -VALUE_MAX..=VALUE_MAX, decimals in 0_u32..=6) {
            prop_assert_eq!(steps_of(&decimal(steps, decimals), decimals), Some(steps));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,20}", decimals in 0_u32..=6) {
            if let Some(steps) = steps_of(&text, decimals) {
                prop_assert!(steps.abs() <= VALUE_MAX);
            }
        }
    }
}
