//! Snowplow's trackers through decode, decide and transform: what leaves of real requests,
//! and that it still is what the collector takes.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use jiff::Timestamp;
use privet::decode::Scratch;
use privet::keys::{Keyring, Secret};
use privet::offline::{AssumedDecisions, Parts, Question, Sent, Verdict, think};
use privet::policies;
use privet::transform::Enforcement;
use privet_policy::diagnostic::SourceFile;
use privet_policy::format::Format;
use privet_policy::policy::AgeClass;
use serde_json::{Value, json};

const CAPTURES: &str = include_str!("data/snowplow.ndjson");
const TP2: &str = "/com.snowplowanalytics.snowplow/tp2";
const PAYLOAD: &str = "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4";

const POLICY: &str = r#"
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: visit}
match: {format: snowplow, e: [pv, pp, se, tr, ti]}
---
apiVersion: privet.dev/v1alpha1
kind: Contract
metadata: {name: signup}
match: {format: snowplow, schema: iglu:com.example/signup/jsonschema/1}
fields:
  ue_px: {encoding: base64url+json}
  ue_px.data.data.email: {category: user.contact.email}
  ue_px.data.data.plan: {category: system.operations}
  "cx.data[schema=iglu:com.example/plan/jsonschema/1-0-0].data.price": {category: system.operations}
---
apiVersion: privet.dev/v1alpha1
kind: Purpose
metadata: {name: analytics.reporting.content_performance}
basis: legal_obligation
---
apiVersion: privet.dev/v1alpha1
kind: Destination
metadata: {name: collector}
url: http://127.0.0.1:1
primary: true
recipient: processor
purposes: [analytics.reporting.content_performance]
paths: [/com.listed/path]
---
apiVersion: privet.dev/v1alpha1
kind: Rule
metadata: {name: ids}
data: [user.unique_id, user.contact.email, system.operations.message_id]
for: [analytics]
action: pseudonymize
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

/// What names people in the captures.
const PERSONAL: [&str; 9] =
    ["marla", "odalys", "quillfeather", "user-100", "203.0.113.41", "202-555", "email=", "Mozilla", "Kettles"];

fn enforcement() -> Enforcement {
    let file = SourceFile { name: "policy.yaml".to_owned(), text: POLICY.to_owned() };
    let loaded = policies::compile(&[file]);
    let (policy, _) = loaded.policy.unwrap_or_else(|| panic!("{:?}", loaded.diagnostics));
    Enforcement::new(Arc::new(policy), &Keyring::of_one(Secret::new([0; 32]))).unwrap()
}

fn ask(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Verdict {
    let parts = Parts {
        method: method.to_owned(),
        target: target.to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: body.as_bytes().to_vec(),
        peer: None,
        time: Timestamp::UNIX_EPOCH,
        format: Some(Format::Snowplow),
    };
    let question = Question {
        raw: parts.request().unwrap(),
        jurisdiction: None,
        age: AgeClass::Unknown,
        stored: AssumedDecisions::default(),
    };
    think(&enforcement(), &question, &mut Scratch::default()).unwrap_or_else(|refused| panic!("{}", refused.refusal))
}

/// The events of a request that left, as their tracker would have written them.
fn events(sent: &Sent) -> Vec<Value> {
    if sent.forward.body.is_empty() {
        let query = sent.forward.target.split_once('?').unwrap().1;
        let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8().unwrap().into_owned();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap());
        return vec![
            pairs.map(|(name, value)| (decoded(name), json!(decoded(value)))).collect::<serde_json::Map<_, _>>().into(),
        ];
    }
    let payload: Value = serde_json::from_slice(&sent.forward.body).unwrap();
    assert_eq!(payload.as_object().unwrap().len(), 2);
    assert!(payload["schema"].as_str().unwrap().contains("/payload_data/jsonschema/1-"));
    payload["data"].as_array().unwrap().clone()
}

fn undone(text: &str) -> Option<Vec<u8>> {
    [URL_SAFE_NO_PAD, URL_SAFE, STANDARD, STANDARD_NO_PAD].iter().find_map(|engine| engine.decode(text).ok())
}

/// The self-describing JSON of an event under either name.
fn opened(event: &Value, text: &str, base64: &str) -> Option<Value> {
    let plain = event.get(text).map(|value| value.as_str().unwrap().to_owned().into_bytes());
    let json = plain.or_else(|| undone(event.get(base64)?.as_str()?))?;
    Some(serde_json::from_slice(&json).unwrap())
}

/// What `payload_data`, `unstruct_event` and `contexts` ask of an event.
fn check_schemas(event: &Value, required: &[&str]) {
    assert!(event.as_object().unwrap().values().all(Value::is_string), "{event}");
    assert!(required.iter().all(|name| event.get(*name).is_some()), "{event}");
    let described = |value: &Value| value["schema"].is_string() && value.get("data").is_some();
    if let Some(said) = opened(event, "ue_pr", "ue_px") {
        assert!(described(&said) && described(&said["data"]), "{said}");
    }
    if let Some(around) = opened(event, "co", "cx") {
        let list = around["data"].as_array().unwrap();
        assert!(described(&around) && !list.is_empty() && list.iter().all(described), "{around}");
    }
}

