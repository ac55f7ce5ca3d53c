//! Spain.

use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::EsNif,
        form: Form::Shapes(&[Shape::new("99999999-A"), Shape::new("9999999-A")]),
        joints: "-",
        judge: |code| Sure::checked(letter_fits(code.number(0, code.len - 1), code)),
        topics: Topics::IDENTITY.or(Topics::TAX),
    },
    Identifier {
        detector: Detector::EsNie,
        form: Form::Shapes(&[Shape::new("A9999999-A"), Shape::new("A-9999999-A")]),
        joints: "-",
        judge: foreigner,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::EsPassport,
        form: Form::Shapes(&[Shape::new("AAA999999")]),
        joints: "",
        judge: |_| Sure::Maybe,
        topics: Topics::PASSPORT,
    },
];

/// X, Y and Z stand for 0, 1 and 2.
fn foreigner(code: &Code) -> Sure {
    let first = match code.nth(0) {
        b'X' => 0,
        b'Y' => 1,
        b'Z' => 2,
        _ => return Sure::No,
    };
    Sure::checked(letter_fits(first * 10_000_000 + code.number(1, 8), code))
}

/// Real Decreto 1553/2005: the letter is that of the number modulo 23.
fn letter_fits(number: u32, code: &Code) -> bool {
    let letter = b"TRWAGMYFPDXBNJZSQVHLCKE".get(number as usize % 23);
    code.chars().last() == letter
}
