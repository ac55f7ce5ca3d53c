//! What a start and an auditor say of incarnations that are not here.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::path::Path;

use privet_audit_log::Work;
use privet_audit_log::counts::Delta;
use privet_audit_log::note::Signer;
use privet_audit_log::record::{Gap, Previous, Record, Retired};
use privet_audit_log::tree::Hash;
use privet_audit_log::verify::{AbsentReason, Options, Report};
use support::{Hand, assert_clean, check, open, traffic, work};

/// So many closed incarnations that counted events.
fn ran(root: &Path, incarnations: u64) -> Hand {
    let mut clock = Hand(0);
    for _ in 0..incarnations {
        let (mut log, _) = open(root, clock);
        let mut delta = traffic(30, 5);
        delta.declared = support::declarations(&root.join("log"));
        log.commit(&work(delta, true), clock.later(100)).unwrap();
        log.close(&Delta::default(), clock.later(100)).unwrap();
        clock.later(1000);
    }
    clock
}

/// Leaves a key of a start that ended before its incarnation was there.
fn failed_start(root: &Path, number: u64) {
    let signer = Signer::from_seed(&format!("{}/{number}", support::ORIGIN), &[9; 32]).unwrap();
    let vkey = root.join("anchor/vkey");
    fs::create_dir_all(root.join("anchor")).unwrap();
    let keys = fs::read_to_string(&vkey).unwrap_or_default();
    fs::write(&vkey, format!("{keys}{}\n", signer.verifier())).unwrap();
}

fn remove(root: &Path, numbers: std::ops::RangeInclusive<u64>) {
    numbers.for_each(|number| fs::remove_dir_all(root.join(format!("log/{number}"))).unwrap());
}

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

#[test]
fn without_a_log_and_without_a_checkpoint_no_key_is_excused() {
    let root = support::scratch();
    let mut clock = ran(root.path(), 4);
    remove(root.path(), 1..=4);
    fs::remove_file(root.path().join("anchor/checkpoint")).unwrap();
    let (log, recovered) = open(root.path(), clock);
    assert_eq!((recovered.incarnation, recovered.unborn.len(), recovered.lost.len()), (5, 0, 4));
    assert_eq!(recovered.policy, None, "one that is lost may have had another");
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let report = check(root.path());
    assert_eq!(codes(&report).iter().filter(|code| **code == "lost").count(), 4, "{:#?}", report.findings);
}

#[test]
fn a_log_cut_to_its_first_incarnation_is_not_excused_by_an_anchor_without_its_checkpoint() {
    let root = support::scratch();
    let clock = ran(root.path(), 4);
    remove(root.path(), 2..=4);
    fs::remove_file(root.path().join("anchor/checkpoint")).unwrap();
    let (_, recovered) = open(root.path(), clock);
    assert_eq!((recovered.unborn.len(), recovered.lost.len()), (0, 3));
}

#[test]
fn an_anchored_checkpoint_that_is_older_than_what_is_here_excuses_one_start_and_no_more() {
    let root = support::scratch();
    let clock = ran(root.path(), 4);
    fs::copy(root.path().join("log/1/checkpoint"), root.path().join("anchor/checkpoint")).unwrap();
    remove(root.path(), 3..=4);
    let (_, recovered) = open(root.path(), clock);
    assert_eq!((recovered.unborn.len(), recovered.lost.len()), (0, 2));
    // A start that ended before its checkpoint was anchored, and one before its incarnation was there.
    let root = support::scratch();
    let clock = ran(root.path(), 2);
    fs::copy(root.path().join("log/1/checkpoint"), root.path().join("anchor/checkpoint")).unwrap();
    failed_start(root.path(), 3);
    let (_, recovered) = open(root.path(), clock);
    assert_eq!((recovered.unborn.len(), recovered.lost.len()), (1, 0));
}

#[test]
fn keys_that_do_not_follow_the_anchored_checkpoint_are_not_excused() {
    let root = support::scratch();
    let clock = ran(root.path(), 2);
    failed_start(root.path(), 4);
    let (_, recovered) = open(root.path(), clock);
    assert_eq!((recovered.incarnation, recovered.unborn.len(), recovered.lost.len()), (5, 0, 1));
}

#[test]
fn the_first_start_ever_and_those_right_after_the_anchored_checkpoint_may_have_failed() {
    let root = support::scratch();
    failed_start(root.path(), 1);
    let mut clock = Hand(0);
    let (log, recovered) = open(root.path(), clock);
    assert_eq!((recovered.unborn.len(), recovered.lost.len()), (1, 0));
    log.close(&Delta::default(), clock.later(1)).unwrap();
    failed_start(root.path(), 3);
    failed_start(root.path(), 4);
    let (log, recovered) = open(root.path(), clock);
    assert_eq!((recovered.incarnation, recovered.unborn.len(), recovered.lost.len()), (5, 2, 0));
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    let said: Vec<_> = report.absent.iter().map(|absent| (absent.reason, absent.said_by)).collect();
    assert_eq!(said, [(AbsentReason::Unborn, 2), (AbsentReason::Unborn, 5), (AbsentReason::Unborn, 5)]);
    let words = report.assumptions.join("\n");
    assert!(words.contains("keys were given of incarnations that are not here: that 3 to 4 came to nothing is the word of incarnation 5"), "{words}");
    assert!(words.contains("that 1 came to nothing is the word of incarnation 2"), "{words}");
}

