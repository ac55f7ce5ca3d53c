//! The United Kingdom.

use super::checks::{all_same, digit, is_day};
use super::{Code, Detector, Form, Identifier, Shape, Sure, Topics};

pub(super) static IDENTIFIERS: &[Identifier] = &[
    Identifier {
        detector: Detector::UkNhs,
        form: Form::Shapes(&[Shape::new("999-999-9999")]),
        joints: "- ",
        judge: health_service,
        topics: Topics::HEALTH,
    },
    Identifier {
        detector: Detector::UkNino,
        form: Form::Shapes(&[Shape::new("AA-99-99-99-A"), Shape::new("AA-999999-A")]),
        joints: "- ",
        judge: national_insurance,
        topics: Topics::SOCIAL,
    },
    Identifier {
        detector: Detector::UkPassport,
        form: Form::Shapes(&[Shape::new("AA9999999")]),
        joints: "",
        judge: |_| Sure::Maybe,
        topics: Topics::PASSPORT,
    },
    Identifier {
        detector: Detector::UkDrivingLicence,
        form: Form::Free(16..=16),
        joints: "- ",
        judge: driving_licence,
        topics: Topics::DRIVING,
    },
    Identifier {
        detector: Detector::UkVehicleRegistration,
        form: Form::Free(3..=7),
        joints: "- ",
        judge: vehicle,
        topics: Topics::VEHICLE,
    },
    Identifier {
        detector: Detector::UkPostcode,
        form: Form::Free(5..=7),
        joints: " ",
        judge: postcode,
        topics: Topics::POSTAL,
    },
];

/// NHS Data Dictionary: weights 10 to 2, modulo 11. A phone number of ten digits passes one time in eleven.
fn health_service(code: &Code) -> Sure {
    let sum = (0..9).map(|nth| digit(code.nth(nth)) * (10 - nth as u32)).sum::<u32>();
    let check = (11 - sum % 11) % 11;
    Sure::maybe(check == digit(code.nth(9)) && check != 10 && !all_same(code.chars()))
}

/// HM Revenue and Customs, NIM39110: which letters may stand where.
fn national_insurance(code: &Code) -> Sure {
    let (first, second) = (code.nth(0), code.nth(1));
    let allotted = !b"DFIQUV".contains(&first) && !b"DFIOQUV".contains(&second);
    let reserved = matches!(code.part(0, 2), b"BG" | b"GB" | b"KN" | b"NK" | b"NT" | b"TN" | b"ZZ");
    Sure::checked(allotted && !reserved && matches!(code.nth(8), b'A'..=b'D'))
}

/// Driver and Vehicle Licensing Agency: five of the surname, filled up with 9; the birthday around the year's digits,
/// the month raised by 50 for women; initials, two more characters of check.
fn driving_licence(code: &Code) -> Sure {
    let surname = code.part(0, 5);
    let letters = surname.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    let padded = letters > 0 && surname.iter().skip(letters).all(|byte| *byte == b'9');
    let born = code.part(5, 11).iter().all(u8::is_ascii_digit);
    let (month, day) = (code.number(6, 8), code.number(8, 10));
    let month = if month > 50 { month - 50 } else { month };
    let is_initial = |byte: u8| byte.is_ascii_alphabetic() || byte == b'9';
    let initials = code.nth(11).is_ascii_alphabetic() && is_initial(code.nth(12));
    let check = code.nth(13).is_ascii_alphanumeric() && code.part(14, 16).iter().all(u8::is_ascii_alphabetic);
    let grouped = code.is_whole() || code.groups().map(<[u8]>::len).eq([5, 6, 5]);
    Sure::checked(padded && born && initials && check && grouped && is_day(0, month, day))
}

