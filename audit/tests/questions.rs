//! Each question over a small log, over a damaged one, and over none: the exact words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use privet_audit_log::counts::Delta;
use privet_audit_log::record::{ConsentKept, Record};
use privet_audit_log::{Log, Moment, Work};
use serde_json::Value;
use support::{START_MS, answer, golden, own, policy, settings, shop, tamper, texts};

const TRUSTED: [&str; 8] =
    ["--key", "@anchor/vkey", "--anchor", "@anchor/checkpoint", "--policies", "@before", "--policies", "@mine"];

fn asked<'a>(words: &[&'a str], more: &[&'a str]) -> Vec<&'a str> {
    [words, &TRUSTED, more].concat()
}

#[test]
fn every_question_is_answered_in_these_words() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let never = ["ask", "never-left", "@log"];
    for (name, words, status) in [
        (
            "never-left-mail-improve.txt",
            asked(&never, &["--category", "user.contact.email", "--purpose", "functional"]),
            0,
        ),
        ("never-left-mail.txt", asked(&never, &["--category", "user.contact.email"]), 1),
        (
            "never-left-mail-allowed.txt",
            asked(&never, &["--category", "user.contact.email", "--allow", "pseudonymize,scrub"]),
            0,
        ),
        ("never-left-field.txt", asked(&never, &["--field", "properties.query"]), 1),
        (
            "never-left-day-before.txt",
            asked(&never, &["--field", "properties.query", "--to", "2026-11-22T08:01:00Z"]),
            0,
        ),
        (
            "never-left-over-an-edge.txt",
            asked(&never, &["--field", "properties.query", "--to", "2026-11-22T08:01:15.450Z"]),
            1,
        ),
        ("basis.txt", asked(&["ask", "basis", "@log"], &[]), 0),
        ("budget.txt", asked(&["ask", "budget", "@log"], &[]), 0),
        ("coverage.txt", asked(&["ask", "coverage", "@log"], &[]), 0),
        (
            "coverage-of-a-day.txt",
            asked(&["ask", "coverage", "@log"], &["--from", "2026-11-22", "--to", "2026-11-23"]),
            1,
        ),
        ("policy-at-the-first.txt", asked(&["ask", "policy-at", "@log", "2026-11-22T08:00:30Z"], &[]), 0),
        ("policy-at-a-change.txt", asked(&["ask", "policy-at", "@log", "2026-11-22T08:01:15Z"], &[]), 0),
        ("policy-at-the-second.txt", asked(&["ask", "policy-at", "@log", "2026-11-22T08:01:40Z"], &[]), 0),
        ("policy-at-no-time.txt", asked(&["ask", "policy-at", "@log", "2026-11-21"], &[]), 1),
        ("ropa.md", asked(&["report", "ropa", "@log"], &[]), 0),
        ("tail.txt", vec!["tail", "@log", "--key", "@anchor/vkey", "--type", "batch", "--type", "dp.charge"], 0),
    ] {
        let (text, found) = answer(root.path(), &words);
        golden(name, &text);
        assert_eq!(found, Some(status), "{name}");
    }
}

