//! The United States.

use super::checks::{all_same, digit, luhn, weighted};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::UsSsn,
        form: Form::Shapes(&[Shape::new("999-99-9999"), Shape::new("999-999999"), Shape::new("99999-9999")]),
        joints: "- .",
        judge: social_security,
        topics: Topics::SOCIAL,
    },
    Identifier {
        detector: Detector::UsItin,
        form: Form::Shapes(&[Shape::new("999-99-9999"), Shape::new("999-999999"), Shape::new("99999-9999")]),
        joints: "- ",
        judge: taxpayer,
        topics: Topics::TAX,
    },
    Identifier {
        detector: Detector::UsPassport,
        form: Form::Shapes(&[Shape::new("999999999"), Shape::new("A99999999")]),
        joints: "",
        judge: |_| Sure::Maybe,
        topics: Topics::PASSPORT,
    },
    Identifier {
        detector: Detector::UsDriverLicense,
        form: Form::Free(6..=15),
        joints: "- ",
        judge: driver_license,
        topics: Topics::DRIVING,
    },
    Identifier {
        detector: Detector::UsBankNumber,
        form: Form::Free(8..=17),
        joints: "",
        judge: |code| Sure::maybe(code.chars().iter().all(u8::is_ascii_digit)),
        topics: Topics::BANK,
    },
    Identifier {
        detector: Detector::AbaRoutingNumber,
        form: Form::Shapes(&[Shape::new("9999-9999-9")]),
        joints: "-",
        judge: routing,
        topics: Topics::ROUTING,
    },
    Identifier {
        detector: Detector::UsMbi,
        form: Form::Shapes(&[Shape::new("9AX9-AX9-AA99")]),
        joints: "- ",
        judge: medicare_beneficiary,
        topics: Topics::HEALTH,
    },
    Identifier {
        detector: Detector::UsNpi,
        form: Form::Shapes(&[Shape::new("9999999999"), Shape::new("9999-999-999"), Shape::new("999-999-9999")]),
        joints: "- ",
        judge: national_provider,
        topics: Topics::PHYSICIAN.or(Topics::HEALTH),
    },
    Identifier {
        detector: Detector::MedicalLicense,
        form: Form::Shapes(&[Shape::new("AX9999999")]),
        joints: "",
        judge: drug_enforcement,
        topics: Topics::PHYSICIAN,
    },
    Identifier {
        detector: Detector::ZipCode,
        form: Form::Shapes(&[
            Shape::new("999"),
            Shape::new("9999"),
            Shape::new("99999"),
            Shape::new("999-99"),
            Shape::new("99999-9999"),
            Shape::new("99999-999"),
            Shape::new("9999-999"),
            Shape::new("9999-AA"),
        ]),
        joints: "- ",
        judge: |_| Sure::Hardly,
        topics: Topics::ZIP,
    },
];

/// Social Security Administration, RM 10201.035: no area 000, 666 or 900 to 999, no group 00, no serial 0000;
/// and not the numbers that were printed in advertisements.
fn social_security(code: &Code) -> Sure {
    let (area, group, serial) = (code.number(0, 3), code.number(3, 5), code.number(5, 9));
    let issued = !matches!(area, 0 | 666 | 900..) && group != 0 && serial != 0 && !all_same(code.chars());
    let advertised =
        matches!(code.chars(), b"078051120" | b"219099999" | b"123456789") || code.part(0, 8) == b"98765432";
    match issued && !advertised {
        false => Sure::No,
        true if code.groups().map(<[u8]>::len).eq([3, 2, 4]) => Sure::Likely,
        true => Sure::Maybe,
    }
}

/// Internal Revenue Service, Publication 1915: begins with 9, with 50 to 65, 70 to 88, 90 to 92 or 94 to 99 in the middle.
fn taxpayer(code: &Code) -> Sure {
    let issued = code.nth(0) == b'9' && matches!(code.number(3, 5), 50..=65 | 70..=88 | 90..=92 | 94..=99);
    match issued {
        false => Sure::No,
        true if code.groups().map(<[u8]>::len).eq([3, 2, 4]) => Sure::Likely,
        true => Sure::Maybe,
    }
}

/// The states agree on little (AAMVA): up to two letters, then digits.
fn driver_license(code: &Code) -> Sure {
    let letters = code.chars().iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let digits = code.digits.count_ones() as usize;
    let begins = code.groups().next().is_some_and(|group| group.iter().any(u8::is_ascii_digit));
    let fits = begins && letters <= 2 && letters + digits == code.len && digits >= 6;
    if code.is_whole() { Sure::maybe(fits) } else { Sure::hardly(fits) }
}

/// American Bankers Association: a Federal Reserve prefix, and weights 3, 7, 1.
fn routing(code: &Code) -> Sure {
    let prefix = matches!(code.number(0, 2), 0..=12 | 21..=32 | 61..=72 | 80);
    let sum = weighted(code.chars(), &[3, 7, 1, 3, 7, 1, 3, 7, 1]);
    let right = prefix && sum.is_multiple_of(10) && !all_same(code.chars());
    // One number of nine digits in forty passes.
    if right && !code.is_whole() { Sure::Likely } else { Sure::maybe(right) }
}

/// Centers for Medicare and Medicaid Services: no S, L, O, I, B or Z.
fn medicare_beneficiary(code: &Code) -> Sure {
    let clear = !code.chars().iter().any(|byte| b"SLOIBZ".contains(byte));
    Sure::checked(clear && code.nth(0) != b'0')
}

/// Centers for Medicare and Medicaid Services: begins with 1 or 2, Luhn's checksum with 80840 in front.
fn national_provider(code: &Code) -> Sure {
    let mut digits = *b"80840__________";
    if let Some(place) = digits.get_mut(5..) {
        place.copy_from_slice(code.part(0, 10));
    }
    let right = matches!(code.nth(0), b'1' | b'2') && luhn(&digits) && !all_same(code.part(1, 10));
    if right && code.groups().map(<[u8]>::len).eq([4, 3, 3]) { Sure::Likely } else { Sure::maybe(right) }
}

/// Drug Enforcement Administration: a registrant's letter, a name's letter or 9, and a sum over the six digits.
fn drug_enforcement(code: &Code) -> Sure {
    let registrant = b"ABCDEFGHJKLMPRSTUX".contains(&code.nth(0));
    let named = code.nth(1).is_ascii_alphabetic() || code.nth(1) == b'9';
    let sum = weighted(code.part(2, 8), &[1, 2, 1, 2, 1, 2]);
    Sure::checked(registrant && named && sum % 10 == digit(code.nth(8)))
}
