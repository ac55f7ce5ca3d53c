//! CloudEvents: the three modes, and binary mode there and back.

use crate::{CLOUDEVENTS, binary, cases, check, event_json, from_case, post, read, request};
use http::header;
use http::{HeaderName, HeaderValue};
use privet::decode::{DecodeLimits, Decoded, Layout};
use privet::formats::cloudevents::{NotBinary, to_binary};
use privet::formats::{Fault, Refusal};
use privet_policy::format::Format;
use serde_json::Value;

#[test]
fn every_cloudevent_decodes_and_binary_ones_go_back() {
    let (mut binary, mut structured, mut batches, mut refusals) = (0, 0, 0, 0);
    for case in cases(CLOUDEVENTS) {
        for formats in [&[Format::CloudEvents][..], &[]] {
            if let Some(code) = case["expect"]["refused"].as_str() {
                assert_eq!(read(&from_case(formats, &case)).unwrap_err().code(), code, "{}", case["id"]);
                refusals += 1;
                continue;
            }
            let decoded = check(formats, &case);
            assert_eq!(decoded.format, Format::CloudEvents, "{}", case["id"]);
            match decoded.layout {
                Layout::Array => batches += 1,
                Layout::BinaryCloudEvent => {
                    binary += 1;
                    check_attributes(&case, &decoded);
                    check_there_and_back(&case, &decoded);
                }
                _ => {
                    structured += 1;
                    check_attributes(&case, &decoded);
                }
            }
        }
    }
    assert_eq!((binary, structured, batches, refusals), (36, 54, 2, 0));
}

fn check_attributes(case: &Value, decoded: &Decoded) {
    let Value::Object(mut event) = event_json(decoded, 0) else { panic!("{}", case["id"]) };
    let data = event.remove("data").unwrap_or(Value::Null);
    event.remove("data_base64");
    assert_eq!(Value::Object(event), case["expect"]["attributes"], "{}", case["id"]);
    assert_eq!(data, case["expect"]["data"], "{}", case["id"]);
}

fn check_there_and_back(case: &Value, decoded: &Decoded) {
    let sent = from_case(&[Format::CloudEvents], case);
    let event = to_binary(&decoded.body, &DecodeLimits::default().json)
        .unwrap_or_else(|error| panic!("{}: {error}", case["id"]));
    assert_eq!(event.content_type.as_ref(), sent.headers.get(header::CONTENT_TYPE), "{}", case["id"]);
    assert_eq!(event.body.trim_ascii(), sent.body.trim_ascii(), "{}", case["id"]);
    let mut again = request(&[Format::CloudEvents], "POST", "/", &[], event.body.to_vec());
    again.headers.extend(event.headers);
    if let Some(content_type) = event.content_type {
        again.headers.insert(header::CONTENT_TYPE, content_type);
    }
    let again = read(&again).unwrap();
    assert_eq!(event_json(&again, 0), event_json(decoded, 0), "{}", case["id"]);
}

#[test]
fn header_values_are_decoded_once_and_written_canonically() {
    for (sent, meant, written) in [
        ("Euro%20%E2%82%AC%20%F0%9F%98%80", "Euro \u{20ac} \u{1f600}", "Euro%20%E2%82%AC%20%F0%9F%98%80"),
        ("%e2%82%ac", "\u{20ac}", "%E2%82%AC"),
        ("\"a \\\"b\\\" %41\"", "a \"b\" A", "a%20%22b%22%20A"),
        ("%2541", "%41", "%2541"),
        ("100%", "100%", "100%25"),
        ("plain text", "plain text", "plain%20text"),
        ("\u{e9}", "\u{e9}", "%C3%A9"),
        ("", "", ""),
    ] {
        let decoded = read(&binary(&[("ce-subject", sent)], b"")).unwrap();
        assert_eq!(event_json(&decoded, 0)["subject"], meant);
        let event = to_binary(&decoded.body, &DecodeLimits::default().json).unwrap();
        let subject = event.headers.iter().find(|(name, _)| name == "ce-subject").unwrap();
        assert_eq!(subject.1, written);
    }
    for sent in ["%C0%A0", "%FF", "%ED%A0%80", "%00", "%0D%0A", "%7F", "%C2%85", "\"open", "\"a\"b\"", "\"a\\\"", "\""]
    {
        let refusal = read(&binary(&[("ce-subject", sent)], b"{}")).unwrap_err();
        assert_eq!(refusal, Refusal::malformed(Fault::Attribute, 0), "{sent}");
    }
}

