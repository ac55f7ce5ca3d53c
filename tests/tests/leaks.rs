//! Every payload we have goes through the shipped policies: refused it does not
//! leave, granted it leaves without a raw id, address, email or phone number.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use privet::decode::Scratch;
use privet::keys::Keyring;
use privet::offline::{AssumedDecisions, Parts, Question, Refused, Verdict, think};
use privet::policies;
use privet::transform::Enforcement;
use privet_policy::format::Format;
use privet_policy::policy::AgeClass;
use privet_tests::harvest::{occurs, personal};
use serde_json::{Value, json};

struct Case {
    id: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    format: Format,
    /// What is searched for personal data.
    payload: Value,
}

fn lines(text: &str) -> impl Iterator<Item = Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn json_case(id: &Value, target: String, format: Format, content_type: &str, payload: Value) -> Case {
    let headers = vec![("content-type".to_owned(), content_type.to_owned())];
    Case { id: id.to_string(), target, headers, body: payload.to_string().into_bytes(), format, payload }
}

fn segment() -> Vec<Case> {
    let documented = lines(include_str!("../data/segment-docs.ndjson")).map(|line| {
        let payload = line["payload"].clone();
        let kind = ["type", "action"].into_iter().find_map(|name| payload[name].as_str()).unwrap_or("track");
        let known = ["identify", "track", "page", "screen", "group", "alias"].contains(&kind);
        json_case(
            &line["id"],
            format!("/v1/{}", if known { kind } else { "track" }),
            Format::Segment,
            "application/json",
            payload,
        )
    });
    let batches = lines(include_str!("../data/segment-batch.ndjson")).map(|line| {
        json_case(&line["id"], "/v1/batch".into(), Format::Segment, "application/json", line["body"].clone())
    });
    let recorded = captures(include_str!("../data/segment-captures.ndjson"), Format::Segment);
    documented.chain(batches).chain(recorded).collect()
}

/// The recorded requests, their chunk framing undone.
fn captures(text: &str, format: Format) -> Vec<Case> {
    let posts = lines(text).filter(|line| line["method"] == "POST");
    posts
        .map(|line| {
            let pair = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), pair[1].as_str().unwrap().to_owned());
            let headers: Vec<_> = line["headers"].as_array().unwrap().iter().map(pair).collect();
            let plain = line["decoded_body_utf8"].as_str().unwrap_or_default().to_owned();
            let mut payload = json!({"body": serde_json::from_str::<Value>(&plain).unwrap_or_default()});
            for (name, value) in &headers {
                payload[name.trim_start_matches("ce-")] = value.clone().into();
            }
            let framing = ["content-encoding", "transfer-encoding", "content-length"];
            let headers =
                headers.into_iter().filter(|(name, _)| !framing.contains(&name.to_lowercase().as_str())).collect();
            Case {
                id: line["client"].to_string(),
                target: line["target"].as_str().unwrap().to_owned(),
                headers,
                body: plain.into_bytes(),
                format,
                payload,
            }
        })
        .collect()
}

fn cloudevents() -> Vec<Case> {
    let examples = lines(include_str!("../data/cloudevents-spec.ndjson")).filter_map(|line| {
        let payload: Value = serde_json::from_str(line["text"].as_str()?).ok()?;
        let media =
            if payload.is_array() { "application/cloudevents-batch+json" } else { "application/cloudevents+json" };
        Some(json_case(&line["id"], "/events".into(), Format::CloudEvents, media, payload))
    });
    let recorded = captures(include_str!("../data/cloudevents-captures.ndjson"), Format::CloudEvents);
    let conformance = lines(include_str!("../data/cloudevents-conformance.ndjson")).filter_map(|line| {
        let mut payload = line["attributes"].as_object()?.clone();
        payload.insert("specversion".to_owned(), "1.0".into());
        payload.insert("data".to_owned(), line["data"].clone());
        Some(json_case(
            &line["id"],
            "/events".into(),
            Format::CloudEvents,
            "application/cloudevents+json",
            payload.into(),
        ))
    });
    examples.chain(recorded).chain(conformance).collect()
}

