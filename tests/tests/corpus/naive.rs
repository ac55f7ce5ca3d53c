//! A second reader of every format, as plain as can be: how many events a request holds, or why it has to be refused.
//!
//! Promise: nothing here is shared with privet's own readers but the names of refusals. Bodies are read with `serde_json`
//! and flate2, protobuf by three nested loops.

use std::io::Read as _;

use privet::formats::{Fault, Refusal};
use privet_policy::format::Format;
use serde_json::Value;

/// What has to become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// It is taken with 2xx. Of the events that it holds, the unfit are no events of the format and drop alone.
    Events { held: usize, unfit: usize },
    /// It asks whether events may be sent, and is answered with 204 without the line.
    Preflight,
    /// It is refused.
    Refused(Why),
}

/// Why a request has to be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The body is no JSON, and its media type or its format says that it is: 400.
    NotJson,
    /// The body is an event in an encoding that privet does not read: 415.
    OtherEncoding,
    /// The document lacks an attribute that every CloudEvent has: 400.
    NotACloudEvent,
    /// Settings and the like, which no destination lists: only a POST could hold events: 405.
    NotByPost,
    /// Metrics are aggregates: they leave through an export or not at all: 403, which no client sends again.
    Aggregates,
    /// Spans are no events: 404.
    NotAnEventPath,
}

impl Expected {
    /// Events of which each is one of the format.
    const fn events(held: usize) -> Self {
        Self::Events { held, unfit: 0 }
    }
}

impl Why {
    /// Whether a refusal is for this reason.
    pub fn is(self, refusal: &Refusal) -> bool {
        match self {
            Self::NotJson => matches!(refusal, Refusal::Malformed { fault: Fault::Json(_), .. }),
            Self::OtherEncoding => *refusal == Refusal::UnsupportedMedia,
            Self::NotACloudEvent => matches!(
                refusal,
                Refusal::Malformed { fault: Fault::MissingAttribute | Fault::SpecVersion | Fault::NotAnObject, .. }
            ),
            Self::NotByPost => *refusal == Refusal::MethodNotAllowed,
            Self::Aggregates => *refusal == Refusal::Aggregates,
            Self::NotAnEventPath => *refusal == Refusal::NotAnEventPath,
        }
    }

    /// The status that goes with it.
    pub const fn status(self) -> u16 {
        match self {
            Self::NotJson | Self::NotACloudEvent => 400,
            Self::Aggregates => 403,
            Self::NotAnEventPath => 404,
            Self::NotByPost => 405,
            Self::OtherEncoding => 415,
        }
    }
}

