//! Dates, and dates of birth.
//!
//! A date is numbers in an order that a calendar allows, a month's name with
//! numbers, a day of the week, or a year behind a word such as `since`. Of birth
//! it is where a word of being born stands beside it.
//!
//! Not here: relative dates (`yesterday`, `in two weeks`) and plain times of day.

mod names;

use super::context::Words;
use super::runs::{is_glued_after, is_glued_before};
use super::sight::Sight;
use super::{Detector, Found, context};
use names::{is_month, is_weekday};

/// Dates of birth.
pub(super) mod birth {
    use super::{Detector, Found, Sight, for_each_date, is_of_birth};

    pub(in crate::detect) const fn possible(sight: &Sight) -> bool {
        sight.digits >= 3
    }

    pub(in crate::detect) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
        for_each_date(text, |start, end, score| {
            if score >= YEARLY && is_of_birth(text, start, end) {
                found.push(Found { detector: Detector::DateOfBirth, start, end, score: 90 });
            }
        });
    }

    /// What [`for_each_date`] gives a date that names a year.
    const YEARLY: u8 = 40;
}

pub(super) const fn possible(sight: &Sight) -> bool {
    // Days of the week have no digits.
    sight.digits > 0 || sight.letters > 5
}

pub(super) fn find(text: &str, _sight: &Sight, found: &mut Vec<Found>) {
    for_each_date(text, |start, end, score| found.push(Found { detector: Detector::DateTime, start, end, score }));
    let mut at = 0;
    while let Some((start, end)) = next_word(text, at) {
        at = end;
        if text.get(start..end).is_some_and(is_weekday) {
            found.push(Found { detector: Detector::DateTime, start, end, score: 50 });
        }
    }
}

/// The next run of ASCII letters.
fn next_word(text: &str, at: usize) -> Option<(usize, usize)> {
    let rest = text.as_bytes().get(at..)?;
    let start = at + rest.iter().position(u8::is_ascii_alphabetic)?;
    let length = text.as_bytes().get(start..)?.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
    Some((start, start + length))
}

/// Calls `judge` with start, end and score of every date with a number in it, from left to right.
fn for_each_date(text: &str, mut judge: impl FnMut(usize, usize, u8)) {
    let mut at = 0;
    while let Some(start) = next_start(text, at) {
        match date(text, start) {
            Some((end, score)) => {
                judge(start, end, score);
                at = end;
            }
            None => at = skip(text, start),
        }
    }
}

/// The next place where a date may begin: a number or a word.
fn next_start(text: &str, at: usize) -> Option<usize> {
    let rest = text.as_bytes().get(at..)?;
    rest.iter().position(u8::is_ascii_alphanumeric).map(|skipped| at + skipped)
}

/// Past the run of letters and digits, with what is glued to it, that begins at `at`.
fn skip(text: &str, at: usize) -> usize {
    let rest = text.as_bytes().get(at..).unwrap_or_default();
    let digits = rest.first().is_some_and(u8::is_ascii_digit);
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let glue = rest.iter().skip(length).take_while(|byte| digits && matches!(byte, b'/' | b'-' | b'.')).count();
    // `1.05/21`: what follows a number and a point is no date of its own.
    let tail = rest.iter().skip(length + glue).take_while(|byte| glue == 1 && byte.is_ascii_digit()).count();
    at + length + glue + tail
}

/// Where the date that begins at `start` ends, and how sure it is one.
fn date(text: &str, start: usize) -> Option<(usize, u8)> {
    if is_glued_before(text, start) || is_cut(text, start) {
        return None;
    }
    let (end, score) = Part::read(text, start).and_then(|first| match first.kind {
        Kind::Number => numeric(text, first).or_else(|| day_and_month(text, first)).or_else(|| year_alone(text, first)),
        Kind::Month => month_first(text, first),
        Kind::Other => None,
    })?;
    (!is_glued_after(text, end) && !goes_on(text, end)).then_some((end, score))
}

/// Whether what stands before makes it the middle of something longer.
fn is_cut(text: &str, start: usize) -> bool {
    let before = text.as_bytes().get(start.saturating_sub(2)..start).unwrap_or_default();
    matches!(before, [other, b'/' | b'-' | b'.' | b':'] if other.is_ascii_alphanumeric())
        || matches!(before, [.., b'_' | b'$' | b'#' | b'+'])
}

/// Whether what stands behind makes it the front of something longer.
fn goes_on(text: &str, end: usize) -> bool {
    let after = text.as_bytes().get(end..).unwrap_or_default();
    matches!(after, [b'/' | b'-' | b'.' | b':', other, ..] if other.is_ascii_digit())
}