#[test]
fn nothing_of_a_person_is_in_what_leaves_of_any_capture_and_all_of_it_keeps_its_schema() {
    let (mut left, mut described) = (0, 0);
    for line in CAPTURES.lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let headers: Vec<(&str, &str)> = case["headers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|pair| (pair[0].as_str().unwrap(), pair[1].as_str().unwrap()))
            .collect();
        let body = STANDARD.decode(case["body_b64"].as_str().unwrap()).unwrap();
        let body = std::str::from_utf8(&body).unwrap();
        let verdict = ask(case["method"].as_str().unwrap(), case["target"].as_str().unwrap(), &headers, body);
        for sent in &verdict.forwards {
            let post = !sent.forward.body.is_empty();
            for event in events(sent) {
                check_schemas(&event, if post { &["e", "p", "tv"] } else { &["e"] });
                let said = opened(&event, "ue_pr", "ue_px");
                described += usize::from(said.is_some());
                let all = format!("{event}{said:?}{:?}", opened(&event, "co", "cx"));
                for personal in PERSONAL {
                    assert!(!all.contains(personal), "{}: {personal} left: {all}", case["id"]);
                }
                left += 1;
            }
            let around = format!("{:?}", sent.forward.headers);
            assert!(PERSONAL.iter().all(|personal| !around.contains(personal)), "{}: {around}", case["id"]);
            assert!(!sent.forward.headers.contains_key("cookie"), "{}", case["id"]);
        }
    }
    assert_eq!((left, described), (60, 10));
}

fn signup(name: &str, value: &str, more: &Value) -> String {
    let mut event = json!({"e": "ue", "p": "web", "tv": "js-4", "eid": "bff29979-f7a4-42f6-97e1-c86afc6dc2bb"});
    event[name] = json!(value);
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"schema": PAYLOAD, "data": [event]}).to_string()
}

fn said(schema: &str, data: &Value) -> Value {
    json!({"schema": "iglu:com.snowplowanalytics.snowplow/unstruct_event/jsonschema/1-0-0", "data": {"schema": schema, "data": data}})
}

fn entities(list: &Value) -> String {
    json!({"schema": "iglu:com.snowplowanalytics.snowplow/contexts/jsonschema/1-0-1", "data": list}).to_string()
}

#[test]
fn one_contract_holds_for_every_revision_and_for_both_encodings() {
    let data = json!({"email": "marla@example.com", "plan": "basic", "undeclared": 1});
    let mut leaving = Vec::new();
    for revision in ["1-0-0", "1-2-3", "1-10-0"] {
        let said = said(&format!("iglu:com.example/signup/jsonschema/{revision}"), &data).to_string();
        for (name, value) in
            [("ue_pr", said.clone()), ("ue_px", URL_SAFE_NO_PAD.encode(&said)), ("ue_px", STANDARD.encode(&said))]
        {
            let verdict = ask("POST", TP2, &[], &signup(name, &value, &json!({})));
            let event = &events(&verdict.forwards[0])[0];
            assert!(event.get(name).is_some(), "it leaves as it came");
            let inner = opened(event, "ue_pr", "ue_px").unwrap()["data"]["data"].clone();
            assert_eq!(inner["plan"], "basic");
            leaving.push(inner);
        }
    }
    leaving.dedup();
    assert_eq!(leaving.len(), 1);
    assert_eq!(leaving[0].as_object().unwrap().len(), 2);
    for other in [
        "iglu:com.example/signup/jsonschema/2-0-0",
        "iglu:com.example/signup/jsonschema/10-0-0",
        "iglu:com.other/signup/jsonschema/1-0-0",
    ] {
        let verdict = ask("POST", TP2, &[], &signup("ue_pr", &said(other, &data).to_string(), &json!({})));
        assert_eq!(verdict.decision["events"][0]["outcome"], "unmatched", "{other}");
    }
}

#[test]
fn entities_leave_by_their_schema_and_a_list_of_none_is_none() {
    let signed = said("iglu:com.example/signup/jsonschema/1-0-0", &json!({"email": "m@example.com"})).to_string();
    let price = json!({"schema": "iglu:com.example/plan/jsonschema/1-0-7", "data": {"price": 3, "owner": "Marla"}});
    let other = json!({"schema": "iglu:com.example/plan/jsonschema/11-0-0", "data": {"price": 4}});
    let owner = json!({"schema": "iglu:com.example/owner/jsonschema/1-0-0", "data": {"name": "Marla"}});
    let place = json!({"schema": "iglu:com.snowplowanalytics.snowplow/geolocation_context/jsonschema/1-1-0", "data": {"latitude": 52.5, "longitude": 13.4}});
    let around = |list: Value| {
        let more = json!({"cx": URL_SAFE_NO_PAD.encode(entities(&list))});
        let verdict = ask("POST", TP2, &[], &signup("ue_pr", &signed, &more));
        opened(&events(&verdict.forwards[0])[0], "co", "cx").map(|around| around["data"].clone())
    };
    let left = json!([{"schema": "iglu:com.example/plan/jsonschema/1-0-7", "data": {"price": 3}}]);
    assert_eq!(around(json!([owner, price, other, place])), Some(left));
    assert_eq!(around(json!([owner, place, other])), None);
    assert_eq!(around(json!([])), None);
}

