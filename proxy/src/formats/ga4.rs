//! Google Analytics 4, Measurement Protocol: an object with `events`, everything
//! else in it shared by all of them.
//!
//! Promise: the collecting and the validating path take events, within the
//! protocol's bounds. A request that can be read is answered as Google answers:
//! 204, or no complaints where it was to be validated.
//!
//! Refuses: the browser's `/g/collect`, which is another protocol: events in a
//! query and in lines of parameters, which nothing here reads. And what cannot be
//! read, with 400: Google would say 204 and lose it in silence.

use bytes::Bytes;
use http::{Response, StatusCode};
use privet_json::Index;

use super::answers::respond;
use super::{Bound, Refusal};
use crate::decode::{DecodeLimits, Found, path};
use crate::request::Asked;

/// "The total size of the request must be smaller than 130 kB".
const REQUEST_BYTES_MAX: usize = 130_000;
/// "Requests can have a maximum of 25 events".
const EVENTS_MAX: usize = 25;
/// The member that holds the events.
const EVENTS: &str = "events";

const COLLECT: &str = "/mp/collect";
const VALIDATE: &str = "/debug/mp/collect";

/// Whether a path takes events.
pub(crate) fn is_known(path: &str) -> bool {
    matches!(path, COLLECT | VALIDATE)
}

/// Finds the events of a body.
pub(crate) fn find(target: &str, body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    if !is_known(path(target)) {
        return Err(Refusal::NotAnEventPath);
    }
    if body.len() >= REQUEST_BYTES_MAX {
        return Err(Refusal::TooLarge(Bound::Body));
    }
    super::batch(&[EVENTS], EVENTS_MAX, body, index, limits)
}

/// What Google says of a request that it took.
pub(super) fn success(asked: &Asked<'_>) -> Response<Bytes> {
    if path(asked.target) == VALIDATE {
        respond(StatusCode::OK, "application/json; charset=utf-8", Bytes::from_static(b"{\"validationMessages\":[]}"))
    } else {
        respond(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
    }
}
