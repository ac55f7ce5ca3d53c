//! A declared epsilon, and e to its power from below.
//!
//! Promise: what is declared is read exactly, and [`growth`] never passes
//! e^epsilon, so a probability made of it never loses more than was declared.
//! No float is used.
//!
//! Not here: what an epsilon may be spent on ([`crate::ledger`]).

use core::fmt;

/// How many units make an epsilon of 1.
pub const NANO: u64 = 1_000_000_000;

/// Below this a million answers drown in their noise.
const EPSILON_NANO_MIN: u64 = 1_000_000;

/// Above this one report says what its sender answered.
const EPSILON_NANO_MAX: u64 = 10 * NANO;

/// A number of 2^64ths that is 1.
pub(crate) const ONE: u128 = 1 << 64;

/// What one report may tell of one answer: for any two answers, no report is
/// more than e^epsilon times as likely under the one as under the other.
/// Counted in billionths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epsilon(u64);

/// Why something is no epsilon of a local report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAnEpsilon {
    /// Signs, exponents, spaces and words are not read.
    NotADecimal,
    /// Rounding a declared epsilon would change what was declared.
    TooFine,
    /// Below a thousandth.
    TooSmall,
    /// Above ten.
    TooLarge,
}

impl fmt::Display for NotAnEpsilon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotADecimal => {
                "write epsilon as a decimal number such as \"1.5\": digits, and at most one point between them"
            }
            Self::TooFine => "at most nine digits may follow the point of an epsilon: it is counted in billionths",
            Self::TooSmall => "an epsilon below 0.001 leaves nothing but noise: declare at least 0.001",
            Self::TooLarge => "an epsilon above 10 hides nobody: declare at most 10",
        })
    }
}

impl core::error::Error for NotAnEpsilon {}

impl Epsilon {
    /// An epsilon of that many billionths.
    ///
    /// # Errors
    /// Below 0.001 and above 10.
    pub const fn from_nano(nano: u64) -> Result<Self, NotAnEpsilon> {
        match nano {
            EPSILON_NANO_MIN..=EPSILON_NANO_MAX => Ok(Self(nano)),
            0..EPSILON_NANO_MIN => Err(NotAnEpsilon::TooSmall),
            _ => Err(NotAnEpsilon::TooLarge),
        }
    }

    /// Reads a declared epsilon, exactly.
    ///
    /// ```
    /// use privet_ldp::Epsilon;
    /// assert_eq!(Epsilon::from_decimal("1.5")?.nano(), 1_500_000_000);
    /// # Ok::<(), privet_ldp::NotAnEpsilon>(())
    /// ```
    ///
    /// # Errors
    /// Whatever is no plain decimal from 0.001 to 10, with at most nine digits after the point.
    pub fn from_decimal(written: &str) -> Result<Self, NotAnEpsilon> {
        let (whole, fraction) = match written.split_once('.') {
            Some((_, "")) => return Err(NotAnEpsilon::NotADecimal),
            Some(parts) => parts,
            None => (written, ""),
        };
        if whole.is_empty() || !(whole.bytes().chain(fraction.bytes())).all(|byte| byte.is_ascii_digit()) {
            return Err(NotAnEpsilon::NotADecimal);
        }
        if fraction.len() > 9 {
            return Err(NotAnEpsilon::TooFine);
        }
        let whole: u64 = whole.parse().map_err(|_| NotAnEpsilon::TooLarge)?;
        let billionths = fraction.bytes().chain(core::iter::repeat(b'0')).take(9).fold(0, push_digit);
        Self::from_nano(whole.saturating_mul(NANO).saturating_add(billionths))
    }

    /// The epsilon in billionths.
    #[must_use]
    pub const fn nano(self) -> u64 {
        self.0
    }

