//! Cases that others wrote: JSONTestSuite, the big list of naughty strings, and
//! the bodies of real client libraries. Where each comes from is told in
//! `data/README.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests may fail loudly")]

use base64::Engine;
use privet_json::{
    Edit, Edits, Emitted, Index, Key, Limits, Malformed, Node, PlanBuilder, PlanNodeId, rewrite, write_string,
};
use serde_json::Value;

/// What the suite accepts and we refuse by design, with the reason.
const REFUSED_BY_DESIGN: &[(&str, &str)] = &[
    // Of `test_transform/`, whose cases only ask what a reader makes of them.
    ("object_same_key_different_values.json", "duplicate_key"),
    ("object_same_key_unclear_values.json", "duplicate_key"),
    ("string_1_escaped_invalid_codepoint.json", "lone_surrogate"),
    ("string_3_escaped_invalid_codepoints.json", "lone_surrogate"),
    ("string_2_invalid_codepoints.json", "utf8"),
    ("string_3_invalid_codepoints.json", "utf8"),
];

struct Untouched;

impl Edits<()> for Untouched {
    fn edit(&mut self, (): (), _: Node<'_>, _: &mut Vec<u8>) -> Edit {
        unreachable!("the plan has no leaves")
    }
    fn edit_key(&mut self, (): (), _: Key<'_>, _: &mut Vec<u8>) -> Edit {
        unreachable!("the plan has no key actions")
    }
    fn splice(&mut self, _: u32, _: Node<'_>, _: &mut Vec<u8>) -> Edit {
        unreachable!("the plan has no splices")
    }
    fn dropped(&mut self, _: PlanNodeId) {
        unreachable!("nothing is dropped")
    }
}

/// Both passes with a plan that keeps everything.
fn through(body: &[u8]) -> Result<Vec<u8>, Malformed> {
    let mut index = Index::new();
    let root = index.read(body, &Limits::default())?;
    let mut plan = PlanBuilder::new();
    plan.keep_all();
    let mut out = Vec::new();
    let emitted = rewrite(index.node(body, root), &plan.build().unwrap(), &mut Untouched, &mut out);
    assert_eq!(emitted, Emitted::Value);
    Ok(out)
}

fn trimmed(body: &[u8]) -> &[u8] {
    let space = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t');
    let start = body.iter().position(|byte| !space(byte)).unwrap();
    let end = body.iter().rposition(|byte| !space(byte)).unwrap();
    &body[start..=end]
}

#[test]
fn json_test_suite() {
    let (mut accepted, mut rejected, mut by_design) = (0, 0, 0);
    for line in include_str!("data/jsontestsuite.ndjson").lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        let (name, expect) = (case["name"].as_str().unwrap(), case["expect"].as_str().unwrap());
        let body = base64::engine::general_purpose::STANDARD.decode(case["b64"].as_str().unwrap()).unwrap();
        let designed = REFUSED_BY_DESIGN.iter().find(|(known, _)| *known == name);
        match (expect, through(&body)) {
            ("accept" | "transform", Err(refused)) => {
                let (_, code) = designed.unwrap_or_else(|| panic!("{name}: {refused}"));
                assert_eq!(refused.kind.code(), *code, "{name}");
                by_design += 1;
            }
            ("accept" | "transform" | "either", Ok(out)) => {
                assert!(designed.is_none(), "{name} is refused by design");
                assert_eq!(out, trimmed(&body), "{name}");
                accepted += 1;
            }
            ("reject", Ok(_)) => panic!("{name} was accepted"),
            ("reject" | "either", Err(refused)) => {
                assert!(refused.at <= body.len(), "{name}");
                rejected += 1;
            }
            other => panic!("{name}: {other:?}"),
        }
    }
    assert_eq!(by_design, REFUSED_BY_DESIGN.len());
    assert_eq!(accepted + rejected + by_design, 212);
}

#[test]
fn naughty_strings_come_through_as_they_are() {
    let mut index = Index::new();
    let mut cases = 0;
    for line in include_str!("data/naughty-strings.ndjson").lines() {
        assert_eq!(through(line.as_bytes()).unwrap(), line.as_bytes());
        let case: Value = serde_json::from_str(line).unwrap();
        let text = case["s"].as_str().unwrap();

        let root = index.read(line.as_bytes(), &Limits::default()).unwrap();
        let read = index.node(line.as_bytes(), root).get("s").unwrap();
        assert_eq!(read.text().unwrap(), text);
        assert!(read.is_text(text));

        let mut written = Vec::new();
        write_string(text, &mut written);
        assert_eq!(through(&written).unwrap(), written);
        assert_eq!(serde_json::from_slice::<String>(&written).unwrap(), text);

        // As a key, which is where a differential between readers hurts most.
        let body = [b"{".as_slice(), &written, b":0}"].concat();
        let root = index.read(&body, &Limits::default()).unwrap();
        assert!(index.node(&body, root).get(text).is_some());
        cases += 1;
    }
    assert_eq!(cases, 300);
}

#[test]
fn bodies_of_real_clients_come_through_byte_for_byte() {
    let text = include_str!("data/events.ndjson");
    for line in text.lines() {
        assert_eq!(through(line.as_bytes()).unwrap(), line.as_bytes());
    }

    // And as the documents of one NDJSON body.
    let mut index = Index::new();
    let mut at = 0;
    let mut roots = Vec::new();
    for line in text.split_inclusive('\n') {
        roots.push(index.read_range(text.as_bytes(), at..at + line.len(), &Limits::default()).unwrap());
        at += line.len();
    }
    assert_eq!(roots.len(), 41);
    for (root, line) in roots.into_iter().zip(text.lines()) {
        let node = index.node(text.as_bytes(), root);
        assert_eq!(node.raw(), line.as_bytes());
        let value: Value = serde_json::from_str(line).unwrap();
        assert_eq!(node.len(), value.as_object().unwrap().len());
        for (key, member) in node.members() {
            assert_eq!(serde_json::from_slice::<Value>(member.raw()).unwrap(), value[key.text().as_ref()]);
        }
    }
}
