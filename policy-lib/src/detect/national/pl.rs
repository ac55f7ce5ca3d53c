//! Poland.

use super::checks::{digit, is_day, weighted};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[Identifier {
    detector: Detector::PlPesel,
    form: Form::Shapes(&[Shape::new("99999999999")]),
    joints: "",
    judge: population_register,
    topics: Topics::IDENTITY,
}];

/// Ministry of Digital Affairs: birthday with the century in the month, weights 1, 3, 7, 9, modulo 10.
fn population_register(code: &Code) -> Sure {
    let born = is_day(code.number(0, 2), code.number(2, 4) % 20, code.number(4, 6));
    let sum = weighted(code.chars(), &[1, 3, 7, 9, 1, 3, 7, 9, 1, 3]);
    Sure::checked(born && (10 - sum % 10) % 10 == digit(code.nth(10)))
}
