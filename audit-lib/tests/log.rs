//! The writer, its recovery and its failures, on a real directory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};

use privet_audit_log::counts::{Delta, Fate};
use privet_audit_log::note::Signer;
use privet_audit_log::record::{Declaration, DurabilityName, PolicyLoad};
use privet_audit_log::signing::{self, Signature, SignerKey};
use privet_audit_log::verify::{Options, verify};
use privet_audit_log::{DiskOp, Gate, Log, OpenError, Work, WriteError};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use support::{Hand, acknowledged, assert_clean, check, declarations, open, sample, settings, traffic, work};

#[test]
fn a_log_of_two_incarnations_verifies_and_its_sums_are_those_that_went_in() {
    let root = support::scratch();
    sample(root.path());
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!(report.incarnations.len(), 2);
    assert!(report.incarnations.iter().all(|one| one.end == "closed" && one.signed == one.records));
    let totals = &report.totals;
    assert_eq!(totals.requests, 2 * (30 + 3 + 1 + 20 + 2 + 1));
    assert_eq!(totals.refused["unparseable"], 4);
    assert_eq!(totals.events, 2 * (150 + 15 + 5 + 80 + 1));
    assert_eq!(totals.kept + totals.dropped, totals.events);
    let collector = &report.destinations["collector"];
    assert_eq!(collector.released, totals.kept);
    assert_eq!(collector.acknowledged, 2 * 132);
    assert_eq!(collector.unknown, collector.released - collector.acknowledged);
    let warehouse = &report.destinations["warehouse"];
    assert_eq!((warehouse.acknowledged, warehouse.refused), (20, 40));
    assert_eq!(report.budgets[0].spent_most, 200_000_000);
    assert_eq!(report.budgets[0].releases, 2);
    assert_eq!(report.classes.iter().map(|class| class.events).sum::<u64>(), totals.events);
    assert_eq!(report.policies[0].files, 2);
    assert_eq!((totals.challenges, totals.challenged_events, totals.bypass_checks), (2, 8, 2));
    assert!(report.incarnations.iter().all(|one| one.config == Some(support::config(DurabilityName::Sync))));
    assert!(report.gaps.iter().all(|gap| gap.code == "not_running"), "{:?}", report.gaps);
}

#[test]
fn refused_policies_are_counted_and_the_one_that_stays_must_have_come_into_force() {
    let root = support::scratch();
    sample(root.path());
    let report = check(root.path());
    let [refused] = report.refused_policies.as_slice() else { panic!("{:?}", report.refused_policies) };
    assert_eq!((refused.reason.name(), refused.times, refused.required), ("too_few_signers", 2, 2));
    assert_eq!(refused.signers, ["marla"]);
    let other = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(other.path(), clock);
    let refused = support::refused(Some(format!("sha256:{}", "ef".repeat(32))));
    let declared = vec![Declaration::Refused(refused)];
    log.commit(&work(Delta { declared, ..Delta::default() }, false), clock.later(5)).unwrap();
    log.close(&Delta::default(), clock.later(5)).unwrap();
    let codes: Vec<_> = check(other.path()).findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["policy_refused"]);
}

#[test]
fn a_start_knows_the_policy_in_force_before_it_unless_that_log_is_lost() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (log, first) = open(root.path(), clock);
    assert_eq!(first.policy, None);
    log.close(&Delta::default(), clock.later(5)).unwrap();
    let (mut log, _) = open(root.path(), clock);
    let declared = declarations(&root.path().join("log"));
    log.commit(&work(Delta { declared, ..Delta::default() }, false), clock.later(5)).unwrap();
    drop(log);
    let known = format!("sha256:{}", "ab".repeat(32));
    // One that had none does not hide the one before it, whether it closed or not.
    for _ in 0..3 {
        let (_, recovered) = open(root.path(), clock);
        assert_eq!(recovered.policy.as_ref(), Some(&known));
    }
    fs::remove_dir_all(root.path().join("log/5")).unwrap();
    let (_, recovered) = open(root.path(), clock);
    assert!(!recovered.lost.is_empty());
    assert_eq!(recovered.policy, None);
}

