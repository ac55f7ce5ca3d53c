//! Segment: every captured and documented request, its paths and its bounds; and RudderStack told from it.

use crate::{
    RUDDERSTACK, SEGMENT_BATCH, SEGMENT_CAPTURES, SEGMENT_DOCS, asked, cases, check, event_json, from_case,
    layout_name, post, read, refused, request,
};
use http::HeaderMap;
use privet::decode::Layout;
use privet::formats::{Bound, Fault, Refusal, answer_refusal, preflight};
use privet_policy::format::Format;
use serde_json::Value;
use std::collections::BTreeMap;

#[test]
fn every_segment_capture_decodes_by_listener_and_by_detection() {
    let mut counts = BTreeMap::new();
    for case in cases(SEGMENT_CAPTURES).iter().chain(&cases(SEGMENT_BATCH)) {
        for formats in [&[Format::Segment][..], &[]] {
            if case["expect"]["preflight"] == true {
                assert!(preflight(&from_case(formats, case)).is_some(), "{}", case["id"]);
                continue;
            }
            let decoded = check(formats, case);
            assert_eq!(decoded.format, Format::Segment);
            assert_eq!(decoded.groups[0].around[0].is_some(), decoded.layout == Layout::Batch { levels: &["batch"] });
            *counts.entry(layout_name(decoded.layout)).or_insert(0) += decoded.events.len();
        }
    }
    assert_eq!(counts, BTreeMap::from([("batch", 2 * (36 + 6 + 12)), ("single", 2 * 6)]));
}

#[test]
fn every_documented_segment_event_decodes() {
    let cases = cases(SEGMENT_DOCS);
    assert_eq!(cases.len(), 97);
    for case in &cases {
        let decoded = check(&[Format::Segment], case);
        assert_eq!(decoded.groups[0].around, [None; 3]);
        assert_eq!(event_json(&decoded, 0), serde_json::from_slice::<Value>(&decoded.body).unwrap());
    }
}

#[test]
fn rudderstack_is_not_mistaken_for_segment_where_no_listener_takes_it() {
    let formats = [Format::Segment, Format::Json];
    let (mut preflights, mut refusals) = (0, 0);
    for case in cases(RUDDERSTACK) {
        let raw = from_case(&formats, &case);
        if case["expect"]["preflight"] == true {
            assert!(preflight(&raw).is_some(), "{}", case["id"]);
            preflights += 1;
        } else if case["target"].as_str().unwrap().starts_with("/v1/") {
            assert_eq!(read(&raw).unwrap_err(), Refusal::UnknownFormat, "{}", case["id"]);
            let mut without = from_case(&formats, &case);
            without.headers.remove("anonymousid");
            assert_eq!(read(&without).unwrap_err(), Refusal::UnknownFormat, "by library name: {}", case["id"]);
            refusals += 1;
        }
    }
    assert_eq!((preflights, refusals), (6, 6));
}