#[test]
fn what_a_question_does_not_know_is_no_answer() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    own(root.path(), "wrong", "apiVersion: privet.dev/v1alpha1\nkind: Rul\n");
    let never = ["ask", "never-left", "@log"];
    for (words, said) in [
        (asked(&never, &["--category", "user.contact.emial"]), "did you mean `user.contact.email`?"),
        (
            asked(&never, &["--category", "user", "--purpose", "analytics.reportin"]),
            "did you mean `analytics.reporting`?",
        ),
        (asked(&never, &["--category", "user", "--destination", "nowhere"]), "they have collector"),
        (asked(&never, &["--field", "properties.nothing"]), "`privet exposure` lists them"),
        (asked(&never, &["--category", "user", "--allow", "hash"]), "not one of generalize, pseudonymize"),
        (asked(&never, &["--category", "user", "--from", "yesterday"]), "not a time such as"),
        (vec!["verify", "@log", "--policies", "@log/policies"], "hold one another"),
        (vec!["ask", "basis", "@log", "--policies", "@log"], "hold one another"),
        (vec!["verify", "@log", "--policies", "@."], "hold one another"),
        (vec!["verify", "@log", "--policies", "@wrong"], "error[P"),
        (vec!["verify", "@."], "the one in ROOT/./log may be meant"),
        (
            vec!["verify", "@log", "--key", "privet.example/shop/1+00000000+AAAA"],
            "it is malformed, and there is no such file",
        ),
        (asked(&never, &["--category", "user", "--from", "2026-11-23", "--to", "2026-11-22"]), "not before"),
        (asked(&["ask", "budget", "@log"], &["--account", "mine"]), "there are searches by userId"),
        (asked(&["ask", "policy-at", "@log", "noon"], &[]), "no time such as"),
        (vec!["ask", "coverage", "@nowhere"], "there is no log at"),
        (vec!["ask", "basis", "@log", "--key", "nonsense"], "neither a verification key nor a file"),
        (vec!["report", "ropa", "@log"], "`--policies DIR` is needed"),
        (vec!["tail", "@nowhere"], "there is no log at"),
        (vec!["prove", "@log", "1", "999"], "is not under the published checkpoint, which covers records 0 to"),
        (vec!["reconcile", "@log", "--counts", "@nowhere.csv"], "cannot read"),
    ] {
        let (text, status) = answer(root.path(), &words);
        assert_eq!(status, Some(2), "{words:?}: {text}");
        assert!(text.contains(said), "{words:?}: {text}");
    }
}

#[test]
fn a_damaged_log_answers_nothing_as_established() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    tamper(root.path(), 7);
    let out = root.path().join("out");
    for words in [
        asked(&["ask", "never-left", "@log"], &["--category", "user.contact.email", "--purpose", "functional"]),
        asked(&["ask", "basis", "@log"], &[]),
        asked(&["ask", "budget", "@log"], &[]),
        asked(&["ask", "coverage", "@log"], &[]),
        asked(&["ask", "policy-at", "@log", "2026-11-22T08:01:40Z"], &[]),
        asked(&["report", "ropa", "@log"], &[]),
        asked(&["export", "cloudevents", "@log"], &["--out", "@out"]),
        asked(&["export", "parquet", "@log"], &["--out", "@out"]),
    ] {
        let (text, status) = answer(root.path(), &words);
        assert_eq!(status, Some(1), "{words:?}: {text}");
        assert!(text.contains("\nNOT established: ") && text.contains("[damage]"), "{words:?}: {text}");
    }
    assert!(!out.exists(), "nothing is exported of a log with findings");
    let (text, _) = answer(root.path(), &asked(&["ask", "basis", "@log"], &[]));
    golden("basis-damaged.txt", &text);
}

#[test]
fn a_policy_that_is_gone_leaves_no_answer_established() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let digest = policy(&texts()[0]).digest().to_string();
    let kept = root.path().join("log/policies").join(digest.strip_prefix("sha256:").unwrap());
    std::fs::write(kept.join("policy.yaml"), &texts()[1]).unwrap();
    let (text, status) = answer(
        root.path(),
        &asked(&["ask", "never-left", "@log"], &["--category", "user.contact.email", "--purpose", "functional"]),
    );
    assert_eq!(status, Some(1));
    assert!(text.contains("[policy_digest]") && text.contains("NOT established"), "{text}");
}

#[test]
fn machines_read_the_same_answer() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let json =
        |words: &[&str]| -> Value { serde_json::from_str(&answer(root.path(), &asked(words, &["--json"])).0).unwrap() };
    let never = json(&["ask", "never-left", "@log", "--category", "user.contact.email"]);
    assert_eq!(never["established"], false);
    assert_eq!(never["answer"]["events"]["at_most"], 220, "120 under the first policy, 100 under the second");
    assert_eq!(never["answer"]["decided"]["at_least"], 300);
    assert_eq!(never["answer"]["classes"][0]["leaving"][0]["form"], "pseudonymize analytics.reporting");
    let edge = json(&["ask", "never-left", "@log", "--field", "properties.query", "--to", "2026-11-22T08:01:15.450Z"]);
    assert_eq!(edge["answer"]["events"], serde_json::json!({"at_least": 0, "at_most": 100}));
    let at = json(&["ask", "policy-at", "@log", "2026-11-22T08:01:40Z"]);
    assert_eq!(at["answer"]["policies"][0]["digest"], policy(&texts()[1]).digest().to_string());
    assert_eq!(at["answer"]["policies"][0]["difference"]["summary"]["loosen"], 2);
    let basis = json(&["ask", "basis", "@log"]);
    let rows = basis["answer"]["rows"].as_array().unwrap();
    let of = |basis: &str| rows.iter().find(|row| row["by"]["basis"] == basis).unwrap()["events"]["at_least"].clone();
    assert_eq!((of("consent"), of("legitimate_interests")), (220.into(), 280.into()));
    assert_eq!(basis["answer"]["nowhere"]["at_least"], 20);
    let budget = json(&["ask", "budget", "@log"]);
    assert_eq!(budget["answer"]["accounts"][0]["charges"][0]["after"], 5_000_000);
    let ropa = json(&["report", "ropa", "@log"]);
    assert_eq!(ropa["answer"]["activities"][0]["recipients"][0]["events"]["at_most"], 220);
}

