//! Finland.

use super::checks::is_day;
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[Identifier {
    detector: Detector::FiPersonalIdentityCode,
    form: Form::Shapes(&[Shape::new("999999A999X"), Shape::new("999999-999X")]),
    joints: "-+",
    judge: personal_identity,
    topics: Topics::IDENTITY,
}];

/// Digital and Population Data Services Agency: birthday, sign of the century, number, and a character that is the
/// digits modulo 31.
fn personal_identity(code: &Code) -> Sure {
    let signed = code.len == 11;
    let number = if signed { 7 } else { 6 };
    let century = !signed || matches!(code.nth(6), b'A'..=b'F' | b'U'..=b'Y');
    let parted = signed == code.is_whole();
    let born = is_day(code.number(4, 6), code.number(2, 4), code.number(0, 2));
    let digits = code.number(0, 6) * 1000 + code.number(number, number + 3);
    let check = b"0123456789ABCDEFHJKLMNPRSTUVWXY".get(digits as usize % 31);
    Sure::checked(century && parted && born && code.number(number, number + 3) >= 2 && code.chars().last() == check)
}
