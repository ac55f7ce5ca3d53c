//! RudderStack: every captured request, its paths, its bounds, its words, and how it is told from Segment.

use crate::{
    RUDDERSTACK, RUDDERSTACK_EVENTS, RUDDERSTACK_SERVERS, asked, cases, check, from_case, post, read, refused, request,
};
use http::{HeaderMap, header};
use privet::decode::Layout;
use privet::formats::{Bound, Fault, Refusal, Unready, answer_refusal, answer_success, preflight};
use privet_policy::format::Format;

/// Format, layout and number of events of each capture that delivers events, read by a listener.
fn delivered(formats: &[Format]) -> Vec<(Format, Layout, usize)> {
    let cases = cases(RUDDERSTACK);
    let raws = cases.iter().map(|case| from_case(formats, case)).filter(|raw| preflight(raw).is_none());
    let events = raws.filter(|raw| !raw.target.starts_with("/sourceConfig"));
    events
        .map(|raw| {
            let decoded = read(&raw).unwrap();
            (decoded.format, decoded.layout, decoded.event_count())
        })
        .collect()
}

#[test]
fn every_browser_capture_decodes_by_listener_and_by_detection() {
    let batch = Layout::Batch { levels: &["batch"] };
    for formats in [&[Format::RudderStack][..], &[Format::Segment, Format::RudderStack, Format::Json], &[]] {
        let found = delivered(formats);
        assert_eq!(found.len(), 8);
        assert!(found.iter().all(|(format, ..)| *format == Format::RudderStack), "{formats:?}");
        assert_eq!(found.iter().filter(|(_, layout, _)| *layout == Layout::Single).count(), 6);
        let batched: usize = found.iter().filter(|(_, layout, _)| *layout == batch).map(|(.., events)| events).sum();
        assert_eq!(batched, 6);
    }
}

#[test]
fn preflights_of_its_browser_sdk_are_answered_and_its_settings_are_no_events() {
    let (mut preflights, mut settings) = (0, 0);
    for case in cases(RUDDERSTACK) {
        let raw = from_case(&[Format::RudderStack], &case);
        if let Some(answer) = preflight(&raw) {
            let allowed = answer.headers()[header::ACCESS_CONTROL_ALLOW_METHODS].to_str().unwrap();
            assert!(allowed.contains("GET") && allowed.contains("POST"));
            preflights += 1;
        } else if raw.target.starts_with("/sourceConfig") {
            assert_eq!(read(&raw).unwrap_err(), Refusal::MethodNotAllowed);
            settings += 1;
        }
    }
    assert_eq!((preflights, settings), (6, 2));
}

#[test]
fn gzip_of_the_server_sdks_decodes_whatever_type_it_claims() {
    let cases = cases(RUDDERSTACK_SERVERS);
    assert_eq!(cases.len(), 3);
    for case in &cases {
        let decoded = check(&[Format::RudderStack], case);
        assert_eq!(decoded.format, Format::RudderStack);
    }
}

#[test]
fn an_event_of_every_destination_that_its_transformer_tests_decodes() {
    let cases = cases(RUDDERSTACK_EVENTS);
    assert_eq!(cases.len(), 73);
    for case in &cases {
        check(&[Format::RudderStack], case);
    }
}

