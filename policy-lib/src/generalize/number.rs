//! A number, to the lower end of its bucket.
//!
//! Decimal arithmetic on the text: a binary float would move `0.3` into the
//! wrong bucket of width `0.1`.

use std::cmp::Ordering;
use std::fmt;

/// The width of the buckets `[n * width, (n + 1) * width)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NumberBucket(Decimal);

/// `units / 10^scale`, without a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Decimal {
    units: u128,
    scale: u32,
}

/// Ten to this power is the most that 128 bits hold.
const SCALE_MAX: u32 = 38;

/// The digits a width may have on either side of the point.
const WIDTH_DIGITS_MAX: usize = 15;

impl NumberBucket {
    /// Reads a positive decimal such as `10` or `0.5`; no sign, no exponent.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let written = Written::read(text).filter(|written| !written.negative && written.exponent == 0)?;
        let fits = written.whole.len() <= WIDTH_DIGITS_MAX && written.fraction.len() <= WIDTH_DIGITS_MAX;
        let is_plain = !text.contains(['e', 'E']);
        let width = written.decimal()?.normalized();
        (fits && is_plain && width.units > 0).then_some(Self(width))
    }

    /// Buckets one unit of this decimal place wide; at most 38 places.
    pub(super) const fn decimals(scale: u8) -> Self {
        Self(Decimal { units: 1, scale: if (scale as u32) < SCALE_MAX { scale as u32 } else { SCALE_MAX } })
    }

    /// `Less` is coarser: the width is a multiple of the other, so its buckets are
    /// made of whole buckets of the other. `None` if neither is.
    #[must_use]
    pub fn compare(&self, other: &Self) -> Option<Ordering> {
        let scale = self.0.scale.max(other.0.scale);
        let (ours, theirs) = (self.0.units_at(scale)?, other.0.units_at(scale)?);
        if ours == theirs {
            Some(Ordering::Equal)
        } else if ours.is_multiple_of(theirs) {
            Some(Ordering::Less)
        } else if theirs.is_multiple_of(ours) {
            Some(Ordering::Greater)
        } else {
            None
        }
    }
}

impl fmt::Display for NumberBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.write(false, f)
    }
}

impl Decimal {
    /// The units if the scale were this one; `None` if they do not fit.
    fn units_at(self, scale: u32) -> Option<u128> {
        let power = 10_u128.checked_pow(scale.checked_sub(self.scale)?)?;
        self.units.checked_mul(power)
    }

    /// The same value with no trailing zero behind the point.
    fn normalized(mut self) -> Self {
        while self.scale > 0 && self.units.is_multiple_of(10) {
            self.units /= 10;
            self.scale -= 1;
        }
        self
    }

    fn write(self, negative: bool, out: &mut impl fmt::Write) -> fmt::Result {
        let power = 10_u128.pow(self.scale.min(SCALE_MAX));
        let sign = if negative && self.units > 0 { "-" } else { "" };
        write!(out, "{sign}{}", self.units / power)?;
        if self.scale > 0 {
            write!(out, ".{:0width$}", self.units % power, width = self.scale as usize)?;
        }
        Ok(())
    }
}

/// A number as JSON writes it (RFC 8259, section 6), in its parts.
struct Written<'t> {
    negative: bool,
    whole: &'t str,
    fraction: &'t str,
    exponent: i32,
}

impl<'t> Written<'t> {
    fn read(text: &'t str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Self::exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = match mantissa.split_once('.') {
            Some((whole, fraction)) => (whole, Some(fraction)),
            None => (mantissa, None),
        };
        let leads_well = whole == "0" || !whole.starts_with('0');
        let is_number = is_digits(whole) && leads_well && fraction.is_none_or(is_digits);
        is_number.then_some(Self { negative, whole, fraction: fraction.unwrap_or_default(), exponent })
    }

    fn exponent(text: &str) -> Option<i32> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        if !is_digits(unsigned) || unsigned.len() > 4 {
            return None;
        }
        text.parse().ok()
    }

    /// The value without its sign, if it has few enough digits.
    fn decimal(&self) -> Option<Decimal> {
        let mut units = 0_u128;
        for digit in self.whole.bytes().chain(self.fraction.bytes()) {
            units = units.checked_mul(10)?.checked_add(u128::from(digit - b'0'))?;
        }
        let scale = i32::try_from(self.fraction.len()).ok()?.checked_sub(self.exponent)?;
        match u32::try_from(scale) {
            Ok(scale) => Some(Decimal { units, scale }.normalized()).filter(|value| value.scale <= SCALE_MAX),
            Err(_) => {
                let power = 10_u128.checked_pow(scale.unsigned_abs())?;
                Some(Decimal { units: units.checked_mul(power)?, scale: 0 })
            }
        }
    }
}

fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Appends the lower end of the bucket that holds the number.
///
/// Takes a number as JSON writes it, with an exponent or without, of at most some
/// thirty digits at the scale of the width; else `None`. Below zero the lower end
/// is farther from zero: `-3` is in the bucket `-10` of width `10`. The result has
/// as many decimals as the width, never an exponent and never a negative zero.
///
/// Still to be learnt: the value but for the width of a bucket. A rare value is
/// rare in a bucket, too: someone 104 years old is almost alone in `100`.
#[must_use]
pub fn number(text: &str, bucket: &NumberBucket, out: &mut String) -> Option<()> {
    let written = Written::read(text)?;
    let low = floor(written.decimal()?, written.negative, bucket.0)?;
    low.write(written.negative, out).ok()
}

/// The multiple of `width` at or below the value, without its sign.
fn floor(value: Decimal, negative: bool, width: Decimal) -> Option<Decimal> {
    let scale = value.scale.max(width.scale);
    let (value, step) = (value.units_at(scale)?, width.units_at(scale)?);
    let buckets = if negative { value.div_ceil(step) } else { value / step };
    Some(Decimal { units: buckets.checked_mul(width.units)?, scale: width.scale })
}

/// The whole number at or below a number as JSON writes it.
pub(super) fn floor_whole(text: &str) -> Option<i128> {
    let written = Written::read(text)?;
    let low = floor(written.decimal()?, written.negative, Decimal { units: 1, scale: 0 })?;
    let low = i128::try_from(low.units).ok()?;
    Some(if written.negative { -low } else { low })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn told(text: &str, width: &str) -> Option<String> {
        let mut out = String::new();
        let result = number(text, &NumberBucket::parse(width).unwrap(), &mut out);
        assert!(result.is_some() || out.is_empty());
        result.map(|()| out)
    }

    #[test]
    fn lower_ends() {
        for (text, width, expected) in [
            ("37", "10", "30"),
            ("-3", "10", "-10"),
            ("-10", "10", "-10"),
            ("-0", "10", "0"),
            ("-0.0", "0.5", "0.0"),
            ("0.3", "0.1", "0.3"),
            ("0.29999", "0.1", "0.2"),
            ("12.75", "0.5", "12.5"),
            ("-12.75", "0.5", "-13.0"),
            ("19.99", "5", "15"),
            ("1e3", "300", "900"),
            ("1.5E+2", "100", "100"),
            ("123e-2", "1", "1"),
            ("9007199254740993", "2", "9007199254740992"),
            ("123456789012345678901234567890", "1000", "123456789012345678901234567000"),
            ("1e-20", "10", "0"),
            ("-1e-20", "10", "-10"),
        ] {
            assert_eq!(told(text, width).as_deref(), Some(expected), "{text} / {width}");
        }
    }

    #[test]
    fn what_is_no_number_or_too_large_is_refused() {
        for text in [
            "",
            "-",
            "+1",
            "01",
            "1.",
            ".5",
            "1e",
            "1e+",
            "0x1",
            "NaN",
            "1_000",
            " 1",
            "1,5",
            "1e99999",
            "1e39",
            "1e-39",
            "--1",
            "1e--1",
            "999999999999999999999999999999999999999999",
            "٣",
        ] {
            assert_eq!(told(text, "10"), None, "{text}");
        }
    }

    #[test]
    fn widths() {
        for refused in ["", "0", "0.0", "-1", "1e3", "1e0", "+5", "05", "ten", "0.0000000000000001", "1000000000000000"]
        {
            assert_eq!(NumberBucket::parse(refused), None, "{refused}");
        }
        assert_eq!(NumberBucket::parse("10.0"), NumberBucket::parse("10"));
        assert_eq!(NumberBucket::parse("0.50").unwrap().to_string(), "0.5");
        let compare = |a, b| NumberBucket::parse(a).unwrap().compare(&NumberBucket::parse(b).unwrap());
        assert_eq!(compare("100", "10"), Some(Ordering::Less));
        assert_eq!(compare("0.5", "10"), Some(Ordering::Greater));
        assert_eq!(compare("10", "10.0"), Some(Ordering::Equal));
        assert_eq!(compare("10", "15"), None);
    }

    proptest! {
        #[test]
        fn coarse_after_fine_is_coarse(text in "-?(0|[1-9][0-9]{0,12})(\\.[0-9]{1,6})?(e-?[0-9])?", fine in 1..1000_u32, times in 1..50_u32, scale in 0..4_usize) {
            let width = |units: u32| match scale {
                0 => units.to_string(),
                scale => format!("{}.{:0scale$}", units / 10_u32.pow(scale as u32), units % 10_u32.pow(scale as u32)),
            };
            let coarse = told(&text, &width(fine * times)).unwrap();
            let step = told(&text, &width(fine)).unwrap();
            prop_assert_eq!(told(&step, &width(fine * times)), Some(coarse));
        }

        #[test]
        fn whole_numbers_as_integers_do(value in any::<i64>(), width in 1..1_000_000_i64) {
            let expected = i128::from(value).div_euclid(width.into()) * i128::from(width);
            prop_assert_eq!(told(&value.to_string(), &width.to_string()), Some(expected.to_string()));
        }

        #[test]
        fn anything_may_come(text in any::<String>(), near in "[-+0-9.eE]{0,60}") {
            told(&text, "10");
            told(&near, "0.5");
            let _ = NumberBucket::parse(&near);
        }
    }
}
