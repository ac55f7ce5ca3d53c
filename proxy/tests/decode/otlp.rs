//! OpenTelemetry logs: every captured and published request, its structure, its bounds and its answers.

use std::io::Read as _;

use crate::{OTLP, SECRET, asked, cases, check, from_case, post, read, refused, request};
use http::{HeaderMap, HeaderValue, header};
use privet::decode::{DecodeLimits, Scratch, decode};
use privet::formats::{Bound, Fault, Refusal, Unready, answer_refusal, answer_success};
use privet_policy::format::Format;
use serde_json::{Value, json};

const PROTOBUF: &str = "application/x-protobuf";

fn logs(body: impl Into<Vec<u8>>) -> Result<privet::decode::Decoded, Refusal> {
    post(Format::Otlp, "/v1/logs", "application/json", body)
}

/// Undoes deflate: which codings are taken is tested where they are.
fn inflated(case: &Value) -> Value {
    let mut case = case.clone();
    let deflate = json!(["Content-Encoding", "deflate"]);
    let headers = case["headers"].as_array_mut().unwrap();
    if let Some(place) = headers.iter().position(|header| *header == deflate) {
        headers.remove(place);
        let raw = from_case(&[], &case);
        let mut plain = Vec::new();
        flate2::read::ZlibDecoder::new(&raw.body[..]).read_to_end(&mut plain).unwrap();
        use base64::Engine as _;
        case["body_b64"] = json!(base64::engine::general_purpose::STANDARD.encode(plain));
    }
    case
}

#[test]
fn every_captured_and_published_request_decodes_by_listener_and_by_detection() {
    let mut records = 0;
    for case in cases(OTLP) {
        for formats in [&[Format::Otlp][..], &[Format::Segment, Format::Otlp, Format::Json], &[]] {
            let decoded = check(formats, &inflated(&case));
            assert_eq!(decoded.format, Format::Otlp);
            assert!(decoded.groups.iter().all(|group| group.around.iter().all(Option::is_some)));
            records += decoded.events.len();
        }
    }
    assert_eq!(records, 3 * (4 * 4 + 3 * 2 + 2));
}

#[test]
fn only_logs_are_events() {
    for formats in [&[Format::Otlp][..], &[]] {
        let to = |path: &str| read(&request(formats, "POST", path, &[("content-type", "application/json")], "{}"));
        assert!(to("/v1/logs").is_ok());
        assert_eq!(to("/v1/metrics").unwrap_err(), Refusal::Aggregates);
        assert_eq!(to("/v1/traces").unwrap_err(), Refusal::NotAnEventPath);
    }
    for path in ["/", "/v1/logs/", "/v1/LOGS", "/otlp/v1/logs", "/v1/track"] {
        assert_eq!(refused(Format::Otlp, path, "{}"), Refusal::NotAnEventPath, "{path}");
    }
    let get = request(&[Format::Otlp], "GET", "/v1/logs", &[], "");
    assert_eq!(read(&get).unwrap_err(), Refusal::MethodNotAllowed);
}

#[test]
fn records_stand_in_their_groups_and_empty_lists_are_no_fault() {
    let decoded = logs(
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]},{"logRecords":[]},{"scope":{"name":"s"},"logRecords":[{}]}]},
            {"scopeLogs":null},{},{"scopeLogs":[{"logRecords":[{},7]}]}]}"#,
    )
    .unwrap();
    assert_eq!(decoded.groups.iter().map(|group| group.events.clone()).collect::<Vec<_>>(), [0..2, 2..3, 3..5]);
    assert_eq!(decoded.groups[0].around[..2], decoded.groups[1].around[..2]);
    assert_ne!(decoded.groups[1].around[1], decoded.groups[2].around[1]);
    assert_eq!(decoded.events.iter().filter(|event| decoded.is_object(**event)).count(), 4);
    for none in ["{}", r#"{"resourceLogs":[]}"#, r#"{"resourceLogs":null}"#, r#"{"resourceSpans":[{}]}"#] {
        assert_eq!(logs(none).unwrap().event_count(), 0, "{none}");
    }
    assert_eq!(post(Format::Otlp, "/v1/logs", PROTOBUF, "").unwrap().event_count(), 0);
}

#[test]
fn names_in_snake_case_are_not_those_of_this_encoding() {
    let decoded = logs(r#"{"resource_logs":[{"scope_logs":[{"log_records":[{}]}]}]}"#).unwrap();
    assert_eq!(decoded.event_count(), 0);
}

#[test]
fn a_body_of_another_structure_is_refused() {
    for (body, fault) in [
        ("[]", Fault::NotAnObject),
        ("7", Fault::NotAnObject),
        (r#"{"resourceLogs":{}}"#, Fault::NoBatch),
        (r#"{"resourceLogs":[7]}"#, Fault::NotAnObject),
        (r#"{"resourceLogs":[{"scopeLogs":"x"}]}"#, Fault::NoBatch),
        (r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":{"a":1}}]}]}"#, Fault::NoBatch),
    ] {
        let refusal = logs(body).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed { fault: found, .. } if found == fault), "{body} {refusal:?}");
    }
    for twice in [
        r#"{"resourceLogs":[],"resourceLogs":[]}"#,
        r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{},"body":{}}]}]}]}"#,
    ] {
        assert!(matches!(logs(twice).unwrap_err(), Refusal::Malformed { fault: Fault::Json(_), .. }), "{twice}");
    }
    assert!(matches!(logs("").unwrap_err(), Refusal::Malformed { fault: Fault::Empty, .. }));
    let json = post(Format::Otlp, "/v1/logs", PROTOBUF, r#"{"resourceLogs":[]}"#).unwrap_err();
    assert!(matches!(json, Refusal::Malformed { fault: Fault::Protobuf, .. }));
    assert!(logs(&b"\x0a\x00"[..]).is_err(), "protobuf that says it is JSON");
}

