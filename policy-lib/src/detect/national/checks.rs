//! Check digits and dates, as the registers publish them.
//!
//! All take characters as a [`super::code::Code`] holds them: digits and
//! capitals. What is no digit counts as zero; shapes keep it out.

/// The value of a digit.
pub(super) fn digit(byte: u8) -> u32 {
    char::from(byte).to_digit(10).unwrap_or_default()
}

/// The value of a digit, or of a letter counted on from ten (ICAO 9303, ISO 13616).
pub(super) fn value(byte: u8) -> u32 {
    char::from(byte).to_digit(36).unwrap_or_default()
}

/// The sum of the digits, each times its weight.
pub(super) fn weighted(digits: &[u8], weights: &[u32]) -> u32 {
    digits.iter().zip(weights).map(|(byte, weight)| digit(*byte) * weight).sum()
}

/// The sum of the digits of the products.
pub(super) fn cross_weighted(digits: &[u8], weights: &[u32]) -> u32 {
    let products = digits.iter().zip(weights).map(|(byte, weight)| digit(*byte) * weight);
    products.map(|product| product / 10 + product % 10).sum()
}

/// ISO/IEC 7812-1, annex B: all digits, the check digit last.
pub(super) fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(nth, byte)| match (nth % 2, digit(*byte)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|byte| *byte != b'0')
}

/// ISO/IEC 7064 mod 11,10: all digits, the check digit last.
pub(super) fn mod_11_10(digits: &[u8]) -> bool {
    let Some((last, rest)) = digits.split_last() else { return false };
    let product = rest.iter().fold(10, |product, byte| {
        let sum = (digit(*byte) + product) % 10;
        (if sum == 0 { 10 } else { sum }) * 2 % 11
    });
    (11 - product) % 10 == digit(*last)
}

/// ICAO 9303, part 3: weights 7, 3, 1 over digits and letters, the check digit last.
pub(super) fn icao(chars: &[u8]) -> bool {
    let Some((last, rest)) = chars.split_last() else { return false };
    let sum: u32 = rest.iter().zip([7, 3, 1].into_iter().cycle()).map(|(byte, weight)| value(*byte) * weight).sum();
    last.is_ascii_digit() && sum % 10 == digit(*last)
}

/// Verhoeff's dihedral check (J. Verhoeff, Error Detecting Decimal Codes, 1969): all digits, the check digit last.
pub(super) fn verhoeff(digits: &[u8]) -> bool {
    let sum = digits.iter().rev().enumerate().fold(0, |sum, (nth, byte)| dihedral(sum, permuted(digit(*byte), nth)));
    sum == 0
}

/// The product in the dihedral group of order ten: rotations 0 to 4, reflections 5 to 9.
const fn dihedral(a: u32, b: u32) -> u32 {
    match (a < 5, b < 5) {
        (true, true) => (a + b) % 5,
        (true, false) => 5 + (a + b) % 5,
        (false, true) => 5 + (a - b) % 5,
        (false, false) => (a + 5 - b) % 5,
    }
}

/// The `nth` power of Verhoeff's permutation, which has order eight.
fn permuted(digit: u32, nth: usize) -> u32 {
    const ONCE: [u32; 10] = [1, 5, 7, 6, 2, 8, 3, 0, 9, 4];
    (0..nth % 8).fold(digit, |digit, _| ONCE.get(digit as usize).copied().unwrap_or_default())
}

/// Whether there is such a day in some year; a year of two digits may be a leap year.
pub(super) const fn is_day(year: u32, month: u32, day: u32) -> bool {
    let days = match month {
        2 if year.is_multiple_of(4) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        _ => return false,
    };
    1 <= day && day <= days
}

/// Whether all characters are the same.
pub(super) fn all_same(chars: &[u8]) -> bool {
    chars.first().is_some_and(|first| chars.iter().all(|byte| byte == first))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn published_examples() {
        assert!(luhn(b"79927398713") && !luhn(b"79927398710") && !luhn(b"0000000000"));
        assert!(verhoeff(b"2363") && !verhoeff(b"2364"));
        assert!(mod_11_10(b"136695976") && !mod_11_10(b"136695977"));
        assert!(icao(b"L01X00T44") && !icao(b"L01X00T47"));
        assert!(is_day(0, 2, 29) && !is_day(1, 2, 29) && !is_day(1, 13, 1) && !is_day(1, 4, 31) && !is_day(1, 1, 0));
    }

    /// Every check notices one wrong digit.
    fn notices(check: fn(&[u8]) -> bool, digits: &[u8], at: usize, other: u8) -> bool {
        let mut wrong = digits.to_vec();
        let at = at % wrong.len();
        wrong[at] = if wrong[at] == other { other ^ 1 } else { other };
        !(check(digits) && check(&wrong))
    }

    proptest! {
        #[test]
        fn one_wrong_digit_is_noticed(mut digits in "[0-9]{8,14}", at in 0_usize..14, other in b'0'..=b'7') {
            for check in [luhn, verhoeff, mod_11_10] {
                digits.push('0');
                for last in '0'..='9' {
                    digits.pop();
                    digits.push(last);
                    prop_assert!(notices(check, digits.as_bytes(), at, other));
                }
                digits.pop();
            }
        }
    }
}
