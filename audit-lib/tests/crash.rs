//! Cut anywhere, a log comes back with everything that was durable, and adds up.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::{fs, io};

use privet_audit_log::counts::{Delta, Fate};
use privet_audit_log::{DiskOp, Gate, Log, Settings};
use proptest::prelude::*;
use support::{Hand, acknowledged, assert_clean, check, copy_tree, declarations, settings, traffic, work};

/// Opens and closes what a crash left, and verifies all of it.
fn recover(root: &Path, mut clock: Hand) -> privet_audit_log::verify::Report {
    let (log, _) = Log::open(settings(root), clock.later(1000)).unwrap();
    log.close(&Delta::default(), clock.later(1000)).unwrap();
    check(root)
}

#[test]
fn cut_at_every_byte_of_its_last_frames_a_log_recovers_what_was_durable() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = Log::open(settings(root.path()), clock.now()).unwrap();
    let segment = root.path().join("log/1/wal/00000000.wal");
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    log.commit(&work(delta, true), clock.later(100)).unwrap();
    // Where each commit ended, and how many events were durable by then.
    let mut durable = vec![(fs::metadata(&segment).unwrap().len(), 100_u64)];
    for (n, cut) in [(3, false), (5, false), (2, true), (4, false), (20, true)] {
        log.commit(&work(traffic(n, 4), cut), clock.later(70)).unwrap();
        log.commit(&work(acknowledged(1, 0, n), false), clock.later(5)).unwrap();
        let (_, before) = *durable.last().unwrap();
        durable.push((fs::metadata(&segment).unwrap().len(), before + n * 4));
    }
    drop(log);
    let bytes = fs::read(&segment).unwrap();
    let (first, _) = durable[0];
    let copy = support::scratch();
    for cut in usize::try_from(first).unwrap()..=bytes.len() {
        for part in ["log", "anchor"] {
            let _ = fs::remove_dir_all(copy.path().join(part));
            copy_tree(&root.path().join(part), &copy.path().join(part));
        }
        fs::write(copy.path().join("log/1/wal/00000000.wal"), &bytes[..cut]).unwrap();
        let report = recover(copy.path(), clock);
        assert_clean(&report);
        let least = durable.iter().filter(|(end, _)| *end <= cut as u64).map(|(_, events)| *events).max().unwrap();
        assert!(report.totals.events >= least, "cut at {cut}: {} of {least} events", report.totals.events);
        assert_eq!(report.totals.kept + report.totals.dropped, report.totals.events);
        assert!(report.gaps.iter().any(|gap| gap.code == "crash"));
    }
}

#[test]
fn a_crash_while_recovering_is_recovered_too() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let (mut log, _) = Log::open(settings(root.path()), clock.now()).unwrap();
    let mut delta = traffic(10, 10);
    delta.declared = declarations(&root.path().join("log"));
    log.commit(&work(delta, false), clock.later(100)).unwrap();
    drop(log);
    let segment = root.path().join("log/1/wal/00000000.wal");
    let mut torn = fs::read(&segment).unwrap();
    torn.extend_from_slice(&[7; 33]);
    fs::write(&segment, &torn).unwrap();
    let before = support::scratch();
    copy_tree(root.path(), before.path());
    assert_clean(&recover(root.path(), clock));
    let mended = fs::read(root.path().join("log/1/wal/00000001.wal")).unwrap();
    let copy = support::scratch();
    for cut in 0..=mended.len() {
        for part in ["log", "anchor"] {
            let _ = fs::remove_dir_all(copy.path().join(part));
            copy_tree(&before.path().join(part), &copy.path().join(part));
        }
        fs::write(copy.path().join("log/1/wal/00000001.wal"), &mended[..cut]).unwrap();
        let report = recover(copy.path(), clock);
        assert_clean(&report);
        assert_eq!(report.totals.events, 100, "cut at {cut}");
    }
}

#[derive(Clone, Debug)]
enum Step {
    Decide { requests: u64, events: u64 },
    Arrive { requests: u64, events: u64 },
    Refuse(u64),
    Settle { share: u64 },
    Wait(u64),
    Crash,
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..20_u64, 1..30_u64).prop_map(|(requests, events)| Step::Decide { requests, events }),
        2 => (1..5_u64, 0..9_u64).prop_map(|(requests, events)| Step::Arrive { requests, events }),
        1 => (1..4_u64).prop_map(Step::Refuse),
        3 => (1..5_u64).prop_map(|share| Step::Settle { share }),
        3 => (1..15_000_u64).prop_map(Step::Wait),
        1 => Just(Step::Crash),
        1 => Just(Step::Close),
    ]
}

/// What a run should come to, counted beside the log.
#[derive(Default)]
struct Model {
    requests: u64,
    events: u64,
    kept: u64,
    refused: u64,
    in_flight: u64,
    batch: u64,
    open: Vec<(u64, u32, u64)>,
}

struct Run {
    settings: Settings,
    log: Option<Log>,
    clock: Hand,
    model: Model,
}

impl Run {
    fn open(&mut self) {
        let (mut log, _) = Log::open(self.settings.clone(), self.clock.later(10)).unwrap();
        let declared = Delta { declared: declarations(&self.settings.dir), ..Delta::default() };
        log.commit(&work(declared, false), self.clock.later(1)).unwrap();
        self.log = Some(log);
        self.model.batch = 1;
        self.model.in_flight = 0;
        self.model.open.clear();
    }

