//! Sweden.

use super::checks::{is_day, luhn};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::SePersonnummer,
        form: Form::Shapes(&[Shape::new("999999-9999"), Shape::new("99999999-9999")]),
        joints: "-+",
        judge: personal_number,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::SeOrganisationsnummer,
        form: Form::Shapes(&[Shape::new("999999-9999")]),
        joints: "-",
        judge: organisation_number,
        topics: Topics::COMPANY,
    },
];

/// Skatteverket: birthday, with 60 added to the day for a coordination number, and Luhn's checksum over ten digits.
fn personal_number(code: &Code) -> Sure {
    let from = code.len - 10;
    let century = from == 0 || matches!(code.number(0, 2), 18..=20);
    let day = code.number(from + 4, from + 6);
    let born =
        is_day(code.number(from, from + 2), code.number(from + 2, from + 4), if day > 60 { day - 60 } else { day });
    Sure::checked(century && born && luhn(code.part(from, code.len)))
}

/// Bolagsverket: the third digit is at least 2, so that it is no month; Luhn's checksum.
fn organisation_number(code: &Code) -> Sure {
    let right = matches!(code.nth(0), b'1' | b'2' | b'3' | b'5'..=b'9') && code.nth(2) >= b'2' && luhn(code.chars());
    if right && !code.is_whole() { Sure::Likely } else { Sure::maybe(right) }
}