/// DVLA, INF104: of 2001 on `AB51 ABC`, of 1983 to 2001 `A123 ABC`, of 1963 to 1982 `ABC 123D`. No I or Q, and in front no Z.
fn vehicle(code: &Code) -> Sure {
    let parts = Parts::of(code);
    let clear = |letters: &[u8]| !letters.iter().any(|byte| b"IQ".contains(byte));
    match parts {
        Parts { letters: letters @ [_, _], digits: digits @ [_, _], tail: tail @ [_, _, _] } => {
            let year = digits.iter().fold(0, |value, byte| value * 10 + digit(*byte));
            let issued = matches!(year, 2..=29 | 51..=79) && clear(letters) && !letters.contains(&b'Z') && clear(tail);
            if issued { Sure::Yes } else { Sure::No }
        }
        Parts { letters: [year], digits: [b'1'..=b'9', ..], tail: tail @ [_, _, _] } => {
            by_capitals(code, !b"IOQUZ".contains(year) && clear(tail))
        }
        Parts { letters: letters @ [_, _, _], digits: [b'1'..=b'9', ..], tail: [year] } => {
            by_capitals(code, !b"IOQUZ".contains(year) && clear(letters))
        }
        _ => Sure::No,
    }
}

/// In lower case it could be words and a number.
const fn by_capitals(code: &Code, fits: bool) -> Sure {
    if code.capitals { Sure::likely(fits) } else { Sure::maybe(fits) }
}

/// Letters, one to three digits, letters; parted before or after the digits or nowhere.
#[derive(Default)]
struct Parts<'c> {
    letters: &'c [u8],
    digits: &'c [u8],
    tail: &'c [u8],
}

impl<'c> Parts<'c> {
    fn of(code: &'c Code) -> Self {
        let chars = code.chars();
        let letters = chars.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let digits = chars.iter().skip(letters).take_while(|byte| byte.is_ascii_digit()).count();
        let end = letters + digits;
        let pure = code.part(end, code.len).iter().all(u8::is_ascii_alphabetic) && (1..=3).contains(&digits);
        let modern = letters == 2;
        // The second half of a plate of 1983 to 2001 begins after its digits.
        let cut = 1 << if letters == 3 { letters } else { end };
        if pure && (code.is_whole() || code.cuts == cut || modern && code.cuts == 1 << end) {
            Self { letters: code.part(0, letters), digits: code.part(letters, end), tail: code.part(end, code.len) }
        } else {
            Self::default()
        }
    }
}

/// Royal Mail, Programmer's Guide to the Postcode Address File: which letters stand where.
fn postcode(code: &Code) -> Sure {
    let split = code.len - 3;
    let (outward, inward) = (code.part(0, split), code.part(split, code.len));
    let parted = code.is_whole() || code.cuts == 1 << split;
    let inward_fits = match inward {
        [sector, unit @ ..] => {
            sector.is_ascii_digit() && unit.iter().all(|byte| byte.is_ascii_alphabetic() && !b"CIKMOV".contains(byte))
        }
        [] => false,
    };
    let outward_fits = outward == b"GIR" || district(outward);
    let fits = parted && inward_fits && outward_fits;
    match (code.capitals, code.is_whole()) {
        (true, false) => Sure::likely(fits),
        _ => Sure::maybe(fits),
    }
}

/// `M1`, `M60`, `CR2`, `DN55`, `W1A`, `EC1A`
fn district(outward: &[u8]) -> bool {
    let first = |byte: &u8| byte.is_ascii_alphabetic() && !b"QVX".contains(byte);
    let second = |byte: &u8| byte.is_ascii_alphabetic() && !b"IJZ".contains(byte);
    match outward {
        [a, rest @ ..] if first(a) => match rest {
            [d] => d.is_ascii_digit(),
            [d, e] if d.is_ascii_digit() => e.is_ascii_digit() || b"ABCDEFGHJKPSTUW".contains(e),
            [b, d] => second(b) && d.is_ascii_digit(),
            [b, d, e] => second(b) && d.is_ascii_digit() && (e.is_ascii_digit() || b"ABEHMNPRVWXY".contains(e)),
            _ => false,
        },
        _ => false,
    }
}
