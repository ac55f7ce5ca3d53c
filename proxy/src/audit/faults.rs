//! Disks that are full or read-only and clocks that are set, under a running recorder. What cannot be recorded
//! is refused, the log says so, and afterwards it adds up.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI64};

use jiff::{SignedDuration, Timestamp};
use privet_audit_log::verify::{Options, verify};
use privet_audit_log::{DiskOp, Gate};

use super::tests::{Named, carry, check, name, open, settings, tally};
use super::*;
use crate::clock::SystemClock;

const DAY_SECS: i64 = 86_400;

/// A file system of its own in memory, of so many bytes.
struct Small {
    dir: tempfile::TempDir,
}

impl Small {
    /// `None` where we may not mount: then a [`Gate`] plays the disk.
    fn mount(bytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        mount(&["-t", "tmpfs", "-o", &format!("size={bytes}"), "privet-test"], dir.path()).then_some(Self { dir })
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        Command::new("umount").arg("--lazy").arg(self.dir.path()).status().ok();
    }
}

fn mount(how: &[&str], place: &Path) -> bool {
    Command::new("mount").args(how).arg(place).output().is_ok_and(|done| done.status.success())
}

/// Sends one request and gives how it ended; what is refused is counted as such.
async fn attempt(recorder: &Recorder, named: &Named) -> Result<(), CannotRecord> {
    let mut arrival = recorder.arrived(named.listener, 1200);
    arrival.decoded(10);
    match recorder.append(&mut arrival, &tally(named, 8, 2)).await {
        Ok(mut batch) => {
            batch.outcome(named.to, Delivery::Acknowledged, 8);
            arrival.answered();
            Ok(())
        }
        Err(error) => {
            arrival.refused(RefusedAs::CannotRecord);
            Err(error)
        }
    }
}

async fn until_healthy(recorder: &Recorder) {
    while !recorder.healthy() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Takes all the room there is.
fn fill(place: &Path) -> io::Error {
    let mut file = File::create(place).unwrap();
    loop {
        if let Err(error) = file.write_all(&[7; 4096]) {
            return error;
        }
    }
}

fn gaps(log: &Path) -> Vec<&'static str> {
    let report = verify(log, &Options::default()).unwrap();
    assert!(report.is_clean(), "{:#?}", report.findings);
    report.gaps.iter().map(|gap| gap.code).collect()
}

