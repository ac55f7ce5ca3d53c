//! Identifiers that a state, a bank or a register gave to somebody: one row a
//! kind, one file a country.
//!
//! A row says how the identifier is written ([`Shape`]), what separators it may
//! hold, how sure its own characters make it (check digits, dates, regions) and
//! which words around it speak of it. The text is walked once for all rows.
//!
//! What is sure by itself counts anywhere. What many other numbers look like,
//! too, counts where a word speaks of it, or where the text is nothing but such
//! identifiers: a form's field that was filled in has no words.

mod au;
mod ca;
mod checks;
mod code;
mod de;
mod es;
mod fi;
mod india;
mod it;
mod kr;
mod ng;
mod ph;
mod pl;
mod se;
mod sg;
mod shape;
mod th;
mod topics;
mod tr;
mod uk;
mod us;
mod za;

use std::cell::OnceCell;
use std::ops::RangeInclusive;
use std::sync::LazyLock;

use super::{Detector, DetectorSet, Found, Sight};
use code::{CHARS_MAX, Code, for_each_code, is_word};
use shape::Shape;
use topics::Topics;

/// What the characters of a code say for themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Sure {
    /// It is none: a check digit or a date is wrong.
    No,
    /// Only a word can say so.
    Hardly,
    /// It may be one, and many other things.
    Maybe,
    /// Few other things are written so.
    Likely,
    /// Check digits or an unmistakable shape say so.
    Yes,
}

impl Sure {
    /// `Yes` if the check digits are right, else no identifier at all.
    const fn checked(right: bool) -> Self {
        if right { Self::Yes } else { Self::No }
    }

    /// `Maybe` if so, else no identifier at all.
    const fn maybe(so: bool) -> Self {
        if so { Self::Maybe } else { Self::No }
    }

    /// `Likely` if so, else no identifier at all.
    const fn likely(so: bool) -> Self {
        if so { Self::Likely } else { Self::No }
    }

    /// `Hardly` if so, else no identifier at all.
    const fn hardly(so: bool) -> Self {
        if so { Self::Hardly } else { Self::No }
    }

    /// The score of a finding; none if the words around it do not speak of it as they must.
    const fn score(self, is_spoken_of: bool, is_alone: bool) -> Option<u8> {
        match (self, is_spoken_of, is_alone) {
            (Self::No, ..) | (Self::Hardly, false, _) | (Self::Maybe, false, false) => None,
            (Self::Yes, true, _) => Some(100),
            (Self::Yes, false, _) => Some(90),
            (Self::Likely, true, _) => Some(85),
            (Self::Likely, false, _) => Some(50),
            (Self::Hardly | Self::Maybe, true, _) => Some(60),
            (Self::Maybe, false, true) => Some(30),
        }
    }
}

/// How an identifier is written.
enum Form {
    /// In one of these shapes.
    Shapes(&'static [Shape]),
    /// In so many letters and digits; [`Identifier::judge`] looks at the groups.
    Free(RangeInclusive<usize>),
}

/// One kind of identifier.
struct Identifier {
    detector: Detector,
    form: Form,
    /// The separators it may hold, the same everywhere in it.
    joints: &'static str,
    judge: fn(&Code) -> Sure,
    /// What words speak of it.
    topics: Topics,
}

impl Identifier {
    /// How sure the code is one, by its characters.
    fn sure(&self, code: &Code) -> Sure {
        let joined = code.is_whole() || !code.mixed && code.joint.is_some_and(|joint| self.joints.contains(joint));
        let shaped = match &self.form {
            Form::Shapes(shapes) => shapes.iter().any(|shape| shape.is(code.len, code.digits, code.cuts)),
            Form::Free(lengths) => lengths.contains(&code.len),
        };
        match (joined && shaped).then(|| (self.judge)(code)) {
            // Glued to a word, only what needs no word counts.
            Some(sure) if !code.glued || sure == Sure::Yes => sure,
            _ => Sure::No,
        }
    }

    fn has_length(&self, len: usize) -> bool {
        match &self.form {
            Form::Shapes(shapes) => shapes.iter().any(|shape| shape.len == len),
            Form::Free(lengths) => lengths.contains(&len),
        }
    }
}

/// Every kind, by country.
static COUNTRIES: [&[Identifier]; 18] = [
    us::IDENTIFIERS,
    uk::IDENTIFIERS,
    au::IDENTIFIERS,
    ca::IDENTIFIERS,
    de::IDENTIFIERS,
    es::IDENTIFIERS,
    fi::IDENTIFIERS,
    india::IDENTIFIERS,
    it::IDENTIFIERS,
    kr::IDENTIFIERS,
    ng::IDENTIFIERS,
    ph::IDENTIFIERS,
    pl::IDENTIFIERS,
    se::IDENTIFIERS,
    sg::IDENTIFIERS,
    th::IDENTIFIERS,
    tr::IDENTIFIERS,
    za::IDENTIFIERS,
];

/// The kinds that may have so many letters and digits.
static BY_LENGTH: LazyLock<[Vec<&'static Identifier>; CHARS_MAX + 1]> = LazyLock::new(|| {
    let identifiers = || COUNTRIES.into_iter().flatten();
    std::array::from_fn(|len| identifiers().filter(|identifier| identifier.has_length(len)).collect())
});

pub(super) const fn possible(sight: &Sight) -> bool {
    sight.digits > 0
}

/// Finds the identifiers of the set.
pub(super) fn find(text: &str, set: DetectorSet, found: &mut Vec<Found>) {
    let words = OnceCell::new();
    for_each_code(text, |code| {
        let around = OnceCell::new();
        let speaks = |topics| around.get_or_init(|| topics::around(text, code.start, code.end)).meet(topics);
        let is_alone = || *words.get_or_init(|| words_in(text)) == Some(code.words);
        for identifier in BY_LENGTH.get(code.len).into_iter().flatten() {
            if !set.contains(identifier.detector) {
                continue;
            }
            let sure = identifier.sure(code);
            if sure != Sure::No
                && let Some(score) = sure.score(speaks(identifier.topics), sure == Sure::Maybe && is_alone())
            {
                found.push(Found { detector: identifier.detector, start: code.start, end: code.end, score });
            }
        }
    });
}

/// The longest text that may be nothing but identifiers, in bytes.
const ALONE_BYTES_MAX: usize = 96;

/// Whether a text is numbers and nothing else.
pub(super) fn has_no_words(text: &str) -> bool {
    words_in(text) == Some(0)
}

/// How many groups of the text look like words; nothing if it is a text for sure.
///
/// A code is alone if all of these are its own.
fn words_in(text: &str) -> Option<usize> {
    if text.len() > ALONE_BYTES_MAX || text.contains(|char: char| !char.is_ascii() && char.is_alphabetic()) {
        return None;
    }
    let joins = |group: &[u8]| [b"and", b"und"].iter().any(|join| group.eq_ignore_ascii_case(*join));
    let groups = text.as_bytes().split(|byte| !byte.is_ascii_alphanumeric());
    Some(groups.filter(|group| is_word(group) && !joins(group)).count())
}
