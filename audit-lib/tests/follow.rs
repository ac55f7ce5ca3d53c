//! Following a log while it is written, its writes failing now and then.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use privet_audit_log::counts::Delta;
use privet_audit_log::follow::{Follower, News};
use privet_audit_log::verify::leaves;
use privet_audit_log::{DiskOp, Gate, Log};
use support::{Hand, keys, open, run_once, settings, traffic, work};

/// What a poll told, in short: `r` and an index, `c` and a size, or a code.
fn poll(follower: &mut Follower) -> Vec<String> {
    let mut told = Vec::new();
    follower
        .poll(&mut |news| {
            told.push(match news {
                News::Record { incarnation, index, .. } => format!("r{incarnation}/{index}"),
                News::Checkpoint { incarnation, size, .. } => format!("c{incarnation}/{size}"),
                News::Wrong { code, .. } => code.to_owned(),
            });
        })
        .unwrap();
    told
}

#[test]
fn every_record_of_every_incarnation_comes_once_and_in_order() {
    let root = support::scratch();
    let mut clock = Hand(0);
    run_once(root.path(), &mut clock);
    let mut follower = Follower::new(&root.path().join("log"), None);
    let first = poll(&mut follower);
    assert!(poll(&mut follower).is_empty(), "nothing new");
    clock.later(5000);
    run_once(root.path(), &mut clock);
    let second = poll(&mut follower);
    for (told, incarnation) in [(first, 1), (second, 2)] {
        let size = leaves(&root.path().join("log"), incarnation).unwrap().leaves.len();
        let records: Vec<&String> = told.iter().filter(|one| one.starts_with('r')).collect();
        let expected: Vec<String> = (0..size).map(|index| format!("r{incarnation}/{index}")).collect();
        assert_eq!(records, expected.iter().collect::<Vec<_>>());
        assert_eq!(told.last().unwrap(), &format!("c{incarnation}/{size}"));
        assert!(told.iter().all(|one| one.contains('/')), "{told:?}");
    }
    assert_eq!(keys(root.path()).len(), 2);
}

#[test]
fn segments_that_are_removed_while_they_are_followed_lose_nothing() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut small = settings(root.path());
    small.segment_bytes = 2_000;
    let (mut log, _) = Log::open(small, clock.now()).unwrap();
    let mut follower = Follower::new(&root.path().join("log"), None);
    let mut told = poll(&mut follower);
    let mut delta = traffic(20, 5);
    delta.declared = support::declarations(&root.path().join("log"));
    for round in 0..200 {
        log.commit(&work(std::mem::take(&mut delta), true), clock.later(200)).unwrap();
        delta = traffic(20, 5);
        if round % 30 == 0 {
            told.extend(poll(&mut follower));
        }
    }
    log.close(&Delta::default(), clock.later(10)).unwrap();
    told.extend(poll(&mut follower));
    let records: Vec<String> = told.iter().filter(|one| one.starts_with('r')).cloned().collect();
    let size = leaves(&root.path().join("log"), 1).unwrap().leaves.len();
    assert_eq!(records, (0..size).map(|index| format!("r1/{index}")).collect::<Vec<_>>());
    assert!(told.iter().all(|one| one.contains('/')), "{told:?}");
}

