//! GA4, Measurement Protocol: every captured request, its paths, its bounds and its answers.

use crate::{GA4, cases, check, from_case, post, read, refused, request};
use http::{HeaderMap, Method};
use privet::decode::Layout;
use privet::formats::{Bound, Fault, Refusal, answer_refusal, answer_success};
use privet::request::Asked;
use privet_policy::format::Format;

const COLLECT: &str = "/mp/collect?measurement_id=G-1&api_secret=s";

#[test]
fn every_capture_decodes_by_listener_and_by_detection() {
    let cases = cases(GA4);
    assert_eq!(cases.len(), 42);
    for case in &cases {
        for formats in [&[Format::Ga4][..], &[]] {
            let decoded = check(formats, case);
            assert_eq!(decoded.format, Format::Ga4);
            assert_eq!(decoded.layout, Layout::Batch { levels: &["events"] });
            assert!(decoded.groups[0].around[0].is_some(), "what the request shares");
        }
    }
}

#[test]
fn only_its_two_paths_take_events() {
    let body = r#"{"client_id":"1.2","events":[{"name":"login"}]}"#;
    for path in ["/mp/collect", "/debug/mp/collect", COLLECT] {
        assert_eq!(post(Format::Ga4, path, "text/plain", body).unwrap().event_count(), 1, "{path}");
    }
    for path in ["/", "/g/collect?v=2&tid=G-1", "/collect", "/mp/collect/", "/MP/collect", "/debug/collect", "/mp"] {
        assert_eq!(refused(Format::Ga4, path, body), Refusal::NotAnEventPath, "{path}");
    }
    assert_eq!(read(&request(&[Format::Ga4], "GET", COLLECT, &[], "")).unwrap_err(), Refusal::MethodNotAllowed);
}

#[test]
fn bounds_are_the_protocol_s() {
    let of = |events: usize| format!(r#"{{"events":[{}]}}"#, vec![r#"{"name":"a"}"#; events].join(","));
    assert!(post(Format::Ga4, COLLECT, "", of(25)).is_ok());
    assert_eq!(refused(Format::Ga4, COLLECT, of(26)), Refusal::TooLarge(Bound::Events));
    let large = |bytes: usize| format!(r#"{{"x":"{}","events":[]}}"#, "y".repeat(bytes - 20));
    assert_eq!(large(130_000).len(), 130_000);
    assert!(post(Format::Ga4, COLLECT, "", large(129_999)).is_ok());
    assert_eq!(refused(Format::Ga4, COLLECT, large(130_000)), Refusal::TooLarge(Bound::Body));
}

#[test]
fn what_could_be_read_in_two_ways_is_refused() {
    assert_eq!(refused(Format::Ga4, COLLECT, r#"{"client_id":"1"}"#), Refusal::malformed(Fault::NoBatch, 0));
    assert_eq!(refused(Format::Ga4, COLLECT, r#"[{"events":[]}]"#), Refusal::malformed(Fault::NotAnObject, 0));
    for query in ["api_secret=a&api_secret=b", "api_secret=a&api%5fsecret=b", "measurement_id=%ff"] {
        let refusal = refused(Format::Ga4, &format!("/mp/collect?{query}"), r#"{"events":[]}"#);
        assert_eq!(refusal, Refusal::malformed(Fault::Query, 0), "{query}");
    }
    let twice = refused(Format::Ga4, COLLECT, r#"{"events":[],"events":[{}]}"#);
    assert!(matches!(twice, Refusal::Malformed { fault: Fault::Json(_), .. }));
    let decoded = post(Format::Ga4, COLLECT, "", r#"{"events":[{"name":"a"},5]}"#).unwrap();
    assert!(!decoded.is_object(decoded.events[1]), "one that is no object is dropped alone");
}

#[test]
fn success_is_what_google_says() {
    let (headers, post) = (HeaderMap::new(), Method::POST);
    let on = |target| answer_success(Format::Ga4, &Asked { method: &post, target, headers: &headers });
    assert_eq!((on(COLLECT).status().as_u16(), on(COLLECT).body().len()), (204, 0));
    let validated = on("/debug/mp/collect?measurement_id=G-1");
    assert_eq!(validated.status(), 200);
    assert_eq!(validated.body().as_ref(), br#"{"validationMessages":[]}"#);
    let asked = Asked { method: &post, target: COLLECT, headers: &headers };
    let refusal = refused(Format::Ga4, COLLECT, "{");
    let answer = answer_refusal(Some(Format::Ga4), &refusal, &asked);
    assert_eq!(answer.status(), 400);
    assert!(!String::from_utf8_lossy(answer.body()).contains("G-1"), "nothing of the request comes back");
}

#[test]
fn a_capture_without_its_declared_type_decodes_all_the_same() {
    for case in cases(GA4).iter().take(3) {
        let mut raw = from_case(&[Format::Ga4], case);
        raw.headers.remove("content-type");
        assert!(read(&raw).is_ok());
    }
}