#[test]
fn a_signer_that_the_log_names_has_to_have_signed_what_is_kept() {
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let digest = format!("sha256:{}", "ab".repeat(32));
    let signature = Signature::new(&digest, "marla", pair.sign(&signing::message(&digest)).as_ref()).unwrap();
    let mut files = support::policy_files();
    files.insert("marla.sig".to_owned(), signature.to_string().into_bytes());
    let key = |seed| {
        let pair = Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap();
        SignerKey::new("marla", pair.public_key().as_ref()).unwrap()
    };
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let load = privet_audit_log::policies::store(&root.path().join("log"), 0, &digest, &files).unwrap();
    let declared = vec![Declaration::Policy(PolicyLoad { signers: vec!["marla".into()], ..load })];
    log.commit(&work(Delta { declared, ..Delta::default() }, false), clock.later(5)).unwrap();
    log.close(&Delta::default(), clock.later(5)).unwrap();
    let with = |signers| {
        let options = Options { signers, ..support::armed(root.path()) };
        verify(&root.path().join("log"), &options).unwrap()
    };
    let report = with(Some(vec![key(7)]));
    assert_clean(&report);
    assert!(report.policies[0].signers.contains("marla") && report.assumptions.is_empty());
    assert_eq!(with(Some(vec![key(8)])).findings[0].code, "policy_signature");
    assert_eq!(with(None).assumptions.len(), 1);
}

#[test]
fn without_key_and_anchor_the_report_says_what_it_assumed() {
    let root = support::scratch();
    sample(root.path());
    let report = verify(&root.path().join("log"), &Options::default()).unwrap();
    assert_clean(&report);
    assert_eq!(report.assumptions.len(), 2);
    assert!(check(root.path()).assumptions.is_empty());
}

#[test]
fn a_quiet_leaf_waits_ten_seconds_and_its_times_are_rounded() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let mut delta = traffic(1, 10);
    delta.declared = declarations(&root.path().join("log"));
    assert!(!log.is_batch_due(&delta, clock.later(17)));
    log.commit(&work(delta, false), clock.now()).unwrap();
    assert!(!log.is_batch_due(&Delta::default(), clock.later(9_999)));
    assert!(log.is_batch_due(&Delta::default(), clock.later(1)));
    log.commit(&work(Delta::default(), true), clock.now()).unwrap();
    let busy = traffic(64, 1);
    assert!(!log.is_batch_due(&busy, clock.later(3)), "100 ms have not passed");
    assert!(log.is_batch_due(&busy, clock.later(100)));
    log.commit(&work(busy, true), clock.now()).unwrap();
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let text = newest_bundle(root.path()).unwrap();
    let batches: Vec<&str> = text.split("{\"batch\":").skip(1).collect();
    assert!(batches[0].contains("\"since\":1795344000000,") && batches[0].contains("\"ts\":1795344010000,"), "{text}");
    assert!(batches[1].contains("\"ts\":1795344010120,"), "{text}");
}

fn newest_bundle(root: &std::path::Path) -> io::Result<String> {
    let mut files = support::files_below(&root.join("log/1/tile/entries"));
    let last = files.pop().ok_or(io::ErrorKind::NotFound)?;
    Ok(String::from_utf8_lossy(&fs::read(last)?).into_owned())
}

