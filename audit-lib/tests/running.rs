//! What the log says about how the sidecar runs: its configuration, its clock, its sockets, challenges.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use privet_audit_log::counts::Delta;
use privet_audit_log::record::{
    BYPASS_CHECK_MS, BypassCheck, BypassWatch, Challenge, DurabilityName, Entry, Record, SignaturesNeeded,
};
use privet_audit_log::verify::Report;
use privet_audit_log::{CHECKPOINT_MS, HEARTBEAT_MS, LEAF_MS, Log, Moment, Settings, Work, WriteError};
use support::{Hand, assert_clean, challenge, check, config, declarations, looked, settings, traffic, work};

const DAY_MS: i64 = 86_400_000;

fn codes(report: &Report) -> Vec<&'static str> {
    report.findings.iter().map(|finding| finding.code).collect()
}

/// A log with its names declared, so that traffic can be recorded.
fn begun(settings: Settings, clock: Hand) -> Log {
    let declared = declarations(&settings.dir);
    let (mut log, _) = Log::open(settings, clock.now()).unwrap();
    log.commit(&work(Delta { declared, ..Delta::default() }, false), clock.now()).unwrap();
    log
}

fn alone(record: Record) -> Work {
    Work { records: vec![record], ..Work::default() }
}

#[test]
fn a_second_configuration_and_one_that_contradicts_the_lease_are_not_written() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    let again = alone(Record::Config(config(DurabilityName::Sync)));
    assert!(matches!(log.commit(&again, clock.later(1)), Err(WriteError::DoesNotAddUp(_))));
    let other = support::scratch();
    let mut contradiction = support::lease(settings(other.path()), 9);
    contradiction.config = Some(config(DurabilityName::Sync));
    assert!(Log::open(contradiction, clock.now()).is_err());
}

#[test]
fn a_policy_that_nobody_signed_does_not_enter_a_log_that_needs_signatures() {
    let root = support::scratch();
    let mut settings = settings(root.path());
    let needed = SignaturesNeeded { required: 1, required_to_loosen: 2, signers: vec!["marla".into(), "kim".into()] };
    settings.config.as_mut().unwrap().signatures = Some(needed);
    let declared = declarations(&settings.dir);
    let (mut log, _) = Log::open(settings, Hand(0).now()).unwrap();
    let unsigned = work(Delta { declared, ..Delta::default() }, false);
    let refused = log.commit(&unsigned, Hand(1).now());
    assert!(matches!(refused, Err(WriteError::DoesNotAddUp(why)) if why.contains("signed")));
}

#[test]
fn a_challenge_counts_within_its_batch_whether_the_batch_is_open_or_just_made() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    let with =
        |challenge: Challenge, delta, cut| Work { records: vec![Record::Challenge(challenge)], ..work(delta, cut) };
    log.commit(&with(challenge(1, 2), traffic(10, 5), false), clock.later(10)).unwrap();
    log.commit(&with(challenge(1, 3), traffic(10, 5), true), clock.later(100)).unwrap();
    let too_many = challenge(1, 80);
    for (what, wrong) in [
        ("more than the batch has left", too_many),
        ("a batch of long ago", challenge(0, 1)),
        ("a batch that is not due", challenge(3, 1)),
        ("no events", Challenge { events: 0, classes: Vec::new(), ..challenge(2, 1) }),
        ("other events by class", Challenge { events: 2, ..challenge(2, 1) }),
        ("a token itself", Challenge { token: "canary".into(), ..challenge(2, 1) }),
        ("an unknown class", Challenge { classes: vec![(9, 1)], ..challenge(2, 1) }),
    ] {
        let refused = log.commit(&with(wrong, Delta::default(), false), clock.later(1));
        assert!(matches!(refused, Err(WriteError::DoesNotAddUp(_))), "{what}");
    }
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!((report.totals.challenges, report.totals.challenged_events), (2, 5));
}

#[test]
fn a_challenge_without_its_events_does_not_end_well() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    log.commit(&alone(Record::Challenge(challenge(1, 2))), clock.later(1)).unwrap();
    assert!(matches!(log.close(&Delta::default(), clock.later(1)), Err(WriteError::DoesNotAddUp(_))));
}

