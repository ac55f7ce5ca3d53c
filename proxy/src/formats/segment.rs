//! Segment's HTTP tracking API: one event by its path, or an object with `batch`.
//!
//! Promise: exactly the documented paths, with the short forms that the browser
//! SDK uses, take events, and the API's own size bounds hold. The content type is
//! not asked: the browser SDK says `text/plain` to avoid a preflight.
//!
//! Refuses: `/v1/m`, which carries aggregates of the SDK itself, and every path
//! that takes no events (settings, pixels, objects).

use privet_json::{Index, Kind, Node};

use super::{Bound, Fault, Refusal};
use crate::decode::{DecodeLimits, Found, Group, Layout};

/// "32 KB per normal API request".
const EVENT_BYTES_MAX: usize = 32 * 1024;
/// "500 KB per batch request".
const BATCH_BYTES_MAX: usize = 500 * 1024;
/// "a batch accepts up to 2,500 events".
const BATCH_EVENTS_MAX: usize = 2_500;
/// The member of a batch that holds its events.
const BATCH: &str = "batch";

/// What a path takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// One event, of this type where it names none itself.
    One(&'static str),
    /// An object with `batch`.
    Batch,
}

impl Route {
    /// The event type that the path implies.
    pub(crate) fn implies(self) -> Option<&'static str> {
        match self {
            Self::One(event_type) => Some(event_type),
            Self::Batch => None,
        }
    }
}

/// Whether a path is one of this API's.
pub(crate) fn is_known(path: &str) -> bool {
    !matches!(route(path), Err(Refusal::NotAnEventPath))
}

/// What a path takes. One slash at the end is as good as none: the Java SDK's
/// default is `/v1/import/`.
pub(crate) fn route(path: &str) -> Result<Route, Refusal> {
    let path = path.strip_suffix('/').unwrap_or(path);
    match path.strip_prefix("/v1/").unwrap_or_default() {
        "identify" | "i" => Ok(Route::One("identify")),
        "track" | "t" => Ok(Route::One("track")),
        "page" | "p" => Ok(Route::One("page")),
        "screen" | "s" => Ok(Route::One("screen")),
        "group" | "g" => Ok(Route::One("group")),
        "alias" | "a" => Ok(Route::One("alias")),
        "batch" | "import" | "b" => Ok(Route::Batch),
        "m" => Err(Refusal::Aggregates),
        _ => Err(Refusal::NotAnEventPath),
    }
}

/// Finds the events of a body.
pub(crate) fn find(route: Route, body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    match route {
        Route::One(_) => find_one(body, index, limits),
        Route::Batch => find_batch(body, index, limits),
    }
}

fn find_one(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    if body.len() > BATCH_BYTES_MAX {
        return Err(Refusal::TooLarge(Bound::Event));
    }
    let root = crate::decode::read(index, body, limits)?;
    let event = index.node(body, root);
    if event.kind() != Kind::Object {
        return Err(Refusal::malformed(Fault::NotAnObject, event.span().start));
    }
    check_size(event)?;
    Ok(Found::of(Layout::Single, vec![root]))
}

fn find_batch(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    if body.len() > BATCH_BYTES_MAX {
        return Err(Refusal::TooLarge(Bound::Body));
    }
    let root = crate::decode::read(index, body, limits)?;
    let object = index.node(body, root);
    if object.kind() != Kind::Object {
        return Err(Refusal::malformed(Fault::NotAnObject, object.span().start));
    }
    let batch = object.get(BATCH).filter(|batch| batch.kind() == Kind::Array);
    let batch = batch.ok_or(Refusal::malformed(Fault::NoBatch, object.span().start))?;
    super::check_elements(batch)?;
    let mut events = Vec::new();
    for event in batch.elements() {
        if events.len() == BATCH_EVENTS_MAX {
            return Err(Refusal::TooLarge(Bound::Events));
        }
        check_size(event)?;
        events.push(event.id());
    }
    let group = Group { events: 0..events.len(), around: [Some(root), None, None] };
    Ok(Found { groups: vec![group], ..Found::of(Layout::Batch { levels: &[BATCH] }, events) })
}

fn check_size(event: Node<'_>) -> Result<(), Refusal> {
    if event.span().len() > EVENT_BYTES_MAX { Err(Refusal::TooLarge(Bound::Event)) } else { Ok(()) }
}