/// An anchored checkpoint put back and what came after it removed looks like failed starts: an auditor who brings
/// keys is told which of them that excuses, and one who brings the newest checkpoint has a finding.
#[test]
fn an_older_checkpoint_put_back_is_told_and_found_by_whoever_has_the_newer_one() {
    let root = support::scratch();
    let mut clock = ran(root.path(), 4);
    let newest = fs::read_to_string(root.path().join("anchor/checkpoint")).unwrap();
    fs::copy(root.path().join("log/1/checkpoint"), root.path().join("anchor/checkpoint")).unwrap();
    remove(root.path(), 2..=4);
    let (log, recovered) = open(root.path(), clock);
    assert_eq!(recovered.unborn.len(), 3);
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let keys = Some(support::keys(root.path()));
    let alone = Options { keys: keys.clone(), ..Options::default() };
    let report = privet_audit_log::verify::verify(&root.path().join("log"), &alone).unwrap();
    assert!(
        report.assumptions.iter().any(|word| word.contains("that 2 to 4 came to nothing is the word of incarnation 5"))
    );
    let armed = Options { keys, anchor: Some(newest), ..Options::default() };
    let report = privet_audit_log::verify::verify(&root.path().join("log"), &armed).unwrap();
    assert_eq!(codes(&report), ["missing_incarnation"]);
}

/// A log whose second incarnation holds these records besides.
fn saying(root: &Path, records: Vec<Record>) -> Report {
    let mut clock = ran(root, 1);
    let (mut log, _) = open(root, clock);
    log.commit(&Work { records, ..Work::default() }, clock.later(10)).unwrap();
    log.close(&Delta::default(), clock.later(10)).unwrap();
    check(root)
}

#[test]
fn an_excuse_for_what_no_start_can_know_is_a_finding() {
    for origin in [format!("{}/1", support::ORIGIN), format!("{}/2", support::ORIGIN), "privet.example/other/2".into()]
    {
        let root = support::scratch();
        let lost = Some(Previous { origin: origin.clone(), size: 0, root: Hash::empty().to_base64() });
        let gap = Gap { cause: "unborn".into(), since: support::START_MS, lost };
        assert_eq!(codes(&saying(root.path(), vec![Record::Gap(gap)])), ["unborn"], "{origin}");
    }
}

#[test]
fn every_statement_of_retention_is_held_against_what_is_here() {
    let root = support::scratch();
    ran(root.path(), 1);
    let first = check(root.path()).incarnations[0].clone();
    let second_began = support::START_MS + 1200;
    let right = Retired { origin: first.origin, size: first.records, root: first.root, before: second_began, days: 0 };
    for (wrong, why) in [
        (right.clone(), None),
        (Retired { root: Hash::of(b"x").to_base64(), ..right.clone() }, Some("has another end")),
        (Retired { before: second_began - 5, ..right.clone() }, Some("ended before")),
        (Retired { days: 1, ..right.clone() }, Some("fewer than 1 days")),
        (Retired { origin: format!("{}/2", support::ORIGIN), ..right.clone() }, Some("does not come before")),
    ] {
        let other = support::scratch();
        support::copy_tree(root.path(), other.path());
        let mut clock = Hand(1200);
        let (mut log, _) = open(other.path(), clock);
        log.commit(&Work { records: vec![Record::Retired(wrong)], ..Work::default() }, clock.later(10)).unwrap();
        log.close(&Delta::default(), clock.later(10)).unwrap();
        let report = check(other.path());
        match why {
            None => assert_clean(&report),
            Some(why) => {
                assert_eq!(codes(&report), ["retired"]);
                assert!(report.findings[0].message.contains(why), "{}", report.findings[0].message);
            }
        }
    }
}

#[test]
fn a_start_before_the_end_of_the_one_before_it_is_stated_as_a_gap() {
    for (back_ms, crashed, code) in [
        (1_900, false, "not_running"),
        (2_100, false, "clock_back"),
        (86_400_000, false, "clock_back"),
        (86_400_000, true, "clock_back"),
    ] {
        let root = support::scratch();
        let clock = Hand(100_000_000);
        let (mut log, _) = open(root.path(), clock);
        log.commit(&Work { records: vec![Record::Heartbeat], ..Work::default() }, clock.now()).unwrap();
        if crashed {
            drop(log);
        } else {
            log.close(&Delta::default(), clock.now()).unwrap();
        }
        let (log, _) = open(root.path(), Hand(clock.0 - back_ms));
        log.close(&Delta::default(), Hand(clock.0 - back_ms).now()).unwrap();
        let report = check(root.path());
        assert_clean(&report);
        let said: Vec<_> = report.gaps.iter().filter(|gap| gap.code != "crash").collect();
        assert_eq!(said.iter().map(|gap| gap.code).collect::<Vec<_>>(), [code], "{back_ms}");
        if back_ms > 1_000_000 {
            assert!(said[0].message.contains("began 86400 s before"), "{}", said[0].message);
        }
    }
}
