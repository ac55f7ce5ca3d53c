//! Snowplow's tracker protocol.

use bytes::Bytes;
use http::{Response, StatusCode};
use privet_json::Index;

use super::Refusal;
use super::answers::respond;
use crate::decode::{DecodeLimits, Found};
use crate::request::{Asked, RawRequest};

/// Finds the events of a request.
pub(crate) fn find(_: &RawRequest, _: &[u8], _: &mut Index, _: &DecodeLimits) -> Result<Found, Refusal> {
    Err(Refusal::UnknownFormat)
}

/// What the collector says of a request that it took.
pub(super) fn success(_: &Asked<'_>) -> Response<Bytes> {
    respond(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok"))
}
