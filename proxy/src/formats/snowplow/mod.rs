//! Snowplow's tracker protocol: payloads by POST, pixels by GET, self-describing JSON in both.
//!
//! Promise: what a tracker may write in two ways is one document here. The query of
//! a pixel is an event like one of a payload, and the self-describing JSON of an
//! event stands in it as the object it is, under `ue_pr` and `co`, whether it was
//! sent as text or as base64: see [`opened`]. What leaves is written as it came.
//!
//! Source: the tracker protocol with its schema `payload_data`, and the routes of
//! stream-collector 3. An element that the schema refuses is an unfit event, dropped
//! alone; the collector takes it and loses it later.
//!
//! Refuses: redirects (`/r/`), whose target a sender chooses; more than 2 MiB, which
//! the collector drops; a payload with members of its own. What trackers take for a
//! reason to send again and again is never answered.

pub mod opened;

use bytes::Bytes;
use http::header::CACHE_CONTROL;
use http::{HeaderValue, Method, Response, StatusCode};
use privet_json::{Index, Kind, Node, NodeId};

use super::answers::respond;
use super::{Bound, Fault, Refusal};
use crate::decode::{DecodeLimits, Found, Group, Layout, query};
use crate::request::{Asked, RawRequest};
use opened::Opener;

/// Where trackers post to unless they are told otherwise.
pub(crate) const PAYLOAD_PATH: &str = "/com.snowplowanalytics.snowplow/tp2";
/// Where they fetch a pixel from.
pub(crate) const PIXEL_PATHS: [&str; 2] = ["/i", "/ice.png"];

/// Bytes of a payload that the collector still takes.
const PAYLOAD_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The schema of a payload, up to its model; revision and addition follow.
const PAYLOAD_SCHEMA: &str = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-";
/// The member of a payload that holds its events.
const DATA: &str = "data";
const SCHEMA: &str = "schema";

/// What `payload_data` requires of an event.
const REQUIRED: [&str; 3] = ["e", "tv", "p"];

/// The transparent pixel, a GIF of 43 bytes, as the collector has it.
const PIXEL: &[u8] =
    b"GIF89a\x01\0\x01\0\xf0\0\0\xff\xff\xff\0\0\0!\xf9\x04\x05\0\0\0\0,\0\0\0\0\x01\0\x01\0\0\x02\x02D\x01\0;";

/// What the collector says to browsers about it.
pub(super) const NEVER_KEPT: HeaderValue = HeaderValue::from_static("no-cache, no-store, must-revalidate");

/// What a path and a method take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    /// A body with events.
    Payload,
    /// One event in the query, answered with a picture.
    Pixel,
}

fn route(method: &Method, target: &str) -> Result<Route, Refusal> {
    let path = crate::decode::path(target);
    let pixel = PIXEL_PATHS.contains(&path);
    if !pixel && !is_custom(path) {
        return Err(Refusal::NotAnEventPath);
    }
    match *method {
        Method::GET | Method::HEAD => Ok(Route::Pixel),
        Method::POST if !pixel => Ok(Route::Payload),
        _ => Err(Refusal::MethodNotAllowed),
    }
}

/// Whether a path is of two segments, vendor and version, and no redirect.
fn is_custom(path: &str) -> bool {
    let mut segments = path.strip_prefix('/').unwrap_or_default().split('/');
    let name = |segment: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
        segment.bytes().any(|byte| byte.is_ascii_alphanumeric()) && segment.bytes().all(plain)
    };
    match (segments.next(), segments.next(), segments.next()) {
        (Some("r"), ..) => false,
        (Some(vendor), Some(version), None) => name(vendor) && name(version),
        _ => false,
    }
}

/// Whether method and target alone say that this is a tracker's request.
pub(crate) fn is_announced(asked: &Asked<'_>) -> bool {
    match route(asked.method, asked.target) {
        Ok(Route::Payload) => crate::decode::path(asked.target) == PAYLOAD_PATH,
        Ok(Route::Pixel) => {
            let names = || query::of(asked.target).split('&').filter_map(|pair| pair.split('=').next());
            REQUIRED.into_iter().all(|wanted| names().any(|name| name == wanted))
        }
        Err(_) => false,
    }
}

/// Whether method and target do not exclude that this is a tracker's request.
pub(crate) fn is_possible(asked: &Asked<'_>) -> bool {
    route(asked.method, asked.target).is_ok()
}

/// Whether a document is a payload.
pub(crate) fn is_payload(document: Node<'_>) -> bool {
    let schema = document.get(SCHEMA).and_then(|schema| schema.text());
    schema.is_some_and(|schema| schema.strip_prefix(PAYLOAD_SCHEMA).is_some_and(is_revision))
}