#[test]
fn what_a_failed_write_took_back_is_said_and_what_came_instead_is_told() {
    for fresh in [false, true] {
        let root = support::scratch();
        let mut clock = Hand(0);
        let (armed, told) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
        let follower = Arc::new(Mutex::new(Follower::new(&root.path().join("log"), None)));
        let mut failing = settings(root.path());
        let (watching, seen, trap) = (follower.clone(), told.clone(), armed.clone());
        // Looks between the write and the sync that fails: what it sees never becomes durable.
        failing.gate = Gate::new(move |op| {
            if op == DiskOp::Sync && trap.swap(false, Ordering::Relaxed) {
                seen.lock().unwrap().extend(poll(&mut watching.lock().unwrap()));
                return Err(io::Error::other("the disk is tired"));
            }
            Ok(())
        });
        if fresh {
            failing.segment_bytes = 1;
        }
        let (mut log, _) = Log::open(failing, clock.now()).unwrap();
        let mut delta = traffic(20, 5);
        delta.declared = support::declarations(&root.path().join("log"));
        log.commit(&work(delta, true), clock.later(200)).unwrap();
        told.lock().unwrap().extend(poll(&mut follower.lock().unwrap()));
        armed.store(true, Ordering::Relaxed);
        let owed = work(traffic(10, 10), true);
        assert!(log.commit(&owed, clock.later(200)).is_err());
        log.commit(&owed, clock.later(200)).unwrap();
        log.close(&Delta::default(), clock.later(10)).unwrap();
        told.lock().unwrap().extend(poll(&mut follower.lock().unwrap()));
        let told = told.lock().unwrap().clone();
        let size = leaves(&root.path().join("log"), 1).unwrap().leaves.len();
        // Nothing is signed before it is durable, so what is taken back never was, in a fresh segment neither.
        let back = told.iter().position(|one| one == "taken_back").unwrap_or_else(|| panic!("{fresh}: {told:?}"));
        assert!(told.iter().filter(|one| !one.contains('/')).count() == 1, "{told:?}");
        let after: Vec<&String> = told[back..].iter().filter(|one| one.starts_with('r')).collect();
        // What came in place of the record that was taken back is told in its place.
        let torn = told[..back].iter().rfind(|one| one.starts_with('r')).unwrap();
        assert!(after.contains(&torn), "{told:?}");
        assert_eq!(after.last().unwrap().as_str(), format!("r1/{}", size - 1));
        assert_eq!(told.last().unwrap(), &format!("c1/{size}"));
    }
}

#[test]
fn a_checkpoint_that_is_not_of_the_records_before_it_is_said() {
    let root = support::scratch();
    let clock = Hand(0);
    let (log, _) = open(root.path(), clock);
    drop(log);
    let other = support::scratch();
    let (log, _) = open(other.path(), clock);
    drop(log);
    let mut follower = Follower::new(&root.path().join("log"), Some(keys(other.path())));
    assert_eq!(poll(&mut follower), ["r1/0", "key", "r1/1", "c1/2"]);
}

#[test]
fn what_a_published_checkpoint_or_a_later_start_covers_and_cannot_be_read_is_said_once() {
    let root = support::scratch();
    let mut clock = Hand(0);
    run_once(root.path(), &mut clock);
    let segment = root.path().join("log/1/wal/00000000.wal");
    let whole = std::fs::read(&segment).unwrap();
    let wrong = |follower: &mut Follower| -> Vec<String> {
        poll(follower).into_iter().filter(|one| !one.contains('/')).collect()
    };
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [&whole[..whole.len() - 1], &whole[..whole.len() / 2], &flipped] {
        std::fs::write(&segment, damaged).unwrap();
        let mut follower = Follower::new(&root.path().join("log"), None);
        let first = wrong(&mut follower);
        // The last byte is the end of the checkpoint's own frame: its records are all there.
        let expected: &[&str] = if damaged.len() == whole.len() - 1 { &[] } else { &["truncated"] };
        assert_eq!(first, expected, "{} of {} bytes", damaged.len(), whole.len());
        assert!(wrong(&mut follower).is_empty(), "once");
    }
    std::fs::write(&segment, &whole).unwrap();
    clock.later(5000);
    run_once(root.path(), &mut clock);
    let frames = poll(&mut Follower::new(&root.path().join("log"), None));
    assert!(frames.iter().all(|one| one.contains('/')), "{frames:?}");
    std::fs::write(&segment, &whole[..whole.len() / 2]).unwrap();
    let mut follower = Follower::new(&root.path().join("log"), None);
    let told = poll(&mut follower);
    assert!(told.contains(&"truncated".to_owned()) && told.contains(&"unfinished".to_owned()), "{told:?}");
    assert!(told.contains(&"r2/0".to_owned()), "what follows is told too: {told:?}");
}