#[test]
fn segment_paths_imply_the_type_that_the_event_does_not_name() {
    for (path, implied) in [
        ("/v1/identify", "identify"),
        ("/v1/i", "identify"),
        ("/v1/track", "track"),
        ("/v1/t", "track"),
        ("/v1/page", "page"),
        ("/v1/p", "page"),
        ("/v1/screen", "screen"),
        ("/v1/s", "screen"),
        ("/v1/group/", "group"),
        ("/v1/g?x=1", "group"),
        ("/v1/alias", "alias"),
        ("/v1/a", "alias"),
    ] {
        let kind = |body: &str| {
            let decoded = post(Format::Segment, path, "text/plain", body).unwrap();
            assert_eq!(decoded.implied, Some(implied));
            decoded.event_type(decoded.events[0]).map(|kind| kind.into_owned())
        };
        assert_eq!(kind("{}").as_deref(), Some(implied), "{path}");
        assert_eq!(kind(r#"{"type":"x"}"#).as_deref(), Some("x"), "{path}");
        assert_eq!(kind(r#"{"action":"y"}"#).as_deref(), Some("y"), "{path}");
        assert_eq!(kind(r#"{"action":"y","type":7}"#), None, "{path}");
        assert_eq!(kind(r#"{"type":null}"#), None, "{path}");
    }
    for path in ["/v1/batch", "/v1/b", "/v1/import", "/v1/import/"] {
        let decoded = post(Format::Segment, path, "", r#"{"batch":[{}],"context":{"ip":"192.0.2.1"}}"#).unwrap();
        assert_eq!((decoded.implied, decoded.event_type(decoded.events[0])), (None, None), "{path}");
    }
}

#[test]
fn paths_and_methods_that_take_no_events_are_refused() {
    for path in [
        "/",
        "",
        "/v1/",
        "/v1",
        "/v1/tracks",
        "/v1/%74rack",
        "/V1/track",
        "//v1/track",
        "/v1/track//",
        "/v1/../v1/track",
        "/v1/projects/x/settings",
    ] {
        assert_eq!(refused(Format::Segment, path, "{}"), Refusal::NotAnEventPath, "{path}");
    }
    assert_eq!(refused(Format::Segment, "/v1/m", "{}"), Refusal::Aggregates);
    assert_eq!(read(&request(&[], "POST", "/v1/m", &[], "{}")).unwrap_err(), Refusal::Aggregates);
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE", "BREW"] {
        for format in Format::ALL {
            let refusal = read(&request(&[format], method, "/v1/track", &[], "{}")).err();
            let taken = method == "PUT" && format == Format::CloudEvents
                || matches!(method, "GET" | "HEAD") && format == Format::Snowplow;
            assert_eq!(refusal == Some(Refusal::MethodNotAllowed), !taken, "{method} {format}");
        }
    }
}

#[test]
fn segment_bounds_are_exact_and_answered_as_its_api_does() {
    let event = |bytes: usize| format!(r#"{{"userId":"{}"}}"#, "x".repeat(bytes - 13));
    assert_eq!(event(32 * 1024).len(), 32 * 1024);
    assert!(post(Format::Segment, "/v1/track", "", event(32 * 1024)).is_ok());
    assert_eq!(refused(Format::Segment, "/v1/track", event(32 * 1024 + 1)), Refusal::TooLarge(Bound::Event));
    let batch = |events: usize, each: &str| format!(r#"{{"batch":[{}]}}"#, vec![each; events].join(","));
    assert!(post(Format::Segment, "/v1/batch", "", batch(2_500, "{}")).is_ok());
    assert_eq!(refused(Format::Segment, "/v1/batch", batch(2_501, "{}")), Refusal::TooLarge(Bound::Events));
    assert_eq!(refused(Format::Segment, "/v1/batch", batch(1, &event(32 * 1024 + 1))), Refusal::TooLarge(Bound::Event));
    assert_eq!(refused(Format::Segment, "/v1/batch", batch(20, &event(30 * 1024))), Refusal::TooLarge(Bound::Body));
    for bound in [Bound::Body, Bound::Event, Bound::Events, Bound::Values, Bound::Ratio] {
        let refusal = Refusal::TooLarge(bound);
        assert_eq!(answer_refusal(Some(Format::Segment), &refusal, &asked(&HeaderMap::new())).status(), 400);
        assert_eq!(answer_refusal(Some(Format::CloudEvents), &refusal, &asked(&HeaderMap::new())).status(), 413);
    }
}

#[test]
fn a_segment_batch_needs_its_array_and_bears_invalid_elements() {
    assert_eq!(refused(Format::Segment, "/v1/batch", r#"{"userId":"u"}"#), Refusal::malformed(Fault::NoBatch, 0));
    assert_eq!(refused(Format::Segment, "/v1/batch", r#"{"batch":{}}"#), Refusal::malformed(Fault::NoBatch, 0));
    assert_eq!(refused(Format::Segment, "/v1/batch", " [{}]"), Refusal::malformed(Fault::NotAnObject, 1));
    assert_eq!(refused(Format::Segment, "/v1/track", "[]"), Refusal::malformed(Fault::NotAnObject, 0));
    let decoded = post(Format::Segment, "/v1/b", "", r#"{"batch":[{"type":"track"},5,"x",[],null]}"#).unwrap();
    let objects: Vec<_> = decoded.events.iter().map(|&event| decoded.is_object(event)).collect();
    assert_eq!(objects, [true, false, false, false, false]);
    assert_eq!(post(Format::Segment, "/v1/b", "", r#"{"batch":[]}"#).unwrap().event_count(), 0);
    let late = post(Format::Segment, "/v1/b", "", r#"{"context":{},"batch":[{}],"writeKey":"k"}"#).unwrap();
    assert_eq!(
        late.groups[0].around[0].map(|root| late.index.node(&late.body, root).span().len()),
        Some(late.body.len())
    );
}

#[test]
fn rudderstack_s_headers_alone_are_enough() {
    for header in ["AnonymousId", "X-Rudder-Source"] {
        let raw = |formats: &[Format]| request(formats, "POST", "/v1/track", &[(header, "eA==")], "{}");
        assert_eq!(read(&raw(&[])).unwrap().format, Format::RudderStack, "{header}");
        assert_eq!(read(&raw(&[Format::Segment, Format::Json])).unwrap_err(), Refusal::UnknownFormat, "{header}");
        assert_eq!(read(&raw(&[Format::Segment])).unwrap().format, Format::Segment, "the listener has decided");
    }
}
