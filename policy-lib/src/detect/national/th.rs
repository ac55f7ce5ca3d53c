//! Thailand.

use super::checks::digit;
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[Identifier {
    detector: Detector::ThTnin,
    form: Form::Shapes(&[Shape::new("9-9999-99999-99-9")]),
    joints: "- ",
    judge: national_identity,
    topics: Topics::IDENTITY.or(Topics::TAX),
}];

/// Department of Provincial Administration: kind, province, weights 13 to 2, modulo 11.
fn national_identity(code: &Code) -> Sure {
    let province = matches!(code.number(1, 3), 10..=27 | 30..=49 | 50..=58 | 60..=67 | 70..=77 | 80..=86 | 90..=96);
    let sum = (0..12).map(|nth| digit(code.nth(nth)) * (13 - nth as u32)).sum::<u32>();
    let right = code.nth(0) != b'0' && province && (11 - sum % 11) % 10 == digit(code.nth(12));
    // One plain number of thirteen digits in fifteen passes.
    if right && !code.is_whole() { Sure::Yes } else { Sure::maybe(right) }
}
