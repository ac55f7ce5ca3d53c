//! Canaries: made, found in a log, and missed where something is wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;

use privet_audit_log::challenge::{AuditorKey, HEADER, Token, open};
use privet_audit_log::record::ConsentKept;
use privet_audit_log::tree::Hash;
use serde_json::Value;
use support::{answer, canaries, mine, policy, texts};

/// Makes a challenge, and gives what it expects of each canary.
fn challenge(root: &Path, count: usize) -> Vec<Value> {
    mine(root, &texts()[0]);
    let count = count.to_string();
    let (text, status) = answer(root, &["challenge", "new", "--policies", "@mine", "--count", &count, "--out", "@ch"]);
    assert_eq!(status, Some(0), "{text}");
    let expectation: Value =
        serde_json::from_str(&fs::read_to_string(root.join("ch/expectation.json")).unwrap()).unwrap();
    expectation["canaries"].as_array().unwrap().clone()
}

/// Every class that a search can be of, by its id.
fn document(id: &str) -> String {
    let policy = policy(&texts()[0]);
    let searched = [&[][..], &[0], &[1], &[0, 1]].map(|permitted| support::searched(&policy, permitted));
    let contracts = policy.contract_numbers().map(|number| policy.contract_name(number));
    assert!(contracts.count() > 0);
    searched.into_iter().find(|doc| Hash::of(doc.as_bytes()).to_address() == id).unwrap()
}

fn told(canaries: &[Value], class: &str) -> Vec<(String, String)> {
    let one =
        |canary: &Value| (canary["token"].as_str().unwrap().to_owned(), document(canary[class].as_str().unwrap()));
    canaries.iter().map(one).collect()
}

fn check(root: &Path) -> (Value, Option<i32>) {
    let (text, status) = answer(root, &["challenge", "check", "@log", "@ch", "--json", "--proofs", "@proofs"]);
    (serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}")), status)
}

