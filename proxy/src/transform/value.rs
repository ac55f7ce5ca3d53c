//! Actions carried out on single values.
//!
//! Promise: whatever an action cannot make of a value is dropped, never kept.

use privet_json::{Edit as Outcome, Key, Kind, Node, write_string};
use privet_policy::action::{Action, Generalize, PseudonymShape};
use privet_policy::consent::is_null_id;
use privet_policy::generalize::AgeNotation;
use privet_policy::{detect, generalize};

use super::Keys;

/// Buffers that serve one value after the other.
#[derive(Default)]
pub(super) struct Room {
    text: Vec<u8>,
    made: String,
}

/// Carries an action out on a scalar of an event.
pub(super) fn carry_out(
    action: &Action,
    value: Node<'_>,
    keys: Keys<'_>,
    room: &mut Room,
    out: &mut Vec<u8>,
) -> Outcome {
    let kind = value.kind();
    match (action, kind) {
        (Action::Drop, _) | (_, Kind::Array | Kind::Object) => Outcome::Drop,
        (Action::Keep, _) | (_, Kind::Null) => Outcome::Keep,
        (Action::Redact, kind) => {
            out.extend_from_slice(constant(kind));
            Outcome::Written
        }
        (_, Kind::String) => {
            let Room { text, made } = room;
            let Some(text) = value.text_in(text) else { return Outcome::Drop };
            made.clear();
            if !make(action, text, keys, made) {
                return Outcome::Drop;
            }
            write_string(made, out);
            Outcome::Written
        }
        (action, _) => carry_out_on_raw(action, value, keys, room, out),
    }
}

/// Numbers and truth values: what is made of a number stays one where it can, else it is treated as its text.
fn carry_out_on_raw(action: &Action, value: Node<'_>, keys: Keys<'_>, room: &mut Room, out: &mut Vec<u8>) -> Outcome {
    let Ok(text) = std::str::from_utf8(value.raw()) else { return Outcome::Drop };
    let made = &mut room.made;
    made.clear();
    let done = match action {
        Action::Generalize(Generalize::Age(bands)) => {
            generalize::age(text, *bands, AgeNotation::Youngest, made).is_some()
        }
        // No number and no truth value is a geohash.
        Action::Generalize(Generalize::Geo(generalize::GeoCell::Geohash(_))) => false,
        action => make(action, text, keys, made),
    };
    if !done {
        return Outcome::Drop;
    }
    match action {
        action if value.kind() == Kind::Number && stays_a_number(action) => {
            out.extend_from_slice(room.made.as_bytes());
        }
        // Nothing was found in it, so it may stay what it was.
        Action::Scrub(_) if room.made == text => return Outcome::Keep,
        _ => write_string(&room.made, out),
    }
    Outcome::Written
}

/// Whether what an action makes of a number is a number as JSON writes it.
const fn stays_a_number(action: &Action) -> bool {
    match action {
        Action::Generalize(how) => matches!(
            how,
            Generalize::Time(_)
                | Generalize::Number(_)
                | Generalize::Age(_)
                | Generalize::Geo(generalize::GeoCell::Decimals(_))
        ),
        Action::Pseudonymize { shape: PseudonymShape::Digits, .. } => true,
        _ => false,
    }
}

/// Carries an action out on a member's name.
pub(super) fn carry_out_on_name(
    action: &Action,
    key: Key<'_>,
    keys: Keys<'_>,
    room: &mut Room,
    out: &mut Vec<u8>,
) -> Outcome {
    match action {
        Action::Keep => Outcome::Keep,
        Action::Pseudonymize { .. } | Action::Tokenize { .. } | Action::Scrub(_) => {
            let Room { text, made } = room;
            let name = key.text_in(text);
            made.clear();
            if !make(action, name, keys, made) {
                return Outcome::Drop;
            }
            // Two scrubbed names could become one; only an untouched name is sure to stay unique.
            if matches!(action, Action::Scrub(_)) && made.as_str() != name {
                return Outcome::Drop;
            }
            write_string(made, out);
            Outcome::Written
        }
        _ => Outcome::Drop,
    }
}

/// Carries an action out on a text that stands outside of JSON: a header, a cookie, a parameter.
pub(super) fn carry_out_on_text(action: &Action, text: &str, keys: Keys<'_>) -> Option<String> {
    let mut made = String::new();
    match action {
        Action::Keep => Some(text.to_owned()),
        Action::Redact => Some(made),
        action => make(action, text, keys, &mut made).then_some(made),
    }
}

/// Makes the text that leaves; says `false` where there is none.
fn make(action: &Action, text: &str, keys: Keys<'_>, made: &mut String) -> bool {
    match action {
        Action::Pseudonymize { .. } if is_null_id(text) => made.push_str(text),
        Action::Pseudonymize { domain, shape } => {
            let Some(pseudonyms) = keys.pseudonyms(domain) else { return false };
            pseudonyms.write(text, *shape, made);
        }
        Action::Tokenize { key, mode } => {
            return keys.sealer(key).is_some_and(|sealer| sealer.seal(text, *mode, made));
        }
        Action::Scrub(detectors) => {
            detect::scrub(text, *detectors, made);
        }
        Action::Generalize(how) => return generalized(how, text, made),
        Action::Drop | Action::Redact | Action::Keep => return false,
    }
    true
}

fn generalized(how: &Generalize, text: &str, made: &mut String) -> bool {
    match how {
        Generalize::Time(grain) => generalize::time(text, *grain, made),
        Generalize::Ip(prefix) => generalize::ip(text, *prefix, made),
        Generalize::Number(bucket) => generalize::number(text, bucket, made),
        Generalize::Url(form) => generalize::url(text, form, made),
        Generalize::Geo(cell) => generalize::geo(text, *cell, made),
        Generalize::Age(bands) => generalize::age(text, *bands, AgeNotation::Band, made),
        Generalize::UserAgent(part) => generalize::user_agent(text, *part, made),
    }
    .is_some()
}

/// What a redacted value of a kind leaves as.
const fn constant(kind: Kind) -> &'static [u8] {
    match kind {
        Kind::String => b"\"\"",
        Kind::Number => b"0",
        Kind::Bool => b"false",
        Kind::Null | Kind::Array | Kind::Object => b"null",
    }
}