#[tokio::test]
async fn on_a_full_disk_events_are_refused_and_the_reserve_lets_the_log_say_so() {
    let Some(small) = Small::mount(1 << 20) else {
        eprintln!(
            "no file system can be mounted here; `a_failing_disk_refuses_and_nothing_is_counted_twice` plays one"
        );
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let log = small.dir.path().join("log");
    let mut settings = settings(root.path(), Durability::Sync);
    settings.dir.clone_from(&log);
    settings.reserve_bytes = 64 << 10;
    let recorder = open(settings);
    let named = name(&recorder);
    carry(&recorder, &named).await;
    let filler = small.dir.path().join("filler");
    assert_eq!(fill(&filler).kind(), io::ErrorKind::StorageFull);
    // What is left of the last page is used up, then nothing is taken.
    let (mut taken, mut refused) = (0, 0);
    while refused < 20 {
        match attempt(&recorder, &named).await {
            Ok(()) if refused == 0 => taken += 1,
            Ok(()) => panic!("taken on a full disk"),
            Err(error) => {
                assert_eq!(error, CannotRecord::Disk);
                refused += 1;
            }
        }
    }
    assert!(!recorder.healthy());
    assert!(gaps(&log).contains(&"degraded"), "the reserve lets it say so while the disk is full");
    fs::remove_file(&filler).unwrap();
    until_healthy(&recorder).await;
    attempt(&recorder, &named).await.unwrap();
    recorder.close().await.unwrap();
    let report = verify(&log, &Options::default()).unwrap();
    assert!(gaps(&log).contains(&"unwritable"));
    assert_eq!(report.totals.refused["cannot_record"], refused);
    assert_eq!((report.totals.answered, report.totals.requests), (taken + 2, taken + 2 + refused));
    assert_eq!(report.destinations["collector"].acknowledged, 8 * (taken + 2));
}

#[tokio::test]
async fn a_directory_that_becomes_read_only_refuses_and_the_time_is_stated_afterwards() {
    let root = tempfile::tempdir().unwrap();
    let read_only = Arc::new(AtomicBool::new(false));
    let seen = read_only.clone();
    let mut settings = settings(root.path(), Durability::Lease { events: 16 });
    settings.gate = Gate::new(move |_| match seen.load(Ordering::Relaxed) {
        true => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
        false => Ok(()),
    });
    let recorder = open(settings);
    let named = name(&recorder);
    carry(&recorder, &named).await;
    read_only.store(true, Ordering::Relaxed);
    let mut refused = 0;
    for _ in 0..20 {
        refused += u64::from(attempt(&recorder, &named).await.is_err());
    }
    assert!(refused >= 17, "{refused} refused: at most a lease of 16 events may pass");
    assert!(!recorder.healthy());
    read_only.store(false, Ordering::Relaxed);
    until_healthy(&recorder).await;
    attempt(&recorder, &named).await.unwrap();
    recorder.close().await.unwrap();
    let report = check(root.path());
    assert_eq!((report.totals.refused["cannot_record"], report.totals.requests), (refused, 22));
    assert!(report.gaps.iter().any(|gap| gap.code == "unwritable"));
}

#[tokio::test]
async fn what_waits_for_a_signature_that_fails_is_refused_and_its_record_counts_once() {
    let root = tempfile::tempdir().unwrap();
    // The second append after this is set fails: the record is durable, and its checkpoint is not.
    let left = Arc::new(AtomicI64::new(-1));
    let seen = left.clone();
    let mut settings = settings(root.path(), Durability::Sync);
    settings.gate = Gate::new(move |op| {
        let fails = op == DiskOp::Append && seen.fetch_sub(1, Ordering::Relaxed) == 1;
        if fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let recorder = open(settings);
    let named = name(&recorder);
    carry(&recorder, &named).await;
    let look = || BypassCheck::new(3, 12, &[]);
    recorder.bypass_check(look()).await.unwrap();
    left.store(2, Ordering::Relaxed);
    assert_eq!(recorder.bypass_check(look()).await, Err(CannotRecord::Disk));
    until_healthy(&recorder).await;
    recorder.bypass_check(look()).await.unwrap();
    attempt(&recorder, &named).await.unwrap();
    recorder.close().await.unwrap();
    let report = check(root.path());
    assert_eq!((report.totals.bypass_checks, report.totals.answered), (3, 2));
    assert!(report.gaps.iter().any(|gap| gap.code == "degraded"));
}

#[tokio::test]
async fn a_start_on_a_read_only_disk_says_where_it_cannot_write() {
    let Some(small) = Small::mount(4 << 20) else {
        eprintln!("no file system can be mounted here, so none can be read-only");
        return;
    };
    let root = tempfile::tempdir().unwrap();
    let mut settings = settings(root.path(), Durability::Sync);
    settings.dir = small.dir.path().join("log");
    open(settings.clone()).close().await.unwrap();
    assert!(mount(&["-o", "remount,ro"], small.dir.path()));
    let error = Recorder::open(settings, Arc::new(SystemClock::default())).map(drop).unwrap_err().to_string();
    assert!(error.contains("/log") && error.contains("Read-only file system"), "{error}");
}

/// The machine's clock, whose hands can be moved.
#[derive(Default)]
struct Moved {
    clock: SystemClock,
    by_secs: AtomicI64,
}

impl Clock for Moved {
    fn now(&self) -> Timestamp {
        self.clock.now() + SignedDuration::from_secs(self.by_secs.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic()
    }
}

#[tokio::test]
async fn a_clock_set_back_a_day_refuses_nobody_and_is_recorded() {
    let root = tempfile::tempdir().unwrap();
    let clock = Arc::new(Moved::default());
    let (recorder, _) = Recorder::open(settings(root.path(), Durability::Sync), clock.clone()).unwrap();
    let named = name(&recorder);
    for by_secs in [0, -DAY_SECS, 0] {
        clock.by_secs.store(by_secs, Ordering::Relaxed);
        for _ in 0..10 {
            attempt(&recorder, &named).await.unwrap();
        }
    }
    recorder.close().await.unwrap();
    let report = check(root.path());
    assert_eq!(report.totals.answered, 30);
    let said = report.gaps.iter().filter(|gap| gap.code == "clock").map(|gap| gap.message.as_str());
    let moved_secs: Vec<i64> = said.map(|said| first_number(said) / 1000).collect();
    // The two clocks are read one after the other, so milliseconds may lie between them.
    let near = |secs: i64, due: i64| (secs - due).abs() < 60;
    assert!(
        matches!(moved_secs[..], [back, ahead] if near(back, -DAY_SECS) && near(ahead, DAY_SECS)),
        "{moved_secs:?}"
    );
}

fn first_number(text: &str) -> i64 {
    text.split_whitespace().find_map(|word| word.parse().ok()).unwrap()
}