/// What a date is made of.
#[derive(Clone, Copy)]
struct Part {
    kind: Kind,
    start: usize,
    end: usize,
    value: u32,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Up to four digits.
    Number,
    /// A month's name.
    Month,
    /// Something else.
    Other,
}

impl Part {
    fn read(text: &str, start: usize) -> Option<Self> {
        let rest = text.as_bytes().get(start..)?;
        let digits = rest.iter().take(5).take_while(|byte| byte.is_ascii_digit()).count();
        let letters = || {
            text.get(start..)
                .unwrap_or_default()
                .chars()
                .take(12)
                .take_while(|char| char.is_alphabetic())
                .map(char::len_utf8)
                .sum::<usize>()
        };
        let length = if digits > 0 { digits } else { letters() };
        let written = text.get(start..start + length).filter(|written| !written.is_empty())?;
        let kind = match digits {
            1..=4 => Kind::Number,
            0 if is_month(written) => Kind::Month,
            _ => Kind::Other,
        };
        Some(Self { kind, start, end: start + length, value: written.parse().unwrap_or_default() })
    }

    const fn len(&self) -> usize {
        self.end - self.start
    }

    const fn is_day(&self) -> bool {
        matches!(self.value, 1..=31) && self.len() <= 2
    }

    const fn is_month_number(&self) -> bool {
        matches!(self.value, 1..=12) && self.len() <= 2
    }

    const fn is_year(&self) -> bool {
        self.len() == 4 && matches!(self.value, 1850..=2150)
    }

    /// The part after one such separator.
    fn after(&self, text: &str, joint: u8) -> Option<Self> {
        let joined = text.as_bytes().get(self.end) == Some(&joint);
        joined.then(|| Self::read(text, self.end + 1)).flatten()
    }
}

/// `2024-01-31T10:00:00Z`, `31.1.2024`, `1/31/24`, `5-May-2021`, `05/2021`, `05/21`.
fn numeric(text: &str, first: Part) -> Option<(usize, u8)> {
    let joint = text.as_bytes().get(first.end).copied().filter(|byte| matches!(byte, b'/' | b'-' | b'.'))?;
    let second = first.after(text, joint)?;
    let third = second.after(text, joint).filter(|third| third.kind == Kind::Number);
    let is_pair = |a: Part, b: Part| a.is_day() && b.is_month_number() || a.is_month_number() && b.is_day();
    match (second.kind, third) {
        (Kind::Month, Some(year)) if first.is_day() && (year.is_year() || year.len() == 2) => Some((year.end, 80)),
        (Kind::Number, Some(day)) if first.is_year() && second.is_month_number() && day.is_day() => {
            Some((time_end(text, day.end), 80))
        }
        (Kind::Number, Some(year))
            if is_pair(first, second) && (year.is_year() || year.len() == 2 && joint != b'.') =>
        {
            Some((time_end(text, year.end), 75))
        }
        (Kind::Number, Some(year))
            if is_pair(first, second) && year.len() == 2 && (first.len() == 2 || second.len() == 2) =>
        {
            Some((year.end, 60))
        }
        (Kind::Number, None) if first.is_month_number() && second.is_year() && joint != b'.' => Some((second.end, 40)),
        (Kind::Number, None) if joint == b'/' && is_pair(first, second) && is_spoken_of(text, first.start) => {
            Some((second.end, 20))
        }
        _ => None,
    }
}

/// Past `T09:15:30.500-07:00`, if it is there (RFC 3339).
fn time_end(text: &str, end: usize) -> usize {
    let Some(clock) = text.as_bytes().get(end..).and_then(|rest| rest.strip_prefix(b"T")) else { return end };
    let belongs = |byte: &&u8| byte.is_ascii_digit() || matches!(byte, b':' | b'.' | b'+' | b'-' | b'Z');
    let length = clock.iter().take(22).take_while(belongs).count();
    let written = clock.get(..length).unwrap_or_default();
    let trimmed =
        written.len() - written.iter().rev().take_while(|byte| matches!(byte, b'.' | b'-' | b':' | b'+')).count();
    if trimmed >= 5 { end + 1 + trimmed } else { end }
}

/// Words before a day and a month without a year.
fn is_spoken_of(text: &str, start: usize) -> bool {
    let nearest = context::before(text, start, 24).take(2);
    start == 0 || nearest.into_iter().any(|word| DAY_WORDS.have(word))
}

