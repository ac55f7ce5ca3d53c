//! What stands in an encoded value is judged like any other, and goes out encoded as it came.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: consent
granted_by: [{field: {path: consent, given: ["yes"]}}]
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:8081
primary: true
recipient: processor
purposes: [analytics.reporting.content_performance]
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: shop.view}
match: {format: json, type: view}
fields:
  type: {category: system.operations.schema}
  consent: {category: system.operations}
  payload: {encoding: base64url+json}
  payload.page: {category: system.operations, enum: [home, search]}
  payload.user.id: {category: user.unique_id, role: subject}
  payload.items[].name: {category: system.operations}
  payload.deep: {encoding: json}
  payload.deep.a: {category: system.operations}
  payload.deep.b: {category: user.contact.email}
  note: {category: user.unique_id, encoding: base64}
  $query.data: {encoding: json}
  $query.data.kind: {category: system.operations}
  $query.data.email: {category: user.contact.email}
  $cookie.session: {category: user.unique_id}
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
action: {pseudonymize: {shape: uuid}}
"#;

fn privet(arguments: &[&str], input: &str) -> (Option<i32>, Vec<Value>) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

fn policy() -> tempfile::TempDir {
    let place = tempfile::tempdir().unwrap();
    fs::write(place.path().join("policy.yaml"), POLICY).unwrap();
    place
}

fn request(payload: &str, target: &str) -> Value {
    let note = STANDARD.encode("u-1");
    let body = json!({"type": "view", "consent": "yes", "payload": payload, "note": note, "more": 1}).to_string();
    json!({
        "method": "POST",
        "target": target,
        "headers": [["content-type", "application/json"], ["cookie", "session=s-1; other=o-1"]],
        "body_b64": STANDARD.encode(body),
        "format": "json",
    })
}

fn apply(requests: &[Value]) -> Vec<Value> {
    let policy = policy();
    let lines: String = requests.iter().map(|request| format!("{request}\n")).collect();
    privet(&["apply", "--policies", policy.path().to_str().unwrap(), "--lines"], &lines).1
}

fn body(answer: &Value) -> Value {
    let body = answer["forwards"][0]["body_b64"].as_str().unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_slice(&STANDARD.decode(body).unwrap()).unwrap()
}

#[test]
fn fields_within_an_encoded_value_are_ruled_and_the_value_is_encoded_again() {
    let deep = json!({"a": "kept", "b": "marla@example.com", "c": 1}).to_string();
    let inner = json!({
        "page": "home",
        "user": {"id": "u-1", "name": "Marla"},
        "items": [{"name": "kettle", "secret": "s"}],
        "deep": deep,
        "extra": true,
    });
    let payload = URL_SAFE_NO_PAD.encode(inner.to_string());
    let answers =
        apply(&[request(&payload, "/?data=%7B%22kind%22%3A%22a%22%2C%22email%22%3A%22m%40x.example%22%7D&x=1")]);
    let left = body(&answers[0]);
    let inner = URL_SAFE_NO_PAD.decode(left["payload"].as_str().unwrap()).unwrap();
    let inner: Value = serde_json::from_slice(&inner).unwrap();
    assert_eq!(inner["page"], "home");
    assert_eq!(inner["items"], json!([{"name": "kettle"}]));
    assert_eq!(serde_json::from_str::<Value>(inner["deep"].as_str().unwrap()).unwrap(), json!({"a": "kept"}));
    let id = inner["user"]["id"].as_str().unwrap();
    assert!(id.len() == 36 && inner["user"].get("name").is_none() && inner.get("extra").is_none(), "{inner}");
    let note = String::from_utf8(STANDARD.decode(left["note"].as_str().unwrap()).unwrap()).unwrap();
    assert_eq!(note, id, "one value has one pseudonym, encoded or not");
    assert!(left.get("more").is_none());
    let forward = &answers[0]["forwards"][0];
    assert_eq!(forward["target"], "/?data=%7B%22kind%22%3A%22a%22%7D");
    let cookie = forward["headers"].as_array().unwrap().iter().find(|pair| pair[0] == "cookie").unwrap();
    assert!(cookie[1].as_str().unwrap().starts_with("session=") && !cookie[1].as_str().unwrap().contains("s-1"));
    let rows = answers[0]["decision"]["events"][0]["fields"].as_array().unwrap();
    for (path, action) in [
        ("payload.page", "keep"),
        ("payload.user.id", "pseudonymize"),
        ("payload.user.name", "drop"),
        ("payload.deep.b", "drop"),
        ("$query.data.kind", "keep"),
        ("$query.data.email", "drop"),
        ("$cookie.session", "pseudonymize"),
    ] {
        assert!(rows.iter().any(|row| row["path"] == path && row["action"] == action), "{path}: {rows:?}");
    }
}

#[test]
fn what_is_not_encoded_as_its_field_says_does_not_leave() {
    let plain = r#"{"page":"home","user":{"id":"u-1"}}"#;
    let twice = URL_SAFE_NO_PAD.encode(r#"{"page":"home","page":"search"}"#);
    let wrong = URL_SAFE_NO_PAD.encode(r#"{"page":"elsewhere"}"#);
    let answers = apply(&[plain, &twice, "", "%%", &wrong].map(|payload| request(payload, "/")));
    for answer in &answers {
        // Whom the event is about cannot be told, or it breaks its contract: nothing leaves.
        assert_eq!(answer["forwards"], json!([]), "{answer}");
        assert_eq!(answer["decision"]["events"][0]["outcome"], "invalid");
    }
}

#[test]
fn a_refusal_under_an_encoded_id_binds_every_event_of_that_person() {
    let event = |id: &str, consent: &str| {
        let payload = URL_SAFE_NO_PAD.encode(json!({"page": "home", "user": {"id": id}}).to_string());
        json!({"type": "view", "consent": consent, "payload": payload})
    };
    let events = json!([event("u-1", "yes"), event("u-2", "yes"), event("u-1", "no")]);
    let mut batch = request("", "/");
    batch["body_b64"] = STANDARD.encode(events.to_string()).into();
    let answers = apply(&[batch]);
    let outcomes: Vec<_> =
        answers[0]["decision"]["events"].as_array().unwrap().iter().map(|event| event["outcome"].clone()).collect();
    assert_eq!(outcomes, ["dropped", "kept", "dropped"], "{}", answers[0]);
}

#[test]
fn a_counterexample_within_an_encoded_value_really_leaks() {
    let policy = policy();
    let named = policy.path().to_str().unwrap();
    for (category, path) in [("user.unique_id", "payload.user.id"), ("system.operations", "payload.page")] {
        let (code, answer) = privet(&["prove", named, "--never", category, "--json"], "");
        assert_eq!(code, Some(1));
        let line = format!("{}\n", answer[0]["counterexample"]);
        let (_, answers) = privet(&["apply", "--policies", named, "--lines"], &line);
        assert_eq!(answers[0]["forwards"].as_array().map(Vec::len), Some(1), "{path} {line} {}", answers[0]);
        let leaves = answer[0]["leaves"].as_array().unwrap();
        assert!(leaves.iter().any(|way| way["field"] == path), "{leaves:?}");
    }
}
