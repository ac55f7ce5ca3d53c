//! OpenTelemetry logs from request to forwarded request, in JSON and in protobuf.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use privet::decode::{DecodeLimits, Scratch, decode};
use privet::keys::Keyring;
use privet::offline::{AssumedDecisions, Parts, Question, Verdict, think};
use privet::transform::Enforcement;
use privet_policy::diagnostic::SourceFile;
use privet_policy::format::Format;
use privet_policy::policy::AgeClass;
use serde_json::{Value, json};

const REQUESTS: &str = include_str!("data/otlp.ndjson");
const PROTOBUF: &str = "application/x-protobuf";

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.system}
basis: consent
granted_by: [{field: {path: "attributes[key=consent.analytics].value.boolValue"}}]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:4318
primary: true
recipient: processor
purposes: [analytics.reporting.system]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.order}
match: {format: otlp, eventName: [order_placed, signup]}
fields:
  "attributes[key=amount].value.*": {keys: [intValue, doubleValue], category: user.behavior.purchase_history}
  "attributes[key=secret].value.*": {keys: [intValue, stringValue], category: user.unique_id}
  "attributes[key=sealed].value.*": {keys: [intValue, stringValue], category: user.account}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.page}
match: {format: otlp, eventName: page_view}
fields:
  "body.kvlistValue.values[key=url].value.stringValue": {category: user.behavior.browsing_history, url: true}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: ids}
data: [user.unique_id, user.device.device_id, system.operations.message_id]
for: [analytics]
action: pseudonymize
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: seals}
data: [user.account]
for: [analytics]
action: {generalize: {url: host}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: times}
data: [user.behavior.event_time]
for: [analytics]
action: {generalize: {time: hour}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: addresses}
data: [user.device.ip_address]
for: [analytics]
action: {generalize: {ip: {v4: 24, v6: 48}}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: texts}
data: [user.content]
for: [analytics]
action: {scrub: {detectors: [EMAIL_ADDRESS, IP_ADDRESS]}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: amounts}
data: [user.behavior.purchase_history]
for: [analytics]
action: {generalize: {number: 10}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: pages}
data: [user.behavior.browsing_history]
for: [analytics]
action: {generalize: {url: host}}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: operations}
data: [system.operations]
for: [analytics]
action: keep
"#;

fn enforcement(policy: &str) -> Enforcement {
    let compiled = privet_policy::compile(&[SourceFile { name: "p.yaml".into(), text: policy.into() }]);
    let policy = compiled.policy.unwrap_or_else(|| panic!("{:?}", compiled.diagnostics));
    Enforcement::new(Arc::new(policy), &Keyring::random().unwrap()).unwrap()
}

fn apply(headers: Vec<(String, String)>, body: Vec<u8>, stored: bool) -> Verdict {
    let enforcement = enforcement(POLICY);
    let parts = Parts {
        method: "POST".to_owned(),
        target: "/v1/logs".to_owned(),
        headers,
        body,
        peer: None,
        time: Timestamp::UNIX_EPOCH,
        format: Some(Format::Otlp),
    };
    let agreed = json!({"*": "given"});
    let stored = if stored { &agreed } else { &json!({}) };
    let stored = AssumedDecisions::read(stored, &enforcement.policy, Timestamp::UNIX_EPOCH).unwrap();
    let question = Question { raw: parts.request().unwrap(), jurisdiction: None, age: AgeClass::Unknown, stored };
    think(&enforcement, &question, &mut Scratch::default()).unwrap_or_else(|refused| panic!("{refused:?}"))
}

fn of_json(body: &Value) -> Verdict {
    apply(vec![("content-type".into(), "application/json".into())], body.to_string().into_bytes(), false)
}

fn sent(verdict: &Verdict) -> Value {
    assert_eq!(verdict.forwards.len(), 1, "{}", verdict.decision);
    serde_json::from_slice(&verdict.forwards[0].forward.body).unwrap()
}