#[test]
fn an_event_of_which_no_data_leaves_still_keeps_its_schema() {
    let signed = said("iglu:com.example/signup/jsonschema/1-0-0", &json!({"name": "Marla"})).to_string();
    let verdict = ask("POST", TP2, &[], &signup("ue_pr", &signed, &json!({})));
    let left = opened(&events(&verdict.forwards[0])[0], "ue_pr", "ue_px").unwrap();
    assert_eq!(left, said("iglu:com.example/signup/jsonschema/1-0-0", &json!({})));
}

#[test]
fn ids_stay_what_enrichment_reads() {
    let page = json!([{"schema": "iglu:com.snowplowanalytics.snowplow/web_page/jsonschema/1-0-0", "data": {"id": "db4ef65a-71b6-4849-8845-6441b380edc8"}}]);
    let more = json!({"e": "pv", "sid": "cff4b9a8-c245-4aff-8c3d-763f373a628a", "tid": "851830", "duid": "d-1", "co": entities(&page)});
    let verdict = ask("POST", TP2, &[], &signup("uid", "user-1001", &more));
    let event = &events(&verdict.forwards[0])[0];
    let uuid = |text: &Value| text.as_str().unwrap().split('-').map(str::len).collect::<Vec<_>>() == [8, 4, 4, 4, 12];
    let page = opened(event, "co", "cx").unwrap()["data"][0]["data"]["id"].clone();
    assert!(uuid(&event["eid"]) && uuid(&event["sid"]) && uuid(&page), "{event}");
    assert_ne!(page, "db4ef65a-71b6-4849-8845-6441b380edc8");
    assert_eq!(event["uid"].as_str().unwrap().len(), 24, "an id that may be anything");
    assert!(event.get("tid").is_none(), "no pseudonym is a number of 32 bits");
}

#[test]
fn a_path_of_the_sender_s_own_leaves_only_where_it_is_listed() {
    let body = json!({"schema": PAYLOAD, "data": [{"e": "pv", "p": "web", "tv": "js"}]}).to_string();
    let target = |method: &str, path: &str, body: &str| ask(method, path, &[], body).forwards[0].forward.target.clone();
    assert_eq!(target("POST", "/com.marla/v1?uid=user-1001", &body), TP2);
    assert_eq!(target("POST", "/com.listed/path", &body), "/com.listed/path");
    assert_eq!(target("GET", "/com.marla/v1?e=pv", ""), "/i?e=pv");
    assert_eq!(target("HEAD", "/ice.png?e=pv&zz=1", ""), "/ice.png?e=pv");
    let verdict =
        ask("HEAD", "/i?e=pv&p=web&tv=js+1%2B", &[("sp-anonymous", "*"), ("cookie", "sp=1; _sp_id.1fff=x")], "");
    let sent = &verdict.forwards[0].forward;
    assert_eq!((sent.method.as_str(), sent.target.as_str()), ("HEAD", "/i?e=pv&p=web&tv=js%201%2B"));
    assert_eq!(sent.headers["sp-anonymous"], "*");
    assert!(!sent.headers.contains_key("cookie") && !sent.headers.contains_key("content-type"));
    assert!(sent.body.is_empty());
}

/// Runs the binary with some input; gives what it wrote.
fn privet(arguments: &[&str], input: &str) -> Value {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut child = Command::new(env!("CARGO_BIN_EXE_privet"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    serde_json::from_slice(&child.wait_with_output().unwrap().stdout).unwrap()
}

#[test]
fn a_counterexample_is_a_request_that_leaves() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("policy.yaml"), POLICY).unwrap();
    let policies = directory.path().to_str().unwrap();
    for category in
        ["user.contact.email", "user.unique_id", "user.behavior", "system.operations", "system.operations.schema"]
    {
        let answer = privet(&["prove", policies, "--never", category, "--json"], "");
        let line = answer["counterexample"].to_string();
        let applied = privet(&["apply", "--policies", policies, "--lines"], &format!("{line}\n"));
        assert_eq!(applied["decision"]["events"][0]["outcome"], "kept", "{category}: {line} {applied}");
        let rows = applied["decision"]["events"][0]["fields"].as_array().unwrap();
        let leaves = |row: &&Value| {
            let of = row["category"].as_str().unwrap_or_default();
            (of == category || of.starts_with(&format!("{category}."))) && row["action"] != "drop"
        };
        assert!(rows.iter().any(|row| leaves(&row)), "{category}: {rows:?}");
    }
}
