//! Phone numbers.
//!
//! A number with a `+` and a country code is one. Without, the evidence is the
//! shape (`(202) 555-0143`, `020 7946 0958`), or a shape that is merely possible
//! and a word nearby that speaks of calling. Plain integers, dates, prices and
//! order numbers have neither.

pub(super) mod national;
mod plan;
mod words;

use std::cell::OnceCell;

use super::digits::{Group, Joint, for_each_number};
use super::sight::Sight;
use super::{Detector, Found};
use words::Hint;

/// The fewest digits a subscriber's number has where we look for one.
const DIGITS_MIN: usize = 7;

/// ITU-T E.164, section 6.2.1: at most fifteen digits, here with an exit code of up to three.
const DIGITS_MAX: usize = 18;

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.digits >= DIGITS_MIN
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for_each_number(text, DIGITS_MIN, |groups| {
        let Some((score, count)) = best(text, groups) else { return 1 };
        if let (Some(first), Some(last)) = (groups.first(), groups.get(count - 1)) {
            let end = extension(text, last.end).unwrap_or(last.end);
            // Parentheses around the whole number are the sentence's.
            let wrapped = count == 1 && first.parens && text.as_bytes().get(first.lead) != Some(&b'+');
            let start = if wrapped { first.lead + 1 } else { first.lead };
            found.push(Found { detector: Detector::PhoneNumber, start, end, score });
        }
        count
    });
}

/// The surest number that begins with the first group, then the longest; and of how many groups.
fn best(text: &str, groups: &[Group]) -> Option<(u8, usize)> {
    let first = groups.first()?;
    if first.prior(text).is_ascii_alphanumeric() || !first.plus && first.joint.is_tight() {
        return None;
    }
    let before = OnceCell::new();
    let mut digits = 0;
    let fitting = groups.iter().zip(1..).filter_map(|(group, count)| {
        digits += group.len();
        // Groups of one digit are rare inside a number.
        let dense = digits * 2 >= count * 3;
        (dense && (DIGITS_MIN..=DIGITS_MAX).contains(&digits)).then_some(count)
    });
    fitting.filter_map(|count| Some((Candidate::new(text, groups, count, &before)?.score()?, count))).max()
}

/// Some joined groups that may be one number.
struct Candidate<'t> {
    text: &'t str,
    groups: &'t [Group],
    first: &'t Group,
    last: &'t Group,
    digits: Digits,
    /// Whether it is not cut out of the middle of something joined the same way.
    whole: bool,
    /// The separators inside.
    joints: Joint,
    /// What the words before say; read at most once for all candidates that begin here.
    before: &'t OnceCell<Hint>,
}

/// Up to eighteen digits.
struct Digits {
    bytes: [u8; DIGITS_MAX],
    len: usize,
}

impl Digits {
    fn read(text: &str, groups: &[Group]) -> Self {
        let len = groups.iter().map(Group::len).sum();
        let mut bytes = [0; DIGITS_MAX];
        let written = groups.iter().flat_map(|group| group.digits(text));
        bytes.iter_mut().zip(written).for_each(|(place, digit)| *place = *digit);
        Self { bytes, len }
    }

    fn all(&self) -> &[u8] {
        self.from(0)
    }

    fn from(&self, nth: usize) -> &[u8] {
        self.bytes.get(nth..self.len).unwrap_or_default()
    }
}

impl<'t> Candidate<'t> {
    /// The first `count` groups, if they stand free of what is around them.
    fn new(text: &'t str, joined: &'t [Group], count: usize, before: &'t OnceCell<Hint>) -> Option<Self> {
        let groups = joined.get(..count)?;
        let (first, last) = (groups.first()?, groups.last()?);
        let digits = Digits::read(text, groups);
        let joints = groups.iter().skip(1).fold(Joint::default(), |joints, group| joints.and(group.joint));
        let clean = |joint: Joint, opens: bool| {
            joint.is_break() || opens || !joint.is_tight() && (joints.is_tight() || joint != joints)
        };
        let following = joined.get(count);
        let ends = following.is_none_or(|next| !next.joint.is_tight()) && ends_free(text, last);
        let whole = (first.plus || clean(first.joint, first.parens))
            && following.is_none_or(|next| clean(next.joint, next.parens));
        ends.then_some(Self { text, groups, first, last, digits, whole, joints, before })
    }

    /// How sure it is a phone number.
    fn score(&self) -> Option<u8> {
        let is_first = |nth: usize, group: &Group| nth == 0 || !group.plus;
        if !self.groups.iter().enumerate().all(|(nth, group)| is_first(nth, group)) {
            return None;
        }
        if self.first.plus {
            let doubled = if self.digits.all().starts_with(b"00") { 2 } else { 0 };
            return self.international(self.digits.from(doubled));
        }
        if self.is_something_else() {
            return None;
        }
        self.exit_code()
            .or_else(|| self.russian())
            .or_else(|| self.north_american())
            .or_else(|| self.trunk_prefix())
            .or_else(|| self.area_in_parentheses())
            .or_else(|| self.hinted())
    }

