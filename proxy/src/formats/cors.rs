//! What browsers ask before and beside the events: CORS, and the web hook handshake.
//!
//! Promise: a preflight is answered here and never reaches the line, so it is
//! never counted as an event. Any origin may send, with credentials, as the
//! collectors themselves allow: `sendBeacon` always sends them, and the answers
//! hold nothing about a person. GET is allowed for pixels and for the settings
//! that a destination may list; what a path really takes is asked when it comes.

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use privet_policy::format::Format;

use crate::request::RawRequest;

/// Origins are scheme, host and port; a longer one is none.
const ORIGIN_BYTES_MAX: usize = 512;
/// Header names that one preflight may ask for, in bytes of its list.
const ASKED_BYTES_MAX: usize = 1_024;
/// How long a browser may remember a preflight's answer.
const MAX_AGE_SECS: HeaderValue = HeaderValue::from_static("900");
/// Allowed where a preflight names no header, or too many.
const ALLOWED_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-type, content-encoding, x-retry-count, anonymousid, sentat, sp-anonymous",
);

const WEBHOOK_REQUEST_ORIGIN: HeaderName = HeaderName::from_static("webhook-request-origin");
const WEBHOOK_ALLOWED_ORIGIN: HeaderName = HeaderName::from_static("webhook-allowed-origin");
const WEBHOOK_ALLOWED_RATE: HeaderName = HeaderName::from_static("webhook-allowed-rate");

/// Answers a request that only asks whether events may be sent: a CORS preflight,
/// or the validation request of CloudEvents web hooks. `None` for all others.
#[must_use]
pub fn preflight(raw: &RawRequest) -> Option<Response<Bytes>> {
    if raw.method != Method::OPTIONS {
        return None;
    }
    let formats = &raw.listener.formats;
    let cloudevents = formats.is_empty() || formats.contains(&Format::CloudEvents);
    let mut headers = HeaderMap::new();
    let cors = allow_preflight(&raw.headers, cloudevents, &mut headers);
    let webhook = cloudevents && allow_webhook(&raw.headers, &mut headers);
    (cors || webhook).then(|| {
        let mut response = Response::new(Bytes::new());
        *response.status_mut() = if webhook { StatusCode::OK } else { StatusCode::NO_CONTENT };
        *response.headers_mut() = headers;
        response
    })
}

/// Lets the page that sent a request read the answer to it.
pub fn allow_origin(request: &HeaderMap, answer: &mut HeaderMap) {
    answer.append(VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = origin(request) {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        // Without this the browser's SDK cannot see how long to wait.
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("Retry-After"));
    }
}

/// The one origin of a request, if it is a believable one.
fn origin(request: &HeaderMap) -> Option<&HeaderValue> {
    let mut values = request.get_all(ORIGIN).iter();
    let first = values.next().filter(|_| values.next().is_none())?;
    (!first.is_empty() && first.len() <= ORIGIN_BYTES_MAX && first.to_str().is_ok()).then_some(first)
}

fn allow_preflight(request: &HeaderMap, cloudevents: bool, answer: &mut HeaderMap) -> bool {
    if origin(request).is_none() || !request.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return false;
    }
    allow_origin(request, answer);
    answer.append(VARY, HeaderValue::from_static("Access-Control-Request-Headers"));
    let methods = if cloudevents { "GET, POST, PUT, OPTIONS" } else { "GET, POST, OPTIONS" };
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(methods));
    answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked_headers(request).unwrap_or(ALLOWED_HEADERS));
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECS);
    true
}

/// The header names that a preflight asks for: they may be sent, and which of
/// them go on is the policy's matter.
fn asked_headers(request: &HeaderMap) -> Option<HeaderValue> {
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS)?;
    let text = asked.to_str().ok().filter(|text| text.len() <= ASKED_BYTES_MAX)?;
    let named = text.split(',').all(|name| HeaderName::try_from(name.trim()).is_ok());
    named.then(|| asked.clone())
}

fn allow_webhook(request: &HeaderMap, answer: &mut HeaderMap) -> bool {
    let Some(origin) = request.get(WEBHOOK_REQUEST_ORIGIN).filter(|origin| origin.len() <= ORIGIN_BYTES_MAX) else {
        return false;
    };
    answer.insert(WEBHOOK_ALLOWED_ORIGIN, origin.clone());
    answer.insert(WEBHOOK_ALLOWED_RATE, HeaderValue::from_static("*"));
    answer.insert(ALLOW, HeaderValue::from_static("POST, PUT, OPTIONS"));
    true
}