#[test]
fn attributes_that_two_readers_could_take_two_ways_are_refused() {
    for headers in [
        &[("ce-subject", "a"), ("ce-subject", "b")][..],
        &[("ce-id", "2")],
        &[("ce-data", "x")],
        &[("ce-data_base64", "eA==")],
        &[("ce-my-attribute", "x")],
        &[("ce-", "x")],
        &[("ce-datacontenttype", "text/plain")],
        &[("ce-datacontenttype", "text/plain"), ("content-type", "application/json")],
    ] {
        assert_eq!(read(&binary(headers, b"{}")).unwrap_err(), Refusal::malformed(Fault::Attribute, 0), "{headers:?}");
    }
    let repeated = [("ce-datacontenttype", "application/json"), ("content-type", "application/json")];
    assert_eq!(event_json(&read(&binary(&repeated, b"{}")).unwrap(), 0)["datacontenttype"], "application/json");
    for missing in ["ce-id", "ce-source", "ce-type", "ce-specversion"] {
        let mut raw = binary(&[], b"{}");
        raw.headers.remove(missing);
        assert_eq!(read(&raw).unwrap_err(), Refusal::malformed(Fault::MissingAttribute, 0), "{missing}");
        raw.headers.insert(HeaderName::try_from(missing).unwrap(), HeaderValue::from_static("\"\""));
        assert_eq!(read(&raw).unwrap_err(), Refusal::malformed(Fault::MissingAttribute, 0), "{missing}");
    }
    let mut raw = binary(&[], b"{}");
    raw.headers.insert("ce-specversion", HeaderValue::from_static("1.1"));
    assert_eq!(read(&raw).unwrap_err(), Refusal::malformed(Fault::SpecVersion, 0));
}

#[test]
fn data_cannot_write_attributes_of_its_own() {
    let json = [("content-type", "application/json")];
    for body in [
        r#"{"a":1},"subject":"victim""#,
        r#"1,"subject":"victim","x":2"#,
        r#"1}"#,
        r#"1,"data":2"#,
        r#"1,"data_base64":"eA==""#,
        r#"1,"id":"2""#,
        r#"{} {}"#,
        "",
        " ",
    ] {
        for headers in [&json[..], &[]] {
            let decoded = read(&binary(headers, body.as_bytes()));
            match decoded {
                Err(refusal) => assert!(matches!(refusal, Refusal::Malformed { .. }), "{body}: {refusal}"),
                Ok(decoded) => {
                    let event = event_json(&decoded, 0);
                    assert_eq!(event.get("subject"), None, "{body}");
                    assert!(body.is_empty() || headers.is_empty(), "{body}");
                }
            }
        }
    }
}

#[test]
fn data_is_json_text_or_bytes_by_its_media_type() {
    let member = |content_type: &str, body: &[u8]| {
        let headers = [("content-type", content_type)];
        let headers = if content_type.is_empty() { &[][..] } else { &headers[..] };
        let decoded = read(&binary(headers, body)).unwrap();
        let back = to_binary(&decoded.body, &DecodeLimits::default().json).unwrap();
        assert_eq!(back.body, body, "{content_type}");
        event_json(&decoded, 0)
    };
    assert_eq!(member("application/json", b"{\"n\":1.0e2}")["data"]["n"], 100.0);
    assert_eq!(member("application/vnd.acme+json", b"[1]")["data"][0], 1);
    assert_eq!(member("text/plain", b"{\"a\":1}")["data"], "{\"a\":1}");
    assert_eq!(member("text/plain", b"\"quoted\"\n")["data"], "\"quoted\"\n");
    assert_eq!(member("application/octet-stream", b"\xff\x00")["data_base64"], "/wA=");
    assert_eq!(member("image/png", b"text \0 too")["data"], "text \0 too");
    assert_eq!(member("", b"\"json\"")["data"], "json");
    assert_eq!(member("", b"not json")["data_base64"], "bm90IGpzb24=");
    assert_eq!(member("application/json", b"").get("data"), None);
}

