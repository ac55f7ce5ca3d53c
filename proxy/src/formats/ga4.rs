//! Google Analytics 4, Measurement Protocol.

use bytes::Bytes;
use http::{Response, StatusCode};
use privet_json::Index;

use super::Refusal;
use super::answers::respond;
use crate::decode::{DecodeLimits, Found};
use crate::request::Asked;

/// Finds the events of a body.
pub(crate) fn find(_: &[u8], _: &mut Index, _: &DecodeLimits) -> Result<Found, Refusal> {
    Err(Refusal::UnknownFormat)
}

/// What the collector says of a request that it took.
pub(super) fn success(_: &Asked<'_>) -> Response<Bytes> {
    respond(StatusCode::NO_CONTENT, "text/plain", Bytes::new())
}
