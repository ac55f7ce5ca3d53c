//! Bodies that attackers write: refused, never echoed, never a panic.

use crate::{SECRET, asked, binary, event_json, post, read, refused, request};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use privet::decode::{DecodeLimits, Layout};
use privet::formats::cloudevents::to_binary;
use privet::formats::{Bound, Fault, Refusal, answer_refusal};
use privet_json::MalformedKind;
use privet_policy::format::Format;
use proptest::prelude::*;
use serde_json::Value;
use std::io::Write;

#[test]
fn a_bomb_is_refused_by_every_format_before_its_text_is_read() {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(&vec![b' '; 32 * 1024 * 1024]).unwrap();
    let bomb = encoder.finish().unwrap();
    for format in Format::ALL {
        let path = match format {
            Format::Ga4 => "/mp/collect",
            Format::Otlp => "/v1/logs",
            _ => "/v1/batch",
        };
        let raw = request(&[format], "POST", path, &[("content-encoding", "gzip")], bomb.clone());
        assert_eq!(read(&raw).unwrap_err(), Refusal::TooLarge(Bound::Ratio), "{format}");
    }
}

/// Bodies that the strict reader must refuse, each with the kind it must name.
fn hostile() -> Vec<(Vec<u8>, MalformedKind)> {
    let utf16: Vec<u8> = format!("{{\"e\":\"{SECRET}\"}}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    vec![
        (format!("{{\"e\":\"{SECRET}\"").into_bytes(), MalformedKind::UnexpectedEnd),
        (format!("{{\"e\":\"{SECRET}\"}} {{}}").into_bytes(), MalformedKind::TrailingData),
        (format!("\u{feff}{{\"e\":\"{SECRET}\"}}").into_bytes(), MalformedKind::ByteOrderMark),
        (format!("{{\"e\":\"{SECRET}\",\"\\u0065\":1}}").into_bytes(), MalformedKind::DuplicateKey),
        (format!("{{\"e\":\"{SECRET}\\ud800\"}}").into_bytes(), MalformedKind::LoneSurrogate),
        (format!("{{\"e\":\"{SECRET}\u{1}\"}}").into_bytes(), MalformedKind::ControlCharacter),
        (format!("{{\"\\u0000{SECRET}\":1}}").into_bytes(), MalformedKind::NulInKey),
        ([b"{\"e\":\"", SECRET.as_bytes(), b"\xc0\xaf\"}"].concat(), MalformedKind::Utf8),
        (format!("{{\"e\":{}\"{SECRET}\"{}}}", "[".repeat(100), "]".repeat(100)).into_bytes(), MalformedKind::TooDeep),
        (utf16, MalformedKind::UnexpectedByte),
    ]
}

#[test]
fn hostile_bodies_are_refused_and_not_echoed() {
    for (body, kind) in hostile() {
        for (format, target) in [(Format::Segment, "/v1/track"), (Format::Json, "/"), (Format::CloudEvents, "/")] {
            let refusal = refused(format, target, body.clone());
            let Refusal::Malformed { fault: Fault::Json(found), at } = refusal else {
                panic!("{kind:?} {format}: {refusal:?}")
            };
            assert_eq!(found, kind, "{format}");
            assert!(at <= body.len());
            let answer = answer_refusal(Some(format), &refusal, &asked(&HeaderMap::new()));
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
            let told: Value = serde_json::from_slice(answer.body()).unwrap();
            assert!(!told.to_string().contains("quillfeather"));
            assert_eq!(told[if format == Format::Segment { "code" } else { "error" }], kind.code());
        }
        assert!(
            matches!(read(&binary(&[("content-type", "application/json")], &body)), Err(Refusal::Malformed { .. })),
            "{kind:?}"
        );
        assert!(matches!(refused(Format::Ndjson, "/", body), Refusal::Malformed { .. }), "{kind:?}");
    }
}

#[test]
fn other_charsets_are_refused_before_anything_is_read() {
    for format in Format::ALL {
        let path = match format {
            Format::Ga4 => "/mp/collect",
            Format::Otlp => "/v1/logs",
            _ => "/v1/track",
        };
        let refusal = post(format, path, "application/json; charset=utf-16", "{}").unwrap_err();
        assert_eq!(refusal, Refusal::UnsupportedCharset, "{format}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// No bytes, path, type or attribute make the decoder panic, and what decodes
    /// is inside the body.
    #[test]
    fn arbitrary_requests_never_panic(
        body in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            r#"[\[\]{}",:\\ \n0-9a-z]{0,60}"#.prop_map(String::into_bytes),
            r#"(\{"(batch|events|id|type|data)":("x"|\[\{\}\]|1)\}\n?){0,4}"#.prop_map(String::into_bytes),
        ],
        format in proptest::option::of(0usize..Format::ALL.len()),
        path in prop_oneof![Just("/v1/t"), Just("/v1/batch"), Just("/v1/m"), Just("/mp/collect?a=1"), Just("/beacon/v1/batch?%"), Just("/"), Just("?"), Just("/x#")],
        coding in prop_oneof![Just(""), Just("gzip"), Just("br"), Just("zstd"), Just("deflate")],
        content_type in prop_oneof![Just("application/json"), Just("application/x-ndjson"), Just("application/cloudevents-batch+json"), Just(";charset"), Just("text/plain; charset=us-ascii")],
        attribute in proptest::option::of(r#"[ -~]{0,20}"#),
    ) {
        let formats: Vec<_> = format.map(|at| Format::ALL[at]).into_iter().collect();
        let mut raw = request(&formats, "POST", path, &[("content-encoding", coding), ("content-type", content_type)], body);
        if let Some(value) = attribute {
            for name in ["ce-id", "ce-source", "ce-type", "ce-subject"] {
                raw.headers.insert(HeaderName::from_static(name), HeaderValue::from_str(&value).unwrap());
            }
            raw.headers.insert("ce-specversion", HeaderValue::from_static("1.0"));
        }
        if let Ok(decoded) = read(&raw) {
            for &event in &decoded.events {
                let span = decoded.index.node(&decoded.body, event).span();
                prop_assert!(decoded.body.get(span).is_some());
                let _ = decoded.event_type(event);
            }
            if decoded.layout == Layout::BinaryCloudEvent {
                prop_assert!(to_binary(&decoded.body, &DecodeLimits::default().json).is_ok());
            }
        }
    }

    /// Any text survives the way through headers and back.
    #[test]
    fn any_attribute_and_any_data_survive_binary_mode(subject in r"\PC{1,40}", data in proptest::collection::vec(any::<u8>(), 0..64)) {
        let document = serde_json::json!({
            "id": "1", "source": "/s", "type": "t", "specversion": "1.0", "subject": subject,
            "datacontenttype": "application/octet-stream", "data_base64": STANDARD.encode(&data),
        });
        let event = to_binary(document.to_string().as_bytes(), &DecodeLimits::default().json).ok().unwrap();
        let mut raw = request(&[Format::CloudEvents], "POST", "/", &[("content-type", "application/octet-stream")], event.body.to_vec());
        raw.headers.extend(event.headers);
        let decoded = read(&raw).unwrap();
        let back = event_json(&decoded, 0);
        prop_assert_eq!(&back["subject"], &document["subject"]);
        let again = to_binary(&decoded.body, &DecodeLimits::default().json).ok().unwrap();
        prop_assert_eq!(again.body.as_ref(), data.as_slice());
    }
}
