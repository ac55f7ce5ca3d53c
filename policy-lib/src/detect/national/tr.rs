//! Turkey.

use super::checks::digit;
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::TrNationalId,
        form: Form::Shapes(&[Shape::new("99999999999")]),
        joints: "",
        judge: national_id,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::TrLicensePlate,
        form: Form::Free(5..=9),
        joints: " -",
        judge: plate,
        topics: Topics::VEHICLE,
    },
];

/// Directorate of Civil Registration: two check digits over the places with odd and even numbers.
fn national_id(code: &Code) -> Sure {
    let sum = |nths: [usize; 5]| nths.map(|nth| digit(code.nth(nth))).iter().sum::<u32>();
    let (odd, even) = (sum([0, 2, 4, 6, 8]), sum([1, 3, 5, 7, 9]) - digit(code.nth(9)));
    let tenth = (odd * 7 + 40 - even) % 10;
    let eleventh = (odd + even + tenth) % 10;
    Sure::checked(code.nth(0) != b'0' && digit(code.nth(9)) == tenth && digit(code.nth(10)) == eleventh)
}

/// A province of 01 to 81, one to three letters, two to five digits: fewer the more letters.
fn plate(code: &Code) -> Sure {
    let chars = code.chars();
    let letters = chars.iter().skip(2).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let tail = code.len - (2 + letters).min(code.len);
    let province = chars.iter().take(2).all(u8::is_ascii_digit) && matches!(code.number(0, 2), 1..=81);
    let lengths = matches!((letters, tail), (1, 2..=5) | (2, 2..=4) | (3, 2..=4));
    let numbered = code.part(2 + letters, code.len).iter().all(u8::is_ascii_digit);
    let parted = code.is_whole() || code.groups().map(<[u8]>::len).eq([2, letters, tail]);
    let fits = province && lengths && numbered && parted;
    if code.capitals { Sure::likely(fits) } else { Sure::maybe(fits) }
}
