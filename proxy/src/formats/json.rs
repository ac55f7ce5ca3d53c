//! Plain JSON: one object, an array of objects, or one object a line.
//!
//! Promise: any path takes events. An element or a line that is no object, and a
//! line that the strict reader refuses, is an invalid event alone: the rest goes
//! on, and the sender is not told which value was wrong.
//!
//! Refuses: a body without one object in it, because then it is in no such format.

use std::ops::Range;

use privet_json::{Index, Kind};

use super::{Bound, Fault, Refusal};
use crate::decode::{DecodeLimits, Found, Layout};

/// Finds the events of one document.
pub(crate) fn find(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    let root = crate::decode::read(index, body, limits)?;
    let document = index.node(body, root);
    match document.kind() {
        Kind::Object => Ok(Found::of(Layout::Single, vec![root])),
        Kind::Array => {
            super::check_elements(document)?;
            let events: Vec<_> = document.elements().take(limits.events_max + 1).map(|event| event.id()).collect();
            Ok(Found::of(Layout::Array, events))
        }
        _ => Err(Refusal::malformed(Fault::NotAnObject, document.span().start)),
    }
}

/// Finds the events of a body with one document a line.
///
/// Lines end at LF alone. A line end inside a document is not read as a part of
/// it: two readers could disagree on where an event ends.
pub(crate) fn find_lines(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    let mut found = Found::of(Layout::Lines, Vec::new());
    let mut first_fault = None;
    let mut objects = false;
    index.clear();
    for (number, line) in lines(body) {
        if found.event_count() == limits.events_max {
            return Err(Refusal::TooLarge(Bound::Events));
        }
        match index.read_range(body, line.clone(), &limits.json) {
            Ok(event) => {
                objects |= index.node(body, event).kind() == Kind::Object;
                found.events.push(event);
            }
            Err(malformed) => {
                let refusal = Refusal::from_json(&malformed);
                if matches!(refusal, Refusal::TooLarge(_)) {
                    return Err(refusal);
                }
                first_fault.get_or_insert(refusal);
                found.malformed_lines.push(number);
            }
        }
    }
    if objects { Ok(found) } else { Err(first_fault.unwrap_or(Refusal::malformed(no_object(&found), 0))) }
}

fn no_object(found: &Found) -> Fault {
    if found.events.is_empty() { Fault::Empty } else { Fault::NotAnObject }
}

/// Whether the first line that is not blank is a document by itself.
pub(crate) fn starts_with_line(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> bool {
    index.clear();
    lines(body).next().is_some_and(|(_, line)| index.read_range(body, line, &limits.json).is_ok())
}

/// The lines that hold more than white space, with their numbers from 1.
fn lines(body: &[u8]) -> impl Iterator<Item = (u32, Range<usize>)> {
    let ends = memchr::memchr_iter(b'\n', body).chain(std::iter::once(body.len()));
    let mut start = 0;
    let lines = ends.map(move |end| std::mem::replace(&mut start, end + 1)..end);
    let written = move |line: &Range<usize>| {
        body.get(line.clone()).is_some_and(|text| !text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r')))
    };
    (1..).zip(lines).filter(move |(_, line)| written(line))
}