#[test]
fn a_crash_between_a_challenge_and_its_batch_leaves_both_counted() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    let canary = Work { records: vec![Record::Challenge(challenge(1, 2))], ..work(traffic(1, 5), false) };
    log.commit(&canary, clock.later(10)).unwrap();
    drop(log);
    begun(settings(root.path()), clock).close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!((report.totals.challenged_events, report.totals.events), (2, 5));
}

#[test]
fn a_suspect_socket_is_a_finding_and_so_is_not_looking() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    for _ in 0..5 {
        log.commit(&alone(looked(0)), clock.later(BYPASS_CHECK_MS)).unwrap();
    }
    log.commit(&alone(looked(2)), clock.later(BYPASS_CHECK_MS)).unwrap();
    for _ in 0..4 {
        log.commit(&Work::default(), clock.later(HEARTBEAT_MS)).unwrap();
    }
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert_eq!(codes(&report), ["bypass_suspect", "bypass_gap"]);
    assert_eq!(report.findings[0].message, "2 sockets may be a way around the sidecar: 2 unknown_listener");
    assert_eq!(report.totals.bypass_checks, 6);
}

#[test]
fn a_listener_that_stays_is_one_finding_and_what_is_new_another() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    for suspects in [1, 2, 1, 0, 1, 1] {
        log.commit(&alone(looked(suspects)), clock.later(BYPASS_CHECK_MS)).unwrap();
    }
    log.commit(&alone(Record::BypassCheck(BypassCheck::new(3, 2, &[("collector_reached", 1)]))), clock.later(20_000))
        .unwrap();
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    let told: Vec<(Option<u64>, &str)> =
        report.findings.iter().map(|finding| (finding.record, finding.message.as_str())).collect();
    assert_eq!(
        told,
        [
            (
                Some(10),
                "2 sockets may be a way around the sidecar: 2 unknown_listener; x 3, from record 10 to record 12, over 120 s"
            ),
            (
                Some(14),
                "1 sockets may be a way around the sidecar: 1 unknown_listener; x 2, from record 14 to record 15, over 60 s"
            ),
            (Some(16), "1 sockets may be a way around the sidecar: 1 collector_reached"),
        ]
    );
    assert_eq!((report.totals.bypass_checks, report.findings_unlisted), (7, 0));
}

#[test]
fn collectors_that_were_not_watched_are_a_gap_told_once_and_when_there_are_more() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    let look = |unwatched| Record::BypassCheck(BypassCheck::new(3, 12, &[]).without(unwatched));
    for unwatched in [0, 1, 1, 0, 1, 3] {
        log.commit(&alone(look(unwatched)), clock.later(BYPASS_CHECK_MS)).unwrap();
    }
    log.close(&Delta::default(), clock.later(10)).unwrap();
    let report = check(root.path());
    assert!(report.is_clean(), "{:?}", report.findings);
    let told: Vec<&str> =
        report.gaps.iter().filter(|gap| gap.code == "bypass_unwatched").map(|gap| gap.message.as_str()).collect();
    assert_eq!(
        told,
        [
            "one collector on another machine was not watched: a connection straight there was not seen",
            "3 collectors on other machines were not watched: a connection straight there was not seen",
        ]
    );
}

#[test]
fn who_does_not_say_that_sockets_are_looked_at_need_not_look() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut settings = settings(root.path());
    settings.config.as_mut().unwrap().bypass = BypassWatch::Off;
    let mut log = begun(settings, clock);
    for _ in 0..4 {
        log.commit(&Work::default(), clock.later(HEARTBEAT_MS)).unwrap();
    }
    log.close(&Delta::default(), clock.later(10)).unwrap();
    assert_clean(&check(root.path()));
}

/// Both clocks, the wall one of which can be set.
struct Clocks {
    mono: u64,
    set_by: i64,
}

