//! What the sender is told, in the manner of the collector it believes it talks to.
//!
//! Promise: no answer makes a client loop, exit or lose what it could send again.
//! The measured behaviour of the SDKs decides: Segment's browser SDK reads
//! `Retry-After` only on 429; a 5xx is retried a few times and then given up;
//! other 4xx are dropped at once. An answer names what is wrong and where, and
//! holds no value of the request.
//!
//! Not here: the primary destination's own answer, of which
//! [`pass_response_headers`] lets the few headers through that a sender needs.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, SET_COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use privet_policy::format::Format;
use privet_policy::policy::Response as Listed;
use serde_json::json;

use super::{Refusal, Unready, allow_origin, ga4, otlp, rudderstack, snowplow};
use crate::decode::{coding, path};
use crate::request::Asked;

/// After a defect of ours, how long a sender should wait.
const INTERNAL_RETRY_SECS: u32 = 5;

/// The response headers of a collector that reach the sender.
const PASSED: [HeaderName; 2] = [CONTENT_TYPE, RETRY_AFTER];

/// The normal success of a format, for a request of which nothing was sent on:
/// the sender cannot tell a policy's drop from a delivery.
#[must_use]
pub fn answer_success(format: Format, asked: &Asked<'_>) -> Response<Bytes> {
    let mut answer = success(format, asked);
    allow_origin(asked.headers, answer.headers_mut());
    answer
}

fn success(format: Format, asked: &Asked<'_>) -> Response<Bytes> {
    match format {
        Format::RudderStack => rudderstack::success(asked),
        Format::Snowplow => snowplow::success(asked),
        Format::Ga4 => ga4::success(asked),
        Format::Otlp => otlp::success(asked),
        Format::Segment | Format::CloudEvents | Format::Json | Format::Ndjson => plain_success(format),
    }
}

