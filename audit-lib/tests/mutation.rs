//! Whatever is done to a log, verification with key and anchor finds it: the cases that can be
//! enumerated. `tests/campaign.rs` draws others.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::path::Path;

use privet_audit_log::note::{Checkpoint, Signer};
use privet_audit_log::verify::{Options, verify};
use support::image::{apply, image, rebuild, records, tiles_only};
use support::{armed, assert_clean, sample};

#[test]
fn records_rewritten_with_all_hashes_made_new_are_found() {
    let root = support::scratch();
    sample(root.path());
    let log = root.path().join("log");
    let options = armed(root.path());
    let full = image(&log);
    let whole = tiles_only(&full);
    apply(&log, &full, &whole);
    assert_clean(&verify(&log, &options).unwrap());
    let original = records(&whole, "2");
    let mut cases: Vec<(String, Vec<Vec<u8>>)> = Vec::new();
    for at in 0..original.len() {
        let mut without = original.clone();
        without.remove(at);
        cases.push((format!("record {at} deleted"), without));
        let mut twice = original.clone();
        twice.insert(at, original[at].clone());
        cases.push((format!("record {at} doubled"), twice));
        if at > 0 {
            let mut swapped = original.clone();
            swapped.swap(at - 1, at);
            cases.push((format!("records {} and {at} swapped", at - 1), swapped));
            cases.push((format!("cut at record {at}"), original[..at].to_vec()));
        }
        let text = String::from_utf8(original[at].clone()).unwrap();
        for (from, to) in [("\"kept\":1", "\"kept\":2"), ("[0,", "[0,1"), ("\"dropped\":", "\"dropped\":1")] {
            let edited = text.replacen(from, to, 1);
            if edited != text {
                let mut changed = original.clone();
                changed[at] = edited.into_bytes();
                cases.push((format!("a count of record {at} edited"), changed));
            }
        }
    }
    assert!(cases.len() > 60);
    let name = Checkpoint::claimed(std::str::from_utf8(&whole[Path::new("2/checkpoint")]).unwrap()).unwrap().origin;
    let stranger = Signer::from_seed(&name, &[3; 32]).unwrap();
    for signer in [None, Some(&stranger)] {
        for (what, records) in &cases {
            let mut changed = whole.clone();
            rebuild(&mut changed, "2", records, signer);
            apply(&log, &whole, &changed);
            assert!(!verify(&log, &options).unwrap().is_clean(), "{what}, signed anew: {}", signer.is_some());
            apply(&log, &changed, &whole);
        }
    }
}

#[test]
fn a_whole_log_written_anew_is_found_with_a_key_and_assumed_away_without() {
    let (root, forged) = (support::scratch(), support::scratch());
    sample(root.path());
    sample(forged.path());
    let log = forged.path().join("log");
    let report = verify(&log, &armed(root.path())).unwrap();
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"key") && codes.contains(&"missing_incarnation") && codes.contains(&"root"), "{codes:?}");
    let report = verify(&log, &Options::default()).unwrap();
    assert_clean(&report);
    assert!(report.assumptions.iter().any(|assumption| assumption.contains("written anew")));
}

#[test]
fn an_incarnation_taken_away_is_found() {
    let root = support::scratch();
    sample(root.path());
    let log = root.path().join("log");
    let whole = image(&log);
    for gone in ["1", "2"] {
        let mut changed = whole.clone();
        changed.retain(|path, _| !path.starts_with(gone));
        apply(&log, &whole, &changed);
        let report = verify(&log, &armed(root.path())).unwrap();
        assert!(report.findings.iter().any(|finding| finding.code == "missing_incarnation"), "{gone}");
        apply(&log, &changed, &whole);
    }
    assert_clean(&verify(&log, &armed(root.path())).unwrap());
}

#[test]
fn a_later_incarnation_that_says_that_nothing_came_before_it_is_found() {
    let root = support::scratch();
    sample(root.path());
    let log = root.path().join("log");
    let whole = image(&log);
    let mut alone = tiles_only(&whole);
    alone.retain(|path, _| !path.starts_with("1"));
    let mut kept = records(&alone, "2");
    let mut open: serde_json::Value = serde_json::from_slice(&kept[0]).unwrap();
    open["prev"] = serde_json::Value::Null;
    kept[0] = open.to_string().into_bytes();
    rebuild(&mut alone, "2", &kept, None);
    apply(&log, &whole, &alone);
    let report = verify(&log, &Options::default()).unwrap();
    let missing = report.findings.iter().find(|finding| finding.code == "missing_incarnation");
    assert!(missing.is_some_and(|finding| finding.message.contains("incarnation 1")), "{:?}", report.findings);
}

#[test]
fn a_log_rolled_back_to_an_earlier_checkpoint_is_found_with_the_anchor() {
    let root = support::scratch();
    let mut clock = support::Hand(0);
    let (mut log, _) = support::open(root.path(), clock);
    let early = image(&root.path().join("log"));
    let mut delta = support::traffic(10, 10);
    delta.declared = support::declarations(&root.path().join("log"));
    log.commit(&support::work(delta, true), clock.later(100)).unwrap();
    log.close(&privet_audit_log::counts::Delta::default(), clock.later(1)).unwrap();
    let dir = root.path().join("log");
    let late = image(&dir);
    apply(&dir, &late, &early);
    assert_clean(&verify(&dir, &Options::default()).unwrap());
    let report = verify(&dir, &armed(root.path())).unwrap();
    assert!(report.findings.iter().any(|finding| finding.code == "truncated"), "{:?}", report.findings);
}