#[test]
fn paths_imply_the_type_and_what_is_no_event_is_refused() {
    for kind in ["alias", "audiencelist", "group", "identify", "merge", "page", "screen", "track"] {
        let decoded = post(Format::RudderStack, &format!("/v1/{kind}"), "text/plain", "{}").unwrap();
        assert_eq!((decoded.implied, decoded.layout), (Some(kind), Layout::Single));
        assert_eq!(decoded.event_type(decoded.events[0]).as_deref(), Some(kind));
    }
    for path in ["/v1/batch", "/v1/import", "/beacon/v1/batch?writeKey=k"] {
        let decoded = post(Format::RudderStack, path, "text/plain", r#"{"batch":[{},{}]}"#).unwrap();
        assert_eq!((decoded.implied, decoded.event_count()), (None, 2));
    }
    for path in [
        "/",
        "/health",
        "/version",
        "/robots.txt",
        "/transform",
        "/v1/webhook?writeKey=k",
        "/v1/t",
        "/v1/replay",
        "/internal/v1/replay",
        "/internal/v1/batch",
        "/internal/v1/extract",
        "/INTERNAL/v1/batch",
        "//internal/v1/batch",
        "/v1/../internal/v1/batch",
        "/v1/track/",
        "/beacon/v1/track",
    ] {
        assert_eq!(refused(Format::RudderStack, path, r#"{"batch":[{}]}"#), Refusal::NotAnEventPath, "{path}");
    }
    for path in ["/v1/merge", "/v1/audiencelist"] {
        let raw = request(&[], "POST", path, &[], "{}");
        assert_eq!(read(&raw).unwrap().format, Format::RudderStack, "only the gateway has {path}");
    }
}

#[test]
fn a_library_that_names_itself_decides_where_path_and_headers_do_not() {
    let of = |body: &str| {
        let raw = request(&[Format::Segment, Format::RudderStack], "POST", "/v1/batch", &[], body);
        read(&raw).map(|decoded| decoded.format)
    };
    let named = |name: &str| format!(r#"{{"context":{{"library":{{"name":"{name}"}}}}}}"#);
    let rudder = named("RudderLabs JavaScript SDK");
    assert_eq!(of(&format!(r#"{{"batch":[{rudder}]}}"#)), Ok(Format::RudderStack));
    assert_eq!(of(&format!(r#"{{"batch":[{}]}}"#, named("analytics-node"))), Ok(Format::Segment));
    assert_eq!(
        of(r#"{"context":{"library":{"name":"com.rudderstack.android.sdk.core"}},"batch":[{}]}"#),
        Ok(Format::RudderStack)
    );
    for body in [r#"{"batch":[5]}"#, r#"{"context":5,"batch":[{}]}"#] {
        assert_ne!(of(body), Ok(Format::RudderStack));
    }
}

#[test]
fn bounds_are_the_gateway_s() {
    let event = |bytes: usize| format!(r#"{{"userId":"{}"}}"#, "x".repeat(bytes - 13));
    let most = 4_000 * 1024;
    assert!(post(Format::RudderStack, "/v1/track", "", event(most)).is_ok());
    assert_eq!(refused(Format::RudderStack, "/v1/track", event(most + 1)), Refusal::TooLarge(Bound::Body));
    let many = |events: usize| format!(r#"{{"batch":[{}]}}"#, vec!["{}"; events].join(","));
    assert!(post(Format::RudderStack, "/v1/batch", "", many(10_000)).is_ok());
    assert_eq!(refused(Format::RudderStack, "/v1/batch", many(10_001)), Refusal::TooLarge(Bound::Events));
}

#[test]
fn parameters_that_could_be_read_in_two_ways_are_refused() {
    for query in ["writeKey=a&writeKey=b", "writeKey=a&write%4Bey=b", "writeKey=%", "writeKey=%00"] {
        let refusal = refused(Format::RudderStack, &format!("/beacon/v1/batch?{query}"), r#"{"batch":[{}]}"#);
        assert_eq!(refusal, Refusal::malformed(Fault::Query, 0), "{query}");
    }
}

#[test]
fn its_clients_are_answered_in_the_gateway_s_words() {
    let none = HeaderMap::new();
    let success = answer_success(Format::RudderStack, &asked(&none));
    assert_eq!((success.status().as_u16(), success.body().as_ref()), (200, b"ok".as_slice()));
    assert_eq!(success.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    let refusal_of = |path: &str, body: &str| refused(Format::RudderStack, path, body);
    for (refusal, status, words) in [
        (refusal_of("/v1/track", "{"), 400, "invalid json\n"),
        (refusal_of("/v1/track", r#"{"userId":"u","userId":"v"}"#), 400, "invalid json\n"),
        (refusal_of("/v1/track", ""), 400, "request body is nil\n"),
        (refusal_of("/v1/track", "[]"), 400, "event is not a valid rudder event\n"),
        (refusal_of("/v1/batch", r#"{"batch":[]}"#), 400, "empty batch payload\n"),
        (refusal_of("/v1/batch", "{}"), 400, "empty batch payload\n"),
        (Refusal::TooLarge(Bound::Body), 413, "request size exceeds max limit\n"),
        (Refusal::NotAnEventPath, 404, "this path takes no events\n"),
    ] {
        let answer = answer_refusal(Some(Format::RudderStack), &refusal, &asked(&none));
        assert_eq!((answer.status().as_u16(), answer.body().as_ref()), (status, words.as_bytes()), "{refusal:?}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    }
}

#[test]
fn no_passing_fault_is_a_4xx_for_its_clients() {
    let none = HeaderMap::new();
    for because in [Unready::Overload, Unready::Log, Unready::Policy, Unready::Destination, Unready::Draining] {
        let refusal = Refusal::Unavailable { because, retry_after_secs: 3 };
        let answer = answer_refusal(Some(Format::RudderStack), &refusal, &asked(&none));
        assert_eq!(answer.status(), 503, "{because:?}");
        assert_eq!(answer.headers()[header::RETRY_AFTER], "3");
    }
    assert_eq!(answer_refusal(Some(Format::RudderStack), &Refusal::Internal, &asked(&none)).status(), 503);
}
