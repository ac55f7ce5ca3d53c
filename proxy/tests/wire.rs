//! What leaves of whole requests of RudderStack and GA4: headers, cookies, queries and paths with the body,
//! and what passes that is no event.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: legal_obligation
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
purposes: [analytics.reporting.content_performance]
paths: [/sourceConfig/, /health, /internal/v1/replay]
headers: {x-from: privet}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.view}
match: {format: rudderstack, type: [track, page, identify]}
fields:
  properties.sku: {category: system.operations}
  $query.p: {role: schema, category: system.operations.schema}
  $query.person: {role: schema, category: user.unique_id}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.purchase}
match: {format: ga4, name: purchase}
fields:
  params.currency: {category: system.operations}
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: operations}
data: [system.operations]
for: [analytics.reporting]
action: keep
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: ids}
data: [user.unique_id]
for: [analytics.reporting]
action: pseudonymize
"#;

/// What `apply --lines` says of some requests under a policy, every one in the same process.
fn apply_under(policy: &str, requests: &[Value]) -> Vec<Value> {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("policy.yaml"), policy).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(["apply", "--lines", "--policies", place.path().to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn apply(requests: &[Value]) -> Vec<Value> {
    apply_under(POLICY, requests)
}

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let headers: Vec<_> = headers.iter().map(|(name, value)| json!([name, value])).collect();
    json!({"method": method, "target": target, "headers": headers, "body_b64": STANDARD.encode(body)})
}

fn body(forward: &Value) -> Value {
    let bytes = STANDARD.decode(forward["body_b64"].as_str().unwrap()).unwrap();
    serde_json::from_slice(&bytes).unwrap_or_else(|_| json!(String::from_utf8(bytes).unwrap()))
}

fn header(forward: &Value, name: &str) -> Option<String> {
    let headers = forward["headers"].as_array().unwrap().iter();
    headers.filter(|pair| pair[0] == name).map(|pair| pair[1].as_str().unwrap().to_owned()).next()
}

#[test]
fn the_id_of_a_header_leaves_as_the_pseudonym_of_the_body_in_base64() {
    let headers = [
        ("AnonymousId", "YW5vbi0x"),
        ("SentAt", "2026-11-22T21:56:20.442Z"),
        ("Authorization", "Basic d2s6"),
        ("Cookie", "rl_user_id=RS_ENC_v3_InVzZXItMTAwMiI%3D; rl_trait=x"),
        ("User-Agent", "Mozilla/5.0"),
    ];
    let event = r#"{"anonymousId":"anon-1","userId":"u-1","type":"track","properties":{"sku":"K-1"},"request_ip":"203.0.113.7"}"#;
    let said = apply(&[request("POST", "/v1/track", &headers, event)]);
    let forward = &said[0]["forwards"][0];
    let anonymous = body(forward)["anonymousId"].as_str().unwrap().to_owned();
    assert_ne!(anonymous, "anon-1");
    assert_eq!(header(forward, "anonymousid"), Some(STANDARD.encode(&anonymous)));
    assert_eq!(header(forward, "authorization").as_deref(), Some("Basic d2s6"));
    for name in ["cookie", "sentat", "user-agent"] {
        assert_eq!(header(forward, name), None, "{name}");
    }
    assert_eq!(body(forward).get("request_ip"), None);
}

#[test]
fn a_header_that_is_not_encoded_as_it_should_be_stays_here() {
    let event = r#"{"userId":"u-1","type":"track"}"#;
    for value in ["anon-1", "YW5vbi0x=", "YW5v bi0x", "/w=="] {
        let said = apply(&[request("POST", "/v1/track", &[("AnonymousId", value)], event)]);
        assert_eq!(header(&said[0]["forwards"][0], "anonymousid"), None, "{value}");
    }
}

#[test]
fn a_beacon_keeps_its_write_key_and_loses_every_other_parameter() {
    let batch = r#"{"batch":[{"userId":"u-1","type":"track"}]}"#;
    let said = apply(&[
        request("POST", "/beacon/v1/batch?writeKey=wk&uid=u-1", &[("content-type", "text/plain")], batch),
        request("POST", "/beacon/v1/batch?writeKey=wk&writeKey=u-1", &[], batch),
    ]);
    assert_eq!(said[0]["forwards"][0]["target"], "/beacon/v1/batch?writeKey=wk");
    assert_eq!((&said[1]["status"], said[1].get("forwards")), (&json!(400), None));
}

#[test]
fn a_pixel_leaves_as_a_query_again() {
    let target = "/pixel/v1/page?writeKey=wk&anonymousId=%22anon-1%22&context.page.url=https%3A%2F%2Fx.example%2F%3Fu%3D1&properties.sku=K%261&secret=x";
    let mut as_usual = request("GET", target, &[], "");
    as_usual.as_object_mut().unwrap().remove("method");
    let said = apply(&[request("GET", target, &[], ""), request("POST", target, &[], "{}"), as_usual]);
    assert_eq!(said[2]["forwards"][0]["method"], "GET", "a request without a body and a method is fetched");
    let forward = &said[0]["forwards"][0];
    assert_eq!((&said[0]["status"], &forward["method"], body(forward)), (&json!(200), &json!("GET"), json!("")));
    let leaves = forward["target"].as_str().unwrap();
    let (path, query) = leaves.split_once('?').unwrap();
    assert_eq!(path, "/pixel/v1/page");
    let names: Vec<&str> = query.split('&').map(|pair| pair.split_once('=').unwrap().0).collect();
    assert_eq!(names, ["anonymousId", "properties.sku", "writeKey"]);
    assert!(leaves.contains("properties.sku=K%261") && !leaves.contains("anon-1"));
    assert_eq!(said[1]["status"], 405, "a pixel is fetched");
}

#[test]
fn a_purchase_leaves_with_its_secret_and_its_client_as_a_pseudonym() {
    let event = r#"{"client_id":"12.34","user_properties":{"email":{"value":"marla@example.com"}},"events":[{"name":"purchase","params":{"currency":"EUR","note":"marla"}},{"name":"other"}]}"#;
    let said = apply(&[request("POST", "/mp/collect?api_secret=s&measurement_id=G-1&uid=u-1", &[], event)]);
    let forward = &said[0]["forwards"][0];
    assert_eq!(said[0]["status"], 204);
    assert_eq!(forward["target"], "/mp/collect?api_secret=s&measurement_id=G-1");
    let left = body(forward);
    assert_eq!(left["events"], json!([{"name": "purchase", "params": {"currency": "EUR"}}]));
    assert_ne!(left["client_id"], "12.34");
    assert_eq!(left.as_object().unwrap().len(), 2);
}

#[test]
fn settings_pass_where_a_destination_lists_them_with_nothing_of_the_person() {
    let headers = [
        ("Authorization", "Basic d2s6"),
        ("Cookie", "rl_user_id=u-1"),
        ("User-Agent", "Mozilla/5.0"),
        ("AnonymousId", "YW5vbi0x"),
    ];
    let settings = "/sourceConfig/?p=npm&writeKey=wk&v=3&uid=u-1&person=u-1";
    let said = apply(&[request("GET", settings, &headers, "")]);
    let forward = &said[0]["forwards"][0];
    assert_eq!((&said[0]["status"], &said[0]["decision"]), (&json!(200), &json!({"events": []})));
    assert_eq!(forward["method"], "GET");
    let target = forward["target"].as_str().unwrap();
    let mut query: Vec<&str> = target.strip_prefix("/sourceConfig/?").unwrap().split('&').collect();
    query.sort_unstable();
    assert_eq!(query, ["p=npm", "writeKey=wk"]);
    let names: Vec<&str> =
        forward["headers"].as_array().unwrap().iter().map(|pair| pair[0].as_str().unwrap()).collect();
    assert_eq!(names.len(), 2);
    assert!(names.contains(&"authorization") && names.contains(&"x-from"));
}

#[test]
fn what_is_not_listed_not_fetched_or_internal_does_not_pass() {
    let all = [
        request("GET", "/version", &[], ""),
        request("GET", "/sourceConfig", &[], ""),
        request("GET", "/health?x", &[], "body"),
        request("POST", "/health", &[], "{}"),
        request("HEAD", "/health", &[], ""),
        request("GET", "/internal/v1/replay", &[], ""),
    ];
    for (number, mut line) in all.into_iter().enumerate() {
        line["format"] = json!("rudderstack");
        let said = apply(&[line]);
        assert!(said[0]["status"].as_u64().unwrap() >= 400, "{number}: {}", said[0]);
        assert!(said[0].get("forwards").is_none_or(|forwards| forwards == &json!([])), "{number}");
    }
}

#[test]
fn a_rule_that_drops_keys_keeps_them_from_settings_too() {
    let policy = format!(
        "{POLICY}---\napiVersion: privet.dev/v1alpha1\nkind: Rule\nmetadata: {{name: keys}}\ndata: [system.authentication]\nfor: [analytics.reporting]\naction: drop\n"
    );
    let said =
        apply_under(&policy, &[request("GET", "/sourceConfig/?writeKey=wk", &[("Authorization", "Basic d2s6")], "")]);
    let forward = &said[0]["forwards"][0];
    assert_eq!((&forward["target"], header(forward, "authorization")), (&json!("/sourceConfig/"), None));
}