#[test]
fn documents_that_no_header_or_body_can_carry_stay() {
    let limits = DecodeLimits::default().json;
    for (document, error) in [
        ("[]", NotBinary::NotAnObject),
        ("{", NotBinary::NotAnObject),
        (r#"{"Subject":"x"}"#, NotBinary::Attribute),
        (r#"{"a-b":"x"}"#, NotBinary::Attribute),
        (r#"{"":"x"}"#, NotBinary::Attribute),
        (r#"{"ext":{"a":1}}"#, NotBinary::Attribute),
        (r#"{"datacontenttype":5}"#, NotBinary::Attribute),
        (r#"{"datacontenttype":"a\nb"}"#, NotBinary::Attribute),
        (r#"{"data_base64":"%"}"#, NotBinary::Data),
        (r#"{"data_base64":5}"#, NotBinary::Data),
        (r#"{"data":1,"data_base64":""}"#, NotBinary::Data),
    ] {
        assert_eq!(to_binary(document.as_bytes(), &limits).err(), Some(error), "{document}");
    }
    let event = to_binary(br#"{"id":"1","count":5,"flag":true,"gone":null,"line":"a\nb"}"#, &limits).ok().unwrap();
    let headers: Vec<_> = event.headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
    assert_eq!(headers, [("ce-id", "1"), ("ce-count", "5"), ("ce-flag", "true"), ("ce-line", "a%0Ab")]);
    assert!(event.body.is_empty() && event.content_type.is_none());
}

#[test]
fn cloudevents_modes_follow_the_content_type_batch_first() {
    let event = r#"{"id":"1","source":"/s","type":"t","specversion":"1.0"}"#;
    let batch = format!("[{event},{event}]");
    for (content_type, body, layout) in [
        ("application/cloudevents+json", event, Layout::Single),
        ("Application/CloudEvents", event, Layout::Single),
        ("APPLICATION/CLOUDEVENTS-BATCH+JSON; charset=utf-8", &batch, Layout::Array),
        ("application/cloudevents-batch+json", "[]", Layout::Array),
        ("application/json", event, Layout::Single),
        ("application/json", &batch, Layout::Array),
        ("text/plain", event, Layout::Single),
    ] {
        assert_eq!(post(Format::CloudEvents, "/any", content_type, body).unwrap().layout, layout, "{content_type}");
    }
    for content_type in [
        "application/cloudevents+avro",
        "application/cloudevents-batch+xml",
        "application/cloudeventsx",
        "application/cloudevents+jsonx",
    ] {
        assert_eq!(
            post(Format::CloudEvents, "/", content_type, event).unwrap_err(),
            Refusal::UnsupportedMedia,
            "{content_type}"
        );
    }
    let refused =
        |content_type: &str, body: &str| post(Format::CloudEvents, "/", content_type, body).unwrap_err().code();
    assert_eq!(refused("application/cloudevents+json", &batch), "not_an_object");
    assert_eq!(refused("application/cloudevents-batch+json", event), "not_an_object");
    assert_eq!(refused("application/cloudevents-batch+json", "[5]"), "not_an_object");
    assert_eq!(refused("application/json", "5"), "not_an_object");
    assert_eq!(refused("application/json", "{}"), "missing_attribute");
    assert_eq!(refused("application/json", ""), "empty_body");
    assert_eq!(
        refused("application/cloudevents+json", r#"{"id":1,"source":"/s","type":"t","specversion":"1.0"}"#),
        "missing_attribute"
    );
    assert_eq!(
        refused("application/cloudevents+json", r#"{"id":"1","source":"/s","type":"t","specversion":"2"}"#),
        "unsupported_specversion"
    );
    let twice = r#"{"id":"1","source":"/s","type":"t","specversion":"1.0","data":1,"data_base64":""}"#;
    assert_eq!(refused("application/cloudevents+json", twice), "data_twice");
}

#[test]
fn an_element_that_is_no_event_is_dropped_alone() {
    let event = r#"{"id":"1","source":"/s","type":"t","specversion":"1.0"}"#;
    let nameless = r#"{"source":"/s","type":"t","specversion":"1.0"}"#;
    let body = format!("[{nameless},{event},5]");
    let decoded = post(Format::CloudEvents, "/", "application/cloudevents-batch+json", body).unwrap();
    assert_eq!((decoded.event_count(), decoded.unfit.as_slice()), (3, [0, 2].as_slice()));
    let none = post(Format::CloudEvents, "/", "application/cloudevents-batch+json", format!("[{nameless}]"));
    assert_eq!(none.unwrap_err().code(), "missing_attribute");
}