#[test]
fn a_crash_in_lease_mode_says_how_many_may_be_uncounted() {
    let root = tempfile::tempdir().unwrap();
    support::crashed(root.path());
    let (text, status) = answer(root.path(), &["ask", "never-left", "@log", "--category", "user.contact", "--json"]);
    assert_eq!(status, Some(0), "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(said["answer"]["uncounted_at_most"], 50);
    assert!(text.contains("at most 50 events left that no record counts"), "{text}");
    std::fs::write(root.path().join("counts.csv"), "destination,from,to,events\ncollector,,,180\n").unwrap();
    let (text, status) = answer(root.path(), &["reconcile", "@log", "--counts", "@counts.csv"]);
    assert_eq!(status, Some(0), "130 unknown and 50 uncounted explain 180: {text}");
    std::fs::write(root.path().join("counts.csv"), "destination,from,to,events\ncollector,,,181\n").unwrap();
    assert_eq!(answer(root.path(), &["reconcile", "@log", "--counts", "@counts.csv"]).1, Some(1));
}

#[test]
fn what_the_next_start_wrote_is_no_sign_of_life() {
    let root = tempfile::tempdir().unwrap();
    support::crashed(root.path());
    let json = |words: &[&str]| -> (Value, Option<i32>) {
        let (text, status) = answer(root.path(), &[words, &["--json"]].concat());
        (serde_json::from_str(&text).unwrap(), status)
    };
    let (said, status) = json(&["ask", "coverage", "@log"]);
    assert_eq!(status, Some(0));
    let breaks = &said["answer"]["breaks"];
    assert_eq!(breaks.as_array().unwrap().len(), 1, "{said:#}");
    let length = breaks[0]["to_ms"].as_i64().unwrap() - breaks[0]["from_ms"].as_i64().unwrap();
    assert!((490_000..=500_000).contains(&length), "{said:#}");
    assert_eq!(said["gaps"].as_array().unwrap().iter().filter(|gap| gap["code"] == "crash").count(), 1);
    let (said, status) = json(&["ask", "policy-at", "@log", "2026-11-22T08:05:00Z"]);
    assert_eq!((status, &said["answer"]["policies"]), (Some(1), &serde_json::json!([])));
}

#[test]
fn a_policy_that_ran_and_was_not_given_is_told_by_every_command() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let [first, second] = texts();
    let digests = [policy(&first), policy(&second)].map(|policy| policy.digest().to_string());
    own(
        root.path(),
        "third",
        &second.replace("a report counts people", "nobody agreed to it").replace("action: keep", "action: drop"),
    );
    for command in [vec!["verify", "@log"], vec!["ask", "basis", "@log"], vec!["report", "ropa", "@log"]] {
        let all: &[&str] = &["--no-other-policies"];
        let cases: [(&str, &[&str], &[&String], bool); 4] = [
            ("@mine", &[], &[&digests[0]], true),
            ("@mine", all, &[&digests[0]], false),
            ("@third", &[], &[&digests[0], &digests[1]], false),
            ("@third", all, &[&digests[0], &digests[1]], false),
        ];
        for (given, more, unknown, is_gap) in cases {
            let (text, status) = answer(root.path(), &[&command[..], &["--policies", given], more].concat());
            assert_eq!(status, Some(i32::from(!is_gap)), "{command:?} {given}: {text}");
            assert_eq!(text.matches("[policy_unknown]").count(), if is_gap { 0 } else { unknown.len() }, "{text}");
            for digest in unknown {
                assert!(text.contains(&format!("policy {digest} ran and decided")), "{text}");
            }
        }
        let (text, status) =
            answer(root.path(), &[&command[..], &["--policies", "@before", "--policies", "@mine"], all].concat());
        assert_eq!(status, Some(0), "{text}");
    }
}