/// `0-4`: what may follow the model, and nothing that could say more.
fn is_revision(text: &str) -> bool {
    let number = |text: &str| (1..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once('-').is_some_and(|(revision, addition)| number(revision) && number(addition))
}

/// Finds the events of a request.
pub(crate) fn find(raw: &RawRequest, body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    match route(&raw.method, &raw.target)? {
        Route::Payload => find_payload(body, index, limits),
        Route::Pixel => find_pixel(&raw.target, index, limits),
    }
}

fn find_payload(body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    if body.len() > PAYLOAD_BYTES_MAX {
        return Err(Refusal::TooLarge(Bound::Body));
    }
    let root = crate::decode::read(index, body, limits)?;
    let payload = index.node(body, root);
    let events = events_of(payload)?;
    super::check_elements(events)?;
    let mut opener = Opener::new(body, &limits.json);
    for event in events.elements() {
        opener.take(event, &REQUIRED);
    }
    let opened = opener.finish();
    let root = match &opened.document {
        Some(document) => crate::decode::read(index, document, limits)?,
        None => root,
    };
    let text = opened.document.as_deref().unwrap_or(body);
    let events: Vec<NodeId> = events_of(index.node(text, root))?.elements().map(|event| event.id()).collect();
    let group = Group { events: 0..events.len(), around: [Some(root), None, None] };
    Ok(Found {
        groups: vec![group],
        unfit: opened.unfit,
        seals: opened.seals,
        document: opened.document,
        ..Found::of(Layout::Batch { levels: &[DATA] }, events)
    })
}

/// The events of a payload, which says nothing else.
fn events_of(payload: Node<'_>) -> Result<Node<'_>, Refusal> {
    let at = payload.span().start;
    if payload.kind() != Kind::Object {
        return Err(Refusal::malformed(Fault::NotAnObject, at));
    }
    let known = |(name, _): (privet_json::Key<'_>, _)| name.is(SCHEMA) || name.is(DATA);
    if !is_payload(payload) || !payload.members().all(known) {
        return Err(Refusal::malformed(Fault::Payload, at));
    }
    let events = payload.get(DATA).filter(|events| events.kind() == Kind::Array);
    events.ok_or(Refusal::malformed(Fault::NoBatch, at))
}

/// The one event of a query. The collector asks nothing of it, and what it makes of
/// an event without a kind is not known here.
fn find_pixel(target: &str, index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    let (query, root) = query::document(target, index, limits)?;
    let mut opener = Opener::new(&query, &limits.json);
    opener.take(index.node(&query, root), &["e"]);
    let opened = opener.finish();
    let (document, root) = match opened.document {
        Some(document) => {
            let root = crate::decode::read(index, &document, limits)?;
            (document, root)
        }
        None => (query.clone(), root),
    };
    Ok(Found {
        unfit: opened.unfit,
        seals: opened.seals,
        document: Some(document),
        ..Found::of(Layout::Query, vec![root])
    })
}

/// The path that leaves where the destination does not list the sender's: the usual
/// one that takes the same. The collector is configured to read a path of the
/// sender's own as one of these, and whatever stands in it the sender chose.
pub(crate) fn usual_path(path: &str, layout: Layout) -> &str {
    match layout {
        Layout::Query if PIXEL_PATHS.contains(&path) || path == PAYLOAD_PATH => path,
        Layout::Query => PIXEL_PATHS[0],
        _ => PAYLOAD_PATH,
    }
}

/// What the collector says of a request that it took.
pub(super) fn success(asked: &Asked<'_>) -> Response<Bytes> {
    if *asked.method != Method::GET && *asked.method != Method::HEAD {
        return respond(StatusCode::OK, "text/plain; charset=utf-8", Bytes::from_static(b"ok"));
    }
    let mut answer = respond(StatusCode::OK, "image/gif", Bytes::from_static(PIXEL));
    answer.headers_mut().insert(CACHE_CONTROL, NEVER_KEPT);
    if *asked.method == Method::HEAD {
        *answer.body_mut() = Bytes::new();
    }
    answer
}

/// The status of a refusal that trackers do not take for a reason to send the same
/// again: all of them do on 404, 405, 413 and 415, and give up on 400 and 422.
pub(super) const fn status(refusal: &Refusal) -> Option<StatusCode> {
    match refusal {
        Refusal::TooLarge(_) => Some(StatusCode::UNPROCESSABLE_ENTITY),
        Refusal::UnsupportedCoding
        | Refusal::UnsupportedCharset
        | Refusal::UnsupportedMedia
        | Refusal::UnknownFormat => Some(StatusCode::BAD_REQUEST),
        Refusal::NotAnEventPath | Refusal::MethodNotAllowed => Some(StatusCode::UNPROCESSABLE_ENTITY),
        _ => None,
    }
}