#[test]
fn what_was_durable_survives_a_crash_and_the_rest_is_stated() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    delta.arrivals.requests += 3;
    delta.arrivals.listeners.add(0, 3);
    delta.arrivals.events += 7;
    log.commit(&work(delta, false), clock.later(20)).unwrap();
    log.commit(&work(acknowledged(1, 0, 50), false), clock.later(20)).unwrap();
    drop(log);
    let live = check(root.path());
    assert_clean(&live);
    assert!(live.gaps.iter().any(|gap| gap.code == "unfolded"));
    let (log, recovered) = open(root.path(), clock);
    let mended = recovered.before.unwrap().mended.unwrap();
    assert_eq!((mended.abandoned_requests, mended.abandoned_events, mended.unknown), (3, 7, 80 - 50 + 40));
    log.close(&Delta::default(), clock.later(5)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!(report.totals.kept, 80);
    assert_eq!(report.destinations["collector"].acknowledged, 50);
    assert_eq!(report.destinations["collector"].unknown, 30);
    assert_eq!(report.totals.events_unfinished, 7);
    assert!(report.gaps.iter().any(|gap| gap.code == "crash"));
}

#[test]
fn a_full_disk_refuses_until_it_works_and_the_log_says_so() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let full = Arc::new(AtomicBool::new(false));
    let mut settings = settings(root.path());
    let seen = full.clone();
    settings.gate = Gate::new(move |op| {
        let fails = seen.load(Ordering::Relaxed) && matches!(op, DiskOp::Append | DiskOp::Create | DiskOp::Sync);
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let (mut log, _) = Log::open(settings, clock.now()).unwrap();
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    log.commit(&work(delta, true), clock.later(200)).unwrap();
    full.store(true, Ordering::Relaxed);
    let owed = work(traffic(8, 10), true);
    assert!(log.commit(&owed, clock.later(100)).is_err());
    assert!(!log.is_healthy());
    assert!(!root.path().join("log/reserve").exists(), "the reserve was given up");
    assert!(log.commit(&owed, clock.later(1000)).is_err());
    full.store(false, Ordering::Relaxed);
    log.commit(&owed, clock.later(1000)).unwrap();
    assert!(log.is_healthy());
    assert!(root.path().join("log/reserve").exists());
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!(report.totals.events, 180, "the work that failed counts once");
    assert!(report.gaps.iter().any(|gap| gap.code == "unwritable"));
}

#[test]
fn a_sync_that_fails_once_is_said_and_the_group_counts_once() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let once = Arc::new(AtomicBool::new(false));
    let mut settings = settings(root.path());
    let seen = once.clone();
    settings.gate = Gate::new(move |op| {
        let fails = op == DiskOp::Sync && seen.swap(false, Ordering::Relaxed);
        if fails { Err(io::Error::other("the disk is tired")) } else { Ok(()) }
    });
    let (mut log, _) = Log::open(settings, clock.now()).unwrap();
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    let first = work(delta, true);
    once.store(true, Ordering::Relaxed);
    assert!(log.commit(&first, clock.later(200)).is_err());
    log.commit(&first, clock.later(200)).unwrap();
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!(report.totals.events, 100);
    assert!(report.gaps.iter().any(|gap| gap.code == "degraded"));
}

