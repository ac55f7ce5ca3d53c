//! South Africa.

use super::checks::{is_day, luhn};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[Identifier {
    detector: Detector::ZaIdNumber,
    form: Form::Shapes(&[Shape::new("9999999999999"), Shape::new("999999-9999-999"), Shape::new("999999-9999-99-9")]),
    joints: " -",
    judge: identity_number,
    topics: Topics::IDENTITY,
}];

/// Identification Act 68 of 1997: birthday, sequence, citizenship (0, 1, or 2 for a refugee), 8 or 9, Luhn's checksum.
fn identity_number(code: &Code) -> Sure {
    let born = is_day(code.number(0, 2), code.number(2, 4), code.number(4, 6));
    let status = matches!(code.nth(10), b'0'..=b'2') && matches!(code.nth(11), b'8' | b'9');
    Sure::checked(born && status && luhn(code.chars()))
}
