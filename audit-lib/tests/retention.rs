//! What is removed by retention, what never is, and how an auditor tells that from a theft.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use privet_audit_log::NotProved;
use privet_audit_log::counts::Delta;
use privet_audit_log::policies::{self, Files};
use privet_audit_log::record::{Declaration, Record, Retired};
use privet_audit_log::retention::{Due, Removed, due, remove};
use privet_audit_log::{Log, Work};
use support::{Hand, assert_clean, check, open, traffic, work};

const DAY_MS: u64 = 86_400_000;

fn numbered(digit: char) -> String {
    format!("sha256:{}", digit.to_string().repeat(64))
}

/// One closed incarnation in which the policy `digest` ran.
fn ran(root: &Path, clock: &mut Hand, digest: &str) {
    let (mut log, _) = open(root, *clock);
    let mut delta = traffic(30, 5);
    delta.declared = support::declarations(&root.join("log"));
    let files = Files::from([(format!("{}.yaml", &digest[7..9]), b"kind: Rule".to_vec())]);
    delta.declared.push(Declaration::Policy(policies::store(&root.join("log"), 1, digest, &files).unwrap()));
    log.commit(&work(delta, true), clock.later(100)).unwrap();
    log.close(&Delta::default(), clock.later(100)).unwrap();
}

/// States what is due and removes it, as the sidecar does.
fn retire(root: &Path, log: &mut Log, clock: &mut Hand, days: u32) -> (Vec<Retired>, Removed) {
    let now = clock.later(1000);
    let Due { retired, held } = due(&root.join("log"), Some(&root.join("anchor")), days, now.wall_ms).unwrap();
    assert!(held.is_none(), "{held:?}");
    let records = retired.iter().cloned().map(Record::Retired).collect();
    log.commit(&Work { records, checkpoint: true, ..Work::default() }, now).unwrap();
    let removed = remove(&root.join("log"), &retired, log.incarnation(), &BTreeSet::new()).unwrap();
    (retired, removed)
}

fn incarnations(root: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(root.join("log"))
        .unwrap()
        .map(|item| item.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.parse::<u64>().is_ok())
        .collect();
    names.sort();
    names
}

fn five_days(root: &Path) -> Hand {
    let mut clock = Hand(0);
    for digit in ['1', '2', '3', '4', '5'] {
        ran(root, &mut clock, &numbered(digit));
        clock.later(DAY_MS);
    }
    clock
}

#[test]
fn whole_incarnations_go_with_their_policies_and_the_log_says_so() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    let (mut log, _) = open(root.path(), clock);
    let (retired, removed) = retire(root.path(), &mut log, &mut clock, 2);
    assert_eq!(retired.len(), 2, "those that the newest two starts agree ended two days ago: {retired:?}");
    assert_eq!(removed, Removed { incarnations: 2, policies: 2 });
    assert_eq!(incarnations(root.path()), ["3", "4", "5", "6"]);
    assert_eq!(retire(root.path(), &mut log, &mut clock, 2).0, [], "nothing is removed twice");
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    let said: Vec<&str> =
        report.gaps.iter().filter(|gap| gap.code == "retired").map(|gap| gap.message.as_str()).collect();
    assert_eq!(said.len(), 1);
    assert!(said[0].contains("collector/2`") && said[0].contains("2 days"), "{said:?}");
}

#[test]
fn the_newest_two_and_what_is_not_old_stay_however_long_ago() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    let (mut log, _) = open(root.path(), clock);
    log.commit(&Work::default(), clock.later(1000 * DAY_MS)).unwrap();
    let (_, removed) = retire(root.path(), &mut log, &mut clock, 1);
    assert_eq!(removed.incarnations, 4);
    assert_eq!(incarnations(root.path()), ["5", "6"]);
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["silence", "bypass_gap"], "a thousand days without a record, and nothing else");
}

#[test]
fn a_clock_that_is_ahead_at_one_start_makes_nothing_old() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    let due_at = |clock: Hand| {
        let (log_dir, anchor) = (root.path().join("log"), root.path().join("anchor"));
        let due = due(&log_dir, Some(&anchor), 3, clock.now().wall_ms).unwrap();
        assert!(due.held.is_none(), "{:?}", due.held);
        due.retired.len()
    };
    // Ten years ahead: by that clock all are old. By that and the one before, those of the first days are.
    let mut ahead = clock;
    ahead.later(3650 * DAY_MS);
    let (log, _) = open(root.path(), ahead);
    assert_eq!(due_at(ahead), 1, "what the start before knew to be older than three days");
    let mut later = ahead;
    later.later(2 * DAY_MS);
    assert_eq!(due_at(later), 3, "the time since the start counts");
    log.close(&Delta::default(), ahead.later(10)).unwrap();
    // The start after it has the right clock: what the one before it said is ahead counts for nothing either.
    let (_log, _) = open(root.path(), clock);
    clock.later(1000);
    assert_eq!(due_at(clock), 2);
}