fn shipped() -> Enforcement {
    let files = policies::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../policies")).unwrap();
    let loaded = policies::compile(&files);
    let said = policies::errors(&files, &loaded.diagnostics);
    let (policy, _) = loaded.policy.unwrap_or_else(|| panic!("{said}"));
    let keyring = Keyring::read(&[("test.key".to_owned(), STANDARD.encode([7; 32]).into_bytes())]).unwrap();
    Enforcement::new(Arc::new(policy), &keyring).unwrap()
}

fn asked(enforcement: &Enforcement, case: &Case, consent: &str) -> Result<Verdict, Refused> {
    let time = "2026-11-22T12:00:00Z".parse().unwrap();
    let parts = Parts {
        method: "POST".into(),
        target: case.target.clone(),
        headers: case.headers.clone(),
        body: case.body.clone(),
        peer: None,
        time,
        format: Some(case.format),
    };
    let stored = AssumedDecisions::read(&json!({"*": consent}), &enforcement.policy, time).unwrap();
    let question = Question { raw: parts.request().unwrap(), jurisdiction: None, age: AgeClass::Unknown, stored };
    think(enforcement, &question, &mut Scratch::default())
}

#[derive(Debug, Default)]
struct Counts {
    requests: usize,
    refused: usize,
    events: usize,
    matched: usize,
    left: usize,
    personal: usize,
}

/// Runs one source; gives its counts and the names of track events no contract knows.
fn run(enforcement: &Enforcement, cases: &[Case]) -> (Counts, BTreeSet<String>) {
    let (mut counts, mut unknown) = (Counts::default(), BTreeSet::new());
    for case in cases {
        counts.requests += 1;
        let refused = asked(enforcement, case, "refused");
        assert!(
            refused.is_err() || refused.is_ok_and(|verdict| verdict.forwards.is_empty()),
            "{} left though refused",
            case.id
        );
        let Ok(granted) = asked(enforcement, case, "given") else {
            counts.refused += 1;
            continue;
        };
        let mut secrets = BTreeSet::new();
        personal(&case.payload, "", &mut secrets);
        counts.personal += secrets.len();
        for event in granted.decision["events"].as_array().unwrap() {
            counts.events += 1;
            counts.matched += usize::from(!event["contract"].is_null());
            counts.left += usize::from(event["outcome"] == "kept");
            if event["outcome"] == "unmatched" {
                unknown.insert(case.payload["event"].as_str().unwrap_or("(no track event)").to_owned());
            }
            // A person who refused in the event itself stays refused.
            let own = event["consent"].as_object().unwrap().values().any(|state| state == "refused");
            assert!(
                event["contract"].is_null() || event["outcome"] == "kept" || own,
                "{}: {}",
                case.id,
                event["outcome"]
            );
        }
        for sent in &granted.forwards {
            let mut output = sent.forward.body.to_vec();
            output.extend_from_slice(sent.forward.target.as_bytes());
            for (name, value) in &sent.forward.headers {
                output.extend_from_slice(name.as_str().as_bytes());
                output.extend_from_slice(value.as_bytes());
            }
            for secret in &secrets {
                assert!(!occurs(secret, &output), "{}: {secret} left in {}", case.id, String::from_utf8_lossy(&output));
            }
        }
    }
    (counts, unknown)
}

#[test]
fn no_payload_leaks_and_what_is_granted_leaves() {
    let enforcement = shipped();
    for (name, cases, matched_min) in [("segment", segment(), 70), ("cloudevents", cloudevents(), 15)] {
        let (counts, unknown) = run(&enforcement, &cases);
        println!("{name}: {counts:?}");
        println!("{name}: no contract for {unknown:?}");
        assert!(counts.matched >= matched_min, "{counts:?}");
        assert!(counts.left >= matched_min, "{counts:?}");
        assert!(counts.personal > 0, "nothing was searched for");
    }
}
