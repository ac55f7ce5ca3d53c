//! What the comparison says, on real decisions.

use std::collections::BTreeSet;

use privet_policy::consent::Memory;
use privet_policy::diagnostic::SourceFile;
use privet_policy::format::Format;
use privet_policy::policy::AgeClass;

use super::*;
use crate::decide::{Surroundings, decide};
use crate::decode::{DecodeLimits, Scratch, decode};
use crate::offline::{AssumedDecisions, Parts};
use crate::request::RawRequest;

const DESIGN: &str = include_str!("../../../policy-lib/tests/data/design.yaml");

fn policy(text: &str) -> Arc<Policy> {
    let files = [SourceFile { name: "p.yaml".into(), text: text.into() }];
    let loaded = crate::policies::compile(&files);
    let errors = crate::policies::errors(&files, &loaded.diagnostics);
    Arc::new(loaded.policy.unwrap_or_else(|| panic!("{errors}")).0)
}

fn edited(from: &str, to: &str) -> Arc<Policy> {
    assert!(DESIGN.contains(from), "{from}");
    policy(&DESIGN.replace(from, to))
}

fn event(user: &str, agreed: bool) -> String {
    format!(
        r#"{{"type":"track","event":"Search Performed","userId":"{user}","messageId":"m-{user}","timestamp":"2026-11-22T21:50:42.259Z","properties":{{"query":"knitting","results":3,"section":"apps","undeclared":"x"}},"context":{{"consent":{{"categoryPreferences":{{"Analytics":{agreed}}}}}}}}}"#
    )
}