    /// The smallest epsilon of which `holds` is true, where it is false up to
    /// some epsilon and true from there. The largest one if it never is.
    pub(crate) fn smallest(holds: impl Fn(Self) -> bool) -> Self {
        let (mut low, mut high) = (EPSILON_NANO_MIN, EPSILON_NANO_MAX);
        while low < high {
            let middle = low.midpoint(high);
            if holds(Self(middle)) { high = middle } else { low = middle.saturating_add(1) }
        }
        Self(high)
    }
}

fn push_digit(number: u64, digit: u8) -> u64 {
    number * 10 + u64::from(digit - b'0')
}

/// e^epsilon in 2^64ths, rounded down.
///
/// The series of the exponential has terms above zero only, and each one is
/// rounded down: so is their sum. It falls short by less than 2^-48.
pub(crate) fn growth(epsilon: Epsilon) -> u128 {
    let mut term = ONE;
    let mut sum = term;
    let mut place = 0;
    while term > 0 {
        place += 1;
        // A term is at most 10^10/10! and an epsilon 10^10 billionths: 110 bits. Rounding down twice is rounding down once.
        term = divide(divide(term * u128::from(epsilon.0), NANO), place);
        sum += term;
    }
    sum
}

/// `number` divided by less than 2^32, rounded down. Digit by digit: the
/// compiler's division of 128 bits takes a page a kilobyte more.
fn divide(number: u128, by: u64) -> u128 {
    let mut rest = 0;
    [96, 64, 32, 0].into_iter().fold(0, |quotient, shift| {
        let part = rest << 32 | u64::from((number >> shift) as u32);
        rest = part % by;
        quotient << 32 | u128::from(part / by)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Floors of e^x 2^64, made by Python's `decimal` with 60 digits.
    const TRUE_GROWTH: [(u64, u128); 5] = [
        (1_000_000, 18_465_200_044_230_524_136),
        (500_000_000, 30_413_539_329_486_470_295),
        (1_000_000_000, 50_143_449_209_799_256_682),
        (4_000_000_000, 1_007_158_100_559_408_451_354),
        (10_000_000_000, 406_316_577_365_116_946_489_258),
    ];

    #[test]
    fn growth_is_below_e_to_the_epsilon_and_close_to_it() {
        for (nano, floor) in TRUE_GROWTH {
            let found = growth(Epsilon(nano));
            assert!(found <= floor, "{nano}");
            assert!(floor - found < 1 << 16, "{nano}: short by {}", floor - found);
        }
    }

    #[test]
    fn division_is_the_compilers() {
        for number in [0, 1, u128::MAX, ONE, ONE - 1, 0x0123_4567_89ab_cdef_0fed_cba9_8765_4321] {
            for by in [1, 2, 7, 90, NANO, u64::from(u32::MAX)] {
                assert_eq!(divide(number, by), number / u128::from(by));
            }
        }
    }

    #[test]
    fn growth_never_falls_where_epsilon_rises() {
        for nano in (EPSILON_NANO_MIN..EPSILON_NANO_MAX).step_by(99_999_937) {
            assert!(growth(Epsilon(nano)) < growth(Epsilon(nano + 1)), "{nano}");
        }
    }

    #[test]
    fn decimals_are_read_exactly_or_not_at_all() {
        let read = |text| Epsilon::from_decimal(text).map(Epsilon::nano);
        assert_eq!(read("0.123456789"), Ok(123_456_789));
        assert_eq!(read("10"), Ok(10 * NANO));
        assert_eq!(read("0.0000000001"), Err(NotAnEpsilon::TooFine));
        assert_eq!(read("0.0009"), Err(NotAnEpsilon::TooSmall));
        assert_eq!(read("10.000000001"), Err(NotAnEpsilon::TooLarge));
        assert_eq!(read("99999999999999999999999"), Err(NotAnEpsilon::TooLarge));
        for text in ["", ".", "1.", ".5", "-1", "+1", "1e1", " 1", "1,5", "one", "1.2.3"] {
            assert_eq!(read(text), Err(NotAnEpsilon::NotADecimal), "{text}");
        }
    }
}