/// One record under one scope and one resource.
fn request(record: Value) -> Value {
    json!({"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]})
}

fn attribute(key: &str, value: Value) -> Value {
    json!({"key": key, "value": value})
}

fn agreed() -> Value {
    attribute("consent.analytics", json!({"boolValue": true}))
}

/// What leaves of one record with these attributes, who agreed.
fn attributes(attributes: &[Value]) -> Value {
    let all: Vec<Value> = attributes.iter().cloned().chain([agreed()]).collect();
    let body = sent(&of_json(&request(json!({"eventName": "order_placed", "attributes": all}))));
    body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0]["attributes"].clone()
}

#[test]
fn every_request_goes_through_and_leaves_in_its_own_encoding_without_what_is_personal() {
    let mut kept = 0;
    for line in REQUESTS.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let headers = case["headers"].as_array().unwrap().iter();
        let mut headers: Vec<(String, String)> = headers.map(|pair| (text(&pair[0]), text(&pair[1]))).collect();
        let mut body = STANDARD.decode(text(&case["body_b64"])).unwrap();
        if let Some(place) = headers.iter().position(|(_, value)| value == "deflate") {
            headers.remove(place);
            let mut plain = Vec::new();
            std::io::Read::read_to_end(&mut flate2::read::ZlibDecoder::new(&body[..]), &mut plain).unwrap();
            body = plain;
        }
        let verdict = apply(headers.clone(), body, true);
        assert_eq!(verdict.status, 200, "{}", case["id"]);
        let events = verdict.decision["events"].as_array().unwrap();
        assert_eq!(events.len() as u64, case["expect"]["events"].as_u64().unwrap());
        let named = case["expect"]["types"][0] != "browser.page_view" && case["expect"]["types"].is_array();
        assert!(
            events.iter().all(|event| event["outcome"] == if named { "kept" } else { "unmatched" }),
            "{}",
            case["id"]
        );
        if !named {
            assert!(verdict.forwards.is_empty());
            continue;
        }
        let forward = &verdict.forwards[0].forward;
        let media =
            headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("content-type")).map(|(_, media)| media.clone());
        assert_eq!(forward.headers["content-type"], media.unwrap(), "{}", case["id"]);
        assert_eq!(forward.target, "/v1/logs");
        let bytes = String::from_utf8_lossy(&forward.body).into_owned();
        for personal in ["marla", "odalys", "Marla", "user-1001", "203.0.113.41", "202-555", "x-api-key"] {
            assert!(!bytes.contains(personal), "{}: {personal} left", case["id"]);
        }
        assert!(bytes.contains("enduser.id") || bytes.contains("signup"), "{}", case["id"]);
        assert!(!bytes.contains("user.email"), "{}: a key without its value", case["id"]);
        // What leaves is a request of the same protocol, with as many records.
        let again = Parts {
            method: "POST".to_owned(),
            target: "/v1/logs".to_owned(),
            headers: vec![("content-type".into(), forward.headers["content-type"].to_str().unwrap().into())],
            body: forward.body.to_vec(),
            peer: None,
            time: Timestamp::UNIX_EPOCH,
            format: Some(Format::Otlp),
        };
        let again = decode(&again.request().unwrap(), &DecodeLimits::default(), &mut Scratch::default()).unwrap();
        assert_eq!(again.event_count(), events.len());
        kept += events.len();
    }
    assert_eq!(kept, 4 * 4 + 3 * 2);
}

#[test]
fn an_attribute_leaves_with_its_key_and_value_or_not_at_all() {
    let leaves = attributes(&[
        attribute("client.address", json!({"stringValue": "203.0.113.41"})),
        attribute("client.address", json!({"intValue": "7"})),
        attribute("user.email", json!({"stringValue": "marla@example.com"})),
        attribute("amount", json!({"intValue": "42", "stringValue": "42 euro"})),
        attribute("amount", json!({"stringValue": "42"})),
        attribute("undeclared", json!({"stringValue": "x"})),
        json!({"key": "amount"}),
        json!("amount"),
    ]);
    let expected = [
        attribute("client.address", json!({"stringValue": "203.0.113.0"})),
        attribute("amount", json!({"intValue": "40"})),
    ];
    assert_eq!(leaves, json!(expected));
}

#[test]
fn one_key_twice_is_ruled_twice() {
    let twice = attribute("client.address", json!({"stringValue": "203.0.113.41"}));
    let expected = attribute("client.address", json!({"stringValue": "203.0.113.0"}));
    assert_eq!(attributes(&[twice.clone(), twice]), json!([expected.clone(), expected]));
}

