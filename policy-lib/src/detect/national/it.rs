//! Italy.

use super::checks::{digit, luhn, value};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::ItFiscalCode,
        form: Form::Free(16..=16),
        joints: " ",
        judge: fiscal_code,
        topics: Topics::TAX.or(Topics::IDENTITY),
    },
    Identifier {
        detector: Detector::ItVatCode,
        form: Form::Shapes(&[Shape::new("99999999999"), Shape::new("99999999-999"), Shape::new("9999999-9999")]),
        joints: "_- ",
        judge: vat_code,
        topics: Topics::TAX.or(Topics::COMPANY),
    },
    Identifier {
        detector: Detector::ItDriverLicense,
        form: Form::Free(10..=10),
        joints: "",
        judge: driver_license,
        topics: Topics::DRIVING,
    },
    Identifier {
        detector: Detector::ItIdentityCard,
        form: Form::Shapes(&[Shape::new("AA-9999999"), Shape::new("AA-99999-AA"), Shape::new("9999999-AA")]),
        joints: " ",
        judge: |_| Sure::Maybe,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::ItPassport,
        form: Form::Shapes(&[Shape::new("AA9999999")]),
        joints: "",
        judge: |_| Sure::Maybe,
        topics: Topics::PASSPORT,
    },
];

/// Decreto Ministeriale 12 March 1974: surname, name, year, month's letter, day with 40 added for women, place,
/// check letter. Letters may stand for digits where two people would have the same.
///
/// A wrong check letter makes it less sure and nothing else: the rest still tells name, birthday and birthplace.
fn fiscal_code(code: &Code) -> Sure {
    let letters = code.part(0, 6).iter().chain(code.part(8, 9)).chain(code.part(11, 12)).chain(code.part(15, 16));
    let numbers = code.part(6, 8).iter().chain(code.part(9, 11)).chain(code.part(12, 15));
    let shaped = letters.into_iter().all(u8::is_ascii_alphabetic)
        && numbers.into_iter().all(|byte| byte.is_ascii_digit() || b"LMNPQRSTUV".contains(byte));
    let day = code.part(9, 11).iter().fold(0, |day, byte| day * 10 + plain_digit(*byte));
    let parted = code.is_whole() || code.groups().map(<[u8]>::len).eq([3, 3, 5, 5]);
    let born = b"ABCDEHLMPRST".contains(&code.nth(8)) && matches!(day, 1..=31 | 41..=71);
    match shaped && born && parted {
        false => Sure::No,
        true if check_letter(code.part(0, 15)) == code.nth(15) => Sure::Yes,
        true => Sure::Likely,
    }
}

/// The digit that a letter stands for.
fn plain_digit(byte: u8) -> u32 {
    let place = b"LMNPQRSTUV".iter().position(|letter| *letter == byte);
    place.map_or_else(|| digit(byte), |place| place as u32)
}

/// Characters at odd places count by a table, those at even places as they are.
fn check_letter(chars: &[u8]) -> u8 {
    const ODD: [u32; 26] =
        [1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10, 22, 25, 24, 23];
    let sum: u32 = chars
        .iter()
        .enumerate()
        .map(|(nth, byte)| {
            let place = if byte.is_ascii_digit() { digit(*byte) } else { value(*byte).saturating_sub(10) };
            if nth % 2 == 0 { ODD.get(place as usize).copied().unwrap_or_default() } else { place }
        })
        .sum();
    b'A' + u8::try_from(sum % 26).unwrap_or_default()
}

/// Agenzia delle Entrate: Luhn's checksum over eleven digits; the office's number is not 000.
fn vat_code(code: &Code) -> Sure {
    let right = luhn(code.chars()) && code.part(0, 7) != b"0000000";
    if right && code.joint == Some('_') { Sure::Likely } else { Sure::maybe(right) }
}

/// Two letters, seven digits, a letter; or `U1`, seven digits and consonants, a letter.
fn driver_license(code: &Code) -> Sure {
    let old = code.part(0, 2).iter().all(u8::is_ascii_alphabetic) && code.part(2, 9).iter().all(u8::is_ascii_digit);
    let consonant = |byte: &u8| byte.is_ascii_digit() || byte.is_ascii_alphabetic() && !b"AEIOQV".contains(byte);
    let new = code.part(0, 2) == b"U1" && code.part(2, 9).iter().all(consonant);
    match code.nth(9).is_ascii_alphabetic() {
        true if new => Sure::Likely,
        ends => Sure::maybe(ends && old),
    }
}
