//! Measurements; run with `cargo test --release -p privet-audit-log --test speed -- --ignored --nocapture`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::time::Instant;

use privet_audit_log::Log;
use privet_audit_log::counts::Delta;
use privet_audit_log::record::BypassWatch;
use support::{Hand, assert_clean, check, declarations, settings, traffic, work};

/// Ten batches a second of 10,000 events in 16 classes, as at 100,000 events a second.
#[test]
#[ignore = "a measurement"]
fn verification_speed_and_bytes_an_event() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut settings = support::lease(settings(root.path()), 20_000);
    settings.segment_bytes = 8 << 20;
    settings.config.as_mut().unwrap().bypass = BypassWatch::Off;
    let (mut log, _) = Log::open(settings.clone(), clock.now()).unwrap();
    let mut first = Delta { declared: declarations(&root.path().join("log")), ..Delta::default() };
    for n in 3..16 {
        let doc = format!("{{\"contract\":\"storefront.search/{n}\"}}");
        first.declared.push(privet_audit_log::record::Declaration::Class { n, policy: 0, doc: doc.into() });
    }
    log.commit(&work(first, false), clock.later(1)).unwrap();
    let batches = std::env::var("PRIVET_BATCHES").ok().and_then(|n| n.parse().ok()).unwrap_or(500_000_u64);
    let begun = Instant::now();
    for batch in 1..=batches {
        let mut delta = traffic(500, 20);
        delta.decisions.classes = privet_audit_log::counts::Counts::default();
        (0..16).for_each(|class| delta.decisions.classes.add(class, 625));
        if batch > 1 {
            delta.merge(&support::acknowledged(batch - 1, 0, 8000));
            delta.merge(&support::acknowledged(batch - 1, 1, 4000));
        }
        log.commit(&work(delta, true), clock.later(100)).unwrap();
    }
    println!("written: {:.1} us a batch", begun.elapsed().as_micros() as f64 / batches as f64);
    let records = log.size();
    drop(log);
    let begun = Instant::now();
    let (log, _) = Log::open(settings, clock.later(10)).unwrap();
    println!("recovered: {records} records in {:.2} s", begun.elapsed().as_secs_f64());
    log.close(&Delta::default(), clock.later(1)).unwrap();
    let bytes: u64 = support::files_below(&root.path().join("log/1"))
        .iter()
        .filter(|file| !file.to_string_lossy().contains("/wal/"))
        .map(|file| std::fs::metadata(file).unwrap().len())
        .sum();
    println!("kept: {:.3} bytes an event", bytes as f64 / (batches * 10_000) as f64);
    let (begun, on_core) = (Instant::now(), on_core_secs());
    let report = check(root.path());
    let (waited, spent) = (begun.elapsed().as_secs_f64(), on_core_secs() - on_core);
    assert_clean(&report);
    let records = report.totals.records;
    println!("verified: {records} records in {spent:.2} s of a core, {waited:.2} s in all");
    println!("that is {:.0} records a second and core", records as f64 / spent);
}

/// How long this thread has been on a core. Others share the machine, so the time that passes says less.
fn on_core_secs() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    let nanos: u64 = stat.split(' ').next().unwrap().parse().unwrap();
    nanos as f64 / 1e9
}
