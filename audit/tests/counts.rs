//! `reconcile`: a collector's counts beside the log's.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "tests")]

mod support;

use std::fs;

use support::{answer, golden, shop};

#[test]
fn what_unknowns_and_edges_explain_is_no_finding_and_one_event_more_is() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    // 270 were acknowledged, 6 are unknown, 4 were refused. The first batch's 170 lie within the first minute.
    for (rows, status) in [
        ("collector,,,270", 0),
        ("collector,,,276", 0),
        ("collector,,,277", 1),
        ("collector,,,269", 1),
        ("collector,2026-11-22T08:00:00Z,2026-11-22T08:01:00Z,170", 0),
        ("collector,2026-11-22T08:00:00Z,2026-11-22T08:01:00Z,177", 1),
        // An edge inside of a batch: none of it for sure, all of it perhaps.
        ("collector,2026-11-22T08:01:15.600Z,,0", 0),
        ("collector,2026-11-22T08:01:15.600Z,,106", 0),
        ("collector,2026-11-22T08:01:15.600Z,,107", 1),
        ("collector,,2026-11-21,0", 0),
        ("collector,,2026-11-21,1", 1),
        // Nothing of a destination that the log does not have says nothing.
        ("elsewhere,,,1", 1),
        ("elsewhere,,,0", 1),
    ] {
        fs::write(root.path().join("counts.csv"), format!("destination, from, to, events\n{rows}\n")).unwrap();
        let (text, found) = answer(root.path(), &["reconcile", "@log", "--counts", "@counts.csv"]);
        assert_eq!(found, Some(status), "{rows}: {text}");
    }
    fs::write(root.path().join("counts.csv"), "destination,from,to,events\ncollectr,,,270\n").unwrap();
    let (text, _) = answer(root.path(), &["reconcile", "@log", "--counts", "@counts.csv"]);
    assert!(text.contains("[destination] the log has no destination `collectr`; it has collector"), "{text}");
    assert!(!text.contains("[counts]"), "{text}");
    // Another clock: what was outside for sure may be inside.
    fs::write(root.path().join("counts.csv"), "destination,from,to,events\ncollector,,2026-11-22T07:59:59Z,170\n")
        .unwrap();
    assert_eq!(answer(root.path(), &["reconcile", "@log", "--counts", "@counts.csv"]).1, Some(1));
    let widened = answer(root.path(), &["reconcile", "@log", "--counts", "@counts.csv", "--skew", "5"]);
    assert_eq!(widened.1, Some(0), "{}", widened.0);
}

#[test]
fn json_says_the_same_and_requests_are_said_not_to_be_compared() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    let counts =
        r#"[{"destination": "collector", "from": "2026-11-22", "to": "2026-11-23", "events": 271, "requests": 270}]"#;
    fs::write(root.path().join("counts.json"), counts).unwrap();
    let words =
        ["reconcile", "@log", "--counts", "@counts.json", "--key", "@anchor/vkey", "--anchor", "@anchor/checkpoint"];
    let (text, status) = answer(root.path(), &words);
    golden("reconcile.txt", &text);
    assert_eq!(status, Some(0));
}

#[test]
fn counts_that_are_none_say_where() {
    let root = tempfile::tempdir().unwrap();
    shop(root.path());
    for (counts, said) in [
        ("", "0 counts"),
        ("destination,from,to,events\ncollector,,,many\n", "is no CSV"),
        ("destination,from,to,events\ncollector,noon,,1\n", "count 1: `from`"),
        ("destination,from,to,events\ncollector,2026-11-23,2026-11-22,1\n", "count 1: `from` is not before `to`"),
        ("[{\"destination\": \"collector\"}]", "is no array of counts"),
        ("destination,events\n", "0 counts"),
    ] {
        fs::write(root.path().join("counts"), counts).unwrap();
        let (text, status) = answer(root.path(), &["reconcile", "@log", "--counts", "@counts"]);
        assert_eq!(status, Some(2), "{counts}: {text}");
        assert!(text.contains(said), "{counts}: {text}");
    }
}
