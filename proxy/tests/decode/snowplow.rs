//! Snowplow: every captured request, pixels and payloads, self-describing JSON in both
//! encodings, and what two readers would take in two ways.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, header};
use privet::decode::Layout;
use privet::formats::{Bound, Fault, Refusal, Unready, answer_refusal, answer_success, passed_status, preflight};
use privet::request::Asked;
use privet_policy::format::Format;
use serde_json::{Value, json};

use crate::{SNOWPLOW, asked, cases, event_json, from_case, layout_name, post, read, refused, request};

const PAYLOAD: &str = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";
const TP2: &str = "/com.snowplowanalytics.snowplow/tp2";
const UNSTRUCT: &str = "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0";
const CONTEXTS: &str = "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-0";

fn payload(events: &Value) -> String {
    json!({"schema": PAYLOAD, "data": events}).to_string()
}

/// An event with members besides the required ones.
fn event(more: &Value) -> Value {
    let mut event = json!({"e": "ue", "p": "web", "tv": "js-4"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

fn described() -> Value {
    json!({"schema": UNSTRUCT, "data": {"schema": "iglu:com.acme/a/jsonschema/1-0-0", "data": {"n": 1, "ü": ">>>>????~~~~"}}})
}

fn entities() -> Value {
    json!({"schema": CONTEXTS, "data": [{"schema": "iglu:com.acme/b/jsonschema/1-0-0", "data": {"id": "x"}}]})
}

#[test]
fn every_capture_and_every_event_of_the_collector_s_tests_decodes() {
    let (mut counts, mut preflights) = (BTreeMap::new(), 0);
    for case in cases(SNOWPLOW) {
        let (id, expect) = (&case["id"], &case["expect"]);
        let raw = from_case(&[Format::Snowplow], &case);
        if expect["preflight"] == true {
            assert!(preflight(&raw).is_some(), "{id}");
            preflights += 1;
            continue;
        }
        let decoded = read(&raw).unwrap_or_else(|refusal| panic!("{id}: {refusal}"));
        assert_eq!(layout_name(decoded.layout), expect["layout"], "{id}");
        assert_eq!(json!(decoded.unfit), expect["unfit"], "{id}");
        let kinds: Vec<_> = decoded.events.iter().map(|event| decoded.event_type(*event)).collect();
        assert_eq!(json!(kinds), expect["kinds"], "{id}");
        for (number, wanted) in expect["described"].as_array().unwrap().iter().enumerate() {
            let event = event_json(&decoded, number);
            let schema = |value: &Value| value["schema"].clone();
            let inner = event.get("ue_pr").filter(|outer| outer.is_object()).map(|outer| schema(&outer["data"]));
            assert_eq!(inner.as_ref(), wanted.get("event"), "{id}");
            let list = event.get("co").and_then(|outer| outer["data"].as_array());
            let inner = list.map(|list| Value::from(list.iter().map(schema).collect::<Vec<_>>()));
            assert_eq!(inner.as_ref(), wanted.get("entities"), "{id}");
        }
        *counts.entry(layout_name(decoded.layout)).or_insert(0) += decoded.events.len();
    }
    assert_eq!((counts, preflights), (BTreeMap::from([("data", 43), ("query", 26)]), 1));
}

#[test]
fn trackers_are_told_from_other_senders_where_privet_has_to_find_out() {
    for case in cases(SNOWPLOW).iter().filter(|case| case["expect"]["preflight"] != true) {
        let format = read(&from_case(&[], case)).map(|decoded| decoded.format);
        let query = case["expect"]["layout"] == "query";
        let names = |name: &str| case["target"].as_str().unwrap().contains(&format!("{name}="));
        if query && !["e", "p", "tv"].into_iter().all(names) {
            assert_eq!(format, Err(Refusal::MethodNotAllowed), "{}", case["id"]);
        } else {
            assert_eq!(format, Ok(Format::Snowplow), "{}", case["id"]);
        }
    }
    let body = payload(&json!([event(&json!({}))]));
    let elsewhere = |formats: &[Format]| read(&request(formats, "POST", "/com.acme/track", &[], body.clone()));
    assert_eq!(elsewhere(&[]).unwrap().format, Format::Snowplow, "by its payload");
    assert_eq!(elsewhere(&[Format::Segment, Format::Json]).unwrap().format, Format::Json);
    let other = r#"{"schema":"iglu:com.acme/payload_data/jsonschema/1-0-0","data":[]}"#;
    assert_eq!(read(&request(&[], "POST", "/com.acme/track", &[], other)).unwrap().format, Format::Json);
}

#[test]
fn both_encodings_are_the_same_event() {
    let (said, around) = (described(), entities());
    let text = |value: &Value| value.to_string();
    for (name, context, encode) in [
        ("ue_pr", "co", (|text: String| text) as fn(String) -> String),
        ("ue_px", "cx", |text| URL_SAFE_NO_PAD.encode(text)),
        ("ue_px", "cx", |text| URL_SAFE.encode(text)),
        ("ue_px", "cx", |text| STANDARD.encode(text)),
        ("ue_px", "cx", |text| STANDARD.encode(text).trim_end_matches('=').to_owned()),
    ] {
        let sent = event(&json!({name: encode(text(&said)), context: encode(text(&around))}));
        let decoded = post(Format::Snowplow, TP2, "application/json", payload(&json!([sent]))).unwrap();
        assert!(decoded.unfit.is_empty(), "{name}");
        let opened = event_json(&decoded, 0);
        assert_eq!((&opened["ue_pr"], &opened["co"]), (&said, &around));
        let mut query = form_urlencoded(&sent);
        query.insert_str(0, "/i?");
        let pixel = read(&request(&[Format::Snowplow], "GET", &query, &[], "")).unwrap();
        assert_eq!((pixel.layout, event_json(&pixel, 0)), (Layout::Query, opened.clone()));
        // Sealed again it is what it was.
        let mut out = opened.to_string().into_bytes();
        assert!(decoded.seals[0].close(0, &mut out));
        let sealed: Value = serde_json::from_slice(&out).unwrap();
        let spelled = |value: &Value| value.as_str().map(str::to_owned);
        assert_eq!(spelled(&sealed[name]), spelled(&sent[name]));
        assert_eq!(spelled(&sealed[context]), spelled(&sent[context]));
    }
}

fn form_urlencoded(event: &Value) -> String {
    let escaped = |text: &str| text.bytes().map(|byte| format!("%{byte:02X}")).collect::<String>();
    let pairs = event.as_object().unwrap().iter();
    pairs.map(|(name, value)| format!("{name}={}", escaped(value.as_str().unwrap()))).collect::<Vec<_>>().join("&")
}

#[test]
fn an_element_that_the_schema_or_enrichment_refuses_is_unfit_alone() {
    let base64 = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let (said, around) = (described(), entities());
    let bare = |inner: &str| {
        format!(r#"{{"schema":"{UNSTRUCT}","data":{{"schema":"iglu:com.acme/a/jsonschema/1-0-0","data":{inner}}}}}"#)
    };
    let of = |schema: &str| json!({"schema": UNSTRUCT, "data": {"schema": schema, "data": {}}}).to_string();
    let unfit = [
        json!(5),
        json!({"p": "web", "tv": "js"}),
        json!({"e": "pv", "p": "web"}),
        json!({"e": "pv", "p": "", "tv": "js"}),
        event(&json!({"vid": 7})),
        event(&json!({"uid": null})),
        event(&json!({"ue_pr": said})),
        event(&json!({"schema": "marla"})),
        event(&json!({"ue_pr": said.to_string(), "ue_px": base64(&said)})),
        event(&json!({"co": around.to_string(), "cx": base64(&around)})),
        event(&json!({"ue_pr": "{"})),
        event(&json!({"ue_pr": ""})),
        event(&json!({"ue_pr": "[]"})),
        event(&json!({"ue_pr": bare(r#"{"a":1,"a":2}"#)})),
        event(&json!({"ue_pr": format!("{} {{}}", said)})),
        event(&json!({"ue_pr": bare(&format!("{}{}", "[".repeat(80), "]".repeat(80)))})),
        event(&json!({"ue_px": format!("{}=", base64(&said).trim_end_matches('='))})),
        event(&json!({"ue_px": format!("{}\n", base64(&said))})),
        event(&json!({"ue_px": format!("-_{}+/", base64(&said))})),
        event(&json!({"ue_px": said.to_string()})),
        event(&json!({"ue_pr": of("marla.quillfeather@example.com")})),
        event(&json!({"ue_pr": of("iglu:com.acme/a/jsonschema/1-marla")})),
        event(&json!({"ue_pr": of("iglu:com.acme/a/jsonschema/1")})),
        event(&json!({"ue_pr": around.to_string()})),
        event(&json!({"co": said.to_string()})),
        event(&json!({"co": json!({"schema": CONTEXTS, "data": [{"schema": "x", "data": {}}]}).to_string()})),
        event(&json!({"co": json!({"schema": CONTEXTS, "data": [], "more": 1}).to_string()})),
    ];
    for broken in unfit {
        let sent = json!([event(&json!({"uid": "u-1"})), broken, event(&json!({"ue_px": base64(&said)}))]);
        let decoded = post(Format::Snowplow, TP2, "", payload(&sent)).unwrap();
        assert_eq!(decoded.unfit, [1], "{broken}");
        assert_eq!(decoded.event_count(), 3);
        assert!(event_json(&decoded, 2)["ue_pr"].is_object());
    }
    let pixel = read(&request(&[Format::Snowplow], "GET", "/i?aid=bnb&ip=86.178.183.7", &[], "")).unwrap();
    assert_eq!(pixel.unfit, [0], "an event of no kind");
}

#[test]
fn a_query_that_two_readers_take_in_two_ways_is_refused_whole() {
    for query in ["e=pv&uid=u-1&uid=u-2", "e=pv&uid=%", "e=pv&%75id=1&uid=2", "e=pv&uid=%ff", "e=pv&uid=a%00b"] {
        let refusal = read(&request(&[Format::Snowplow], "GET", &format!("/i?{query}"), &[], "")).unwrap_err();
        assert_eq!(refusal, Refusal::malformed(Fault::Query, 0), "{query}");
    }
}

#[test]
fn a_body_is_a_payload_or_refused() {
    let not = |body: &str| refused(Format::Snowplow, TP2, body);
    assert_eq!(not("[]"), Refusal::malformed(Fault::NotAnObject, 0));
    for body in [
        json!({}),
        json!({"data": []}),
        json!({"schema": "iglu:com.acme/payload_data/jsonschema/1-0-4", "data": []}),
        json!({"schema": format!("{PAYLOAD}?marla"), "data": []}),
        json!({"schema": PAYLOAD.replace("1-0-4", "2-0-0"), "data": []}),
        json!({"schema": PAYLOAD, "data": [], "uid": "u-1"}),
    ] {
        assert_eq!(not(&body.to_string()), Refusal::malformed(Fault::Payload, 0), "{body}");
    }
    assert_eq!(not(&json!({"schema": PAYLOAD}).to_string()), Refusal::malformed(Fault::NoBatch, 0));
    assert_eq!(post(Format::Snowplow, TP2, "", payload(&json!([]))).unwrap().event_count(), 0);
    let large = payload(&json!([event(&json!({"page": "x".repeat(2 * 1024 * 1024)}))]));
    assert_eq!(not(&large), Refusal::TooLarge(Bound::Body));
}

#[test]
fn paths_of_two_segments_take_events_and_redirects_do_not() {
    let taken = |method: &str, target: &str| {
        let body = if method == "POST" { payload(&json!([event(&json!({}))])) } else { String::new() };
        read(&request(&[Format::Snowplow], method, target, &[], body)).map(|decoded| decoded.layout).err()
    };
    for target in [TP2, "/com.acme/track", "/a/b?tid=1"] {
        assert_eq!(taken("POST", target), None, "{target}");
    }
    for target in ["/i?e=pv", "/ice.png?e=pv", "/com.snowplowanalytics.iglu/v1?e=pv", "/i"] {
        assert_eq!((taken("GET", target), taken("HEAD", target)), (None, None), "{target}");
    }
    for target in
        ["/", "/health", "/a/b/c", "/a/b/", "//a/b", "/r/tp2?u=https://evil.example", "/a/..", "/a%2f/b", "/a@b/c"]
    {
        for method in ["GET", "POST"] {
            assert_eq!(taken(method, target), Some(Refusal::NotAnEventPath), "{method} {target}");
        }
    }
    for (method, target) in [("POST", "/i"), ("PUT", TP2), ("DELETE", TP2), ("OPTIONS", "/i")] {
        assert_eq!(taken(method, target), Some(Refusal::MethodNotAllowed), "{method} {target}");
    }
}

#[test]
fn trackers_see_what_their_collector_says() {
    let headers = HeaderMap::new();
    let told =
        |method: &Method| answer_success(Format::Snowplow, &Asked { method, target: "/i?e=pv", headers: &headers });
    let posted = told(&Method::POST);
    assert_eq!((posted.status().as_u16(), &posted.body()[..]), (200, &b"ok"[..]));
    let pixel = told(&Method::GET);
    let gif = STANDARD.decode("R0lGODlhAQABAPAAAP///wAAACH5BAUAAAAALAAAAAABAAEAAAICRAEAOw==").unwrap();
    assert_eq!((pixel.status().as_u16(), &pixel.body()[..], gif.len()), (200, &gif[..], 43));
    assert_eq!(pixel.headers()[header::CONTENT_TYPE], "image/gif");
    assert_eq!(pixel.headers()[header::CACHE_CONTROL], "no-cache, no-store, must-revalidate");
    let head = told(&Method::HEAD);
    assert_eq!((head.headers()[header::CONTENT_TYPE].to_str().unwrap(), head.body().len()), ("image/gif", 0));
}

#[test]
fn no_refusal_makes_a_tracker_send_the_same_again_for_ever() {
    let unready = Refusal::Unavailable { because: Unready::Log, retry_after_secs: 7 };
    for (refusal, status) in [
        (Refusal::TooLarge(Bound::Body), 422),
        (Refusal::TooLarge(Bound::Ratio), 422),
        (Refusal::malformed(Fault::Payload, 0), 400),
        (Refusal::UnsupportedCoding, 400),
        (Refusal::UnsupportedCharset, 400),
        (Refusal::UnsupportedMedia, 400),
        (unready, 503),
    ] {
        let answer = answer_refusal(Some(Format::Snowplow), &refusal, &asked(&HeaderMap::new()));
        assert_eq!(answer.status(), status, "{refusal:?}");
        assert_eq!(answer.headers().contains_key(header::RETRY_AFTER), status == 503);
    }
    let too_large = http::StatusCode::PAYLOAD_TOO_LARGE;
    assert_eq!(passed_status(Format::Snowplow, too_large), 422, "the collector's own, too");
    assert_eq!(passed_status(Format::Segment, too_large), 413);
}