fn batch(events: &[String]) -> RawRequest {
    let parts = Parts {
        method: "POST".into(),
        target: "/v1/batch".into(),
        headers: Vec::new(),
        body: format!(r#"{{"batch":[{}]}}"#, events.join(",")).into_bytes(),
        peer: None,
        time: "2026-11-22T21:50:43Z".parse().unwrap(),
        format: Some(Format::Segment),
    };
    parts.request().unwrap()
}

fn decisions(policy: &Policy, raw: &RawRequest, scratch: &mut Scratch) -> Vec<Decision> {
    let decoded = decode(raw, &DecodeLimits::default(), scratch).unwrap_or_else(|_| panic!("it is a batch"));
    let stored = AssumedDecisions::default();
    let around = Surroundings {
        stored: &stored,
        memory: Memory::Lasting,
        heard: &|_| {},
        jurisdiction: None,
        age: AgeClass::Unknown,
    };
    let decisions = decide(policy, raw, &decoded, &around);
    scratch.reclaim(decoded);
    decisions
}

fn beside(enforced: &Arc<Policy>, shadow: &Arc<Policy>) -> Shadow {
    Shadow::beside(Arc::clone(enforced), Arc::clone(shadow), Timestamp::UNIX_EPOCH, Arc::default())
}

fn try_out(enforced: &Arc<Policy>, shadow: &Arc<Policy>, raw: &RawRequest) -> Shadow {
    let (tried, mut scratch) = (beside(enforced, shadow), Scratch::default());
    let ours = decisions(enforced, raw, &mut scratch);
    let judged = tried.judge(|policy| decisions(policy, raw, &mut scratch));
    tried.count(&ours, &judged);
    tried
}

/// The effects that occurred.
fn effects(shadow: &Shadow) -> Vec<(String, u64)> {
    let counts = shadow.json();
    let all = counts["events"].as_object().unwrap();
    let counted = all.iter().map(|(effect, events)| (effect.clone(), events.as_u64().unwrap()));
    counted.filter(|(_, events)| *events > 0).collect()
}

fn one(effect: &str, events: u64) -> (String, u64) {
    (effect.to_owned(), events)
}

#[test]
fn a_coarser_field_tightens_and_the_reverse_loosens_by_name_and_count() {
    let (hour, day) = (policy(DESIGN), edited("{time: hour}", "{time: day}"));
    let raw = batch(&[event("u-1", true), event("u-2", false), event("u-3", true)]);
    let tighter = try_out(&hour, &day, &raw);
    assert_eq!(effects(&tighter), [one("same", 1), one("tighter", 2)]);
    let row = &tighter.json()["compared"][0];
    assert_eq!((&row["contract"], &row["destination"]), (&"storefront.search".into(), &"collector".into()));
    assert_eq!(row["events"], json!({"same": 1, "tighter": 2}));
    let changed = json!({
        "field": "timestamp", "part": "value", "effect": "tighter", "events": 2,
        "change": "generalize time hour -> generalize time day",
    });
    assert!(row["fields"].as_array().unwrap().contains(&changed), "{row:#}");
    assert_eq!(effects(&try_out(&day, &hour, &raw)), [one("looser", 2), one("same", 1)]);
    assert_eq!(effects(&try_out(&hour, &hour, &raw)), [one("same", 3)]);
}

#[test]
fn what_would_leave_and_what_would_not_is_said_of_the_whole_event() {
    let (asked, free) = (policy(DESIGN), edited("basis: consent", "basis: contract"));
    let raw = batch(&[event("u-1", false), event("u-2", true)]);
    assert_eq!(effects(&try_out(&asked, &free, &raw)), [one("same", 1), one("would_leave", 1)]);
    assert_eq!(effects(&try_out(&free, &asked, &raw)), [one("same", 1), one("would_not_leave", 1)]);
    let unmatched = edited("event: Search Performed", "event: Search Made");
    let tried = try_out(&asked, &unmatched, &raw);
    assert_eq!(effects(&tried), [one("same", 1), one("would_not_leave", 1)]);
    assert_eq!(tried.json()["compared"][0]["contract"], "storefront.search");
}

#[test]
fn forms_that_cannot_be_ordered_and_changes_both_ways_are_mixed() {
    let plain = policy(DESIGN);
    let raw = batch(&[event("u-1", true)]);
    let other_form = edited("action: {generalize: {time: hour}}", "action: pseudonymize");
    let tried = try_out(&plain, &other_form, &raw);
    assert_eq!(effects(&tried), [one("mixed", 1)]);
    let text = tried.json().to_string();
    assert!(text.contains(r#""effect":"incomparable""#), "{text}");
    let both_ways =
        policy(&DESIGN.replace("{time: hour}", "{time: day}").replace("action: pseudonymize", "action: keep"));
    assert_eq!(effects(&try_out(&plain, &both_ways, &raw)), [one("mixed", 1)]);
}

#[test]
fn destinations_are_matched_by_name() {
    let partner = "\n---\napiVersion: privet.dev/v1alpha1\nkind: Destination\nmetadata: {name: a-partner}\nurl: http://127.0.0.1:8089\nrecipient: processor\npurposes: [analytics.reporting.content_performance]\n";
    let (one_way, two_ways) = (policy(DESIGN), policy(&format!("{DESIGN}{partner}")));
    let tried = try_out(&one_way, &two_ways, &batch(&[event("u-1", true)]));
    assert_eq!(effects(&tried), [one("would_leave", 1)]);
    let compared = tried.json();
    let rows: Vec<_> =
        compared["compared"].as_array().unwrap().iter().map(|row| (&row["destination"], &row["events"])).collect();
    let (partner, collector) = (json!({"would_leave": 1}), json!({"same": 1}));
    assert_eq!(rows, [(&"a-partner".into(), &partner), (&"collector".into(), &collector)]);
}

#[test]
fn a_field_under_a_star_is_compared_with_the_star() {
    let path = |text: &str| text.parse::<Path>().unwrap();
    for (wide, narrow, holds) in [
        ("a.*", "a.b", true),
        ("a.*", "a.*", true),
        ("a.b", "a.*", false),
        ("a.*", "a.b.c", false),
        ("*.b", "a.b", true),
        ("a[]", "a[k=v]", true),
        ("$header.a", "a", false),
    ] {
        assert_eq!(covers(&path(wide), &path(narrow)), holds, "{wide} {narrow}");
    }
}

#[test]
fn a_panic_is_counted_and_ends_there() {
    let plain = policy(DESIGN);
    let tried = beside(&plain, &plain);
    let raw = batch(&[event("u-1", true), event("u-2", true)]);
    let judged = tried.judge(|_| panic!("a fault"));
    tried.count(&decisions(&plain, &raw, &mut Scratch::default()), &judged);
    assert_eq!(effects(&tried), [one("failed", 2)]);
}

#[test]
fn what_is_kept_is_bounded_and_still_counted() {
    let plain = policy(DESIGN);
    let tried = beside(&plain, &plain);
    let mut kept = tried.kept.write().unwrap();
    let change = |number: usize| FieldChange {
        field: number.to_string(),
        part: Part::Value,
        from: Action::Keep,
        to: Action::Drop,
    };
    for number in 0..LISTS_MAX + 100 {
        let what = Difference {
            contract: None,
            destination: "collector".into(),
            effect: ShadowEffect::Tighter,
            fields: vec![change(number)],
            unlisted: false,
        };
        kept.row(what).events.fetch_add(1, AtomicOrdering::Relaxed);
    }
    assert_eq!(kept.rows.len(), LISTS_MAX + 1);
    drop(kept);
    let row = &tried.json()["compared"][0];
    assert_eq!((&row["events"]["tighter"], &row["events_without_fields"]), (&json!(LISTS_MAX + 100), &json!(100)));
}

#[test]
fn nothing_of_an_event_is_in_what_is_shown() {
    let (enforced, shadow) = (policy(DESIGN), edited("action: keep", "action: redact"));
    let tried = try_out(&enforced, &shadow, &batch(&[event("u-1", true), event("u-2", false)]));
    let text = tried.json().to_string();
    for personal in ["u-1", "m-u", "knitting", "undeclared"] {
        assert!(!text.contains(personal), "{personal} in {text}");
    }
    let words: BTreeSet<&str> = text.split('"').collect();
    assert!(words.contains("properties.results") && words.contains("keep -> redact"), "{text}");
}

/// Prints what a policy in shadow costs an event; run with `--release --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_shadow_an_event() {
    let (enforced, shadow) = (policy(DESIGN), edited("{time: hour}", "{time: day}"));
    let tried = beside(&enforced, &shadow);
    for each in [1_usize, 20] {
        let raw = batch(&(0..each).map(|user| event(&format!("user-{user}"), user % 5 != 0)).collect::<Vec<_>>());
        let mut scratch = Scratch::default();
        let decoded = decode(&raw, &DecodeLimits::default(), &mut scratch).unwrap_or_else(|_| panic!("it is a batch"));
        let stored = AssumedDecisions::default();
        let around = Surroundings {
            stored: &stored,
            memory: Memory::Lasting,
            heard: &|_| {},
            jurisdiction: None,
            age: AgeClass::Unknown,
        };
        let rounds = 400_000 / each;
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            std::hint::black_box(decide(&enforced, &raw, &decoded, &around));
        }
        let alone = begun.elapsed();
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            let ours = decide(&enforced, &raw, &decoded, &around);
            let judged = tried.judge(|policy| decide(policy, &raw, &decoded, &around));
            tried.count(&ours, &judged);
        }
        let both = begun.elapsed();
        let an_event = |time: std::time::Duration| time.as_nanos() as f64 / (rounds * each) as f64;
        let nobody: ArcSwapOption<Shadow> = ArcSwapOption::empty();
        let begun = std::time::Instant::now();
        for _ in 0..rounds {
            assert!(std::hint::black_box(&nobody).load().is_none());
        }
        let without = begun.elapsed().as_nanos() as f64 / rounds as f64;
        println!("no shadow: {without:.1} ns a request");
        println!("{each} events a request: {:.0} ns decided, {:.0} ns with a shadow", an_event(alone), an_event(both));
    }
}
