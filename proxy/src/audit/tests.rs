use std::path::Path;
use std::sync::atomic::AtomicBool;

use privet_audit_log::note::VerifierKey;
use privet_audit_log::verify::{Options, Report, verify};
use privet_audit_log::{DiskOp, Gate};

use super::*;
use crate::clock::SystemClock;

pub(super) fn settings(root: &Path, durability: Durability) -> Settings {
    let mut settings = Settings::new(root.join("log"), "privet.example/test");
    settings.anchor = Some(root.join("anchor"));
    settings.durability = durability;
    settings.reserve_bytes = 4096;
    settings
}

pub(super) fn open(settings: Settings) -> Recorder {
    Recorder::open(settings, Arc::new(SystemClock::default())).unwrap().0
}

pub(super) fn check(root: &Path) -> Report {
    let keys = VerifierKey::parse_all(&std::fs::read_to_string(root.join("anchor/vkey")).unwrap()).unwrap();
    let anchor = std::fs::read_to_string(root.join("anchor/checkpoint")).unwrap();
    let report =
        verify(&root.join("log"), &Options { keys: Some(keys), anchor: Some(anchor), ..Options::default() }).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    report
}

pub(super) struct Named {
    pub(super) listener: ListenerNo,
    pub(super) to: DestNo,
    class: ClassNo,
    dropped: ClassNo,
}