    /// `+` and a country code: sure if the rest has a length of that country.
    fn international(&self, digits: &[u8]) -> Option<u8> {
        let plan = plan::of(digits)?;
        let trunk_zero = self.groups.iter().skip(1).any(|group| group.parens && group.digits(self.text) == b"0");
        let national = digits.len().checked_sub(plan.code_len + usize::from(trunk_zero))?;
        if plan.lengths.contains(&national) {
            return Some(95);
        }
        (self.whole && (8..=15).contains(&digits.len())).then_some(75)
    }

    /// `0044 20 ...`, `011 44 20 ...`: the country's length has to fit, and one
    /// unbroken number needs a word as well.
    fn exit_code(&self) -> Option<u8> {
        let first = self.first.digits(self.text);
        let exit = match first {
            [b'0', b'0', ..] => 2,
            b"011" => 3,
            _ => return None,
        };
        let digits = self.digits.from(exit);
        let code_len = plan::of(digits)?.code_len;
        let parted = self.groups.len() > 2 && (first.len() == exit || first.len() == exit + code_len);
        let score = self.international(digits).filter(|score| *score > 75)?;
        (self.whole && (parted || self.hint() != Hint::None)).then_some(score - 10)
    }

    /// `(202) 555-0143`, `1-202-555-0143`, `202.555.0143`; ATIS-0300051 for what the digits may be.
    fn north_american(&self) -> Option<u8> {
        let national = match self.groups {
            [country, rest @ ..] if country.digits(self.text) == b"1" && rest.len() > 1 => rest,
            all => all,
        };
        let lengths = Lengths::of(national);
        let area = national.first()?;
        let grouped = lengths.are(&[3, 3, 4]) || area.parens && lengths.are(&[3, 7]);
        if !grouped {
            return None;
        }
        let mut local = national.iter().flat_map(|group| group.digits(self.text));
        let (area_first, exchange_first) = (local.next()?, local.nth(2)?);
        let assignable = *area_first >= b'2' && *exchange_first >= b'2';
        match (assignable, self.joints == Joint::SPACE) {
            (true, false) => Some(90),
            (true, true) => Some(70),
            // Invented ones, which people do write down, begin with anything but zeros.
            (false, false) if self.whole && *area_first > b'0' => Some(60),
            (false, _) => None,
        }
    }

    /// `8 (301) 123-45-67`: the trunk prefix of the +7 plan is an eight.
    fn russian(&self) -> Option<u8> {
        let [trunk, area, _, ..] = self.groups else { return None };
        let fits = trunk.digits(self.text) == b"8" && self.digits.len == 11 && (3..=5).contains(&area.len());
        (fits && area.parens && self.whole).then_some(80)
    }

    /// `020 7946 0958`, `01.84.17.61.18`, `07700900123`.
    fn trunk_prefix(&self) -> Option<u8> {
        let [b'0', b'1'..=b'9', ..] = self.digits.all() else { return None };
        if !self.whole {
            return None;
        }
        let lengths = Lengths::of(self.groups);
        match (self.groups, self.digits.len) {
            ([_], 10) => matches!(self.digits.all(), [_, b'4'..=b'9', ..]).then_some(55),
            ([_], 11) => matches!(self.digits.all(), [_, b'5'..=b'9', ..]).then_some(55),
            ([_], _) => None,
            ([trunk, ..], 9..=12) if trunk.len() == 1 => {
                (self.groups.len() >= 4 && lengths.at_least(2, 1)).then_some(65)
            }
            (_, 9..=13) => lengths.at_least(2, 0).then_some(70),
            _ => None,
        }
    }

    /// `(64) 3591-3246`
    fn area_in_parentheses(&self) -> Option<u8> {
        let is_year = matches!(self.first.digits(self.text), [b'1', b'9', _, _] | [b'2', b'0', _, _]);
        let fits = (2..=5).contains(&self.first.len()) && (8..=12).contains(&self.digits.len);
        let rest = self.groups.get(1..).unwrap_or_default();
        let local = Lengths::of(rest).at_least(2, 0) && (rest.len() > 1 || self.digits.len - self.first.len() >= 6);
        (self.first.parens && self.whole && fits && local && !is_year).then_some(60)
    }

    /// What only a word nearby makes a phone number.
    fn hinted(&self) -> Option<u8> {
        let lengths = Lengths::of(self.groups);
        let short = self.groups.iter().filter(|group| group.len() == 1).count();
        let last_is_short = self.last.len() == 1;
        let is_path = self.joints == Joint::SLASH && self.groups.len() > 2;
        if !self.whole || self.digits.len > 13 || is_path || last_is_short || short > usize::from(self.groups.len() > 2)
        {
            return None;
        }
        let country_code = self.groups.len() > 3 && self.joints == Joint::DASH && plan::of(self.digits.all()).is_some();
        let subscriber = self.groups.iter().rev().map(Group::len).take(3);
        if country_code && subscriber.eq([4, 3, 3]) {
            return Some(55);
        }
        let in_pairs = lengths.are(&[3, 3, 2, 2]) && self.joints == Joint::DASH;
        match self.hint() {
            Hint::Calling => Some(55),
            Hint::Number if self.groups.len() > 1 && self.digits.len >= 9 || self.is_mobile() => Some(50),
            Hint::Number | Hint::None if in_pairs => Some(50),
            _ => None,
        }
    }