#[test]
fn what_an_action_makes_has_to_fit_its_field() {
    let record = json!({
        "eventName": "order_placed",
        "traceId": "5b8efff798038103d269b633813fc60c",
        "spanId": "5b8efff798038103",
        "timeUnixNano": "1795384246399000000",
        "observedTimeUnixNano": 1795384246399000000_u64,
        "attributes": [agreed(), attribute("secret", json!({"intValue": "1001"})), attribute("sealed", json!({"intValue": "7"})), attribute("user.id", json!({"stringValue": "u-1"}))],
    });
    let body = sent(&of_json(&request(record)));
    let record = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(record["timeUnixNano"], "1795381200000000000");
    assert_eq!(record["observedTimeUnixNano"], 1795381200000000000_u64);
    for (id, length) in [("traceId", 32), ("spanId", 16)] {
        let id = record[id].as_str().unwrap();
        assert!(id.len() == length && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        assert!(!id.starts_with("5b8e"), "{id}");
    }
    let attributes = record["attributes"].as_array().unwrap();
    assert_eq!(attributes.len(), 2, "no host is a number: {attributes:?}");
    let number: i64 = attributes[0]["value"]["intValue"].as_str().unwrap().parse().unwrap();
    assert!(number > 100_000_000_000_000_000);
    assert_eq!(attributes[1]["value"]["stringValue"].as_str().unwrap().len(), 24);
}

#[test]
fn resource_and_scope_leave_as_far_as_all_their_records_let_them_and_not_without_one() {
    let event = |name: &str, given: bool| json!({"eventName": name, "attributes": [attribute("consent.analytics", json!({"boolValue": given}))]});
    let resource = |name: &str| json!({"attributes": [attribute("service.name", json!({"stringValue": name})), attribute("host.id", json!({"stringValue": "h-1"}))], "droppedAttributesCount": 0});
    let body = json!({"resourceLogs": [
        {"resource": resource("shop"), "schemaUrl": "https://opentelemetry.io/schemas/1.37.0", "secret": "x", "scopeLogs": [
            {"scope": {"name": "a", "version": "1"}, "logRecords": [event("order_placed", true), event("order_placed", false)]},
            {"scope": {"name": "b"}, "logRecords": [event("unknown", true)]},
        ]},
        {"resource": resource("other"), "scopeLogs": [{"logRecords": [event("page_view", false)]}]},
    ]});
    let verdict = of_json(&body);
    let outcomes: Vec<_> =
        verdict.decision["events"].as_array().unwrap().iter().map(|event| &event["outcome"]).collect();
    assert_eq!(outcomes, ["kept", "dropped", "unmatched", "dropped"]);
    let body = sent(&verdict);
    let all = body["resourceLogs"].as_array().unwrap();
    assert_eq!(all.len(), 1);
    // One of the records was withheld, so nothing of the resource that is about a person leaves.
    let expected =
        json!({"attributes": [attribute("service.name", json!({"stringValue": "shop"}))], "droppedAttributesCount": 0});
    assert_eq!(all[0]["resource"], expected);
    assert_eq!(all[0]["schemaUrl"], "https://opentelemetry.io/schemas/1.37.0");
    assert_eq!(all[0].get("secret"), None);
    assert_eq!(
        all[0]["scopeLogs"],
        json!([{"scope": {"name": "a", "version": "1"}, "logRecords": [{"eventName": "order_placed", "attributes": []}]}])
    );
}

#[test]
fn a_refusal_in_one_record_binds_the_person_in_another() {
    let event = |key: &str, given: bool| {
        let consent = attribute("consent.analytics", json!({"boolValue": given}));
        json!({"eventName": "order_placed", "attributes": [attribute(key, json!({"stringValue": "user-1"})), consent]})
    };
    let scope = |records: Value| json!({"scopeLogs": [{"logRecords": records}]});
    let body =
        json!({"resourceLogs": [scope(json!([event("user.id", true)])), scope(json!([event("enduser.id", false)]))]});
    assert!(of_json(&body).forwards.is_empty());
}

#[test]
fn members_in_snake_case_do_not_leave() {
    let record = json!({
        "eventName": "order_placed",
        "severity_text": "INFO",
        "body": {"string_value": "marla"},
        "attributes": [agreed(), {"key": "user.id", "value": {"string_value": "u-1"}}],
    });
    let body = sent(&of_json(&request(record)));
    let record = &body["resourceLogs"][0]["scopeLogs"][0]["logRecords"][0];
    assert_eq!(*record, json!({"eventName": "order_placed", "body": {}, "attributes": []}));
}

#[test]
fn a_protobuf_request_leaves_as_the_json_one_that_says_the_same() {
    // A record with an attribute `client.address`, and one with `consent.analytics`.
    let field = |number: u8, bytes: &[u8]| [&[number << 3 | 2, u8::try_from(bytes.len()).unwrap()], bytes].concat();
    let key_value = |key: &str, value: &[u8]| [field(1, key.as_bytes()), field(2, value)].concat();
    let record = [
        field(6, &key_value("client.address", &field(1, b"203.0.113.41"))),
        field(6, &key_value("user.email", &field(1, b"marla@example.com"))),
        field(6, &key_value("consent.analytics", &[0x10, 1])),
        field(12, b"order_placed"),
    ]
    .concat();
    let around = |record: &[u8]| [&[0x0a][..], &inner(record)].concat();
    fn inner(record: &[u8]) -> Vec<u8> {
        let varint = |length: usize| -> Vec<u8> {
            if length < 128 { vec![length as u8] } else { vec![(length & 127) as u8 | 128, (length >> 7) as u8] }
        };
        let within = |number: u8, bytes: &[u8]| [&[number << 3 | 2][..], &varint(bytes.len()), bytes].concat();
        let scope = within(2, &within(2, record));
        [varint(scope.len()), scope].concat()
    }
    let verdict = apply(vec![("content-type".into(), PROTOBUF.into())], around(&record), false);
    let expected =
        [field(6, &key_value("client.address", &field(1, b"203.0.113.0"))), field(12, b"order_placed")].concat();
    assert_eq!(verdict.forwards[0].forward.body, around(&expected));
    assert_eq!(verdict.forwards[0].forward.headers["content-type"], PROTOBUF);
}