pub(super) fn name(recorder: &Recorder) -> Named {
    let files = Files::from([("rules.yaml".to_owned(), b"kind: Rule".to_vec())]);
    let policy = recorder.policy_loaded(&"a".repeat(64), &files, Vec::new()).unwrap();
    Named {
        listener: recorder.listener("events").unwrap(),
        to: recorder.destination("collector").unwrap(),
        class: recorder.class(policy, r#"{"outcome":"ruled"}"#).unwrap(),
        dropped: recorder.class(policy, r#"{"outcome":"unmatched"}"#).unwrap(),
    }
}

pub(super) fn tally(named: &Named, kept: u64, dropped: u64) -> Tally {
    let mut tally = Tally::default();
    tally.kept(named.class, kept);
    tally.dropped(named.dropped, dropped);
    tally.released(named.to, kept);
    tally
}

pub(super) async fn carry(recorder: &Recorder, named: &Named) {
    let mut arrival = recorder.arrived(named.listener, 1200);
    arrival.decoded(10);
    let mut batch = recorder.append(&mut arrival, &tally(named, 8, 2)).await.unwrap();
    batch.outcome(named.to, Delivery::Acknowledged, 8);
    arrival.answered();
}

#[tokio::test]
async fn what_passes_is_what_the_log_says() {
    for durability in [Durability::Sync, Durability::Lease { events: 1000 }] {
        let root = tempfile::tempdir().unwrap();
        let recorder = open(settings(root.path(), durability));
        let named = name(&recorder);
        for _ in 0..50 {
            carry(&recorder, &named).await;
        }
        recorder.arrived(named.listener, 9).refused(RefusedAs::Unparseable);
        let mut withheld = recorder.arrived(named.listener, 9);
        withheld.decoded(3);
        withheld.refused(RefusedAs::Overloaded);
        recorder.close().await.unwrap();
        let report = check(root.path());
        let totals = &report.totals;
        assert_eq!((totals.requests, totals.answered, totals.aborted), (52, 50, 0));
        assert_eq!((totals.refused["unparseable"], totals.refused["overloaded"]), (1, 1));
        assert_eq!((totals.events, totals.kept, totals.dropped, totals.withheld), (503, 400, 100, 3));
        assert_eq!(report.destinations["collector"].acknowledged, 400);
    }
}

#[tokio::test]
async fn dropped_half_way_everything_still_settles() {
    let root = tempfile::tempdir().unwrap();
    let recorder = open(settings(root.path(), Durability::Sync));
    let named = name(&recorder);
    let mut arrival = recorder.arrived(named.listener, 1);
    arrival.decoded(4);
    drop(arrival);
    let mut arrival = recorder.arrived(named.listener, 1);
    arrival.decoded(10);
    let batch = recorder.append(&mut arrival, &tally(&named, 8, 2)).await.unwrap();
    drop((batch, arrival));
    let mut arrival = recorder.arrived(named.listener, 1);
    arrival.decoded(10);
    {
        let tally = tally(&named, 8, 2);
        let mut append = Box::pin(recorder.append(&mut arrival, &tally));
        let once = std::future::poll_fn(|context| std::task::Poll::Ready(append.as_mut().poll(context).is_ready()));
        assert!(!once.await, "sync waits for the disk");
    }
    drop(arrival);
    recorder.close().await.unwrap();
    let report = check(root.path());
    assert_eq!((report.totals.aborted, report.totals.withheld), (3, 4));
    let collector = &report.destinations["collector"];
    assert_eq!((collector.released, collector.unknown, collector.refused), (16, 8, 8));
}

#[tokio::test]
async fn a_failing_disk_refuses_and_nothing_is_counted_twice() {
    for durability in [Durability::Sync, Durability::Lease { events: 16 }] {
        let root = tempfile::tempdir().unwrap();
        let full = Arc::new(AtomicBool::new(false));
        let mut settings = settings(root.path(), durability);
        let seen = full.clone();
        settings.gate = Gate::new(move |op| {
            let fails = seen.load(Ordering::Relaxed) && op != DiskOp::Publish;
            if fails { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        });
        let recorder = open(settings);
        let named = name(&recorder);
        carry(&recorder, &named).await;
        full.store(true, Ordering::Relaxed);
        let mut refused = 0;
        for _ in 0..20 {
            let mut arrival = recorder.arrived(named.listener, 1);
            arrival.decoded(10);
            if recorder.append(&mut arrival, &tally(&named, 8, 2)).await.is_err() {
                refused += 1;
                arrival.refused(RefusedAs::CannotRecord);
            } else {
                arrival.answered();
            }
        }
        assert!(refused >= 17, "{refused} refused: at most a lease of 16 events may pass");
        assert!(!recorder.healthy());
        full.store(false, Ordering::Relaxed);
        while !recorder.healthy() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        carry(&recorder, &named).await;
        recorder.close().await.unwrap();
        let report = check(root.path());
        assert_eq!(report.totals.requests, 22);
        assert_eq!(report.totals.refused["cannot_record"], refused);
        assert_eq!(report.totals.events, 220);
        assert!(report.gaps.iter().any(|gap| gap.code == "unwritable"));
    }
}

#[tokio::test]
async fn challenges_and_looks_at_sockets_are_recorded_with_what_they_count() {
    for durability in [Durability::Sync, Durability::Lease { events: 1000 }] {
        let root = tempfile::tempdir().unwrap();
        let recorder = open(settings(root.path(), durability));
        let named = name(&recorder);
        for n in 0..20_u8 {
            carry(&recorder, &named).await;
            let mut arrival = recorder.arrived(named.listener, 1200);
            arrival.decoded(5);
            let token = Hash::of(&[n]);
            let mut batch = recorder.challenge(&mut arrival, &tally(&named, 3, 2), token).await.unwrap();
            batch.outcome(named.to, Delivery::Acknowledged, 3);
            arrival.answered();
        }
        let looked = BypassCheck::new(2, 30, &[("unknown_listener", 0)]);
        recorder.bypass_check(looked).await.unwrap();
        recorder.close().await.unwrap();
        let totals = check(root.path()).totals;
        assert_eq!((totals.challenges, totals.challenged_events, totals.bypass_checks), (20, 100, 1));
        assert_eq!((totals.events, totals.kept, totals.dropped), (300, 220, 80));
    }
}

#[tokio::test]
async fn old_incarnations_go_and_what_is_loaded_now_stays() {
    let root = tempfile::tempdir().unwrap();
    for digest in ["b", "c", "a"] {
        let recorder = open(settings(root.path(), Durability::Sync));
        let files = Files::from([(format!("{digest}.yaml"), b"kind: Rule".to_vec())]);
        recorder.policy_loaded(&digest.repeat(64), &files, Vec::new()).unwrap();
        recorder.close().await.unwrap();
    }
    let recorder = open(settings(root.path(), Durability::Sync));
    let named = name(&recorder);
    carry(&recorder, &named).await;
    // The log's own clock has not moved, and an auditor holds the age against it.
    let now = SystemClock::default().now().as_millisecond();
    let retiring = recorder.clone();
    let removed = tokio::task::spawn_blocking(move || retiring.retire(0, now)).await.unwrap().unwrap();
    assert_eq!((removed.incarnations, removed.policies), (2, 2));
    carry(&recorder, &named).await;
    recorder.close().await.unwrap();
    let report = check(root.path());
    assert!(report.gaps.iter().any(|gap| gap.code == "retired"));
    assert_eq!(report.policies.len(), 1);
}

#[tokio::test]
async fn an_incarnation_whose_end_cannot_be_proved_stays_and_the_reason_is_told() {
    let root = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        open(settings(root.path(), Durability::Sync)).close().await.unwrap();
    }
    let recorder = open(settings(root.path(), Durability::Sync));
    let vkey = root.path().join("anchor/vkey");
    let keys = std::fs::read_to_string(&vkey).unwrap();
    let without: String = keys.split_inclusive('\n').filter(|line| !line.contains("/test/2+")).collect();
    std::fs::write(&vkey, without).unwrap();
    let (now, retiring) = (SystemClock::default().now().as_millisecond(), recorder.clone());
    let held = tokio::task::spawn_blocking(move || retiring.retire(0, now)).await.unwrap().unwrap_err();
    assert!(matches!(held, CannotRetire::NotProved(_)), "{held:?}");
    assert!(root.path().join("log/1").is_dir());
    let why = std::error::Error::source(&held).unwrap().to_string();
    assert_eq!(why, "incarnation 2 has no checkpoint that its anchored key signed");
    recorder.close().await.unwrap();
}

#[tokio::test]
async fn a_tally_that_does_not_add_up_is_refused() {
    let root = tempfile::tempdir().unwrap();
    let recorder = open(settings(root.path(), Durability::Sync));
    let named = name(&recorder);
    let mut arrival = recorder.arrived(named.listener, 1);
    arrival.decoded(9);
    let wrong = recorder.append(&mut arrival, &tally(&named, 8, 2)).await.map(drop);
    assert_eq!(wrong, Err(CannotRecord::Miscounted));
    drop(arrival);
    recorder.close().await.unwrap();
    assert_eq!(check(root.path()).totals.withheld, 9);
}

#[tokio::test]
async fn a_name_keeps_its_number_and_a_policy_that_comes_back_too() {
    let root = tempfile::tempdir().unwrap();
    let recorder = open(settings(root.path(), Durability::Sync));
    let first = name(&recorder);
    let again = name(&recorder);
    assert_eq!((first.listener, first.to, first.class), (again.listener, again.to, again.class));
    carry(&recorder, &again).await;
    assert_eq!(recorder.class(PolicyNo(0), "{ }"), Err(CannotRecord::Malformed));
    recorder.close().await.unwrap();
    assert_eq!(check(root.path()).policies[0].loads, 2);
}

/// Prints what the evidence of one event costs; run with `--release --ignored --nocapture`.
#[tokio::test]
#[ignore = "a measurement"]
async fn cost_of_evidence_in_lease_mode() {
    for each in [1_u64, 20, 200] {
        let root = tempfile::tempdir().unwrap();
        let mut settings = settings(root.path(), Durability::Lease { events: 1 << 20 });
        settings.reserve_bytes = 1 << 20;
        let recorder = open(settings);
        let named = name(&recorder);
        let requests = 2_000_000 / each;
        let begun = std::time::Instant::now();
        for _ in 0..requests {
            let mut arrival = recorder.arrived(named.listener, 1200 * each);
            arrival.decoded(each);
            let mut batch = recorder.append(&mut arrival, &tally(&named, each, 0)).await.unwrap();
            batch.outcome(named.to, Delivery::Acknowledged, each);
            arrival.answered();
        }
        let spent = begun.elapsed();
        let nanos = spent.as_nanos() as f64 / (requests * each) as f64;
        println!("{each} events a request: {nanos:.1} ns an event, {:.0} ns a request", nanos * each as f64);
        recorder.close().await.unwrap();
        let report = check(root.path());
        assert_eq!(report.totals.events, requests * each);
    }
}

#[tokio::test]
async fn a_leaf_is_cut_soon_after_the_first_count_however_long_nothing_came_before() {
    let root = tempfile::tempdir().unwrap();
    let recorder = open(settings(root.path(), Durability::Lease { events: 1 << 20 }));
    let named = name(&recorder);
    for _ in 0..4 {
        // Long enough for the writer to be asleep.
        tokio::time::sleep(Duration::from_millis(250)).await;
        let before = std::time::Instant::now();
        while before.elapsed() < Duration::from_millis(350) {
            for _ in 0..10 {
                carry(&recorder, &named).await;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    recorder.close().await.unwrap();
    let batches = check(root.path()).totals.batches;
    assert!(batches >= 5, "{batches} batches in four bursts of 350 ms");
}
