//! Payment card numbers.
//!
//! Luhn's checksum (ISO/IEC 7812-1, annex B) alone lets one number in ten pass,
//! so the issuer's prefix and length must fit, too; a length that plain numbers
//! also have needs a word nearby that speaks of cards.

use super::context::Words;
use super::digits::{Group, Joint, for_each_number};
use super::sight::Sight;
use super::{Detector, Found, context};

/// The shortest and the longest number an issuer gives out.
const DIGITS: std::ops::RangeInclusive<usize> = 12..=19;

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.digits >= *DIGITS.start()
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for_each_number(text, *DIGITS.start(), |groups| {
        let Some((count, score)) = longest(text, groups) else { return 1 };
        if let (Some(first), Some(last)) = (groups.first(), groups.get(count - 1)) {
            found.push(Found { detector: Detector::CreditCard, start: first.start, end: last.end, score });
        }
        count
    });
}

/// How many groups make the longest card number that begins with the first, and how sure that is.
fn longest(text: &str, groups: &[Group]) -> Option<(usize, u8)> {
    let mut longest = None;
    let mut digits = 0;
    for (group, count) in groups.iter().zip(1..) {
        digits += group.len();
        if digits > *DIGITS.end() {
            break;
        }
        if digits >= *DIGITS.start()
            && let Some(score) = judge(text, groups.get(..count)?, groups.get(count))
        {
            longest = Some((count, score));
        }
    }
    longest
}

/// How sure the groups, of fitting length together, are one card number; `following` is the group joined to the last.
fn judge(text: &str, number: &[Group], following: Option<&Group>) -> Option<u8> {
    let (first, last) = (number.first()?, number.last()?);
    let length = number.iter().map(Group::len).sum();
    if !stands_free(text, first, last, following) {
        return None;
    }
    let mut digits = [0; *DIGITS.end()];
    for (place, digit) in digits.iter_mut().zip(number.iter().flat_map(|group| group.digits(text))) {
        *place = digit - b'0';
    }
    let digits = digits.get(..length).filter(|digits| luhn(digits))?;
    let written = Written::of(number);
    let speaks_of_cards = || context::before(text, first.start, 64).any(|word| CARD_WORDS.have(word));
    match (issuer(digits), written) {
        (Issuer::Telling, Written::Whole | Written::Grouped) => Some(100),
        (Issuer::Common, Written::Grouped) => Some(90),
        _ => speaks_of_cards().then_some(85),
    }
}

/// Not a piece of a word, a decimal or a longer dashed number.
fn stands_free(text: &str, first: &Group, last: &Group, following: Option<&Group>) -> bool {
    let starts = !first.in_code
        && !first.prior(text).is_ascii_alphanumeric()
        && !first.joint.has(Joint::DOT)
        && !first.joint.has(Joint::SLASH);
    let ends =
        last.ends_free(text) && !following.is_some_and(|group| group.joint.is_tight() && group.joint.has(Joint::DOT));
    starts && ends
}

/// How the number is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Without separators.
    Whole,
    /// As on a card: four digits, then groups of three to six.
    Grouped,
    /// In some other way.
    Loose,
}

impl Written {
    fn of(number: &[Group]) -> Self {
        let Some((first, rest)) = number.split_first() else { return Self::Loose };
        if rest.is_empty() {
            return Self::Whole;
        }
        let fits = |group: &Group| {
            (3..=6).contains(&group.len()) && !group.plus && !group.parens && !group.joint.has(Joint::SLASH)
        };
        let dotted = rest.iter().any(|group| group.joint.has(Joint::DOT));
        let by_fours = || rest.iter().all(|group| group.len() == 4);
        if first.len() == 4 && rest.iter().all(fits) && (!dotted || by_fours()) { Self::Grouped } else { Self::Loose }
    }
}

/// Words near a card number, in the languages of large markets.
static CARD_WORDS: Words = Words::new(&[
    "*card", "*karte", "amex", "card*", "carta*", "carte*", "cartão", "cc", "ccn", "credit", "debit", "diners",
    "discover", "maestro", "master", "pan", "tarjeta*", "visa",
]);

/// What prefix and length say.
enum Issuer {
    /// An issuer's, of a length that plain numbers seldom have.
    Telling,
    /// An issuer's, of a length that order numbers, barcodes and times also have.
    Common,
    /// No issuer's.
    None,
}

/// The ranges of ISO/IEC 7812 that networks publish.
fn issuer(digits: &[u8]) -> Issuer {
    let prefix = |length: usize| digits.iter().take(length).fold(0, |value, digit| value * 10 + u32::from(*digit));
    let (two, three, four) = (prefix(2), prefix(3), prefix(4));
    let maestro = matches!(two, 50 | 56..=69);
    let telling = match digits.len() {
        14 => matches!(three, 300..=305 | 309) || matches!(two, 36 | 38 | 39),
        15 => matches!(two, 34 | 37) || matches!(four, 1800 | 2131) || matches!(two, 10..=19),
        16 => {
            matches!(two, 40..=49 | 50..=55 | 56..=69 | 36 | 38 | 39 | 81 | 82)
                || matches!(four, 2200..=2205 | 2221..=2720 | 3528..=3589 | 8600 | 9792 | 9860)
        }
        17 | 18 => matches!(two, 62 | 81) || matches!(four, 3528..=3589),
        19 => matches!(two, 40..=49 | 60..=69 | 81) || matches!(four, 3528..=3589),
        _ => false,
    };
    let common = match digits.len() {
        13 => two / 10 == 4 || maestro,
        _ => maestro,
    };
    match (telling, common) {
        (true, _) => Issuer::Telling,
        (false, true) => Issuer::Common,
        (false, false) => Issuer::None,
    }
}

fn luhn(digits: &[u8]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(nth, digit)| match (nth % 2, u32::from(*digit)) {
            (0, digit) => digit,
            (_, digit @ 0..=4) => digit * 2,
            (_, digit) => digit * 2 - 9,
        })
        .sum();
    sum.is_multiple_of(10) && digits.iter().any(|digit| *digit != 0)
}
