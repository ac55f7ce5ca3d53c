//! Singapore.

use super::checks::weighted;
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::SgNricFin,
        form: Form::Shapes(&[Shape::new("A9999999A")]),
        joints: "",
        judge: identity_card,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::SgUen,
        form: Form::Shapes(&[Shape::new("99999999A"), Shape::new("999999999A"), Shape::new("A99AX9999A")]),
        joints: "",
        judge: entity_number,
        topics: Topics::COMPANY,
    },
];

/// Immigration and Checkpoints Authority: a letter for the series, weights 2, 7, 6, 5, 4, 3, 2, and one of eleven letters.
fn identity_card(code: &Code) -> Sure {
    let sum = weighted(code.part(1, 8), &[2, 7, 6, 5, 4, 3, 2]);
    let (offset, letters) = match code.nth(0) {
        b'S' => (0, b"JZIHGFEDCBA"),
        b'T' => (4, b"JZIHGFEDCBA"),
        b'F' => (0, b"XWUTRQPNMLK"),
        b'G' => (4, b"XWUTRQPNMLK"),
        b'M' => (3, b"XWUTRQPNJLK"),
        _ => return Sure::No,
    };
    let check = letters.get((sum + offset) as usize % 11).copied();
    // A slip of the pen leaves the rest of it as telling as it was.
    if check == Some(code.nth(8)) { Sure::Yes } else { Sure::Maybe }
}

/// Accounting and Corporate Regulatory Authority: businesses, companies and all others have each their weights and letters.
fn entity_number(code: &Code) -> Sure {
    let check = match (code.len, code.nth(0)) {
        (9, _) => check_letter(weighted(code.part(0, 8), &[10, 4, 9, 3, 8, 2, 7, 1]), b"XMKECAWLJDB"),
        (_, b'R' | b'S' | b'T') => other_entity(code),
        (_, b'0'..=b'9') if matches!(code.number(0, 4), 1800..=2099) => {
            check_letter(weighted(code.part(0, 9), &[10, 8, 6, 4, 9, 7, 5, 3, 1]), b"ZKCMDNERGWH")
        }
        _ => None,
    };
    Sure::checked(check == code.chars().last().copied())
}

fn check_letter(sum: u32, letters: &[u8; 11]) -> Option<u8> {
    letters.get(sum as usize % 11).copied()
}

/// `T16RF0037C`: letters count by their place in the authority's alphabet.
fn other_entity(code: &Code) -> Option<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWX0123456789";
    let place = |byte: &u8| ALPHABET.iter().position(|other| other == byte);
    let mut sum = 0;
    for (byte, weight) in code.part(0, 9).iter().zip([4, 3, 5, 3, 10, 2, 2, 5, 7]) {
        sum += place(byte)? * weight;
    }
    ALPHABET.get((sum + 6) % 11).copied()
}
