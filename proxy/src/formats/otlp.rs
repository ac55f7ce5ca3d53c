//! OpenTelemetry logs over HTTP.

use bytes::Bytes;
use http::{Response, StatusCode};
use privet_json::Index;

use super::Refusal;
use super::answers::respond;
use crate::decode::media::Media;
use crate::decode::{DecodeLimits, Found};
use crate::request::Asked;

/// Finds the events of a body.
pub(crate) fn find(_: &Media<'_>, _: &[u8], _: &mut Index, _: &DecodeLimits) -> Result<Found, Refusal> {
    Err(Refusal::UnknownFormat)
}

/// What the collector says of a request that it took.
pub(super) fn success(_: &Asked<'_>) -> Response<Bytes> {
    respond(StatusCode::OK, "application/json", Bytes::from_static(b"{}"))
}

/// What it says of one that it did not take.
pub(super) fn error(status: StatusCode, refusal: &Refusal, _: &Asked<'_>) -> Response<Bytes> {
    let body = serde_json::json!({"message": refusal.to_string()});
    respond(status, "application/json", Bytes::from(body.to_string()))
}