static DAY_WORDS: Words = Words::new(&[
    "after",
    "am",
    "before",
    "birth*",
    "born",
    "by",
    "date*",
    "dob",
    "due",
    "on",
    "since",
    "till",
    "today",
    "tomorrow",
    "until",
    "yesterday",
]);

/// `21 May 2021`, `21st of May`, `21. Mai 2021`.
fn day_and_month(text: &str, day: Part) -> Option<(usize, u8)> {
    if !day.is_day() {
        return None;
    }
    let rest = text.get(day.end..)?;
    let ordinal = ["st", "nd", "rd", "th", "."].into_iter().find(|mark| rest.starts_with(mark)).map_or(0, str::len);
    let month = month_after(text, day.end + ordinal)?;
    let year = year_after(text, month.end);
    Some(year.map_or((month.end, 60), |year| (year.end, 80)))
}

/// The month's name after a space and `of` or `de`.
fn month_after(text: &str, at: usize) -> Option<Part> {
    let rest = text.get(at..)?;
    let linked = rest.strip_prefix(' ')?;
    let linked = ["of ", "de "].into_iter().find_map(|link| linked.strip_prefix(link)).unwrap_or(linked);
    Part::read(text, text.len() - linked.len()).filter(|part| part.kind == Kind::Month)
}

/// The year after a month: ` 2021`, `, 2021`, ` de 2021`, ` '21`.
fn year_after(text: &str, at: usize) -> Option<Part> {
    let rest = text.get(at..)?;
    let linked = [", ", " de ", ". ", " ", ","].into_iter().find_map(|link| rest.strip_prefix(link))?;
    Part::read(text, text.len() - linked.len()).filter(Part::is_year)
}

/// `May 21, 2021`, `May 21st`, `May 2021`, `May-21`.
fn month_first(text: &str, month: Part) -> Option<(usize, u8)> {
    if let Some(number) = month.after(text, b'-').filter(|part| part.kind == Kind::Number) {
        return (number.is_year() || number.len() == 2).then_some((number.end, 60));
    }
    if let Some(year) = year_after(text, month.end) {
        return Some((year.end, 60));
    }
    let rest = text.get(month.end..)?;
    let linked = [". ", " "].into_iter().find_map(|link| rest.strip_prefix(link))?;
    let day = Part::read(text, text.len() - linked.len()).filter(Part::is_day)?;
    let rest = text.get(day.end..)?;
    let ordinal = ["st", "nd", "rd", "th"].into_iter().find(|mark| rest.starts_with(mark)).map_or(0, str::len);
    let year = year_after(text, day.end + ordinal);
    Some(year.map_or((day.end + ordinal, 60), |year| (year.end, 80)))
}

/// `since 1984`
fn year_alone(text: &str, year: Part) -> Option<(usize, u8)> {
    let before = text.get(..year.start)?;
    let spaced = before.strip_suffix(' ')?;
    let word = context::before(text, spaced.len(), 12).next()?;
    let adjacent = spaced.ends_with(word) && !word.is_empty();
    let plausible = year.is_year() && matches!(year.value, 1900..=2049);
    (plausible && adjacent && YEAR_WORDS.have(word)).then_some((year.end, 40))
}

static YEAR_WORDS: Words =
    Words::new(&["after", "before", "born", "circa", "during", "from", "in", "of", "since", "until", "year"]);

/// How far the word of being born may stand, in bytes.
const BIRTH_REACH: usize = 40;

/// Whether a word of being born stands beside the date, nearer than another number.
fn is_of_birth(text: &str, start: usize, end: usize) -> bool {
    let head = text.as_bytes().get(start.saturating_sub(BIRTH_REACH)..start).unwrap_or_default();
    let reach = head.iter().rev().take_while(|byte| !byte.is_ascii_digit()).count();
    let tail = text.get(end..).unwrap_or_default();
    let follows = context::first_after(text, end, 3).is_some_and(|word| BIRTH_WORDS.have(word));
    context::before(text, start, reach).any(|word| BIRTH_WORDS.have(word)) || follows && !tail.starts_with('.')
}

static BIRTH_WORDS: Words = Words::new(&[
    "*geburt*",
    "bday*",
    "birth*",
    "born",
    "compleann*",
    "cumple*",
    "dateofbirth",
    "dob",
    "fecha_nac*",
    "födelse*",
    "fødsel*",
    "geb",
    "geboorte*",
    "geboren",
    "nacid*",
    "nacim*",
    "naissance",
    "nascid*",
    "nascim*",
    "nascita",
    "nata",
    "nato",
    "né",
    "née",
    "ur",
    "urodz*",
    "родил*",
    "рожд*",
]);
