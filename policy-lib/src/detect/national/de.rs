//! Germany.

use super::checks::{all_same, cross_weighted, digit, icao, is_day, mod_11_10, value, weighted};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::DeTaxId,
        form: Form::Shapes(&[Shape::new("99-999-999-999")]),
        joints: " ",
        judge: |code| Sure::maybe(code.nth(0) != b'0' && mod_11_10(code.chars())),
        topics: Topics::TAX.or(Topics::IDENTITY),
    },
    Identifier {
        detector: Detector::DeTaxNumber,
        form: Form::Shapes(&[
            Shape::new("9999999999999"),
            Shape::new("99-999-99999"),
            Shape::new("999-999-99999"),
            Shape::new("99-9999-9999"),
            Shape::new("999-9999-9999"),
        ]),
        joints: "/",
        judge: tax_number,
        topics: Topics::TAX,
    },
    Identifier {
        detector: Detector::DeVatId,
        form: Form::Shapes(&[Shape::new("AA-999-999-999"), Shape::new("AA-999999999")]),
        joints: " -.",
        judge: |code| Sure::checked(code.part(0, 2) == b"DE" && mod_11_10(code.part(2, 11))),
        topics: Topics::TAX,
    },
    Identifier {
        detector: Detector::DeSocialSecurity,
        form: Form::Shapes(&[Shape::new("99-999999-A-999"), Shape::new("99-99-99-99-A-999")]),
        joints: " ",
        judge: social_security,
        topics: Topics::SOCIAL,
    },
    Identifier {
        detector: Detector::DeHealthInsurance,
        form: Form::Shapes(&[Shape::new("A999999999")]),
        joints: "",
        judge: health_insurance,
        topics: Topics::HEALTH,
    },
    Identifier {
        detector: Detector::DeIdCard,
        form: Form::Free(9..=9),
        joints: "",
        judge: identity_card,
        topics: Topics::IDENTITY,
    },
    Identifier {
        detector: Detector::DePassport,
        form: Form::Free(9..=9),
        joints: "",
        judge: |code| travel_document(code),
        topics: Topics::PASSPORT,
    },
    Identifier {
        detector: Detector::DeFuehrerschein,
        form: Form::Shapes(&[Shape::new("AA99999999X")]),
        joints: "",
        judge: |_| Sure::Likely,
        topics: Topics::DRIVING,
    },
    Identifier {
        detector: Detector::DeLanr,
        form: Form::Shapes(&[Shape::new("999999999")]),
        joints: "",
        judge: physician,
        topics: Topics::PHYSICIAN,
    },
    Identifier {
        detector: Detector::DeBsnr,
        form: Form::Shapes(&[Shape::new("999999999")]),
        joints: "",
        judge: |code| Sure::maybe(code.number(0, 2) != 0 && !all_same(code.chars())),
        topics: Topics::PHYSICIAN,
    },
    Identifier {
        detector: Detector::DeKfz,
        form: Form::Free(3..=10),
        joints: " -",
        judge: plate,
        topics: Topics::VEHICLE,
    },
    Identifier {
        detector: Detector::DeHandelsregister,
        form: Form::Free(4..=9),
        joints: " ",
        judge: commercial_register,
        topics: Topics::COMPANY,
    },
    Identifier {
        detector: Detector::DePlz,
        form: Form::Shapes(&[Shape::new("99999")]),
        joints: "",
        judge: |code| Sure::maybe(matches!(code.number(0, 5), 1001..=99_998)),
        topics: Topics::ZIP,
    },
];

/// With slashes as the states write it, or of thirteen digits as ELSTER does, the state first.
fn tax_number(code: &Code) -> Sure {
    let state = matches!(code.number(0, 2), 1..=16);
    if code.is_whole() { Sure::maybe(code.len == 13 && state) } else { Sure::Likely }
}

/// Deutsche Rentenversicherung: area, birthday with the serial's 50 in the day, initial, serial, and the digits of
/// the products with 2, 1, 2, 5, 7, 1, 2, 1, 2, 1, 2, 1, the letter counting as two digits.
fn social_security(code: &Code) -> Sure {
    let day = code.number(2, 4);
    let born = is_day(code.number(6, 8), code.number(4, 6), if day > 50 { day - 50 } else { day });
    let letter = value(code.nth(8)).saturating_sub(9);
    let sum = cross_weighted(code.part(0, 8), &[2, 1, 2, 5, 7, 1, 2, 1])
        + cross_weighted(&ascii(letter), &[2, 1])
        + cross_weighted(code.part(9, 11), &[2, 1]);
    Sure::checked(born && sum % 10 == digit(code.nth(11)))
}

/// Social Code V, section 290: a letter counting as two digits, weights 1 and 2, the sum of digits modulo 10.
fn health_insurance(code: &Code) -> Sure {
    let letter = value(code.nth(0)).saturating_sub(9);
    let sum = cross_weighted(&ascii(letter), &[1, 2]) + cross_weighted(code.part(1, 9), &[1, 2, 1, 2, 1, 2, 1, 2]);
    Sure::checked(sum % 10 == digit(code.nth(9)))
}

/// Two digits as characters.
fn ascii(number: u32) -> [u8; 2] {
    [number / 10, number % 10].map(|digit| b'0' + u8::try_from(digit % 10).unwrap_or_default())
}

/// Either the card of 2010 or the one before: `T` and eight digits.
fn identity_card(code: &Code) -> Sure {
    match code.nth(0) {
        b'T' if code.part(1, 9).iter().all(u8::is_ascii_digit) => Sure::Maybe,
        _ => travel_document(code),
    }
}

/// Federal Office for Information Security, TR-03127: no vowels, no B, D, Q, S; the check of ICAO 9303.
fn travel_document(code: &Code) -> Sure {
    let clear = |byte: &u8| byte.is_ascii_digit() || b"CFGHJKLMNPRTVWXYZ".contains(byte);
    let lettered = code.nth(0).is_ascii_alphabetic();
    Sure::checked(lettered && code.chars().iter().all(clear) && icao(code.chars()))
}

/// Kassenärztliche Bundesvereinigung: weights 4 and 9 over six digits, modulo 10; two more for the field of medicine.
fn physician(code: &Code) -> Sure {
    let sum = weighted(code.part(0, 6), &[4, 9, 4, 9, 4, 9]);
    Sure::maybe((10 - sum % 10) % 10 == digit(code.nth(6)) && !all_same(code.chars()))
}

/// District of one to three letters, one or two letters, one to four digits, E or H at the end.
fn plate(code: &Code) -> Sure {
    let mut groups = code.groups();
    let (Some(district), Some(letters), Some(digits), None) =
        (groups.next(), groups.next(), groups.next(), groups.next())
    else {
        return Sure::No;
    };
    let digits = digits.strip_suffix(b"E").or_else(|| digits.strip_suffix(b"H")).unwrap_or(digits);
    let all_letters = |group: &[u8], max| group.len() <= max && group.iter().all(u8::is_ascii_alphabetic);
    let numbered =
        (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit) && !digits.starts_with(b"0");
    let fits = all_letters(district, 3) && all_letters(letters, 2) && numbered;
    if code.capitals && code.joint == Some('-') { Sure::likely(fits) } else { Sure::maybe(fits) }
}

/// `HRA` or `HRB` and up to six digits.
fn commercial_register(code: &Code) -> Sure {
    let register = matches!(code.part(0, 3), b"HRA" | b"HRB");
    let parted = code.is_whole() || code.cuts == 1 << 3;
    Sure::checked(register && parted && code.part(3, code.len).iter().all(u8::is_ascii_digit))
}
