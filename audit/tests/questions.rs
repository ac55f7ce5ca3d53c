//! Each question over a small log, over a damaged one, and over none: the exact words.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use serde_json::Value;
use support::{answer, golden, policy, shop, tamper, texts};

const TRUSTED: [&str; 6] = ["--key", "@anchor/vkey", "--anchor", "@anchor/checkpoint", "--policies", "@mine"];

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
