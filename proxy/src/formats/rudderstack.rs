//! RudderStack's data plane.

use bytes::Bytes;
use http::{Response, StatusCode};
use privet_json::Index;

use super::Refusal;
use super::answers::respond;
use super::segment::{self, Route};
use crate::decode::{DecodeLimits, Found};
use crate::request::Asked;

/// What a path takes.
pub(crate) fn route(path: &str) -> Result<Route, Refusal> {
    segment::route(path)
}

/// Finds the events of a body.
pub(crate) fn find(route: Route, body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    segment::find(route, body, index, limits)
}

/// What the gateway says of a request that it took.
pub(super) fn success(_: &Asked<'_>) -> Response<Bytes> {
    respond(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok"))
}

/// The gateway's errors are one line of text.
pub(super) fn error(status: StatusCode, refusal: &Refusal) -> Response<Bytes> {
    respond(status, "text/plain; charset=utf-8", Bytes::from(format!("{refusal}\n")))
}
