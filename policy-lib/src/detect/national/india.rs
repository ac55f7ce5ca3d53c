//! India.

use super::checks::{all_same, value, verhoeff};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::InAadhaar,
        form: Form::Shapes(&[Shape::new("9999-9999-9999")]),
        joints: " -:",
        judge: aadhaar,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::InPan,
        form: Form::Shapes(&[Shape::new("AAAAA9999A")]),
        joints: "",
        judge: |code| Sure::checked(is_account(code.chars())),
        topics: Topics::TAX,
    },
    Identifier {
        detector: Detector::InGstin,
        form: Form::Shapes(&[Shape::new("99AAAAA9999AXAX")]),
        joints: "",
        judge: goods_and_services,
        topics: Topics::TAX,
    },
    Identifier {
        detector: Detector::InPassport,
        form: Form::Shapes(&[Shape::new("A9999999"), Shape::new("A99-99999")]),
        joints: " ",
        judge: |code| Sure::maybe(code.nth(1) != b'0'),
        topics: Topics::PASSPORT,
    },
    Identifier {
        detector: Detector::InVoter,
        form: Form::Shapes(&[Shape::new("AAA9999999")]),
        joints: "",
        judge: |code| if code.capitals { Sure::Likely } else { Sure::Maybe },
        topics: Topics::VOTER,
    },
    Identifier {
        detector: Detector::InVehicleRegistration,
        form: Form::Free(8..=10),
        joints: " -",
        judge: plate,
        topics: Topics::VEHICLE,
    },
];

/// Unique Identification Authority: begins with 2 to 9, no palindrome, Verhoeff's check.
fn aadhaar(code: &Code) -> Sure {
    let chars = code.chars();
    let mirrored = chars.iter().eq(chars.iter().rev());
    let right = code.nth(0) >= b'2' && !mirrored && verhoeff(chars);
    if right && !code.is_whole() { Sure::Yes } else { Sure::maybe(right) }
}

/// Income Tax Department: the fourth letter tells the kind of holder.
fn is_account(pan: &[u8]) -> bool {
    pan.get(3).is_some_and(|holder| b"ABCFGHJKLPT".contains(holder))
}

/// Central Board of Indirect Taxes: state, a PAN, entity, Z, and a check character that is not required to be right:
/// nothing else is written so.
fn goods_and_services(code: &Code) -> Sure {
    let state = matches!(code.number(0, 2), 1..=38 | 97 | 99);
    Sure::checked(state && code.nth(13) == b'Z' && code.nth(12) != b'0' && value(code.nth(14)) < 36)
}

/// Motor Vehicles Act: state, district, series of up to three letters, number of four digits.
fn plate(code: &Code) -> Sure {
    const STATES: [&[u8; 2]; 39] = [
        b"AN", b"AP", b"AR", b"AS", b"BH", b"BR", b"CG", b"CH", b"DD", b"DL", b"DN", b"GA", b"GJ", b"HP", b"HR", b"JH",
        b"JK", b"KA", b"KL", b"LA", b"LD", b"MH", b"ML", b"MN", b"MP", b"MZ", b"NL", b"OD", b"OR", b"PB", b"PY", b"RJ",
        b"SK", b"TN", b"TR", b"TS", b"UK", b"UP", b"WB",
    ];
    let state = STATES.iter().any(|state| code.part(0, 2) == state.as_slice());
    let series = code.chars().iter().skip(4).take_while(|byte| byte.is_ascii_alphabetic()).count();
    let district = code.part(2, 4).iter().all(u8::is_ascii_digit);
    let number = code.part(4 + series, code.len);
    let numbered = number.len() == 4 && number.iter().all(u8::is_ascii_digit);
    let parted = code.is_whole()
        || code.groups().map(<[u8]>::len).eq([2, 2, series, 4])
        || code.groups().map(<[u8]>::len).eq([4, series, 4]);
    Sure::checked(state && district && (1..=3).contains(&series) && numbered && parted && !all_same(code.chars()))
}
