//! Decoding of requests that real clients and specifications wrote, and of the
//! ones that attackers would.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

mod answers;
mod cloudevents;
mod ga4;
mod hostile;
mod json;
mod otlp;
mod rudderstack;
mod segment;
mod snowplow;

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use jiff::Timestamp;
use privet::decode::{DecodeLimits, Decoded, Layout, Scratch, decode};
use privet::formats::Refusal;
use privet::request::{Asked, ListenerFacts, RawRequest};
use privet_policy::format::Format;
use serde_json::Value;

const SEGMENT_CAPTURES: &str = include_str!("../data/segment-captures.ndjson");
const SEGMENT_BATCH: &str = include_str!("../data/segment-batch.ndjson");
const SEGMENT_DOCS: &str = include_str!("../data/segment-docs.ndjson");
const RUDDERSTACK: &str = include_str!("../data/rudderstack-captures.ndjson");
const RUDDERSTACK_SERVERS: &str = include_str!("../data/rudderstack-servers.ndjson");
const RUDDERSTACK_EVENTS: &str = include_str!("../data/rudderstack-events.ndjson");
const GA4: &str = include_str!("../data/ga4.ndjson");
const OTLP: &str = include_str!("../data/otlp.ndjson");
const CLOUDEVENTS: &str = include_str!("../data/cloudevents.ndjson");

const SNOWPLOW: &str = include_str!("../data/snowplow.ndjson");

/// A value that must never come back in an answer.
const SECRET: &str = "marla.quillfeather@example.com";

fn cases(ndjson: &str) -> Vec<Value> {
    ndjson.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn request(
    formats: &[Format],
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl Into<Vec<u8>>,
) -> RawRequest {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    RawRequest {
        method: Method::from_bytes(method.as_bytes()).unwrap(),
        target: target.to_owned(),
        headers: map,
        body: Bytes::from(body.into()),
        peer: "127.0.0.1".parse().unwrap(),
        listener: Arc::new(ListenerFacts {
            name: "test".to_owned(),
            formats: formats.to_vec(),
            jurisdiction: None,
            jurisdiction_header: None,
            trusted_peers: Vec::new(),
        }),
        received_at: Timestamp::UNIX_EPOCH,
    }
}

/// A post with these headers.
fn asked(headers: &HeaderMap) -> Asked<'_> {
    static POST: Method = Method::POST;
    Asked { method: &POST, target: "/", headers }
}

fn from_case(formats: &[Format], case: &Value) -> RawRequest {
    let headers: Vec<_> = case["headers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
        .collect();
    let body = STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
    request(formats, case["method"].as_str().unwrap(), case["target"].as_str().unwrap(), &headers, body)
}

fn read(raw: &RawRequest) -> Result<Decoded, Refusal> {
    decode(raw, &DecodeLimits::default(), &mut Scratch::default())
}

fn post(format: Format, target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Result<Decoded, Refusal> {
    read(&request(&[format], "POST", target, &[("content-type", content_type)], body))
}

fn refused(format: Format, target: &str, body: impl Into<Vec<u8>>) -> Refusal {
    post(format, target, "application/json", body).unwrap_err()
}

fn layout_name(layout: Layout) -> &'static str {
    match layout {
        Layout::Single => "single",
        Layout::Batch { levels } => levels[0],
        Layout::Array => "array",
        Layout::Lines => "lines",
        Layout::BinaryCloudEvent => "binary",
        Layout::Query => "query",
    }
}

fn event_json(decoded: &Decoded, event: usize) -> Value {
    let span = decoded.index.node(&decoded.body, decoded.events[event]).span();
    serde_json::from_slice(&decoded.body[span]).unwrap()
}

/// Checks one case against what another parser found in it.
fn check(formats: &[Format], case: &Value) -> Decoded {
    let (id, expect) = (&case["id"], &case["expect"]);
    let decoded = read(&from_case(formats, case)).unwrap_or_else(|refusal| panic!("{id}: {refusal}"));
    assert_eq!(layout_name(decoded.layout), expect["layout"], "{id}");
    assert_eq!(decoded.event_count() as u64, expect["events"].as_u64().unwrap(), "{id}");
    assert!(decoded.events.iter().all(|&event| decoded.is_object(event)), "{id}");
    if let Some(types) = expect["types"].as_array() {
        let found: Vec<_> = decoded.events.iter().map(|&event| decoded.event_type(event).unwrap()).collect();
        assert_eq!(found, types.iter().map(|written| written.as_str().unwrap()).collect::<Vec<_>>(), "{id}");
    }
    decoded
}

/// A binary event with these headers besides the required ones.
fn binary(headers: &[(&str, &str)], body: &[u8]) -> RawRequest {
    let required = [("ce-id", "1"), ("ce-source", "/s"), ("ce-type", "t"), ("ce-specversion", "1.0")];
    request(&[Format::CloudEvents], "POST", "/", &[&required, headers].concat(), body)
}