#[test]
fn a_checkpoint_that_was_asked_for_and_cannot_be_signed_is_an_error_after_which_the_work_counts() {
    for asked_for in [true, false] {
        let root = support::scratch();
        let mut clock = Hand(0);
        // Fails the second append after it is set: the records are written, and their head is not.
        let left = Arc::new(AtomicI64::new(-1));
        let mut settings = settings(root.path());
        let seen = left.clone();
        settings.gate = Gate::new(move |op| {
            let fails = op == DiskOp::Append && seen.fetch_sub(1, Ordering::Relaxed) == 1;
            if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let (mut log, _) = Log::open(settings, clock.now()).unwrap();
        let mut delta = traffic(10, 10);
        delta.declared = declarations(&root.path().join("log"));
        log.commit(&work(delta, true), clock.later(200)).unwrap();
        let signed = log.signed_size();
        left.store(2, Ordering::Relaxed);
        let records = vec![support::charge("window-0", 0)];
        let charged = Work { records, checkpoint: asked_for, ..work(traffic(8, 10), true) };
        let done = log.commit(&charged, clock.later(11_000));
        match asked_for {
            true => assert!(matches!(done, Err(WriteError::Unsigned(_))), "{done:?}"),
            false => assert!(done.is_ok() && log.signed_size() == signed, "a head that was only due comes later"),
        }
        assert_eq!(log.is_healthy(), !asked_for);
        log.commit(&Work::default(), clock.later(11_000)).unwrap();
        assert!(log.is_healthy() && log.signed_size() > signed);
        log.close(&Delta::default(), clock.later(10)).unwrap();
        let report = check(root.path());
        assert_clean(&report);
        assert_eq!((report.totals.events, report.budgets[0].charges), (180, 1));
    }
}

#[test]
fn segments_are_dropped_once_tiles_hold_their_records() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut settings = settings(root.path());
    settings.segment_bytes = 20_000;
    let (mut log, _) = Log::open(settings.clone(), clock.now()).unwrap();
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    log.commit(&work(delta, true), clock.later(200)).unwrap();
    for batch in 2..=700 {
        log.commit(&work(acknowledged(batch - 1, 0, 80), false), clock.later(50)).unwrap();
        log.commit(&work(traffic(10, 10), true), clock.later(50)).unwrap();
    }
    let segments = fs::read_dir(root.path().join("log/1/wal")).unwrap().count();
    assert!(segments <= 2, "{segments} segments are kept");
    assert_clean(&check(root.path()));
    drop(log);
    let (log, recovered) = Log::open(settings, clock.now()).unwrap();
    assert!(recovered.before.unwrap().mended.is_some());
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!(report.totals.events, 70_000);
}

#[test]
fn a_log_cut_behind_its_checkpoint_is_not_opened_again() {
    let root = support::scratch();
    let clock = sample(root.path());
    let segment = root.path().join("log/2/wal/00000000.wal");
    let bytes = fs::read(&segment).unwrap();
    fs::write(&segment, &bytes[..bytes.len() / 2]).unwrap();
    let error = Log::open(settings(root.path()), clock.now()).unwrap_err();
    assert!(matches!(error, OpenError::Damaged { .. }), "{error}");
}

#[test]
fn a_log_rolled_back_behind_its_anchor_is_not_opened_again() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let early = support::scratch();
    support::copy_tree(&root.path().join("log"), early.path());
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    log.commit(&Work { delta, cut: true, checkpoint: true, ..Work::default() }, clock.later(100)).unwrap();
    drop(log);
    fs::remove_dir_all(root.path().join("log")).unwrap();
    support::copy_tree(early.path(), &root.path().join("log"));
    let error = Log::open(settings(root.path()), clock.now()).unwrap_err();
    assert!(error.to_string().contains("the anchored checkpoint"), "{error}");
}

#[test]
fn a_log_that_vanished_is_said_to_be_lost() {
    let root = support::scratch();
    let mut clock = sample(root.path());
    fs::remove_dir_all(root.path().join("log")).unwrap();
    let (log, recovered) = open(root.path(), clock);
    assert_eq!(recovered.incarnation, 3);
    assert!(recovered.lost[0].origin.ends_with("/2"));
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let codes: Vec<&str> = check(root.path()).findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"lost"), "{codes:?}");
}

#[test]
fn two_writers_do_not_share_a_log() {
    let root = support::scratch();
    let clock = Hand(0);
    let (_log, _) = open(root.path(), clock);
    assert!(matches!(Log::open(settings(root.path()), clock.now()), Err(OpenError::InUse(_))));
}

#[test]
fn counts_that_do_not_add_up_are_not_written() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    log.commit(&work(delta, true), clock.later(200)).unwrap();
    let mut wrong = traffic(10, 10);
    wrong.decisions.classes.add(0, 1);
    assert!(log.commit(&work(wrong, true), clock.later(200)).is_err());
    let mut twice = Delta::default();
    twice.fates.insert((1, 0), Fate { acknowledged: 81, ..Fate::default() });
    assert!(log.commit(&work(twice, true), clock.later(200)).is_err());
}