#[test]
fn the_bound_on_events_holds_over_all_groups() {
    let body = r#"{"resourceLogs":[{"scopeLogs":[{"logRecords":[{},{}]},{"logRecords":[{},{}]}]}]}"#;
    let raw = request(&[Format::Otlp], "POST", "/v1/logs", &[], body);
    let with = |events_max| {
        let limits = DecodeLimits { events_max, ..DecodeLimits::default() };
        decode(&raw, &limits, &mut Scratch::default())
    };
    assert!(with(4).is_ok());
    assert_eq!(with(3).unwrap_err(), Refusal::TooLarge(Bound::Events));
}

#[test]
fn an_event_is_named_by_its_member_else_by_its_attribute() {
    let named = |record: &str| {
        let decoded = logs(format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{record}]}}]}}]}}"#)).unwrap();
        decoded.event_type(decoded.events[0]).map(|name| name.into_owned())
    };
    let attribute = r#"{"key":"event.name","value":{"stringValue":"b"}}"#;
    let other = r#"{"key":"event.name","value":{"stringValue":"c"}}"#;
    assert_eq!(named(r#"{"eventName":"a"}"#).as_deref(), Some("a"));
    assert_eq!(named(&format!(r#"{{"eventName":"a","attributes":[{attribute}]}}"#)).as_deref(), Some("a"));
    assert_eq!(named(&format!(r#"{{"attributes":[{{"key":"x"}},{attribute}]}}"#)).as_deref(), Some("b"));
    assert_eq!(named(&format!(r#"{{"eventName":"","attributes":[{attribute},{attribute}]}}"#)).as_deref(), Some("b"));
    assert_eq!(named(&format!(r#"{{"eventName":7,"attributes":[{attribute}]}}"#)), None);
    assert_eq!(named(&format!(r#"{{"attributes":[{attribute},{other}]}}"#)), None);
    assert_eq!(named(r#"{"attributes":[{"key":"event.name","value":{"intValue":"1"}}]}"#), None);
    assert_eq!(named("{}"), None);
}

#[test]
fn the_client_is_answered_in_its_own_encoding() {
    let typed = |media: &'static str| HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(media))]);
    let (json, protobuf) = (typed("application/json"), typed(PROTOBUF));
    let answer = answer_success(Format::Otlp, &asked(&json));
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (200, &b"{}"[..]));
    assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/json");
    let answer = answer_success(Format::Otlp, &asked(&protobuf));
    assert_eq!((answer.status().as_u16(), answer.body().len()), (200, 0));
    assert_eq!(answer.headers()[header::CONTENT_TYPE], PROTOBUF);

    let refusal = Refusal::malformed(Fault::Protobuf, 7);
    let answer = answer_refusal(Some(Format::Otlp), &refusal, &asked(&json));
    let status: Value = serde_json::from_slice(answer.body()).unwrap();
    assert_eq!(status["code"], 3);
    assert_eq!(
        status["message"],
        "the protobuf message is malformed at byte 7 of the decoded body (malformed_protobuf)"
    );
    let answer = answer_refusal(Some(Format::Otlp), &refusal, &asked(&protobuf));
    let message = status["message"].as_str().unwrap();
    let expected = [&[0x08, 3, 0x12, u8::try_from(message.len()).unwrap()], message.as_bytes()].concat();
    assert_eq!((answer.status().as_u16(), &answer.body()[..]), (400, &expected[..]));
    assert_eq!(answer.headers()[header::CONTENT_TYPE], PROTOBUF);
}

/// The clients send again after 429, 502, 503 and 504 alone.
#[test]
fn what_may_succeed_later_is_never_lost() {
    for because in
        [Unready::Policy, Unready::Log, Unready::Keys, Unready::Overload, Unready::Destination, Unready::Draining]
    {
        let refusal = Refusal::Unavailable { because, retry_after_secs: 2 };
        let answer = answer_refusal(Some(Format::Otlp), &refusal, &asked(&HeaderMap::new()));
        assert!(matches!(answer.status().as_u16(), 429 | 503), "{because:?}");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "2");
    }
    assert_eq!(answer_refusal(Some(Format::Otlp), &Refusal::Internal, &asked(&HeaderMap::new())).status(), 503);
}

#[test]
fn no_answer_repeats_what_was_sent() {
    let sent = format!(r#"{{"resourceLogs":[{{"scopeLogs":"{SECRET}"}}]}}"#);
    let refusal = logs(sent).unwrap_err();
    let answer = answer_refusal(Some(Format::Otlp), &refusal, &asked(&HeaderMap::new()));
    assert!(!String::from_utf8_lossy(answer.body()).contains(SECRET));
}