fn codes(said: &Value) -> Vec<&str> {
    said["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect()
}

#[test]
fn canaries_are_requests_that_only_their_auditor_could_have_made() {
    let root = tempfile::tempdir().unwrap();
    let expected = challenge(root.path(), 20);
    let auditor: AuditorKey = fs::read_to_string(root.path().join("ch/auditor.pub")).unwrap().parse().unwrap();
    let requests = fs::read_to_string(root.path().join("ch/requests.ndjson")).unwrap();
    assert_eq!((requests.lines().count(), expected.len()), (20, 20));
    let mut bodies = std::collections::BTreeSet::new();
    for (line, expected) in requests.lines().zip(&expected) {
        let request: Value = serde_json::from_str(line).unwrap();
        let token: Token = request["id"].as_str().unwrap().parse().unwrap();
        assert_eq!(expected["token"], token.digest());
        let header = request["headers"].as_array().unwrap().iter().find(|pair| pair[0] == HEADER).unwrap();
        assert_eq!(open(header[1].as_str().unwrap().as_bytes(), std::slice::from_ref(&auditor)), Some(token));
        bodies.insert(request["body_b64"].as_str().unwrap().to_owned());
    }
    assert_eq!(bodies.len(), 20, "each is about somebody else");
    let classes: std::collections::BTreeSet<&str> = expected.iter().map(|one| one["class"].as_str().unwrap()).collect();
    assert!(classes.len() > 1, "some agree to something and some do not");
}

#[test]
fn canaries_that_are_counted_as_the_policy_decides_are_proved_one_by_one() {
    let root = tempfile::tempdir().unwrap();
    let expected = challenge(root.path(), 6);
    canaries(root.path(), &texts()[0], ConsentKept::Redis, &told(&expected, "class"));
    let (said, status) = check(root.path());
    assert_eq!(status, Some(0), "{said:#}");
    assert_eq!((&said["answer"]["right"], &said["established"]), (&6.into(), &true.into()));
    for canary in &expected {
        let name = canary["token"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let proof = format!("@proofs/{name}.tlog-proof");
        let record = format!("@proofs/{name}.record");
        let (text, status) =
            answer(root.path(), &["check-proof", &proof, "--key", "@anchor/vkey", "--record", &record]);
        assert_eq!(status, Some(0), "{text}");
    }
}

#[test]
fn a_store_in_memory_forgets_and_what_silence_permits_elsewhere_is_not_expected() {
    let root = tempfile::tempdir().unwrap();
    let expected = challenge(root.path(), 12);
    assert!(expected.iter().any(|canary| canary["class"] != canary["class_forgetful"]), "{expected:#?}");
    canaries(root.path(), &texts()[0], ConsentKept::Memory, &told(&expected, "class_forgetful"));
    assert_eq!(check(root.path()).1, Some(0));
    let other = tempfile::tempdir().unwrap();
    let expected = challenge(other.path(), 12);
    canaries(other.path(), &texts()[0], ConsentKept::Memory, &told(&expected, "class"));
    let (said, status) = check(other.path());
    assert_eq!(status, Some(1));
    assert!(codes(&said).iter().all(|code| *code == "canary_class") && !codes(&said).is_empty(), "{said:#}");
}

#[test]
fn a_canary_that_is_missing_repeated_or_decided_otherwise_is_a_finding() {
    let root = tempfile::tempdir().unwrap();
    let expected = challenge(root.path(), 8);
    let mut all = told(&expected, "class");
    let missed = all.pop().unwrap();
    let other = all.iter().map(|(_, doc)| doc.clone()).find(|doc| *doc != all[0].1).unwrap();
    all[0].1 = other;
    all.push(all[1].clone());
    canaries(root.path(), &texts()[0], ConsentKept::Redis, &all);
    let (said, status) = check(root.path());
    assert_eq!(status, Some(1));
    assert_eq!(codes(&said), ["canary_class", "canary_repeated", "canary_missing"], "{said:#}");
    assert_eq!(said["answer"]["right"], 5);
    assert!(said.to_string().contains(missed.0.get(..19).unwrap()));
}

#[test]
fn another_policy_is_told_from_another_decision() {
    let root = tempfile::tempdir().unwrap();
    let expected = challenge(root.path(), 3);
    let [_, second] = texts();
    let doc = support::searched(&policy(&second), &[0]);
    let all: Vec<_> = expected.iter().map(|one| (one["token"].as_str().unwrap().to_owned(), doc.clone())).collect();
    canaries(root.path(), &second, ConsentKept::Redis, &all);
    let (said, status) = check(root.path());
    assert_eq!(status, Some(1));
    assert!(said["findings"][0]["message"].as_str().unwrap().contains("decided by policy"), "{said:#}");
}

#[test]
fn an_expectation_that_was_changed_after_it_was_sealed_is_none() {
    let root = tempfile::tempdir().unwrap();
    let expected = challenge(root.path(), 3);
    canaries(root.path(), &texts()[0], ConsentKept::Redis, &told(&expected, "class"));
    let file = root.path().join("ch/expectation.json");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text.replacen("\"version\": 1", "\"version\":  1", 1)).unwrap();
    let (said, status) = answer(root.path(), &["challenge", "check", "@log", "@ch"]);
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("is not what `auditor` sealed"), "{said}");
    fs::write(&file, text).unwrap();
    let requests = root.path().join("ch/requests.ndjson");
    fs::write(&requests, fs::read_to_string(&requests).unwrap() + "\n").unwrap();
    let (said, status) = check(root.path());
    assert_eq!((status, codes(&said)), (Some(1), vec!["requests"]));
}

#[test]
fn what_cannot_be_made_says_why() {
    let root = tempfile::tempdir().unwrap();
    mine(root.path(), &texts()[0]);
    fs::create_dir(root.path().join("there")).unwrap();
    fs::create_dir(root.path().join("bad")).unwrap();
    fs::write(root.path().join("bad/p.yaml"), "kind: Nonsense\n").unwrap();
    for (words, said) in [
        (vec!["--policies", "@mine", "--count", "0", "--out", "@x"], "1 to 10000"),
        (vec!["--policies", "@nowhere", "--count", "1", "--out", "@x"], "cannot read the policies"),
        (vec!["--policies", "@bad", "--count", "1", "--out", "@x"], "do not compile"),
        (vec!["--policies", "@mine", "--count", "1", "--out", "@there"], "cannot make"),
        (
            vec!["--policies", "@mine", "--count", "1", "--out", "@x", "--format", "snowplow"],
            "canaries can be of segment",
        ),
        (
            vec!["--policies", "@mine", "--count", "1", "--out", "@x", "--key", "@mine/policy.yaml"],
            "is no auditor's key",
        ),
    ] {
        let words = [vec!["challenge", "new"], words].concat();
        let (text, status) = answer(root.path(), &words);
        assert_eq!(status, Some(2), "{words:?}: {text}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
}