#[test]
fn a_long_class_document_stands_in_a_file_and_is_checked() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    let doc = format!("{{\"f\":\"{}\"}}", "x".repeat(70_000));
    delta.declared.push(Declaration::Class { n: 3, policy: 0, doc: doc.into() });
    log.commit(&work(delta, true), clock.later(200)).unwrap();
    log.close(&Delta::default(), clock.later(1)).unwrap();
    assert_clean(&check(root.path()));
    let file = fs::read_dir(root.path().join("log/1/class")).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "{}").unwrap();
    assert_eq!(check(root.path()).findings[0].code, "class_document");
}

#[test]
fn silence_longer_than_two_heartbeats_is_found() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = open(root.path(), clock);
    log.commit(&Work::default(), clock.later(60_000)).unwrap();
    log.commit(&Work::default(), clock.later(200_000)).unwrap();
    log.close(&Delta::default(), clock.later(1)).unwrap();
    assert_eq!(check(root.path()).findings[0].code, "silence");
}

#[test]
fn a_start_that_ended_before_its_first_checkpoint_is_recovered_and_has_one() {
    let root = support::scratch();
    let clock = Hand(0);
    drop(open(root.path(), clock));
    for published in ["log/1/checkpoint", "anchor/checkpoint"] {
        fs::remove_file(root.path().join(published)).unwrap();
    }
    fs::remove_dir_all(root.path().join("log/1/tile")).unwrap();
    let (log, _) = open(root.path(), clock);
    log.close(&Delta::default(), clock.now()).unwrap();
    assert_clean(&check(root.path()));
}

#[test]
fn a_start_that_ended_before_its_incarnation_was_there_is_stated_by_the_next() {
    let root = support::scratch();
    let clock = sample(root.path());
    let unborn = Signer::from_seed(&format!("{}/3", support::ORIGIN), &[7; 32]).unwrap();
    let vkey = root.path().join("anchor/vkey");
    let keys = fs::read_to_string(&vkey).unwrap();
    fs::write(&vkey, format!("{keys}{}\n", unborn.verifier())).unwrap();
    let (log, recovered) = open(root.path(), clock);
    assert_eq!((recovered.incarnation, recovered.lost, recovered.unborn.len()), (4, vec![], 1));
    log.close(&Delta::default(), clock.now()).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert!(report.gaps.iter().any(|gap| gap.code == "unborn"));
}

/// One start and one end, in which every disk operation from the `stop`th on fails; whether it came to the end.
fn stopped_at(stop: usize, root: &std::path::Path, mut clock: Hand) -> bool {
    let done = Arc::new(AtomicUsize::new(0));
    let mut settings = settings(root);
    settings.gate = Gate::new(move |_| {
        let killed = done.fetch_add(1, Ordering::Relaxed) >= stop;
        if killed { Err(io::Error::other("nobody is there to do it")) } else { Ok(()) }
    });
    let Ok((log, _)) = Log::open(settings, clock.now()) else { return false };
    log.close(&Delta::default(), clock.later(500)).is_ok()
}

#[test]
fn a_start_or_an_end_that_stops_at_any_disk_operation_leaves_a_log_without_findings() {
    for stop in 0.. {
        let root = support::scratch();
        let mut clock = sample(root.path());
        clock.later(5000);
        let whole = stopped_at(stop, root.path(), clock);
        // The next start would say what became of a key that was anchored just now.
        let left = verify(&root.path().join("log"), &Options::default()).unwrap();
        assert!(left.is_clean(), "stopped at {stop}: {:#?}", left.findings);
        clock.later(5000);
        let (log, _) = open(root.path(), clock);
        log.close(&Delta::default(), clock.later(10)).unwrap();
        let report = check(root.path());
        assert!(report.is_clean(), "stopped at {stop}, and started again: {:#?}", report.findings);
        if whole {
            assert!(stop > 10, "a start and an end do more than {stop} things to the disk");
            return;
        }
    }
}