    fn commit(&mut self, delta: Delta) {
        let now = self.clock.later(7);
        let log = self.log.as_mut().unwrap();
        let cut = log.is_batch_due(&delta, now);
        log.commit(&work(delta, cut), now).unwrap();
        self.model.batch += u64::from(cut);
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Decide { requests, events } => {
                let delta = traffic(*requests, *events);
                self.model.requests += requests;
                self.model.events += requests * events;
                self.model.kept += delta.decisions.kept;
                for to in [0, 1] {
                    self.model.open.push((self.model.batch, to, delta.decisions.released.get(to)));
                }
                self.commit(delta);
            }
            Step::Arrive { requests, events } => {
                let mut delta = Delta::default();
                delta.arrivals.requests = *requests;
                delta.arrivals.listeners.add(0, *requests);
                delta.arrivals.events = *events;
                self.model.requests += requests;
                self.model.events += events;
                self.model.in_flight += events;
                self.commit(delta);
            }
            Step::Refuse(requests) => {
                let mut delta = Delta::default();
                delta.arrivals.requests = *requests;
                delta.arrivals.listeners.add(0, *requests);
                delta.arrivals.refused.add(1, *requests);
                self.model.requests += requests;
                self.model.refused += requests;
                self.commit(delta);
            }
            Step::Settle { share } => {
                let mut delta = Delta::default();
                for (batch, to, open) in &mut self.model.open {
                    let settled = *open / share;
                    if settled > 0 {
                        let fate = Fate { acknowledged: settled, ..Fate::default() };
                        delta.fates.entry((*batch, *to)).or_default().add(fate);
                        *open -= settled;
                    }
                }
                self.commit(delta);
            }
            Step::Wait(ms) => {
                self.clock.later(*ms);
                self.commit(Delta::default());
            }
            Step::Crash => {
                self.log = None;
                self.open();
            }
            Step::Close => {
                let now = self.clock.later(5);
                self.log.take().unwrap().close(&Delta::default(), now).unwrap();
                self.open();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn sums_always_add_up(steps in prop::collection::vec(step(), 1..40)) {
        let root = support::scratch();
        let mut run = Run { settings: settings(root.path()), log: None, clock: Hand(0), model: Model::default() };
        run.open();
        for step in &steps {
            run.take(step);
        }
        let now = run.clock.later(5);
        run.log.take().unwrap().close(&Delta::default(), now).unwrap();
        let report = check(root.path());
        prop_assert!(report.is_clean(), "{:#?}", report.findings);
        prop_assert_eq!(report.totals.requests, run.model.requests);
        prop_assert_eq!(report.totals.events, run.model.events);
        prop_assert_eq!(report.totals.kept, run.model.kept);
        prop_assert_eq!(report.totals.refused.get("overloaded").copied().unwrap_or(0), run.model.refused);
        for one in report.destinations.values() {
            prop_assert_eq!(one.released, one.acknowledged + one.refused + one.unknown);
        }
    }
}

/// The heads that stand in a log's segments, whole or not, by whoever looks at the bytes at this moment.
fn heads(log: &Path, origin: &str) -> Vec<(String, String)> {
    let segments = fs::read_dir(log.join("1/wal")).into_iter().flatten().flatten();
    let mut found = Vec::new();
    for segment in segments {
        let text = String::from_utf8_lossy(&fs::read(segment.path()).unwrap_or_default()).into_owned();
        for note in text.split(&format!("{origin}\n")).skip(1) {
            let mut lines = note.lines();
            if let (Some(size), Some(root)) = (lines.next(), lines.next())
                && size.parse::<u64>().is_ok()
            {
                found.push((size.to_owned(), root.to_owned()));
            }
        }
    }
    found
}

#[test]
fn whatever_write_fails_no_two_heads_of_one_size_are_signed() {
    let mut failed = 0;
    for at in 0..48 {
        let root = support::scratch();
        let log_dir = root.path().join("log");
        let mut clock = Hand(0);
        let mut settings = settings(root.path());
        let origin = format!("{}/1", settings.origin);
        let seen: Arc<Mutex<Vec<(String, String)>>> = Arc::default();
        let (count, keep, dir, name) = (AtomicU64::new(0), seen.clone(), log_dir.clone(), origin.clone());
        let armed = Arc::new(AtomicBool::new(false));
        let trap = armed.clone();
        settings.gate = Gate::new(move |op| {
            if !trap.load(Ordering::Relaxed) {
                return Ok(());
            }
            keep.lock().unwrap().extend(heads(&dir, &name));
            let now = count.fetch_add(1, Ordering::Relaxed);
            let dies = now == at && matches!(op, DiskOp::Append | DiskOp::Sync);
            if dies { Err(io::Error::other("the disk is tired")) } else { Ok(()) }
        });
        let (mut log, _) = Log::open(settings, clock.now()).unwrap();
        let mut delta = traffic(20, 5);
        delta.declared = support::declarations(&log_dir);
        log.commit(&work(delta, true), clock.later(200)).unwrap();
        armed.store(true, Ordering::Relaxed);
        for _ in 0..6 {
            let mut owed = work(traffic(10, 10), true);
            owed.checkpoint = true;
            while log.commit(&owed, clock.later(200)).is_err() {
                failed += 1;
            }
        }
        seen.lock().unwrap().extend(heads(&log_dir, &origin));
        let mut roots = BTreeMap::new();
        for (size, root) in seen.lock().unwrap().drain(..) {
            let known = roots.entry(size.clone()).or_insert_with(|| root.clone());
            assert_eq!(*known, root, "two heads of size {size}, where write {at} failed");
        }
        assert!(roots.len() >= 6, "there were heads to look at");
        log.close(&Delta::default(), clock.later(10)).unwrap();
    }
    assert!(failed >= 6, "{failed} commits failed");
}
