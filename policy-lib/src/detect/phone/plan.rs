//! Country codes and how long national numbers are.
//!
//! After ITU-T E.164 (list of assigned country codes) and the numbering plans
//! the countries file with ITU. Lengths are of the national significant number,
//! without a trunk prefix, and generous where a plan is open.

use std::ops::RangeInclusive;

/// What is known of a country code.
pub(super) struct Plan {
    /// Digits of the code itself.
    pub code_len: usize,
    /// Digits a national number may have.
    pub lengths: RangeInclusive<usize>,
}

/// The plan of the country code that the digits begin with, if that is assigned.
pub(super) fn of(digits: &[u8]) -> Option<Plan> {
    let code = |length: usize| -> Option<u16> {
        let digits = digits.get(..length)?;
        Some(digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0')))
    };
    one_digit(code(1)?)
        .map(|lengths| Plan { code_len: 1, lengths })
        .or_else(|| two_digits(code(2)?).map(|lengths| Plan { code_len: 2, lengths }))
        .or_else(|| three_digits(code(3)?).map(|lengths| Plan { code_len: 3, lengths }))
}

const fn one_digit(code: u16) -> Option<RangeInclusive<usize>> {
    match code {
        1 | 7 => Some(10..=10),
        _ => None,
    }
}

const fn two_digits(code: u16) -> Option<RangeInclusive<usize>> {
    let lengths = match code {
        27 | 33 | 34 | 48 | 56 | 93 | 94 => 9..=9,
        30 | 52 | 90 | 91 | 98 => 10..=10,
        45 | 47 | 53 | 65 => 8..=8,
        31 | 32 | 36 | 40 | 41 | 51 | 66 | 84 => 8..=10,
        20 | 44 | 46 | 54 | 55 | 57 | 58 | 60 | 61 | 63 | 64 | 81 | 82 | 86 | 92 | 95 => 8..=11,
        39 | 43 | 49 | 62 => 6..=12,
        _ => return None,
    };
    Some(lengths)
}

const fn three_digits(code: u16) -> Option<RangeInclusive<usize>> {
    match code {
        211..=213 | 216 | 218 | 220..=269 | 290 | 291 | 297..=299 => Some(6..=10),
        350..=359 | 370..=389 | 420 | 421 | 423 => Some(5..=10),
        500..=509 | 590..=599 | 670 | 672..=692 => Some(5..=11),
        800 | 808 | 850 | 852 | 853 | 855 | 856 | 870 | 878 | 880..=883 | 886 | 888 => Some(7..=11),
        960..=968 | 970..=977 | 979 | 992..=996 | 998 => Some(7..=10),
        _ => None,
    }
}
