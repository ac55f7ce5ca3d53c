//! Phone numbers of one country, for those who need to know which.
//!
//! The country code or the trunk prefix makes one sure; without either it is one
//! where somebody is to be called, or where the text is nothing else.

use super::super::digits::{Group, for_each_number};
use super::super::national::has_no_words;
use super::super::sight::Sight;
use super::super::{Detector, Found};
use super::words::Hint;
use super::{DIGITS_MAX, Digits};

/// The digits of a national number, here ten in every plan.
const NATIONAL_DIGITS: usize = 10;

/// One country's plan.
struct Plan {
    detector: Detector,
    code: &'static [u8],
    /// Whether the national number, without its trunk zero, is one.
    fits: fn(&[u8]) -> bool,
    /// Whether such a number behind a trunk zero needs no word beside it.
    sure: fn(&[u8]) -> bool,
    /// Whether it may stand without a trunk zero.
    bare: bool,
}

/// Mobile numbers of the Philippines.
pub(in crate::detect) mod philippines {
    use super::{Detector, Found, Plan, Sight};

    const PLAN: Plan = Plan {
        detector: Detector::PhMobileNumber,
        code: b"63",
        fits: |national| national.starts_with(b"9"),
        sure: |_| true,
        bare: false,
    };

    pub(in crate::detect) const fn possible(sight: &Sight) -> bool {
        sight.digits >= super::NATIONAL_DIGITS
    }

    pub(in crate::detect) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
        super::find(text, &PLAN, found);
    }
}

/// Numbers of Turkey, mobile and fixed.
pub(in crate::detect) mod turkey {
    use super::{Detector, Found, Plan, Sight};

    const PLAN: Plan = Plan {
        detector: Detector::TrPhoneNumber,
        code: b"90",
        fits: |national| matches!(national.first(), Some(b'2'..=b'5')),
        sure: |national| matches!(national, [b'5', b'0' | b'3'..=b'6', ..]),
        bare: true,
    };

    pub(in crate::detect) const fn possible(sight: &Sight) -> bool {
        sight.digits >= super::NATIONAL_DIGITS
    }

    pub(in crate::detect) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
        super::find(text, &PLAN, found);
    }
}

fn find(text: &str, plan: &Plan, found: &mut Vec<Found>) {
    for_each_number(text, NATIONAL_DIGITS, |groups| {
        let Some((count, score)) = longest(text, groups, plan) else { return 1 };
        if let (Some(first), Some(last)) = (groups.first(), groups.get(count - 1)) {
            found.push(Found { detector: plan.detector, start: first.lead, end: last.end, score });
        }
        count
    });
}

/// How many groups make the longest number that begins with the first, and how sure that is.
fn longest(text: &str, groups: &[Group], plan: &Plan) -> Option<(usize, u8)> {
    (1..=groups.len()).rev().find_map(|count| Some((count, judge(text, groups, count, plan)?)))
}

fn judge(text: &str, joined: &[Group], count: usize, plan: &Plan) -> Option<u8> {
    let groups = joined.get(..count)?;
    let (first, last) = (groups.first()?, groups.last()?);
    let lengths = groups.iter().map(Group::len).sum::<usize>();
    let tight = |group: &Group| group.joint.is_tight();
    let stands_free = !first.in_code
        && !first.prior(text).is_ascii_alphanumeric()
        && (first.plus || !tight(first))
        && last.ends_free(text)
        && !joined.get(count).is_some_and(tight);
    if lengths > DIGITS_MAX || !stands_free || groups.iter().skip(1).any(|group| group.plus) {
        return None;
    }
    let digits = Digits::read(text, groups);
    if first.plus {
        let national = digits.all().strip_prefix(plan.code)?;
        return (national.len() == NATIONAL_DIGITS && (plan.fits)(national)).then_some(95);
    }
    let trunk = digits.all().strip_prefix(b"0");
    let national = trunk.or(Some(digits.all()).filter(|_| plan.bare))?;
    if national.len() != NATIONAL_DIGITS || !(plan.fits)(national) {
        return None;
    }
    if trunk.is_some() && (plan.sure)(national) {
        return Some(60);
    }
    let called = || Hint::before(text, first.lead) == Hint::Calling || Hint::after(text, last.end) == Hint::Calling;
    (has_no_words(text) || called()).then_some(40)
}