#[test]
fn what_each_policy_decided_is_the_same_for_people_and_machines() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let (text, _) = answer(root.path(), &["verify", "@log"]);
    let (machine, _) = answer(root.path(), &["verify", "@log", "--json"]);
    let report: Value = serde_json::from_str(&machine).unwrap();
    let events: Vec<u64> =
        report["policies"].as_array().unwrap().iter().map(|one| one["events"].as_u64().unwrap()).collect();
    assert_eq!(events, [200, 100]);
    for events in events {
        assert!(text.contains(&format!("decided {events} events")), "{text}");
    }
}

#[test]
fn a_key_of_another_log_of_the_same_name_is_said_to_be_another_key() {
    let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    shop(root.path());
    shop(other.path());
    let keys = other.path().join("anchor/vkey");
    let (text, status) = answer(root.path(), &["verify", "@log", "--key", keys.to_str().unwrap()]);
    assert_eq!(status, Some(1));
    assert!(
        text.contains("a key of `privet.example/shop/1` was given, and that one has another key in the log"),
        "{text}"
    );
    assert!(!text.contains("no such incarnation"), "{text}");
}

#[test]
fn a_policy_that_is_gone_is_one_finding_however_many_classes_it_decided() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    std::fs::remove_dir_all(root.path().join("log/policies")).unwrap();
    let (text, status) = answer(root.path(), &["ask", "basis", "@log"]);
    assert_eq!(status, Some(1));
    assert_eq!(text.matches("[class]").count(), 2, "one of each policy: {text}");
    assert!(text.contains("3 classes of policy"), "{text}");
}

/// The monotonic clock stands still while a machine is suspended.
#[test]
fn a_time_in_which_the_machine_was_suspended_is_not_spoken_for() {
    const HOURS_MS: i64 = 3 * 3_600_000;
    let root = tempfile::tempdir().unwrap();
    let at = |ms: u64, ahead: i64| Moment { wall_ms: START_MS + i64::try_from(ms).unwrap() + ahead, mono_ms: ms };
    let beat = || Work { records: vec![Record::Heartbeat], ..Work::default() };
    let (mut log, _) = Log::open(settings(root.path(), ConsentKept::Redis), at(0, 0)).unwrap();
    log.commit(&beat(), at(60_000, 0)).unwrap();
    log.commit(&beat(), at(90_000, HOURS_MS)).unwrap();
    log.commit(&beat(), at(120_000, HOURS_MS)).unwrap();
    log.close(&Delta::default(), at(150_000, HOURS_MS)).unwrap();
    let (text, status) = answer(root.path(), &["ask", "coverage", "@log", "--json"]);
    assert_eq!(status, Some(0), "{text}");
    let said: Value = serde_json::from_str(&text).unwrap();
    let breaks = said["answer"]["breaks"].as_array().unwrap();
    assert_eq!(breaks.len(), 1, "{said:#}");
    let length = breaks[0]["to_ms"].as_i64().unwrap() - breaks[0]["from_ms"].as_i64().unwrap();
    assert_eq!(length, HOURS_MS + 30_000);
    assert!(said["gaps"].as_array().unwrap().iter().any(|gap| gap["code"] == "clock"));
}

#[test]
fn a_field_that_leaves_without_its_value_is_no_category_that_leaves() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    own(root.path(), "redacting", &texts()[0].replace("action: pseudonymize", "action: redact"));
    let (text, _) = answer(root.path(), &["report", "ropa", "@log", "--policies", "@redacting"]);
    assert!(text.contains("- Fields that leave without their value: of user.contact.email\n"), "{text}");
    assert!(!text.contains("redact") && !text.contains("| user.contact.email |"), "{text}");
    assert!(text.contains("| system.operations | keep |"), "{text}");
}
