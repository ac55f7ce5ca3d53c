//! Incarnations that are not here: which need not be, and by whose word.
//!
//! Promise: an incarnation is excused only where a record that is here names it, and that record fits all that is here
//! of its neighbours; what is excused is told as an assumption, with the incarnation that says so.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::record::{CLOCK_SKEW_MS_MAX, Previous};

use super::incarnation::{Carried, SaidRetired, Verified};
use super::report::{AbsentReason, AbsentReport, Report};
use super::{base_of, number_of};

const DAY_MS: i64 = 86_400_000;

/// Incarnations that are not here, and need not be.
pub(super) struct Gone {
    /// Up to this number they were removed by retention, and which incarnation says so.
    pub(super) retired: (u64, u64),
    /// These never came to be, and which incarnation says so of each.
    unborn: BTreeMap<String, u64>,
}

impl Gone {
    pub(super) fn explains(&self, origin: &str) -> bool {
        number_of(origin).is_some_and(|number| number <= self.retired.0) || self.unborn.contains_key(origin)
    }

    /// What is assumed of the incarnations `given`, whose keys the auditor brought and which are not here.
    pub(super) fn excuses(&self, given: &BTreeSet<u64>) -> Vec<String> {
        let mut words = Vec::new();
        let (retired, by) = self.retired;
        let removed: BTreeSet<u64> = given.iter().copied().filter(|number| *number <= retired).collect();
        if !removed.is_empty() {
            words.push(format!(
                "keys were given of incarnations that are not here: that {} were removed by retention is the word of incarnation {by}",
                runs(&removed)
            ));
        }
        let mut by_whom: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
        for (origin, by) in &self.unborn {
            let number = number_of(origin).filter(|number| *number > retired && given.contains(number));
            by_whom.entry(*by).or_default().extend(number);
        }
        words.extend(by_whom.iter().filter(|(_, numbers)| !numbers.is_empty()).map(|(by, numbers)| {
            format!(
                "keys were given of incarnations that are not here: that {} came to nothing is the word of incarnation {by}",
                runs(numbers)
            )
        }));
        words
    }
}

/// Numbers as people write them: `1 to 4, 7`.
pub(crate) fn runs(numbers: &BTreeSet<u64>) -> String {
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for number in numbers {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => runs.push((*number, *number)),
        }
    }
    let words = runs.into_iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first} to {last}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

/// What stands before the oldest incarnation that is here, and what is excused.
pub(super) fn check(verified: &[(u64, Verified)], carried: &mut Carried) -> Gone {
    let unborn = |absent: &&AbsentReport| absent.reason == AbsentReason::Unborn;
    let unborn: BTreeMap<String, u64> =
        carried.report.absent.iter().filter(unborn).map(|absent| (absent.origin.clone(), absent.said_by)).collect();
    let mut said: BTreeMap<u64, BTreeSet<u64>> = BTreeMap::new();
    for (origin, by) in &unborn {
        said.entry(*by).or_default().extend(number_of(origin));
    }
    for (by, numbers) in &said {
        carried.report.assumptions.push(format!(
            "that the starts of incarnations {} came to nothing is the word of incarnation {by}: whoever could write the log and the anchor could have removed what they wrote; a ledger knows",
            runs(numbers)
        ));
    }
    let retired = check_oldest(verified.first(), &unborn, carried);
    Gone { retired, unborn }
}

/// What stands before the oldest incarnation that is here: nothing, or what a later record says was removed
/// by retention. Gives the number up to which incarnations were, and which one says so.
fn check_oldest(oldest: Option<&(u64, Verified)>, unborn: &BTreeMap<String, u64>, carried: &mut Carried) -> (u64, u64) {
    let Some((number, one)) = oldest else { return (0, 0) };
    let Some(linked) = one.open.as_ref().and_then(|open| open.prev.as_ref()) else {
        check_unlinked(*number, unborn, &mut carried.report);
        return (0, 0);
    };
    let Some(SaidRetired { by, retired, now_ms, .. }) = carried.retired.iter().find(|said| is_of(said, linked)) else {
        let message = format!("`{}` with {} records came before and is not here", linked.origin, linked.size);
        carried.report.finding("missing_incarnation", (Some(*number), Some(0)), message);
        return (0, 0);
    };
    let message = format!(
        "`{}` with {} records, and what came before it, were removed by incarnation {by}, {} days after they ended: they ended before {}, and it was {} then, in ms of Unix time",
        linked.origin, linked.size, retired.days, retired.before, now_ms
    );
    let gone = (number_of(&linked.origin).unwrap_or(0), *by);
    carried.report.gap("retired", *number, message);
    gone
}

fn is_of(said: &SaidRetired, end: &Previous) -> bool {
    let retired = &said.retired;
    (&retired.origin, retired.size, &retired.root) == (&end.origin, end.size, &end.root)
}

