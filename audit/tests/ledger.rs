//! `verify --ledger` as an auditor runs it: a log, a ledger's directory, a trust policy, and what was kept from last time.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;

use privet_audit_log::cosignature::Cosigner;
use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::record::{Entry, Open, Record};
use privet_audit_log::tile::{encode_bundle, encode_tile};
use privet_audit_log::tree::{Hash, merkle_root};
use privet_audit_log::verify::leaves;
use serde_json::{Value, json};
use support::{START_MS, answer, shop};

const LEDGER: &str = "privet.example/ledger/1";
/// When witnesses cosigned the ledger: two minutes after the log began.
const COSIGNED: u64 = START_MS as u64 / 1000 + 120;

fn signer() -> Signer {
    Signer::from_seed(LEDGER, &[3; 32]).unwrap()
}

fn witness() -> Cosigner {
    Cosigner::from_seed("w.example", &[4; 32]).unwrap()
}

/// The ledger's log, with these rolls, each size with its root of the log's first incarnation.
fn ledger(root: &Path, rolls: &[(usize, Hash)]) {
    let dir = root.join("ledger/1");
    let _ = fs::remove_dir_all(&dir);
    fs::create_dir_all(dir.join("list")).unwrap();
    let open = Record::Open(Open {
        origin: LEDGER.into(),
        incarnation: 1,
        vkey: signer().verifier().to_string(),
        prev: None,
        lease: 0,
        refusals: Vec::new(),
        software: "test".into(),
    });
    let rolled = rolls.iter().map(|(size, root)| {
        let list =
            serde_json::to_vec(&json!([["privet.example/shop/1", size, root.to_base64(), "sha256:00"]])).unwrap();
        let hash = Hash::of(&list);
        fs::write(dir.join(format!("list/{}.json", hash.to_hex())), list).unwrap();
        Record::Unknown("roll".into(), json!({"list": hash.to_address(), "logs": 1, "witnessed": null}))
    });
    let records: Vec<Record> = std::iter::once(open).chain(rolled).collect();
    let entry = |(seq, record)| Entry { seq, ts: START_MS, mono: 0, record }.to_bytes().unwrap();
    let entries: Vec<Vec<u8>> = (0..).zip(records).map(entry).collect();
    let hashes: Vec<Hash> = entries.iter().map(|entry| Hash::leaf(entry)).collect();
    for (name, bytes) in [("entries", encode_bundle(entries.iter().map(Vec::as_slice))), ("0", encode_tile(&hashes))] {
        let folder = dir.join(format!("tile/{name}/000.p"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(entries.len().to_string()), bytes).unwrap();
    }
    let text = Checkpoint { origin: LEDGER.into(), size: entries.len() as u64, root: merkle_root(&hashes) }.to_text();
    fs::write(dir.join("checkpoint"), signer().sign(&text) + &witness().cosign(&text, COSIGNED)).unwrap();
}

/// The shop's log, and its true root at this size.
fn root_at(root: &Path, size: usize) -> (usize, Hash) {
    (size, merkle_root(&leaves(&root.join("log"), 1).unwrap().leaves[..size]))
}

fn setting() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let policy = format!("log {}\nwitness w {}\nquorum w\n", signer().verifier(), witness().public());
    fs::write(root.path().join("witnesses.policy"), policy).unwrap();
    root
}

const AGAINST: [&str; 6] = ["verify", "@log", "--ledger", "@ledger", "--policy", "@witnesses.policy"];

fn against(root: &Path, more: &[&str]) -> (String, Option<i32>) {
    answer(root, &[&AGAINST, more].concat())
}

#[test]
fn a_log_that_its_ledger_knows_is_verified_and_the_answer_says_what_the_ledger_saw() {
    let root = setting();
    ledger(root.path(), &[root_at(root.path(), 4), root_at(root.path(), 9)]);
    let (text, status) = against(root.path(), &[]);
    assert_eq!(status, Some(0), "{text}");
    let at = |words: &str| text.find(words).unwrap_or_else(|| panic!("`{words}` is not in\n{text}"));
    assert!(text.starts_with("Enforcement log\n") && text.ends_with("\nlog verified\n"), "{text}");
    assert!(at("What the ledger has seen") < at("Proved"));
    assert!(at("Proved") < at("2 states of it that the ledger rolled, under a checkpoint of 3 records"));
    assert!(at("Assumed") < at("no checkpoint of the ledger was given from an earlier time"));
    at(&format!("the first 9 were rolled not after {COSIGNED} s of Unix time"));
    let (machine, _) = against(root.path(), &["--json"]);
    let report: Value = serde_json::from_str(&machine).unwrap();
    assert_eq!((&report["ledger"]["agreed"], &report["ledger"]["until"]), (&2.into(), &COSIGNED.into()));
    assert_eq!(report["ledger"]["seen"]["1"][1], json!({"size": 9, "not_before": null, "not_after": COSIGNED}));
}

#[test]
fn an_older_ledger_than_the_one_that_was_kept_is_a_finding() {
    let root = setting();
    ledger(root.path(), &[root_at(root.path(), 4), root_at(root.path(), 9)]);
    fs::copy(root.path().join("ledger/1/checkpoint"), root.path().join("kept")).unwrap();
    let (text, status) = against(root.path(), &["--ledger-anchor", "@kept"]);
    assert_eq!(status, Some(0), "{text}");
    assert!(!text.contains("no checkpoint of the ledger was given"), "{text}");
    ledger(root.path(), &[root_at(root.path(), 4)]);
    assert_eq!(against(root.path(), &[]).1, Some(0), "it is cosigned as well");
    let (text, status) = against(root.path(), &["--ledger-anchor", "@kept"]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("[ledger_log] in the ledger's log") && text.contains("the anchor was signed at 3"), "{text}");
}

#[test]
fn what_differs_from_the_ledger_exits_1_and_what_cannot_be_used_exits_2() {
    let root = setting();
    ledger(root.path(), &[(4, Hash::of(b"another"))]);
    let (text, status) = against(root.path(), &[]);
    assert_eq!(status, Some(1), "{text}");
    assert!(text.contains("[ledger_root] incarnation 1, record 4"), "{text}");
    fs::write(root.path().join("broken.policy"), "quorum nobody\n").unwrap();
    fs::write(root.path().join("note"), "no note").unwrap();
    for (words, said) in [
        (vec!["verify", "@log", "--ledger", "@ledger"], "--policy"),
        (vec!["verify", "@log", "--ledger-anchor", "@note"], "--ledger"),
        (
            vec!["verify", "@log", "--ledger", "@nowhere", "--policy", "@witnesses.policy"],
            "there is no log at ROOT/nowhere",
        ),
        (
            vec!["verify", "@log", "--ledger", "@ledger", "--policy", "@broken.policy"],
            "line 1: no line before this one",
        ),
        ([&AGAINST[..], &["--ledger-anchor", "@note"]].concat(), "the anchor cannot be used"),
        ([&AGAINST[..], &["--ledger-anchor", "@gone"]].concat(), "cannot read ROOT/gone"),
    ] {
        let (text, status) = answer(root.path(), &words);
        assert_eq!(status, Some(2), "{words:?}: {text}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
}
