//! Korea.

use super::checks::{all_same, digit, is_day, weighted};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::KrRrn,
        form: Form::Shapes(&[Shape::new("999999-9999999")]),
        joints: "-",
        judge: |code| register(code, b'1'..=b'4', 11),
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::KrFrn,
        form: Form::Shapes(&[Shape::new("999999-9999999")]),
        joints: "-",
        judge: |code| register(code, b'5'..=b'8', 13),
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::KrBrn,
        form: Form::Shapes(&[Shape::new("999-99-99999")]),
        joints: "-",
        judge: business,
        topics: Topics::COMPANY.or(Topics::TAX),
    },
    Identifier {
        detector: Detector::KrDriverLicense,
        form: Form::Shapes(&[Shape::new("99-99-999999-99")]),
        joints: "-",
        judge: driver_license,
        topics: Topics::DRIVING,
    },
    Identifier {
        detector: Detector::KrPassport,
        form: Form::Shapes(&[Shape::new("A999A9999"), Shape::new("A99999999")]),
        joints: "",
        judge: passport,
        topics: Topics::PASSPORT,
    },
];

/// Ministry of the Interior: birthday, then a digit for century and sex; since October 2020 the rest is random, so the
/// old checksum can only make it surer.
fn register(code: &Code, kinds: std::ops::RangeInclusive<u8>, offset: u32) -> Sure {
    let born = is_day(code.number(0, 2), code.number(2, 4), code.number(4, 6));
    let sum = weighted(code.chars(), &[2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5]);
    let checked = (offset - sum % 11) % 10 == digit(code.nth(12));
    match born && kinds.contains(&code.nth(6)) {
        false => Sure::No,
        true if checked => Sure::Yes,
        true if !code.is_whole() => Sure::Likely,
        true => Sure::Maybe,
    }
}

/// National Tax Service: weights 1, 3, 7 and both digits of five times the ninth, modulo 10.
fn business(code: &Code) -> Sure {
    let ninth = digit(code.nth(8)) * 5;
    let sum = weighted(code.part(0, 8), &[1, 3, 7, 1, 3, 7, 1, 3]) + ninth + ninth / 10;
    let right = (10 - sum % 10) % 10 == digit(code.nth(9)) && !all_same(code.chars());
    if right && !code.is_whole() { Sure::Likely } else { Sure::maybe(right) }
}

/// National Police Agency: region 11 to 28, year, number, check.
fn driver_license(code: &Code) -> Sure {
    let region = matches!(code.number(0, 2), 11..=28);
    if region && !code.is_whole() { Sure::Likely } else { Sure::maybe(region) }
}

/// Ministry of Foreign Affairs: a letter for the kind, digits, since 2021 a letter among them.
fn passport(code: &Code) -> Sure {
    Sure::maybe(b"MSRODG".contains(&code.nth(0)))
}
