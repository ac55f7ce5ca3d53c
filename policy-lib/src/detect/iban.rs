//! International bank account numbers (ISO 13616): the country's length, and
//! the whole modulo 97.

use super::runs::{is_glued_after, is_glued_before};
use super::sight::Sight;
use super::{Detector, Found};

/// The longest number there is, by the registry.
const CHARS_MAX: usize = 33;

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.digits >= 10
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    let mut from = 0;
    for (at, window) in text.as_bytes().windows(4).enumerate() {
        let begins = matches!(window, [a, b, c, d] if a.is_ascii_alphabetic() && b.is_ascii_alphabetic()
            && c.is_ascii_digit() && d.is_ascii_digit());
        if at < from || !begins || is_glued_before(text, at) {
            continue;
        }
        if let Some(end) = number(text, at) {
            found.push(Found { detector: Detector::IbanCode, start: at, end, score: 100 });
            from = end;
        }
    }
}

/// Where the number ends that begins at `at`.
fn number(text: &str, at: usize) -> Option<usize> {
    let country = text.as_bytes().get(at..at + 2)?;
    let length = length(country)?;
    let mut chars = [0; CHARS_MAX];
    let mut end = at;
    let mut joint = None;
    for (nth, place) in chars.iter_mut().take(length).enumerate() {
        let byte = *text.as_bytes().get(end)?;
        if matches!(byte, b' ' | b'-') && nth > 0 {
            if joint.is_some_and(|other| other != byte) {
                return None;
            }
            joint = Some(byte);
            end += 1;
        }
        *place = text.as_bytes().get(end).filter(|byte| byte.is_ascii_alphanumeric())?.to_ascii_uppercase();
        end += 1;
    }
    let fits = !is_glued_after(text, end) && mod_97(chars.get(..length)?) == 1;
    fits.then_some(end)
}

/// ISO/IEC 7064 mod 97,10, the first four characters moved to the end.
fn mod_97(chars: &[u8]) -> u32 {
    let (head, tail) = chars.split_at_checked(4).unwrap_or_default();
    tail.iter().chain(head).filter_map(|byte| char::from(*byte).to_digit(36)).fold(0, |sum, value| {
        let shift = if value < 10 { 10 } else { 100 };
        (sum * shift + value) % 97
    })
}

/// How long a country's numbers are: SWIFT, IBAN registry, and those who use the form without being in it.
fn length(country: &[u8]) -> Option<usize> {
    const LENGTHS: [(usize, &[u8]); 20] = [
        (15, b"NO"),
        (16, b"BE"),
        (18, b"DKFIFOGLNLSD"),
        (19, b"MKSIFK"),
        (20, b"ATBAEEKZLTLUXKMN"),
        (21, b"CHHRLILV"),
        (22, b"BGBHCRDEGBGEIEMERSVANI"),
        (23, b"AEGIILIQTLSOOM"),
        (24, b"ADCZESMDPKROSASESKTNVGDZBI"),
        (25, b"LYPTSTAO"),
        (26, b"ISTRIR"),
        (27, b"BJBFFRGRITMCMRSMDJ"),
        (28, b"ALAZBYCYDOGTHUHNLBPLSVCIMLSN"),
        (29, b"BREGPSQAUA"),
        (30, b"JOKWMUYE"),
        (31, b"MTSC"),
        (32, b"LC"),
        (33, b"RU"),
        (27, b"CMCVCFKMCGGAGQGWMGMZTDTG"),
        (28, b"NEMA"),
    ];
    let upper: [u8; 2] = [country.first()?.to_ascii_uppercase(), country.get(1)?.to_ascii_uppercase()];
    LENGTHS.iter().find(|(_, countries)| countries.chunks(2).any(|one| one == upper)).map(|(length, _)| *length)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found_in(text: &str) -> Vec<&str> {
        let mut found = Vec::new();
        find(text, &Sight::of(text.as_bytes()), &mut found);
        found.iter().map(|one| &text[one.start..one.end]).collect()
    }

    /// A number of this country with the right check digits.
    fn number_of(country: &str, rest: &str) -> String {
        let open = format!("{country}00{rest}");
        format!("{country}{:02}{rest}", 98 - mod_97(open.as_bytes()))
    }

    proptest! {
        #[test]
        fn right_check_digits_are_found_and_wrong_ones_not(
            (country, length) in proptest::sample::select(vec![("DE", 22), ("GB", 22), ("FR", 27), ("NO", 15), ("MT", 31)]),
            rest in "[0-9A-Z]{27}", by_fours in any::<bool>(), slip in 4_usize..15, step in 1_u8..9,
        ) {
            let number = number_of(country, &rest[..length - 4]);
            let written = if by_fours {
                number.as_bytes().chunks(4).map(|part| str::from_utf8(part).unwrap()).collect::<Vec<_>>().join(" ")
            } else {
                number.clone()
            };
            let text = format!("please pay {written}, thanks");
            prop_assert_eq!(found_in(&text), [written.as_str()]);
            let mut wrong = number.into_bytes();
            let (first, many) = if wrong[slip].is_ascii_digit() { (b'0', 10) } else { (b'A', 26) };
            wrong[slip] = (wrong[slip] - first + step) % many + first;
            prop_assert_eq!(found_in(str::from_utf8(&wrong).unwrap()), [""; 0]);
        }
    }
}