/// An incarnation before which nothing came is the first, unless a record says of each before it that it never came to be.
fn check_unlinked(number: u64, unborn: &BTreeMap<String, u64>, report: &mut Report) {
    let unborn: BTreeSet<u64> = unborn.keys().filter_map(|name| number_of(name)).collect();
    if let Some(missing) = (1..number).find(|before| !unborn.contains(before)) {
        let message = format!("it says that nothing came before it, and incarnation {missing} is not here");
        report.finding("missing_incarnation", (Some(number), Some(0)), message);
    }
}

/// Whether what an incarnation says of starts that came to nothing is what a start can know: they lie between the one
/// it links to and itself, and where it links to none there is at most one, the first ever.
pub(super) fn check_unborn(number: u64, one: &Verified, report: &mut Report) {
    let Some(open) = &one.open else { return };
    let before = open.prev.as_ref().map_or(Some(0), |prev| number_of(&prev.origin)).unwrap_or(0);
    let said: Vec<&AbsentReport> = report.absent.iter().filter(|absent| absent.said_by == number).collect();
    let is_lost = said.iter().any(|absent| absent.reason == AbsentReason::Lost);
    let unborn: Vec<&str> = said
        .iter()
        .filter(|absent| absent.reason == AbsentReason::Unborn)
        .map(|absent| absent.origin.as_str())
        .collect();
    let base = base_of(&open.origin);
    let fits = |origin: &&&str| {
        base_of(origin) == base && number_of(origin).is_some_and(|said| before < said && said < number)
    };
    let mut wrong = Vec::new();
    if let Some(origin) = unborn.iter().find(|origin| !fits(origin)) {
        wrong.push(format!("it says that `{origin}` came to nothing, which is not between it and the one before it"));
    }
    if open.prev.is_none() && !is_lost && unborn.len() > 1 {
        wrong.push(format!(
            "it says that {} starts before it came to nothing, and links to none: no start can know that of more than the first",
            unborn.len()
        ));
    }
    wrong.into_iter().for_each(|wrong| report.finding("unborn", (Some(number), Some(0)), wrong));
}

/// Holds every statement of retention against all that is here.
pub(super) fn check_retired(verified: &[(u64, Verified)], carried: &mut Carried) {
    let said = std::mem::take(&mut carried.retired);
    let mut first: HashMap<&str, &SaidRetired> = HashMap::new();
    for one in &said {
        let earlier = *first.entry(&one.retired.origin).or_insert(one);
        let wrong = [
            contradicts(one, earlier),
            is_too_young(one),
            differs_from_what_is_here(one, verified),
            ended_at_another_time(one, verified, &carried.report),
        ];
        for wrong in wrong.into_iter().flatten() {
            let message = format!("of `{}`, said to be removed by retention: {wrong}", one.retired.origin);
            carried.report.finding("retired", (Some(one.by), Some(one.record)), message);
        }
    }
    carried.retired = said;
}

fn contradicts(one: &SaidRetired, earlier: &SaidRetired) -> Option<String> {
    let (now, before) = (&one.retired, &earlier.retired);
    let same = (now.size, &now.root, now.before) == (before.size, &before.root, before.before);
    (!same).then(|| format!("incarnation {} said another end of it", earlier.by))
}

fn is_too_young(one: &SaidRetired) -> Option<String> {
    let retired = &one.retired;
    let aged = one.now_ms.saturating_sub(retired.before).saturating_add_unsigned(CLOCK_SKEW_MS_MAX);
    let wanted = i64::from(retired.days).saturating_mul(DAY_MS);
    (aged < wanted).then(|| {
        format!(
            "it ended {} s before that by this log's clock, which are fewer than {} days",
            aged / 1000,
            retired.days
        )
    })
}

fn differs_from_what_is_here(one: &SaidRetired, verified: &[(u64, Verified)]) -> Option<String> {
    let number = number_of(&one.retired.origin);
    if number.is_none_or(|number| number >= one.by) {
        return Some("it does not come before the incarnation that says so".to_owned());
    }
    let here = verified.iter().find(|(here, _)| Some(*here) == number)?;
    (!is_of(one, &here.1.end)).then(|| "it is here, and has another end".to_owned())
}

fn ended_at_another_time(one: &SaidRetired, verified: &[(u64, Verified)], report: &Report) -> Option<String> {
    let links = |one: &&(u64, Verified), origin: &str| {
        one.1.open.as_ref().and_then(|open| open.prev.as_ref()).is_some_and(|prev| prev.origin == origin)
    };
    let (next, _) = verified.iter().find(|next| links(next, &one.retired.origin))?;
    let began = report.incarnations.iter().find(|incarnation| incarnation.number == *next)?.from_ms;
    (one.retired.before != began)
        .then(|| format!("it ended before {}, and incarnation {next} began at {began}", one.retired.before))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_do() {
        assert_eq!(runs(&BTreeSet::from([1, 2, 3, 4, 7, 9, 10])), "1 to 4, 7, 9 to 10");
        assert_eq!(runs(&BTreeSet::new()), "");
    }
}
