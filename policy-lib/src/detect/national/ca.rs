//! Canada.

use super::checks::{all_same, luhn};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::CaSin,
        form: Form::Shapes(&[Shape::new("999-999-999")]),
        joints: " -",
        judge: social_insurance,
        topics: Topics::SOCIAL,
    },
    Identifier {
        detector: Detector::CaPostalCode,
        form: Form::Shapes(&[Shape::new("A9A-9A9")]),
        joints: " -",
        judge: postal_code,
        topics: Topics::POSTAL,
    },
];

/// Service Canada: Luhn's checksum; no number begins with 0 or 8. The grouping is also that of other numbers,
/// one in ten of which passes.
fn social_insurance(code: &Code) -> Sure {
    Sure::maybe(!matches!(code.nth(0), b'0' | b'8') && luhn(code.chars()) && !all_same(code.chars()))
}

/// Canada Post: no D, F, I, O, Q or U, and neither W nor Z at the front.
fn postal_code(code: &Code) -> Sure {
    let letters = [code.nth(0), code.nth(2), code.nth(4)];
    let fits = !letters.iter().any(|byte| b"DFIOQU".contains(byte)) && !b"WZ".contains(&code.nth(0));
    if code.capitals && !code.is_whole() { Sure::likely(fits) } else { Sure::maybe(fits) }
}
