//! OpenTelemetry logs over HTTP, as JSON and as protobuf.
//!
//! Promise: a protobuf request becomes the JSON document that says the same, so
//! that one reader and one rewriter serve both, and [`to_protobuf`] turns the
//! rewritten document back. What no message of the protocol declares stays
//! behind. An answer is written as its request was.
//!
//! Source: OTLP 1.9, sections "OTLP/HTTP" and "JSON Protobuf Encoding".
//!
//! Refuses: `/v1/metrics`, which carries aggregates, and every other path but
//! `/v1/logs`. Spans are no events: `/v1/traces` takes none. Not read as what
//! they resemble: members in snake case, which are unknown in this encoding and
//! so stay behind.

mod message;
mod protobuf;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use privet_json::{Index, Kind, Node};
use privet_policy::batch::Levels;
use serde_json::json;

pub(crate) use message::{as_hex, fits, shaped};
pub(crate) use protobuf::to_protobuf;

use super::answers::respond;
use super::{Bound, Fault, Refusal};
use crate::decode::media::Media;
use crate::decode::{DecodeLimits, Found, Group, Layout};
use crate::request::Asked;

/// The one path that takes events.
const LOGS: &str = "/v1/logs";
/// The members that lead to log records.
pub(crate) const LEVELS: Levels = &["resourceLogs", "scopeLogs", "logRecords"];
const JSON: &str = "application/json";
const PROTOBUF: &str = "application/x-protobuf";
/// The registered type, which some clients send.
const PROTOBUF_REGISTERED: &str = "application/protobuf";

/// Whether a path is one of this protocol's.
pub(crate) fn is_known(path: &str) -> bool {
    matches!(path, LOGS | "/v1/metrics" | "/v1/traces")
}

/// Whether a path takes events.
pub(crate) fn check_path(path: &str) -> Result<(), Refusal> {
    match path {
        LOGS => Ok(()),
        "/v1/metrics" => Err(Refusal::Aggregates),
        _ => Err(Refusal::NotAnEventPath),
    }
}

/// The media type of a request's body, and so of its answer. What is not
/// announced as protobuf is JSON, or nothing that is read here.
pub(crate) fn media(headers: &HeaderMap) -> &'static str {
    Media::of(headers).map_or(JSON, |media| written_as(&media))
}

fn written_as(media: &Media<'_>) -> &'static str {
    match media.essence() {
        PROTOBUF => PROTOBUF,
        PROTOBUF_REGISTERED => PROTOBUF_REGISTERED,
        _ => JSON,
    }
}

/// Whether a body is protobuf.
pub(crate) fn is_protobuf(headers: &HeaderMap) -> bool {
    media(headers) != JSON
}

/// Finds the log records of a body.
pub(crate) fn find(media: &Media<'_>, body: &[u8], index: &mut Index, limits: &DecodeLimits) -> Result<Found, Refusal> {
    if written_as(media) == JSON {
        let root = crate::decode::read(index, body, limits)?;
        return find_records(index.node(body, root), limits);
    }
    let document = Bytes::from(protobuf::to_json(body, limits)?);
    let root = crate::decode::read(index, &document, limits).map_err(without_place)?;
    let found = find_records(index.node(&document, root), limits)?;
    Ok(Found { document: Some(document), ..found })
}

/// A place in the made document is none in what was sent.
fn without_place(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Malformed { fault, .. } => Refusal::malformed(fault, 0),
        other => other,
    }
}

fn find_records(root: Node<'_>, limits: &DecodeLimits) -> Result<Found, Refusal> {
    let [resource_logs, scope_logs, log_records] = LEVELS else { return Err(Refusal::Internal) };
    let mut found = Found::of(Layout::Batch { levels: LEVELS }, Vec::new());
    for resource in listed(root, resource_logs)? {
        for scope in listed(resource, scope_logs)? {
            let begun = found.events.len();
            for record in listed(scope, log_records)? {
                if found.events.len() == limits.events_max {
                    return Err(Refusal::TooLarge(Bound::Events));
                }
                found.events.push(record.id());
            }
            if found.events.len() > begun {
                let around = [Some(root.id()), Some(resource.id()), Some(scope.id())];
                found.groups.push(Group { events: begun..found.events.len(), around });
            }
        }
    }
    Ok(found)
}

/// The elements of an object's member; none where it is absent or null, which is
/// how this encoding writes an empty list.
fn listed<'a>(holder: Node<'a>, member: &str) -> Result<impl Iterator<Item = Node<'a>>, Refusal> {
    if holder.kind() != Kind::Object {
        return Err(Refusal::malformed(Fault::NotAnObject, holder.span().start));
    }
    let list = holder.get(member).filter(|list| list.kind() != Kind::Null);
    if let Some(other) = list.filter(|list| list.kind() != Kind::Array) {
        return Err(Refusal::malformed(Fault::NoBatch, other.span().start));
    }
    Ok(list.into_iter().flat_map(|list| list.elements()))
}

/// Full success: `partial_success` would tell the client that some were rejected.
pub(super) fn success(asked: &Asked<'_>) -> Response<Bytes> {
    let media = media(asked.headers);
    let body = if media == JSON { &b"{}"[..] } else { b"" };
    let mut response = respond(StatusCode::OK, media, Bytes::from_static(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    response
}

/// A `google.rpc.Status`, written as the request was.
pub(super) fn error(status: StatusCode, refusal: &Refusal, asked: &Asked<'_>) -> Response<Bytes> {
    let (code, message) = (grpc_code(status), format!("{refusal} ({})", refusal.code()));
    let media = media(asked.headers);
    let body = match media {
        JSON => Bytes::from(json!({"code": code, "message": message}).to_string()),
        _ => Bytes::from(protobuf::status(code, &message)),
    };
    respond(status, media, body)
}

/// The code of gRPC that means what a status does.
fn grpc_code(status: StatusCode) -> u8 {
    match status {
        StatusCode::FORBIDDEN => 7,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::PAYLOAD_TOO_LARGE => 8,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => 12,
        StatusCode::SERVICE_UNAVAILABLE => 14,
        _ => 3,
    }
}