fn plain_success(format: Format) -> Response<Bytes> {
    let (status, body) = match format {
        // Never 204: some SDKs of this API take it for a failure and send again.
        Format::Segment => (StatusCode::OK, r#"{"success": true}"#),
        // "accepted and processed, but carries no payload": web hooks, 2.2.
        Format::CloudEvents => (StatusCode::NO_CONTENT, ""),
        _ => (StatusCode::OK, r#"{"accepted": true}"#),
    };
    respond(status, "application/json", Bytes::from_static(body.as_bytes()))
}

/// The answer to a refused request. `format` is what is known of it:
/// [`format_hint`](crate::decode::format_hint) where nothing was decoded.
#[must_use]
pub fn answer_refusal(format: Option<Format>, refusal: &Refusal, asked: &Asked<'_>) -> Response<Bytes> {
    let status = status(format, refusal);
    let mut response = match format {
        Some(Format::RudderStack) => rudderstack::error(status, refusal),
        Some(Format::Otlp) => otlp::error(status, refusal, asked),
        format => plain_error(format, status, refusal),
    };
    let headers = response.headers_mut();
    allow_origin(asked.headers, headers);
    match refusal {
        Refusal::Unavailable { retry_after_secs, .. } => {
            headers.insert(RETRY_AFTER, HeaderValue::from((*retry_after_secs).max(1)));
        }
        Refusal::Internal => {
            headers.insert(RETRY_AFTER, HeaderValue::from(INTERNAL_RETRY_SECS));
        }
        Refusal::MethodNotAllowed => {
            let methods = match format {
                Some(Format::CloudEvents) => "POST, PUT, OPTIONS",
                Some(Format::Snowplow) => "GET, HEAD, POST, OPTIONS",
                Some(Format::RudderStack) if rudderstack::is_pixel(path(asked.target)) => "GET, OPTIONS",
                _ => "POST, OPTIONS",
            };
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        Refusal::UnsupportedCoding => {
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(coding::ACCEPTED));
        }
        _ => {}
    }
    response
}

fn plain_error(format: Option<Format>, status: StatusCode, refusal: &Refusal) -> Response<Bytes> {
    let (code, message) = (refusal.code(), refusal.to_string());
    let body = match format {
        Some(Format::Segment) => json!({"success": false, "code": code, "message": message}),
        _ => json!({"error": code, "message": message}),
    };
    respond(status, "application/json", Bytes::from(body.to_string()))
}

/// The status of a refusal.
fn status(format: Option<Format>, refusal: &Refusal) -> StatusCode {
    let segment = format == Some(Format::Segment);
    if let Some(status) = snowplow::status(refusal).filter(|_| format == Some(Format::Snowplow)) {
        return status;
    }
    match refusal {
        // This API has one answer for whatever is wrong with a body.
        Refusal::TooLarge(_) | Refusal::UnsupportedCoding | Refusal::UnsupportedCharset | Refusal::UnsupportedMedia
            if segment =>
        {
            StatusCode::BAD_REQUEST
        }
        Refusal::Malformed { .. } => StatusCode::BAD_REQUEST,
        Refusal::TooLarge(_) => StatusCode::PAYLOAD_TOO_LARGE,
        Refusal::UnsupportedCoding
        | Refusal::UnsupportedCharset
        | Refusal::UnsupportedMedia
        | Refusal::UnknownFormat => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        Refusal::NotAnEventPath => StatusCode::NOT_FOUND,
        Refusal::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
        Refusal::Aggregates => StatusCode::FORBIDDEN,
        // The gateway's clients drop what got a 4xx; not all of them make an exception of 429.
        Refusal::Unavailable { .. } if format == Some(Format::RudderStack) => StatusCode::SERVICE_UNAVAILABLE,
        Refusal::Unavailable { because, .. } if segment || *because == Unready::Overload => {
            StatusCode::TOO_MANY_REQUESTS
        }
        // A defect may lie in the request itself. A 429 does not count as a try
        // with Segment's SDKs, so it would come back for ever; a 503 does count.
        Refusal::Unavailable { .. } | Refusal::Internal => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// The status that the sender is told when its collector answered with another.
///
/// 413 makes Snowplow's trackers send the same again for ever; 422 makes them give up.
#[must_use]
pub fn passed_status(format: Format, status: StatusCode) -> StatusCode {
    match (format, status) {
        (Format::Snowplow, StatusCode::PAYLOAD_TOO_LARGE) => StatusCode::UNPROCESSABLE_ENTITY,
        (_, status) => status,
    }
}

/// A pixel that a browser keeps is an event that never comes.
pub fn forbid_keeping(format: Format, asked: &Asked<'_>, answer: &mut HeaderMap) {
    if format == Format::Snowplow && *asked.method != Method::POST {
        answer.insert(CACHE_CONTROL, snowplow::NEVER_KEPT);
    }
}

/// Copies the headers of a collector's response that a sender may see, and lets
/// the sending page read it. Everything else stays behind unless the destination's
/// policy lists it: a cookie, an entity tag or a redirect could follow a person.
pub fn pass_response_headers(from: &HeaderMap, policy: &Listed, request: &HeaderMap, into: &mut HeaderMap) {
    for name in &PASSED {
        if let Some(value) = from.get(name) {
            into.insert(name, value.clone());
        }
    }
    let listed = |name: &HeaderName| policy.headers.iter().any(|known| known == name.as_str());
    for (name, value) in from.iter().filter(|(name, _)| listed(name) && !PASSED.contains(name)) {
        into.append(name.clone(), value.clone());
    }
    let named = |value: &&HeaderValue| {
        let name = value.to_str().ok().and_then(|value| value.split_once('=')).map(|(name, _)| name.trim());
        name.is_some_and(|name| policy.cookies.iter().any(|known| known == name))
    };
    for value in from.get_all(SET_COOKIE).iter().filter(named) {
        into.append(SET_COOKIE, value.clone());
    }
    allow_origin(request, into);
}

/// A response; one without a body has no media type.
pub(super) fn respond(status: StatusCode, media: &'static str, body: Bytes) -> Response<Bytes> {
    let typed = !body.is_empty();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    if typed {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(media));
    }
    response
}
