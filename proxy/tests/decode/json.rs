//! Plain JSON, one document or one a line, and formats told apart by the body.

use crate::{SECRET, event_json, post, read, refused, request};
use privet::decode::{DecodeLimits, Layout, Scratch, decode, format_hint};
use privet::formats::{Bound, Refusal};
use privet_policy::format::Format;

#[test]
fn json_takes_an_object_or_an_array_and_marks_what_is_no_object() {
    assert_eq!(post(Format::Json, "/any/path?x", "text/plain", "{}").unwrap().layout, Layout::Single);
    let decoded = post(Format::Json, "/", "application/json", r#"[{"a":1},7,{"b":[{}]}]"#).unwrap();
    let objects: Vec<_> = decoded.events.iter().map(|&event| decoded.is_object(event)).collect();
    assert_eq!((decoded.layout, objects), (Layout::Array, vec![true, false, true]));
    assert_eq!(decoded.event_type(decoded.events[0]), None);
    for scalar in ["5", "\"x\"", "null", "true", " 1"] {
        assert_eq!(refused(Format::Json, "/", scalar).code(), "not_an_object", "{scalar}");
        assert_eq!(refused(Format::Ndjson, "/", scalar).code(), "not_an_object", "{scalar}");
    }
    assert_eq!(refused(Format::Json, "/", "").code(), "empty_body");
    let limits = DecodeLimits { events_max: 2, ..DecodeLimits::default() };
    for (format, body) in [(Format::Json, "[{},{},{}]"), (Format::Ndjson, "{}\n{}\n{}")] {
        let raw = request(&[format], "POST", "/", &[], body);
        assert_eq!(decode(&raw, &limits, &mut Scratch::default()).unwrap_err(), Refusal::TooLarge(Bound::Events));
    }
}

#[test]
fn a_malformed_line_is_dropped_alone() {
    let body = format!("{{\"a\":1}}\r\n\n  \n{{\"e\":\"{SECRET}\",\"e\":1}}\n5\n{{\"b\":2}} x\n{{\"c\":3}}");
    let decoded = post(Format::Ndjson, "/", "application/x-ndjson", body).unwrap();
    assert_eq!(decoded.layout, Layout::Lines);
    assert_eq!(decoded.malformed_lines, [4, 6]);
    assert_eq!(decoded.event_count(), 5);
    let events: Vec<_> = (0..3).map(|event| event_json(&decoded, event).to_string()).collect();
    assert_eq!(events, [r#"{"a":1}"#, "5", r#"{"c":3}"#]);
    assert_eq!(post(Format::Ndjson, "/", "", b"{}\n\xff\xfe\n{}\n".to_vec()).unwrap().malformed_lines, [2]);
    assert_eq!(refused(Format::Ndjson, "/", "\n \r\n").code(), "empty_body");
    assert_eq!(refused(Format::Ndjson, "/", "{\n}\n").code(), "unexpected_end");
    let all: Vec<u8> = "{\"a\":1}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    assert!(matches!(refused(Format::Ndjson, "/", all), Refusal::Malformed { .. }));
}

#[test]
fn formats_without_a_path_are_told_apart_by_the_body() {
    let found = |formats: &[Format], content_type: &str, body: &str| {
        read(&request(formats, "POST", "/collect", &[("content-type", content_type)], body))
            .map(|decoded| decoded.format)
    };
    let event = r#"{"id":"1","source":"/s","type":"t","specversion":"1.0"}"#;
    assert_eq!(found(&[], "text/plain", "{\"a\":1}"), Ok(Format::Json));
    assert_eq!(found(&[], "text/plain", "[{\"a\":1}]"), Ok(Format::Json));
    assert_eq!(found(&[], "application/json", "{\"a\":1}\n{\"a\":2}\n"), Ok(Format::Ndjson));
    assert_eq!(found(&[], "application/json", "\n{\"a\":1}\n{\"a\":"), Ok(Format::Ndjson));
    assert_eq!(found(&[], "application/x-ndjson", "{\"a\":1}"), Ok(Format::Ndjson));
    assert_eq!(found(&[], "application/jsonl", "x\n{\"a\":1}"), Ok(Format::Ndjson));
    assert_eq!(found(&[], "text/plain", event), Ok(Format::CloudEvents));
    assert_eq!(found(&[], "text/plain", &format!("[{event}]")), Ok(Format::CloudEvents));
    assert_eq!(found(&[Format::Json, Format::Ndjson], "text/plain", event), Ok(Format::Json));
    assert_eq!(found(&[Format::Segment, Format::Ndjson], "text/plain", "{}"), Ok(Format::Ndjson));
    assert_eq!(found(&[Format::Segment, Format::CloudEvents], "text/plain", "{}"), Err(Refusal::UnknownFormat));
    assert!(matches!(found(&[], "application/json", "{\"a\":1"), Err(Refusal::Malformed { .. })));
    assert_eq!(format_hint(&request(&[], "POST", "/v1/t", &[], "")), Some(Format::Segment));
    assert_eq!(format_hint(&request(&[], "POST", "/", &[("ce-specversion", "1.0")], "")), Some(Format::CloudEvents));
    assert_eq!(format_hint(&request(&[], "POST", "/", &[], "")), None);
    assert_eq!(format_hint(&request(&[Format::Json], "GET", "/v1/t", &[], "")), Some(Format::Json));
}

#[test]
fn memory_goes_from_request_to_request() {
    let mut scratch = Scratch::default();
    for body in ["[{\"a\":1}]", "{\"a\":1", "{\"b\":2}", "{\"a\":1}\n{\"b\":2}\n"] {
        let raw = request(&[], "POST", "/", &[], body);
        let fresh = read(&raw).map(|decoded| (decoded.format, decoded.event_count()));
        let reused = decode(&raw, &DecodeLimits::default(), &mut scratch).map(|decoded| {
            let seen = (decoded.format, decoded.event_count());
            scratch.reclaim(decoded);
            seen
        });
        assert_eq!(fresh, reused, "{body}");
    }
}

#[test]
fn the_bound_on_values_is_for_one_request_and_refuses_it_whole() {
    let json = privet_json::Limits { nodes_max: 5, ..privet_json::Limits::default() };
    let limits = DecodeLimits { json, ..DecodeLimits::default() };
    let mut scratch = Scratch::default();
    for _ in 0..3 {
        let raw = request(&[Format::Ndjson], "POST", "/", &[], "{\"a\":1}\n{\"b\":2}\n");
        let decoded = decode(&raw, &limits, &mut scratch).unwrap();
        assert_eq!((decoded.events.len(), decoded.malformed_lines.len()), (2, 0));
        scratch.reclaim(decoded);
    }
    for (format, body) in [(Format::Ndjson, "{\"a\":1}\n{\"b\":[2,3]}\n"), (Format::Json, "[1,2,3,4,5]")] {
        let raw = request(&[format], "POST", "/", &[], body);
        assert_eq!(decode(&raw, &limits, &mut scratch).unwrap_err(), Refusal::TooLarge(Bound::Values), "{format}");
    }
}