impl Clocks {
    fn later(&mut self, ms: u64) -> Moment {
        self.mono += ms;
        let wall_ms = Hand(self.mono).now().wall_ms + self.set_by;
        Moment { wall_ms, mono_ms: self.mono }
    }
}

#[test]
fn a_clock_set_back_a_day_and_forth_is_said_and_what_is_due_stays_due() {
    for day in [-DAY_MS, DAY_MS] {
        let root = support::scratch();
        let mut clocks = Clocks { mono: 0, set_by: 0 };
        let mut log = begun(settings(root.path()), Hand(0));
        let traffic = traffic(30, 5);
        log.commit(&work(traffic.clone(), false), clocks.later(10)).unwrap();
        let signed = log.checkpoint().to_owned();
        clocks.set_by = day;
        assert!(!log.is_batch_due(&traffic, clocks.later(1)));
        assert!(log.is_batch_due(&traffic, clocks.later(LEAF_MS)), "leaves are cut by the monotonic clock");
        log.commit(&work(traffic.clone(), true), clocks.later(0)).unwrap();
        assert_eq!(log.checkpoint(), signed, "no checkpoint is due");
        let before = log.size();
        log.commit(&Work::default(), clocks.later(CHECKPOINT_MS)).unwrap();
        assert_eq!(log.size(), before, "no heartbeat is due");
        assert_ne!(log.checkpoint(), signed, "checkpoints go by the monotonic clock");
        log.commit(&Work::default(), clocks.later(HEARTBEAT_MS)).unwrap();
        assert_eq!(log.size(), before + 1, "heartbeats go by the monotonic clock");
        clocks.set_by = 0;
        log.close(&traffic, clocks.later(1000)).unwrap();
        let report = check(root.path());
        assert_clean(&report);
        let clock = report.gaps.iter().filter(|gap| gap.code == "clock").map(|gap| gap.message.as_str());
        let said: Vec<&str> = clock.collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(said[0].contains(&day.to_string()) && said[1].contains(&(-day).to_string()), "{said:?}");
    }
}

#[test]
fn a_start_a_day_before_the_end_of_the_log_is_recovered_and_clean() {
    let root = support::scratch();
    let mut clock = Hand(0);
    let mut log = begun(settings(root.path()), clock);
    log.commit(&work(traffic(100, 5), false), clock.later(10)).unwrap();
    drop(log);
    let earlier = Moment { wall_ms: clock.now().wall_ms - DAY_MS, mono_ms: 0 };
    let (log, recovered) = Log::open(settings(root.path()), earlier).unwrap();
    assert!(recovered.before.unwrap().mended.is_some());
    log.close(&Delta::default(), earlier).unwrap();
    let report = check(root.path());
    assert_clean(&report);
    assert_eq!(report.totals.events, 500);
}

#[test]
fn a_time_that_no_record_explains_is_found() {
    // What verification sees is the records alone, so they are written by hand here.
    let entry = |seq, ts, mono, record| Entry { seq, ts, mono, record }.to_bytes().unwrap();
    let root = support::scratch();
    let mut log = begun(settings(root.path()), Hand(0));
    log.commit(&Work::default(), Hand(HEARTBEAT_MS).now()).unwrap();
    let size = log.size();
    log.close(&Delta::default(), Hand(HEARTBEAT_MS + 5).now()).unwrap();
    let bundle = support::files_below(&root.path().join("log/1/tile/entries")).pop().unwrap();
    let bytes = std::fs::read(&bundle).unwrap();
    let mut records: Vec<Vec<u8>> =
        privet_audit_log::tile::decode_bundle(&bytes).unwrap().into_iter().map(<[u8]>::to_vec).collect();
    let at = usize::try_from(size).unwrap() - 1;
    records[at] = entry(size - 1, support::START_MS - DAY_MS, HEARTBEAT_MS, Record::Heartbeat);
    std::fs::write(&bundle, privet_audit_log::tile::encode_bundle(records.iter().map(Vec::as_slice))).unwrap();
    std::fs::remove_dir_all(root.path().join("log/1/wal")).unwrap();
    assert!(codes(&check(root.path())).contains(&"clock_unstated"));
}
