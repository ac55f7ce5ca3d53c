//! The Philippines.

use super::checks::{digit, weighted};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[Identifier {
    detector: Detector::PhTin,
    form: Form::Shapes(&[Shape::new("999-999-999"), Shape::new("999-999-999-999")]),
    joints: "- ",
    judge: taxpayer,
    topics: Topics::TAX,
}];

/// Bureau of Internal Revenue: weights 9 to 2, modulo 11; three more digits name a branch.
fn taxpayer(code: &Code) -> Sure {
    let sum = weighted(code.chars(), &[9, 8, 7, 6, 5, 4, 3, 2]);
    Sure::maybe(sum % 11 == digit(code.nth(8)) && sum > 0)
}
