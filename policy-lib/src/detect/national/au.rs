//! Australia.

use super::checks::{all_same, digit, weighted};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::AuAbn,
        form: Form::Shapes(&[Shape::new("99-999-999-999")]),
        joints: " -",
        judge: business_number,
        topics: Topics::COMPANY.or(Topics::TAX),
    },
    Identifier {
        detector: Detector::AuAcn,
        form: Form::Shapes(&[Shape::new("999-999-999")]),
        joints: " -",
        judge: company_number,
        topics: Topics::COMPANY,
    },
    Identifier {
        detector: Detector::AuTfn,
        form: Form::Shapes(&[Shape::new("999-999-999"), Shape::new("99999999")]),
        joints: " -",
        judge: tax_file_number,
        topics: Topics::TAX,
    },
    Identifier {
        detector: Detector::AuMedicare,
        form: Form::Shapes(&[Shape::new("9999-99999-9"), Shape::new("9999-99999-99")]),
        joints: " -",
        judge: medicare,
        topics: Topics::HEALTH,
    },
];

/// Australian Business Register: one off the first digit, then weights, modulo 89.
fn business_number(code: &Code) -> Sure {
    let sum = weighted(code.chars(), &[10, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19]);
    Sure::checked(code.nth(0) != b'0' && sum % 89 == 10)
}

/// Australian Securities and Investments Commission: weights 8 to 1, modulo 10.
fn company_number(code: &Code) -> Sure {
    let sum = weighted(code.chars(), &[8, 7, 6, 5, 4, 3, 2, 1]);
    Sure::maybe((10 - sum % 10) % 10 == digit(code.nth(8)) && !all_same(code.chars()))
}

/// Australian Taxation Office: nine digits modulo 11; the old ones have eight.
fn tax_file_number(code: &Code) -> Sure {
    let sum = match code.len {
        9 => weighted(code.chars(), &[1, 4, 3, 7, 5, 8, 6, 9, 10]),
        _ => weighted(code.chars(), &[10, 7, 8, 4, 6, 3, 5, 1]),
    };
    Sure::maybe(sum.is_multiple_of(11) && !all_same(code.chars()))
}

/// Services Australia: begins with 2 to 6, weights 1, 3, 7, 9, modulo 10; the issue follows, then perhaps the person.
fn medicare(code: &Code) -> Sure {
    let sum = weighted(code.chars(), &[1, 3, 7, 9, 1, 3, 7, 9]);
    Sure::maybe(matches!(code.nth(0), b'2'..=b'6') && sum % 10 == digit(code.nth(8)))
}
