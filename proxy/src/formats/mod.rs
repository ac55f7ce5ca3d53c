//! The wire formats: where each has its events, and how each is answered.
//!
//! Promise: a client sees what its collector would have said, or an error in that
//! collector's manner which makes it neither loop nor exit. No answer made here
//! holds anything from a request but its `Origin`.
//!
//! Not here: which format a request is in ([`decode`](crate::decode)) and what
//! may leave (the policy).

pub mod answers;
pub mod cloudevents;
mod cors;
pub(crate) mod ga4;
pub(crate) mod json;
pub(crate) mod otlp;
pub(crate) mod pixel;
mod refusal;
pub(crate) mod rudderstack;
pub(crate) mod segment;
pub mod snowplow;

use privet_json::{Index, Kind, Node};
use privet_policy::batch::Levels;

pub use answers::{answer_refusal, answer_success, forbid_keeping, pass_response_headers, passed_status};
pub use cors::{allow_origin, preflight};
pub use refusal::{Bound, Fault, Refusal, Unready};

use crate::decode::{DecodeLimits, Found, Group, Layout};

/// Reads a body that is one event.
pub(crate) fn single(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    let root = crate::decode::read(index, body, limits)?;
    let event = index.node(body, root);
    if event.kind() == Kind::Object {
        Ok(Found::of(Layout::Single, vec![root]))
    } else {
        Err(Refusal::malformed(Fault::NotAnObject, event.span().start))
    }
}

/// Reads a body that is an object with its events in one member.
pub(crate) fn batch(
    levels: Levels,
    events_max: usize,
    body: &[u8],
    index: &mut Index,
    limits: &DecodeLimits,
) -> Result<Found, Refusal> {
    let root = crate::decode::read(index, body, limits)?;
    let object = index.node(body, root);
    if object.kind() != Kind::Object {
        return Err(Refusal::malformed(Fault::NotAnObject, object.span().start));
    }
    let held = levels.first().and_then(|member| object.get(member)).filter(|held| held.kind() == Kind::Array);
    let held = held.ok_or(Refusal::malformed(Fault::NoBatch, object.span().start))?;
    check_elements(held)?;
    let events: Vec<_> = held.elements().take(events_max.saturating_add(1)).map(|event| event.id()).collect();
    if events.len() > events_max {
        return Err(Refusal::TooLarge(Bound::Events));
    }
    let group = Group { events: 0..events.len(), around: [Some(root), None, None] };
    Ok(Found { groups: vec![group], ..Found::of(Layout::Batch { levels }, events) })
}

/// Refuses an array that holds something and no object: it is in another format.
pub(crate) fn check_elements(array: Node<'_>) -> Result<(), Refusal> {
    let fits = array.is_empty() || array.elements().any(|element| element.kind() == Kind::Object);
    if fits { Ok(()) } else { Err(Refusal::malformed(Fault::NotAnObject, array.span().start)) }
}