    fn hint(&self) -> Hint {
        match Hint::after(self.text, self.last.end) {
            Hint::None => *self.before.get_or_init(|| Hint::before(self.text, self.first.lead)),
            telling => telling,
        }
    }

    /// Unbroken, and as long as numbers of two of the largest plans: `2025550143`, `13812345678`.
    fn is_mobile(&self) -> bool {
        matches!(
            (self.digits.all(), self.digits.len),
            ([b'2'..=b'9', _, _, b'2'..=b'9', ..], 10) | ([b'1', b'3'..=b'9', ..], 11)
        )
    }

    /// Dates, decimals, prices, addresses of machines and numbers of other registers.
    fn is_something_else(&self) -> bool {
        let lengths = Lengths::of(self.groups);
        let (prior, next) = (self.first.prior(self.text), self.last.next(self.text));
        let decimal = self.groups.len() == 2 && self.joints == Joint::DOT && !self.first.parens;
        let dotted_quad =
            self.groups.len() == 4 && self.joints == Joint::DOT && self.groups.iter().all(|group| group.len() <= 3);
        let social_security = lengths.are(&[3, 2, 4]);
        let postcode = lengths.are(&[5, 4]) && self.joints == Joint::DASH;
        let price = matches!(prior, '$' | '€' | '£' | '¥' | '₹' | '#') || matches!(next, ['€' | '£' | '%', _]);
        let fraction = matches!(prior, '.' | ':') && self.follows_digit();
        decimal
            || dotted_quad && !self.digits.all().starts_with(b"0")
            || social_security
            || postcode
            || price
            || fraction
            || self.first.in_code && !self.first.parens
            || self.starts_with_date()
    }

    /// Whether the prior character follows a digit, as in `12:30`.
    fn follows_digit(&self) -> bool {
        self.text.as_bytes().get(self.first.lead.wrapping_sub(2)).is_some_and(u8::is_ascii_digit)
    }

    /// `2024-01-31`, `31/01/2024`, `01.31.24 10`
    fn starts_with_date(&self) -> bool {
        let [a, b, c, ..] = self.groups else { return false };
        let number = |group: &Group| {
            group
                .digits(self.text)
                .iter()
                .fold(0_u32, |value, digit| value.saturating_mul(10) + u32::from(digit - b'0'))
        };
        let is_year = |group: &Group| group.len() == 4 && (1900..2100).contains(&number(group));
        let is_day = |group: &Group| group.len() <= 2 && (1..=31).contains(&number(group));
        let joined = b.joint == c.joint && b.joint.is_tight();
        joined && (is_year(a) && is_day(b) && is_day(c) || is_day(a) && is_day(b) && is_year(c))
    }
}

/// Whether the number ends with this group: an extension may follow, a word
/// after a dash, but neither a letter nor the next part of a code (`-AB`).
fn ends_free(text: &str, last: &Group) -> bool {
    let goes_on = || {
        let rest = text.get(last.end..).unwrap_or_default();
        let word = rest.strip_prefix('-').unwrap_or_default();
        (1..=2).contains(&word.bytes().take(3).take_while(u8::is_ascii_alphanumeric).count())
    };
    last.ends_free(text) && !goes_on() || extension(text, last.end).is_some()
}

/// The lengths of some groups.
struct Lengths<'g>(&'g [Group]);

impl<'g> Lengths<'g> {
    const fn of(groups: &'g [Group]) -> Self {
        Self(groups)
    }

    fn are(&self, lengths: &[usize]) -> bool {
        self.0.iter().map(Group::len).eq(lengths.iter().copied())
    }

    /// Whether each group after the first `skipped` has so many digits.
    fn at_least(&self, length: usize, skipped: usize) -> bool {
        self.0.iter().skip(skipped).all(|group| group.len() >= length)
    }
}

/// The end of an extension that follows a number: ` ext. 12`, `x12`.
fn extension(text: &str, end: usize) -> Option<usize> {
    let rest = text.get(end..)?;
    let spaces = |text: &str| text.bytes().take(2).take_while(|byte| *byte == b' ').count();
    let mark_at = spaces(rest) + usize::from(rest.starts_with(','));
    let after = rest.get(mark_at..)?;
    let after = after.get(spaces(after)..)?;
    let mark = ["extension", "ext.", "ext", "x", "X", "#"]
        .into_iter()
        .find(|mark| after.get(..mark.len()).is_some_and(|head| head.eq_ignore_ascii_case(mark)))?;
    let tail = after.get(mark.len()..)?;
    let digits = tail.get(spaces(tail)..)?;
    let length = digits.bytes().take(7).take_while(u8::is_ascii_digit).count();
    let glued = digits.as_bytes().get(length).is_some_and(u8::is_ascii_alphanumeric);
    ((1..=6).contains(&length) && !glued).then(|| text.len() - digits.len() + length)
}