/// Changes a byte of the first entry bundle of an incarnation at the last place of `text`.
fn edit(root: &Path, number: u64, text: &str, at: usize, byte: u8) {
    let folder = root.join(format!("log/{number}/tile/entries/000.p"));
    for file in fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let mut bytes = fs::read(&path).unwrap();
        let found = bytes.windows(text.len()).position(|part| part == text.as_bytes()).unwrap();
        bytes[found + at] = byte;
        fs::write(&path, bytes).unwrap();
    }
}

#[test]
fn a_forged_date_of_the_next_incarnation_makes_nothing_old() {
    let root = support::scratch();
    let clock = five_days(root.path());
    let (_log, _) = open(root.path(), clock);
    let (log_dir, anchor) = (root.path().join("log"), root.path().join("anchor"));
    let look = || due(&log_dir, Some(&anchor), 30, clock.now().wall_ms).unwrap();
    assert!(look().retired.is_empty() && look().held.is_none());
    // `ts` of the first record begins with 17953: 17853 is four months before.
    edit(root.path(), 2, "\"ts\":179", 7, b'8');
    let Due { retired, held } = look();
    assert!(retired.is_empty(), "{retired:?}");
    assert!(matches!(held, Some(NotProved::Record { number: 2, index: 0 })), "{held:?}");
}

#[test]
fn an_incarnation_whose_key_is_not_anchored_makes_nothing_old() {
    let root = support::scratch();
    let clock = five_days(root.path());
    let (_log, _) = open(root.path(), clock);
    let vkey = root.path().join("anchor/vkey");
    let keys = fs::read_to_string(&vkey).unwrap();
    let without: String = keys.split_inclusive('\n').filter(|line| !line.contains("collector/3+")).collect();
    fs::write(&vkey, without).unwrap();
    let Due { retired, held } =
        due(&root.path().join("log"), Some(&root.path().join("anchor")), 1, clock.now().wall_ms).unwrap();
    assert_eq!(retired.len(), 1, "2 is proved, so 1 may go");
    assert!(matches!(held, Some(NotProved::Checkpoint(3))), "{held:?}");
}

#[test]
fn what_the_anchor_speaks_of_stays_and_everything_after_it() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    fs::copy(root.path().join("log/2/checkpoint"), root.path().join("anchor/checkpoint")).unwrap();
    clock.later(1000 * DAY_MS);
    let due = due(&root.path().join("log"), Some(&root.path().join("anchor")), 1, clock.now().wall_ms).unwrap();
    let due = due.retired;
    assert_eq!(due.len(), 1);
    assert!(due[0].origin.ends_with("/1"));
}

#[test]
fn an_incarnation_that_is_gone_and_was_not_retired_is_found_beside_those_that_were() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    let (mut log, _) = open(root.path(), clock);
    retire(root.path(), &mut log, &mut clock, 3);
    log.close(&Delta::default(), clock.later(10)).unwrap();
    fs::remove_dir_all(root.path().join("log/3")).unwrap();
    let report = check(root.path());
    let codes: Vec<&str> = report.findings.iter().map(|finding| finding.code).collect();
    assert!(codes.contains(&"missing_incarnation"), "{codes:?}");
}

#[test]
fn a_removal_for_another_age_than_the_log_shows_is_found() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    let (mut log, _) = open(root.path(), clock);
    let log_dir = root.path().join("log");
    // As if the first record of incarnation 3 had said an earlier time while the sidecar looked.
    let mut retired = due(&log_dir, None, 3, clock.now().wall_ms).unwrap().retired;
    retired.last_mut().unwrap().before -= DAY_MS as i64;
    let records: Vec<Record> = retired.iter().cloned().map(Record::Retired).collect();
    log.commit(&Work { records, checkpoint: true, ..Work::default() }, clock.later(10)).unwrap();
    remove(&log_dir, &retired, log.incarnation(), &BTreeSet::new()).unwrap();
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let codes: Vec<&str> = check(root.path()).findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, ["retired"]);
}

#[test]
fn a_removal_that_was_interrupted_is_finished_by_the_next() {
    let root = support::scratch();
    let mut clock = five_days(root.path());
    let (mut log, _) = open(root.path(), clock);
    let log_dir = root.path().join("log");
    let retired = due(&log_dir, None, 2, clock.now().wall_ms).unwrap().retired;
    let records: Vec<Record> = retired.iter().cloned().map(Record::Retired).collect();
    log.commit(&Work { records, checkpoint: true, ..Work::default() }, clock.later(10)).unwrap();
    // The process ends after the first of two went half way.
    fs::rename(log_dir.join("1"), log_dir.join("1.tmp")).unwrap();
    drop(log);
    let (mut log, _) = open(root.path(), clock);
    assert!(!log_dir.join("1.tmp").exists());
    let (retired, _) = retire(root.path(), &mut log, &mut clock, 3);
    assert_eq!(retired.len(), 1);
    log.close(&Delta::default(), clock.later(10)).unwrap();
    assert_clean(&check(root.path()));
    assert_eq!(incarnations(root.path()), ["3", "4", "5", "6", "7"]);
}
