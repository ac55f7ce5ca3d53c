//! RudderStack's data plane: one event by its path, an object with `batch`, or a pixel.
//!
//! Promise: the gateway's own paths take events, with its bound on a request, and
//! its clients are answered in its words: `ok`, or one line of text. The content
//! type is not asked: the Node SDK sends gzip as `application/x-www-form-urlencoded`.
//!
//! Refuses: what is no event or not a client's to send: web hooks, whose bodies
//! are some other service's, device-mode transformations, and everything under
//! `/internal`, which can replay and erase.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use privet_json::Index;

use super::answers::respond;
use super::segment::Route;
use super::{Bound, Fault, Refusal, Unready, pixel};
use crate::decode::{DecodeLimits, Found, Layout, path};
use crate::request::Asked;

/// `Gateway.maxReqSizeInKB` as it is shipped.
const REQUEST_BYTES_MAX: usize = 4_000 * 1024;
/// The member of a batch that holds its events.
const BATCH: &str = "batch";

/// Where a page asks for a picture, and says in the query that it was seen.
const PAGE_PIXEL: &str = "/pixel/v1/page";
/// The same for any other event.
const TRACK_PIXEL: &str = "/pixel/v1/track";

/// The gateway's transparent picture, a GIF of 43 bytes.
const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\x80\0\0\0\0\0\0\0\0!\xf9\x04\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// What the gateway says of a body it does not sniff the type of.
const NO_SNIFFING: HeaderName = HeaderName::from_static("x-content-type-options");

/// What a path takes.
pub(crate) fn route(path: &str) -> Result<Route, Refusal> {
    match path {
        "/v1/alias" => Ok(Route::One("alias")),
        "/v1/audiencelist" => Ok(Route::One("audiencelist")),
        "/v1/group" => Ok(Route::One("group")),
        "/v1/identify" => Ok(Route::One("identify")),
        "/v1/merge" => Ok(Route::One("merge")),
        "/v1/page" => Ok(Route::One("page")),
        "/v1/screen" => Ok(Route::One("screen")),
        "/v1/track" => Ok(Route::One("track")),
        PAGE_PIXEL => Ok(Route::One("page")),
        TRACK_PIXEL => Ok(Route::One("track")),
        "/v1/batch" | "/v1/import" | "/beacon/v1/batch" => Ok(Route::Batch),
        _ => Err(Refusal::NotAnEventPath),
    }
}

/// Whether a path is one of the gateway's that take events.
pub(crate) fn is_known(path: &str) -> bool {
    route(path).is_ok()
}

/// Whether a path is a pixel's, whose event is the query.
pub(crate) fn is_pixel(path: &str) -> bool {
    matches!(path, PAGE_PIXEL | TRACK_PIXEL)
}

/// Whether the headers are those of its SDKs.
pub(crate) fn is_announced(headers: &HeaderMap) -> bool {
    headers.contains_key("anonymousid") || headers.keys().any(|name| name.as_str().starts_with("x-rudder-"))
}

/// Finds the events of a request. A batch without events is refused, as the gateway does.
pub(crate) fn find(
    route: Route,
    target: &str,
    body: &[u8],
    index: &mut Index,
    limits: &DecodeLimits,
) -> Result<Found, Refusal> {
    if body.len() > REQUEST_BYTES_MAX {
        return Err(Refusal::TooLarge(Bound::Body));
    }
    match route {
        Route::One(kind) if is_pixel(path(target)) => {
            let (document, event) = pixel::document(target, kind, index, limits)?;
            Ok(Found { document: Some(document), ..Found::of(Layout::Query, vec![event]) })
        }
        Route::One(_) => super::single(body, index, limits),
        Route::Batch => {
            let found = super::batch(&[BATCH], limits.events_max, body, index, limits)?;
            if found.events.is_empty() { Err(Refusal::malformed(Fault::NoBatch, 0)) } else { Ok(found) }
        }
    }
}

/// What the gateway says of a request that it took.
pub(super) fn success(asked: &Asked<'_>) -> Response<Bytes> {
    if *asked.method == Method::GET {
        return respond(StatusCode::OK, "image/gif", Bytes::from_static(PIXEL));
    }
    respond(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok"))
}

/// The gateway's errors are one line of text.
pub(super) fn error(status: StatusCode, refusal: &Refusal) -> Response<Bytes> {
    let line = match words(refusal) {
        Some(words) => format!("{words}\n"),
        None => format!("{refusal}\n"),
    };
    let mut response = respond(status, "text/plain; charset=utf-8", Bytes::from(line));
    response.headers_mut().insert(NO_SNIFFING, HeaderValue::from_static("nosniff"));
    response
}

/// The gateway's own words, where it has any for a refusal.
const fn words(refusal: &Refusal) -> Option<&'static str> {
    match refusal {
        Refusal::Malformed { fault: Fault::Json(_), .. } => Some("invalid json"),
        Refusal::Malformed { fault: Fault::Empty, .. } => Some("request body is nil"),
        Refusal::Malformed { fault: Fault::NoBatch, .. } => Some("empty batch payload"),
        Refusal::Malformed { fault: Fault::NotAnObject, .. } => Some("event is not a valid rudder event"),
        Refusal::Malformed { fault: Fault::Coding, .. } => Some("failed to read body from request"),
        Refusal::TooLarge(_) => Some("request size exceeds max limit"),
        Refusal::Unavailable { because: Unready::Overload, .. } => Some("max requests limit reached"),
        _ => None,
    }
}