/// The first value of a header.
pub fn header<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers.iter().find(|(written, _)| written.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// What has to become of a request of a format.
pub fn expected(format: Format, method: &str, target: &str, headers: &[(String, String)], body: &[u8]) -> Expected {
    let pixel = format == Format::Snowplow && target.starts_with("/i?");
    match method {
        "OPTIONS" => Expected::Preflight,
        "GET" if pixel => Expected::Events { held: 1, unfit: usize::from(!has_kind(target)) },
        "GET" => Expected::Refused(Why::NotByPost),
        _ if format == Format::CloudEvents => cloud_event(headers, body),
        _ if format == Format::Otlp => telemetry(target, headers, body),
        _ if format == Format::Ndjson => Expected::events(body.split(|byte| *byte == b'\n').count()),
        _ => tracked(format, target, &decoded(headers, body)),
    }
}

/// Whether a pixel says of which kind its event is.
fn has_kind(target: &str) -> bool {
    target.split(['?', '&']).any(|parameter| parameter.starts_with("e="))
}

/// Segment, RudderStack, Snowplow, GA4 and plain JSON: one event, or a list in a member of the format's.
fn tracked(format: Format, target: &str, body: &[u8]) -> Expected {
    let Ok(body) = serde_json::from_slice::<Value>(body) else { return Expected::Refused(Why::NotJson) };
    let held = match format {
        Format::Segment | Format::RudderStack if target.contains("batch") || target == "/v1/b" => &body["batch"],
        Format::Snowplow => &body["data"],
        Format::Ga4 => &body["events"],
        _ => return Expected::events(1),
    };
    let held = held.as_array().unwrap();
    let required: &[&str] = if format == Format::Snowplow { &["e", "tv", "p"] } else { &[] };
    let unfit = held.iter().filter(|event| required.iter().any(|name| event[name].is_null()));
    Expected::Events { held: held.len(), unfit: unfit.count() }
}

fn cloud_event(headers: &[(String, String)], body: &[u8]) -> Expected {
    let media = header(headers, "content-type").unwrap_or_default().to_ascii_lowercase();
    let document = serde_json::from_slice::<Value>(body);
    if media.starts_with("application/cloudevents+xml") {
        return Expected::Refused(Why::OtherEncoding);
    }
    let structured = media.starts_with("application/cloudevents");
    if !structured && header(headers, "ce-id").is_some() {
        let json = media.contains("json");
        return if json && document.is_err() { Expected::Refused(Why::NotJson) } else { Expected::events(1) };
    }
    match document {
        Err(_) => Expected::Refused(Why::NotJson),
        Ok(Value::Array(events)) if events.iter().any(has_attributes) => {
            Expected::Events { held: events.len(), unfit: events.iter().filter(|event| !has_attributes(event)).count() }
        }
        Ok(event) if has_attributes(&event) => Expected::events(1),
        Ok(_) => Expected::Refused(Why::NotACloudEvent),
    }
}

fn has_attributes(event: &Value) -> bool {
    ["id", "source", "type", "specversion"].iter().all(|name| event[name].as_str().is_some_and(|text| !text.is_empty()))
}

fn telemetry(target: &str, headers: &[(String, String)], body: &[u8]) -> Expected {
    match target {
        "/v1/metrics" => return Expected::Refused(Why::Aggregates),
        "/v1/logs" => {}
        _ => return Expected::Refused(Why::NotAnEventPath),
    }
    let body = decoded(headers, body);
    if header(headers, "content-type") == Some("application/x-protobuf") {
        let scopes = held(&body, 1).into_iter().flat_map(|resource| held(resource, 2));
        return Expected::events(scopes.map(|scope| held(scope, 2).len()).sum());
    }
    let body: Value = serde_json::from_slice(&body).unwrap();
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let scopes = list(&body["resourceLogs"]).into_iter().flat_map(|resource| list(&resource["scopeLogs"]));
    Expected::events(scopes.map(|scope| list(&scope["logRecords"]).len()).sum())
}

/// The body without its content coding.
pub fn decoded(headers: &[(String, String)], body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    match header(headers, "content-encoding") {
        Some("gzip") => flate2::read::GzDecoder::new(body).read_to_end(&mut plain),
        Some("deflate") => flate2::read::ZlibDecoder::new(body).read_to_end(&mut plain),
        _ => body.to_vec().as_slice().read_to_end(&mut plain),
    }
    .unwrap();
    plain
}

/// The values of a length-delimited field of a protobuf message.
fn held(mut message: &[u8], field: u64) -> Vec<&[u8]> {
    let mut found = Vec::new();
    while !message.is_empty() {
        let tag = varint(&mut message);
        let bytes = match tag & 7 {
            0 => {
                varint(&mut message);
                0
            }
            1 => 8,
            2 => usize::try_from(varint(&mut message)).unwrap(),
            5 => 4,
            other => panic!("wire type {other}"),
        };
        let (value, rest) = message.split_at(bytes);
        message = rest;
        if tag >> 3 == field && tag & 7 == 2 {
            found.push(value);
        }
    }
    found
}

fn varint(message: &mut &[u8]) -> u64 {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first().unwrap();
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    value
}

/// Takes the chunk framing off a body.
pub fn dechunked(mut framed: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let end = framed.windows(2).position(|pair| pair == b"\r\n").unwrap();
        let (size, rest) = framed.split_at(end);
        let size = usize::from_str_radix(std::str::from_utf8(size).unwrap(), 16).unwrap();
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[2..2 + size]);
        framed = &rest[2 + size + 2..];
    }
}
